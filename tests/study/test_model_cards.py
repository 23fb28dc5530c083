"""A model card says what its network's card and the ledger say."""

from __future__ import annotations

import copy

import pytest

from ecgstudy import files
from ecgstudy.study import chosen, ledger, model_cards, tables
from ecgstudy.train.experiment import Experiment

NAME = "resnet18_synthetic"


@pytest.fixture(scope="module")
def told():
    return files.read_json(chosen.folder() / f"{NAME}.json")


@pytest.fixture(scope="module")
def measured(told):
    return model_cards.scored({NAME: told})


def test_scores_are_those_of_the_run_with_an_interval_around_them(told, measured):
    found = measured[NAME].measured["macro_auroc"].interval
    assert found.estimate == told["scores"]["test"]["macro_auroc"]
    assert found.low < found.estimate < found.high and found.n_replicates == 1000
    text = model_cards.card(NAME, told, measured)
    assert f"{tables.show(found.estimate)}<br>[{tables.show(found.low)},&nbsp;{tables.show(found.high)}]" in text
    for said in (told["sha256"][:16], told["environment"]["commit"][:10], f"{told['training']['n_parameters']:,}", "`resnet18`",
                 f"chosen.load('{NAME}')"):
        assert said in text
    assert text.count("\n| ") > len(told["data"]["classes"])


def test_a_run_that_the_ledger_does_not_hold_has_no_interval(told):
    other = copy.deepcopy(told)
    other["experiment"]["seed"] = 99
    other["key"] = Experiment.from_json(other["experiment"]).key(other["data"]["digest"])
    assert ledger.find(ledger.read_selected({Experiment.from_json(other["experiment"])}), Experiment.from_json(other["experiment"])) is None
    text = model_cards.card(NAME, other, model_cards.scored({NAME: other}))
    assert "no interval: its predictions are not in the ledger" in text and "<br>" not in text


def test_limits_follow_from_the_card(told):
    said = model_cards.limits(told)
    assert "nothing about patients" in said and "profile `quick`" in said and "no medical device" in said
    full = copy.deepcopy(told)
    full["experiment"] |= {"dataset": "ptbxl", "profile": "full"}
    full["scores"]["test"]["positives"] = [20] * 9
    said = model_cards.limits(full)
    assert "patients" not in said and "profile" not in said and "fewer than" not in said
    full["scores"]["test"]["positives"] = [19] + [20] * 8
    assert "`Normal` (19)" in model_cards.limits(full)


def test_every_network_that_ships_has_a_card():
    text = model_cards.written([], files.repository(), "")
    assert [name for name in chosen.names() if f"\n## `{name}`\n" not in text] == []
