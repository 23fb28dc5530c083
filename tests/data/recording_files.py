"""Writers of small recordings and label tables in the published forms, and the folder of the real ones."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from ecgstudy.leads import LEADS

REAL = Path(os.environ.get("ECGSTUDY_DATA") or "absent")


def needs_real(*parts: str):
    """Skip a test where these real files are not in ECGSTUDY_DATA."""
    return pytest.mark.skipif(not REAL.joinpath(*parts).exists(), reason=f"needs {'/'.join(parts)} in the folder ECGSTUDY_DATA")


def heartbeat(n_samples: int = 5000, fs: int = 500, seed: int = 0) -> np.ndarray:
    """Smooth int16 samples [12, T] of about 2 mV at 1000 units per mV, different in each lead and for each seed."""
    rng = np.random.default_rng(seed)
    phase = 2 * np.pi * (np.arange(n_samples) / fs + rng.random())
    weights = rng.integers(300, 900, (12, 2))
    return (weights[:, :1] * np.sin(1.2 * phase) + weights[:, 1:] * np.sin(5 * phase)).astype(np.int16)


def write_wfdb(folder: Path, name: str, digital: np.ndarray, *, fs: int = 500, form: str = "mat", gain: str = "1000/mV",
               leads=LEADS, comments: str = "#Age: 60\n#Sex: Male\n#Dx: 426783006\n", newline: str = "\n") -> Path:
    """Write a header and its signal file (`dat` or `mat`) for int16 [L, T]; return the header's path."""
    folder.mkdir(parents=True, exist_ok=True)
    n_leads, n_samples = digital.shape
    form16 = "16+24" if form == "mat" else "16"
    lines = [f"{name} {n_leads} {fs} {n_samples}"]
    lines += [f"{name}.{form} {form16} {gain} 16 0 {row[0]} {int(row.sum(dtype=np.int64)) % 65536} 0 {lead}"
              for lead, row in zip(leads, digital, strict=True)]
    text = newline.join([*lines, *comments.splitlines()]) + newline
    start = struct.pack("<5i4s", 30, n_leads, n_samples, 0, 4, b"val\0") if form == "mat" else b""
    (folder / f"{name}.{form}").write_bytes(start + np.ascontiguousarray(digital.T, "<i2").tobytes())
    (folder / f"{name}.hea").write_bytes(text.encode())
    return folder / f"{name}.hea"


def edit(path: Path, old: str, new: str, count: int = 1) -> None:
    """Replace text in a file that must contain it."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


def write_ptbxl(folder: Path, n_records: int = 20) -> Path:
    """A small tree in PTB-XL's form: record i is of patient i and fold (i mod 10) + 1, NORM and SR."""
    rows = ["ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr"]
    for i in range(1, n_records + 1):
        write_wfdb(folder / "records100/00000", f"{i:05d}_lr", heartbeat(1000, 100, seed=i), fs=100, form="dat",
                   gain="1000.0(0)/mV", comments="")
        age = 300.0 if i == 1 else 50.0
        names = f"records100/00000/{i:05d}_lr,records500/00000/{i:05d}_hr"
        rows.append(f"{i},{i}.0,{age},{i % 2},\"{{'NORM': 100.0, 'SR': 0.0}}\",{i % 10 + 1},{names}")
    (folder / "ptbxl_database.csv").write_text("\n".join(rows) + "\n")
    return folder


def write_reference(path: Path, rows: dict[str, str]) -> Path:
    """REFERENCE.csv; each value is the three label columns, such as `6,6,`."""
    lines = ["Recording,First_label,Second_label,Third_label", *(f"{name},{labels}" for name, labels in rows.items())]
    path.write_text("\n".join(lines) + "\n")
    return path
