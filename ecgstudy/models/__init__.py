"""The networks: one file per paper, the own family, the baselines, and the registry that builds them by name."""

from __future__ import annotations

import importlib
import pkgutil

from ecgstudy.models.registry import build_model, list_models
from ecgstudy.signal import SignalSpec

for _module in pkgutil.iter_modules(__path__):      # each file registers its models
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["SignalSpec", "build_model", "list_models"]
