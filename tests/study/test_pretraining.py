"""What a page draws as pretrained is what its runs began with, and fresh weights are said to be fresh."""

import pytest
import torch

from ecgstudy.study import pretraining, runs
from ecgstudy.study.axis_page import AxisPage, Comparison
from ecgstudy.study.comparison import compare
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request
from ecgstudy.study.sweep import Outcome, sweep
from ecgstudy.study.variants import axis

NAMES = ("clocs", "cmsc_probe_100", "cmsc_tuned_100")


@pytest.fixture
def page():
    return AxisPage(axis("clocs"), Request("papers/clocs", "synthetic", "nine", profile("smoke"), (0,), {"networks": NAMES}))


@pytest.fixture
def found(page, tiny):
    outcome = sweep(list(page.plan), tiny, workers=1)
    return Comparison(page, outcome, compare(outcome.finished, page.plan, "clocs", 50))


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_the_first_variant_with_weights_at_hand_is_shown(found, tiny):
    run = found.rows[1].runs[0]
    seen = pretraining.pretrained(found, "cmlc_tuned_100", "cmsc_probe_100", "cmsc_tuned_100")
    assert seen.run is run and seen.weights == "pretrained on synthetic, smoke profile, seed 0" and not seen.model.training
    assert same(seen.model, runs.build_with_weights(run.experiment.begins_with, tiny)) and not same(seen.model, seen.untrained)
    assert [line["epoch"] for line in seen.history] == [1] and "validation_accuracy" in seen.history[0]
    assert seen.scaling == run.result["pretraining"]["training"]["scaling"]


def test_without_weights_or_runs_it_is_fresh_and_says_so(found, page, tiny):
    runs.weights_path(found.rows[1].runs[0].experiment.begins_with, tiny.digest).unlink()
    for each in (found, Comparison(page, Outcome(), [])):
        seen = pretraining.pretrained(each, "cmsc_probe_100")
        assert seen.run is None and seen.weights == "fresh weights" and same(seen.model, seen.untrained) and seen.history == ()


def test_a_labelled_network_has_its_own_weights(found, tiny):
    model, run = pretraining.classifier(found, "cmsc_tuned_100")
    assert run is found.rows[2].runs[0] and same(model, runs.build_with_weights(run.experiment, tiny))
    assert pretraining.classifier(found, "cmlc_tuned_100") == (None, None)


def test_the_table_tells_how_it_went(found):
    html = pretraining.history_table(found, NAMES[1:2], {"cmsc_probe_100": "CMSC"}).to_html()
    told = found.rows[1].runs[0].result["pretraining"]["training"]["history"][0]["validation_loss"]
    assert "CMSC" in html and f"{told:.3f}" in html and "64" in html
