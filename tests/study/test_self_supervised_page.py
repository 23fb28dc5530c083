"""Page 12: each network is compared with itself at the same labels, gaps are named, and noise is measured on paired patients."""

import dataclasses

import numpy as np
import pytest

from ecgstudy.study import probes, self_supervised_page
from ecgstudy.study.axis_page import AxisPage, Comparison
from ecgstudy.study.comparison import compare
from ecgstudy.study.probes import Probe
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request
from ecgstudy.study.self_supervised_page import Found, SelfSupervised
from ecgstudy.study.self_supervised_plan import rows_of
from ecgstudy.study.sweep import Outcome, sweep
from ecgstudy.study.variants import axis

SKILL = {"clocs_scratch": 1.0, "cmsc_probe": 0.3, "cmsc_tuned": 2.5}


@pytest.fixture
def found(made_run):
    """A page of made-up runs: tuned far better than scratch, probed worse; the tuned run of 100 % is missing for seed 2."""
    names = tuple(rows_of(["cmsc"], [10, 100]))
    asked = Request("12_self_supervised", "synthetic", "nine", profile("smoke"), (0, 1, 2), {"runs": names})
    page = AxisPage(axis("self_supervised"), asked)
    runs, missing = [], []
    for experiment, name in page.plan.items():
        if name == "cmsc_tuned_100" and experiment.seed == 2:
            missing.append(experiment)
            continue
        way = name.rsplit("_", 1)[0]
        made = made_run(way, experiment.seed, SKILL[way] + experiment.percent / 200)
        made.result["experiment"] = experiment.to_json()
        runs.append(made)
    outcome = Outcome(runs, missing=missing)
    return Found(SelfSupervised(page, ("cmsc",), (10, 100)), Comparison(page, outcome, compare(runs, page.plan, page.axis.baseline)))


def test_each_network_is_compared_with_itself_at_the_same_labels(found):
    probe, tuned, scratch = (found.row("cmsc", way, 10) for way in ("probe", "tuned", "scratch"))
    assert scratch.value == "clocs_scratch_10" and scratch.difference["macro_auroc"] is None
    for row, sign in ((probe, -1), (tuned, 1)):
        by_seed = [row.measured["macro_auroc"].by_seed[s] - scratch.measured["macro_auroc"].by_seed[s] for s in (0, 1, 2)]
        assert row.difference["macro_auroc"].interval.estimate == pytest.approx(np.mean(by_seed)) and sign * np.mean(by_seed) > 0
    assert found.row("cmsc", "tuned", 100).difference["macro_auroc"].n_seeds == 2
    assert found.row("cpc", "tuned", 10) is None


def test_the_reading_gives_verdicts_only_with_enough_seeds_and_names_gaps(found):
    text = found.reading(self_supervised_page.Noise(found, 100, probes.Probing()))
    ten, hundred = text.split("**With 10 % of the labels.**")[1].split("**With 100 % of the labels.**")
    assert "Better than the same network from scratch: CMSC (all trained)" in ten and "worse than" in ten and "no verdict" not in ten
    assert "no verdict is given on CMSC (all trained)" in hundred.split("**What")[0]
    assert "**Missing runs.** `cmsc_tuned_100` (seed 2)." in text and "Provenance of the 17 runs" in text


def test_the_table_says_what_was_not_run(found):
    runs = [run for run in found.comparison.outcome.finished if found.asked.page.plan[run.experiment] != "cmsc_probe_10"]
    fewer = Found(found.asked, dataclasses.replace(found.comparison, outcome=Outcome(runs)))
    html = fewer.score_table().to_html()
    assert html.count("not run") == 1 and "10 %" in html and "macro-AUROC" in html


def test_noise_is_read_as_the_paired_change_of_each_way(tiny, monkeypatch):
    """Runs of seconds on the tiny data, probed: the change is that of the stored scores."""
    monkeypatch.setattr(probes, "at_hand", lambda dataset, size: tiny)
    names = tuple(rows_of(["cmsc"], [100]))
    asked = Request("12_self_supervised", "synthetic", "nine", profile("smoke"), (0,), {"runs": names})
    page = AxisPage(axis("self_supervised"), asked)
    outcome = sweep(list(page.plan), tiny, workers=1)
    found = Found(SelfSupervised(page, ("cmsc",), (100,)), Comparison(page, outcome, compare(outcome.finished, page.plan, names[0], 50)))
    noise = found.noise()
    assert noise.factors == [10.0] and set(noise.scores) == set(names)
    entry = noise.probing.groups["cmsc_tuned_100"][0]
    clean, noisy = (entry.macro_auroc[entry.result["probes"].index(each)] for each in (["clean", 0.0], ["noise", 10.0]))
    assert noise.loss("cmsc", "tuned", 10.0).estimate == pytest.approx(noisy - clean)
    assert "CMSC, all trained" in noise.reading() and len(noise.figure().axes) == 1
    assert Probe("noise", 10.0).to_json() == ["noise", 10.0]
