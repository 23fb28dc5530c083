"""A page's network asked on simulated records, because only there is it known to the sample where P, QRS and T begin and end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecgstudy.data.dataset import MILLIVOLT
from ecgstudy.data.synthetic import Simulation, simulate
from ecgstudy.models import build_model
from ecgstudy.study.axis_page import SIGNAL, Comparison
from ecgstudy.study.paper_page import trained, whose_weights
from ecgstudy.train.feed import Scaling
from ecgstudy.train.seeds import scoped_seed

SEED = 4
WAVES = {"P": ("p_on", "p_off"), "QRS": ("qrs_on", "qrs_off"), "T": ("t_on", "t_off")}
WAVE_COLOURS = {"P": "#2e9e5b", "QRS": "#e08a00", "T": "#2f7fd0"}


@dataclass(frozen=True)
class Subject:
    """The network of a page, the same network untrained, and the records that both are asked about.

    weights: whose weights `model` has, in words. x: [R, L, T], the simulation's signals as the network is fed them. classes: the
    names of the logits.
    """

    model: Any
    untrained: Any
    weights: str
    simulation: Simulation
    x: Tensor
    classes: tuple[str, ...]


def subject(found: Comparison, n_records: int) -> Subject:
    """The page's network with the weights of its first run, or fresh ones where none are at hand, and simulated records.

    A trained network meets the records in the scale of its training records.
    """
    page = found.page
    model, run = trained(found)
    classes = tuple(found.rows[0].runs[0].result["data"]["classes"])
    settings = page.axis.variants[page.axis.name].all_settings(page.request.size)
    with scoped_seed(run.experiment.seed if run else 0):            # the weights that this very run began with
        untrained = build_model(page.axis.name, SIGNAL, len(classes), **settings).eval()
    simulation = simulate(SEED, range(n_records), fs=SIGNAL.fs)
    microvolts = simulation.signals * MILLIVOLT
    scaling = Scaling(**run.result["training"]["scaling"]) if run else Scaling(float(microvolts.mean()), float(microvolts.std()))
    x = torch.from_numpy(((microvolts - scaling.mean) / scaling.deviation).astype(np.float32))
    return Subject(model, untrained, whose_weights(run), simulation, x, classes)


def wave_masks(simulation: Simulation) -> dict[str, np.ndarray]:
    """For P, QRS and T, and for the rest, the samples [R, T] that belong to them."""
    n_records, n_samples = len(simulation.signals), simulation.signals.shape[-1]
    masks = {}
    for wave, (on, off) in WAVES.items():
        mask = np.zeros((n_records, n_samples), bool)
        for record, begin, end in simulation.beats[["record", on, off]].dropna().itertuples(index=False):
            mask[int(record), max(0, round(begin * simulation.fs)):max(0, round(end * simulation.fs)) + 1] = True
        masks[wave] = mask
    return masks | {"rest": ~np.logical_or.reduce(list(masks.values()))}


def named(simulation: Simulation, record: int) -> str:
    """The classes of one record, in words."""
    return ", ".join(name for name, there in zip(simulation.classes, simulation.labels[record], strict=True) if there)
