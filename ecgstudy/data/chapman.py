"""Chapman-Shaoxing (Zheng et al., Scientific Data 2020): 10,646 patients, one recording of 10 s each, eleven rhythms, no folds.

Read in the WFDB form of PhysioNet's "ecg-arrhythmia", whose records JS00001 to JS10646 are this data set; the higher numbers come
from Ningbo and are left out. The rhythm is that of Diagnostics.xlsx, whose row i describes record JS{i}: the form publishes no
other link between the two, so age, sex and the rhythm's SNOMED CT code of each header must confirm it.
"""

from __future__ import annotations

import logging
import math
import re
import zipfile
from pathlib import Path

import pandas as pd

from ecgstudy.data.labels import CHAPMAN_SNOMED, label_set
from ecgstudy.data.record import Header, abridge, paired_headers, parse_sex, read_exclusions, read_headers
from ecgstudy.data.splits import folds_by_record
from ecgstudy.errors import DataError, unknown

logger = logging.getLogger(__name__)

N_RECORDS = 10646       # rows of Diagnostics.xlsx and the last record of this data set
_CODE_OF_RHYTHM = {rhythm: code for code, rhythm in CHAPMAN_SNOMED.items()}


def catalog(folder: Path) -> pd.DataFrame:
    """One row for each recording on disk that belongs to Chapman-Shaoxing; DataError where a header contradicts Diagnostics.xlsx.

    Without Diagnostics.xlsx the rhythm is derived from the header's SNOMED CT codes. Folds are made over all of Diagnostics.xlsx
    where it is there, so that a record keeps its fold however few of the others are on disk.
    """
    folder = Path(folder)
    headers = read_headers(_own_headers(folder), folder)
    diagnostics = next(iter(sorted(folder.rglob("Diagnostics.xlsx"))), None)
    if diagnostics:
        table = read_diagnostics(diagnostics)
        _require_agreement(headers, table, diagnostics)
        rhythms = {name: (rhythm,) for name, rhythm in table["Rhythm"].items()}
        if absent := sorted(rhythms.keys() - headers.keys()):
            logger.warning("chapman: %d rows of Diagnostics.xlsx have no recording in %s: %s",
                           len(absent), folder, abridge(absent))
    else:
        rhythms = {name: tuple(CHAPMAN_SNOMED[code] for code in header.dx if code in CHAPMAN_SNOMED)
                   for name, header in headers.items()}
        logger.warning("chapman: no Diagnostics.xlsx in %s; rhythms are derived from the SNOMED CT codes of the headers", folder)
        if bare := [name for name, found in rhythms.items() if not found]:
            logger.warning("chapman: %d headers name no rhythm and stay without a label: %s", len(bare), abridge(bare))
    folds = folds_by_record(rhythms, label_set("chapman"))
    names = sorted(headers)
    return pd.DataFrame({
        "record_id": names, "patient_id": names, "path": [headers[name].signal_file for name in names],
        "fold": [folds[name] for name in names], "age": [headers[name].age for name in names],
        "sex": [headers[name].sex for name in names], "fs": [headers[name].fs for name in names],
        "statements": [";".join(rhythms[name]) for name in names],
    })


def read_diagnostics(path: Path) -> pd.DataFrame:
    """Rhythm, PatientAge and Gender of Diagnostics.xlsx, indexed by record id (row i describes JS{i})."""
    columns = ["Rhythm", "PatientAge", "Gender"]
    try:
        table = pd.read_excel(path, usecols=columns, engine="openpyxl")[columns]
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read ({error}); expected a workbook with the columns {', '.join(columns)}") from None
    if len(table) != N_RECORDS or table.isna().any(axis=None):
        raise DataError(f"{path} has {len(table.dropna())} whole rows, expected {N_RECORDS}: its rows stand for the records "
                        f"JS00001 to JS{N_RECORDS} by their order, so none may be missing")
    table.index = [f"JS{i:05d}" for i in range(1, N_RECORDS + 1)]
    table["Rhythm"] = table["Rhythm"].str.strip()
    if strange := sorted(set(table["Rhythm"]) - _CODE_OF_RHYTHM.keys()):
        raise DataError(f"{path}, record {table.index[table['Rhythm'] == strange[0]][0]}: "
                        f"{unknown('rhythm', strange[0], _CODE_OF_RHYTHM)}")
    return table


def _own_headers(folder: Path) -> list[Path]:
    paths = paired_headers(folder, read_exclusions(folder))
    numbers = [re.fullmatch(r"JS(\d{5})", path.stem) for path in paths]
    if strange := [path.stem for path, number in zip(paths, numbers, strict=True) if number is None]:
        raise DataError(f"{folder} holds {len(strange)} recordings that are not of this data set: {abridge(strange)}; expected "
                        f"JS00001 to JS{N_RECORDS}")
    own = [path for path, number in zip(paths, numbers, strict=True) if 1 <= int(number[1]) <= N_RECORDS]
    if not own:
        raise DataError(f"{folder} holds no recordings JS00001 to JS{N_RECORDS}; fetch them with `python -m ecgstudy data fetch "
                        "chapman`")
    if len(own) < len(paths):
        logger.info("chapman: %d recordings beyond JS%d belong to Ningbo and are left out", len(paths) - len(own), N_RECORDS)
    return own


def _require_agreement(headers: dict[str, Header], table: pd.DataFrame, path: Path) -> None:
    """A header must carry the age, the sex and the rhythm's code of its row; what a header leaves open is not compared."""
    differing = []
    for name, header in headers.items():
        rhythm, age, sex = table.loc[name, ["Rhythm", "PatientAge", "Gender"]]
        if not math.isnan(header.age) and header.age != age:
            differing.append(f"{name} (age {header.age:g} in its header, {age} in the table)")
        elif header.sex and header.sex != parse_sex(sex):
            differing.append(f"{name} ({header.sex} in its header, {sex} in the table)")
        elif _CODE_OF_RHYTHM[rhythm] not in header.dx:
            differing.append(f"{name} (codes {','.join(header.dx) or 'none'} in its header, {rhythm} = {_CODE_OF_RHYTHM[rhythm]} "
                             "in the table)")
    if differing:
        raise DataError(f"{path} contradicts {len(differing)} of {len(headers)} headers: {abridge(differing)}; its rows are not "
                        "those of the recordings. Fetch both again with `python -m ecgstudy data fetch chapman`, or remove it "
                        "to derive the rhythms from the headers")
