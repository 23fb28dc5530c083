"""Models by name: `@register` puts a builder on the shelf, `build_model` takes it down."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import nn

from ecgstudy.errors import ConfigurationError, require_known, unknown
from ecgstudy.layers.checks import require_count
from ecgstudy.signal import SignalSpec

Builder = Callable[..., nn.Module]


# What a model may ask for beside the signal: keyword tensors of `forward`, each None where it is not at hand.
INPUTS = {
    "beats": "int64 [B, S], the sample of each R-peak, ascending, then -1; None: the model finds them itself, slowly",
    "person": "float32 [B, 2], age in years and sex (0 female, 1 male), each NaN where unknown; None: unknown",
}
Sizes = Mapping[str, tuple[Mapping[str, Any], int]]


@dataclass(frozen=True)
class ModelEntry:
    """A registered model.

    paper: whom it stands for. settings: its own, with their defaults. fidelity: what it was built from and what that leaves open;
    choices: what is this study's and not the paper's. sizes: name -> (settings, parameters at 12 x 1000 and nine classes). inputs: what
    it asks for beside the signal, of INPUTS. quick: settings for the short profiles, where the defaults are too slow for two cores.
    head_on_features: whether `head(forward_features(x))` is `forward(x)`. pretrainer: builds the network that is trained without labels
    before this one; None where the paper has none.
    """

    name: str
    paper: str
    builder: Builder
    settings: dict[str, Any]
    fidelity: str = ""
    choices: tuple[str, ...] = ()
    sizes: Sizes = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    quick: Mapping[str, Any] = field(default_factory=dict)
    head_on_features: bool = True
    pretrainer: Builder | None = None


_MODELS: dict[str, ModelEntry] = {}


def register(*, paper: str, fidelity: str = "", choices: Sequence[str] = (), sizes: Sizes = MappingProxyType({}),
             inputs: Sequence[str] = (), quick: Mapping[str, Any] = MappingProxyType({}),
             head_on_features: bool = True, pretrainer: Builder | None = None) -> Callable[[Builder], Builder]:
    """Register the decorated builder under its own name; the arguments are those of `ModelEntry`.

    The builder takes `signal: SignalSpec, n_classes: int` and then keyword-only settings, each with the paper's default. The
    model that it returns maps [B, L, T] to logits [B, K] and has `forward_features(x) -> [B, C, N]` or [B, C, F, N], the last feature
    map, and `head(features) -> logits`. A model with inputs takes each as a keyword tensor, None by default. One with auxiliary losses
    defines `training_outputs(x, **inputs) -> (logits, {name: loss, already weighted})`; the objective adds them to its own.
    A loss that needs the labels is a function of the objective's criterion, which takes logits alone: `lambda criterion: criterion(z)`.
    A pretrainer takes `signal` and the builder's own settings, and shares with the model that it returns one part, `encoder`: what
    is trained without labels and handed on.
    """
    for name in inputs:
        require_known("input", name, INPUTS)

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
        settings = {p.name: p.default for p in own}
        for setting in (*quick, *(each for changed, _ in sizes.values() for each in changed)):
            require_known(f"setting of {name}", setting, settings)
        _MODELS[name] = ModelEntry(name, paper, builder, settings, fidelity, tuple(choices), sizes, tuple(inputs), quick, head_on_features,
                                   pretrainer)
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
    _require_settings(entry, settings)
    return entry.builder(signal, n_classes, **settings)


def build_pretrainer(name: str, signal: SignalSpec, **settings: Any) -> nn.Module:
    """Build the network that is trained without labels before the model of that name; settings are the model's own.

    Raises ConfigurationError as `build_model` does, and for a model whose paper has no such network.
    """
    entry = model_entry(name)
    if entry.pretrainer is None:
        able = [each for each in list_models() if _MODELS[each].pretrainer]
        raise ConfigurationError(f"model {name} has no network of its own to pretrain; these have: {', '.join(able)}")
    _require_settings(entry, settings)
    return entry.pretrainer(signal, **settings)


def _require_settings(entry: ModelEntry, settings: Mapping[str, Any]) -> None:
    for setting in settings:
        if not entry.settings:
            raise ConfigurationError(f"unknown setting {setting!r} of {entry.name}, which takes none; leave it out")
        if setting not in entry.settings:
            raise unknown(f"setting of {entry.name}", setting, entry.settings)
