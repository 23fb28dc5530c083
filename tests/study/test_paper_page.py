"""A paper's page: its network is read beside its own parts, from paired differences."""

import pytest

from ecgstudy.study.axis_page import AxisPage, Comparison
from ecgstudy.study.comparison import compare
from ecgstudy.study.paper_page import against, beside_its_parts, reading
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request
from ecgstudy.study.sweep import Outcome
from ecgstudy.study.variants import axis


@pytest.fixture
def page(made_runs):
    """MINA's page with runs of a given skill under each of its names."""
    def make(skills, n_seeds=3):
        runs, plan = made_runs(skills, n_seeds)
        asked = AxisPage(axis("mina"), Request("notebooks/papers/mina", "synthetic", "nine", profile("smoke"), tuple(range(n_seeds)),
                                               {"networks": tuple(skills)}, "name"))
        asked.__dict__["plan"] = plan
        return Comparison(asked, Outcome(runs), compare(runs, plan, "resnet18", 200))
    return make


def test_a_clear_difference_is_called_and_a_small_one_is_not(page):
    told = against(page({"mina": 3.0, "no_hints": 0.2}), "mina", "no_hints")
    assert told.startswith("`mina` (1,234 parameters) is better than `no_hints` (1,234 parameters) on macro-AUROC: +0.")
    told = against(page({"mina": 1.0, "no_hints": 1.0}), "mina", "no_hints")
    assert "cannot be told from" in told and "does not show that the two are equal" in told


def test_two_seeds_give_no_verdict(page):
    told = against(page({"mina": 3.0, "no_hints": 0.2}, 2), "mina", "no_hints")
    assert "cannot be told from" in told and told.endswith("With 2 seeds no verdict is given.")


def test_only_the_network_s_own_parts_are_taken_apart_and_only_those_that_were_run(page):
    told = beside_its_parts(page({"mina": 2.0, "no_hints": 1.0, "resnet18": 1.0}))
    assert told.count("\n- ") == 1 and "no_hints" in told and "resnet18" not in told
    assert beside_its_parts(page({"mina": 2.0, "resnet18": 1.0})) == beside_its_parts(page({"no_hints": 2.0, "resnet18": 1.0})) == ""


def test_the_reading_says_whose_weights_the_pictures_show(page, tmp_path, monkeypatch):
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path))
    found = page({"mina": 2.0, "resnet18": 1.0})
    said = reading(found, ["**Told.** X."], ["own limit"]).data
    assert said.startswith("**Weights.** In the pictures: fresh weights.\n\n**Told.** X.") and "own limit" in said
    run = found.rows[0].runs[0]
    (tmp_path / run.key).mkdir()
    (tmp_path / run.key / "weights.safetensors").touch()
    assert "In the pictures: trained on synthetic, smoke profile, seed 0." in reading(found).data
