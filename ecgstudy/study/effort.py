"""How much of a walk is left, in seconds: a step of one network may cost fifty times a step of another.

Multiply-accumulates do not tell it: networks of the ledger get from 0.3 to 6 thousand million of them done a second on one core, because a
recurrent layer waits for itself and a depth-wise convolution for memory. So one training step of each network is timed before the
walk, which gives what the networks cost beside each other, and what runs then says how fast this machine is at each of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ecgstudy.data.dataset import Prepared
from ecgstudy.data.splits import split
from ecgstudy.models.registry import model_entry
from ecgstudy.progress import progress
from ecgstudy.study import runs
from ecgstudy.study.complexity import median_seconds
from ecgstudy.train import parallel
from ecgstudy.train.device import one_thread, resolve_device
from ecgstudy.train.experiment import Experiment
from ecgstudy.train.feed import Feed, Scaling
from ecgstudy.train.loop import n_steps
from ecgstudy.train.objectives import objective_of, supervised
from ecgstudy.train.seeds import scoped_seed, torch_generator

STEADY = 20             # steps of a network before its own pace counts as much as that of all the others
WORTH_TIMING = 50       # steps of the walk for each step that is timed: at most 2 % of the work goes into the estimate


@dataclass(frozen=True)
class Job:
    """One run of a walk: what it trains (runs of one `kind` cost the same a step), its steps if it is not stopped early, and what a step
    was found to cost, in seconds of any machine."""

    kind: object
    steps: int
    cost: float = 1.0


@dataclass
class _Pace:
    """What was timed: seconds that it took, and that it was predicted to take."""

    seconds: float = 0.0
    predicted: float = 0.0


class Effort:
    """Seconds that a walk still takes on `workers` at a time, from what its jobs were predicted to cost and what they did.

    A network that has not run yet is taken to be as fast, against its prediction, as those that have. Jobs are taken to start in order,
    each where a worker gets free; runs that stop early shorten those that are still to come by as much.
    """

    def __init__(self, jobs: Sequence[Job], workers: int = 1) -> None:
        self.jobs, self.workers = list(jobs), max(1, workers)
        self.done = [0] * len(self.jobs)
        self.over: set[int] = set()
        self.timed: list[tuple[int, float]] = [(0, 0.0)] * len(self.jobs)

    def tell(self, job: int, done: int, timed: int, seconds: float) -> None:
        """A job is at step `done`; the last `timed` of its steps were taken in this walk and took `seconds`."""
        self.done[job], self.timed[job] = done, (timed, seconds)

    def end(self, job: int) -> None:
        """A job takes no more time, whatever became of it."""
        self.over.add(job)

    def share(self) -> float:
        """Of the work, how much is done: 0 to 1."""
        total = sum(job.steps * job.cost for job in self.jobs)
        done = sum(job.cost * (job.steps if i in self.over else min(self.done[i], job.steps)) for i, job in enumerate(self.jobs))
        return done / total if total else 1.0

    def left(self) -> float | None:
        """Seconds to the end of the last job; None while no step was timed."""
        every, kinds = _Pace(), {}
        for job, (steps, seconds) in zip(self.jobs, self.timed, strict=True):
            for pace in (every, kinds.setdefault(job.kind, _Pace())):
                pace.seconds += seconds
                pace.predicted += steps * job.cost
        if every.predicted == 0:
            return None
        overall = every.seconds / every.predicted

        def seconds_of(i: int) -> float:
            job, pace = self.jobs[i], kinds[self.jobs[i].kind]
            prior = STEADY * job.cost
            ratio = (pace.seconds + overall * prior) / (pace.predicted + prior)
            remaining = max(0.0, job.steps * self._kept() - self.done[i])
            return remaining * job.cost * ratio

        waiting = [i for i in range(len(self.jobs)) if i not in self.over]
        waiting.sort(key=lambda i: self.done[i] == 0)           # those at work first; the sort keeps the order
        free = [0.0] * self.workers
        for i in waiting:
            heapq.heapreplace(free, free[0] + seconds_of(i))
        return max(free)

    def _kept(self) -> float:
        """Of its steps, how many a run takes before it is stopped early: as in those that ended."""
        ended = [i for i in self.over if self.done[i]]
        return sum(self.done[i] for i in ended) / sum(self.jobs[i].steps for i in ended) if ended else 1.0


def jobs_of(experiments: Sequence[Experiment], prepared: Prepared) -> list[Job]:
    """The runs of a walk as jobs, one step of each network timed here where the walk is long enough for that to pay."""
    n_rows = len(split(prepared, experiments[0].labels).training)
    steps = [n_steps(e, runs.n_training(e, n_rows)) for e in experiments]
    kinds = [(e.model, e.settings, e.objective, e.objective_settings, e.trains, e.leads, e.batch_size) for e in experiments]
    first = dict(zip(reversed(kinds), reversed(experiments), strict=True))
    if len(first) == 1 or sum(steps) < WORTH_TIMING * 2 * len(first):
        return [Job(kind, n) for kind, n in zip(kinds, steps, strict=True)]
    cost = {kind: step_seconds(e, prepared) for kind, e in progress(first.items(), desc="timing each network", unit="network",
                                                                       silent=parallel.rank() > 0)}
    return [Job(kind, n, cost[kind]) for kind, n in zip(kinds, steps, strict=True)]


def step_seconds(experiment: Experiment, prepared: Prepared, device: str = "auto") -> float:
    """Seconds of one forward and backward pass of a run's network on one batch without its labels, after an untimed one.

    What a run adds to its own network, a teacher or a transfer loss, is left out, as is the optimiser.
    """
    on, rows = resolve_device(device), split(prepared, experiment.labels).training[:experiment.batch_size]
    model = runs.build(experiment, prepared.spec).to(on)
    if experiment.trains == "head":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith("head."))
    targets = np.zeros((len(prepared.table), len(experiment.labels.classes)))
    feed = Feed(prepared, rows, targets, Scaling(0.0, 1000.0), on, model_entry(experiment.model).inputs)
    batch, generator = feed.batch(torch.arange(len(rows))), torch_generator(experiment.seed)
    objective = supervised(experiment.labels.multilabel) if experiment.labelled else objective_of(experiment)
    with one_thread(), scoped_seed(experiment.seed):
        return median_seconds(lambda: objective(model, batch, generator)["loss"].backward(), on, repeats=1)
