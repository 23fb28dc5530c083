"""Interleaved measurement: every round runs each candidate once, the order rotated, and ratios are taken within a round.

A machine's pace drifts with its heat and its other users. Two candidates of one round see the same drift, so their ratio does not;
the median over rounds is then robust against a round that was disturbed.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from ecgstudy.errors import require_known
from ecgstudy.layers.checks import require_count
from ecgstudy.progress import progress
from ecgstudy.train.device import one_thread

CLOCKS = ("processor", "wall")


@dataclass(frozen=True)
class Effort:
    """How much is measured. rounds: at least 1. quick: small sizes, for a look and for tests.

    clock: "processor" counts the processor time of one thread, so that a shared machine measures like a quiet one; "wall" counts seconds
    with all threads, for a machine that does nothing else. A GPU is always measured by the wall.
    """

    rounds: int = 7
    quick: bool = False
    clock: str = "processor"

    def __post_init__(self) -> None:
        require_count("rounds", self.rounds)
        require_known("clock", self.clock, CLOCKS)


@dataclass(frozen=True)
class Spread:
    """The median of a quantity over rounds, with its quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray | list[float]) -> Spread:
        """
        >>> Spread.of([1.0, 2.0, 3.0, 4.0, 9.0])
        Spread(low=2.0, median=3.0, high=4.0)
        """
        return cls(*(float(each) for each in np.quantile(np.asarray(values, float), (0.25, 0.5, 0.75))))


class Rounds:
    """Seconds of every candidate in every round: `seconds[name]` is an array [rounds]."""

    def __init__(self, seconds: Mapping[str, np.ndarray]) -> None:
        self.seconds = dict(seconds)

    def median(self, name: str) -> float:
        return float(np.median(self.seconds[name]))

    def ratio(self, ours: str, peer: str, scale: float = 1.0) -> Spread:
        """How many times as fast as `peer` `ours` is, times `scale`, over rounds: the peer's seconds by ours in the same round."""
        return Spread.of(scale * self.seconds[peer] / self.seconds[ours])


def interleave(calls: Mapping[str, Callable[[], object]], effort: Effort, *, device: torch.device | None = None, least: float = 0.0,
               desc: str = "rounds") -> Rounds:
    """Time each call once a round, the first of a round moving on by one each time, after one untimed call of each.

    least: seconds of the clock that one timing should last; a faster call is repeated and the mean taken, always as often. Garbage is
    collected between rounds and not within one.
    """
    names, wall = list(calls), device is not None and device.type == "cuda"
    clock = time.perf_counter if wall or effort.clock == "wall" else time.process_time

    def timed(name: str, repeats: int) -> float:
        began = clock()
        for _ in range(repeats):
            calls[name]()
        if wall:
            torch.cuda.synchronize(device)
        return (clock() - began) / repeats

    with _threads(effort), _uncollected(), progress(total=len(names) * (effort.rounds + 1), desc=desc, unit="timing") as bar:
        repeats = {}
        for name in names:
            calls[name]()
            repeats[name] = 1 if not least else max(1, round(least / max(timed(name, 1), 1e-6)))
            bar.update()
        seconds = {name: np.empty(effort.rounds) for name in names}
        for turn in range(effort.rounds):
            gc.collect()
            for name in names[turn % len(names):] + names[:turn % len(names)]:
                seconds[name][turn] = timed(name, repeats[name])
                bar.update()
    return Rounds(seconds)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection of its own accord inside the block: it would fall on whoever is measured."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextmanager
def _threads(effort: Effort) -> Iterator[None]:
    if effort.clock == "wall":
        yield
    else:
        with one_thread():
            yield
