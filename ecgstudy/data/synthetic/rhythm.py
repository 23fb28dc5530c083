"""When the heart beats: the R times and what kind of beat each is.

Sinus rhythm breathes (respiratory and Mayer waves); atrial fibrillation draws independent gamma intervals; ectopic beats
come early and are followed by a pause. Sources: McSharry et al. 2003 (sinus variability), Bachi et al. 2023 (ectopy).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgstudy.data.synthetic.labels import COLUMN, Person
from ecgstudy.data.synthetic.streams import sometimes, truncated_normal

SINUS, AF, PAC, PVC, FLUTTER, PACED, REENTRY, ATRIAL = range(8)
# flutter: conducted flutter wave; paced: from the ventricular lead; reentry: of a supraventricular circuit; atrial: from a focus.
KINDS = ("sinus", "AF", "PAC", "PVC", "flutter", "paced", "reentry", "atrial")
VENTRICULAR = (PVC, PACED)

# Mean rate, SD, limits (1/min); the first that a record carries, else OTHER.
HEART_RATE = {"AF": (94, 26, 45, 165), "I-AVB": (69, 13, 46, 105), "Normal": (75, 11, 60, 99)}
OTHER_RATE = (75, 15, 45, 125)
SHORTEST_RR = {AF: 0.33, PAC: 0.36, PVC: 0.38}      # s; keeps a QRS off the previous T peak
PAC_COUPLING, LATE_PAC_COUPLING, PVC_COUPLING = (0.58, 0.78), (0.78, 0.88), (0.55, 0.80)    # x sinus RR


@dataclass(frozen=True)
class Rhythm:
    """Beats [R, B], of which the outer ones lie outside the record.

    r: R time (s). rr: interval before it (s). kind: index into KINDS. sinus_rr: mean interval [R]. compensated [R]: the
    pause after a PVC is fully compensatory. breath: sine of the respiration at each beat.
    """

    r: np.ndarray
    rr: np.ndarray
    kind: np.ndarray
    sinus_rr: np.ndarray
    compensated: np.ndarray
    breath: np.ndarray

    @property
    def next_rr(self) -> np.ndarray:
        """The interval after each beat (s); the last one repeats its own."""
        return np.concatenate([self.rr[:, 1:], self.rr[:, -1:]], 1)


def draw_rhythm(rng: np.random.Generator, labels: np.ndarray, person: Person, sinus_arrhythmia: np.ndarray, seconds: float,
                hard: float) -> Rhythm:
    """The beats of each record, labels [R, 9], over `seconds`; sinus_arrhythmia [R]: an unlabelled look-alike."""
    n = len(labels)
    af, pac, pvc = (labels[:, COLUMN[name]] for name in ("AF", "PAC", "PVC"))
    mean_rr = 60 / np.maximum(_heart_rate(rng, labels), 360 / (seconds - 0.5))      # room for two ectopic beats
    n_beats = int(np.ceil(seconds / SHORTEST_RR[AF])) + 4
    start = -rng.random(n) * mean_rr - 0.2
    breathing = rng.uniform(0.15, 0.40, (n, 1)), rng.uniform(0, 2 * np.pi, (n, 1))  # Hz, phase

    sinus = _sinus_intervals(rng, mean_rr, n_beats, person, sinus_arrhythmia, breathing)
    rr = np.where(af[:, None], _fibrillation_intervals(rng, mean_rr, n_beats, hard), sinus)
    ectopic = _place_ectopics(rng, pac, pvc, start[:, None] + np.cumsum(rr, 1) - rr[:, :1], seconds)
    compensated = rng.random(n) < 0.6
    rr = _time_ectopics(rng, rr, ectopic, mean_rr[:, None], af[:, None], compensated[:, None], hard)

    r = start[:, None] + np.cumsum(rr, 1) - rr[:, :1]
    kind = np.where(ectopic > 0, ectopic, np.where(af, AF, SINUS)[:, None])
    return Rhythm(r, rr, kind, mean_rr, compensated & ~af, np.sin(2 * np.pi * breathing[0] * r + breathing[1]))


def _heart_rate(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Mean rate [R] per minute."""
    rate = truncated_normal(rng, *OTHER_RATE, len(labels))
    for name in reversed(HEART_RATE):
        rate = np.where(labels[:, COLUMN[name]], truncated_normal(rng, *HEART_RATE[name], len(labels)), rate)
    return rate


def _sinus_intervals(rng: np.random.Generator, mean_rr: np.ndarray, n_beats: int, person: Person, arrhythmia: np.ndarray,
                     breathing: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """RR [R, B] = mean (1 + respiratory wave, weaker with age + Mayer wave near 0.1 Hz + jitter)."""
    n = len(mean_rr)
    respiratory = np.abs(rng.normal(0, 0.030, n)) * np.clip((90 - person.age) / 45, 0.25, 1.4)
    respiratory = np.where(arrhythmia, rng.uniform(0.06, 0.13, n), respiratory)[:, None]
    mayer = np.abs(rng.normal(0, 0.020, (n, 1)))
    mayer_rate, mayer_phase = rng.uniform(0.07, 0.13, (n, 1)), rng.uniform(0, 2 * np.pi, (n, 1))
    t = np.arange(n_beats) * mean_rr[:, None]
    return mean_rr[:, None] * (1 + respiratory * np.sin(2 * np.pi * breathing[0] * t + breathing[1])
                               + mayer * np.sin(2 * np.pi * mayer_rate * t + mayer_phase) + rng.normal(0, 0.006, (n, n_beats)))


def _fibrillation_intervals(rng: np.random.Generator, mean_rr: np.ndarray, n_beats: int, hard: float) -> np.ndarray:
    """RR [R, B]: independent gamma draws, right-skewed, CV 0.17 to 0.30 (borderline 0.10 to 0.15)."""
    n = len(mean_rr)
    cv = sometimes(rng, 0.15 * hard, rng.uniform(0.17, 0.30, n), rng.uniform(0.10, 0.15, n))
    draws = rng.standard_gamma(np.broadcast_to(1 / cv[:, None] ** 2, (n, n_beats)))
    return np.clip(draws * (mean_rr * cv ** 2)[:, None], SHORTEST_RR[AF], 2.2)


def _place_ectopics(rng: np.random.Generator, pac: np.ndarray, pvc: np.ndarray, r: np.ndarray, seconds: float) -> np.ndarray:
    """PAC, PVC or 0 for each beat [R, B]: one to three of them well inside the record, or bigeminy or trigeminy.

    Only every second beat may be ectopic, so that each follows a normal beat that the record shows.
    """
    n, n_beats = r.shape
    k = np.arange(n_beats)
    inside = np.zeros_like(r, bool)
    inside[:, 2:] = (r[:, 1:-1] > 0.2) & (r[:, 2:] < seconds - 0.6)
    slot = inside & (k % 2 == 0)
    rank = np.where(slot, rng.random((n, n_beats)), -1).argsort(1)[:, ::-1].argsort(1)      # 0: the first to be chosen
    wanted = rng.choice([1, 2, 3], n, p=[0.5, 0.3, 0.2])
    both = pac & pvc
    chosen = slot & (rank < np.where(both, 2, wanted)[:, None])
    step = sometimes(rng, 0.65, np.full(n, 3), np.full(n, 2))
    periodic = (rng.random(n) < 0.15) & ~both
    chosen = np.where(periodic[:, None], inside & (k % step[:, None] == 2 % step[:, None]), chosen)
    kind = np.where(both[:, None], np.where(rank == 0, PAC, PVC), np.where(pac, PAC, PVC)[:, None])
    return np.where(chosen & (pac | pvc)[:, None], kind, 0)


def _time_ectopics(rng: np.random.Generator, rr: np.ndarray, ectopic: np.ndarray, mean_rr: np.ndarray, af: np.ndarray,
                   compensated: np.ndarray, hard: float) -> np.ndarray:
    """RR [R, B] with the early beats early, and the pause after each."""
    size = rr.shape
    late = rng.random(size) < 0.25 * hard
    pac_rr = mean_rr * np.where(late, rng.uniform(*LATE_PAC_COUPLING, size), rng.uniform(*PAC_COUPLING, size))
    pvc_rr = mean_rr * rng.uniform(*PVC_COUPLING, size)
    early = np.where(ectopic == PAC, np.maximum(pac_rr, SHORTEST_RR[PAC]), np.maximum(pvc_rr, SHORTEST_RR[PVC]))
    early = np.where(af, np.clip(rr, SHORTEST_RR[PVC], early), early)
    reset = np.where(ectopic == PAC, rng.uniform(1.0, 1.12, size), rng.uniform(1.0, 1.25, size)) * mean_rr
    pause = np.where((ectopic == PVC) & compensated, 2 * mean_rr - early, reset)

    timed = np.where(ectopic > 0, early, rr)
    after = (ectopic[:, :-1] > 0) & ~af
    timed[:, 1:] = np.where(after, pause[:, :-1], timed[:, 1:])
    return timed
