"""The loop learns, resumes to the same bytes from any kill, and stops where numbers stop being numbers."""

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch

from ecgstudy import files
from ecgstudy.errors import ConfigurationError, RunError
from ecgstudy.study import runs
from ecgstudy.train import checkpoint, loop
from ecgstudy.train.device import resolve_device
from ecgstudy.train.feed import fit_scaling


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def place(experiment, prepared):
    return runs.folder() / experiment.key(prepared.digest)


def outcome(run, where):
    """What must not depend on interruptions: weights, predictions, thresholds, scores and the losses seen."""
    history = [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in run.result["training"]["history"]]
    return files.sha256(where / "weights.safetensors"), run.predictions.to_bytes(), run.result["thresholds"], run.result["scores"], history


def test_it_learns(tiny, experiment):
    run = runs.run(dataclasses.replace(experiment, n_training=0, epochs=4, patience=4), tiny)
    assert run.result["scores"]["test"]["macro_auroc"] > 0.9


def test_interrupted_at_every_step_it_ends_in_the_same_bytes(tiny, experiment, tmp_path, monkeypatch):
    whole = outcome(runs.run(experiment, tiny), place(experiment, tiny))
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "interrupted"))
    interruptions = 0
    while True:
        try:
            run = runs.run(experiment, tiny, deadline=time.monotonic())      # each attempt takes one step, then stops
            break
        except loop.OutOfTime:
            interruptions += 1
    assert interruptions == 12                                               # 96 / 16 steps in each of two epochs
    assert outcome(run, place(experiment, tiny)) == whole


def test_killed_it_resumes_to_the_same_bytes(tiny, experiment, tmp_path, monkeypatch):
    whole = outcome(runs.run(experiment, tiny), place(experiment, tiny))
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "killed"))
    (tmp_path / "experiment.json").write_text(files.canonical_json(experiment.to_json()))
    code = textwrap.dedent(f"""
        import json, torch
        from ecgstudy.data.dataset import open_prepared
        from ecgstudy.study import runs
        from ecgstudy.train import loop
        from ecgstudy.train.experiment import Experiment
        torch.set_num_threads(1)
        loop.CHECKPOINT_SECONDS = 0.0
        with open({str(tmp_path / "experiment.json")!r}) as file:
            runs.run(Experiment.from_json(json.load(file)), open_prepared({str(tiny.folder)!r}))
    """)
    newest = place(experiment, tiny) / "checkpoint.pt"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=files.repository(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not newest.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert newest.exists() and not (newest.parent / "result.json").exists()
    assert outcome(runs.run(experiment, tiny), newest.parent) == whole


def test_a_truncated_checkpoint_falls_back_to_the_one_before(tiny, experiment, monkeypatch):
    whole = outcome(runs.run(experiment, tiny), place(experiment, tiny))
    where = place(experiment, tiny)
    for path in where.iterdir():
        path.unlink()
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    for _ in range(2):
        with pytest.raises(loop.OutOfTime):
            runs.run(experiment, tiny, deadline=time.monotonic())
    newest = where / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    assert outcome(runs.run(experiment, tiny), where) == whole


def test_another_runs_checkpoint_is_refused(tiny, experiment):
    other = dataclasses.replace(experiment, seed=1)
    with pytest.raises(loop.OutOfTime):
        runs.run(experiment, tiny, deadline=time.monotonic())
    os.renames(place(experiment, tiny) / "checkpoint.pt", place(other, tiny) / "checkpoint.pt")
    with pytest.raises(RunError, match="belongs to the run"):
        runs.run(other, tiny)


def test_best_weights_are_those_of_the_best_epoch(tiny, experiment, monkeypatch):
    """Epoch 1 is made to look best; the kept weights must be epoch 1's, not the last ones."""
    one = runs.run(dataclasses.replace(experiment, epochs=1, schedule="constant"), tiny)
    three = dataclasses.replace(experiment, epochs=3, patience=3, schedule="constant")
    told = iter([0.9, 0.5, 0.4])
    real = loop.score
    monkeypatch.setattr(loop, "score", lambda *a: dataclasses.replace(real(*a), macro_auroc=next(told)))
    run = runs.run(three, tiny)
    assert run.result["training"]["best_epoch"] == 1
    np.testing.assert_array_equal(run.predictions.test_logits, one.predictions.test_logits)


def test_early_stop_after_patience(tiny, experiment, monkeypatch):
    told = iter([0.9, 0.8, 0.7, 0.95])
    real = loop.score
    monkeypatch.setattr(loop, "score", lambda *a: dataclasses.replace(real(*a), macro_auroc=next(told)))
    run = runs.run(dataclasses.replace(experiment, epochs=9, patience=2), tiny)
    assert len(run.result["training"]["history"]) == 3


def test_a_loss_that_is_not_finite_names_its_records(tiny, experiment, monkeypatch):
    real = loop.objective_of

    def broken(experiment):
        objective = real(experiment)
        return lambda model, batch, generator: {"loss": objective(model, batch, generator)["loss"] * float("nan")}

    monkeypatch.setattr(loop, "objective_of", broken)
    with pytest.raises(RunError, match=r"not finite at epoch 1, step 1;.*records T\d\d\d"):
        runs.run(experiment, tiny)


def test_scaling_is_of_the_training_rows_alone(tiny):
    rows = np.flatnonzero(tiny.table["fold"] <= 8)
    before = fit_scaling(tiny, rows)
    signals = np.array(tiny.signals)
    signals[tiny.table["fold"] > 8] = 30000
    after = fit_scaling(dataclasses.replace(tiny, signals=signals), rows)
    assert before == after
    assert before.deviation == pytest.approx(signals[rows].std(), rel=1e-9) and before.mean == pytest.approx(signals[rows].mean())


def test_scaling_leaves_padding_out_and_survives_a_flat_record(tiny):
    table = tiny.table.assign(n_samples=400)
    found = fit_scaling(dataclasses.replace(tiny, table=table), np.arange(20))
    assert found.deviation == pytest.approx(np.array(tiny.signals)[:20, :, :400].std(), rel=1e-9)
    flat = dataclasses.replace(tiny, signals=np.full((2, 12, 1000), 7, np.int16), table=tiny.table[:2])
    assert fit_scaling(flat, np.arange(2)).deviation == 1.0


def test_bf16_trains_and_says_so(tiny, experiment):
    run = runs.run(dataclasses.replace(experiment, precision="bf16", epochs=1, n_training=32), tiny)
    assert run.result["environment"]["precision"] == "bf16"
    assert np.isfinite(run.predictions.test_logits).all() and run.predictions.test_logits.dtype == np.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_one_is_refused_at_once():
    with pytest.raises(ConfigurationError, match="no CUDA device; use 'auto' or 'cpu'"):
        resolve_device("cuda")


def test_weights_of_another_model_are_refused(tmp_path):
    checkpoint.save_weights(tmp_path / "w.safetensors", torch.nn.Linear(2, 3))
    with pytest.raises(RunError, match="does not hold this model's weights"):
        checkpoint.load_weights(tmp_path / "w.safetensors", torch.nn.Linear(3, 3))
