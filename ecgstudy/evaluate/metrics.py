"""Scores of one set of predictions. A class absent from the fold scores NaN, never 0, and a macro mean says over how many it ran.

"Accuracy" is always one of two: `label_accuracy`, the share of single label decisions that are right, or `subset_accuracy`,
the share of records whose whole label set is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import average_precision_score, roc_auc_score

from ecgstudy.errors import DataError


@dataclass(frozen=True)
class Scores:
    """Scores over R records and K classes. Per-class lists follow `classes`; NaN marks a class that the fold lacks."""

    classes: tuple[str, ...]
    n_records: int
    positives: tuple[int, ...]
    auroc: tuple[float, ...]
    average_precision: tuple[float, ...]
    f1: tuple[float, ...]
    macro_auroc: float
    macro_average_precision: float
    macro_f1: float
    label_accuracy: float
    subset_accuracy: float
    n_scored_classes: int


def probabilities(logits: np.ndarray, multilabel: bool) -> np.ndarray:
    """Logits [R, K] -> probabilities [R, K]: a sigmoid a class for multi-label tasks, else one softmax over the classes."""
    logits = np.asarray(logits, np.float64)
    return expit(logits) if multilabel else softmax(logits, axis=1)


def decisions(probability: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
    """Probabilities [R, K] -> decisions [R, K] (bool): above each class's threshold, or the largest where there are none."""
    if thresholds is None:
        return probability.argmax(axis=1)[:, None] == np.arange(probability.shape[1])
    return probability > np.asarray(thresholds)


def f1_score(decided: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """F1 of each class [K], 2 TP / (2 TP + FP + FN); NaN where the targets have no positive."""
    true_positive = (decided & (targets > 0)).sum(axis=0)
    total = decided.sum(axis=0) + (targets > 0).sum(axis=0)
    present = (targets > 0).any(axis=0)
    return np.where(present, 2 * true_positive / np.maximum(total, 1), np.nan)


def nanmean(values: np.ndarray) -> float:
    """Mean over the classes that have a score; NaN, without a warning, where none has."""
    values = np.asarray(values, np.float64)
    return float(values[~np.isnan(values)].mean()) if (~np.isnan(values)).any() else float("nan")


def score(logits: np.ndarray, targets: np.ndarray, classes: tuple[str, ...], multilabel: bool,
          thresholds: np.ndarray | None) -> Scores:
    """All scores of one fold.

    logits, targets: [R, K]; thresholds: [K] probabilities for a multi-label task, None for a single-label one (the largest
    probability decides). Raises DataError where a logit is not finite or the shapes differ.
    """
    logits, targets = np.asarray(logits), np.asarray(targets)
    if logits.shape != targets.shape or logits.shape[1] != len(classes):
        raise DataError(f"logits {logits.shape} and targets {targets.shape} do not belong to {len(classes)} classes")
    if not np.isfinite(logits).all():
        raise DataError(f"{int((~np.isfinite(logits)).any(axis=1).sum())} of {len(logits)} records have logits that are not finite")
    probability = probabilities(logits, multilabel)
    decided = decisions(probability, thresholds)
    positives = targets.sum(axis=0).astype(int)
    mixed = (positives > 0) & (positives < len(targets))
    auroc, precision = np.full((2, len(classes)), np.nan)
    for k in np.flatnonzero(mixed):
        auroc[k] = roc_auc_score(targets[:, k], probability[:, k])
        precision[k] = average_precision_score(targets[:, k], probability[:, k])
    f1 = f1_score(decided, targets)
    right = decided == (targets > 0)
    return Scores(tuple(classes), len(targets), tuple(positives.tolist()), tuple(auroc.tolist()), tuple(precision.tolist()),
                  tuple(f1.tolist()), nanmean(auroc), nanmean(precision), nanmean(f1),
                  float(right.mean()), float(right.all(axis=1).mean()), int(mixed.sum()))
