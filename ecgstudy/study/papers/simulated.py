"""A page's network asked on simulated records, because only there are the rhythm, the beats and the waves known to the sample.

A network that was trained on recordings meets them in the scale of its training records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecgstudy.data.dataset import MILLIVOLT
from ecgstudy.data.synthetic import Simulation, simulate
from ecgstudy.errors import require_known
from ecgstudy.leads import LEADS
from ecgstudy.models import build_model
from ecgstudy.study.axis_page import SIGNAL, Comparison
from ecgstudy.study.ledger import Run
from ecgstudy.study.paper_page import trained, whose_weights
from ecgstudy.train.feed import Scaling
from ecgstudy.train.seeds import scoped_seed

SEED = 4                    # of no record that a page trains on
WAVES = {"P": ("p_on", "p_off"), "QRS": ("qrs_on", "qrs_off"), "T": ("t_on", "t_off")}
WAVE_COLOURS = {"P": "#2e9e5b", "QRS": "#e08a00", "T": "#2f7fd0"}


@dataclass(frozen=True, eq=False)
class Subject:
    """The network of a page, the same network untrained, and the records that both are asked about.

    run: whose weights `model` has; None where they are fresh. x: [R, L, T], the simulation's signals as the network is fed them.
    classes: the names of the logits.
    """

    model: Any
    untrained: Any
    run: Run | None
    simulation: Simulation
    x: Tensor
    classes: tuple[str, ...]

    @property
    def weights(self) -> str:
        """Whose weights a picture shows, for its title."""
        return whose_weights(self.run)

    def with_label(self, label: str) -> list[int]:
        """The records that carry this label and no other."""
        k = self.simulation.classes.index(require_known("label", label, self.simulation.classes))
        labels = self.simulation.labels
        return [int(row) for row in np.flatnonzero((labels[:, k] == 1) & (labels.sum(axis=1) == 1))]

    def trace(self, row: int, lead: str = "II") -> np.ndarray:
        """One lead of a record in millivolts, [T]."""
        return self.simulation.signals[row, LEADS.index(lead)]

    def r_peaks(self, row: int) -> np.ndarray:
        """The seconds of a record's R-peaks, those inside the record."""
        beats = self.simulation.beats
        times = beats.loc[beats["record"] == row, "r"].to_numpy(float)
        return times[(times >= 0) & (times < SIGNAL.seconds)]


def subject(found: Comparison, indices: Sequence[int], seed: int = SEED) -> Subject:
    """The page's network with the weights of its first run, or fresh ones where none are at hand, and these simulated records."""
    page = found.page
    model, run = trained(found)
    classes = tuple(found.rows[0].runs[0].result["data"]["classes"])
    settings = page.axis.variants[page.axis.name].all_settings(page.request.size)
    with scoped_seed(run.experiment.seed if run else 0):            # the weights that this very run began with
        untrained = build_model(page.axis.name, SIGNAL, len(classes), **settings).eval()
    simulation = simulate(seed, indices, fs=SIGNAL.fs)
    return Subject(model, untrained, run, simulation, in_scale(simulation, run), classes)


def in_scale(simulation: Simulation, run: Run | None) -> Tensor:
    """The signals [R, L, T] scaled as `run` scales its training records; by their own mean and deviation where there is no run."""
    microvolts = simulation.signals * MILLIVOLT
    scaling = Scaling(**run.result["training"]["scaling"]) if run else Scaling(float(microvolts.mean()), float(microvolts.std()))
    return torch.from_numpy(((microvolts - scaling.mean) / scaling.deviation).astype(np.float32))


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
