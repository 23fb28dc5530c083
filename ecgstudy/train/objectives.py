"""What a step minimises: a function of model, batch and generator that returns named losses; `loss` is the one descended."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Objective = Callable[[nn.Module, tuple[Tensor, Tensor], torch.Generator], dict[str, Tensor]]


def multilabel(model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Binary cross-entropy a class, averaged. batch: signals [B, L, T] and targets [B, K] in {0, 1}."""
    signals, targets = batch
    return {"loss": F.binary_cross_entropy_with_logits(model(signals).float(), targets)}


def multiclass(model: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Cross-entropy over classes that exclude each other. batch: signals [B, L, T] and one-hot targets [B, K]."""
    signals, targets = batch
    return {"loss": F.cross_entropy(model(signals).float(), targets)}


def supervised(is_multilabel: bool) -> Objective:
    """The objective of a labelled task."""
    return multilabel if is_multilabel else multiclass
