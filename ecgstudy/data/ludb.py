"""LUDB (Kalyakulina et al., IEEE Access 2020): 200 recordings of 10 s at 500 Hz, with the boundaries of P, QRS and T in every lead.

Two quirks of the publication are dealt with here. The header gains stretch each lead to a range of exactly 1 mV, so that the limb
identities do not hold in the declared millivolts; in the stored units they hold exactly. `read_ludb_record` therefore gives the
stored units at one common gain. And a few dozen waves are marked without an onset, or with a peak just outside their boundaries;
`boundaries` gives the marks as they were published, NaN for one that is absent.
"""

from __future__ import annotations

import csv
import logging
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ecgstudy.data.record import Record, abridge, paired_headers, parse_age, parse_sex, read_exclusions, read_header, read_record
from ecgstudy.errors import DataError
from ecgstudy.leads import LEADS, lead_order

logger = logging.getLogger(__name__)

FS = 500
UNITS_PER_MV = 1000.0       # assumed: the true step is not published; 1 uV gives amplitudes like PTB-XL's, of the same maker
OLDEST = {">89": "90"}      # kept as 90, as PTB-XL's "90 or older" is
WAVES = {"p": "P", "N": "QRS", "t": "T"}
COLUMNS = {                 # of ludb.csv -> of the catalog
    "Rhythms": "statements", "Electric axis of the heart": "axis", "Conduction abnormalities": "conduction",
    "Extrasystolies": "extrasystoles", "Hypertrophies": "hypertrophy", "Cardiac pacing": "pacing", "Ischemia": "ischemia",
    "Non-specific repolarization abnormalities": "repolarization", "Other states": "other",
}

# The marks of one wave, one character each: `(` onset, p N t peak, `)` offset.
_WAVE = re.compile(r"(?P<onsets>\(+)(?P<peaks>[pNt]+)(?P<offsets>\)*)"      # as intended; drawn several times over, they nest
                   r"|(?P<early>[pNt])(?P<onset>\(?)\)"                      # no onset, or one that follows the peak
                   r"|\(\)(?P<late>[pNt])$"                                  # the peak follows the offset
                   r"|(?P<peakless>\(\))(?=\(t)")                            # no peak; what a T follows is a QRS


def catalog(folder: Path) -> pd.DataFrame:
    """One row for each recording on disk: record_id, patient_id (one recording each), path, age, sex, fs, and the text columns.

    statements holds the rhythm. A text column holds its published lines joined by `;`, empty where there are none. No folds are
    published. Raises DataError where ludb.csv is absent or damaged, or where a recording has no row in it.
    """
    folder = Path(folder)
    rows = _table(folder / "ludb.csv")
    paths = {path.stem: path for path in paired_headers(folder, read_exclusions(folder))}
    if strange := sorted(paths.keys() - rows.keys()):
        raise DataError(f"{folder}: {len(strange)} recordings have no row in ludb.csv: {abridge(strange)}; fetch it again with "
                        "`python -m ecgstudy data fetch ludb`")
    if absent := [name for name in rows if name not in paths]:
        logger.warning("ludb: %d rows of ludb.csv have no recording in %s: %s", len(absent), folder, abridge(absent))
    names = sorted(paths, key=int)
    texts = {name: [";".join(line.strip() for line in rows[record][column].splitlines()) for record in names]
             for column, name in COLUMNS.items()}
    return pd.DataFrame({
        "record_id": names, "patient_id": names, "path": [paths[name] for name in names],
        "age": [_age(rows[name]["Age"]) for name in names], "sex": [parse_sex(rows[name]["Sex"]) for name in names], "fs": FS,
        **texts,
    })


def read_ludb_record(path: Path) -> Record:
    """One recording with every lead at the same gain, UNITS_PER_MV, in place of its header's twelve.

    Read and checked by `read_record`; its scaling is then undone, which gives back the stored integers exactly.
    """
    record, header = read_record(path), read_header(Path(path).with_suffix(".hea"))
    order = lead_order(header.leads, str(header.path))
    gains, baselines = (np.array(values)[order, None] for values in (header.gains, header.baselines))
    units = np.rint(record.signal * gains + baselines)         # [L, T]; float32 keeps 24 bits, a sample has 16
    return replace(record, signal=(units / UNITS_PER_MV).astype(np.float32), age=_age(header.comments.get("<age>", "")),
                   sex=parse_sex(header.comments.get("<sex>", "")))


def boundaries(record_id: str, folder: Path) -> pd.DataFrame:
    """The waves that the cardiologists marked in one recording: lead, wave (P, QRS or T), onset, peak, offset in seconds.

    Ordered by lead, then as published, which is by time. A mark that was not set is NaN. Raises DataError where a lead's
    annotation file is absent or its marks do not form waves.
    """
    rows = [row for lead in LEADS for row in _waves_of_lead(Path(folder) / "data" / str(record_id), lead)]
    return pd.DataFrame(rows, columns=["lead", "wave", "onset", "peak", "offset"])


def _waves_of_lead(stem: Path, lead: str) -> list[tuple[str, str, float, float, float]]:
    symbols, seconds = _marks(stem, lead)
    rows, position = [], 0
    while position < len(symbols):
        match = _WAVE.match(symbols, position)
        if match is None or match["onsets"] and len(match["onsets"]) != len(match["peaks"]):
            raise DataError(f"{stem}.{lead.lower()}: the marks `{symbols[position:position + 12]}` at {seconds[position]:.3f} s do not "
                            "form a wave; expected an onset `(`, a peak p, N or t, and an offset `)`. Fetch it again with "
                            "`python -m ecgstudy data fetch ludb --repair`")
        rows += [(lead, *wave) for wave in _waves(match, seconds[match.start():match.end()])]
        position = match.end()
    return rows


def _waves(match: re.Match, seconds: list[float]) -> list[tuple[str, float, float, float]]:
    """Wave, onset, peak and offset of each wave in one match; `seconds` are the times of its marks."""
    if match["onsets"]:
        n = len(match["peaks"])
        offsets = seconds[2 * n:] + [math.nan] * (n - len(match["offsets"]))
        return [(WAVES[symbol], seconds[k], seconds[n + k], offsets[k]) for k, symbol in enumerate(match["peaks"])]
    if match["early"]:
        return [(WAVES[match["early"]], seconds[1] if match["onset"] else math.nan, seconds[0], seconds[-1])]
    if match["late"]:
        return [(WAVES[match["late"]], seconds[0], seconds[2], seconds[1])]
    return [("QRS", seconds[0], math.nan, seconds[1])]


def _marks(stem: Path, lead: str) -> tuple[str, list[float]]:
    """The symbols of a lead's annotation file as one text, and the time of each in seconds."""
    import wfdb

    path = Path(f"{stem}.{lead.lower()}")
    if not path.exists():
        raise DataError(f"{path} does not exist; each of the twelve leads has a file of boundaries beside the recording. Fetch it "
                        "with `python -m ecgstudy data fetch ludb --repair`")
    try:
        marks = wfdb.rdann(str(stem), lead.lower())
    except Exception as error:      # the reader raises what its parsing stumbles over
        raise DataError(f"{path} is not a whole annotation file ({type(error).__name__}: {error}); fetch it again with `python -m "
                        "ecgstudy data fetch ludb --repair`") from None
    return "".join(marks.symbol), (marks.sample / FS).tolist()


def _table(path: Path) -> dict[str, dict[str, str]]:
    """The rows of ludb.csv by record id."""
    columns = ["ID", "Sex", "Age", *COLUMNS]
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); fetch it with `python -m ecgstudy data fetch ludb`") from None
    for number, row in enumerate(rows, 1):
        if any(row.get(column) is None for column in columns) or not row["ID"].isdecimal():
            raise DataError(f"{path}, row {number}: expected the columns {', '.join(columns)} with a number as ID; it is cut or "
                            "edited, fetch it again with `python -m ecgstudy data fetch ludb --repair`")
    if twice := sorted(name for name, count in Counter(row["ID"] for row in rows).items() if count > 1):
        raise DataError(f"{path} names {abridge(twice)} twice; each recording may stand once")
    return {row["ID"]: row for row in rows}


def _age(text: str) -> float:
    return parse_age(OLDEST.get(text.strip(), text))
