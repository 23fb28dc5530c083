"""Ray: two machines on one, one of them killed in the middle; nothing is lost, nothing is done twice, and the numbers are the same."""

import dataclasses
import sys
import threading
import time

import pytest

from ecgstudy import files
from ecgstudy.errors import ConfigurationError, LockedError, RunError
from ecgstudy.study import on_ray, runs
from ecgstudy.study.engines import Described, Work
from ecgstudy.study.sweep import sweep
from ecgstudy.train.device import one_thread

SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


class Deaf:
    """A board that nobody reads."""

    write = property(lambda self: self)

    def remote(self, *_):
        return None


def test_without_ray_the_command_that_installs_it_is_named(tiny, experiment, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'ecgstudy\[ray\]'"):
        sweep([experiment], tiny, on="ray")


def test_a_run_waits_for_the_lock_of_the_worker_that_it_replaces(tiny, experiment, monkeypatch):
    held = []

    def make(*_, **__):
        held.append(time.monotonic())
        if len(held) < 3:
            raise LockedError("the lock is held by process 7 on another machine")
        return "made"

    monkeypatch.setattr(time, "sleep", lambda _: None)
    there = Described.of(Work(make, [experiment], tiny))
    assert on_ray._make_there(there, experiment, 0, Deaf()) == "made" and len(held) == 3
    monkeypatch.setattr(on_ray, "LOCK_SECONDS", 0.0)
    held.clear()
    assert isinstance(on_ray._make_there(there, experiment, 0, Deaf()), LockedError)


def test_the_study_s_own_errors_are_values_that_ray_does_not_try_again(tiny, experiment):
    def make(*_, **__):
        raise RunError("the loss is not finite")

    given = on_ray._make_there(Described.of(Work(make, [experiment], tiny)), experiment, 0, Deaf())
    assert isinstance(given, RunError)


def add_machine(cluster):
    """Ray gives a machine fifteen seconds to start its agents, which no setting changes; a busy computer may miss it and is asked again."""
    for _ in range(3):
        try:
            return cluster.add_node(**SMALL)
        except Exception as error:      # Ray raises no narrower kind
            if "timed out during startup" not in str(error):
                raise
    pytest.skip("this computer is too busy for Ray to start a machine on it")


def test_a_machine_killed_in_the_middle_costs_nothing(tiny, experiment, tmp_path, monkeypatch):
    """The second of two machines of one core is killed once both have a checkpoint; the first makes the rest of the plan."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    plan = [dataclasses.replace(experiment, epochs=12, patience=12, n_training=32, seed=seed) for seed in range(3)]
    with one_thread():
        undisturbed = sweep(plan, tiny, workers=1).finished
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(files.repository()))
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "shared"))
    cluster, killed = Cluster(), []
    try:
        add_machine(cluster)
        ray.init(address=cluster.address, log_to_driver=False)
        second = add_machine(cluster)

        def kill():
            while len(list(runs.folder().glob("*/checkpoint.pt"))) < 2:
                time.sleep(0.05)
            killed.append([path.parent.name for path in runs.folder().glob("*/checkpoint.pt")])
            cluster.remove_node(second, allow_graceful=False)

        threading.Thread(target=kill, daemon=True).start()
        outcome = sweep(plan, tiny, on=cluster.address, publish_to=tmp_path / "published")
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert len(killed) == 1 and not outcome.failed and not outcome.missing
    assert [run.key for run in outcome.finished] == [run.key for run in undisturbed]
    assert len(list((tmp_path / "published").glob("*.json"))) == 3 == len(list(runs.folder().glob("*/result.json")))
    for ours, theirs in zip(outcome.finished, undisturbed, strict=True):
        assert ours.result["scores"] == theirs.result["scores"]
        assert ours.predictions_path.read_bytes() == theirs.predictions_path.read_bytes()
