"""Simulating records of 12 leads and 10 s at 100 Hz, beside NeuroKit2's simulator of several leads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ecgstudy.bench.peers import Absent, peer
from ecgstudy.bench.profiling import by_function
from ecgstudy.bench.rounds import Effort, interleave
from ecgstudy.bench.rows import Row
from ecgstudy.data.synthetic import simulate


def measure(effort: Effort, folder: Path) -> list[Row]:
    """One row; `folder` is not needed."""
    n_records, n_theirs = (16, 1) if effort.quick else (256, 4)
    starts = iter(range(10**9))

    def ours() -> None:
        first = next(starts) * n_records
        simulate(0, range(first, first + n_records))

    calls: dict[str, Callable[[], object]] = {"ours": ours}
    skipped = ""
    try:
        other = peer("neurokit2").ecg_simulate
        calls["peer"] = lambda: [other(duration=10, sampling_rate=100, method="multileads", random_state=seed) for seed in range(n_theirs)]
    except Absent as absent:
        skipped = str(absent)
    found = interleave(calls, effort, desc="simulating")
    return [Row("simulator", "12 leads, 10 s at 100 Hz", "records/s", n_records / found.median("ours"), "neurokit2, method multileads",
                None if skipped else n_theirs / found.median("peer"),
                None if skipped else found.ratio("ours", "peer", n_records / n_theirs),
                note="ours draws one of nine diagnoses, a person and noise for each record; theirs is a healthy rhythm", skipped=skipped,
                profile=by_function(ours))]
