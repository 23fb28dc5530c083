"""Page 10's records: the few that are shown, fixed in book/records.yaml, and the simulated ones that maps are scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgstudy.data.dataset import MILLIVOLT
from ecgstudy.data.synthetic import Settings, Simulation, simulate
from ecgstudy.errors import AbsentError, DataError
from ecgstudy.leads import LEADS
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.profiles import Profile
from ecgstudy.study.record_list import record_list
from ecgstudy.study.request import at_hand

LEAD = "II"
SCORED = {"smoke": 6, "quick": 60, "full": 200}     # records of each label


def listed() -> dict[str, Any]:
    """What book/records.yaml says of this page."""
    return record_list("attention_maps")


@dataclass(frozen=True, eq=False)
class Shown:
    """One record that is shown. millivolts: [L, T]. spans: (begin, end) in seconds of its premature beats, where they are known.

    start, seconds: the part that still pictures show.
    """

    label: str
    name: str
    millivolts: np.ndarray
    spans: tuple[tuple[float, float], ...]
    start: float
    seconds: float

    @property
    def trace(self) -> np.ndarray:
        """Lead II in mV from its own median, [T]."""
        lead = self.millivolts[LEADS.index(LEAD)]
        return lead - np.median(lead)

    @property
    def title(self) -> str:
        return f"{self.label}: {self.name}, lead {LEAD}"


def shown(dataset: str, labels: Sequence[str], size: Profile) -> list[Shown]:
    """The listed records of a data set; simulated ones where it is not on this machine, and their names say so."""
    if dataset != "synthetic" and (found := recorded(dataset, labels, size)):
        return found
    told = listed()
    rule, seconds = told["synthetic"], told["seconds"]
    entries = {label: rule["records"][label] for label in labels}
    made = simulate(rule["seed"], [entry["index"] for entry in entries.values()], fs=SIGNAL.fs, settings=Settings(scheme=rule["scheme"]))
    return [Shown(label, f"simulated record {entry['index']}", made.signals[row], _spans(made, row, label), entry["start"], seconds)
            for row, (label, entry) in enumerate(entries.items())]


def _spans(made: Simulation, row: int, label: str) -> tuple[tuple[float, float], ...]:
    own = made.spans[(made.spans["record"] == row) & (made.spans["label"] == label)]
    return tuple(zip(own["start"], own["end"], strict=True))


def recorded(dataset: str, labels: Sequence[str], size: Profile) -> list[Shown]:
    """The listed recordings of a data set, none where it is not on this machine. Nobody marked where in them the evidence lies."""
    try:
        prepared = at_hand(dataset, size)
    except AbsentError:
        return []
    told = listed()
    rows = {name: row for row, name in enumerate(prepared.table["record_id"])}
    found = []
    for label in labels:
        entry = told[dataset]["records"][label]
        if entry["record_id"] not in rows:
            raise DataError(f"{dataset} holds no record {entry['record_id']}, which book/records.yaml lists for {label}; prepare the data "
                            "again, or mend the list")
        signal = prepared.signals[rows[entry["record_id"]]] / MILLIVOLT
        found.append(Shown(label, f"{dataset} record {entry['record_id']}", signal, (), entry["start"], told["seconds"]))
    return found


@dataclass(frozen=True, eq=False)
class Bed:
    """Simulated records of one label whose evidence is known to the sample. inside: bool [R, T]. amplitude: [R, T] in mV."""

    label: str
    simulation: Simulation
    inside: np.ndarray

    @property
    def amplitude(self) -> np.ndarray:
        return amplitude(self.simulation.signals)


def amplitude(millivolts: np.ndarray) -> np.ndarray:
    """The distance of each lead from its median, mean over leads, [R, T]: what any map of signals [R, L, T] must beat."""
    return np.abs(millivolts - np.median(millivolts, axis=2, keepdims=True)).mean(axis=1)


def bed(label: str, size: Profile) -> Bed:
    """Records with this label and no other, as many as the profile scores, by the rule that also gives those that are shown."""
    rule = listed()["synthetic"]
    first = rule["records"][label]["index"]
    made = simulate(rule["seed"], first + 9 * np.arange(SCORED[size.name]), fs=SIGNAL.fs, settings=Settings(scheme=rule["scheme"]))
    return Bed(label, made, made.masks()[:, made.classes.index(label)])
