"""Models by name: `@register` puts a builder on the shelf, `build_model` takes it down."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ecgstudy.errors import ConfigurationError, unknown
from ecgstudy.layers.checks import require_count
from ecgstudy.signal import SignalSpec

Builder = Callable[..., nn.Module]


@dataclass(frozen=True)
class ModelEntry:
    """A registered model: its name, the paper it stands for, its builder, and its own settings with their defaults."""

    name: str
    paper: str
    builder: Builder
    settings: dict[str, Any]


_MODELS: dict[str, ModelEntry] = {}


def register(*, paper: str) -> Callable[[Builder], Builder]:
    """Register the decorated builder under its own name.

    The builder takes `signal: SignalSpec, n_classes: int` and then keyword-only settings, each with the paper's default. The
    model that it returns maps [B, L, T] to logits [B, K] and has `forward_features(x) -> [B, C, N]`, the last feature map, and
    `head(features) -> logits`.
    """
    def shelve(builder: Builder) -> Builder:
        name = builder.__name__
        first, second, *own = inspect.signature(builder).parameters.values()
        if (first.name, second.name) != ("signal", "n_classes"):
            raise ConfigurationError(f"model {name} begins with {first.name}, {second.name}; that must be signal, n_classes")
        loose = [p.name for p in own if p.kind is not p.KEYWORD_ONLY or p.default is p.empty]
        if loose:
            raise ConfigurationError(f"model {name}: {', '.join(loose)} must be keyword-only with a default")
        if name in _MODELS:
            raise ConfigurationError(f"model {name} is registered twice; give one of them another name")
        _MODELS[name] = ModelEntry(name, paper, builder, {p.name: p.default for p in own})
        return builder
    return shelve


def list_models() -> list[str]:
    """The names of all models, in alphabetical order."""
    return sorted(_MODELS)


def model_entry(name: str) -> ModelEntry:
    """What is registered under `name`; ConfigurationError with the nearest name where nothing is."""
    if name not in _MODELS:
        raise unknown("model", name, list_models())
    return _MODELS[name]


def build_model(name: str, signal: SignalSpec, n_classes: int, **settings: Any) -> nn.Module:
    """Build a model with fresh weights from torch's global generator.

    settings: the model's own settings, as in `model_entry(name).settings`; what is left out keeps the paper's value.
    Raises ConfigurationError for an unknown model, an unknown setting or a value that the model cannot take.

    >>> build_model("resnet18", SignalSpec(12, 1000, 100), 9, width=16).head[-1]
    Linear(in_features=128, out_features=9, bias=True)
    """
    entry = model_entry(name)
    require_count("n_classes", n_classes)
    for setting in settings:
        if not entry.settings:
            raise ConfigurationError(f"unknown setting {setting!r} of {name}, which takes none; leave it out")
        if setting not in entry.settings:
            raise unknown(f"setting of {name}", setting, entry.settings)
    return entry.builder(signal, n_classes, **settings)
