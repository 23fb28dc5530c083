"""A pacemaker: its pulses, and the ventricle that it drives from the apex of the right one.

A pulse lasts less than a millisecond. What a recorder shows is the pulse after its low-pass, a little wider at 100 Hz than at
500 Hz and of the same area, so that both rates show the same record.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from ecgstudy.data.synthetic.events import FREE, LONGEST_LAG, SINUS_P, Listed, Trace
from ecgstudy.data.synthetic.morphology import Waves
from ecgstudy.data.synthetic.rhythm import ATRIAL, PACED
from ecgstudy.data.synthetic.streams import log_normal, truncated_normal

MODES, MODE_SHARE = ("VVI", "DDD", "AAI"), (0.40, 0.47, 0.13)
BEFORE_QRS, BEFORE_P = (0.004, 0.030), (0.004, 0.025)       # s from pulse to wave
APEX = np.array([0.44, -0.72, 0.68])        # mV: the paced QRS, like a left bundle branch block with a superior axis
QRS_PACED = (164, 10, 150, 195)             # ms
INVISIBLE = 0.30                            # share of records whose pulses the recorder does not show
SPREAD = 0.0022                             # s: SD of the pulse after the low-pass near 100 Hz that every recorder has
SLOW_SPREAD = 0.65                          # samples: SD after the low-pass that slow sampling needs


@dataclass(frozen=True)
class Pacing:
    """pulses: when, listed by beat; vector [R, 3] in mV: the peak a fast recorder shows along X, Y, Z."""

    pulses: Listed
    vector: np.ndarray


def draw_pulse_vector(rng: np.random.Generator, n: int) -> np.ndarray:
    """Peaks of 0 to 2 mV [R, 3], from the apex up and away, nearly a third of them invisible."""
    size = rng.uniform(0.15, 2.0, (n, 1)) * (rng.random((n, 1)) >= INVISIBLE)
    direction = np.array([-0.45, -0.85, 0.25]) + rng.normal(0, 0.2, (n, 3))
    return size * direction / np.linalg.norm(direction, axis=1, keepdims=True)


def apply_apex(rng: np.random.Generator, waves: Waves, paced: np.ndarray) -> tuple[Waves, np.ndarray]:
    """The waves with the ventricular beats of `paced` [R] records from the apex, T discordant; and QRS durations [R] in s."""
    n = len(paced)
    first = (APEX + rng.normal(0, 0.10, (n, 3))) * log_normal(rng, 0.20, (n, 1))
    second = 0.45 * first + rng.normal(0, 0.12, (n, 3))
    t = -0.27 * (first + 0.4 * second) * log_normal(rng, 0.15, (n, 1))
    paced = paced[:, None]
    waves = dataclasses.replace(waves, pvc_first=np.where(paced, first, waves.pvc_first),
                                pvc_second=np.where(paced, second, waves.pvc_second), pvc_t=np.where(paced, t, waves.pvc_t))
    return waves, truncated_normal(rng, *QRS_PACED, n) / 1000


def trace_paced(rng: np.random.Generator, rate: float, seconds: float, fibrillates: bool) -> Trace:
    """Constant pacing of the ventricle alone (always so where the atria fibrillate), of both chambers, or of the atrium alone."""
    mode = "VVI" if fibrillates else rng.choice(MODES, p=MODE_SHARE)
    trace = Trace(60 / rate, (rng.uniform(0.15, 0.4), rng.uniform(0, 2 * np.pi)))
    kind = ATRIAL if mode == "AAI" else PACED
    delay, to_qrs, to_p = rng.uniform(0.15, 0.20), rng.uniform(*BEFORE_QRS), rng.uniform(*BEFORE_P)
    beat = trace.begin(rng, kind)
    while True:
        if mode != "VVI":
            trace.wave(beat, -delay, SINUS_P)
            trace.spike(beat, -delay - to_p)
        if mode != "AAI":
            trace.spike(beat, -to_qrs)
        if trace.now > seconds + LONGEST_LAG:
            break
        beat = trace.beat(trace.mean_rr, kind)
    if mode == "VVI" and not fibrillates:                   # the sinus node goes on, unheard
        own, t = trace.mean_rr * rng.uniform(0.75, 0.95), trace.r[0] + rng.random()
        while t < seconds + LONGEST_LAG:
            trace.wave(FREE, t, SINUS_P)
            t += own * (1 + rng.normal(0, 0.01))
    return trace


def render_pulses(pacing: Pacing, times: np.ndarray, fs: int, n_samples: int) -> np.ndarray:
    """float32 [R, 3, T]; times [R, A] of the pulses in s, NaN where none."""
    spread = max(SPREAD, SLOW_SPREAD / fs)
    result = np.zeros((len(times), 3, n_samples), np.float32)
    reach = int(np.ceil(5 * spread * fs))
    for row, place in zip(*np.nonzero(np.isfinite(times) & pacing.vector.any(1)[:, None]), strict=True):
        centre = round(times[row, place] * fs)
        sample = np.arange(max(centre - reach, 0), min(centre + reach + 1, n_samples))
        shape = SPREAD / spread * np.exp(-0.5 * ((sample / fs - times[row, place]) / spread) ** 2)
        result[row, :, sample] += (pacing.vector[row] * shape[:, None]).astype(np.float32)
    return result
