"""A forward pass without gradients: the base network beside its plain form, one record and a batch at a time."""

from __future__ import annotations

from pathlib import Path

import torch

from ecgstudy.bench.rounds import Effort, interleave
from ecgstudy.bench.rows import Row
from ecgstudy.bench.training import SIGNAL, base_pair
from ecgstudy.study.complexity import example_input, macs
from ecgstudy.study.profiles import profile

BATCHES = (1, 32)


def measure(effort: Effort, folder: Path) -> list[Row]:
    """One row for each batch and size; `folder` is not needed."""
    sizes = {"base, quick size": dict(profile("quick").network)} | ({} if effort.quick else {"base, full size": {}})
    rows = []
    for name, settings in sizes.items():
        model, plain = (each.eval() for each in base_pair(settings))
        count = macs(model, SIGNAL)
        for batch in BATCHES:
            x = example_input(model, SIGNAL, batch)
            with torch.inference_mode():
                found = interleave({"ours": lambda x=x, model=model: model(x), "plain": lambda x=x, plain=plain: plain(x)}, effort,
                                   least=0.02 if effort.quick else 0.3, desc=f"inference, {name}, batch {batch}")
            rows.append(Row("inference", f"{name}: batch {batch}", "records/s", batch / found.median("ours"),
                            "plain: Conv1d, explicit softmax", batch / found.median("plain"), found.ratio("ours", "plain"),
                            note=f"{count * batch / found.median('ours') / 1e9:.1f} GMAC/s"))
    return rows
