"""A claim is read from the paired difference of the two networks that it is about."""

from types import SimpleNamespace

import pytest

from ecgstudy.study.papers.claims import against


@pytest.fixture
def page(made_run):
    def make(skills):
        runs = [made_run(name, seed, skill) for name, skill in skills.items() for seed in range(3)]
        for run in runs:
            run.result["training"] = {"n_parameters": 1234}
        plan = {run.experiment: dict(run.experiment.settings)["attention"] for run in runs}
        return SimpleNamespace(outcome=SimpleNamespace(finished=runs), page=SimpleNamespace(plan=plan))
    return make


def test_a_clear_difference_is_called_and_a_small_one_is_not(page):
    assert "`mhsa` (1,234 parameters) is better than `hilo` (1,234 parameters)" in against(page({"mhsa": 3.0, "hilo": 0.2}), "mhsa", "hilo")
    told = against(page({"mhsa": 1.0, "window": 1.0}), "mhsa", "window")
    assert "cannot be told from" in told and "does not show" in told


def test_a_missing_network_is_named(page):
    assert "one of them is not in this table" in against(page({"mhsa": 1.0}), "mhsa", "hilo")
