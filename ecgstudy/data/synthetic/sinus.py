"""Event lists of the rhythms that the sinus node leads, of fibrillation, and of beats that come early in a pattern.

Sources: McSharry et al. 2003 (sinus variability), Bachi et al. 2023 (ectopy).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ecgstudy.data.synthetic.events import LONGEST_LAG, Trace
from ecgstudy.data.synthetic.rhythm import AF, PAC, PAC_COUPLING, PVC, PVC_COUPLING, SHORTEST_RR, SINUS

LEAST_VARIATION = 0.125         # s between the longest and the shortest interval of a sinus arrhythmia
LEAST_IRREGULARITY = 0.12       # variation coefficient of the intervals that a record of fibrillation shows


def breathing_of(rng: np.random.Generator) -> tuple[float, float]:
    """Rate (Hz) and phase of the respiration."""
    return rng.uniform(0.15, 0.40), rng.uniform(0, 2 * np.pi)


def sinus_interval(rng: np.random.Generator, mean_rr: float, breathing: tuple[float, float],
                   respiratory: float) -> Callable[[float], float]:
    """PP interval as a function of time: respiratory and Mayer waves about the mean, and jitter; steadier when fast."""
    calm = float(np.clip((mean_rr - 0.3) / 0.5, 0.25, 1))
    mayer, mayer_rate, mayer_phase = calm * abs(rng.normal(0, 0.012)), rng.uniform(0.07, 0.13), rng.uniform(0, 2 * np.pi)

    def interval(t: float) -> float:
        breath = respiratory * np.sin(2 * np.pi * breathing[0] * t + breathing[1])
        slow = mayer * np.sin(2 * np.pi * mayer_rate * t + mayer_phase)
        return mean_rr * (1 + breath + slow + calm * 0.006 * rng.standard_normal())
    return interval


def trace_sinus(rng: np.random.Generator, rate: float, seconds: float, early: int = 0) -> Trace:
    """Sinus rhythm with its small respiratory variation; early: PAC or PVC for one or two such beats, 0 for none."""
    mean_rr, breathing = 60 / rate, breathing_of(rng)
    trace = Trace(mean_rr, breathing, compensated=bool(rng.random() < 0.6))
    interval = sinus_interval(rng, mean_rr, breathing, min(abs(rng.normal(0, 0.015)), 0.035) * np.clip(mean_rr / 0.8, 0.4, 1))
    trace.begin(rng)
    wanted = sorted(rng.uniform(1.2, seconds - 2.5, rng.integers(1, 3))) if early else []
    while trace.now < seconds + LONGEST_LAG:
        if wanted and trace.now > wanted[0] and trace.kind[-1] == SINUS:
            wanted.pop(0)
            _early_beat(rng, trace, early)
        else:
            trace.beat(interval(trace.now), SINUS)
    return trace


def trace_sinus_arrhythmia(rng: np.random.Generator, rate: float, seconds: float) -> Trace:
    """Intervals that follow the breath by 120 ms and more from the shortest to the longest that the record shows."""
    mean_rr = 60 / rate
    breathing = rng.uniform(0.14, 0.28), rng.uniform(0, 2 * np.pi)
    depth = rng.uniform(max(0.09, 0.08 / mean_rr), 0.16)
    while True:
        trace = Trace(mean_rr, breathing)
        interval = sinus_interval(rng, mean_rr, breathing, depth)
        trace.begin(rng)
        while trace.now < seconds + LONGEST_LAG:
            trace.beat(interval(trace.now), SINUS)
        shown = np.diff([r for r in trace.r if 0 <= r < seconds])
        if np.ptp(shown) > LEAST_VARIATION:
            return trace
        depth += 0.01


def trace_fibrillation(rng: np.random.Generator, rate: float, seconds: float, early: int = 0) -> Trace:
    """Independent gamma intervals, drawn anew where those shown happen to be regular; early: PVC for one or two, 0 for none."""
    while True:
        trace = _fibrillate(rng, rate, seconds, early)
        shown = np.diff([r for r in trace.r if 0 <= r < seconds])
        if shown.std() > LEAST_IRREGULARITY * shown.mean():
            return trace


def _fibrillate(rng: np.random.Generator, rate: float, seconds: float, early: int) -> Trace:
    mean_rr, shape = 60 / rate, 1 / rng.uniform(0.17, 0.30) ** 2
    trace = Trace(mean_rr, breathing_of(rng))
    trace.begin(rng, AF)
    wanted = sorted(rng.uniform(1.2, seconds - 2.5, rng.integers(1, 3))) if early else []
    while trace.now < seconds + LONGEST_LAG:
        if wanted and trace.now > wanted[0]:
            wanted.pop(0)
            trace.beat(max(mean_rr * rng.uniform(0.6, 0.8), SHORTEST_RR[PVC]), early)
        trace.beat(float(np.clip(mean_rr / shape * rng.standard_gamma(shape), SHORTEST_RR[AF], 2.2)), AF)
    return trace


def trace_pattern(rng: np.random.Generator, rate: float, seconds: float, period: int, early: int) -> Trace:
    """Every `period`-th beat a PAC or PVC: bigeminy (2) or trigeminy (3), at one coupling."""
    mean_rr, breathing = 60 / rate, breathing_of(rng)
    trace = Trace(mean_rr, breathing)
    interval = sinus_interval(rng, mean_rr, breathing, abs(rng.normal(0, 0.008)))
    coupling, pause = rng.uniform(*(PAC_COUPLING if early == PAC else PVC_COUPLING)), rng.uniform(1.08, 1.30)
    trace.begin(rng)
    turn = int(rng.integers(period))
    while trace.now < seconds + LONGEST_LAG:
        for _ in range(turn):
            trace.beat(interval(trace.now), SINUS)
        trace.beat(max(mean_rr * (coupling + 0.008 * rng.standard_normal()), SHORTEST_RR[early]), early)
        trace.beat(mean_rr * (pause + 0.01 * rng.standard_normal()), SINUS)
        turn = period - 2
    return trace


def _early_beat(rng: np.random.Generator, trace: Trace, early: int) -> None:
    """An early beat and the pause after it."""
    coupling = rng.uniform(*(PAC_COUPLING if early == PAC else PVC_COUPLING))
    rr = max(coupling * trace.mean_rr, SHORTEST_RR[early])
    trace.beat(rr, early)
    full = early == PVC and trace.compensated
    trace.beat(2 * trace.mean_rr - rr if full else trace.mean_rr * rng.uniform(1.0, 1.15), SINUS)


def slowest_rate(seconds: float, beats: float) -> float:
    """The rate (1/min) at which so many beats find room in the record."""
    return 60 * beats / (seconds - 0.3)
