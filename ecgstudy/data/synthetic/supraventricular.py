"""Event lists of the tachycardias that start above the ventricles, and of the rhythms that wander about the atria."""

from __future__ import annotations

import numpy as np

from ecgstudy.data.synthetic.events import FOCI, LONGEST_LAG, RETROGRADE_P, SINUS_P, Trace
from ecgstudy.data.synthetic.rhythm import ATRIAL, PAC, REENTRY, SHORTEST_RR, SINUS
from ecgstudy.data.synthetic.sinus import breathing_of, sinus_interval

# Onset of the retrograde P after the QRS onset (s). In the node's own circuit it ends the QRS (pseudo-r' in V1, pseudo-s below)
# or hides in it; over an accessory pathway it stands in the ST segment.
NODAL_LAG, HIDDEN_LAG, PATHWAY_LAG = (0.050, 0.065), (0.000, 0.020), (0.105, 0.150)
MECHANISMS, MECHANISM_SHARE = ("AVNRT", "hidden", "AVRT"), (0.4, 0.3, 0.3)


def retrograde_lag(rng: np.random.Generator, mechanism: str = "") -> float:
    """Seconds from QRS onset to the retrograde P of "AVNRT", "hidden" or "AVRT"; drawn where not given."""
    mechanism = mechanism or rng.choice(MECHANISMS, p=MECHANISM_SHARE)
    return rng.uniform(*{"AVNRT": NODAL_LAG, "hidden": HIDDEN_LAG, "AVRT": PATHWAY_LAG}[mechanism])


def trace_reentry(rng: np.random.Generator, rate: float, seconds: float, mechanism: str = "") -> Trace:
    """A sustained, regular, narrow tachycardia."""
    trace, lag = Trace(60 / rate, breathing_of(rng)), retrograde_lag(rng, mechanism)
    beat = trace.begin(rng, REENTRY)
    while trace.now < seconds + LONGEST_LAG:
        trace.wave(beat, lag, RETROGRADE_P)
        beat = trace.beat(trace.mean_rr * (1 + 0.004 * rng.standard_normal()), REENTRY)
    return trace


def trace_paroxysm(rng: np.random.Generator, rate: float, seconds: float) -> Trace:
    """Sinus rhythm; a PAC sets the tachycardia off; mostly it stops within the record, and a pause follows."""
    sinus_rr, breathing = rng.uniform(0.68, 0.95), breathing_of(rng)
    trace, lag = Trace(sinus_rr, breathing), retrograde_lag(rng)
    interval = sinus_interval(rng, sinus_rr, breathing, 0.01)
    start = rng.uniform(0.15, 0.35) * seconds
    stop = rng.uniform(start + 2.5, seconds - 1.2) if rng.random() < 0.75 else np.inf
    trace.begin(rng)
    while trace.now < start:
        trace.beat(interval(trace.now), SINUS)
    trace.beat(max(0.60 * sinus_rr, SHORTEST_RR[PAC]), PAC)
    while trace.now < min(stop, seconds + LONGEST_LAG):
        beat = trace.beat(60 / rate * (1 + 0.006 * rng.standard_normal()), REENTRY)
        trace.wave(beat, lag, RETROGRADE_P)
    trace.beat(sinus_rr * rng.uniform(1.1, 1.5), SINUS)
    while trace.now < seconds + LONGEST_LAG:
        trace.beat(interval(trace.now), SINUS)
    return trace


def trace_atrial_tachycardia(rng: np.random.Generator, rate: float, seconds: float) -> Trace:
    """One focus, regular, every P conducted."""
    trace, shape = Trace(60 / rate, breathing_of(rng)), int(rng.choice(FOCI))
    pr = min(rng.uniform(0.125, 0.18), 0.42 * trace.mean_rr)
    beat = trace.begin(rng, ATRIAL)
    while True:
        trace.wave(beat, -pr, shape)
        if trace.now > seconds + LONGEST_LAG:
            return trace
        beat = trace.beat(trace.mean_rr * (1 + 0.012 * rng.standard_normal()), ATRIAL)


def trace_multifocal(rng: np.random.Generator, rate: float, seconds: float) -> Trace:
    """Every beat from another place: three or more P shapes, changing PP and PR."""
    trace = Trace(60 / rate, breathing_of(rng))
    shapes = np.array([SINUS_P, *FOCI])
    beat = trace.begin(rng, ATRIAL)
    cycle: list[int] = []
    while True:
        cycle = cycle or list(rng.permutation(shapes))
        trace.wave(beat, -rng.uniform(0.125, min(0.19, 0.3 * trace.mean_rr + 0.02)), cycle.pop())
        if trace.now > seconds + LONGEST_LAG:
            return trace
        rr = trace.mean_rr * float(np.clip(1 + 0.17 * rng.standard_normal(), 0.62, 1.5))
        beat = trace.beat(max(rr, SHORTEST_RR[PAC]), ATRIAL)


def trace_atrial_runs(rng: np.random.Generator, rate: float, seconds: float) -> Trace:
    """Sinus rhythm that single early atrial beats and short runs from several foci keep breaking into."""
    mean_rr, breathing = 60 / rate, breathing_of(rng)
    trace = Trace(mean_rr, breathing)
    interval = sinus_interval(rng, mean_rr, breathing, 0.02)
    trace.begin(rng)
    n_early = 0
    while trace.now < seconds + LONGEST_LAG:
        for _ in range(rng.integers(1, 4)):
            trace.beat(interval(trace.now), SINUS)
        for _ in range(rng.choice([1, 2, 3, 4], p=[0.45, 0.15, 0.2, 0.2])):
            rr = max(mean_rr * rng.uniform(0.55, 0.72), SHORTEST_RR[PAC] + 0.02)
            beat = trace.beat(rr, ATRIAL)
            trace.wave(beat, -rng.uniform(0.125, 0.16), FOCI[n_early % 3])
            n_early += 1
        trace.beat(mean_rr * rng.uniform(1.0, 1.25), SINUS)
    return trace


def trace_wandering(rng: np.random.Generator, rate: float, seconds: float) -> Trace:
    """The pacemaker moves from the sinus node to a low atrial focus and back, over some beats; rate and PR change with it."""
    trace, other = Trace(60 / rate, breathing_of(rng)), int(rng.choice(FOCI))
    period, phase = rng.uniform(4.5, 6.0), rng.uniform(0, 2 * np.pi)
    beat = trace.begin(rng, ATRIAL)
    while True:
        low = 0.5 + 0.5 * np.sin(2 * np.pi * trace.now / period + phase)
        trace.wave(beat, -(0.165 - 0.04 * low), other if low > 0.5 else SINUS_P)
        if trace.now > seconds + LONGEST_LAG:
            return trace
        beat = trace.beat(trace.mean_rr * (0.96 + 0.08 * low + 0.01 * rng.standard_normal()), ATRIAL)
