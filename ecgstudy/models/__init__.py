"""The networks: one file per paper, the own family, the baselines, and the registry that builds them by name."""

from __future__ import annotations

from ecgstudy.models import ecgnet, inception_former, mobilenet1d, resnet1d, time_frequency  # noqa: F401  (each import registers its models)
from ecgstudy.models.registry import build_model, list_models
from ecgstudy.signal import SignalSpec

__all__ = ["SignalSpec", "build_model", "list_models"]
