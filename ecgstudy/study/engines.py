"""How a walk's runs are made: one after another here, or side by side in processes. `study.on_ray` is a third way.

An engine takes the work and gives, as each run ends, the experiment and a function that returns what was made or raises what stopped
it: OutOfTime, RunError or LockedError. It tells the walk's one bar how far its runs are.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ecgstudy.data.dataset import Prepared, open_prepared
from ecgstudy.errors import RunError
from ecgstudy.progress import progress
from ecgstudy.study.effort import Effort, jobs_of
from ecgstudy.train import parallel
from ecgstudy.train.experiment import Experiment
from ecgstudy.train.loop import OutOfTime

SAY_SECONDS = 0.5                               # between two words of a run about its steps
BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"       # without tqdm's own estimate, which takes all steps for equal

Make = Callable[..., Any]                       # `runs.run` or `runs.weights`
Result = Callable[[], Any]                      # gives what was made, or raises what stopped it
Made = Iterator[tuple[Experiment, Result]]


@dataclass(frozen=True)
class Work:
    """What an engine is given: `make(experiment, prepared, …)` for each of `todo`.

    tested: the data of the experiments' `tested_on`. device: "auto", "cpu" or "cuda". deadline: `time.monotonic()` here at which to
    stop, saved. workers: runs at a time; None leaves it to the engine.
    """

    make: Make
    todo: Sequence[Experiment]
    prepared: Prepared
    tested: Prepared | None = None
    device: str = "auto"
    deadline: float | None = None
    workers: int | None = None

    def late(self) -> bool:
        return parallel.agreed(self.deadline is not None and time.monotonic() >= self.deadline)

    def make_here(self, experiment: Experiment, bar: Teller) -> Any:
        """One run in this process."""
        if self.late():
            raise OutOfTime("the time budget ended before this run began")
        tested = {} if self.tested is None else {"tested": self.tested}
        made = self.make(experiment, self.prepared, **tested, device=self.device, deadline=self.deadline, bar=bar)
        bar.flush()
        return made


Engine = Callable[[Work], Made]


class Told(NamedTuple):
    """What a run says of itself: at step `done`; `timed` steps of this attempt took `seconds`; `text` for people."""

    done: int
    timed: int
    seconds: float
    text: str


class Teller:
    """A run's bar, wherever the run is: passes its steps on to the one bar of the walk, a few at a time.

    The loop's first word says where the run stands: at a checkpoint, or at 0. Those steps were not taken now, so they are not timed.
    """

    def __init__(self, say: Callable[[Told], object]) -> None:
        self.say, self.done, self.resumed_at, self.text = say, 0, None, ""
        self.began = self.said = time.monotonic()

    def update(self, n: int = 1) -> None:
        self.done += n
        if self.resumed_at is None:
            self.resumed_at, self.began = self.done, time.monotonic()
        if time.monotonic() - self.said > SAY_SECONDS:
            self.flush()

    def set_postfix_str(self, text: str) -> None:
        self.text = text
        self.flush()

    def flush(self) -> None:
        self.said = time.monotonic()
        self.say(Told(self.done, self.done - (self.resumed_at or 0), self.said - self.began, self.text))


class Watch:
    """The one bar of a walk: the share of the work that is done, and the time that is left."""

    def __init__(self, effort: Effort, bar: Any) -> None:
        self.effort, self.bar, self.text = effort, bar, ""
        self._lock = threading.Lock()

    def tell(self, job: int, told: Told) -> None:
        with self._lock:
            self.effort.tell(job, told.done, told.timed, told.seconds)
            self.text = told.text or self.text
            self._show()

    def end(self, job: int) -> None:
        with self._lock:
            self.effort.end(job)
            self._show()

    def _show(self) -> None:
        left = self.effort.left()
        told = ["" if left is None else f"about {in_words(left)} left", self.text]
        self.bar.set_postfix_str("; ".join(filter(None, told)))
        self.bar.update(max(0, int(100 * self.effort.share()) - self.bar.n))      # a run that lost steps does not move it back


def in_words(seconds: float) -> str:
    """A time as precise as an estimate of it.

    >>> in_words(38), in_words(341), in_words(9000)
    ('38 s', '5 min 40 s', '2 h 30 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        whole = round(seconds / 10) * 10
        return f"{whole // 60} min {whole % 60:02} s"
    whole = round(seconds / 60)
    return f"{whole // 60} h {whole % 60:02} min"


@contextlib.contextmanager
def watched(work: Work, workers: int) -> Iterator[Watch]:
    """The work's bar for the block."""
    effort = Effort(jobs_of(work.todo, work.prepared), workers)
    many = f", {workers} at a time" if workers > 1 else ""
    with progress(total=100, desc=f"{len(work.todo)} run{'s' * (len(work.todo) > 1)}{many}", unit="%", bar_format=BAR,
                  silent=parallel.rank() > 0) as bar:
        yield Watch(effort, bar)


def one_by_one(work: Work) -> Made:
    """In this process, with torch's own number of threads. A run begins when its result is asked for."""
    with watched(work, 1) as watch:
        for job, experiment in enumerate(work.todo):
            if work.late():
                return
            yield experiment, lambda e=experiment, job=job: work.make_here(e, Teller(partial(watch.tell, job)))
            watch.end(job)


def side_by_side(work: Work) -> Made:
    """In processes of one thread each, `work.workers` or one a core at a time. They share the GPU where there is one."""
    workers = min(work.workers or os.cpu_count() or 1, len(work.todo))
    context = multiprocessing.get_context("spawn")
    with watched(work, workers) as watch, context.Manager() as manager:
        words = manager.Queue()
        finished = threading.Event()
        listener = threading.Thread(target=_listen, args=(words, watch, finished), daemon=True)
        listener.start()
        there = Described.of(work)
        try:
            with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(os.getpid(),)) as pool:
                futures: dict[Future[Any], int] = {pool.submit(_make_in_worker, there, e, job, words): job
                                                   for job, e in enumerate(work.todo)}
                for future in as_completed(futures):
                    watch.end(futures[future])
                    yield work.todo[futures[future]], partial(_result, future)
        finally:
            finished.set()
            listener.join()


@dataclass(frozen=True)
class Described:
    """Work as another process is told of it: folders in place of data. until: the deadline on the clock that machines share."""

    make: Make
    folder: Path
    tested: Path | None
    device: str
    until: float | None

    @classmethod
    def of(cls, work: Work) -> Described:
        until = None if work.deadline is None else time.time() + work.deadline - time.monotonic()
        return cls(work.make, work.prepared.folder, work.tested and work.tested.folder, work.device, until)

    def here(self) -> Work:
        """The same work in this process."""
        deadline = None if self.until is None else time.monotonic() + self.until - time.time()
        return Work(self.make, (), open_prepared(self.folder), self.tested and open_prepared(self.tested), self.device, deadline)


def _result(future: Future[Any]) -> Any:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise RunError(f"{error} The run is saved; the same command goes on.") from None


def _listen(words: queue.Queue, watch: Watch, finished: threading.Event) -> None:
    while not (finished.is_set() and words.empty()):
        try:
            watch.tell(*words.get(timeout=0.2))
        except queue.Empty:
            continue
        except (EOFError, OSError):     # the manager went first
            return


def _begin(parent: int) -> None:
    """Set a worker up: one thread, and gone within a second when the process that started it is."""
    torch.set_num_threads(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _make_in_worker(there: Described, experiment: Experiment, job: int, words: queue.Queue) -> Any:
    return there.here().make_here(experiment, Teller(lambda told: words.put((job, told))))
