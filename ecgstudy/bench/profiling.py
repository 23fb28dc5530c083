"""Where the time of a call goes: by operator for networks, by function for everything else."""

from __future__ import annotations

import cProfile
import pstats
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from ecgstudy.train.device import one_thread

Shares = tuple[tuple[str, float], ...]
LINES = 8           # what a picture can hold


def by_operator(call: Callable[[], object]) -> Shares:
    """The operators of torch that a call spends its own time in, with their shares; the rest as "other"."""
    with one_thread():
        call()
        with profile(activities=[ProfilerActivity.CPU]) as found:
            call()
    times = {event.key.removeprefix("aten::"): float(event.self_cpu_time_total) for event in found.key_averages()}
    return shares(times)


def by_function(call: Callable[[], object]) -> Shares:
    """The Python functions that a call spends its own time in, with their shares; the rest as "other"."""
    profiler = cProfile.Profile()
    with torch.no_grad():
        profiler.runcall(call)
    times: dict[str, float] = {}
    for (path, _line, name), (_calls, _recursive, own, _total, _callers) in pstats.Stats(profiler).stats.items():
        told = _builtin(name) if path == "~" else f"{Path(path).stem}.{name}"
        times[told] = times.get(told, 0.0) + own
    return shares(times)


def _builtin(name: str) -> str:
    """A function of C without what the profiler writes round its name.

    >>> _builtin("<built-in method posix.fsync>"), _builtin("<method 'read' of '_io.BufferedReader' objects>")
    ('posix.fsync', 'read of _io.BufferedReader')
    """
    return re.sub(r"^<(built-in )?(method )?|( objects)?>$|'", "", name)


def shares(times: dict[str, float], lines: int = LINES) -> Shares:
    """The largest shares of a whole, and the others together.

    >>> shares({"a": 6.0, "b": 3.0, "c": 1.0}, lines=2)
    (('a', 0.6), ('b', 0.3), ('other', 0.1))
    """
    total = sum(times.values()) or 1.0
    ranked = sorted(((name, seconds / total) for name, seconds in times.items()), key=lambda part: -part[1])
    rest = sum(share for _, share in ranked[lines:])
    return (*ranked[:lines], *([("other", rest)] if rest else []))
