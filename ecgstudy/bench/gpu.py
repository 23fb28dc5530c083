"""Training on a GPU: samples a second, the share of the card's own product rate, and the seconds of a whole run on PTB-XL."""

from __future__ import annotations

from pathlib import Path

import torch

from ecgstudy.bench import roofline
from ecgstudy.bench.rounds import Effort, interleave
from ecgstudy.bench.rows import Row
from ecgstudy.bench.training import PASSES, PTBXL_TRAINING, SIGNAL, Data, base_pair, our_step, plain_step, recipe
from ecgstudy.study.complexity import macs
from ecgstudy.study.profiles import profile

BATCHES = (64, 256, 1024)       # the recipe's own, and two for throughput
NOT_HERE = "not measured here: this machine has no CUDA device"


def measure(effort: Effort, folder: Path) -> list[Row]:
    """The base at full size in bf16, data resident; one row that says so where there is no GPU."""
    if not torch.cuda.is_available():
        return [Row("gpu", "base, full size: training", "records/s", skipped=NOT_HERE)]
    device = torch.device("cuda")
    data = Data.made(folder, 256 if effort.quick else 2048, device)
    model, _ = base_pair({})
    count = macs(model, SIGNAL)
    square, copy = roofline.square_product(device, torch.bfloat16), roofline.copy(device, 2048)
    return [row for batch in BATCHES[:1 if effort.quick else None] for row in _at(batch, count, data, square, copy, effort, device)]


def _at(batch: int, count: int, data: Data, square: roofline.Work, copy: roofline.Work, effort: Effort, device: torch.device) -> list[Row]:
    model, plain = base_pair({})
    experiment = recipe("inception_former", {}, batch)
    on_host = plain_step(_Moved(plain.to(device), device), experiment, data.dataset, batch)
    found = interleave({"ours": our_step(model, experiment, data.feed, batch, device), "plain": on_host, "square": square.call,
                        "copy": copy.call}, effort, device=device, least=0.2, desc=f"training on the GPU, batch {batch}")
    amount, seconds, told = PASSES * count * batch, found.median("ours"), f"base, full size, batch {batch}"
    epochs = profile("full").epochs
    whole_run = epochs * PTBXL_TRAINING * seconds / batch
    return [
        Row("gpu", f"{told}: a step", "records/s", batch / seconds, "plain: fp32, Conv1d, explicit softmax, DataLoader",
            batch / found.median("plain"), found.ratio("ours", "plain"),
            note=f"bf16; {epochs} epochs of PTB-XL's {PTBXL_TRAINING:,} training records: {whole_run:.0f} s; "
                 f"copies {copy.amount / found.median('copy') / 1e12:.2f} TB/s"),
        Row("gpu", f"{told}: share of the product rate (MFU)", "GMAC/s", amount / seconds / 1e9, "bf16 product of two large squares",
            square.amount / found.median("square") / 1e9, found.ratio("ours", "square", amount / square.amount), "share of the limit",
            note="by counted MACs, three passes a step, against the rate measured in the same rounds")]


class _Moved(torch.nn.Module):
    """A model that takes its batches to the device first, and its logits back, as a plain loop does."""

    def __init__(self, model: torch.nn.Module, device: torch.device) -> None:
        super().__init__()
        self.model, self.device = model, device

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x.to(self.device)).cpu()
