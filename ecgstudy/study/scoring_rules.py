"""Scoring rules applied to one set of stored predictions: how thresholds and epoch are chosen, and what looking at test adds.

A rule whose name begins with `oracle_` lets the test fold choose. Its twin makes the same kind of choice without test, and
the difference between the two on the same records is the oracle's optimism.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ecgstudy.evaluate.bootstrap import Interval, interval, patient_weights, replicate_scores, weighted_f1
from ecgstudy.evaluate.metrics import decisions, f1_score, nanmean, probabilities
from ecgstudy.evaluate.thresholds import DEFAULT, fit_thresholds
from ecgstudy.study.ledger import Run

Decide = Callable[[Run, np.ndarray], np.ndarray]        # a run and test rows [r] -> decisions [r, K]

CUTS = np.arange(1, 100) / 100      # where one threshold for all classes is looked for
SHARES = (0.25, 0.5, 1.0)           # of the test patients
PROTOCOL = "protocol"


@dataclass(frozen=True)
class Rule:
    """One scoring rule. epoch, thresholds: how each is chosen, in words. twin: for an oracle, the rule that it is held against.
    watched: it needs the test fold after every epoch."""

    epoch: str
    thresholds: str
    decide: Decide
    twin: str = ""
    watched: bool = False


@dataclass(frozen=True)
class Scored:
    """Macro-F1 under one rule, mean over seeds, with intervals over patients; differences are paired (None: with itself)."""

    score: Interval
    against_protocol: Interval | None
    optimism: Interval | None
    n_seeds: int


def macro_f1(decided: np.ndarray, targets: np.ndarray) -> float:
    """Mean F1 over the classes that `targets` [R, K] hold."""
    return nanmean(f1_score(decided, targets))


def one_threshold(probability: np.ndarray, targets: np.ndarray) -> float:
    """The one threshold for all classes, among CUTS, with the best macro-F1 over [R, K]; the highest of equals."""
    positive = targets > 0
    present = positive.any(axis=0)
    if not present.any():
        return DEFAULT
    decided = probability[:, present] > CUTS[::-1, None, None]                            # [cuts, R, present]
    hits = (decided & positive[:, present]).sum(axis=1)
    f1 = 2 * hits / (decided.sum(axis=1) + positive[:, present].sum(axis=0))
    return float(CUTS[::-1][f1.mean(axis=1).argmax()])


def epoch_probability(run: Run) -> np.ndarray:
    """Test probabilities [E, R, K] after every epoch of a watched run. The chosen epoch's are the final predictions, not their
    half-precision copy."""
    multilabel = run.experiment.labels.multilabel
    found = np.stack([probabilities(logits, multilabel) for logits in run.predictions.oracle_epoch_logits])
    found[run.result["training"]["best_epoch"] - 1] = run.test_probability()
    return found


def _protocol(run: Run, rows: np.ndarray) -> np.ndarray:
    return decisions(run.test_probability()[rows], run.thresholds)


def _fixed(run: Run, rows: np.ndarray) -> np.ndarray:
    return run.test_probability()[rows] > DEFAULT


def _one(run: Run, rows: np.ndarray) -> np.ndarray:
    stored = run.predictions
    return run.test_probability()[rows] > one_threshold(probabilities(stored.validation_logits, True), stored.validation_targets)


def _oracle_one(run: Run, rows: np.ndarray) -> np.ndarray:
    probability = run.test_probability()[rows]
    return probability > one_threshold(probability, run.predictions.test_targets[rows])


def _oracle_per_class(run: Run, rows: np.ndarray) -> np.ndarray:
    probability = run.test_probability()[rows]
    return probability > fit_thresholds(probability, run.predictions.test_targets[rows])


def _best_epoch(run: Run, rows: np.ndarray, decide: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Decisions [r, K] of the epoch whose decisions score best on the rows."""
    found = [decide(probability) for probability in epoch_probability(run)[:, rows]]
    return max(found, key=lambda decided: macro_f1(decided, run.predictions.test_targets[rows]))


def _oracle_epoch(run: Run, rows: np.ndarray) -> np.ndarray:
    thresholds = np.full(len(run.experiment.labels.classes), DEFAULT) if run.experiment.labels.multilabel else None
    return _best_epoch(run, rows, lambda probability: decisions(probability, thresholds))


def _oracle_epoch_one(run: Run, rows: np.ndarray) -> np.ndarray:
    targets = run.predictions.test_targets[rows]
    return _best_epoch(run, rows, lambda probability: probability > one_threshold(probability, targets))


RULES = {
    PROTOCOL: Rule("validation", "one a class, validation", _protocol),
    "fixed": Rule("validation", "0.5 for all", _fixed),
    "one": Rule("validation", "one for all, validation", _one),
    "oracle_one": Rule("validation", "one for all, test", _oracle_one, twin="one"),
    "oracle_per_class": Rule("validation", "one a class, test", _oracle_per_class, twin=PROTOCOL),
    "oracle_epoch": Rule("test", "0.5 for all", _oracle_epoch, twin="fixed", watched=True),
    "oracle_epoch_one": Rule("test", "one for all, test", _oracle_epoch_one, twin="one", watched=True),
}
SINGLE_LABEL = {        # the largest probability decides: there is no threshold to choose
    PROTOCOL: Rule("validation", "none: the largest probability", _protocol),
    "oracle_epoch": Rule("test", "none: the largest probability", _oracle_epoch, twin=PROTOCOL, watched=True),
}       # a twin is looked up in RULES, whose protocol decides in the same way


def rules_of(runs: Sequence[Run], watched: Sequence[Run]) -> dict[str, tuple[Rule, Sequence[Run]]]:
    """The rules that the runs' task allows, each with the runs that it can be applied to; rules without runs are left out."""
    everything = [*runs, *watched]
    rules = RULES if not everything or everything[0].experiment.labels.multilabel else SINGLE_LABEL
    chosen = {name: (rule, watched if rule.watched else runs) for name, rule in rules.items()}
    return {name: (rule, given) for name, (rule, given) in chosen.items() if given}


def score_rules(runs: Sequence[Run], watched: Sequence[Run], n_replicates: int = 1000) -> dict[str, Scored]:
    """Macro-F1 on test under every rule; for an oracle on watched runs, protocol and twin are those of the watched runs.

    An interval says how the score moves with the patients once the choice is made: thresholds and epochs are not chosen anew in
    each bootstrap draw. All runs must have been tested on the same records.
    """
    chosen = rules_of(runs, watched)
    if not chosen:
        return {}
    weights = _weights((runs or watched)[0], n_replicates)
    return {name: _scored(rule, given, weights) for name, (rule, given) in chosen.items()}


def _weights(run: Run, n_replicates: int) -> np.ndarray:
    return patient_weights(run.predictions.test_patients, n_replicates, np.random.default_rng(0))


def _scored(rule: Rule, runs: Sequence[Run], weights: np.ndarray) -> Scored:
    point, draws = _measure(rule, runs, weights)

    def against(other: str) -> Interval | None:
        if not other:
            return None
        other_point, other_draws = _measure(RULES[other], runs, weights)
        return interval(point - other_point, draws - other_draws)

    return Scored(interval(point, draws), None if rule.decide is _protocol else against(PROTOCOL), against(rule.twin), len(runs))


def _measure(rule: Rule, runs: Sequence[Run], weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Macro-F1 on the whole test fold and under each draw of its patients [B], mean over runs."""
    points, draws = [], []
    for run in runs:
        targets = run.predictions.test_targets
        decided, present = rule.decide(run, np.arange(len(targets))), targets.any(axis=0)
        points.append(macro_f1(decided, targets))
        draws.append(weighted_f1(decided[:, present], targets[:, present], weights).mean(axis=1))
    return float(np.mean(points)), np.mean(draws, axis=0)


def epoch_auroc(watched: Sequence[Run], n_replicates: int = 1000) -> tuple[Interval, Interval]:
    """Macro-AUROC, which needs no threshold: of the epoch chosen on validation, and how much the best epoch on test adds."""
    weights = _weights(watched[0], n_replicates)
    points, draws = [], []                                                                # [seeds, 2], [seeds, 2, B]
    for run in watched:
        targets = run.predictions.test_targets
        once = np.ones((1, len(targets)))
        epochs = epoch_probability(run)
        scores = [_auroc(probability, targets, once)[0] for probability in epochs]
        pair = run.result["training"]["best_epoch"] - 1, int(np.argmax(scores))
        points.append([scores[epoch] for epoch in pair])
        draws.append([_auroc(epochs[epoch], targets, weights) for epoch in pair])
    (chosen, best), (chosen_draws, best_draws) = np.mean(points, axis=0), np.mean(draws, axis=0)
    return interval(float(chosen), chosen_draws), interval(float(best - chosen), best_draws - chosen_draws)


def _auroc(probability: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return replicate_scores(probability, targets, np.full(targets.shape[1], DEFAULT), weights)["macro_auroc"]


def optimism_by_size(runs: Sequence[Run], watched: Sequence[Run], n_draws: int = 20) -> dict[str, list[np.ndarray]]:
    """For each oracle rule its optimism where only a share of the test patients is there to choose on and to be scored on.

    {rule: [draws] for each of SHARES}, mean over seeds. Patients are drawn without replacement, the same for every rule; the
    whole fold is one draw.
    """
    oracles = {name: (rule, given) for name, (rule, given) in rules_of(runs, watched).items() if rule.twin}
    found: dict[str, list[np.ndarray]] = {name: [] for name in oracles}
    generator = np.random.default_rng(0)
    for share in SHARES if oracles else ():
        draws = [_draw((runs or watched)[0], share, generator) for _ in range(n_draws if share < 1 else 1)]
        for name, (rule, given) in oracles.items():
            found[name].append(np.array([_optimism(rule, given, rows) for rows in draws]))
    return found


def _draw(run: Run, share: float, generator: np.random.Generator) -> np.ndarray:
    """Test rows of a share of the patients."""
    patients = np.unique(run.predictions.test_patients)
    drawn = generator.permutation(patients)[:max(1, round(share * len(patients)))]
    return np.flatnonzero(np.isin(run.predictions.test_patients, drawn))


def _optimism(rule: Rule, runs: Sequence[Run], rows: np.ndarray) -> float:
    twin = RULES[rule.twin]
    return float(np.mean([macro_f1(rule.decide(run, rows), run.predictions.test_targets[rows])
                          - macro_f1(twin.decide(run, rows), run.predictions.test_targets[rows]) for run in runs]))
