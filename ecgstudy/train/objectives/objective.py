"""What an objective is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ecgstudy.train.feed import Batch

# model, batch and the step's own generator -> named losses; `loss` is the one descended
Objective = Callable[[nn.Module, Batch, torch.Generator], dict[str, Tensor]]
