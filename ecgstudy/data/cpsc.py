"""CPSC2018 (Liu et al., J. Med. Imaging Health Inform. 2018): 6,877 recordings of 6 to 144 s, nine classes, no published folds.

Two forms are read: that of the PhysioNet Challenge (headers carry SNOMED CT codes) and the original release (MATLAB structures
with REFERENCE.csv). No patients are published, so each record counts as its own patient.
"""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ecgstudy.data.labels import CPSC_CLASSES, CPSC_SNOMED, label_set
from ecgstudy.data.record import ORIGINAL_FS, Header, abridge, paired_headers, read_exclusions, read_headers
from ecgstudy.data.splits import folds_by_record
from ecgstudy.errors import DataError, unknown

logger = logging.getLogger(__name__)

LABEL_COLUMNS = ("First_label", "Second_label", "Third_label")


def catalog(folder: Path) -> pd.DataFrame:
    """One row for each recording on disk that has a label.

    Where REFERENCE.csv lies beside headers the two must agree. Its rows without a recording, and recordings without a row, are
    logged and left out. Folds are made over the whole of REFERENCE.csv where there is one, so that a record keeps its fold
    however few of the others are on disk. The original form keeps age and sex inside each recording: they are left open here.
    """
    folder = Path(folder)
    reference = next(iter(sorted(folder.rglob("REFERENCE.csv"))), None)
    classes = read_reference(reference) if reference else {}
    exclude = read_exclusions(folder)
    headers = read_headers(paired_headers(folder, exclude), folder) if any(folder.rglob("*.hea")) else {}
    if headers:
        paths = {name: header.signal_file for name, header in headers.items()}
        of_headers = {name: _classes_of_header(header) for name, header in headers.items()}
        _require_agreement(of_headers, classes, reference)
        labels = classes or of_headers
    elif classes:
        paths, labels = {path.stem: path for path in folder.rglob("*.mat") if path.stem not in exclude}, classes
    else:
        raise DataError(f"{folder} has neither .hea headers nor REFERENCE.csv; fetch it with `python -m ecgstudy data fetch "
                        "cpsc`")
    labels = _drop_unlabelled(labels)
    _log_gaps(paths, labels, folder)
    folds = folds_by_record(labels, label_set("cpsc"))
    names = sorted(paths.keys() & labels.keys())
    return pd.DataFrame({
        "record_id": names, "patient_id": names, "path": [paths[name] for name in names], "fold": [folds[name] for name in names],
        "age": [headers[name].age if headers else math.nan for name in names],
        "sex": [headers[name].sex if headers else "" for name in names],
        "fs": [headers[name].fs if headers else ORIGINAL_FS for name in names],
        "statements": [";".join(labels[name]) for name in names],
    })


def read_reference(path: Path) -> dict[str, tuple[str, ...]]:
    """Each record's classes from REFERENCE.csv, in the order of their numbers, a repeated label once (A0953 names PAC twice)."""
    path = Path(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error})") from None
    columns = ("Recording", *LABEL_COLUMNS)
    if not rows or any(None in row or None in row.values() or not set(columns) <= row.keys() for row in rows):
        raise DataError(f"{path} is empty, cut short, or lacks a column; expected {', '.join(columns)} in every row")
    reference: dict[str, tuple[str, ...]] = {}
    for row in rows:
        name = row["Recording"].strip()
        if name in reference:
            raise DataError(f"{path} names {name!r} twice; each recording may stand once")
        given = (row[column].strip() for column in LABEL_COLUMNS)
        reference[name] = _in_order(_class_of_number(path, name, number) for number in given if number)
    return reference


def _class_of_number(path: Path, name: str, number: str) -> str:
    numbers = {str(k): each for k, each in enumerate(CPSC_CLASSES, start=1)}
    if number not in numbers:
        raise DataError(f"{path}, record {name}: {unknown('label', number, (f'{k} {each}' for k, each in numbers.items()))}")
    return numbers[number]


def _classes_of_header(header: Header) -> tuple[str, ...]:
    for code in header.dx:
        if code not in CPSC_SNOMED:
            raise DataError(f"{header.path}: {unknown('SNOMED CT code', code, CPSC_SNOMED)} "
                            "(one of the nine classes of CPSC2018)")
    return _in_order(CPSC_SNOMED[code] for code in header.dx)


def _in_order(classes: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(classes), key=CPSC_CLASSES.index))


def _require_agreement(of_headers: dict[str, tuple[str, ...]], reference: dict[str, tuple[str, ...]], path: Path | None) -> None:
    differing = [f"{name} ({'+'.join(found)} in its header, {'+'.join(reference[name])} in the table)"
                 for name, found in of_headers.items() if name in reference and set(found) != set(reference[name])]
    if differing:
        raise DataError(f"{path} disagrees with {len(differing)} headers: {abridge(differing)}; one of them was edited or "
                        "belongs to another release. Fetch both again with `python -m ecgstudy data fetch --repair`")


def _drop_unlabelled(labels: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    if unlabelled := [name for name, classes in labels.items() if not classes]:
        logger.warning("cpsc: %d records have no label and are left out: %s", len(unlabelled), abridge(unlabelled))
    return {name: classes for name, classes in labels.items() if classes}


def _log_gaps(paths: Iterable[str], labels: Iterable[str], folder: Path) -> None:
    paths, labels = set(paths), set(labels)
    for names, what in ((labels - paths, "labelled records have no recording"), (paths - labels, "recordings have no label")):
        if names:
            logger.warning("cpsc: %d %s in %s: %s", len(names), what, folder, abridge(sorted(names)))
