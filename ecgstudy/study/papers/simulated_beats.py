"""Simulated records as a bag of R-peak beats whose kinds are known: what the pages of networks that read beats look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ecgstudy.data.beats import find_beats
from ecgstudy.data.synthetic import Simulation, simulate
from ecgstudy.models.heartbeats import locate
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.ledger import Run
from ecgstudy.study.papers.simulated import SEED, in_scale

NEAR = 0.1                  # seconds between a detected beat and the true one that it is
KINDS = ("sinus", "PAC", "PVC", "AF")
COLOURS = {"sinus": "#222222", "PAC": "#2e9e5b", "PVC": "#b3541e", "AF": "#1f5fa8", "": "#9a9a9a"}


@dataclass(frozen=True, eq=False)
class SimulatedBeats:
    """R records. x: [R, L, T], the signals in a network's scale. peaks: [R, S], -1 where there is none. kinds: [R, S] of KINDS, or ""."""

    simulation: Simulation
    x: Tensor
    peaks: Tensor
    kinds: np.ndarray

    @property
    def held(self) -> np.ndarray:
        """Which slots hold a beat, [R, S]."""
        return (self.peaks >= 0).numpy()

    def detected(self) -> tuple[int, int, int]:
        """True beats inside the records, how many of them were found, and detections that are none."""
        at, inside = self.simulation.beats, SIGNAL.n_samples / SIGNAL.fs
        true = at[(at["r"] > 0) & (at["r"] < inside)]
        found = sum(bool((np.abs(self.peaks[record].numpy() / SIGNAL.fs - r) < NEAR).any()) for record, r in
                    zip(true["record"], true["r"], strict=True))
        return len(true), found, int((self.kinds[self.held] == "").sum())

    def record_of_many_kinds(self) -> int:
        """The first record with the most kinds of beat, sinus beats among them."""
        kinds = [set(row[held]) - {""} for row, held in zip(self.kinds, self.held, strict=True)]
        return int(np.argmax([len(each) if "sinus" in each else 0 for each in kinds]))


def simulated_beats(run: Run | None, n_records: int, most: int) -> SimulatedBeats:
    """Simulated records in the scale of `run`'s training records (their own, where there is no run), with the beats that are found.

    most: slots of a record.
    """
    simulation = simulate(SEED, range(n_records), fs=SIGNAL.fs)
    x = in_scale(simulation, run)
    found = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(find_beats(each, SIGNAL.fs)) for each in simulation.signals],
                                            batch_first=True, padding_value=-1)
    peaks = locate(x, found, SIGNAL.fs, most)
    return SimulatedBeats(simulation, x, peaks, _kinds(simulation, peaks))


def _kinds(simulation: Simulation, peaks: Tensor) -> np.ndarray:
    """The kind of the true beat at each detected one, "" where none is near."""
    kinds = np.full(peaks.shape, "", dtype=object)
    for record, beats in simulation.beats.groupby("record"):
        apart = np.abs(peaks[record].numpy()[:, None] / simulation.fs - beats["r"].to_numpy())         # [S, beats]
        near = (apart.min(axis=1) < NEAR) & (peaks[record].numpy() >= 0)
        kinds[record, near] = beats["kind"].to_numpy(str)[apart.argmin(axis=1)[near]]
    return kinds
