"""What is odd about a recording that can still be read: findings for a person to judge, and nothing is repaired.

`inspect` looks at one recording, `check` at every recording of a data set on disk. A finding is not a verdict: a suspected
reversal may be a pacemaker's beat, a flat lead the only fault of a useful recording. What a person then leaves out is written into
the data set's exclude.txt, by the names that the findings carry.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgstudy import files
from ecgstudy.data import chapman, ludb, manifest, ptbxl
from ecgstudy.data.prepare import find_source
from ecgstudy.data.record import Record, read_exclusions, read_record
from ecgstudy.errors import AbsentError, ConfigurationError, DataError, RunError, require_known
from ecgstudy.leads import LEADS, limb_residuals
from ecgstudy.progress import progress

logger = logging.getLogger(__name__)

KINDS = {
    "refused": "cannot be read, or contradicts its own header",
    "not_finite": "samples that are no number",
    "flat": "a lead that stays at one value for a second or longer",
    "saturated": "a lead that stays at its highest or lowest value for 50 ms or longer",
    "amplitude": "a lead whose range is implausible for an ECG",
    "limb_identities": "limb leads that contradict each other",
    "suspected_swap": "leads in another order or upside down would end that contradiction",
    "suspected_reversal": "arm electrodes that may have been exchanged",
    "length": "another length than 10 s",
    "sampling_rate": "a sampling rate that no data set of the study publishes",
}
DATASETS = ("ptbxl", "cpsc", "chapman", "ludb")

SECONDS = 10
PUBLISHED_FS = (100, 500)
FLAT_SECONDS, SATURATED_SECONDS = 1.0, 0.05     # saturated: longer than the crest of a wave stays within one step
SATURATED_FROM = 0.4            # of a lead's range, from its median: nearer by, a held end is a quiet stretch between waves
LEAD_RANGE = (0.1, 10.0)        # mV; 99.9 % of the leads of PTB-XL range over 0.2 to 8 mV
SMALLEST_STEP = 1e-3            # mV; what was filtered after digitising shows finer steps, and still carries the rounding
STEPS = 2.5                     # an identity of rounded values is off by 1.5 steps at most
REVERSED_CORRELATION = -0.5     # leads I and V6 look to the same side, so their slopes agree unless I is upside down
REVERSED_POLARITY = 0.1         # of a lead's range, how much more of it lies to one side of its median
PARALLEL_FROM = 2000            # recordings; below it, starting processes costs more than they save
MOST_WORKERS = 8                # more would still be starting when these are done
CHUNK = 256                     # recordings that a process takes at a time
SCHEMA = 1


@dataclass(frozen=True)
class Finding:
    """One oddity: kind is a key of KINDS, leads those it concerns (empty: the recording), detail says it in words."""

    record_id: str
    kind: str
    leads: tuple[str, ...]
    detail: str


@dataclass(frozen=True)
class Report:
    """What `check` found: findings in the order of the recordings' names."""

    dataset: str
    n_records: int
    findings: tuple[Finding, ...]

    @property
    def table(self) -> pd.DataFrame:
        """Each kind with the number of records it concerns, their share, and up to three examples; kinds not found show 0."""
        rows = []
        for kind in KINDS:
            names = list(dict.fromkeys(finding.record_id for finding in self.findings if finding.kind == kind))
            rows.append((kind, len(names), len(names) / self.n_records, ", ".join(names[:3])))
        return pd.DataFrame(rows, columns=["kind", "records", "share", "examples"])


# One recording

def inspect(record: Record) -> list[Finding]:
    """The findings of a recording that could be read, in the order of KINDS; none where nothing is odd."""
    return [Finding(record.record_id, kind, tuple(leads), detail)
            for look in (_not_finite, _flat, _saturated, _amplitude, _limb_leads, _arm_electrodes, _length, _sampling_rate)
            for kind, leads, detail in look(record)]


Looked = Iterator[tuple[str, list[str], str]]       # kind, leads, detail


def _not_finite(record: Record) -> Looked:
    shares = 1 - np.isfinite(record.signal).mean(axis=1)
    if shares.any():
        yield "not_finite", *_by_lead(shares > 0, "{:.2%} of its samples", shares)


def _flat(record: Record) -> Looked:
    longest = _longest_runs(record.signal[:, 1:] == record.signal[:, :-1]) + 1
    flat = longest >= min(FLAT_SECONDS * record.fs, record.signal.shape[1])
    if flat.any():
        yield "flat", *_by_lead(flat, "{:.2f} s at one value", longest / record.fs)


def _saturated(record: Record) -> Looked:
    low, high = _extremes(record)
    for end in (low, high):
        longest = _longest_runs(record.signal == end[:, None])
        held = (longest >= SATURATED_SECONDS * record.fs) & (longest > 1) & (low < high)
        for k in np.flatnonzero(held):              # few: only these need a median
            held[k] = abs(end[k] - np.nanmedian(record.signal[k])) >= SATURATED_FROM * (high[k] - low[k])
        if held.any():
            yield "saturated", *_by_lead(held, "{} samples at {:.3f} mV", longest, end)


def _amplitude(record: Record) -> Looked:
    low, high = _extremes(record)
    spans = high - low
    odd = (spans > 0) & ((spans < LEAD_RANGE[0]) | (spans > LEAD_RANGE[1]))
    if odd.any():
        leads, detail = _by_lead(odd, "ranges over {:.4g} mV", spans)
        yield "amplitude", leads, f"{detail}; expected {LEAD_RANGE[0]} to {LEAD_RANGE[1]} mV"


def _limb_leads(record: Record) -> Looked:
    """Departures from the limb identities and, where a permutation or a sign ends them, which."""
    whole = np.isfinite(record.signal).all(axis=0)
    recorded = record.signal if whole.all() else record.signal[:, whole]
    if not whole.any():
        return
    tolerance = STEPS * _step(recorded)
    departures = limb_residuals(recorded)
    broken = [lead for lead, departure in departures.items() if departure > tolerance]
    if not broken:
        return
    listed = ", ".join(f"{lead} by {departures[lead]:.3f}" for lead in broken)
    yield "limb_identities", broken, f"depart in mV: {listed}; up to {tolerance:g} is tolerated"
    if (mended := _mending(recorded, tolerance)) is not None:
        yield "suspected_swap", *mended


def _arm_electrodes(record: Record) -> Looked:
    """RA and LA exchanged turns lead I upside down and exchanges II with III and aVR with aVL: every identity still holds.

    What gives it away is lead I against V6, which the exchange does not touch. Exchanged on purpose in 2,000 recordings of
    PTB-XL, 69 % are found; as published, 6 of all 21,799, of which 3 are paced and 2 have a lateral infarction.
    """
    if not np.isfinite(record.signal).all():
        return
    one, avr, six = (record.signal[LEADS.index(lead)] for lead in ("I", "aVR", "V6"))
    half = max(1, record.fs // 100)
    slopes = [lead[2 * half:] - lead[:-2 * half] for lead in (one, six)]       # over 20 ms: the QRS, without baseline wander
    energy = float(np.sqrt(np.square(slopes[0]).sum() * np.square(slopes[1]).sum()))
    if not energy > 0 or (agreement := float((slopes[0] * slopes[1]).sum()) / energy) > REVERSED_CORRELATION:
        return
    if _polarity(one) < -REVERSED_POLARITY and _polarity(avr) > REVERSED_POLARITY and _polarity(six) > REVERSED_POLARITY:
        yield ("suspected_reversal", ["I", "II", "III", "aVR", "aVL"],
               f"RA and LA: I is mostly negative, aVR and V6 mostly positive, and I runs against V6 (correlation of slopes "
               f"{agreement:.2f}); pacing, a lateral infarction and dextrocardia can look alike")


def _length(record: Record) -> Looked:
    if (n_samples := record.signal.shape[1]) != SECONDS * record.fs:
        yield "length", [], f"{n_samples / record.fs:g} s, expected {SECONDS} s"


def _sampling_rate(record: Record) -> Looked:
    if record.fs not in PUBLISHED_FS:
        yield "sampling_rate", [], f"{record.fs} Hz, expected {' or '.join(map(str, PUBLISHED_FS))} Hz"


def _by_lead(chosen: np.ndarray, text: str, *values: np.ndarray) -> tuple[list[str], str]:
    """The chosen leads [L], and the text for each with its own values (each [L])."""
    rows = np.flatnonzero(chosen)
    return [LEADS[k] for k in rows], "; ".join(f"{LEADS[k]} {text.format(*(value[k] for value in values))}" for k in rows)


def _extremes(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest finite value of each lead; NaN where it has none."""
    finite = np.where(np.isfinite(record.signal), record.signal, np.nan)
    return np.fmin.reduce(finite, axis=1), np.fmax.reduce(finite, axis=1)


def _longest_runs(mask: np.ndarray) -> np.ndarray:
    """Length of the longest run of True in each row of [L, T]."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), bool)
    padded[:, 1:-1] = mask
    edges = np.flatnonzero(padded.ravel()[1:] != padded.ravel()[:-1])          # begins and ends alternate; no run leaves its row
    longest = np.zeros(mask.shape[0], np.int64)
    np.maximum.at(longest, edges[::2] // padded.shape[1], edges[1::2] - edges[::2])
    return longest


def _step(recorded: np.ndarray) -> float:
    """The step of the digitiser in mV: the smallest change between two samples, typical of the limb leads that change at all."""
    changes = np.abs(np.diff(recorded[:6], axis=1))
    smallest = np.where(changes > SMALLEST_STEP / 2, changes, np.inf).min(axis=1, initial=np.inf)
    moving = smallest[np.isfinite(smallest)]
    return max(SMALLEST_STEP, float(np.median(moving))) if moving.size else SMALLEST_STEP


def _mending(recorded: np.ndarray, tolerance: float) -> tuple[list[str], str] | None:
    """The first of these that makes all limb identities hold: two leads exchanged, one upside down, the limb leads reordered."""
    def holds(candidate: np.ndarray) -> bool:
        return max(limb_residuals(candidate).values()) <= tolerance

    order = list(range(len(LEADS)))
    for i, k in itertools.combinations(order, 2):
        if i < 6:
            exchanged = order.copy()
            exchanged[i], exchanged[k] = k, i
            if holds(recorded[exchanged]):
                return [LEADS[i], LEADS[k]], f"{LEADS[i]} and {LEADS[k]} exchanged: then every limb identity holds"
    for k in range(6):
        if holds(np.where(np.arange(len(LEADS))[:, None] == k, -recorded, recorded)):
            return [LEADS[k]], f"{LEADS[k]} upside down: turned over, every limb identity holds"
    for limb in itertools.permutations(range(6)):
        if holds(recorded[list(limb)]):
            moved = [LEADS[k] for k in range(6) if limb[k] != k]
            return moved, f"limb leads in another order: taken as {', '.join(LEADS[k] for k in limb)}, every limb identity holds"
    return None


def _polarity(lead: np.ndarray) -> float:
    """From -1 (all deflections below the median) to 1 (all above), but for the outermost hundredth at each side."""
    low, middle, high = np.percentile(lead, (1, 50, 99))
    return float((high + low - 2 * middle) / (high - low)) if high > low else 0.0


# A whole data set

def check(dataset: str, source: Path | None = None, workers: int | None = None) -> Report:
    """Inspect every recording of a data set on disk; one that cannot be read is a finding of kind `refused`.

    source: its folder, default as for `prepare`. workers: processes, default one for each core up to MOST_WORKERS, and one for
    a small data set; the report is the same for any number. Raises ConfigurationError for an unknown data set, AbsentError
    where it is not on this machine, RunError where a process was killed.
    """
    if workers is not None and workers < 1:
        raise ConfigurationError(f"workers is {workers}; expected at least 1")
    folder = _folder(require_known("dataset", dataset, DATASETS), source)
    paths = recordings(dataset, folder)
    if not paths:
        raise AbsentError(f"{folder} holds no recordings of {dataset}; fetch them with `python -m ecgstudy data fetch {dataset}`")
    workers = workers or (min(os.cpu_count() or 1, MOST_WORKERS) if len(paths) >= PARALLEL_FROM else 1)
    chunks = [paths[start:start + CHUNK] for start in range(0, len(paths), CHUNK)]
    look = functools.partial(_inspect_files, dataset)
    findings: list[Finding] = []
    with progress(total=len(paths), desc=f"checking {dataset}", unit="record") as bar:
        for chunk, found in zip(chunks, _each(look, chunks, workers), strict=True):
            findings += found
            bar.update(len(chunk))
    return Report(dataset, len(paths), tuple(findings))


def recordings(dataset: str, folder: Path) -> list[Path]:
    """Every recording on disk that belongs to the data set, by its header, or by its signal file where there is no header.

    Sorted by name, less those of exclude.txt, those that PTB-XL withdrew, and those in Chapman's tree that come from Ningbo.
    """
    root, belongs = Path(folder), _membership(dataset, Path(folder))
    if dataset == "ptbxl":
        root /= _ptbxl_form(root)[0]
    excluded = read_exclusions(folder)
    found: dict[str, Path] = {}
    for parent, _, names in os.walk(root):
        for stem, suffix in map(os.path.splitext, sorted(names)):
            if suffix in (".dat", ".mat", ".hea") and stem not in excluded and belongs(stem):
                if suffix == ".hea" or os.path.join(parent, stem) not in found:
                    found[os.path.join(parent, stem)] = Path(parent, stem + suffix)
    return sorted(found.values(), key=lambda path: (len(path.stem), path.stem, str(path)))


def _membership(dataset: str, folder: Path) -> Callable[[str], bool]:
    """Whether a file name without suffix is one of the data set's recordings."""
    if dataset == "ptbxl":
        table, column = folder / "ptbxl_database.csv", _ptbxl_form(folder)[1]
        try:
            listed = {Path(name).name for name in pd.read_csv(table, usecols=[column])[column].dropna()}
        except (OSError, ValueError) as error:
            logger.warning("ptbxl: %s cannot be read (%s); recordings that were withdrawn are checked too", table, error)
        else:
            return listed.__contains__
    if dataset == "chapman":
        last = f"JS{chapman.N_RECORDS:05d}"
        return lambda stem: stem <= last
    return lambda stem: True


def _ptbxl_form(folder: Path) -> tuple[str, str, int]:
    return next((form for form in ptbxl.FORMS if (folder / form[0]).is_dir()), ptbxl.FORMS[0])


def _folder(dataset: str, source: Path | None) -> Path:
    if source is not None:
        return Path(source)
    published = manifest.source(dataset).path()
    found = published if dataset == "ludb" else find_source(dataset, files.home())
    if found is None or not found.is_dir():
        raise AbsentError(f"{dataset} is not here: {published} does not exist. Fetch it with `python -m ecgstudy data fetch {dataset}`")
    return found


def _each(look: Callable[[list[Path]], list[Finding]], chunks: list[list[Path]], workers: int) -> Iterator[list[Finding]]:
    """`look` at each chunk, in order, here or in several processes."""
    if workers == 1:
        yield from map(look, chunks)
        return
    # Fresh processes: a fork would inherit whatever threads and locks the caller has.
    with ProcessPoolExecutor(min(workers, len(chunks)), get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            yield from pool.map(look, chunks)
        except BrokenProcessPool:
            raise RunError("a process that checked recordings was killed, as happens where memory runs out; close other programs "
                           "and start it again") from None


def _inspect_files(dataset: str, paths: list[Path]) -> list[Finding]:
    read = ludb.read_ludb_record if dataset == "ludb" else read_record
    findings: list[Finding] = []
    for path in paths:
        try:
            findings += inspect(read(path))
        except DataError as error:
            findings.append(Finding(path.stem, "refused", (), str(error)))
    return findings


# The report on disk

def report_path(dataset: str) -> Path:
    """Where a data set's report lies: ECGSTUDY_HOME/quality/<data set>.json."""
    return files.home() / "quality" / f"{require_known('dataset', dataset, DATASETS)}.json"


def write_report(report: Report) -> Path:
    """Write the report in its place, atomically, and return the path."""
    return files.write_json(report_path(report.dataset), {"schema": SCHEMA, **asdict(report)})


def read_report(dataset: str) -> Report | None:
    """The report of the last check, None where there was none; DataError where it is damaged."""
    path = report_path(dataset)
    if not path.exists():
        return None
    content = files.read_json(path)
    try:
        report = Report(content["dataset"], content["n_records"], tuple(_finding(each) for each in content["findings"]))
        concerned = {finding.record_id for finding in report.findings}
        whole = content["schema"] == SCHEMA and report.dataset == dataset and isinstance(report.n_records, int)
        if not whole or report.n_records < max(1, len(concerned)):
            raise ValueError(f"schema {content['schema']!r}, data set {report.dataset!r}, {report.n_records!r} records with "
                             f"findings in {len(concerned)}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a whole report of {dataset} ({type(error).__name__}: {error}); make it again with `python "
                        f"-m ecgstudy data check {dataset}`") from None
    return report


def _finding(value: dict[str, Any]) -> Finding:
    finding = Finding(value["record_id"], value["kind"], tuple(value["leads"]), value["detail"])
    texts = isinstance(finding.record_id, str) and isinstance(finding.detail, str)
    if not texts or finding.kind not in KINDS or not set(finding.leads) <= set(LEADS):
        raise ValueError(f"the finding {value!r:.120}")
    return finding
