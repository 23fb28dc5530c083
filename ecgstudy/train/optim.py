"""The optimiser and its learning rate, the latter a pure function of the epoch, so that resuming needs no scheduler state."""

from __future__ import annotations

import math

import torch
from torch import nn

from ecgstudy.train.experiment import Experiment


def make_optimizer(model: nn.Module, experiment: Experiment) -> torch.optim.AdamW:
    """AdamW over the parameters that are to be trained (Loshchilov & Hutter 2019); the fused form is 5 x faster on the CPU too."""
    trained = [each for each in model.parameters() if each.requires_grad]
    return torch.optim.AdamW(trained, lr=experiment.learning_rate, weight_decay=experiment.weight_decay, fused=True)


def learning_rate(experiment: Experiment, epoch: int) -> float:
    """The rate of an epoch, counted from 0."""
    if experiment.schedule == "step":
        return experiment.learning_rate * experiment.schedule_factor ** (epoch // experiment.schedule_step)
    if experiment.schedule == "cosine":
        return experiment.learning_rate * (1 + math.cos(math.pi * epoch / experiment.epochs)) / 2
    return experiment.learning_rate
