"""From the published files to one prepared folder: read, check, resample to 100 Hz, keep the first 10 s, store as int16.

A prepared folder lies in ECGSTUDY_HOME/prepared/<data set>-<key>; the key is the digest of the settings and of the catalog (which
records, labels, folds). The same source and settings find the same folder, others make another. Where the published files are
absent, a folder prepared elsewhere and copied here is opened as it stands, so a bare machine needs nothing else.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgstudy import files
from ecgstudy.data.dataset import MILLIVOLT, Prepared, open_prepared, verify, write_prepared
from ecgstudy.data.labels import SIMULATED
from ecgstudy.data.record import Record, abridge, check, read_exclusions, read_record, refuse_faulty
from ecgstudy.data.splits import audit
from ecgstudy.errors import AbsentError, DataError, require_known
from ecgstudy.leads import LEADS
from ecgstudy.progress import progress
from ecgstudy.signal import fit_length, resample

logger = logging.getLogger(__name__)

FS, SECONDS = 100, 10
N_SAMPLES = FS * SECONDS
FOLDERS = {"ptbxl": ("ptb-xl",), "cpsc": ("cpsc2018", "cpsc2018-original"), "chapman": ("chapman",)}     # the first that exists
PUBLISHED = {"ptbxl": 21799, "cpsc": 6877, "chapman": 10646}        # records with a label
SYNTHETIC_RECORDS, SYNTHETIC_SEED = 4000, 0
LIMIT = np.iinfo(np.int16).max                                      # 32.767 mV
BLOCK = 256                                                         # records in memory at once, 24 kB each


def prepare(dataset: str, *, source: Path | None = None, home: Path | None = None, n_records: int | None = None) -> Prepared:
    """The prepared data of `ptbxl`, `cpsc`, `chapman`, `synthetic` or `synthetic_rhythm`, made now where it is not at hand.

    source: the data set's folder; by default the first of FOLDERS in ECGSTUDY_DATA, else in ECGSTUDY_HOME/data.
    home: in place of ECGSTUDY_HOME. n_records: how many records a simulated data set has. Raises DataError that lists every record
    which fails its checks; a person may leave such records out by name in the folder's exclude.txt.
    """
    require_known("dataset", dataset, (*FOLDERS, *SIMULATED))
    home = files.home() if home is None else Path(home)
    if dataset in SIMULATED:
        return _simulated(dataset, home, n_records or SYNTHETIC_RECORDS)
    settings = {"fs": FS, "seconds": SECONDS, "pad": "zeros at the end"}
    folder = Path(source) if source is not None else find_source(dataset, home)
    if folder is None or not folder.is_dir():
        return _prepared_elsewhere(dataset, settings, home, folder)
    catalog = _catalog(dataset, folder)
    settings["excluded"] = sorted(read_exclusions(folder))
    settings["catalog"] = files.digest(catalog.drop(columns="path").to_csv(index=False))
    target = home / "prepared" / f"{dataset}-{files.digest([dataset, settings])[:12]}"
    return _ready_or_made(target, lambda: _write(dataset, catalog, folder, settings, target))


def find_source(dataset: str, home: Path) -> Path | None:
    """The folder with a data set's published files, or None."""
    return next((folder for folder in _candidates(dataset, home) if folder.is_dir()), None)


def condition(record: Record) -> tuple[np.ndarray, int, int]:
    """One record as it is stored: int16 [L, N_SAMPLES] in microvolts, samples recorded, samples clipped to ±32.767 mV."""
    check(record)
    signal, recorded = fit_length(resample(record.signal, record.fs, FS, N_SAMPLES), N_SAMPLES)
    microvolts = np.rint(signal * np.float32(MILLIVOLT))
    clipped = np.count_nonzero(np.abs(microvolts) > LIMIT)
    return np.clip(microvolts, -LIMIT, LIMIT).astype(np.int16), recorded, clipped


def _candidates(dataset: str, home: Path) -> list[Path]:
    roots = [Path(os.environ["ECGSTUDY_DATA"]).expanduser()] if os.environ.get("ECGSTUDY_DATA") else []
    return [root / name for root in (*roots, home / "data") for name in FOLDERS[dataset]]


def _catalog(dataset: str, folder: Path) -> pd.DataFrame:
    """The data set's catalog, audited; how much of the publication is there is logged."""
    catalog = importlib.import_module(f"ecgstudy.data.{dataset}").catalog(folder)
    if catalog.empty:
        raise DataError(f"{folder} holds no labelled recordings of {dataset}; fetch it with `python -m ecgstudy data fetch "
                        f"{dataset}`")
    audit(catalog)
    if len(catalog) != PUBLISHED[dataset]:
        logger.warning("%s: %d of the %d published recordings are used from %s",
                       dataset, len(catalog), PUBLISHED[dataset], folder)
    return catalog


def _ready_or_made(target: Path, make: Callable[[], Prepared]) -> Prepared:
    """The prepared folder `target` where it is whole, else what `make` makes there; of two processes, one makes and one waits."""
    if (ready := _whole(target)) is not None:
        return ready
    with files.lock(target.with_name(f".{target.name}.lock"), wait_seconds=3600):
        return _whole(target) or make()


def _whole(target: Path) -> Prepared | None:
    """The prepared folder with every byte checked; None where it is unfinished or damaged."""
    if not (target / "prepared.json").exists():
        return None
    try:
        verify(prepared := open_prepared(target))
    except DataError as error:
        logger.warning("%s", error)
        return None
    return prepared


def _prepared_elsewhere(dataset: str, settings: dict[str, Any], home: Path, folder: Path | None) -> Prepared:
    """Without the published files: the largest folder of these settings under `home`, whatever records it was made from."""
    ready = []
    for described in sorted((home / "prepared").glob(f"{dataset}*/prepared.json")):
        prepared = _whole(described.parent)
        if prepared and prepared.dataset == dataset and settings.items() <= prepared.settings.items():
            ready.append(prepared)
    if not ready:
        looked = [str(folder)] if folder else [str(candidate) for candidate in _candidates(dataset, home)]
        raise AbsentError(f"{dataset} is not here: neither its files in {' or '.join(looked)} nor a prepared folder in "
                          f"{home / 'prepared'}. Fetch it with `python -m ecgstudy data fetch {dataset}`, or use the simulated "
                          "recordings with `-p dataset synthetic`")
    prepared = max(ready, key=lambda each: len(each.table))
    logger.info("%s: its published files are not here; %s with %d records is used", dataset, prepared.folder, len(prepared.table))
    return prepared


def _write(dataset: str, catalog: pd.DataFrame, folder: Path, settings: dict[str, Any], target: Path) -> Prepared:
    """Prepare the records block by block onto the disk: memory does not grow with their number, only with the table, and a fault leaves
    nothing behind."""
    _require_space(target, signals_bytes := len(catalog) * len(LEADS) * N_SAMPLES * 2 + 200 * len(catalog))
    logger.info("%s: preparing %d records, %.0f MB, into %s", dataset, len(catalog), signals_bytes / 1e6, target)
    reading = _Reading.of(dataset, catalog, folder)
    return write_prepared(target, dataset, FS, reading.blocks(), catalog.assign(n_samples=0), N_SAMPLES, settings, reading.complete)


@dataclass
class _Reading:
    """The recordings of a catalog on their way into a prepared folder, and what is learnt from each: samples recorded, age, sex, a digest
    of what is stored (16 bytes)."""

    dataset: str
    catalog: pd.DataFrame
    folder: Path
    recorded: np.ndarray
    ages: np.ndarray
    sexes: np.ndarray
    digests: np.ndarray
    faults: list[str] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, dataset: str, catalog: pd.DataFrame, folder: Path) -> _Reading:
        n = len(catalog)
        return cls(dataset, catalog, folder, np.zeros(n, np.int64), np.full(n, np.nan), np.full(n, "", object), np.zeros(n, "V16"))

    def blocks(self) -> Iterator[np.ndarray]:
        """int16 [r, L, T] in the catalog's order; at the end DataError names every record that is faulty or stands twice."""
        n = len(self.catalog)
        with progress(total=n, desc=f"preparing {self.dataset}", unit="record") as bar:
            for start in range(0, n, BLOCK):
                block = np.zeros((min(BLOCK, n - start), len(LEADS), N_SAMPLES), np.int16)
                for row in range(start, start + len(block)):
                    self._read(row, block[row - start])
                    bar.update()
                yield block
        self._refuse_faulty()

    def complete(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with what only the recordings tell: their lengths, and age and sex where the catalog leaves them open."""
        sex = table["sex"].where(table["sex"] != "", self.sexes)
        return table.assign(n_samples=self.recorded, age=table["age"].fillna(pd.Series(self.ages)), sex=sex)

    def _read(self, row: int, place: np.ndarray) -> None:
        try:
            record = read_record(self.catalog["path"][row])
            place[:], self.recorded[row], n_clipped = condition(record)
        except DataError as error:
            self.faults.append(str(error))
            return
        self.ages[row], self.sexes[row] = record.age, record.sex
        self.digests[row] = hashlib.blake2b(place, digest_size=16).digest()
        if n_clipped:
            self.clipped.append(f"{self.catalog['record_id'][row]} ({n_clipped})")

    def _refuse_faulty(self) -> None:
        paths, read = self.catalog["path"], np.flatnonzero(self.recorded)
        _, first, which = np.unique(self.digests[read], return_index=True, return_inverse=True)
        repeated = [f"{paths[row]}: the same signal as {paths[earlier]}; each recording may stand once"
                    for row, earlier in zip(read, read[first[which]], strict=True) if row != earlier]
        refuse_faulty([*self.faults, *repeated], len(self.catalog), self.folder)
        if self.clipped:
            logger.warning("%s: %d records exceed ±%.3f mV and were clipped: %s", self.dataset, len(self.clipped), LIMIT / MILLIVOLT,
                           abridge(self.clipped))


def _require_space(target: Path, needed: int) -> None:
    existing = next(parent for parent in target.parents if parent.exists())
    if (free := shutil.disk_usage(existing).free) < needed:
        raise DataError(f"{target} needs {needed} bytes and {existing} has {free} free; free some space or choose another folder "
                        "with ECGSTUDY_HOME")


def _simulated(dataset: str, home: Path, n_records: int) -> Prepared:
    from ecgstudy.data.synthetic import Settings
    from ecgstudy.data.synthetic.prepared import SCHEMES, SIMULATOR, prepare_synthetic

    target = home / "prepared" / f"{dataset}-{n_records}-{SYNTHETIC_SEED}-v{SIMULATOR}"
    return _ready_or_made(target, lambda: prepare_synthetic(target, n_records, SYNTHETIC_SEED, Settings(scheme=SCHEMES[dataset])))
