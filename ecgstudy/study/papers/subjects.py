"""A paper's trained network beside simulated records, of which the rhythm, the beats and the waves are known.

A network that was trained on recordings meets them in the scale of its training records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ecgstudy.data.dataset import MILLIVOLT
from ecgstudy.data.synthetic import Simulation, simulate
from ecgstudy.errors import require_known
from ecgstudy.leads import LEADS
from ecgstudy.study.axis_page import SIGNAL, Comparison
from ecgstudy.study.ledger import Run
from ecgstudy.study.paper_page import trained, whose_weights
from ecgstudy.train.feed import Scaling


@dataclass(frozen=True, eq=False)
class Subject:
    """The network of a page and the records that it is asked about.

    run: whose weights these are; None where they are fresh. x: [R, L, T], the simulation's signals as the network is fed them.
    """

    model: nn.Module
    run: Run | None
    simulation: Simulation
    x: Tensor

    @property
    def whose(self) -> str:
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


def subject(found: Comparison, seed: int, indices: Sequence[int]) -> Subject:
    """The page's network with the weights of its first run, or fresh ones where none are at hand, and these simulated records."""
    model, run = trained(found)
    simulation = simulate(seed, indices, fs=SIGNAL.fs)
    microvolts = simulation.signals * MILLIVOLT
    scaling = Scaling(**run.result["training"]["scaling"]) if run else Scaling(float(microvolts.mean()), float(microvolts.std()))
    scaled = ((microvolts - scaling.mean) / scaling.deviation).astype(np.float32)
    return Subject(model, run, simulation, torch.from_numpy(scaled))
