"""Walk a plan on whatever device is there: finished runs are skipped, a failed one does not stop the rest, a kill loses a minute.

On a GPU runs follow one another, unless more are asked for at a time. On a CPU they go side by side, one process and one thread each:
that is faster than one run on all cores, it does not stall when another program wants a core, and the numbers do not depend on how
many cores there are. On Ray they go wherever its machines have room. Under `torchrun` all processes train each run together.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgstudy.data.dataset import Prepared
from ecgstudy.errors import ConfigurationError, LockedError, RunError
from ecgstudy.study import ledger, runs
from ecgstudy.study.engines import Engine, Made, Make, Result, Work, one_by_one, side_by_side
from ecgstudy.study.ledger import Run
from ecgstudy.train import parallel
from ecgstudy.train.device import resolve_device
from ecgstudy.train.experiment import Experiment
from ecgstudy.train.loop import OutOfTime

logger = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What a walk left: finished runs in the plan's order, experiments that failed with why, and those still to do."""

    finished: list[Run] = field(default_factory=list)
    failed: list[tuple[Experiment, str]] = field(default_factory=list)
    missing: list[Experiment] = field(default_factory=list)

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.finished + other.finished, self.failed + other.failed, self.missing + other.missing)


def sweep(experiments: Sequence[Experiment], prepared: Prepared, *, tested: Prepared | None = None, device: str = "auto",
          time_budget: float | None = None, publish_to: Path | None = None, workers: int | None = None, on: str = "") -> Outcome:
    """Run every experiment of a plan that is not finished; before them, once each, the runs whose weights they begin with or learn from.

    tested: the data of the experiments' `tested_on`, where they name one. time_budget: seconds after which training stops, saved.
    publish_to: a ledger folder that each finished run is copied to. workers: runs at a time, by default one a core on a CPU and one on a
    GPU; 1 runs them in this process, with torch's own number of threads. on: "ray", or the address of a Ray cluster; workers are then
    the runs that share a GPU.
    """
    if workers is not None and workers < 1:
        raise ConfigurationError(f"workers is {workers}; it must be at least 1")
    deadline = None if time_budget is None else time.monotonic() + time_budget
    data = runs.data_digest(prepared, tested)
    done = {e: run for e in experiments if (run := runs.finished(e, data))}
    todo = [e for e in experiments if e not in done]
    if publish_to is not None:
        for run in done.values():
            _publish(run, publish_to)

    reasons: dict[Experiment, str | None] = {}          # None: out of time
    earlier = dict.fromkeys(each for e in todo for each in runs.needed(e))
    for each in (*earlier, *todo):
        parallel.require_divisible(each.objective)

    def walk(engine: Engine, make: Make, todo: Sequence[Experiment], tested: Prepared | None = None) -> Made:
        return engine(Work(make, todo, prepared, tested, device, deadline, workers)) if todo else iter(())

    with _engine(on if todo else "", device, workers) as engine:
        for experiment, result in walk(engine, runs.weights, [e for e in earlier if not runs.weights_path(e, prepared.digest).is_file()]):
            _collect(experiment, result, reasons)
        lacking = {e: each for e in todo for each in runs.needed(e) if each in reasons}
        for experiment, result in walk(engine, runs.run, [e for e in todo if e not in lacking], tested):
            if run := _collect(experiment, result, reasons):
                done[experiment] = run
                if publish_to is not None:
                    _publish(run, publish_to)
    for experiment, cause in lacking.items():
        reasons[experiment] = reasons[cause] and f"what it begins with failed: {reasons[cause]}"
    return Outcome([done[e] for e in experiments if e in done], [(e, why) for e in todo if (why := reasons.get(e)) is not None],
                   [e for e in experiments if e not in done and reasons.get(e) is None])


def _publish(run: Run, where: Path) -> None:
    parallel.first_only(lambda: ledger.publish(run, where))


def _collect(experiment: Experiment, result: Result, reasons: dict[Experiment, str | None]) -> Any:
    """What was made; None where it was stopped, with the reason noted.

    Of processes that train together one may fail alone, so there a failure ends them all.
    """
    try:
        return result()
    except OutOfTime:
        reasons[experiment] = None
    except (RunError, LockedError) as error:
        if parallel.size() > 1:
            raise
        reasons[experiment] = str(error)
        logger.error("%s", error)
    return None


@contextlib.contextmanager
def _engine(on: str, device: str, workers: int | None) -> Iterator[Engine]:
    """How this walk's runs are made."""
    if parallel.size() > 1:
        if on or workers not in (None, 1):
            raise ConfigurationError("under torchrun all processes train one run after another; leave --on and --workers out")
        yield one_by_one
    elif on:
        from ecgstudy.study import on_ray

        with on_ray.connected(on) as engine:
            yield engine
    else:
        alone = workers == 1 or (workers is None and resolve_device(device).type == "cuda")
        yield one_by_one if alone else side_by_side
