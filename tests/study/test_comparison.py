"""Differences are paired and corrected, and one seed never earns the word "better"."""

import dataclasses

import numpy as np
import pytest

from ecgstudy.errors import ConfigurationError, DataError
from ecgstudy.evaluate.metrics import score
from ecgstudy.study import comparison, tables
from ecgstudy.study.ledger import Predictions, Run, scores_to_json

N, CLASSES = 400, ("Normal", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")


def made(experiment, attention, seed, skill, patients=None):
    """A run whose logits separate the classes by `skill`."""
    targets = np.eye(9, dtype=np.uint8)[np.arange(N) % 9]
    logits = (skill * targets + np.random.default_rng([seed, len(attention)]).normal(size=targets.shape)).astype(np.float32)
    ids = np.arange(N).astype(str)
    predictions = Predictions(logits, targets, ids, logits, targets, ids, ids if patients is None else patients)
    thresholds = np.full(9, 0.5)
    found = scores_to_json(score(logits, targets, CLASSES, True, thresholds))
    e = dataclasses.replace(experiment, seed=seed, settings=(("attention", attention),))
    run = Run({"key": f"{attention}{seed}", "experiment": e.to_json(), "thresholds": thresholds.tolist(),
               "scores": {"test": found, "validation": found},
               "data": {"classes": list(CLASSES), "n_training": 1, "n_validation": N, "n_test": N}}, None)
    run.__dict__["predictions"] = predictions
    return run


def test_a_real_difference_over_seeds_is_called_and_noise_is_not(experiment):
    found = [made(experiment, name, seed, skill) for seed in range(3) for name, skill in (("mhsa", 1.5), ("hilo", 2.5), ("window", 1.5))]
    rows = {row.value: row for row in comparison.compare(found, "attention", "mhsa", 300)}
    assert rows["hilo"].difference["macro_auroc"].verdict == "better"
    assert rows["window"].difference["macro_auroc"].verdict == "undecided"
    assert rows["mhsa"].difference["macro_auroc"] is None
    measured = rows["hilo"].measured["macro_auroc"]
    assert measured.interval.low < measured.interval.estimate < measured.interval.high and measured.deviation > 0


def test_one_seed_never_decides(experiment):
    rows = comparison.compare([made(experiment, "mhsa", 0, 1.0), made(experiment, "hilo", 0, 4.0)], "attention", "mhsa", 200)
    assert rows[1].difference["macro_auroc"].p_holm < 0.05 and rows[1].difference["macro_auroc"].verdict == "undecided"
    assert np.isnan(rows[0].measured["macro_auroc"].deviation)


def test_an_interval_over_few_patients_is_wider_than_over_many_records(experiment):
    few = np.repeat(np.arange(20), N // 20).astype(str)
    width = {}
    for name, patients in (("many", None), ("few", few)):
        row = comparison.compare([made(experiment, "mhsa", 0, 1.0, patients)], "attention", "mhsa", 400)[0]
        found = row.measured["macro_f1"].interval
        width[name] = found.high - found.low
    assert width["few"] != width["many"]


def test_profiles_are_never_mixed(experiment):
    other = dataclasses.replace(experiment, profile="quick")
    with pytest.raises(ConfigurationError, match="never mixes"):
        comparison.compare([made(experiment, "mhsa", 0, 1.0), made(other, "hilo", 0, 1.0)], "attention", "mhsa")


def test_runs_on_other_test_records_are_refused(experiment):
    other = made(experiment, "hilo", 0, 1.0)
    shifted = dataclasses.replace(other.predictions, test_records=np.roll(other.predictions.test_records, 1))
    other.__dict__["predictions"] = shifted
    with pytest.raises(DataError, match="tested on other records"):
        comparison.compare([made(experiment, "mhsa", 0, 1.0), other], "attention", "mhsa")


def test_the_table_shows_the_notes_numbers_in_grey_beside_ours(experiment):
    rows = comparison.compare([made(experiment, "mhsa", 0, 1.0), made(experiment, "hilo", 0, 1.2)], "attention", "mhsa", 100)
    html = tables.score_table(rows, "attention", tables.reported("attention_ablation")).to_html()
    assert "0.8410" in html and "#8a8a8a" in html and tables.show(rows[0].measured["macro_auroc"].interval.estimate) in html
    assert tables.show(float("nan")) == "–" and tables.show(-0.1234, signed=True) == "−0.123"
