"""The one threshold rule: for each class, the threshold with the best F1 on the validation fold, applied once to test."""

from __future__ import annotations

import numpy as np

DEFAULT = 0.5       # where validation holds no positive of a class, there is nothing to fit


def best_f1_threshold(probability: np.ndarray, target: np.ndarray) -> float:
    """The threshold that maximises F1 over every distinct cut of `probability` [R]; decisions are `probability > threshold`.

    Among equal F1 the highest threshold wins (fewest alarms). Returns DEFAULT where `target` [R] has no positive.
    """
    target = np.asarray(target) > 0
    if not target.any():
        return DEFAULT
    order = np.argsort(-probability, kind="stable")
    ranked, hits = probability[order], np.cumsum(target[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + target.sum())
    cuts = np.flatnonzero(np.append(ranked[:-1] > ranked[1:], True))      # a cut must not part equal probabilities
    best = cuts[np.argmax(f1[cuts])]
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    middle = (ranked[best] + below) / 2
    return float(middle if below <= middle < ranked[best] else below)


def fit_thresholds(probability: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """One threshold a class [K] from validation probabilities and targets [R, K]."""
    return np.array([best_f1_threshold(p, t) for p, t in zip(probability.T, targets.T, strict=True)])
