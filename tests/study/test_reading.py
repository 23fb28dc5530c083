"""The reading says no more than its numbers: verdicts where they are earned, gaps and limits named."""

import dataclasses

import pytest

from ecgstudy.errors import RunError
from ecgstudy.study import comparison
from ecgstudy.study.axis_page import AxisPage, Comparison
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request
from ecgstudy.study.sweep import Outcome
from ecgstudy.study.variants import AXES, axis

ENVIRONMENT = {"device_name": "a CPU", "commit": "0123456789abcdef", "edited": False, "finished": "2026-01-01T00:00Z"}


@pytest.fixture
def page():
    asked = Request("04_attention_ablation", "synthetic", "nine", profile("quick"), (0, 1, 2), {"attentions": ("mhsa", "hilo")})
    return AxisPage(axis("attention_ablation"), asked)


def read(page, made_run, skills, seeds, missing=()):
    runs = [made_run(name, seed, skill) for seed in seeds for name, skill in skills.items()]
    for run in runs:
        run.result["environment"] = ENVIRONMENT
        run.result["training"] = {"best_epoch": 1, "seconds": 60.0}
        run.result["data"]["digest"] = "d" * 64
    names = {run.experiment: dict(run.experiment.settings)["attention"] for run in runs}
    page.__dict__["plan"] = names | dict.fromkeys(missing, "window")
    outcome = Outcome(finished=runs, missing=list(missing))
    return Comparison(page, outcome, comparison.compare(runs, names, "mhsa", 200)).reading(["windows are not tuned"])


def test_a_difference_that_holds_over_seeds_is_called(page, made_run):
    text = read(page, made_run, {"mhsa": 1.0, "hilo": 3.0}, range(3))
    assert "`hilo` is better" in text and "Undecided" not in text


def test_no_difference_is_said_plainly(page, made_run):
    text = read(page, made_run, {"mhsa": 1.5, "hilo": 1.5}, range(3))
    assert "none of the others can be told from `mhsa` here" in text and "is better" not in text


def test_one_seed_gets_no_verdict_but_the_hint_is_named(page, made_run):
    text = read(page, made_run, {"mhsa": 1.0, "hilo": 3.0}, [0])
    assert "is better" not in text and "with 1 seed this is not told apart from the luck of a seed" in text


def test_gaps_limits_and_provenance_are_named(page, made_run):
    gap = next(iter(axis("attention_ablation").experiments("synthetic", "", profile("quick"), ["window"], [4])))
    text = read(page, made_run, {"mhsa": 1.0, "hilo": 1.1}, range(3), [gap])
    assert "`window` seed 4" in text and "windows are not tuned" in text and "simulated" in text
    assert "CPSC2018" not in text.split("Provenance")[0].split("What cannot")[0]
    assert "0123456789" in text and "sweep attention_ablation --dataset synthetic" in text


def test_without_the_baseline_nothing_is_compared(page, made_run):
    assert "Nothing about differences" in read(page, made_run, {"hilo": 1.0}, [0])


def test_a_page_without_one_run_says_how_to_make_them(page):
    asked = dataclasses.replace(page.request, missing="name")
    with pytest.raises(RunError, match="not one of the 6 runs .* sweep attention_ablation --dataset synthetic --task nine --profile quick"):
        dataclasses.replace(page, request=asked).compare()
    assert dataclasses.replace(page, request=asked).compare(allow_none=True).rows == []


def test_one_row_has_no_spread(page, made_run):
    assert "From the highest" not in read(page, made_run, {"mhsa": 1.0}, range(3))


def test_the_notes_f1_is_found_wherever_a_variant_names_it():
    """Every dotted path leads to a number, and page 04's are the five mechanisms that the notes tested."""
    asked = Request("04_attention_ablation", "synthetic", "nine", profile("quick"), (0,), {})
    for name, found in AXES.items():
        page = AxisPage(found, dataclasses.replace(asked, axes={found.parameter: tuple(found.variants)}))
        notes = page.notes()
        assert all(0.5 < value < 1 for pair in notes.values() for value in pair.values())
        if name == "attention_ablation":
            assert set(notes) == {"mhsa", "spatial_reduction", "bi_level_routing", "window", "shifted_window"}


def test_what_runs_names_the_size(page):
    assert "widths 16, 32, 64, 128" in page.what_runs()
    full = dataclasses.replace(page, request=dataclasses.replace(page.request, size=profile("full")))
    assert "full network" in full.what_runs()
