"""The page of the multi-module network: what each of its four modules contributes, found by leaving it out of the trained network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from torch import Tensor

from ecgstudy.data.labels import LabelSet, label_set
from ecgstudy.data.splits import split
from ecgstudy.errors import AbsentError
from ecgstudy.evaluate.bootstrap import Interval, interval, patient_weights, replicate_scores
from ecgstudy.evaluate.metrics import probabilities, score
from ecgstudy.layers.attention import capture_attention
from ecgstudy.leads import LEADS
from ecgstudy.models.multi_module import MultiModule
from ecgstudy.study.axis_page import Comparison
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE, closed
from ecgstudy.study.paper_page import trained, whose_weights
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import at_hand
from ecgstudy.study.tables import NOTES, reported, show, style
from ecgstudy.train.feed import Feed, Scaling, fit_scaling

MOST, BATCH, REPLICATES = 1000, 64, 500
LEAD = LEADS.index("II")
WAYS = {"removed": "its token removed", "averaged": "its token replaced by the mean over records"}
TIES = 1e-12        # of two intervals' ends, before one is said to lie beyond zero


@dataclass(frozen=True, eq=False)
class Subject:
    """The page's network, and its tokens for R validation records.

    tokens: module -> [R, 64]. targets: [R, K]. patients: [R]. signals: float32 [R, L, T] as the network gets them. known: share of the
    records whose age and whose sex is known.
    """

    model: MultiModule
    weights: str
    tokens: dict[str, Tensor]
    targets: np.ndarray
    patients: np.ndarray
    signals: Tensor
    fs: int
    labels: LabelSet
    known: tuple[float, float]

    @property
    def modules(self) -> tuple[str, ...]:
        return tuple(self.tokens)


def subject(found: Comparison) -> Subject:
    """The network of the page, trained where its weights are at hand, and at most MOST records of its validation fold.

    Simulated records stand in where the page's data are not here.
    """
    asked, (model, run) = found.page.request, trained(found)
    labels = label_set(asked.dataset, asked.task)
    try:
        prepared = at_hand(asked.dataset, asked.size)
    except AbsentError:
        dataset = "synthetic" if labels.multilabel else "synthetic_rhythm"          # the same classes, under the simulator's names
        labels, prepared = label_set(dataset), at_hand(dataset, profile("smoke"))
    parts = split(prepared, labels)
    rows = parts.validation[:MOST]
    scaling = Scaling(**run.result["training"]["scaling"]) if run else fit_scaling(prepared, parts.training)
    feed = Feed(prepared, rows, labels.encode(prepared.statements()), scaling, torch.device("cpu"), ("person",))
    batch = feed.batch(torch.arange(len(feed)))
    with torch.inference_mode():
        held = [model.tokens(x, person) for x, person in zip(batch.signals.split(BATCH), batch.inputs["person"].split(BATCH), strict=True)]
    known = (~batch.inputs["person"].isnan()).double().mean(dim=0).tolist()
    return Subject(model, whose_weights(run), {name: torch.cat([part[name] for part in held]) for name in held[0]},
                   batch.targets.numpy().astype(int), prepared.table["patient_id"].to_numpy(str)[rows], batch.signals, prepared.fs, labels,
                   (known[0], known[1]))


# -- leaving a module out -----------------------------------------------------------------------------------------------

def logits_without(seen: Subject, name: str = "", way: str = "removed") -> np.ndarray:
    """The network's logits [R, K] without one module, by one of `WAYS`; with all of them where no name is given."""
    tokens = dict(seen.tokens)
    if name and way == "removed":
        del tokens[name]
    elif name:
        tokens[name] = tokens[name].mean(dim=0, keepdim=True).expand_as(tokens[name])
    with torch.inference_mode():
        return seen.model.head(seen.model.fuse(list(tokens.values()))).numpy()


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each module, left out, costs: macro-AUROC with all, and for each module and way the loss. by_class: loss of AUROC [M, K] where
    the token is averaged, NaN for a class without positives."""

    complete: float
    losses: dict[tuple[str, str], Interval]
    by_class: np.ndarray


def contributions(seen: Subject) -> Contributions:
    """The loss in macro-AUROC without each module, paired over the same draws of patients."""
    draws = patient_weights(seen.patients, REPLICATES, np.random.default_rng(0))

    def measured(logits: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        thresholds = np.full(logits.shape[1], 0.5) if seen.labels.multilabel else None
        found = score(logits, seen.targets, seen.labels.classes, seen.labels.multilabel, thresholds)
        replicates = replicate_scores(probabilities(logits, seen.labels.multilabel), seen.targets, None, draws)["macro_auroc"]
        return found.macro_auroc, replicates, np.array(found.auroc, float)

    whole, whole_draws, whole_classes = measured(logits_without(seen))
    losses, by_class = {}, []
    for name in seen.modules:
        for way in WAYS:
            value, replicates, classes = measured(logits_without(seen, name, way))
            losses[name, way] = interval(whole - value, whole_draws - replicates)
        by_class.append(whole_classes - classes)
    return Contributions(whole, losses, np.array(by_class))


def contribution_figure(seen: Subject, found: Contributions) -> Figure:
    """Left: the loss without each module, both ways; right: by class."""
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.9), layout="constrained", width_ratios=[1, 1.35])
        places = np.arange(len(seen.modules))
        for shift, way, colour in ((-0.12, "removed", GREY), (0.12, "averaged", MEASURED)):
            for place, name in zip(places, seen.modules, strict=True):
                lost = found.losses[name, way]
                left.plot([lost.low, lost.high], [place + shift] * 2, color=colour, lw=2, solid_capstyle="round")
                left.plot(lost.estimate, place + shift, "o", color=colour, ms=6, label=WAYS[way] if place == 0 else None)
        left.axvline(0, color=INK, lw=0.8)
        left.set_yticks(places, seen.modules)
        left.set(xlabel=f"loss of macro-AUROC (of {show(found.complete)})", ylim=(len(places) - 0.5, -0.5))
        left.grid(axis="x", color="#e5e5e5", lw=0.8)
        _by_class(right, seen, found.by_class)
        figure.colorbar(right.images[0], ax=right, label="loss of AUROC")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9)
        figure.suptitle(f"Each module left out ({seen.weights})", fontsize=11, x=0.01, ha="left")
        return closed(figure)


def _by_class(axis: Axes, seen: Subject, losses: np.ndarray) -> None:
    reach = max(0.01, np.nanmax(np.abs(losses), initial=0.0))
    axis.imshow(losses, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    for (row, column), value in np.ndenumerate(losses):
        axis.text(column, row, "–" if np.isnan(value) else f"{value:+.2f}", ha="center", va="center", fontsize=8,
                  color="white" if abs(value) > 0.65 * reach else INK)
    axis.set_xticks(range(len(seen.labels.classes)), seen.labels.classes, rotation=45, ha="right")
    axis.set_yticks(range(len(seen.modules)), seen.modules)
    axis.set_title("by class, token replaced by its mean", fontsize=10, loc="left")
    for side in axis.spines.values():
        side.set_visible(False)


# -- what the modules see, and how the fusion weighs them ---------------------------------------------------------------

def fusion_weights(seen: Subject) -> list[np.ndarray]:
    """Mean attention between the modules in each layer of the fusion, over heads and records: [M, M], rows are queries."""
    with torch.inference_mode(), capture_attention(seen.model.fusion) as maps:
        seen.model.fuse(list(seen.tokens.values()))
    return [held.mean(dim=(0, 1)).numpy() for held in maps.values()]


def input_figure(seen: Subject, row: int = 0) -> Figure:
    """Lead II of one record in pieces, the images that the spectrogram module gets of it, and the fusion's attention."""
    pieces = seen.model.segments(seen.signals[row:row + 1])[0]                                     # [S, L, n]
    weights = fusion_weights(seen)
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(9.5, 6.0), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=[1.25, 1])
        trace, image = above.subplots(2, 1, sharex=True)
        times = np.arange(seen.signals.shape[-1]) / seen.fs
        trace.plot(times, seen.signals[row, LEAD], color=INK, lw=0.9)
        trace.set(ylabel="II (SD)", xlim=(0, len(pieces) * seen.model.segments.length / seen.fs))
        trace.set_title("A validation record in pieces of a second", fontsize=10, loc="left")
        if "spectrogram" in seen.modules:
            _images(image, seen, pieces)
        for axis in (trace, image):
            for edge in range(1, len(pieces)):
                axis.axvline(edge * seen.model.segments.length / seen.fs, color=GREY, lw=0.7)
        for number, (axis, found) in enumerate(zip(below.subplots(1, len(weights), sharey=True), weights, strict=True), start=1):
            _attention(axis, found, seen.modules, f"fusion, layer {number}")
        figure.suptitle(f"What the modules see, and how they are weighed ({seen.weights})", fontsize=11, x=0.01, ha="left")
        return closed(figure)


def _images(axis: Axes, seen: Subject, pieces: Tensor) -> None:
    images = seen.model.parts["spectrogram"].prepare(pieces)[:, LEAD]                               # [S, F, N]
    second = seen.model.segments.length / seen.fs
    for number, image in enumerate(images):
        axis.imshow(image, origin="lower", aspect="auto", cmap="magma", vmin=-2.5, vmax=2.5, interpolation="nearest",
                    extent=(number * second, (number + 1) * second, 0, seen.fs / 2))
    axis.set(xlabel="time (s)", ylabel="frequency (Hz)", xlim=(0, len(images) * second))


def _attention(axis: Axes, found: np.ndarray, modules: Sequence[str], title: str) -> None:
    axis.imshow(found, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(found):
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color="white" if value > 0.6 else INK)
    axis.set_xticks(range(len(modules)), modules, rotation=35, ha="right", fontsize=9)
    axis.set_yticks(range(len(modules)), modules, fontsize=9)
    axis.set_title(title, fontsize=10)


def reported_table() -> Styler:
    """The paper's own scores on MIT-BIH, in grey."""
    rows = [{("", "network"): row["network"], (NOTES, "F1 (%)"): f"{row['f1']:.2f}", (NOTES, "accuracy (%)"): f"{row['accuracy']:.2f}"}
            for row in reported("papers")["multi_module"]["rows"]]
    table = pd.DataFrame(rows)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return style(table, "What the authors report for MIT-BIH; not measured here, and not comparable with the scores above.")


def in_words(seen: Subject, found: Contributions) -> str:
    """What leaving each module out says, in numbers, as Markdown."""
    told = []
    for name in seen.modules:
        lost = found.losses[name, "averaged"]
        beyond = lost.low > TIES or lost.high < -TIES
        told.append(f"`{name}` {show(lost.estimate, signed=True)} ({'away from' if beyond else 'not told from'} zero over patients)")
    age, sex = seen.known
    return (f"**Without each module.** Of {show(found.complete)} validation macro-AUROC the trained network loses, when one module's token "
            f"is replaced by its mean: {'; '.join(told)}. Age is known for {age:.0%} of these records and sex for {sex:.0%}. This tells "
            "what this network leans on, not what a network trained without the module would reach: two modules that read the same "
            "signal can stand in for each other.")
