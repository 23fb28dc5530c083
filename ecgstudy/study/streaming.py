"""What preparing costs as a data set grows: seconds, bytes on disk, and the largest memory of the process, each size in one of its own.

    python -m ecgstudy.study.streaming [records ...]

Simulated recordings are prepared, straight from the simulator, and the sizes are stored in book/benchmarks/scale.json: what page 18
multiplies up is what is measured here. Memory must not grow with the recordings, only with the table, which stays in memory.
"""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ecgstudy import files
from ecgstudy.errors import ConfigurationError, RunError

FORMS = ("simulator", "published")      # straight from the simulator; files in the form of PTB-XL's records100
PTBXL_RECORDS = 21_800                  # PTB-XL, to the hundred
SIZES = (PTBXL_RECORDS // 10, PTBXL_RECORDS, 10 * PTBXL_RECORDS)


@dataclass(frozen=True)
class Streamed:
    """One preparation: elapsed and processor seconds, the process's largest resident memory, and what lies on disk, in bytes."""

    form: str
    n_records: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    signals_bytes: int
    table_bytes: int

    def __str__(self) -> str:
        peak, signals, table = (f"{size / 1e6:,.1f} MB" for size in (self.peak_bytes, self.signals_bytes, self.table_bytes))
        return (f"{self.form}: {self.n_records:,} records in {self.seconds:.0f} s ({self.cpu_seconds:.0f} s of processor), "
                f"peak {peak}, {signals} of signals, {table} of table")


def measure(form: str, n_records: int, where: Path | None = None, source: Path | None = None) -> Streamed:
    """Prepare `n_records` in a process of its own, in a folder that is removed again.

    where: the disk to write to (default: the system's temporary folder). source: recordings of the `published` form. Raises RunError,
    with the last words of the process, where it fails.
    """
    with tempfile.TemporaryDirectory(dir=where) as folder:
        words = [sys.executable, "-c", "from ecgstudy.study import streaming; streaming.child()", form, str(n_records), folder, str(source)]
        done = subprocess.run(words, cwd=files.repository(), capture_output=True, text=True)
    if done.returncode:
        raise RunError(f"preparing {n_records} records ({form}) failed: {done.stderr[-500:]}")
    return Streamed(**json.loads(done.stdout))


def child() -> None:
    """What `measure` runs: prepare, and write a `Streamed` to standard output as JSON."""
    form, n_records, folder, source = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    began, cpu = time.perf_counter(), time.process_time()
    if form == "simulator":
        from ecgstudy.data.synthetic.prepared import prepare_synthetic
        prepared = prepare_synthetic(folder / "prepared", n_records)
    else:
        from ecgstudy.data.prepare import prepare
        prepared = prepare("ptbxl", source=Path(source), home=folder)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    sizes = [(prepared.folder / name).stat().st_size for name in ("signals.npy", "table.csv")]
    sys.stdout.write(json.dumps(asdict(Streamed(form, len(prepared.table), seconds, cpu, peak_bytes(), *sizes))))


def peak_bytes() -> int:
    """The largest resident memory of this process. Linux tells it of the program itself; `getrusage` would count what started it, too."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def stored() -> Path:
    """Where the measurements lie."""
    return files.repository() / "book" / "benchmarks" / "scale.json"


def main(words: list[str]) -> int:
    """Measure the simulator's sizes, and store all of them once the last is there."""
    if not all(word.isdigit() and int(word) for word in words):
        raise ConfigurationError(f"usage: python -m ecgstudy.study.streaming [records ...], not {' '.join(words)}")
    found = []
    for n_records in map(int, words or SIZES):
        found.append(measure("simulator", n_records))
        sys.stdout.write(f"{found[-1]}\n")
    files.write_json(stored(), {"measured": [asdict(each) for each in found], "machine": _machine(),
                                "finished": time.strftime("%Y-%m-%d", time.gmtime())})
    return 0


def _machine() -> str:
    import torch

    from ecgstudy.train.device import describe

    return f"{describe(torch.device('cpu'))['device_name']}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
