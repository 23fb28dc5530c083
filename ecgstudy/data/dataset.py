"""Prepared data: one memory-mapped int16 array, one table, one digest.

A prepared folder holds
    signals.npy     int16 [R, L=12, T] in microvolts (1 unit = 0.001 mV), leads in the study's order
    table.csv       one row a record: record_id, patient_id, fold, age, sex, n_samples, statements
    prepared.json   data set, sampling rate, settings, source and digest; written last: its presence means "complete"

`fold` runs from 1 to 10. `n_samples` counts the samples that were recorded; the rest is zero padding at the end.
`statements` are the published labels joined by ';'. Only NumPy and pandas are needed to open one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import pandas as pd

from ecgstudy import files
from ecgstudy.errors import DataError
from ecgstudy.leads import LEADS
from ecgstudy.signal import SignalSpec

COLUMNS = ("record_id", "patient_id", "fold", "age", "sex", "n_samples", "statements")
MILLIVOLT = 1000        # units of the stored array in one millivolt
READ_BYTES = 2**22
FORMAT = 1              # raised when the meaning of a prepared folder changes


@dataclass(frozen=True)
class Prepared:
    """An opened prepared folder. signals: int16 [R, L, T] in microvolts, memory-mapped; table: as in COLUMNS."""

    dataset: str
    fs: int
    signals: np.ndarray
    table: pd.DataFrame
    digest: str
    settings: dict[str, Any]
    folder: Path

    @property
    def spec(self) -> SignalSpec:
        return SignalSpec(self.signals.shape[1], self.signals.shape[2], self.fs)

    def statements(self) -> list[list[str]]:
        """Each record's published statements."""
        return [[s for s in text.split(";") if s] for text in self.table["statements"]]


def write_prepared(folder: Path, dataset: str, fs: int, blocks: Iterable[np.ndarray], table: pd.DataFrame, n_samples: int,
                   settings: dict[str, Any], complete: Callable[[pd.DataFrame], pd.DataFrame] | None = None) -> Prepared:
    """Write a prepared folder from int16 blocks [r, L, T] that follow the table's order, and open it.

    Each block is written before the next is asked for. complete: gives the table as it is stored, once all blocks are there.
    Raises DataError where the blocks and the table do not agree; then no prepared.json is written.
    """
    folder = Path(folder)
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise DataError(f"prepared table of {dataset} lacks the columns {', '.join(missing)}")
    table = table.loc[:, list(COLUMNS)]
    (folder / "prepared.json").unlink(missing_ok=True)
    content = hashlib.sha256()
    written = 0

    def stream(file) -> None:
        nonlocal written
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype("<i2")), "fortran_order": False,
                  "shape": (len(table), len(LEADS), n_samples)}
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            if block.dtype != np.int16 or block.shape[1:] != (len(LEADS), n_samples):
                raise DataError(f"a block of {dataset} is {block.dtype} {block.shape}; expected int16 (r, {len(LEADS)}, "
                                f"{n_samples})")
            data = np.ascontiguousarray(block, "<i2")
            content.update(data)
            file.write(data)
            written += len(block)
        if written != len(table):
            raise DataError(f"{written} recordings of {dataset} were prepared, but its table has {len(table)} rows")

    files.write_atomically(folder / "signals.npy", stream)
    text = (complete(table)[list(COLUMNS)] if complete else table).to_csv(index=False)
    content.update(text.encode())
    files.write_text(folder / "table.csv", text)
    described = {"format": FORMAT, "dataset": dataset, "fs": fs, "leads": list(LEADS), "settings": settings,
                 "content_sha256": content.hexdigest(), "signals_bytes": (folder / "signals.npy").stat().st_size}
    files.write_json(folder / "prepared.json", described | {"digest": files.digest(described)})
    return open_prepared(folder)


def open_prepared(folder: Path) -> Prepared:
    """Open a prepared folder; DataError where it is absent, incomplete, or does not agree with its own description."""
    folder = Path(folder)
    described = files.read_json(folder / "prepared.json")
    try:
        stated = described.pop("digest")
        if described["format"] != FORMAT or files.digest(described) != stated or not _is_description(described):
            raise DataError(f"{folder} was made by another version or edited; remove it and prepare the data again")
        if (size := (folder / "signals.npy").stat().st_size) != described["signals_bytes"]:
            raise DataError(f"{folder / 'signals.npy'} has {size} bytes, expected {described['signals_bytes']}; remove {folder} "
                            "and prepare the data again")
        signals = np.lib.format.open_memmap(folder / "signals.npy", mode="r")
        table = pd.read_csv(folder / "table.csv", dtype={"record_id": str, "patient_id": str, "sex": str, "statements": str},
                            keep_default_na=False, na_values={"age": [""]})
    except (KeyError, AttributeError, TypeError, OSError, ValueError, RecursionError, SyntaxError, TokenError, EOFError) as error:
        raise DataError(f"{folder} is not a complete prepared folder ({error!r:.300}); remove it and prepare the data again") from None
    if signals.dtype != np.int16 or signals.ndim != 3 or signals.shape[1] != len(LEADS) or not signals.size:
        raise DataError(f"{folder / 'signals.npy'} holds {signals.dtype} {signals.shape}, expected int16 (records, {len(LEADS)}, "
                        f"samples); remove {folder} and prepare the data again")
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise DataError(f"{folder / 'table.csv'} lacks the columns {', '.join(missing)}; remove {folder} and prepare the data again")
    if len(table) != len(signals):
        raise DataError(f"{folder}: {len(signals)} signals but {len(table)} table rows; remove it and prepare the data again")
    return Prepared(described["dataset"], described["fs"], signals, table, stated, described["settings"], folder)


def _is_description(described: dict[str, Any]) -> bool:
    """Whether a prepared.json, its digest right, says all that `write_prepared` says, in the same types."""
    kinds = {"dataset": str, "fs": int, "settings": dict, "content_sha256": str, "signals_bytes": int}
    return described["leads"] == list(LEADS) and all(type(described[name]) is kind for name, kind in kinds.items()) and \
        described["fs"] >= 1


def verify(prepared: Prepared) -> None:
    """Recompute the content digest from every byte; DataError where the array or the table was changed.

    The array's file is read, not its mapping, whose pages would count as this process's memory.
    """
    content = hashlib.sha256()
    with open(prepared.folder / "signals.npy", "rb") as file:
        file.seek(-prepared.signals.nbytes, os.SEEK_END)
        while part := file.read(READ_BYTES):
            content.update(part)
    content.update((prepared.folder / "table.csv").read_bytes())
    if content.hexdigest() != files.read_json(prepared.folder / "prepared.json")["content_sha256"]:
        raise DataError(f"{prepared.folder}: the content does not match its digest; remove it and prepare the data again")
