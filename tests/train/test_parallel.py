"""Two processes that train one run together do what one does, and go on where they were killed.

The file is also the program that `torchrun` starts: folder of the data, folder of the runs, plan as JSON, and whether to die in the middle.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from ecgstudy import files
from ecgstudy.data.dataset import open_prepared
from ecgstudy.errors import ConfigurationError
from ecgstudy.study import runs
from ecgstudy.study.sweep import sweep
from ecgstudy.train import parallel
from ecgstudy.train.device import one_thread
from ecgstudy.train.experiment import Experiment, freeze_settings

SMALL = {"width": 32, "depth": 2, "heads": 2, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}


def program(data, where, plan, killed):
    """Make the plan; then, where a second folder of runs is named, its first run there, with the second process killed on the way."""
    prepared, experiments = open_prepared(Path(data)), [Experiment.from_json(each) for each in json.loads(plan)]
    os.environ["ECGSTUDY_RUNS"] = where
    with parallel.together():
        outcome = sweep(experiments, prepared, publish_to=Path(where) / "published")
        assert len(outcome.finished) == len(experiments) and parallel.size() == 2
        with pytest.raises(ConfigurationError, match="cannot divide"):
            parallel.require_divisible("clocs")
        if killed:
            os.environ["ECGSTUDY_RUNS"] = killed
            if parallel.rank() == 1:
                threading.Thread(target=die, args=(Path(killed),), daemon=True).start()
            sweep(experiments[:1], prepared)


def die(where):
    """As by a power cut, as soon as the run has a checkpoint."""
    while not list(where.glob("*/checkpoint.pt")):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def launched(prepared, where, plan, killed=""):
    """`program` in two processes."""
    words = [str(prepared.folder), str(where), json.dumps([e.to_json() for e in plan]), str(killed)]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__, *words]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": str(files.repository()), "OMP_NUM_THREADS": "1"}, timeout=240,
                          capture_output=True, text=True)


@pytest.fixture
def plan(experiment):
    """Two networks without dropout, one with batch normalisation and one without; 45 records, so the last batch is of 13 and is cut
    unevenly; all of what chance changes in a record."""
    base = dataclasses.replace(experiment, n_training=45, epochs=2, batch_size=32, augmentation=("noise", "lead_mask", "end_mask"))
    return [dataclasses.replace(base, model=model, settings=settings, learning_rate=1e-4)
            for model, settings in (("resnet18", (("width", 4),)), ("st_mem", freeze_settings(SMALL)))]


def weights_of(experiment, digest):
    return safetensors.torch.load_file(runs.weights_path(experiment, digest))


def test_two_processes_do_what_one_does_and_survive_a_kill(tiny, plan, tmp_path, monkeypatch):
    with one_thread():
        alone = sweep(plan, tiny, workers=1).finished
    weights = [weights_of(e, tiny.digest) for e in plan]
    ran = launched(tiny, tmp_path / "two", plan, killed=tmp_path / "killed")
    assert ran.returncode != 0 and len(list((tmp_path / "two").glob("*/result.json"))) == 2, ran.stderr
    assert list((tmp_path / "killed").glob("*/checkpoint.pt")) and not list((tmp_path / "killed").glob("*/result.json"))
    again = launched(tiny, tmp_path / "killed", plan[:1])
    assert again.returncode == 0, again.stderr

    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "two"))
    together = [runs.finished(e, tiny.digest) for e in plan]
    assert len(list((tmp_path / "two" / "published").glob("*.json"))) == 2
    for one, two, before, experiment in zip(alone, together, weights, plan, strict=True):
        after = weights_of(experiment, tiny.digest)
        assert set(after) == set(before)
        for name, value in after.items():
            assert torch.allclose(value.float(), before[name].float(), rtol=1e-3, atol=2e-5), (experiment.model, name)
        assert np.allclose(two.predictions.test_logits, one.predictions.test_logits, atol=1e-3)
        assert list(two.predictions.test_records) == list(one.predictions.test_records)
        for mine, theirs in zip(two.result["training"]["history"], one.result["training"]["history"], strict=True):
            assert mine["training_loss"] == pytest.approx(theirs["training_loss"], rel=1e-4)
            assert mine["validation_macro_auroc"] == pytest.approx(theirs["validation_macro_auroc"], abs=0.02)
        assert two.result["environment"]["processes"] == 2 and "processes" not in one.result["environment"]

    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "killed"))
    resumed = runs.finished(plan[0], tiny.digest)
    assert resumed.predictions_path.read_bytes() == together[0].predictions_path.read_bytes()


def test_alone_nothing_is_divided(tiny):
    assert (parallel.size(), parallel.rank()) == (1, 0) and parallel.own(5).tolist() == [0, 1, 2, 3, 4]
    assert parallel.agreed("mine") == "mine" and parallel.first_only(lambda: 3) == 3
    with parallel.together():
        assert parallel.size() == 1
    parallel.require_divisible("clocs")


if __name__ == "__main__":
    program(*sys.argv[1:])
