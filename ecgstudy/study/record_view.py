"""Page 01's view to measure in: simulated records of every class on millimetre paper, their truth, and a caliper, in one HTML fragment.

The fragment carries its records and its script and asks no network for anything. A record is stored as whole microvolts of the eight
leads that the other four follow from, as differences between neighbouring samples, which mostly take one byte each.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgstudy import files
from ecgstudy.data.dataset import MILLIVOLT
from ecgstudy.data.synthetic import Settings, Simulation, simulate
from ecgstudy.errors import ConfigurationError
from ecgstudy.leads import LEADS
from ecgstudy.study.ecg_page import BAND, COLUMN, GAIN, LEFT, PULSE, RHYTHM, RIGHT, ROWS, SPEED
from ecgstudy.study.record_list import record_list

LARGEST = 150_000                       # bytes of the whole fragment
STORED = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")       # III, aVR, aVL and aVF follow from I and II
GAINS, SPEEDS = (5, 10, 20), (25, 50)   # mm/mV, mm/s
WAVES = ("p_on", "p_off", "qrs_on", "qrs_off", "t_on", "t_off")
DARK = ("--paper: #16181d; --fine: #3a2626; --coarse: #5b3535; --ink: #eee; --soft: #bbb; --rule: #777; --truth: rgba(90, 160, 240, .3); "
        "--p: #56b4e9; --t: #e69f00; --caliper: #f49ae6;")


def view() -> str:
    """The fragment for the records that book/records.yaml lists for it, at 100 Hz, as networks read them."""
    rule = record_list("record_view")
    return fragment(simulate(rule["seed"], rule["records"], fs=100, settings=Settings(scheme=rule["scheme"])), rule["first"])


def fragment(simulation: Simulation, first: int = 0) -> str:
    """HTML with everything inside, that begins with the record of row `first`. Raises ConfigurationError where it is too large."""
    data = packed(simulation, first)
    told = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")       # so that no text can end the script
    template = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    text = template.replace("__DARK__", DARK).replace("__ID__", "record-" + files.digest(data)[:10]).replace("__DATA__", told)
    if len(text.encode()) > LARGEST:
        raise ConfigurationError(f"{len(data['records'])} records at {data['fs']} Hz take {len(text.encode()):,} bytes, more than "
                                 f"{LARGEST:,}; show fewer records, or at a lower rate")
    return text


def packed(simulation: Simulation, first: int = 0) -> dict[str, Any]:
    """What the script reads: the paper's measures in mm, and of each record its name, words, samples, beats and spans (in ms)."""
    return {"fs": simulation.fs, "seconds": simulation.signals.shape[2] / simulation.fs, "leads": LEADS, "stored": STORED, "rows": ROWS,
            "rhythm": RHYTHM, "column": COLUMN, "left": LEFT, "right": RIGHT, "pulse": PULSE, "band": BAND, "gains": GAINS,
            "gain": int(GAIN), "speeds": SPEEDS, "speed": int(SPEED),
            "first": first, "records": [_record(simulation, row) for row in range(len(simulation.signals))]}


def pack(signal: np.ndarray) -> str:
    """Twelve leads [12, T] in mV as base64 of the stored leads' whole microvolts, one after another.

    Each sample is its difference from the one before, the first from zero; a difference d is 2 d, or -2 d - 1 where it is negative, in
    groups of seven bits, the lowest first, each but the last with the eighth bit set.
    """
    rows = np.round(np.asarray(signal, np.float64)[[LEADS.index(lead) for lead in STORED]] * MILLIVOLT).astype(np.int64)
    steps = np.diff(rows, axis=1, prepend=0).ravel()
    found = bytearray()
    for value in np.where(steps < 0, -2 * steps - 1, 2 * steps).tolist():
        while value >= 128:
            found.append(value & 127 | 128)
            value >>= 7
        found.append(value)
    return base64.b64encode(bytes(found)).decode()


def _record(simulation: Simulation, row: int) -> dict[str, Any]:
    """One record: `about` and `truth` are what a reader who does not see the paper is told as well."""
    beats, spans = (table[table["record"] == row] for table in (simulation.beats, simulation.spans))
    told = simulation.parameters.iloc[row]
    labels = [name for name, holds in zip(simulation.classes, simulation.labels[row], strict=True) if holds]
    shows = sorted({lead for name in labels for lead in _leads(simulation, row, name)}, key=LEADS.index)
    return {"name": f"{' and '.join(labels)} (record {told['index']})", "about": about(told, beats),
            "truth": " ".join(truth(name, spans[spans["label"] == name], _leads(simulation, row, name)) for name in labels),
            "packed": pack(simulation.signals[row]), "r": _milliseconds(beats["r"]),
            "waves": [_milliseconds(beats[name]) for name in WAVES],
            "spans": list(zip(_milliseconds(spans["start"]), _milliseconds(spans["end"]), strict=True)), "shows": shows}


def _leads(simulation: Simulation, row: int, name: str) -> list[str]:
    return [lead for lead, shows in zip(LEADS, simulation.leads[row, simulation.classes.index(name)], strict=True) if shows]


def _milliseconds(seconds: pd.Series) -> list[int | None]:
    """Whole milliseconds; None where there is no such wave."""
    return [None if np.isnan(each) else round(1000 * each) for each in seconds]


def about(told: pd.Series, beats: pd.DataFrame) -> str:
    """Who it is and what the simulator drew, from a row of the parameters and the record's beats."""
    measures = [f"{name} {1000 * told[column]:.0f} ms" for name, column in (("PR", "pr"), ("QRS", "qrs"), ("QTc", "qtc"))
                if np.isfinite(told[column])]
    who = f"A {'man' if told['sex'] == 'male' else 'woman'} of {told['age']:.0f} years; {len(beats)} beats."
    return f"{who} Set by the simulator: {', '.join(measures)}."


def truth(name: str, spans: pd.DataFrame, leads: list[str]) -> str:
    """When and where a label shows."""
    if spans.empty:
        return f"{name}: no part of the record is evidence of a finding."
    where = "all twelve leads" if len(leads) == len(LEADS) else f"{len(leads)} of twelve leads ({', '.join(leads)})"
    when = (f"{len(spans)} spans of time" if len(spans) > 3 else
            " and ".join(f"from {a:.2f} to {b:.2f} s" for a, b in zip(spans["start"], spans["end"], strict=True)))
    return f"{name} shows {'in ' * (len(spans) > 3)}{when}, on {where}."
