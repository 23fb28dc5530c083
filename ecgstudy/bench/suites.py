"""All suites by name, one run of them, and the file that keeps what they found."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ecgstudy import files
from ecgstudy.bench import attention, gpu, inference, notebook, preparation, simulator, supply, training
from ecgstudy.bench.peers import versions
from ecgstudy.bench.rounds import Effort
from ecgstudy.bench.rows import Row
from ecgstudy.errors import DataError, require_known
from ecgstudy.train.device import describe, resolve_device

SUITES: dict[str, Callable[[Effort, Path], list[Row]]] = {
    "preparation": preparation.measure, "supply": supply.measure, "training": training.measure, "inference": inference.measure,
    "attention": attention.measure, "simulator": simulator.measure, "notebook": notebook.measure, "gpu": gpu.measure}
FORMAT = 1


@dataclass(frozen=True)
class Found:
    """One run of the suites. machine: what it ran on, with versions, commit, date and load. rows: what was measured."""

    kind: str
    machine: dict[str, Any]
    rows: tuple[Row, ...]

    def of(self, suite: str) -> list[Row]:
        return [row for row in self.rows if row.suite == suite]


def run(names: Sequence[str], effort: Effort) -> Found:
    """Measure the named suites, all of them where none is named. Raises ConfigurationError for an unknown name, before any work."""
    chosen = [require_known("suite", name, SUITES) for name in names] or list(SUITES)
    before, rows = os.getloadavg()[0], []
    for name in dict.fromkeys(chosen):
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
            rows += SUITES[name](effort, Path(folder))
    return Found(machine_kind(), machine(effort) | {"load": [round(before, 1), round(os.getloadavg()[0], 1)]}, tuple(rows))


def machine_kind() -> str:
    """The name of the file for this kind of machine, such as "cpu-x86_64-2-cores" or "cuda-nvidia-h100"."""
    if torch.cuda.is_available():
        return "cuda-" + re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-")
    return f"cpu-{platform.machine().lower()}-{os.cpu_count()}-cores"


def machine(effort: Effort) -> dict[str, Any]:
    """What the numbers depend on beside the code."""
    return describe(resolve_device("auto")) | {"versions": versions(), "commit": _commit(), "effort": asdict(effort),
                                              "date": datetime.date.today().isoformat()}


def _commit() -> str:
    try:
        return subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=files.repository(), capture_output=True,
                              text=True).stdout.strip()
    except FileNotFoundError:
        return ""


def folder() -> Path:
    """Where kept results lie, one file a kind of machine."""
    return files.repository() / "book" / "benchmarks"


def keep(found: Found, path: Path) -> Path:
    """Store a run. Suites that the file already holds from the same kind of machine and that were not run again stay, with their own
    machine's description beside them."""
    held = read(path) if path.is_file() else None
    again = {row.suite for row in found.rows}
    kept = [row for row in held.rows if row.suite not in again] if held and held.kind == found.kind else []
    told = {**({name: held.machine["suites"][name] for name in {row.suite for row in kept}} if kept else {}),
            **{name: {key: value for key, value in found.machine.items() if key != "suites"} for name in again}}
    rows = sorted([*kept, *found.rows], key=lambda row: list(SUITES).index(row.suite))
    return files.write_json(path, {"format": FORMAT, "kind": found.kind, "machine": found.machine | {"suites": told},
                                   "rows": [row.to_json() for row in rows]})


def read(path: Path) -> Found:
    """A stored run; DataError where the file is missing, damaged or of another format."""
    stored = files.read_json(path)
    if stored.get("format") != FORMAT:
        raise DataError(f"{path} has format {stored.get('format')!r}, expected {FORMAT}; measure again with `python -m ecgstudy bench`")
    return Found(stored["kind"], stored["machine"], tuple(Row.from_json(row) for row in stored["rows"]))
