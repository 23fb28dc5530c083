"""A walk's runs on a Ray cluster, or on Ray on this machine: one task a run, wherever there is a core or a share of a GPU.

The machines share two folders under one path, that of the prepared data and that of the runs. So a run whose machine is lost is taken
up by another from its last checkpoint, and the lock of its folder, not Ray, decides who trains it: a machine that only seemed lost
goes on, and the other waits and finds the run finished. The ledger is written by the process that started the walk, and by no other.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import Any

from ecgstudy import files
from ecgstudy.errors import ConfigurationError, LockedError, RunError, StudyError
from ecgstudy.study import runs
from ecgstudy.study.engines import SAY_SECONDS, Described, Engine, Made, Teller, Told, Work, watched
from ecgstudy.train.experiment import Experiment

RETRIES = 3             # of a run whose worker or machine was lost
LOCK_SECONDS = 180.0    # to wait for a lost worker's lock: longer than the minute and a half after which NFS 4 gives it up


@contextlib.contextmanager
def connected(where: str) -> Iterator[Engine]:
    """The engine on a cluster, for the block. where: "ray" for RAY_ADDRESS, or without one for this machine; else an address.

    Raises ConfigurationError where Ray is not installed, and where no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise ConfigurationError("ray is not installed; `pip install 'ecgstudy[ray]'`, or leave --on out to run on this machine") from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")       # a cluster that is started here reports to nobody
    ours = not ray.is_initialized()
    if ours:
        here = where == "ray" and "RAY_ADDRESS" not in os.environ
        try:
            ray.init(address="local" if here else None if where == "ray" else where, log_to_driver=False, configure_logging=False,
                     **({"include_dashboard": False} if here else {}))
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigurationError(f"no Ray cluster answers at {where!r} ({error}); give 'ray' for this machine, 'auto' on a machine of "
                                     "the cluster, or the address of its head, such as 10.0.0.1:6379") from None
    try:
        yield partial(on_ray, ray)
    finally:
        if ours:
            ray.shutdown()


def on_ray(ray: ModuleType, work: Work) -> Made:
    """Every run of the work as a task; runs that share a GPU take equal parts of it."""
    needs, slots = _resources(ray, work)
    environment = {name: os.environ[name] for name in ("ECGSTUDY_COMMIT", "ECGSTUDY_DATA", "ECGSTUDY_HOME") if name in os.environ}
    environment |= {"ECGSTUDY_RUNS": str(runs.folder().resolve()), "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(
        filter(None, [str(files.repository()), os.environ.get("PYTHONPATH")]))}
    task = ray.remote(_make_there).options(**needs, max_retries=RETRIES, runtime_env={"env_vars": environment})
    with watched(work, min(slots, len(work.todo))) as watch:
        board = ray.remote(_Board).options(num_cpus=0, max_restarts=-1, scheduling_strategy=_beside_this_process()).remote()
        there = Described.of(work)
        running = {task.remote(there, e, job, board): job for job, e in enumerate(work.todo)}
        while running:
            ended, _ = ray.wait(list(running), timeout=SAY_SECONDS)
            with contextlib.suppress(ray.exceptions.RayError):          # the board starts again elsewhere, and the runs go on
                for job, told in ray.get(board.read.remote(), timeout=10 * SAY_SECONDS):
                    watch.tell(job, told)
            for reference in ended:
                job = running.pop(reference)
                watch.end(job)
                yield work.todo[job], partial(_result, ray, reference)


def _resources(ray: ModuleType, work: Work) -> tuple[dict[str, float], int]:
    """What a run asks Ray for, and how many runs find room at a time."""
    there = ray.cluster_resources()
    n_gpus = int(there.get("GPU", 0))
    if work.device == "cuda" and not n_gpus:
        raise ConfigurationError("device 'cuda' was asked for, but no machine of the Ray cluster has a GPU; use 'auto' or 'cpu'")
    if n_gpus and work.device != "cpu":
        return {"num_cpus": 1, "num_gpus": 1 / (work.workers or 1)}, n_gpus * (work.workers or 1)
    return {"num_cpus": 1}, max(1, int(there.get("CPU", 1)))


def _beside_this_process() -> Any:
    """Where the board lives if it can: on the machine whose loss ends the walk anyway."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)


class _Board:
    """An actor beside the walk, where runs write how far they are."""

    def __init__(self) -> None:
        self.latest: dict[int, Told] = {}

    def write(self, job: int, told: Told) -> None:
        self.latest[job] = told

    def read(self) -> list[tuple[int, Told]]:
        """What is new."""
        latest, self.latest = self.latest, {}
        return list(latest.items())


def _make_there(there: Described, experiment: Experiment, job: int, board: Any) -> Any:
    """One run in a worker of the cluster: what was made, or the study's own error as a value, which Ray does not try again."""
    import torch

    torch.set_num_threads(1)
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return there.here().make_here(experiment, Teller(lambda told: board.write.remote(job, told)))
        except LockedError as error:
            if time.monotonic() >= until:
                return error
            time.sleep(1)
        except StudyError as error:
            return error


def _result(ray: ModuleType, reference: Any) -> Any:
    try:
        made = ray.get(reference)
    except ray.exceptions.RayError as error:
        raise RunError(f"Ray lost the run {RETRIES + 1} times or could not run it ({type(error).__name__}: {error}). It is saved; the same "
                       "command goes on.") from None
    if isinstance(made, StudyError):
        raise made
    return made
