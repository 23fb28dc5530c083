"""One twelve-lead page for every class, and the simulator's ground truth drawn on its traces."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecgstudy.data.dataset import MILLIVOLT
from ecgstudy.data.labels import CPSC_CLASSES, SIMULATED
from ecgstudy.data.manifest import source
from ecgstudy.data.splits import VALIDATION_FOLD
from ecgstudy.data.synthetic import Settings, Simulation, draw_parameters, simulate
from ecgstudy.leads import LEADS
from ecgstudy.study.data_page import Data
from ecgstudy.study.ecg_page import twelve_leads

MOST_PAGES = 9
TRUTH = ("RBBB", "PVC")     # the label set whose ground truth is shown: one that is in every beat, and one that is in some

Spans = dict[str, list[tuple[float, float]]]        # label -> (start, end) in seconds
Leads = dict[str, list[str]]                        # label -> the leads that show it


def class_pages(data: Data) -> Iterator[tuple[str, Figure | None]]:
    """For each class, at most MOST_PAGES of them: a line of Markdown about the chosen record, and its twelve leads.

    A class that no record of the fold carries alone has no figure, and its line says so.
    """
    chosen = chosen_rows(data)
    for name in shown_classes(data):
        if name not in chosen:
            yield f"**{name}** — no record of fold {VALIDATION_FOLD} carries this class alone.", None
            continue
        row = chosen[name]
        record = data.table.iloc[row]
        signal = data.prepared.signals[row, :, :record["n_samples"]] / MILLIVOLT
        spans, leads = truth_of_row(data, row)
        title = f"{name} · {data.title}, record {record['record_id']}{_person(record)}"
        yield _about(data, name, record, bool(spans)), twelve_leads(signal, data.prepared.fs, title=title, spans=spans, leads=leads)


def shown_classes(data: Data) -> tuple[str, ...]:
    """The classes that are drawn, in the task's order: all, or the most frequent in the training folds."""
    counts = data.targets[data.fold < VALIDATION_FOLD].sum(0).astype(int)
    frequent = set(np.argsort(-counts, kind="stable")[:MOST_PAGES].tolist())
    return tuple(name for k, name in enumerate(data.labels.classes) if k in frequent)


def chosen_rows(data: Data) -> dict[str, int]:
    """Class -> row of the record that is drawn for it.

    Of the validation fold's records that carry no other class of the task, the one with the fewest published statements; among
    those the first. The test fold is not looked at.
    """
    n_statements = np.array([len(found) for found in data.prepared.statements()])
    alone = (data.targets.sum(1) == 1) & (data.fold == VALIDATION_FOLD)
    found = {}
    for name, column in zip(data.labels.classes, data.targets.T.astype(bool), strict=True):
        if len(rows := np.flatnonzero(alone & column)):
            found[name] = int(rows[n_statements[rows].argmin()])
    return found


def _person(record: pd.Series) -> str:
    parts = [record["sex"]] * bool(record["sex"]) + [f"{record['age']:.0f} years"] * bool(np.isfinite(record["age"]))
    return "".join(f", {part}" for part in parts)


def _about(data: Data, name: str, record: pd.Series, has_truth: bool) -> str:
    """What a reader, also one who does not see the picture, should know about it."""
    others = [s for s in record["statements"].split(";") if s not in data.labels.members.get(name, (name,))]
    text = f"**{name}** — record {record['record_id']} of fold {record['fold']}{_person(record)}"
    text += f"; also stated: {', '.join(others)}." if others else "; no other statement."
    if has_truth:
        text += " Shaded: where the simulator put the finding, on the leads that show it."
    if data.page.dataset not in SIMULATED:
        entry = source(data.page.dataset)
        text += f" {data.title} {entry.version}, {entry.license}."
    return text


def truth_of_row(data: Data, row: int) -> tuple[Spans, Leads]:
    """Spans and leads of a simulated record's labels; nothing for recordings, of which nobody knows them."""
    if data.page.dataset != "synthetic" or "seed" not in data.prepared.settings:
        return {}, {}
    stated = {field.name: data.prepared.settings[field.name] for field in dataclasses.fields(Settings)}
    index = int(data.table["record_id"].iloc[row].removeprefix("S"))
    return truth_of(simulate(data.prepared.settings["seed"], [index], fs=data.prepared.fs, settings=Settings(**stated)))


def truth_of(simulation: Simulation) -> tuple[Spans, Leads]:
    """label -> spans in seconds, and label -> names of the leads that show it, of the first record."""
    spans = simulation.spans[simulation.spans["record"] == 0]
    found = {str(label): list(zip(part["start"].tolist(), part["end"].tolist(), strict=True))
             for label, part in spans.groupby("label", sort=False)}
    return found, {label: [lead for lead, shows in zip(LEADS, simulation.leads[0, CPSC_CLASSES.index(label)], strict=True) if shows]
                   for label in found}


def simulated_truth() -> Figure:
    """The first simulated record of seed 0 that carries exactly TRUTH, at 500 Hz, with everything that is true of it shaded."""
    labels = draw_parameters(0, np.arange(2000), Settings(), 10.0).labels
    wanted = np.isin(CPSC_CLASSES, TRUTH)
    index = int(np.flatnonzero((labels == wanted).all(1))[0])
    simulation = simulate(0, [index], fs=500)
    spans, leads = truth_of(simulation)
    title = f"{' and '.join(TRUTH)} · simulated record {index}, seed 0"
    return twelve_leads(simulation.signals[0], 500, title=title, spans=spans, leads=leads)
