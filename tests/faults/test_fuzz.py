"""Mutated files: whatever is done to a header, a recording, the manifest, a result or a prepared folder, a person sees the study's
own error or gets a sane value, within bounded time and memory.

ECGSTUDY_FUZZ=10000 damages each kind of file 10,000 times (two minutes); without it headers and recordings see as many and the
others 2,500. Case i of a kind is always the same damage, so `case(target, i)` shows a failure again. What was once found is kept
in test_regressions.py.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from fuzz_targets import TARGETS

from ecgstudy.errors import StudyError

SECONDS_A_CASE = 1.0            # of processor time, so that a busy machine does not count
MEMORY = 512 * 2**20            # bytes beyond what the process holds already


class Hung(BaseException):
    """Not an Exception, so that no `except Exception` in the package can hide it."""


@contextlib.contextmanager
def bounded(seconds: float, memory: int):
    """Raise Hung after `seconds` of processor time, and let allocations beyond `memory` more bytes fail."""
    def stop(*_):
        raise Hung

    before_handler, before_limit = signal.signal(signal.SIGPROF, stop), resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")                    # Linux; elsewhere the time alone is bounded
    if statm.exists():
        held = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, before_limit[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before_handler)
        resource.setrlimit(resource.RLIMIT_AS, before_limit)


def case(target, number: int) -> str:
    """Run one case; returns `accepted` or the name of the refusal. Anything else than a StudyError comes through."""
    target.damage(Random(f"{target.kind} {number}"))
    try:
        target.use()
    except StudyError as refusal:
        assert str(refusal).strip(), "an error without words"
        return type(refusal).__name__
    return "accepted"


@pytest.fixture
def folder():
    """In memory where the system offers it: a case writes up to three files."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as made:
        yield Path(made)


@pytest.mark.parametrize("make", TARGETS, ids=lambda make: make.kind)
def test_damage_is_refused_in_the_study_s_own_words(folder, make):
    target, outcomes, failures, slowest = make(folder), Counter(), [], 0.0
    n_cases = int(os.environ.get("ECGSTUDY_FUZZ", target.usual))
    target.use()                                        # the whole file is accepted; also imports what is imported late
    with warnings.catch_warnings(), bounded(1800, MEMORY):
        warnings.simplefilter("ignore")
        for number in range(n_cases):
            signal.setitimer(signal.ITIMER_PROF, 5 * SECONDS_A_CASE)
            start = time.process_time()
            try:
                outcomes[case(target, number)] += 1
            except (Exception, Hung) as error:
                outcomes["failed"] += 1
                failures.append(f"case {number}: {type(error).__name__}: {error!s:.200}")
            slowest = max(slowest, time.process_time() - start)
    print(f"{target.kind}: {dict(outcomes)}, slowest {slowest:.3f} s")
    assert not failures, f"{len(failures)} of {n_cases}:\n" + "\n".join(failures[:20])
    assert slowest < SECONDS_A_CASE
    assert 0 < outcomes["accepted"] < 0.5 * n_cases, outcomes           # the damage is neither harmless nor crude
