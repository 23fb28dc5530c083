"""The listed P waves: what each looks like, how long it lasts, and when it comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgstudy.data.synthetic.events import FREE, RETROGRADE_P, Listed, none_listed
from ecgstudy.data.synthetic.morphology import ECTOPIC_P, Waves
from ecgstudy.data.synthetic.streams import log_normal

RETROGRADE = np.array([-0.01, -0.135, -0.10])       # mV: upwards from the node; negative in II, III, aVF, positive in V1
RETROGRADE_DURATION = 0.075                         # s: both atria from their middle
BEFORE_QRS = 0.015                                  # s from the end of a conducted P to the QRS


@dataclass(frozen=True)
class Atria:
    """waves: when, listed by beat. vector [R, A, 3] mV; duration [R, A] s."""

    waves: Listed
    vector: np.ndarray
    duration: np.ndarray

    def times(self, qrs_on: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Onset and end of each wave [R, A], s; NaN where there is none."""
        on = self.waves.times(qrs_on)
        return on, on + self.duration

    def lend(self, on: np.ndarray, off: np.ndarray, p_on: np.ndarray, p_off: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The beats' own P times [R, B] with those of the listed waves on, off [R, A] that precede their beat."""
        row, wave = np.nonzero((self.waves.beat != FREE) & (self.waves.offset < 0))
        beat = self.waves.beat[row, wave]
        p_on, p_off = p_on.copy(), p_off.copy()
        p_on[row, beat], p_off[row, beat] = on[row, wave], off[row, wave]
        return p_on, p_off


def no_atria(n: int) -> Atria:
    return Atria(none_listed(n), np.zeros((n, 0, 3)), np.zeros((n, 0)))


def draw_atria(rng: np.random.Generator, waves: Listed, shapes: Waves, p_duration: np.ndarray) -> Atria:
    """Each record's own variant of the sinus, ectopic and retrograde P; p_duration [R] s."""
    n = len(p_duration)
    foci = ECTOPIC_P * log_normal(rng, 0.15, (n, 1, 1)) + rng.normal(0, 0.010, (n, 3, 3))
    retrograde = RETROGRADE * log_normal(rng, 0.2, (n, 1)) + rng.normal(0, 0.010, (n, 3))
    table = np.concatenate([0.62 * (shapes.p_right + shapes.p_left)[:, None], foci, retrograde[:, None]], 1)     # [R, 5, 3]
    vector = np.take_along_axis(table, waves.shape[..., None], 1)
    usual = np.where(waves.shape == RETROGRADE_P, RETROGRADE_DURATION, 0.95 * p_duration[:, None])
    room = np.where((waves.beat != FREE) & (waves.offset < 0), -waves.offset - BEFORE_QRS, np.inf)
    return Atria(waves, vector, np.minimum(usual, room))
