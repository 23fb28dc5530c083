"""Patient-level bootstrap: intervals for a score, and paired differences between models on the same draws.

Patients, not recordings, are drawn with replacement, because two recordings of one patient are not independent. A draw is
a vector of whole-number weights a record, so a replicate re-weights scores that were sorted once instead of sorting anew.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ecgstudy.evaluate.metrics import decisions

CHUNK = 256         # replicates that are held in memory at once


@dataclass(frozen=True)
class Interval:
    """A point estimate with a two-sided percentile interval and how many replicates gave a value."""

    estimate: float
    low: float
    high: float
    n_replicates: int


def patient_weights(patients: np.ndarray, n_replicates: int, generator: np.random.Generator) -> np.ndarray:
    """Draws with replacement: weights [n_replicates, R], how often each record's patient was drawn."""
    _, index = np.unique(np.asarray(patients), return_inverse=True)
    n = int(index.max()) + 1
    counts = generator.multinomial(n, np.full(n, 1 / n), size=n_replicates)
    return counts[:, index].astype(np.float64)


def weighted_auroc(score: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC of one class under each row of weights [B, R] -> [B]; ties count half; NaN where a draw lacks a side.

    AUROC = sum over positives of (weight of negatives below + half of those level) / (weight of positives x of negatives).
    """
    _, level = np.unique(score, return_inverse=True)
    order = np.argsort(level, kind="stable")
    starts = np.flatnonzero(np.diff(level[order], prepend=-1))
    weights = weights[:, order]
    positive = np.add.reduceat(weights * (target[order] > 0), starts, axis=1)          # weight at each distinct score
    negative = np.add.reduceat(weights * (target[order] <= 0), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    won = (positive * (below + negative / 2)).sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def weighted_f1(decided: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 of each class under each row of weights [B, R] -> [B, K]; NaN where a draw has no positive of the class."""
    positive = (targets > 0).astype(np.float64)
    hits = weights @ (decided * positive)
    total = weights @ decided.astype(np.float64) + weights @ positive
    present = weights @ positive > 0
    return np.divide(2 * hits, total, out=np.full(hits.shape, np.nan), where=present)


def replicate_decisions(decided: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """`accuracy`, `macro_recall` and `macro_precision` of single-label decisions [R, K] (bool, one a record) under each draw:
    {name: [B]}. A class that is never decided for has precision 0; a draw that lost a class of the fold is NaN.
    """
    positive = (targets > 0).astype(np.float64)
    present = positive.any(axis=0)
    hits = (weights @ (decided * positive))[:, present]
    truths, calls = (weights @ positive)[:, present], (weights @ decided.astype(np.float64))[:, present]
    recall = np.divide(hits, truths, out=np.full(hits.shape, np.nan), where=truths > 0)
    precision = np.where(truths > 0, np.divide(hits, calls, out=np.zeros(hits.shape), where=calls > 0), np.nan)
    return {"accuracy": weights @ (decided == (targets > 0)).all(axis=1) / weights.sum(axis=1), "macro_recall": recall.mean(axis=1),
            "macro_precision": precision.mean(axis=1)}


def replicate_scores(probability: np.ndarray, targets: np.ndarray, thresholds: np.ndarray | None,
                     weights: np.ndarray, metrics: Collection[str] = ("macro_auroc", "macro_f1")) -> dict[str, np.ndarray]:
    """`macro_auroc` and `macro_f1` of one model under each draw, or one of them alone: {name: [B]}.

    A draw that lost a class of the fold is NaN: its mean over the remaining classes would be another quantity, and would bend the
    interval towards them. Classes that the fold itself lacks are left out of every draw.
    """
    decided = decisions(probability, thresholds)
    positives = (targets > 0).sum(axis=0)
    ranked, present = (positives > 0) & (positives < len(targets)), positives > 0
    found: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    for start in range(0, len(weights), CHUNK):
        chunk = weights[start:start + CHUNK]
        if "macro_auroc" in found:
            auroc = [weighted_auroc(probability[:, k], targets[:, k], chunk) for k in np.flatnonzero(ranked)]
            found["macro_auroc"].append(np.mean(auroc, axis=0) if auroc else np.full(len(chunk), np.nan))
        if "macro_f1" in found:
            found["macro_f1"].append(weighted_f1(decided[:, present], targets[:, present], chunk).mean(axis=1))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def interval(estimate: float, replicates: np.ndarray, level: float = 0.95) -> Interval:
    """The percentile interval of `replicates` [B] around an estimate; NaN replicates are left out and counted."""
    valid = replicates[~np.isnan(replicates)]
    if not len(valid):
        return Interval(estimate, float("nan"), float("nan"), 0)
    low, high = np.quantile(valid, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), len(valid))


def difference_p_value(differences: np.ndarray) -> float:
    """Two-sided p of "no difference" from paired replicate differences [B]: twice the smaller tail, with the +1 correction."""
    valid = differences[~np.isnan(differences)]
    if not len(valid):
        return float("nan")
    tail = min((valid <= 0).sum(), (valid >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(valid) + 1)))


def told_apart(estimates: np.ndarray, replicates: np.ndarray, level: float = 0.95) -> np.ndarray:
    r"""Which of M estimates [M] differ, all pairs asked at once: bool [M, M]. replicates: [M, B], of the same draws.

    A pair differs where $|d_{ij}| > q\,s_{ij}$: $s_{ij}$ is the deviation of its replicates, and $q$ the `level` quantile over draws of
    the largest $|d^*_{ij} - \bar d^*_{ij}| / s_{ij}$ of all pairs, so that a wrong pair anywhere is as rare as `level` says (the
    single-step maximum method of Westfall and Young, 1993). A pair that never varies differs where its difference is not zero.
    """
    valid = replicates[:, ~np.isnan(replicates).any(axis=0)]
    first, second = np.triu_indices(len(estimates), k=1)
    differences, drawn = estimates[first] - estimates[second], valid[first] - valid[second]          # [P], [P, B]
    if not drawn.size:
        return np.zeros((len(estimates),) * 2, bool)
    deviations = drawn.std(axis=1)
    moved = np.abs(drawn - drawn.mean(axis=1, keepdims=True))
    studentised = np.divide(moved, deviations[:, None], out=np.zeros_like(moved), where=deviations[:, None] > 0)
    found = np.zeros((len(estimates),) * 2, bool)
    found[first, second] = np.abs(differences) > np.quantile(studentised.max(axis=0), level) * deviations
    return found | found.T


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down correction; NaN stays NaN and does not count as a comparison (Holm 1979)."""
    adjusted = [float("nan")] * len(p_values)
    ranked = sorted((p, i) for i, p in enumerate(p_values) if not np.isnan(p))
    largest = 0.0
    for rank, (p, i) in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - rank) * p))
        adjusted[i] = largest
    return adjusted
