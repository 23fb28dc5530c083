"""A taught network between its teacher and the same network untaught: what the lesson closes of the gap, class by class.

All that is compared is paired: the same test records, the same seeds, the same bootstrap draws of patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecgstudy.evaluate.bootstrap import Interval, difference_p_value, holm, interval, patient_weights, weighted_auroc
from ecgstudy.study.comparison import Difference, Row

N_REPLICATES = 500
EVERY_CLASS = "all classes"

# row -> seed -> test AUROC of every class [1 + B, K], of the records as they are and then of each draw; NaN where it has no value
Scored = dict[str, dict[int, np.ndarray]]


@dataclass(frozen=True)
class ClassGap:
    """One class, or the mean of all: test AUROC of the teacher, of the student alone and of the taught student, means over seeds.

    gap: teacher minus alone. gain: taught minus alone. n_seeds: those that all three have.
    """

    name: str
    positives: int
    teacher: float
    alone: float
    taught: float
    gap: Interval
    gain: Interval
    n_seeds: int

    @property
    def share(self) -> float:
        """How much of the gap the lesson closed, 1 for all of it; NaN where the patients do not say that there is a gap."""
        return self.gain.estimate / self.gap.estimate if self.gap.low > 0 else float("nan")


def scored(rows: Sequence[Row], n_replicates: int = N_REPLICATES) -> Scored:
    """Every row's test AUROC by class, on the same draws of patients for all."""
    if not rows:
        return {}
    weights = patient_weights(rows[0].runs[0].predictions.test_patients, n_replicates, np.random.default_rng(0))
    weights = np.concatenate([np.ones((1, weights.shape[1])), weights])                         # [1 + B, R]
    found: Scored = {}
    for row in rows:
        found[row.value] = {}
        for run in row.runs:
            probability, targets = run.test_probability(), run.predictions.test_targets
            found[row.value][run.experiment.seed] = np.stack(
                [weighted_auroc(probability[:, k], targets[:, k], weights) for k in range(targets.shape[1])], axis=1)    # [1 + B, K]
    return found


def macro(by_class: np.ndarray) -> np.ndarray:
    """Mean over the classes that the fold can rank: [1 + B, K] -> [1 + B]; NaN for a draw that lost one of them."""
    ranked = ~np.isnan(by_class[0])
    return by_class[:, ranked].mean(axis=1) if ranked.any() else np.full(len(by_class), np.nan)


def common_seeds(measured: Scored, names: Sequence[str]) -> list[int]:
    """The seeds that every one of these rows has; none where a row is missing."""
    return sorted(set.intersection(*(set(measured.get(name, {})) for name in names)))


def differences(measured: Scored, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Difference]:
    """Macro-AUROC of the first row of each pair minus that of the second, p corrected over all the pairs that can be compared."""
    found = {}
    for pair in pairs:
        seeds = common_seeds(measured, pair)
        if seeds:
            found[pair] = np.array([macro(measured[pair[0]][seed]) - macro(measured[pair[1]][seed]) for seed in seeds])  # [S, 1 + B]
    corrected = holm([difference_p_value(each[:, 1:].mean(axis=0)) for each in found.values()])
    return {pair: Difference(interval(float(each[:, 0].mean()), each[:, 1:].mean(axis=0)), p, len(each),
                             bool((each[:, 0] > 0).all() or (each[:, 0] < 0).all()))
            for (pair, each), p in zip(found.items(), corrected, strict=True)}


def class_gaps(measured: Scored, teacher: str, alone: str, taught: str, test: Mapping) -> list[ClassGap]:
    """The mean of all classes, then every class in the task's order; empty where one of the three rows is missing or shares no seed.

    test: the test scores of any of the runs, for the classes and how many positives each has.
    """
    seeds = common_seeds(measured, (teacher, alone, taught))
    if not seeds:
        return []
    values = {name: np.mean([measured[name][seed] for seed in seeds], axis=0) for name in (teacher, alone, taught)}      # [1 + B, K]
    columns = [macro, *(lambda each, k=k: each[:, k] for k in range(len(test["classes"])))]
    named = zip((EVERY_CLASS, *test["classes"]), (sum(test["positives"]), *test["positives"]), columns, strict=True)
    return [_gap(name, positives, column(values[teacher]), column(values[alone]), column(values[taught]), len(seeds))
            for name, positives, column in named]


def _gap(name: str, positives: int, teacher: np.ndarray, alone: np.ndarray, taught: np.ndarray, n_seeds: int) -> ClassGap:
    """From values [1 + B] of the records as they are and of each draw."""
    gap, gain = teacher - alone, taught - alone
    return ClassGap(name, int(positives), float(teacher[0]), float(alone[0]), float(taught[0]), interval(float(gap[0]), gap[1:]),
                    interval(float(gain[0]), gain[1:]), n_seeds)
