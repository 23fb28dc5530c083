"""How fast recordings are prepared, beside the obvious way: a loop of wfdb.rdrecord and a resampler, in the same run.

    python -m ecgstudy.study.speed [records]

The recordings are simulated and written here in the published forms, so no data set is needed; where ECGSTUDY_DATA holds real
ones, they are measured too. Preparing is timed as a whole: catalog, checks, folds, resampling, the folder on disk. The obvious
way checks nothing and keeps its array in memory. It is run with two resamplers: `resample_poly`, whose filter is the study's, so
that the arrays must agree to one unit (0.001 mV); and the FFT's `resample`, whose brick wall rings and wraps round the ends.
"""

from __future__ import annotations

import shutil
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecgstudy.data.dataset import MILLIVOLT, Prepared
from ecgstudy.data.labels import CPSC_CLASSES, CPSC_SNOMED
from ecgstudy.data.prepare import FS, N_SAMPLES, SECONDS, find_source, prepare
from ecgstudy.data.synthetic import simulate
from ecgstudy.errors import ConfigurationError
from ecgstudy.leads import LEADS

CPSC_SECONDS, CPSC_FS = 16.0, 500       # the mean length of CPSC2018
ROUNDS = 3                              # ours and the obvious way by turns; the medians count


@dataclass(frozen=True)
class Pace:
    """Records per second of one form, both ways, and how far the arrays are apart in units of 0.001 mV."""

    form: str
    n_records: int
    ours: float
    obvious: float
    ratio: float
    difference: int
    obvious_fft: float
    ratio_fft: float
    difference_fft: int


def measure(form: str, dataset: str, folder: Path, rounds: int = ROUNDS) -> Pace:
    """Prepare the recordings in `folder` both ways, `rounds` times by turns."""
    poly, fft = (_ObviousWay(resampler) for resampler in (_by_poly, _by_fft))
    ours_seconds, poly_seconds, fft_seconds = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as home:
            seconds, prepared = _timed(lambda home=home: prepare(dataset, source=folder, home=Path(home)))
            ours, paths = np.array(prepared.signals), _paths(folder, prepared)
        ours_seconds.append(seconds)
        seconds, by_poly = _timed(lambda paths=paths: poly(paths))
        poly_seconds.append(seconds)
        seconds, by_fft = _timed(lambda paths=paths: fft(paths))
        fft_seconds.append(seconds)
    n = len(ours)

    def ratio(others: list[float]) -> float:
        return statistics.median(other / own for own, other in zip(ours_seconds, others, strict=True))

    return Pace(form, n, n / statistics.median(ours_seconds), n / statistics.median(poly_seconds), ratio(poly_seconds),
                _apart(ours, by_poly), n / statistics.median(fft_seconds), ratio(fft_seconds), _apart(ours, by_fft))


def write_cpsc(folder: Path, n_records: int, seed: int = 0) -> Path:
    """Simulated recordings in the Challenge form of CPSC2018: 500 Hz, 16 s, `.hea` with SNOMED CT codes and `.mat`."""
    code = {name: code for code, name in CPSC_SNOMED.items()}
    simulation = simulate(seed, range(n_records), fs=CPSC_FS, seconds=CPSC_SECONDS)
    for i, (signal, labels) in enumerate(zip(simulation.signals, simulation.labels, strict=True)):
        codes = ",".join(code[name] for name, present in zip(CPSC_CLASSES, labels, strict=True) if present)
        _write(folder / "g1", f"A{i + 1:04d}", "mat", CPSC_FS, signal, f"#Age: 60\n#Sex: Male\n#Dx: {codes}\n")
    return folder


def write_ptbxl(folder: Path, n_records: int, seed: int = 0) -> Path:
    """Simulated recordings in the form of PTB-XL's records100: 100 Hz, 10 s, `.hea` and `.dat`, and their table."""
    simulation = simulate(seed, range(n_records), fs=FS, seconds=SECONDS)
    names = [f"records100/00000/{i:05d}_lr" for i in range(1, n_records + 1)]
    for name, signal in zip(names, simulation.signals, strict=True):
        _write(folder / "records100/00000", Path(name).name, "dat", FS, signal, "")
    number = np.arange(1, n_records + 1)
    pd.DataFrame({"ecg_id": number, "patient_id": number, "age": 60, "sex": 0, "scp_codes": "{'NORM': 100.0, 'SR': 0.0}",
                  "strat_fold": number % 10 + 1, "filename_lr": names}).to_csv(folder / "ptbxl_database.csv", index=False)
    return folder


def part_of_ptbxl(source: Path, folder: Path, n_records: int) -> Path:
    """The first records of a real PTB-XL, copied with their rows."""
    table = pd.read_csv(source / "ptbxl_database.csv").head(n_records)
    for name in table["filename_lr"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        for suffix in ("hea", "dat"):
            shutil.copy(source / f"{name}.{suffix}", folder / f"{name}.{suffix}")
    table.to_csv(folder / "ptbxl_database.csv", index=False)
    return folder


def report(paces: list[Pace]) -> str:
    """The measurements as a table of text."""
    rows = [("form", "records", "ours/s", "resample_poly/s", "times", "apart", "resample/s", "times", "apart")]
    rows += [(pace.form, str(pace.n_records), f"{pace.ours:.0f}", f"{pace.obvious:.0f}", f"{pace.ratio:.1f}", str(pace.difference),
              f"{pace.obvious_fft:.0f}", f"{pace.ratio_fft:.1f}", str(pace.difference_fft)) for pace in paces]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) if k else cell.ljust(width) for k, (cell, width) in enumerate(zip(row, widths, strict=True)))
             for row in rows]
    return "\n".join([*lines, "apart: the largest difference from ours, in units of 0.001 mV"])


def main(words: list[str]) -> int:
    """Measure simulated recordings of both forms, and the real ones that are at hand; write the table to standard output."""
    if len(words) > 1 or words and not words[0].isdigit():
        raise ConfigurationError(f"usage: python -m ecgstudy.study.speed [records], not {' '.join(words)}")
    n_records = int(words[0]) if words else 400
    with tempfile.TemporaryDirectory() as made:
        made = Path(made)
        paces = [measure("CPSC form, simulated", "cpsc", write_cpsc(made / "cpsc", n_records)),
                 measure("PTB-XL form, simulated", "ptbxl", write_ptbxl(made / "ptbxl", n_records))]
        if (source := find_source("cpsc", made)) is not None and any(source.rglob("*.hea")):
            paces.append(measure("CPSC2018", "cpsc", source))
        if (source := find_source("ptbxl", made)) is not None:
            paces.append(measure("PTB-XL", "ptbxl", part_of_ptbxl(source, made / "real", n_records)))
    sys.stdout.write(report(paces) + "\n")
    return 0


@dataclass(frozen=True)
class _ObviousWay:
    """What anyone would write first: read with wfdb, resample, cut, and round to microvolts."""

    resampler: Callable[[np.ndarray, int], np.ndarray]

    def __call__(self, paths: list[Path]) -> np.ndarray:
        import wfdb

        signals = np.zeros((len(paths), len(LEADS), N_SAMPLES), np.int16)
        for row, path in enumerate(paths):
            record = wfdb.rdrecord(str(path.with_suffix("")))
            resampled = self.resampler(record.p_signal, record.fs) if record.fs != FS else record.p_signal
            first = resampled[:N_SAMPLES].T
            signals[row, :, :first.shape[1]] = np.rint(first * MILLIVOLT)
        return signals


def _by_poly(signal: np.ndarray, fs: int) -> np.ndarray:
    from scipy.signal import resample_poly

    return resample_poly(signal, FS, fs, axis=0)


def _by_fft(signal: np.ndarray, fs: int) -> np.ndarray:
    from scipy.signal import resample

    return resample(signal, -(-len(signal) * FS // fs), axis=0)


def _timed(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    made = work()
    return time.perf_counter() - start, made


def _paths(folder: Path, prepared: Prepared) -> list[Path]:
    """Headers in the order of the prepared table."""
    headers = {path.stem: path for path in folder.rglob("*.hea")}
    by_id = headers if prepared.dataset == "cpsc" else {stem.partition("_")[0].lstrip("0"): path for stem, path in headers.items()}
    return [by_id[record_id] for record_id in prepared.table["record_id"]]


def _apart(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(np.int32) - other).max())


def _write(folder: Path, name: str, form: str, fs: int, signal: np.ndarray, comments: str) -> None:
    """One recording of [L, T] mV at 1000 units per mV: its signal file and a header that describes it."""
    folder.mkdir(parents=True, exist_ok=True)
    digital = np.clip(np.rint(signal * MILLIVOLT), -32767, 32767).astype("<i2")
    n_leads, n_samples = digital.shape
    start = struct.pack("<5i4s", 30, n_leads, n_samples, 0, 4, b"val\0") if form == "mat" else b""
    (folder / f"{name}.{form}").write_bytes(start + np.ascontiguousarray(digital.T).tobytes())
    stored = f"{name}.{form} {'16+24' if start else '16'} 1000(0)/mV 16 0"
    lines = [f"{name} {n_leads} {fs} {n_samples}", *(f"{stored} {row[0]} {int(row.sum(dtype=np.int64)) % 65536} 0 {lead}"
                                                     for lead, row in zip(LEADS, digital, strict=True))]
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n" + comments, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
