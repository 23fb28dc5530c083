"""MVKT-ECG's page: the lesson as a picture, the gap that it closes by class, and whether a student's feature names its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from pandas.io.formats.style import Styler
from torch import nn

from ecgstudy.data.labels import label_set
from ecgstudy.data.synthetic import simulate
from ecgstudy.layers.leads import OnLeads
from ecgstudy.leads import LEADS
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study import axis_page, distillation_page, paper_page, pretraining, tables
from ecgstudy.study.axis_page import SIGNAL, AxisPage, Comparison
from ecgstudy.study.complexity import count_parameters, macs
from ecgstudy.study.distillation_page import WAYS, Lesson, student
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE, closed
from ecgstudy.study.papers.validation import ValidationRecords, validation_records
from ecgstudy.train.seeds import scoped_seed

# depth -> parameters with nine classes of the official network, on twelve leads and on one, as counted in its code
COUNTS = {18: (3_872_457, 3_871_401), 34: (7_246_793, 7_245_737), 50: (16_010_441, 16_009_385), 101: (28_317_897, 28_316_841)}
LEAD = "I"
UNTRAINED = "untrained"
RECORDS = 600           # of the validation fold: one half to fit a map on, one half to ask
OTHER = "#e08a00"       # pairs of two records that share a label
SHOWN = 11              # the simulated record of the scheme


def lesson(found: Comparison) -> Lesson:
    """The page's runs with its own teacher."""
    return Lesson(found, teacher=found.page.axis.name)


def count_table() -> Styler:
    """Teacher and student of every depth: parameters built here and as expected, and MACs."""
    lines = []
    for depth, expected in COUNTS.items():
        for n_leads, count in zip((12, 1), expected, strict=True):
            signal = SignalSpec(n_leads, SIGNAL.n_samples, SIGNAL.fs)
            with torch.device("meta"):
                model = build_model("mvkt_ecg", signal, 9, depth=depth)
            found = count_parameters(model)
            lines.append({("", "depth"): depth, ("", "leads"): n_leads, ("built here", "parameters"): f"{found:,}",
                          ("built here", "MACs"): tables.mega(macs(model, signal)), (tables.NOTES, "expected"): f"{count:,}",
                          ("", "equal"): "yes" if found == count else "no"})
    table = pd.DataFrame(lines)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return tables.style(table, "Teacher and student at nine classes: one network, on twelve leads or on one. In grey the count of the "
                               "official code. The two projections of CLT come on top while the student is taught, and are then discarded.")


# -- the lesson as a picture --------------------------------------------------------------------------------------------

def scheme_figure() -> Figure:
    """One simulated record: all its leads to the frozen teacher, lead I to the student, and the terms between and beside them."""
    signal = simulate(seed=4, indices=[SHOWN], fs=SIGNAL.fs).signals[0]                         # [L, T] mV
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(9.5, 4.6), layout="constrained")
        seconds, across = np.arange(300) / SIGNAL.fs, 0.55                                      # across: of the picture, a second
        for row, lead in enumerate(LEADS):
            axis.plot(0.2 + across * seconds, 3.9 - 0.17 * row + 0.16 * signal[row, :300], lw=0.7, color=MEASURED if lead == LEAD else GREY)
        axis.plot(0.2 + across * seconds, 0.85 + 0.45 * signal[LEADS.index(LEAD), :300], lw=0.9, color=MEASURED)
        axis.plot([0.2, 0.2, 0.2 + across], [0.65, 0.2, 0.2], color=INK, lw=1)
        axis.text(0.28, 0.27, "1 mV, 1 s", fontsize=8)
        axis.text(0.2, 4.25, "12 leads", fontsize=10)
        axis.text(0.2, 1.4, f"lead {LEAD}", fontsize=10, color=MEASURED)
        for y, who, note, colour in ((3.0, "teacher", "frozen", INK), (0.9, "student", "learns", MEASURED)):
            mark = who[0]
            for x, width, text in ((2.5, 1.6, f"{who}\n{note}"), (4.9, 1.0, f"feature\n$f^{mark}$"), (7.0, 1.0, f"logits\n$z^{mark}$")):
                _box(axis, (x, y), width, text, colour)
            for start, end in ((2.0, 2.45), (4.15, 4.85), (5.95, 6.95)):
                _arrow(axis, (start, y), (end, y), INK)
        _box(axis, (9.0, 0.9), 0.9, "labels\n$y$", GREY)
        _between(axis, (5.4, 2.6), (5.4, 1.3), "CLT: same record?\n(training only)", OTHER)
        _between(axis, (7.5, 2.6), (7.5, 1.3), "MKD: same\nprobabilities?", OTHER)
        _between(axis, (8.95, 0.9), (8.05, 0.9), "", OTHER)
        axis.text(8.5, 1.08, "BCE", fontsize=9, ha="center", color=OTHER)
        axis.set(xlim=(0, 10.1), ylim=(0.1, 4.55))
        axis.set_axis_off()
        return closed(figure)


def _box(axis: Axes, place: tuple[float, float], width: float, text: str, colour: str) -> None:
    """A box whose left edge is at `place`, centred on its height."""
    x, y = place
    axis.add_patch(FancyBboxPatch((x, y - 0.36), width, 0.72, boxstyle="round,pad=0.03", fc="white", ec=colour, lw=1.6))
    axis.text(x + width / 2, y, text, ha="center", va="center", fontsize=10, color=INK)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, kind: str = "-|>") -> None:
    axis.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": kind, "color": colour, "lw": 1.5, "shrinkA": 0, "shrinkB": 0})


def _between(axis: Axes, start: tuple[float, float], end: tuple[float, float], text: str, colour: str) -> None:
    """A term of the loss between two boxes."""
    _arrow(axis, start, end, colour, "<|-|>")
    axis.text(start[0] + 0.1, (start[1] + end[1]) / 2, text, fontsize=9, color=colour, va="center")


# -- the gap ------------------------------------------------------------------------------------------------------------

def gap_figure(told: Lesson) -> object:
    """The gap by class and what the lesson closes of it; also kept as the page's picture."""
    drawn = distillation_page.gap_picture(told)
    if isinstance(drawn, Figure):
        axis_page.save_picture(drawn, told.found.page.request)
    return drawn


# -- the features -------------------------------------------------------------------------------------------------------

@dataclass(frozen=True, eq=False)
class Alignment:
    """How a student's features, mapped into the teacher's space, lie to the teacher's, on records that the map was not fitted on.

    cosines: [R, R], student's record down, teacher's across. own, alike: bool [R, R], pairs of one record, and of two that share a label.
    """

    cosines: np.ndarray
    own: np.ndarray
    alike: np.ndarray

    @property
    def other(self) -> np.ndarray:
        """Pairs of two records without a label in common."""
        return ~(self.own | self.alike)

    @property
    def found_first(self) -> float:
        """The share of records whose own teacher feature is the nearest of all."""
        return float((self.cosines.argmax(axis=1) == np.arange(len(self.cosines))).mean())

    @property
    def apart(self) -> float:
        """How much nearer a record is to itself than to records of other labels, mean cosines; NaN where there are none."""
        return float(self.cosines[self.own].mean() - self.cosines[self.other].mean()) if self.other.any() else float("nan")


def align(student_features: np.ndarray, teacher_features: np.ndarray, targets: np.ndarray) -> Alignment:
    """Fit a linear map from the student's features [R, Fs] to the teacher's [R, Ft] on the first half of the records, ask the second.

    Ridge regression on standardised features, with as much weight on the penalty as on one standard deviation of each feature, the same for
    all students, so that none of them needs a projection of its own. targets: [R, K]; records without a label share that.
    """
    half = len(targets) // 2
    x, y = (_standardised(each.astype(np.float64), half) for each in (student_features, teacher_features))
    gram = x[:half].T @ x[:half] + half * np.eye(x.shape[1])
    mapped = x[half:] @ np.linalg.solve(gram, x[:half].T @ y[:half])                            # [R / 2, Ft]
    asked = targets[half:].astype(bool)
    kinds = np.concatenate([asked, ~asked.any(axis=1, keepdims=True)], axis=1).astype(int)
    own = np.eye(len(asked), dtype=bool)
    return Alignment(_unit(mapped) @ _unit(y[half:]).T, own, (kinds @ kinds.T > 0) & ~own)


def _standardised(features: np.ndarray, half: int) -> np.ndarray:
    """By mean and deviation of the first half; a feature that does not vary there stays 0."""
    deviation = features[:half].std(axis=0)
    return np.where(deviation > 1e-8, (features - features[:half].mean(axis=0)) / np.maximum(deviation, 1e-8), 0.0)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


@torch.no_grad()
def features(model: nn.Module, records: ValidationRecords) -> np.ndarray:
    """What the last linear map reads of every record, [R, F]."""
    return torch.cat([model.embed(x) for x in records.batches()]).numpy()


@dataclass(frozen=True, eq=False)
class Aligned:
    """The alignment of every student whose weights are at hand with the teacher. teacher: whose weights it has. n_records: asked."""

    students: Mapping[str, Alignment]
    teacher: str
    n_records: int


def aligned(found: Comparison, lead: str = LEAD, most: int = RECORDS) -> Aligned:
    """Teacher and students of one lead on the page's validation records, the test fold left alone; first an untrained student."""
    teacher, run = paper_page.trained(found)
    records = validation_records(found, run, most)
    theirs = features(teacher, records)
    students = {UNTRAINED: untrained(found.page, lead)}
    for way in WAYS:
        model, _ = pretraining.classifier(found, student(lead, way))
        if model is not None:
            students[way] = model
    return Aligned({name: align(features(model, records), theirs, records.targets) for name, model in students.items()},
                   paper_page.whose_weights(run), len(records) - len(records) // 2)


def untrained(page: AxisPage, lead: str) -> nn.Module:
    """The student of a lead with fresh weights."""
    settings = page.axis.variants[page.axis.name].all_settings(page.request.size)
    with scoped_seed(0):
        n_classes = len(label_set(page.request.dataset, page.request.task).classes)
        inner = build_model(page.axis.name, SignalSpec(1, SIGNAL.n_samples, SIGNAL.fs), n_classes, **settings)
    return OnLeads(inner, [LEADS.index(lead)]).eval()


def alignment_figure(told: Aligned, lead: str = LEAD) -> Figure:
    """A row for each student: how the cosines of its pairs are spread, and how often a record is found first."""
    names = {UNTRAINED: "untrained", **WAYS}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(len(told.students), 1, figsize=(8.5, 1.25 * len(told.students) + 1.4), layout="constrained",
                                    sharex=True, squeeze=False)
        edges = np.linspace(-1, 1, 41)
        for axis, (name, each) in zip(axes[:, 0], told.students.items(), strict=True):
            for pairs, colour, label in ((each.other, GREY, "two records, no label shared"), (each.own, MEASURED, "one record"),
                                         (each.alike, OTHER, "two records, a label shared")):
                if pairs.any():
                    axis.hist(each.cosines[pairs], edges, density=True, histtype="stepfilled", color=colour, alpha=0.35)
                    axis.hist(each.cosines[pairs], edges, density=True, histtype="step", color=colour, lw=1.4, label=label)
                    axis.axvline(each.cosines[pairs].mean(), color=colour, lw=1.2, ls="--")
            axis.set(yticks=[], xlim=(-1, 1))
            axis.set_ylabel(names[name], rotation=0, ha="right", va="center")
            axis.annotate(f"{100 * each.found_first:.1f} %\nfound first", (1, 0.5), xycoords=axis.transAxes, xytext=(6, 0),
                          textcoords="offset points", va="center", fontsize=9, annotation_clip=False)
            axis.spines["left"].set_visible(False)
        axes[-1, 0].set_xlabel("cosine of the student's mapped feature and a teacher's feature")
        handles, labels = max((axis.get_legend_handles_labels() for axis in axes[:, 0]), key=lambda pair: len(pair[1]))
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
        figure.suptitle(f"Student of lead {lead}: does its feature name the record? (teacher {told.teacher};\n{told.n_records} validation "
                        f"records asked, by chance {100 / told.n_records:.1f} % found first)", fontsize=11, x=0.01, ha="left")
        return closed(figure)


def in_words(told: Lesson, seen: Aligned) -> str:
    """What the page's own pictures show, as Markdown, from their numbers."""
    parts = [distillation_page.told_by_lead(told), distillation_page.told_by_class(told)]
    lines = [f"{WAYS.get(name, name).removeprefix('+ ')} {100 * each.found_first:.1f} % (mean cosine {tables.show(each.apart, 2)} above "
             "that of other labels)" for name, each in seen.students.items()]
    parts.append(f"**Features** (teacher {seen.teacher}). Of {seen.n_records} validation records the share whose own teacher feature is "
                 f"the nearest to the student's mapped one: {'; '.join(lines)}; by chance {100 / seen.n_records:.1f} %. The map is fitted "
                 "after training and on other records, so that a student who never met the teacher is asked the same question.")
    return "\n\n".join(part for part in parts if part)
