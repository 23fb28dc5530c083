"""A training step: the base network beside its plain form and beside the machine's own rate, and two families beside torch_ecg's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ecgstudy.bench import roofline
from ecgstudy.bench.peers import Absent, torch_ecg_network
from ecgstudy.bench.plain import PlainFormer, RecordDataset, batches, with_weights_of
from ecgstudy.bench.profiling import by_operator
from ecgstudy.bench.recordings import prepared_records
from ecgstudy.bench.rounds import Effort, interleave
from ecgstudy.bench.rows import Row
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study.complexity import macs
from ecgstudy.study.profiles import profile, supervised
from ecgstudy.train.acceleration import accelerated
from ecgstudy.train.experiment import Experiment
from ecgstudy.train.feed import Feed, fit_scaling
from ecgstudy.train.loop import n_steps
from ecgstudy.train.objectives import objective_of
from ecgstudy.train.optim import make_optimizer
from ecgstudy.train.seeds import scoped_seed
from ecgstudy.train.step import update

SIGNAL, N_CLASSES = SignalSpec(12, 1000, 100), 9
FASTER_THAN_PLAIN, SHARE_OF_PRODUCT = 1.3, 0.7
PASSES = 3                      # a step multiplies as much as three forward passes: one forward, two backward
FAMILIES = (("resnet18", {}, "resnet_18"), ("xresnet1d", {"depth": 50}, "resnet_50"))       # ours, its settings, torch_ecg's
CPU = torch.device("cpu")
PTBXL_TRAINING = 17_418         # records of folds 1 to 8 in version 1.0.3
BATCH, QUICK_BATCH = 8, 32      # records a step of the full and of the quick network


def measure(effort: Effort, folder: Path) -> list[Row]:
    """Every row of the suite; `folder` takes the simulated records."""
    data = Data.made(folder, 64 if effort.quick else 256)
    quick = dict(profile("quick").network)
    rows = [] if effort.quick else _base("base, full size", {}, BATCH, data, effort, judged=True)
    rows += _base("base, quick size", quick, QUICK_BATCH, data, effort, judged=False)
    return rows + [row for family in FAMILIES for row in _family(*family, data, effort)]


@dataclass(frozen=True)
class Data:
    """The same records for both sides: a resident feed, and what a per-record data set is made from."""

    feed: Feed
    dataset: RecordDataset

    @classmethod
    def made(cls, folder: Path, n_records: int, device: torch.device = CPU) -> Data:
        prepared = prepared_records(folder, n_records)
        rows = np.arange(n_records)
        targets = np.random.default_rng(0).integers(0, 2, (n_records, N_CLASSES)).astype(np.uint8)
        scaling = fit_scaling(prepared, rows)
        return cls(Feed(prepared, rows, targets, scaling, device), RecordDataset(np.array(prepared.signals), targets, scaling))


def our_step(model: nn.Module, experiment: Experiment, feed: Feed, batch_size: int,
             device: torch.device = CPU) -> Callable[[], object]:
    """One step of the study's own loop, batch and update, as a call that goes through the records again and again.

    On a GPU the network takes the form that the loop would choose for a whole run on PTB-XL.
    """
    model.to(device).train()
    optimizer, objective = make_optimizer(model, experiment), objective_of(experiment)
    network = accelerated(model, experiment, objective, feed, device, n_steps(experiment, PTBXL_TRAINING))
    generator = torch.Generator().manual_seed(0)

    def call() -> None:
        index = torch.randint(len(feed), (batch_size,), generator=generator)
        update(network, optimizer, objective, feed.batch(index), generator, experiment, device)

    return call


def plain_step(model: nn.Module, experiment: Experiment, dataset: RecordDataset, batch_size: int) -> Callable[[], object]:
    """The same step as one would write it: a DataLoader over records, and torch's AdamW as it comes."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=experiment.learning_rate, weight_decay=experiment.weight_decay)
    source = batches(dataset, batch_size)

    def call() -> None:
        signals, targets = next(source)
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(signals), targets).backward()
        optimizer.step()

    return call


def recipe(model: str, settings: dict, batch_size: int) -> Experiment:
    """The full profile's run of a network, with another batch."""
    return replace(supervised("synthetic", "", profile("full"), model, settings, 0), batch_size=batch_size)


def base_pair(settings: dict) -> tuple[nn.Module, PlainFormer]:
    """The base network and its plain form with the same weights."""
    with scoped_seed(0):
        model = build_model("inception_former", SIGNAL, N_CLASSES, **settings)
    sizes = {name: value for name, value in settings.items() if name in ("widths", "depths", "heads")}
    return model, with_weights_of(PlainFormer(SIGNAL.n_leads, N_CLASSES, **sizes), model)


def _base(name: str, settings: dict, batch_size: int, data: Data, effort: Effort, *, judged: bool) -> list[Row]:
    model, plain = base_pair(settings)
    experiment = recipe("inception_former", settings, batch_size)
    amount = PASSES * macs(model, SIGNAL) * batch_size                                      # multiply-accumulates of a step
    square = roofline.square_product(CPU)
    own = roofline.own_products(roofline.linear_shapes(model, torch.zeros(batch_size, 12, 1000)), CPU)
    ours = our_step(model, experiment, data.feed, batch_size)
    found = interleave({"ours": ours, "plain": plain_step(plain, experiment, data.dataset, batch_size), "square": square.call,
                        "own": own.call}, effort, least=0.0 if effort.quick else 0.3, desc=f"training step, {name}")
    seconds, rate = found.median("ours"), amount / found.median("ours") / 1e9
    missed = by_operator(ours) if judged else ()
    note = f"batch {batch_size}, {amount / PASSES / batch_size / 1e6:,.0f} M MACs a record forward"
    return [
        Row("training", f"{name}: a step", "records/s", batch_size / seconds, "plain: Conv1d, explicit softmax, DataLoader",
            batch_size / found.median("plain"), found.ratio("ours", "plain"), target=FASTER_THAN_PLAIN if judged else None, note=note,
            profile=missed),
        Row("training", f"{name}: a step against a large product", "GMAC/s", rate, "product of two large squares",
            square.amount / found.median("square") / 1e9, found.ratio("ours", "square", amount / square.amount), "share of the limit",
            SHARE_OF_PRODUCT if judged else None, note=note, profile=missed),
        Row("training", f"{name}: a step against its own products", "GMAC/s", rate, "the network's linear maps and nothing else",
            own.amount / found.median("own") / 1e9, found.ratio("ours", "own", amount / own.amount), "share of the limit", note=note)]


def _family(name: str, settings: dict, theirs: str, data: Data, effort: Effort) -> list[Row]:
    batch_size = BATCH
    told = f"{name}{settings.get('depth', '')}: a step, work done"
    with scoped_seed(0):
        model = build_model(name, SIGNAL, N_CLASSES, **settings)
    experiment = recipe(name, settings, batch_size)
    calls, peer_macs, skipped = {"ours": our_step(model, experiment, data.feed, batch_size)}, 0, ""
    try:
        other = torch_ecg_network(theirs, SIGNAL.n_leads, N_CLASSES)
        peer_macs = macs(other, SIGNAL)
        calls["peer"] = plain_step(other, experiment, data.dataset, batch_size)
    except Absent as absent:
        skipped = str(absent)
    found = interleave(calls, effort, least=0.0 if effort.quick else 0.3, desc=f"training step, {name}")
    own_macs = macs(model, SIGNAL)

    def rate(each: str, count: int) -> float:
        return PASSES * count * batch_size / found.median(each) / 1e9

    return [Row("training", told, "GMAC/s", rate("ours", own_macs), f"torch_ecg's {theirs} through a DataLoader",
                None if skipped else rate("peer", peer_macs), None if skipped else found.ratio("ours", "peer", own_macs / peer_macs),
                note=f"batch {batch_size}; forward {own_macs / 1e6:,.0f} M MACs a record here, {peer_macs / 1e6:,.0f} M there",
                skipped=skipped)]
