"""Does a curve over time stand high where the evidence is? Scores against known spans, record by record, and what is attainable.

The outer `EDGE` seconds are left out, because padding makes maps swell there. Samples within `TOLERANCE` of a span's end are neither in
nor out for the ranking, and a maximum there is a hit. A wider tolerance would let an R-peak pass for the PR interval before it.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from ecgstudy.errors import DataError
from ecgstudy.explain.attention import to_samples, to_tokens

EDGE, TOLERANCE = 0.4, 0.02     # s


def counted(inside: np.ndarray, fs: int) -> np.ndarray:
    """bool [R, T]: the samples that are scored. inside: bool [R, T], what lies in a span."""
    there = np.ones_like(inside)
    edge = round(EDGE * fs)
    there[:, :edge], there[:, inside.shape[1] - edge:] = False, False
    return there


def widened(inside: np.ndarray, fs: int) -> np.ndarray:
    """The spans with the tolerance on both sides."""
    found = inside.copy()
    for step in range(1, round(TOLERANCE * fs) + 1):
        found[:, step:] |= inside[:, :-step]
        found[:, :-step] |= inside[:, step:]
    return found


def auroc(curve: np.ndarray, inside: np.ndarray, fs: int) -> np.ndarray:
    """The chance that a sample in a span stands higher than one outside, ties half: [R], NaN where a record lacks a side.

    curve: [R, T]; inside: bool [R, T].
    """
    _check(curve, inside)
    there, near = counted(inside, fs), widened(inside, fs)
    found = np.full(len(curve), np.nan)
    for row, (values, yes) in enumerate(zip(curve, inside, strict=True)):
        used = there[row] & (yes | ~near[row])
        n, positive = int(used.sum()), int(yes[used].sum())
        if 0 < positive < n:
            ranks = rankdata(values[used])[yes[used]]
            found[row] = (ranks.mean() - (positive + 1) / 2) / (n - positive)
    return found


def pointing(curve: np.ndarray, inside: np.ndarray, fs: int) -> np.ndarray:
    """Whether the highest sample lies in a span: [R] of 0 or 1, between them where several are level; NaN without a span to hit."""
    _check(curve, inside)
    there, near = counted(inside, fs), widened(inside, fs)
    values = np.where(there, curve, -np.inf)
    top = values == values.max(axis=1, keepdims=True)
    hit = (top & near).sum(axis=1) / top.sum(axis=1)
    return np.where((there & inside).any(axis=1), hit, np.nan)


def chance_of_pointing(inside: np.ndarray, fs: int) -> np.ndarray:
    """What `pointing` gives a place drawn at random: [R]."""
    there, near = counted(inside, fs), widened(inside, fs)
    return (there & near).sum(axis=1) / there.sum(axis=1)


def best_at(inside: np.ndarray, seconds_per_token: float, fs: int, n_tokens: int) -> np.ndarray:
    """The curve [R, T] of a map that knows the spans and has but tokens to say so: its score is the ceiling of that resolution."""
    return to_samples(to_tokens(inside.astype(float), seconds_per_token, fs, n_tokens), seconds_per_token, fs, inside.shape[1])


def of_another(curves: np.ndarray) -> np.ndarray:
    """For each record the curve of the next one, the last gets the first's: the control for what does not depend on the record."""
    return np.roll(curves, 1, axis=0)


def _check(curve: np.ndarray, inside: np.ndarray) -> None:
    if curve.shape != inside.shape or curve.ndim != 2 or inside.dtype != bool:
        raise DataError(f"a curve of shape {curve.shape} and spans of {inside.dtype} {inside.shape}; give both as [R, T], spans as bool")
