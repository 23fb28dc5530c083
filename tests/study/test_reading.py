"""The reading says no more than its numbers: verdicts where they are earned, gaps and limits named."""

from types import SimpleNamespace

import pytest

from ecgstudy.study import ablation, comparison, plans
from ecgstudy.study.request import Request
from ecgstudy.study.sweep import Outcome

ENVIRONMENT = {"device_name": "a CPU", "commit": "0123456789abcdef", "edited": False, "finished": "2026-01-01T00:00Z"}


@pytest.fixture
def page():
    return Request("04_attention_ablation", "synthetic", "nine", plans.profile("quick"), (0, 1, 2), {"attentions": ("mhsa", "hilo")})


def read(page, made_run, skills, seeds, missing=()):
    runs = [made_run(name, seed, skill) for seed in seeds for name, skill in skills.items()]
    for run in runs:
        run.result["environment"] = ENVIRONMENT
        run.result["training"] = {"best_epoch": 1, "seconds": 60.0}
        run.result["data"]["digest"] = "d" * 64
    rows = comparison.compare(runs, "attention", "mhsa", 200)
    return ablation.reading(page, rows, Outcome(finished=runs, missing=list(missing)))


def test_a_difference_that_holds_over_seeds_is_called(page, made_run):
    text = read(page, made_run, {"mhsa": 1.0, "hilo": 3.0}, range(3))
    assert "`hilo` is better" in text and "Undecided" not in text


def test_no_difference_is_said_plainly(page, made_run):
    text = read(page, made_run, {"mhsa": 1.5, "hilo": 1.5}, range(3))
    assert "no mechanism can be told from full attention here" in text and "is better" not in text


def test_one_seed_gets_no_verdict_but_the_hint_is_named(page, made_run):
    text = read(page, made_run, {"mhsa": 1.0, "hilo": 3.0}, [0])
    assert "is better" not in text and "with 1 seed this is not told apart from the luck of a seed" in text


def test_gaps_limits_and_provenance_are_named(page, made_run):
    gap = plans.attention_ablation("synthetic", "", "quick", ["window"], [4])[0]
    text = read(page, made_run, {"mhsa": 1.0, "hilo": 1.1}, range(3), [gap])
    assert "`window` seed 4" in text and "simulated" in text and "CPSC2018" not in text.split("Provenance")[0].split("What cannot")[0]
    assert "0123456789" in text and "sweep attention_ablation --dataset synthetic" in text


def test_without_the_baseline_nothing_is_compared(page, made_run):
    assert "Nothing about differences" in read(page, made_run, {"hilo": 1.0}, [0])


def test_every_mechanism_of_the_notes_has_its_f1_and_no_other():
    assert set(ablation.notes_f1()) == {"mhsa", "spatial_reduction", "bi_level_routing", "window", "shifted_window"}


def test_what_runs_names_the_size(page):
    assert "widths 16, 32, 64, 128" in ablation.what_runs(page)
    assert "full network" in ablation.what_runs(SimpleNamespace(**vars(page) | {"size": plans.profile("full")}))
