"""Handing a batch to the network: the resident array beside loaders, beside a plain copy, and as a share of a training step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ecgstudy.bench.plain import batches
from ecgstudy.bench.profiling import by_function
from ecgstudy.bench.recordings import write_ptbxl
from ecgstudy.bench.rounds import Effort, interleave
from ecgstudy.bench.rows import Row
from ecgstudy.bench.training import N_CLASSES, QUICK_BATCH, SIGNAL, Data, base_pair, our_step, recipe
from ecgstudy.models import build_model
from ecgstudy.study.profiles import profile

BATCH = 64
MOST_OF_A_STEP = 0.02
NARROW = {"width": 16}          # a network so cheap that its supply weighs most


def measure(effort: Effort, folder: Path) -> list[Row]:
    """Every row of the suite; `folder` takes the simulated records."""
    n_records = 128 if effort.quick else 1024
    data = Data.made(folder, n_records)
    return _against_loaders(data, write_ptbxl(folder / "wfdb", n_records), effort) + _of_a_step(data, effort)


class WfdbDataset(Dataset):
    """A record is read with wfdb when it is asked for: (signal float32 [L, T] mV, target float32 [K])."""

    def __init__(self, folder: Path) -> None:
        self.records = [str(path.with_suffix("")) for path in sorted(folder.rglob("*.hea"))]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        import wfdb

        signal = wfdb.rdrecord(self.records[row]).p_signal
        return torch.from_numpy(np.ascontiguousarray(signal.T, np.float32)), torch.zeros(N_CLASSES)


def _our_batch(data: Data, size: int) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)
    return lambda: data.feed.batch(torch.randint(len(data.feed), (size,), generator=generator))


def _against_loaders(data: Data, folder: Path, effort: Effort) -> list[Row]:
    ours = _our_batch(data, BATCH)
    in_memory, from_files = batches(data.dataset, BATCH), batches(WfdbDataset(folder), BATCH)
    floats = data.feed.signals.float()
    order = torch.randperm(len(floats), generator=torch.Generator().manual_seed(1)).split(BATCH)
    target, turn = torch.empty(BATCH, *floats.shape[1:]), iter(range(10**9))

    def copy() -> None:
        torch.index_select(floats, 0, order[next(turn) % (len(order) - 1)], out=target)

    calls = {"ours": ours, "memory": lambda: next(in_memory), "files": lambda: next(from_files), "copy": copy}
    found = interleave(calls, effort, least=0.01 if effort.quick else 0.1, desc="batches")
    peers = (("memory", "from memory", "DataLoader over the same array"), ("files", "from files", "DataLoader over wfdb.rdrecord"))
    rows = [Row("supply", f"a batch of {BATCH}, theirs {where}", "batches/s", 1 / found.median("ours"), told, 1 / found.median(name),
                found.ratio("ours", name)) for name, where, told in peers]
    return [*rows, Row("supply", f"a batch of {BATCH}, a plain copy", "batches/s", 1 / found.median("ours"),
                       "the same records copied as float32, unscaled", 1 / found.median("copy"), found.ratio("ours", "copy"),
                       "share of the limit", note="ours reads int16, converts and scales")]


def _of_a_step(data: Data, effort: Effort) -> list[Row]:
    """Supplying a batch as a share of the whole step, for the base and for the fastest network that the study trains at quick size."""
    quick = dict(profile("quick").network)
    networks = {"base, quick size": (base_pair(quick)[0], recipe("inception_former", quick, QUICK_BATCH)),
                "resnet18, narrow": (build_model("resnet18", SIGNAL, N_CLASSES, **NARROW), recipe("resnet18", NARROW, QUICK_BATCH))}
    if not effort.quick:
        networks["base, full size"] = (base_pair({})[0], recipe("inception_former", {}, QUICK_BATCH))
    rows = []
    for name, (model, experiment) in networks.items():
        ours, step = _our_batch(data, QUICK_BATCH), our_step(model, experiment, data.feed, QUICK_BATCH)
        found = interleave({"step": step, "batch": ours}, effort, least=0.01 if effort.quick else 0.1, desc=f"share of a step, {name}")
        rows.append(Row("supply", f"share of a training step, {name}", "ms", 1000 * found.median("batch"), "the whole step",
                        1000 * found.median("step"), found.ratio("step", "batch"), "share of the step", MOST_OF_A_STEP, True,
                        note=f"batch {QUICK_BATCH}", profile=by_function(ours)))
    return rows
