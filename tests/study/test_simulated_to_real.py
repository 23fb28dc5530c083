"""The transfer table: the four classes, their interval, and an honest line against the mark."""

import numpy as np
import pytest

from ecgstudy.study import plans, simulated_to_real
from ecgstudy.study.ledger import Run


@pytest.fixture
def transferred(made_run):
    def make(skill, seeds=(0, 1)):
        runs = []
        for seed in seeds:
            run = made_run("mhsa", seed, skill)
            experiment = next(e for e in plans.simulated_to_real(profile_name="smoke", seeds=[seed]) if e.model == "inception_former")
            again = Run(run.result | {"experiment": experiment.to_json()}, None)
            again.__dict__["predictions"] = run.predictions
            runs.append(again)
        return runs
    return make


def test_the_plan_trains_on_simulated_and_tests_on_ptbxl_records():
    plan = plans.simulated_to_real(profile_name="quick", seeds=[0, 1])
    assert {e.dataset for e in plan} == {"synthetic"} and {e.tested_on for e in plan} == {"ptbxl"}
    assert [(e.model, e.seed) for e in plan] == [("inception_former", 0), ("resnet18", 0), ("inception_former", 1), ("resnet18", 1)]


def test_stored_finds_the_plans_runs_and_no_others(transferred, made_run):
    runs = transferred(1.0)
    assert simulated_to_real.stored([*runs, made_run("mhsa", 0, 1.0)], "smoke") == runs
    assert simulated_to_real.stored(runs, "quick") == []


def test_the_mean_is_over_the_four_classes_and_the_seeds(transferred):
    runs = transferred(1.5)
    classes = runs[0].experiment.labels.classes
    expected = np.mean([[r.result["scores"]["test"]["auroc"][classes.index(c)] for c in simulated_to_real.CLASSES] for r in runs])
    found = simulated_to_real.macro_auroc(runs, 200)
    assert found.estimate == pytest.approx(expected) and found.low < found.estimate < found.high


def test_the_line_says_whether_the_mark_is_reached(transferred):
    assert "reached by `inception_former`" in simulated_to_real.reading(transferred(4.0), "smoke")
    assert "reached by neither" in simulated_to_real.reading(transferred(0.0), "smoke")
    assert "sweep simulated_to_real --profile quick" in simulated_to_real.reading([], "quick")
    assert "LBBB" in simulated_to_real.table(transferred(1.0)).to_html()
