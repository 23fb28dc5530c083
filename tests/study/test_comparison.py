"""Differences are paired and corrected, and one seed never earns the word "better"."""

import dataclasses

import numpy as np
import pytest

from ecgstudy.errors import ConfigurationError, DataError
from ecgstudy.study import comparison, tables


def compare(runs, n_replicates=200):
    names = {run.experiment: dict(run.experiment.settings)["attention"] for run in runs}
    return comparison.compare(runs, names, "mhsa", n_replicates)


def test_a_real_difference_over_seeds_is_called_and_noise_is_not(made_run):
    found = [made_run(name, seed, skill) for seed in range(3) for name, skill in (("mhsa", 1.5), ("hilo", 2.5), ("window", 1.5))]
    rows = {row.value: row for row in compare(found, 300)}
    assert rows["hilo"].difference["macro_auroc"].verdict == "better"
    assert rows["window"].difference["macro_auroc"].verdict == "undecided"
    assert rows["mhsa"].difference["macro_auroc"] is None
    measured = rows["hilo"].measured["macro_auroc"]
    assert measured.interval.low < measured.interval.estimate < measured.interval.high and measured.deviation > 0


def test_two_seeds_do_not_decide_yet(made_run):
    found = [made_run(name, seed, skill) for seed in range(2) for name, skill in (("mhsa", 1.0), ("hilo", 4.0))]
    difference = compare(found, 200)[1].difference["macro_auroc"]
    assert difference.p_holm < 0.05 and difference.same_sign and difference.verdict == "undecided"


def test_one_seed_never_decides(made_run):
    rows = compare([made_run("mhsa", 0, 1.0), made_run("hilo", 0, 4.0)], 200)
    assert rows[1].difference["macro_auroc"].p_holm < 0.05 and rows[1].difference["macro_auroc"].verdict == "undecided"
    assert np.isnan(rows[0].measured["macro_auroc"].deviation)


def test_the_interval_is_over_patients(made_run):
    """Twenty records of each patient, all alike, tell no more than one of them."""
    width = {}
    for n_patients in (400, 20):
        row = compare([made_run("mhsa", 0, 1.0, n_patients=n_patients)], 400)[0]
        width[n_patients] = row.measured["macro_auroc"].interval.high - row.measured["macro_auroc"].interval.low
    assert width[20] > 2 * width[400]


def test_profiles_are_never_mixed(made_run):
    with pytest.raises(ConfigurationError, match="never mixes"):
        compare([made_run("mhsa", 0, 1.0), made_run("hilo", 0, 1.0, profile="quick")])


def test_runs_on_other_test_records_are_refused(made_run):
    other = made_run("hilo", 0, 1.0)
    shifted = dataclasses.replace(other.predictions, test_records=np.roll(other.predictions.test_records, 1))
    other.__dict__["predictions"] = shifted
    with pytest.raises(DataError, match="tested on other records"):
        compare([made_run("mhsa", 0, 1.0), other])


def test_the_table_shows_the_notes_numbers_in_grey_beside_ours(made_run):
    rows = compare([made_run("mhsa", 0, 1.0), made_run("hilo", 0, 1.2)], 100)
    html = tables.score_table(rows, "attention", {"mhsa": tables.reported_pair("attention_ablation.mhsa.test_f1", "")}).to_html()
    assert "grey" not in tables.score_table(rows, "attention", {}).to_html()
    assert "0.8410" in html and "#8a8a8a" in html and tables.show(rows[0].measured["macro_auroc"].interval.estimate) in html
    assert tables.show(float("nan")) == "–" and tables.show(-0.1234, signed=True) == "−0.123"
    assert tables.show(-0.0001, signed=True) == tables.show(0.0001, signed=True) == "0.000" and tables.show(0.0126, 2, True) == "+0.01"
