"""Batches from one resident int16 array: index, then scale on the device. No workers: at 10 s x 100 Hz they only cost time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ecgstudy.data.dataset import Prepared


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


class Feed:
    """The records of one fold on one device.

    batch(index [B]) -> signals float32 [B, L, T], scaled, and targets float32 [B, K].
    """

    def __init__(self, prepared: Prepared, rows: np.ndarray, targets: np.ndarray, scaling: Scaling, device: torch.device) -> None:
        self.record_ids = prepared.table["record_id"].to_numpy()[rows]
        self.signals = torch.from_numpy(np.ascontiguousarray(prepared.signals[rows])).to(device)
        self.targets = torch.from_numpy(targets[rows].astype(np.float32)).to(device)
        self.scaling = scaling

    def __len__(self) -> int:
        return len(self.signals)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        index = index.to(self.signals.device)
        signals = self.signals.index_select(0, index).float()
        return signals.sub_(self.scaling.mean).div_(self.scaling.deviation), self.targets.index_select(0, index)
