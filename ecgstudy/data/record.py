"""Read one recording in any published form, check it against its own description, or refuse it.

Three forms are known:
    WFDB header `.hea` + `.dat`      format 16: little-endian int16 samples [T][lead] (PTB-XL, LUDB)
    WFDB header `.hea` + `.mat`      format 16+24: the same samples behind the 24-byte header of a MATLAB v4 file (PhysioNet
                                     Challenge forms of CPSC2018 and Chapman-Shaoxing)
    `.mat` alone                     MATLAB v5 structure `ECG` of sex, age and data [12, T] in mV, 500 Hz (CPSC2018 as released)

The header grammar is that of the WFDB Applications Guide, header(5), read strictly: what a general reader would guess or
skip over (a short file, another checksum, no gain) is refused here. Every refusal is a DataError that names the file.
"""

from __future__ import annotations

import math
import os
import re
import statistics
import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ecgstudy.data.matlab5 import read_structure
from ecgstudy.errors import DataError
from ecgstudy.leads import LEADS, lead_order

MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "µV": 1e-3, "μV": 1e-3, "V": 1e3}    # one unit in mV; both code points of µ occur
ORIGINAL_FS = 500                   # the CPSC2018 structure does not carry its sampling rate; its publisher states it
HIGHEST_FS = 10_000                 # Hz; above it a header is damaged, and a filter for it would not fit in memory
PLAUSIBLE_RANGE = (0.05, 20.0)      # mV; the median over leads of each lead's range. Outside it the gain or unit is wrong
EXCLUDE_FILE = "exclude.txt"        # in a data set's folder: recordings that a person leaves out, by name
LARGEST_HEADER = 65536              # bytes; a header of twelve leads has about a thousand
NOT_A_SAMPLE = -32768               # format 16 marks an invalid sample with it

_RECORD_LINE = re.compile(r"(\S+)\s+(\d{1,4})\s+(\d{1,9}(?:\.\d*)?)(?:/\S+)?\s+(\d{1,15})(?:\s+.*)?", re.ASCII)
_SIGNAL_LINE = re.compile(r"(?P<file>\S+)\s+(?P<format>[^\s+]+)(?:\+(?P<offset>\d{1,9}))?\s+"
                          r"(?P<gain>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?:\((?P<baseline>-?\d{1,9})\))?(?:/(?P<unit>\S+))?\s+"
                          r"\d+\s+(?P<zero>-?\d{1,9})\s+-?\d+\s+(?P<checksum>-?\d{1,9})\s+\d+\s+(?P<lead>.*\S)\s*", re.ASCII)
_REPAIR = "fetch the data set again with `python -m ecgstudy data fetch --repair`"


@dataclass(frozen=True)
class Record:
    """One recording. signal: float32 [L=12, T] in mV, leads in the study's order; fs in Hz.

    age in years (NaN where unknown), sex `male`, `female` or empty, dx the SNOMED CT codes of the header, source the file read.
    """

    record_id: str
    signal: np.ndarray
    fs: int
    age: float
    sex: str
    dx: tuple[str, ...]
    source: Path


@dataclass(frozen=True)
class Header:
    """A WFDB header. Per lead, in file order: name, gain (units per mV), baseline (units), checksum (modulo 65536)."""

    path: Path
    record_id: str
    fs: int
    n_samples: int
    signal_file: Path
    offset: int
    leads: tuple[str, ...]
    gains: tuple[float, ...]
    baselines: tuple[int, ...]
    checksums: tuple[int, ...]
    comments: dict[str, str]

    @property
    def age(self) -> float:
        return parse_age(self.comments.get("age", ""))

    @property
    def sex(self) -> str:
        return parse_sex(self.comments.get("sex", ""))

    @property
    def dx(self) -> tuple[str, ...]:
        return tuple(code.strip() for code in self.comments.get("dx", "").split(",") if code.strip().isdigit())


def read_record(path: Path) -> Record:
    """Read a recording by its header, its signal file, or their common name without a suffix. DataError where it is faulty."""
    path = Path(path)
    if path.suffix == ".hea":
        return _read_wfdb(read_header(path))
    stem = path.parent / path.stem if path.suffix in (".dat", ".mat") else path
    header, matlab = Path(f"{stem}.hea"), Path(f"{stem}.mat")
    if path.suffix != ".dat" and not header.exists() and matlab.exists():
        return _read_matlab_structure(matlab)
    return _read_wfdb(read_header(header))


def check(record: Record) -> Record:
    """Return the record where every sample is finite and its amplitude is plausible for an ECG, else raise DataError."""
    spans = np.ptp(record.signal, axis=1)       # [L]; not finite where a sample is not
    if not np.isfinite(spans).all():
        counts = (~np.isfinite(record.signal)).sum(axis=1)
        per_lead = [f"{lead} {count}" for lead, count in zip(LEADS, counts, strict=True) if count]
        raise DataError(f"{record.source}: samples that are not finite ({', '.join(per_lead)}); every sample must be a number. "
                        f"To mend it, {_REPAIR}")
    span = statistics.median(spans.tolist())
    low, high = PLAUSIBLE_RANGE
    if not low <= span <= high:
        raise DataError(f"{record.source}: the median range of its leads is {span:.4g} mV, expected {low} to {high} mV; its gain "
                        f"or unit is wrong or nothing was recorded. To mend it, {_REPAIR}")
    return record


def read_exclusions(folder: Path) -> frozenset[str]:
    """Recordings that a person leaves out: in `exclude.txt`, one file name without suffix a line, `#` begins a reason."""
    path = Path(folder) / EXCLUDE_FILE
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return frozenset(name for line in lines if (name := line.partition("#")[0].strip()))


def refuse_faulty(faults: Sequence[str], n_read: int, folder: Path) -> None:
    """Raise one DataError for all faulty recordings of a data set; nothing where there are none."""
    if faults:
        raise DataError(f"{len(faults)} of {n_read} recordings in {folder} are faulty and nothing was written. Mend them, or "
                        f"leave them out by writing their names into {Path(folder) / EXCLUDE_FILE}, one a "
                        f"line:\n{abridge(faults, 20, chr(10))}")


def read_headers(paths: Collection[Path], folder: Path) -> dict[str, Header]:
    """Headers by record id; one DataError names every header that is faulty or stands twice."""
    headers, faults = {}, []
    for path in paths:
        try:
            header = read_header(path)
            if (first := headers.setdefault(header.record_id, header)) is not header:
                faults.append(f"{path}: the same record as {first.signal_file}; each may stand once")
        except DataError as error:
            faults.append(str(error))
    refuse_faulty(faults, len(paths), folder)
    return headers


def paired_headers(folder: Path, exclude: Collection[str] = ()) -> list[Path]:
    """All WFDB headers below a folder, sorted by name, less the excluded; DataError lists halves whose other half is missing."""
    headers, signals = set(), set()
    for parent, _, names in os.walk(folder):
        for name in names:
            stem, suffix = os.path.splitext(os.path.join(parent, name))
            if os.path.basename(stem) in exclude:
                continue
            if suffix == ".hea":
                headers.add(stem)
            elif suffix in (".dat", ".mat"):
                signals.add(stem)
    if halves := sorted(headers ^ signals):
        lacking = [f"{stem} has no {'signal file' if stem in headers else '.hea'}" for stem in halves]
        raise DataError(f"{folder}: {len(halves)} recordings lack one of their two files: {abridge(lacking)}. To complete them, "
                        f"{_REPAIR}")
    return sorted((Path(f"{stem}.hea") for stem in headers), key=lambda path: path.name)


def abridge(items: Iterable[str], most: int = 10, joint: str = ", ") -> str:
    """The first items, joined, and how many more there are."""
    items = list(items)
    return joint.join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def parse_age(text: str) -> float:
    """Age in years from a header's comment; NaN where it is not stated."""
    try:
        age = float(text)
    except ValueError:
        return math.nan
    return age if 0 <= age <= 130 else math.nan


def parse_sex(text: str) -> str:
    """`male`, `female`, or empty where it is not stated."""
    return {"m": "male", "male": "male", "f": "female", "female": "female"}.get(text.strip().casefold(), "")


def read_header(path: Path) -> Header:
    """Read a WFDB header of one segment in format 16; DataError where a line is not what the study's data sets declare."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_HEADER + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); a recording is a header with a .dat or .mat file beside it, "
                        f"or a MATLAB structure .mat alone. To complete it, {_REPAIR}") from None
    if len(content) > LARGEST_HEADER:
        raise DataError(f"{path} is longer than {LARGEST_HEADER} bytes and no header of a recording; {_REPAIR}")
    return _parsed(path, content)


@lru_cache(maxsize=11_000)          # a catalog reads all headers of a data set, then each is needed with its samples
def _parsed(path: Path, content: bytes) -> Header:
    lines = content.decode("utf-8", "replace").splitlines()
    comments = dict(_comment(line) for line in lines if line.lstrip().startswith("#"))
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    record_id, n_leads, fs, n_samples = _record_line(path, lines)
    if len(lines) - 1 != n_leads:
        raise DataError(f"{path}: its first line declares {n_leads} leads, but {len(lines) - 1} signal lines follow; {_REPAIR}")
    matches = [_signal_line(path, line) for line in lines[1:]]
    sources = {(match["file"], match["offset"] or "0") for match in matches}
    if len(sources) != 1:
        raise DataError(f"{path}: signals in {len(sources)} files or offsets; expected one file for all leads")
    name, offset = sources.pop()
    if name not in (f"{record_id}.dat", f"{record_id}.mat"):
        raise DataError(f"{path}: its signals are said to be in {name!r}; expected {record_id}.dat or {record_id}.mat beside it")
    return Header(path, record_id, fs, n_samples, path.with_name(name), int(offset),
                  leads=tuple(match["lead"] for match in matches),
                  gains=tuple(_gain(path, match) for match in matches),
                  baselines=tuple(int(match["baseline"] or match["zero"]) for match in matches),
                  checksums=tuple(int(match["checksum"]) % 65536 for match in matches), comments=comments)


def _comment(line: str) -> tuple[str, str]:
    key, _, value = line.lstrip("# \t").partition(":")
    return key.strip().casefold(), value.strip()


def _record_line(path: Path, lines: list[str]) -> tuple[str, int, int, int]:
    match = _RECORD_LINE.fullmatch(lines[0].strip()) if lines else None
    if match is None:
        raise DataError(f"{path}: its first line is {lines[0] if lines else ''!r:.80}; expected `name leads rate samples`; "
                        f"{_REPAIR}")
    name, n_leads, fs, n_samples = match.groups()
    stem = path.stem
    if name.removesuffix(".mat") != stem:
        raise DataError(f"{path}: describes a record named {name!r}; expected {stem!r}, the name of the file")
    rate = float(fs)
    if not rate.is_integer() or not 1 <= rate <= HIGHEST_FS:
        raise DataError(f"{path}: sampling rate {fs} Hz; expected a whole number from 1 to {HIGHEST_FS}")
    if int(n_samples) == 0:
        raise DataError(f"{path}: declares 0 samples; expected at least 1")
    return stem, int(n_leads), int(rate), int(n_samples)


def _signal_line(path: Path, line: str) -> re.Match:
    match = _SIGNAL_LINE.fullmatch(line.strip())
    if match is None:
        raise DataError(f"{path}: the signal line {line!r:.100} cannot be read; expected `file format gain(baseline)/unit "
                        f"resolution zero first checksum block lead`; {_REPAIR}")
    if match["format"] != "16":
        raise DataError(f"{path}: lead {match['lead']} is stored in format {match['format']}; expected 16")
    return match


def _gain(path: Path, match: re.Match) -> float:
    """Units per millivolt of one lead. A header without a unit means mV (header(5))."""
    unit, gain = match["unit"] or "mV", float(match["gain"])
    if unit not in MILLIVOLTS:
        raise DataError(f"{path}: lead {match['lead']} is in {unit!r}; expected one of {', '.join(MILLIVOLTS)}")
    if not 1e-30 < gain < 1e30:     # what a float32 can divide by
        raise DataError(f"{path}: lead {match['lead']} has gain {match['gain']}; expected a positive number of units per {unit}")
    return gain / MILLIVOLTS[unit]


def _read_wfdb(header: Header) -> Record:
    path, n_leads = header.signal_file, len(header.leads)
    order = lead_order(header.leads, str(header.path))
    expected = header.offset + 2 * n_leads * header.n_samples
    try:
        with open(path, "rb") as file:
            if (found := os.fstat(file.fileno()).st_size) != expected:
                raise DataError(f"{path} has {found} bytes, but its header declares {n_leads} leads x {header.n_samples} "
                                f"samples: {expected} bytes; {_REPAIR}")
            content = file.read()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}), though its header names it; {_REPAIR}") from None
    if path.suffix == ".mat":
        _check_matlab4(path, content[:header.offset], n_leads, header.n_samples)
    samples = np.frombuffer(content, "<i2", offset=header.offset).reshape(header.n_samples, n_leads)     # [T, L]
    digital = np.take(samples.T, order, axis=0)                                                         # [L, T]
    checksums = np.array(header.checksums)[order]
    sums = digital.view(np.uint16).sum(axis=1, dtype=np.uint16)     # wraps at 65536, as the checksum does
    if (wrong := np.flatnonzero(sums != checksums)).size:
        differing = [f"{LEADS[k]} sums to {sums[k]}, expected {checksums[k]}" for k in wrong]
        raise DataError(f"{path}: checksums differ ({abridge(differing, 3)}); the samples are damaged. {_REPAIR.capitalize()}")
    signal = digital.astype(np.float32)
    if any(header.baselines):
        signal -= np.array(header.baselines, np.float32)[order, None]
    signal /= np.array(header.gains, np.float32)[order, None]
    if digital.min() == NOT_A_SAMPLE:
        signal[digital == NOT_A_SAMPLE] = np.nan
    return Record(header.record_id, signal, header.fs, header.age, header.sex, header.dx, path)


def _check_matlab4(path: Path, start: bytes, n_leads: int, n_samples: int) -> None:
    """The 24 bytes must say: little-endian int16 matrix `val` of n_leads rows and n_samples columns."""
    expected = struct.pack("<5i4s", 30, n_leads, n_samples, 0, 4, b"val\0")
    if start != expected:
        raise DataError(f"{path} does not start as a MATLAB v4 int16 matrix of {n_leads} x {n_samples} samples (found "
                        f"{start.hex(' ', 4) or 'nothing'}, expected {expected.hex(' ', 4)}); {_REPAIR}")


def _read_matlab_structure(path: Path) -> Record:
    with open(path, "rb") as file:
        start = file.read(10)
    if start != b"MATLAB 5.0":
        raise DataError(f"{path} starts with {start!r}, expected the structure ECG in a MATLAB 5.0 file; a MATLAB v4 file needs "
                        f"its .hea beside it. To complete it, {_REPAIR}")
    try:
        ecg = read_structure(path, "ECG")
        data = np.asarray(ecg["data"], dtype=np.float32)
        sex, age = (ecg[name] if isinstance(ecg[name], str) else str(ecg[name].item()) for name in ("sex", "age"))
    except (ValueError, KeyError) as error:
        raise DataError(f"{path} is not a whole MATLAB structure ECG with sex, age and data ({type(error).__name__}: {error}); "
                        f"{_REPAIR}") from None
    if data.ndim != 2 or data.shape[0] != len(LEADS) or data.shape[1] == 0:
        raise DataError(f"{path}: ECG.data is {data.shape}, expected {len(LEADS)} leads x samples; {_REPAIR}")
    return Record(path.stem, data, ORIGINAL_FS, parse_age(age), parse_sex(sex), (), path)
