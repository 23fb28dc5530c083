"""Compare the runs of one axis: means over seeds, patient-bootstrap intervals, paired differences with Holm's correction.

All runs of a comparison must have been tested on the same records; each bootstrap draw is applied to all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecgstudy.errors import ConfigurationError, DataError
from ecgstudy.evaluate.bootstrap import Interval, difference_p_value, holm, interval, patient_weights, replicate_scores
from ecgstudy.study.ledger import Run
from ecgstudy.train.experiment import Experiment

METRICS = ("macro_auroc", "macro_f1")
SIGNIFICANT, FEWEST_SEEDS = 0.05, 3


@dataclass(frozen=True)
class Measured:
    """One metric of one value of the axis: interval of the mean over seeds, SD over seeds (NaN for one), and each seed's score."""

    interval: Interval
    deviation: float
    by_seed: dict[int, float]


@dataclass(frozen=True)
class Difference:
    """A value minus the baseline on the same test records and the seeds that both have; `p_holm` is corrected over the axis."""

    interval: Interval
    p_holm: float
    n_seeds: int
    same_sign: bool         # every seed points the same way

    @property
    def verdict(self) -> str:
        """better, worse or undecided. Fewer than three seeds never decide: how far another seed would move the score is not known."""
        decided = self.n_seeds >= FEWEST_SEEDS and self.same_sign and self.p_holm < SIGNIFICANT
        return ("better" if self.interval.estimate > 0 else "worse") if decided else "undecided"


@dataclass(frozen=True)
class Row:
    """One value of the axis, with its runs, its two metrics, and its difference to the baseline in each (None for itself)."""

    value: str
    runs: tuple[Run, ...]
    measured: dict[str, Measured]
    difference: dict[str, Difference | None]


def compare(runs: Sequence[Run], names: Mapping[Experiment, str], baseline: str, n_replicates: int = 1000) -> list[Row]:
    """Rows in the order in which names first appear.

    names: what each experiment is called in the table; the seeds of one value share a name. Raises ConfigurationError where runs
    of several data sets, tasks or profiles are mixed, DataError where test records differ.
    """
    if not runs:
        return []
    kinds = {(r.experiment.dataset, r.experiment.task, r.experiment.profile) for r in runs}
    if len(kinds) > 1:
        raise ConfigurationError(f"a table never mixes data sets, tasks or profiles; these runs have {sorted(kinds)}")
    first = runs[0].predictions
    for run in runs:
        if not np.array_equal(run.predictions.test_records, first.test_records):
            raise DataError(f"run {run.key[:12]} was tested on other records than {runs[0].key[:12]}; prepare the data once and run "
                            "both again")
    weights = patient_weights(first.test_patients, n_replicates, np.random.default_rng(0))
    groups: dict[str, dict[int, Run]] = {}
    for run in runs:
        groups.setdefault(names[run.experiment], {})[run.experiment.seed] = run
    replicates = {value: {seed: replicate_scores(run.test_probability(), run.predictions.test_targets, run.thresholds, weights)
                          for seed, run in group.items()} for value, group in groups.items()}
    differences = {metric: _differences(groups, replicates, baseline, metric) for metric in METRICS}
    return [Row(value, tuple(group.values()), {metric: _measure(group, replicates[value], metric) for metric in METRICS},
                {metric: differences[metric].get(value) for metric in METRICS}) for value, group in groups.items()]


def _score(run: Run, metric: str) -> float:
    value = run.result["scores"]["test"][metric]
    return float("nan") if value is None else value


def _measure(group: dict[int, Run], replicates: dict[int, dict[str, np.ndarray]], metric: str) -> Measured:
    by_seed = {seed: _score(run, metric) for seed, run in group.items()}
    values = np.array(list(by_seed.values()))
    draws = np.mean([replicates[seed][metric] for seed in group], axis=0)
    deviation = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return Measured(interval(float(values.mean()), draws), deviation, by_seed)


def _differences(groups: dict[str, dict[int, Run]], replicates: dict[str, dict[int, dict[str, np.ndarray]]], baseline: str,
                 metric: str) -> dict[str, Difference]:
    others = [value for value in groups if value != baseline and baseline in groups and set(groups[value]) & set(groups[baseline])]
    found = {}
    for value in others:
        seeds = sorted(set(groups[value]) & set(groups[baseline]))
        points = np.array([_score(groups[value][s], metric) - _score(groups[baseline][s], metric) for s in seeds])
        draws = np.mean([replicates[value][s][metric] - replicates[baseline][s][metric] for s in seeds], axis=0)
        found[value] = (seeds, points, draws)
    corrected = holm([difference_p_value(draws) for _, _, draws in found.values()])
    return {value: Difference(interval(float(points.mean()), draws), p, len(seeds), bool((points > 0).all() or (points < 0).all()))
            for (value, (seeds, points, draws)), p in zip(found.items(), corrected, strict=True)}
