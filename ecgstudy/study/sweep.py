"""Walk a plan on whatever device is there: finished runs are skipped, a failed one does not stop the rest, a kill loses a minute.

On a GPU runs follow one another. On a CPU they go side by side, one process and one thread each: that is faster than one run on all
cores, it does not stall when another program wants a core, and the numbers do not depend on how many cores there are.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ecgstudy.data.dataset import Prepared, open_prepared
from ecgstudy.data.splits import split
from ecgstudy.errors import LockedError, RunError
from ecgstudy.progress import progress
from ecgstudy.study import ledger, runs
from ecgstudy.study.ledger import Run
from ecgstudy.train.device import resolve_device
from ecgstudy.train.experiment import Experiment
from ecgstudy.train.loop import OutOfTime, n_steps

logger = logging.getLogger(__name__)

Make = Callable[..., Any]       # `runs.run` or `runs.weights`
Result = Callable[[], Any]      # gives what was made, or raises what stopped it


@dataclass
class Outcome:
    """What a walk left: finished runs in the plan's order, experiments that failed with why, and those still to do."""

    finished: list[Run] = field(default_factory=list)
    failed: list[tuple[Experiment, str]] = field(default_factory=list)
    missing: list[Experiment] = field(default_factory=list)

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.finished + other.finished, self.failed + other.failed, self.missing + other.missing)


def sweep(experiments: Sequence[Experiment], prepared: Prepared, *, tested: Prepared | None = None, device: str = "auto",
          time_budget: float | None = None, publish_to: Path | None = None, workers: int | None = None) -> Outcome:
    """Run every experiment of a plan that is not finished; before them, once each, the runs whose weights they begin with or learn from.

    tested: the data of the experiments' `tested_on`, where they name one. time_budget: seconds after which training stops, saved.
    publish_to: a ledger folder that each finished run is copied to. workers: runs side by side on a CPU, by default one a core; 1
    runs them in this process, with torch's own number of threads.
    """
    deadline = None if time_budget is None else time.monotonic() + time_budget
    data = runs.data_digest(prepared, tested)
    done = {e: run for e in experiments if (run := runs.finished(e, data))}
    todo = [e for e in experiments if e not in done]
    if publish_to is not None:
        for run in done.values():
            ledger.publish(run, publish_to)

    def walk(make: Make, todo: Sequence[Experiment], tested: Prepared | None) -> Iterator[tuple[Experiment, Result]]:
        if not todo or workers == 1 or resolve_device(device).type == "cuda":
            return _one_by_one(make, todo, prepared, tested, device, deadline)
        return _side_by_side(make, todo, prepared, tested, device, deadline, min(workers or os.cpu_count() or 1, len(todo)))

    reasons: dict[Experiment, str | None] = {}          # None: out of time
    earlier = dict.fromkeys(each for e in todo for each in runs.needed(e))
    for experiment, result in walk(runs.weights, [e for e in earlier if not runs.weights_path(e, prepared.digest).is_file()], None):
        _collect(experiment, result, reasons)
    lacking = {e: each for e in todo for each in runs.needed(e) if each in reasons}
    for experiment, result in walk(runs.run, [e for e in todo if e not in lacking], tested):
        if run := _collect(experiment, result, reasons):
            done[experiment] = run
            if publish_to is not None:
                ledger.publish(run, publish_to)
    for experiment, cause in lacking.items():
        reasons[experiment] = reasons[cause] and f"what it begins with failed: {reasons[cause]}"
    return Outcome([done[e] for e in experiments if e in done], [(e, why) for e in todo if (why := reasons.get(e)) is not None],
                   [e for e in experiments if e not in done and reasons.get(e) is None])


def _collect(experiment: Experiment, result: Result, reasons: dict[Experiment, str | None]) -> Any:
    """What was made; None where it was stopped, with the reason noted."""
    try:
        return result()
    except OutOfTime:
        reasons[experiment] = None
    except (RunError, LockedError, BrokenProcessPool) as error:
        reasons[experiment] = str(error)
        logger.error("%s", error)
    return None


def _one_by_one(make: Make, todo: Sequence[Experiment], prepared: Prepared, tested: Prepared | None, device: str,
                deadline: float | None) -> Iterator[tuple[Experiment, Result]]:
    for experiment in progress(todo, desc="plan", unit="run"):
        if deadline is not None and time.monotonic() >= deadline:
            return
        yield experiment, lambda e=experiment: make(e, prepared, **_tested(tested), device=device, deadline=deadline)


def _tested(tested: Prepared | None) -> dict[str, Prepared]:
    return {} if tested is None else {"tested": tested}


def _side_by_side(make: Make, todo: Sequence[Experiment], prepared: Prepared, tested: Prepared | None, device: str,
                  deadline: float | None, workers: int) -> Iterator[tuple[Experiment, Result]]:
    n_rows = len(split(prepared, todo[0].labels).training)
    total = sum(n_steps(e, runs.n_training(e, n_rows)) for e in todo)
    context = multiprocessing.get_context("spawn")
    label = f"{len(todo)} run{'s' * (len(todo) > 1)}, {workers} at a time"
    with context.Manager() as manager, progress(total=total, desc=label, unit="step") as bar:
        told = manager.Queue()
        finished = threading.Event()
        listener = threading.Thread(target=_listen, args=(told, bar, finished), daemon=True)
        listener.start()
        try:
            with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(os.getpid(),)) as pool:
                futures: dict[Future[Any], Experiment] = {
                    pool.submit(_make_here, make, e, prepared.folder, tested and tested.folder, device, deadline, told): e for e in todo}
                for future in as_completed(futures):
                    yield futures[future], future.result
        finally:
            finished.set()
            listener.join()


class _Teller:
    """A run's bar in a worker: passes its steps on to the one bar of the walk, a few at a time."""

    def __init__(self, told: queue.Queue) -> None:
        self.told, self.pending, self.said = told, 0, time.monotonic()

    def update(self, n: int = 1) -> None:
        self.pending += n
        if time.monotonic() - self.said > 0.5:
            self.flush()

    def set_postfix_str(self, text: str) -> None:
        self.flush(text)

    def flush(self, text: str = "") -> None:
        self.told.put((self.pending, text))
        self.pending, self.said = 0, time.monotonic()


def _listen(told: queue.Queue, bar, finished: threading.Event) -> None:
    while not (finished.is_set() and told.empty()):
        try:
            steps, text = told.get(timeout=0.2)
        except queue.Empty:
            continue
        except (EOFError, OSError):     # the manager went first
            return
        bar.update(steps)
        if text:
            bar.set_postfix_str(text)


def _begin(parent: int) -> None:
    """Set a worker up: one thread, and gone within a second when the process that started it is."""
    torch.set_num_threads(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _make_here(make: Make, experiment: Experiment, folder: Path, tested: Path | None, device: str, deadline: float | None,
               told: queue.Queue) -> Any:
    """One run in a worker. `time.monotonic()` is one clock for all processes of a machine, so the deadline holds here too."""
    if deadline is not None and time.monotonic() >= deadline:
        raise OutOfTime("the time budget ended before this run began")
    teller = _Teller(told)
    made = make(experiment, open_prepared(folder), **_tested(tested and open_prepared(tested)), device=device, deadline=deadline,
                bar=teller)
    teller.flush()
    return made
