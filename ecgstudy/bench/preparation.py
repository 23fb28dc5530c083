"""How fast recordings are prepared, beside the obvious way: a loop of wfdb.rdrecord and a resampler.

Preparing is timed as a whole: catalog, checks, folds, resampling, the folder on disk. The obvious way checks nothing and keeps its array in
memory. It is run with two resamplers: `resample_poly`, whose filter is the study's, so that the arrays must agree to one unit (0.001 mV);
and the FFT's `resample`, whose brick wall rings and wraps round the ends. Where ECGSTUDY_DATA holds real recordings, they are measured too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgstudy.bench.peers import Absent, peer
from ecgstudy.bench.profiling import by_function
from ecgstudy.bench.recordings import part_of_ptbxl, write_cpsc, write_ptbxl
from ecgstudy.bench.rounds import Effort, Rounds, interleave
from ecgstudy.bench.rows import Row
from ecgstudy.data.dataset import MILLIVOLT, Prepared
from ecgstudy.data.prepare import FS, N_SAMPLES, find_source, prepare
from ecgstudy.data.record import read_record
from ecgstudy.leads import LEADS

TIMES_THE_LOOP = 10.0


def measure(effort: Effort, folder: Path) -> list[Row]:
    """Simulated recordings of both forms, the real ones that are at hand, and reading alone beside torch_ecg's reader."""
    n_records = 60 if effort.quick else 400
    made = write_cpsc(folder / "cpsc", n_records)
    rows = pace("CPSC form, simulated", "cpsc", made, effort)
    rows += pace("PTB-XL form, simulated", "ptbxl", write_ptbxl(folder / "ptbxl", n_records), effort)
    if not effort.quick and (source := find_source("ptbxl", folder)) is not None:
        rows += pace("PTB-XL, real", "ptbxl", part_of_ptbxl(source, folder / "real", n_records), effort)
    return [*rows, reading(made, effort)]


def pace(form: str, dataset: str, folder: Path, effort: Effort) -> list[Row]:
    """The recordings in `folder` prepared by the study and both obvious ways: one row a resampler."""
    homes = (folder.parent / f"home-{folder.name}-{n}" for n in itertools.count())     # a new one each time: what is prepared is kept
    prepared = prepare(dataset, source=folder, home=next(homes))
    paths, ours = _paths(folder, prepared), np.array(prepared.signals)

    def own() -> None:
        prepare(dataset, source=folder, home=next(homes))

    ways = {"wfdb + resample_poly": ObviousWay(_by_poly), "wfdb + FFT resample": ObviousWay(_by_fft)}
    found = interleave({"ours": own, **{name: lambda way=way: way(paths) for name, way in ways.items()}}, effort,
                       desc=f"preparing, {form}")
    rows = []
    for name, way in ways.items():
        judged = name == "wfdb + resample_poly"
        rows.append(Row(
            "preparation", f"{form}: {len(ours)} recordings", "records/s", len(ours) / found.median("ours"), f"{name}, unchecked",
            len(ours) / found.median(name), found.ratio("ours", name), target=TIMES_THE_LOOP if judged else None,
            note=f"largest difference of the two arrays: {_apart(ours, way(paths))} of 0.001 mV",
            profile=by_function(own) if judged else ()))
    return rows


def reading(folder: Path, effort: Effort) -> Row:
    """Reading recordings of the Challenge form alone, header and signal, beside torch_ecg's reader."""
    headers = sorted(folder.rglob("*.hea"))[:40]
    calls: dict[str, Callable[[], object]] = {"ours": lambda: [read_record(path) for path in headers]}
    skipped = ""
    try:
        reader = peer("torch_ecg.databases").CINC2020(str(folder), verbose=0)
        names = [path.stem for path in headers]
        calls["peer"] = lambda: [reader.load_data(name, backend="scipy") for name in names]
        calls["peer"]()
    except Absent as absent:
        skipped = str(absent)
    except Exception as error:      # noqa: BLE001  a peer that cannot read these files is a finding, not a failure of this suite
        skipped = f"torch_ecg's reader does not read this form: {type(error).__name__}: {error}"
        calls.pop("peer", None)
    found: Rounds = interleave(calls, effort, least=0.05, desc="reading")
    return Row("preparation", "reading, CPSC form", "records/s", len(headers) / found.median("ours"), "torch_ecg's CINC2020.load_data",
               None if skipped else len(headers) / found.median("peer"), None if skipped else found.ratio("ours", "peer"),
               note="ours reads the header, checks the recording and returns mV with its labels", skipped=skipped)


@dataclass(frozen=True)
class ObviousWay:
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


def _paths(folder: Path, prepared: Prepared) -> list[Path]:
    """Headers in the order of the prepared table."""
    headers = {path.stem: path for path in folder.rglob("*.hea")}
    by_id = headers if prepared.dataset == "cpsc" else {stem.partition("_")[0].lstrip("0"): path for stem, path in headers.items()}
    return [by_id[record_id] for record_id in prepared.table["record_id"]]


def _apart(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(np.int32) - other).max())
