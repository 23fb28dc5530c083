"""The embedded simulator: 12-lead ECGs with known ground truth, of the nine CPSC2018 classes or, by scheme, of rhythms.

A record is a function of the seed and its index. Waves are bumps of a heart dipole, seen through a lead matrix; noise is made
per electrode; so wave boundaries are exact and the limb leads keep their identities. It needs only NumPy and pandas.

    simulation = simulate(seed=0, indices=range(64))
    simulation.signals        # [64, 12, 1000] mV
    simulation.masks()        # [64, 9, 1000]: when each label shows

    simulate(0, range(64), settings=Settings(scheme="rhythms"))       # PTB-XL's rhythm statements; "chapman": Chapman-Shaoxing's
    render(without(parameters, "f_waves"))                            # the same record, one feature removed

Numbers that come from these records come from simulated data, and every report must say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecgstudy.data.synthetic.interventions import without
from ecgstudy.data.synthetic.parameters import Parameters, draw_parameters
from ecgstudy.data.synthetic.render import render
from ecgstudy.data.synthetic.schemes import classes_of
from ecgstudy.data.synthetic.settings import Settings
from ecgstudy.data.synthetic.timing import time_beats
from ecgstudy.data.synthetic.truth import beat_table, event_table, lead_sets, parameter_table, rasterise, span_table

__all__ = ["Parameters", "Settings", "Simulation", "classes_of", "draw_parameters", "render", "simulate", "without"]


@dataclass(frozen=True)
class Simulation:
    """Simulated records and what is true of them.

    signals: float32 [R, L=12, T] mV. labels: uint8 [R, K], true, of the scheme's `classes`; noisy_labels: some replaced.
    leads: bool [R, K, 12], which leads show each label. beats, spans, parameters, events (atrial ones and pacing pulses): tables,
    see `truth`; their column `record` is a row of the arrays here.
    """

    fs: int
    signals: np.ndarray
    labels: np.ndarray
    noisy_labels: np.ndarray
    leads: np.ndarray
    beats: pd.DataFrame
    spans: pd.DataFrame
    parameters: pd.DataFrame
    events: pd.DataFrame
    classes: tuple[str, ...]

    def masks(self) -> np.ndarray:
        """bool [R, K, T]: the samples that show each label.

        With `leads` the full mask is masks[:, :, None] & leads[..., None], [R, K, 12, T].
        """
        return rasterise(self.spans, len(self.signals), self.fs, self.signals.shape[2], self.classes)


def simulate(seed: int, indices: Sequence[int] | np.ndarray, *, fs: int = 100, seconds: float = 10.0,
             settings: Settings = Settings()) -> Simulation:
    """The records `indices` of the data set that `seed` and `settings` define; which others are asked for does not matter.

    Raises ConfigurationError for a negative seed or index, fewer than 6 seconds, or fs below 100 Hz.
    """
    indices = np.asarray(indices, dtype=np.int64)
    parameters = draw_parameters(seed, indices, settings, seconds)
    beats = time_beats(parameters)
    return Simulation(fs, render(parameters, fs), parameters.labels.astype(np.uint8), parameters.noisy_labels.astype(np.uint8),
                      lead_sets(parameters), beat_table(parameters, beats), span_table(parameters, beats),
                      parameter_table(parameters, beats), event_table(parameters, beats), classes_of(settings.scheme))
