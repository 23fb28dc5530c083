"""One update of a network, and its loss on the way back to the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ecgstudy.errors import RunError
from ecgstudy.train import parallel
from ecgstudy.train.augment import augment
from ecgstudy.train.device import resolve_precision
from ecgstudy.train.experiment import Experiment
from ecgstudy.train.feed import Batch
from ecgstudy.train.objectives import Objective

LOOK_EVERY = 20     # steps between two looks at the losses


def update(network: Callable[..., Tensor], optimizer: torch.optim.Optimizer, objective: Objective, batch: Batch, generator: torch.Generator,
           experiment: Experiment, device: torch.device) -> Tensor:
    """One step down the objective; returns the batch's summed loss without waiting for the device.

    network: what the objective calls, the trained module or a faster form of it. Raises RunError where the device's memory is too small.
    """
    bf16 = resolve_precision(experiment.precision, device) == "bf16"
    try:
        batch = replace(batch, signals=augment(batch.signals, experiment.augmentation, generator))
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            part = parallel.own_part(batch, generator)
            losses = objective(network, part, generator)
        optimizer.zero_grad(set_to_none=True)
        loss = parallel.backward(optimizer, losses["loss"], part, batch)
        optimizer.step()
    except torch.OutOfMemoryError:
        peak = torch.cuda.max_memory_allocated(device) / 2**30
        raise RunError(f"out of GPU memory with batch_size {experiment.batch_size} (peak {peak:.1f} GiB); use a smaller batch") from None
    return loss * len(batch)


@dataclass
class _Group:
    """Losses of consecutive steps, the first of them number `first`, on the device and, once they have landed, on the host."""

    first: int
    losses: list[Tensor]
    landed: Tensor | None = None
    arrival: torch.cuda.Event | None = None

    def send(self) -> None:
        stacked = torch.stack(self.losses).double()
        if stacked.is_cuda:
            self.landed = torch.empty(stacked.shape, dtype=stacked.dtype, pin_memory=True)
            self.landed.copy_(stacked, non_blocking=True)
            self.arrival = torch.cuda.Event()
            self.arrival.record()
        else:
            self.landed = stacked

    def read(self) -> list[float]:
        if self.arrival:
            self.arrival.synchronize()
        return self.landed.tolist()


class Losses:
    """Losses that nobody has looked at yet.

    A GPU runs ahead of the host as long as the host asks it nothing. So losses are copied in groups of LOOK_EVERY, and a group is read
    only when the next one is full: by then it has long arrived. On a CPU it is read at once.
    """

    def __init__(self) -> None:
        self.open: _Group | None = None
        self.sent: list[_Group] = []

    def add(self, step: int, loss: Tensor) -> None:
        """Keep the summed loss [] of a step; steps come in order."""
        if self.open is None:
            self.open = _Group(step, [])
        self.open.losses.append(loss)

    def arrived(self, everything: bool = False) -> list[tuple[int, float]]:
        """Steps and their losses, each once and in order: those that are here without waiting, or everything."""
        if self.open is not None and (everything or len(self.open.losses) == LOOK_EVERY):
            self.open.send()
            self.sent.append(self.open)
            self.open = None
        n_behind = 0 if everything else sum(group.arrival is not None for group in self.sent[-1:])
        ready, self.sent = self.sent[:len(self.sent) - n_behind], self.sent[len(self.sent) - n_behind:]
        return [(group.first + i, loss) for group in ready for i, loss in enumerate(group.read())]
