"""Simulated recordings, prepared or written in the published forms, so that no suite needs a download."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pandas as pd

from ecgstudy.data.dataset import MILLIVOLT, Prepared
from ecgstudy.data.labels import CPSC_CLASSES, CPSC_SNOMED
from ecgstudy.data.prepare import FS, SECONDS
from ecgstudy.data.synthetic import simulate
from ecgstudy.data.synthetic.prepared import prepare_synthetic
from ecgstudy.leads import LEADS

CPSC_SECONDS, CPSC_FS = 16.0, 500       # the mean length of CPSC2018


def prepared_records(folder: Path, n_records: int) -> Prepared:
    """The simulator's first records, prepared in `folder`."""
    return prepare_synthetic(folder / f"prepared-{n_records}", n_records)


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
