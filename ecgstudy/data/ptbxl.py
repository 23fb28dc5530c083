"""PTB-XL (Wagner et al., Scientific Data 2020): 21,799 recordings of 10 s, 71 SCP-ECG statements, ten published folds."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from ecgstudy.data.labels import PTBXL_STATEMENTS
from ecgstudy.data.record import abridge, paired_headers, read_exclusions
from ecgstudy.errors import DataError, unknown

logger = logging.getLogger(__name__)

FORMS = (("records100", "filename_lr", 100), ("records500", "filename_hr", 500))    # folder, column, Hz; the first is preferred
OLDEST = 90             # the published age 300 stands for "90 or older" and is kept as 90
SEXES = {0: "male", 1: "female"}


def catalog(folder: Path) -> pd.DataFrame:
    """One row for each row of ptbxl_database.csv whose recording is on disk.

    Recordings without a row (version 1.0.3 withdrew 38) are left out; both kinds of gap are logged with their counts.
    """
    folder = Path(folder)
    form, column, fs = _form(folder)
    table = _database(folder / "ptbxl_database.csv", column)
    on_disk = {path.stem: path for path in paired_headers(folder / form, read_exclusions(folder))}
    table["path"] = [on_disk.get(Path(name).name) for name in table[column]]
    lacking = table["path"].isna()
    if unlisted := len(on_disk) - int((~lacking).sum()):
        logger.info("ptbxl: %d recordings on disk have no row in ptbxl_database.csv (withdrawn) and are left out", unlisted)
    if lacking.any():
        logger.warning("ptbxl: %d rows have no recording in %s: %s",
                       lacking.sum(), folder / form, abridge(table[column][lacking]))
    table = table[~lacking]
    return pd.DataFrame({
        "record_id": table["ecg_id"].astype(str), "patient_id": table["patient_id"].astype(int).astype(str),
        "path": table["path"], "fold": table["strat_fold"].astype(int), "age": table["age"].where(table["age"] != 300, OLDEST),
        "sex": table["sex"].map(SEXES).fillna(""), "fs": fs,
        "statements": [_statements(*row) for row in zip(table["ecg_id"], table["scp_codes"], strict=True)],
    }).reset_index(drop=True)


def _form(folder: Path) -> tuple[str, str, int]:
    for form in FORMS:
        if (folder / form[0]).is_dir():
            return form
    raise DataError(f"{folder} has neither {FORMS[0][0]}/ nor {FORMS[1][0]}/; fetch it with `python -m ecgstudy data fetch "
                    "ptbxl`")


def _database(path: Path, column: str) -> pd.DataFrame:
    columns = ["ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", column]
    try:
        table = pd.read_csv(path, usecols=columns, dtype={"scp_codes": str, column: str})
        numbers = table[["ecg_id", "patient_id", "sex", "strat_fold"]].to_numpy(np.float64)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; fetch it with `python -m ecgstudy data fetch ptbxl`") from None
    except ValueError as error:     # parser errors and missing columns are ValueErrors too
        raise DataError(f"{path} cannot be read ({error}); expected the columns {', '.join(columns)}") from None
    if not np.isfinite(numbers).all() or table[["scp_codes", column]].isna().any(axis=None):
        raise DataError(f"{path} has rows without patient, sex, fold, statements or file name; it is cut or edited, fetch it "
                        "again")
    return table


def _statements(ecg_id: int, text: str) -> str:
    """The statements of one row; the column holds a dictionary `{'NORM': 100.0, 'SR': 0.0}` of statement to likelihood."""
    try:
        codes = list(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise DataError(f"ptbxl_database.csv: scp_codes of ecg_id {ecg_id} is {text!r:.60}; expected a dictionary of "
                        "statements") from None
    for code in codes:
        if code not in PTBXL_STATEMENTS:
            raise DataError(f"ptbxl_database.csv, ecg_id {ecg_id}: {unknown('statement', code, PTBXL_STATEMENTS)}")
    return ";".join(codes)
