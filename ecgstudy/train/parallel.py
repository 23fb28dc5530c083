"""One run on several processes, started by `torchrun`: each takes its part of every batch, and all take the same step.

Every process holds the data and draws the whole batch, from the same permutation and through the same augmentation, then keeps its own
contiguous part of it; so a record is met, and changed by chance, as in one process. Gradients are averaged with the sizes of the parts as
weights, which for a loss that is a mean over records is the gradient of the whole batch, the last and shorter one included. Batch
normalisation takes its statistics over all parts. Only the first process writes. Outside `torchrun` nothing here does anything.

What is not as in one process: sums are rounded in another order; each process draws its own dropout; and a loss that a network adds
over its batch as a whole is averaged over the parts. Objectives that compare the records of a batch are refused.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.norms import TokenBatchNorm
from ecgstudy.train.feed import Batch

DIVISIBLE = ("supervised",)     # objectives that are a mean over records


def size() -> int:
    """Processes that train together; 1 without `torchrun`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Join the processes that `torchrun` started, for the block; on a machine with GPUs each takes its own."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or dist.is_initialized():
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def require_divisible(objective: str) -> None:
    """ConfigurationError for an objective whose loss of a batch is not the mean over its parts."""
    if size() > 1 and objective not in DIVISIBLE:
        raise ConfigurationError(f"objective {objective} looks at a batch as a whole, which {size()} processes cannot divide; run it "
                                 "without torchrun")


def agreed(value: Any) -> Any:
    """The first process's value, in all of them."""
    if size() == 1:
        return value
    shared = [value]
    dist.broadcast_object_list(shared, src=0, device=torch.device("cpu"))
    return shared[0]


def first_only(make: Callable[[], Any]) -> Any:
    """What `make` returns or raises in the first process, the only one that calls it, in all of them."""
    if size() == 1:
        return make()
    made, error = None, None
    if rank() == 0:
        try:
            made = make()
        except Exception as raised:     # of any kind: the others must not wait for one that is gone
            error = raised
    made, error = agreed((made, error))
    if error is not None:
        raise error
    return made


def own(n: int) -> Tensor:
    """Which of `n` rows are this process's: contiguous parts that differ by at most one. Fewer rows than processes are everybody's."""
    rows = torch.arange(n)
    return rows.tensor_split(size())[rank()] if n >= size() else rows


def own_part(batch: Batch, generator: torch.Generator) -> Batch:
    """This process's records of a batch, and a dropout stream of its own for them, which the step's generator decides."""
    if size() == 1:
        return batch
    torch.manual_seed(int(torch.randint(2**62, (), generator=generator)) + rank())
    mine = own(len(batch)).to(batch.signals.device)
    return Batch(batch.signals[mine], batch.targets[mine], {name: values[mine] for name, values in batch.inputs.items()},
                 batch.index[mine], batch.patients[mine])


def backward(optimizer: torch.optim.Optimizer, loss: Tensor, part: Batch, whole: Batch) -> Tensor:
    """Leave the gradients of the whole batch's loss in what the optimiser trains; returns that loss. loss: the mean over the records of
    `part`.

    One sum over all processes in one buffer. torch's own wrapper, DDP, takes all parts for equal, and hides the named methods that an
    objective calls.
    """
    if size() == 1:
        loss.backward()
        return loss.detach()
    share = len(part) / len(whole) if len(whole) >= size() else 1 / size()
    (loss * share).backward()
    gradients = [each.grad for group in optimizer.param_groups for each in group["params"] if each.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    total = (loss * share).detach()
    dist.all_reduce(flat)
    dist.all_reduce(total)
    for gradient, summed in zip(gradients, flat.split([each.numel() for each in gradients]), strict=True):
        gradient.copy_(summed.view_as(gradient))
    return total


def gathered(part: np.ndarray, n: int) -> np.ndarray:
    """The parts of all processes, in order: rows `own(n)` of each become all n rows [n, ...]."""
    if size() == 1 or n < size():
        return part
    parts: list[Any] = [None] * size()
    dist.all_gather_object(parts, part)
    return np.concatenate(parts)


class _Together(_BatchNorm):
    """Batch normalisation over the batch of all processes, the gradient included; on CPUs too, for which torch's own has no form."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        rows = x.flatten(0, 1) if isinstance(self, TokenBatchNorm) else x
        rows = rows.float()                                                                     # [B, C, ...]
        axes = [axis for axis in range(rows.dim()) if axis != 1]
        shape = [1, -1] + [1] * (rows.dim() - 2)
        count = torch.full((1,), rows.numel() / rows.shape[1], device=x.device)
        summed = all_reduce(torch.cat([rows.sum(axes), count]))
        n, mean = summed[-1].detach(), summed[:-1] / summed[-1].detach()                        # [C]
        variance = all_reduce((rows - mean.view(shape)).square().sum(axes)) / n                 # [C]
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        scaled = (rows - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        return (scaled * self.weight.view(shape) + self.bias.view(shape)).view_as(x)


def synchronise(model: nn.Module) -> None:
    """Make every batch normalisation of the model, in place, one over all processes; names and values stay as they are."""
    if size() == 1:
        return
    for module in model.modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, _Together):
            kind = type(module)
            module.__class__ = type(kind.__name__, (_Together, kind), {})
