"""Batches from one int16 array: index, then scale on the device. No workers: at 10 s x 100 Hz they only cost time.

The array lies in the device's memory where it fits, else it stays on disk, memory-mapped, and each batch is read from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ecgstudy.data.beats import beats
from ecgstudy.data.dataset import Prepared
from ecgstudy.train.device import fits


@dataclass(frozen=True)
class Scaling:
    """One scalar mean and standard deviation over all recorded samples and leads of the training records, in microvolts."""

    mean: float
    deviation: float


def fit_scaling(prepared: Prepared, rows: np.ndarray, block: int = 512) -> Scaling:
    """Scaling from the given rows alone; padding does not count. A flat array scales by 1 instead of dividing by zero."""
    recorded = prepared.table["n_samples"].to_numpy()
    time = np.arange(prepared.signals.shape[2])
    count, total, squares = 0, 0, 0
    for start in range(0, len(rows), block):
        part = rows[start:start + block]
        signals = prepared.signals[part].astype(np.int64)
        valid = time < recorded[part, None]                                       # [r, T]
        signals *= valid[:, None, :]
        count += int(valid.sum()) * signals.shape[1]
        total += int(signals.sum())
        squares += int((signals * signals).sum())
    mean = total / max(count, 1)
    variance = squares / max(count, 1) - mean * mean
    return Scaling(mean, variance ** 0.5 if variance > 0 else 1.0)


@dataclass(frozen=True)
class Batch:
    """signals float32 [B, L, T], scaled; targets float32 [B, K]; inputs: what the model asked for beside the signal, by name.

    index: int64 [B], each record's place in its feed. patients: int64 [B], a number a patient: equal for records of one person.
    """

    signals: Tensor
    targets: Tensor
    inputs: dict[str, Tensor] = field(default_factory=dict)
    index: Tensor | None = None
    patients: Tensor | None = None

    def __len__(self) -> int:
        return len(self.signals)


class Feed:
    """The records of one fold on one device: `batch(index [B])` gives a `Batch`.

    inputs: names of `models.registry.INPUTS` that the model asks for.
    """

    def __init__(self, prepared: Prepared, rows: np.ndarray, targets: np.ndarray, scaling: Scaling, device: torch.device,
                 inputs: Sequence[str] = ()) -> None:
        self.record_ids = prepared.table["record_id"].to_numpy()[rows]
        self.on_disk, self.rows, self.device = prepared.signals, rows, device
        resident = fits(len(rows) * prepared.signals[:1].nbytes, device)
        self.signals = torch.from_numpy(np.ascontiguousarray(prepared.signals[rows])).to(device) if resident else None
        self.targets = torch.from_numpy(targets[rows].astype(np.float32)).to(device)
        _, patients = np.unique(prepared.table["patient_id"].to_numpy(str)[rows], return_inverse=True)
        self.patients = torch.from_numpy(patients.astype(np.int64)).to(device)
        self.scaling = scaling
        self.inputs = {name: SOURCES[name](prepared, rows).to(device) for name in inputs}

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: Tensor) -> Batch:
        """The records at `index`, int64 [B]; from the CPU, it costs a GPU no wait."""
        on_host, index = index, index.to(self.device)
        signals = (self._read(on_host) if self.signals is None else self.signals.index_select(0, index)).float()
        return Batch(signals.sub_(self.scaling.mean).div_(self.scaling.deviation), self.targets.index_select(0, index),
                     {name: values.index_select(0, index) for name, values in self.inputs.items()}, index,
                     self.patients.index_select(0, index))

    def _read(self, index: Tensor) -> Tensor:
        """The records at `index` from the memory-mapped array: int16 [B, L, T] on the device."""
        signals = torch.from_numpy(self.on_disk[self.rows[index.cpu().numpy()]])
        return signals.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else signals


def beats_of(prepared: Prepared, rows: np.ndarray) -> Tensor:
    """R-peaks of the rows: int64 [R, S], -1 beyond the last; S is what the busiest record of the data set needs."""
    found = beats(prepared)
    longest = max(1, int((found >= 0).sum(axis=1).max()))
    return torch.from_numpy(found[rows, :longest].astype(np.int64))


def person_of(prepared: Prepared, rows: np.ndarray) -> Tensor:
    """Age in years and sex (0 female, 1 male) of the rows: float32 [R, 2], NaN where unknown."""
    table = prepared.table.iloc[rows]
    sex = table["sex"].map({"female": 0.0, "male": 1.0})
    return torch.from_numpy(np.stack([table["age"].to_numpy(np.float32), sex.to_numpy(np.float32)], axis=1))


SOURCES: dict[str, Callable[[Prepared, np.ndarray], Tensor]] = {"beats": beats_of, "person": person_of}
