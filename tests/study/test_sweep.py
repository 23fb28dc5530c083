"""A walk skips what is finished, survives a failure, keeps to its time, and gives the same numbers side by side as one by one."""

import dataclasses
import subprocess
import sys
import textwrap

import pytest

from ecgstudy import files
from ecgstudy.errors import ConfigurationError, RunError
from ecgstudy.study import plans, runs
from ecgstudy.study.sweep import sweep
from ecgstudy.study.variants import AXES


@pytest.fixture
def plan(experiment):
    return [dataclasses.replace(experiment, epochs=1, seed=seed) for seed in range(3)]


def test_the_plan_is_every_attention_for_each_seed():
    plan = plans.PLANS["attention_ablation"]("ptbxl", "nine", "full", seeds=[0, 1])
    assert len(plan) == 14 and len({e.key("d") for e in plan}) == 14
    assert [dict(e.settings)["attention"] for e in plan[:7]] == list(AXES["attention_ablation"].variants)
    assert {(e.epochs, e.n_training, e.learning_rate, e.schedule, e.schedule_step, e.schedule_factor) for e in plan} == {
        (30, 0, 1e-3, "step", 20, 0.1)}
    with pytest.raises(ConfigurationError, match="did you mean 'window'"):
        plans.PLANS["attention_ablation"]("ptbxl", names=["windw"])


def test_the_plans_names_are_the_layers_names():
    from ecgstudy.layers.attention import ATTENTIONS

    assert tuple(ATTENTIONS) == tuple(AXES["attention_ablation"].variants)


def test_finished_runs_are_skipped_and_published(tiny, plan, tmp_path, monkeypatch):
    first = sweep(plan, tiny, workers=1, publish_to=tmp_path / "ledger")
    assert len(first.finished) == 3 and len(list((tmp_path / "ledger").glob("*.json"))) == 3
    monkeypatch.setattr(runs, "_train", lambda *a: pytest.fail("it trained again"))
    assert [run.key for run in sweep(plan, tiny, workers=1).finished] == [run.key for run in first.finished]


def test_a_failed_run_does_not_stop_the_rest(tiny, plan, monkeypatch):
    real = runs._train

    def fails_once(experiment, *rest):
        if experiment.seed == 1:
            raise RunError("the loss is not finite")
        return real(experiment, *rest)

    monkeypatch.setattr(runs, "_train", fails_once)
    outcome = sweep(plan, tiny, workers=1)
    assert len(outcome.finished) == 2 and outcome.failed == [(plan[1], "the loss is not finite")] and not outcome.missing


def test_out_of_time_leaves_the_rest_named_and_the_next_walk_finishes(tiny, plan):
    outcome = sweep(plan, tiny, time_budget=0.0, workers=1)
    assert outcome.missing == plan and not outcome.finished and not outcome.failed
    assert len(sweep(plan, tiny, workers=1).finished) == 3


def test_side_by_side_gives_the_same_results(tiny, plan, tmp_path, monkeypatch):
    together = sweep(plan[:2], tiny, workers=2)
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "alone"))
    import torch

    torch.set_num_threads(1)
    alone = sweep(plan[:2], tiny, workers=1)
    assert [r.result["scores"] for r in together.finished] == [r.result["scores"] for r in alone.finished]


def test_a_bare_machine_with_the_training_packages_only_can_sweep(tiny, tmp_path):
    """Everything but torch, numpy, scipy, scikit-learn, pandas, safetensors and what they need is made impossible to import."""
    code = textwrap.dedent("""
        import sys
        for name in ("wfdb", "papermill", "matplotlib", "seaborn", "tqdm", "yaml", "requests", "openpyxl", "IPython", "jupytext"):
            sys.modules[name] = None        # importing it raises ImportError
        from ecgstudy.cli import main
        sys.exit(main(sys.argv[1:]))
    """)
    words = ["sweep", "attention_ablation", "--profile", "smoke", "--only", "hilo", "--ledger", str(tmp_path / "out")]
    ran = subprocess.run([sys.executable, "-c", code, *words], cwd=files.repository(), capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert "1 finished, 0 failed, 0 still to do" in ran.stdout
    assert len(list((tmp_path / "out").glob("*.json"))) == 1
