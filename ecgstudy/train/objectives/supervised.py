"""Labels: cross-entropy of the kind that the task asks for."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgstudy.train.feed import Batch
from ecgstudy.train.objectives.objective import Objective


def multilabel(model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Binary cross-entropy a class, averaged, for targets in {0, 1}; and what the model adds."""
    return _with_auxiliary(model, batch, F.binary_cross_entropy_with_logits)


def multiclass(model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Cross-entropy over classes that exclude each other, for one-hot targets; and what the model adds."""
    return _with_auxiliary(model, batch, F.cross_entropy)


def supervised(is_multilabel: bool) -> Objective:
    """The objective of a labelled task."""
    return multilabel if is_multilabel else multiclass


def _with_auxiliary(model: nn.Module, batch: Batch, criterion: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Tensor]:
    """The criterion on the logits, and each auxiliary loss of a model that defines `training_outputs`, already weighted.

    One that needs the labels is a function: of further logits [B, K] it asks what the criterion says.
    """
    def against_labels(logits: Tensor) -> Tensor:
        return criterion(logits.float(), batch.targets)

    logits, extra = (model.training_outputs(batch.signals, **batch.inputs) if hasattr(model, "training_outputs") else
                     (model(batch.signals, **batch.inputs), {}))
    extra = {name: loss(against_labels) if callable(loss) else loss for name, loss in extra.items()}
    labelled = against_labels(logits)
    return {"loss": labelled + sum(extra.values()), "labels": labelled, **extra}
