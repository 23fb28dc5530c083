"""What preparing costs as a data set grows: seconds, bytes on disk, and the largest memory of the process, each size in one of its own.

    python -m ecgstudy.study.streaming [simulator] [published] [training]

Simulated recordings are prepared, straight from the simulator and from files in a published form, and the base network is trained for a
few steps. What is measured is stored in book/benchmarks/scale.json, and page 18 multiplies it up. Memory must not grow with the
recordings, only with the table, which stays in memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ecgstudy import files
from ecgstudy.bench.recordings import write_ptbxl
from ecgstudy.errors import RunError, require_known

PTBXL_RECORDS = 21_800                  # PTB-XL, to the hundred
# Straight from the simulator; and read from files in the form of PTB-XL's records100, which take longer to write than to read.
SIZES = {"simulator": (PTBXL_RECORDS // 10, PTBXL_RECORDS, 10 * PTBXL_RECORDS), "published": (PTBXL_RECORDS // 10, PTBXL_RECORDS // 3)}
BASE, N_CLASSES = "inception_former", 9


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


def training_seconds(batch: int = 8, steps: int = 3) -> dict[str, Any]:
    """Processor seconds of one core for one record in a training step of the base: forward, loss, backward, update; the median step."""
    import torch

    from ecgstudy.models import build_model
    from ecgstudy.study.chosen import SIGNAL
    from ecgstudy.study.complexity import median_seconds
    from ecgstudy.train.seeds import scoped_seed

    with scoped_seed(0):
        model = build_model(BASE, SIGNAL, N_CLASSES).train()
    generator = torch.Generator().manual_seed(0)
    x = torch.empty(batch, SIGNAL.n_leads, SIGNAL.n_samples).normal_(generator=generator)
    targets = (torch.empty(batch, N_CLASSES).uniform_(generator=generator) < 0.2).float()
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(model(x), targets).backward()
        optimiser.step()

    return {"model": BASE, "batch": batch, "cpu_seconds_per_record": median_seconds(step, x.device, steps) / batch}


def stored() -> Path:
    """Where the measurements lie."""
    return files.repository() / "book" / "benchmarks" / "scale.json"


def main(words: list[str]) -> int:
    """Measure the parts that are named, all by default; each is stored as soon as it is there, in place of the same one before."""
    for word in words:
        require_known("part", word, (*SIZES, "training"))
    for part in words or (*SIZES, "training"):
        if part == "training":
            _store({"training": training_seconds()})
            continue
        for n_records in SIZES[part]:
            with tempfile.TemporaryDirectory() as source:
                if part == "published":
                    write_ptbxl(Path(source), n_records)
                found = measure(part, n_records, source=Path(source))
            sys.stdout.write(f"{found}\n")
            sys.stdout.flush()
            _store({"measured": [asdict(found)]})
    return 0


def _store(found: dict[str, Any]) -> None:
    """Add to what is stored; of two preparations of one form and size the later one stays."""
    from ecgstudy.train.device import processor

    held = files.read_json(stored()) if stored().is_file() else {"measured": []}
    sizes = {(each["form"], each["n_records"]): each for each in (*held["measured"], *found.pop("measured", []))}
    files.write_json(stored(), held | found | {"measured": [sizes[key] for key in sorted(sizes)], "machine": processor(),
                                               "finished": time.strftime("%Y-%m-%d", time.gmtime())})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
