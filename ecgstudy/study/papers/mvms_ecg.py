"""MVMS-Net's page: from where each view looks, and what its gate and its share of each logit are, by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, PathPatch
from matplotlib.path import Path
from torch import nn

from ecgstudy.models.mvms_ecg import VIEWS
from ecgstudy.study import axis_page, paper_page
from ecgstudy.study.axis_page import Comparison
from ecgstudy.study.figures import GREY, INK, STYLE, closed
from ecgstudy.study.ledger import Run
from ecgstudy.study.papers.validation import ValidationRecords, validation_records

COLOURS = dict(zip(VIEWS, ("#8a5a2b", "#d6336c", "#1f5fa8", "#2e9e5b", "#e08a00", "#8e4ec6"), strict=True))
# Where each limb lead points in the frontal plane, degrees clockwise from the patient's left: Einthoven's and Goldberger's angles.
FRONTAL = {"I": 0, "II": 60, "III": 120, "aVR": -150, "aVL": -30, "aVF": 90}
# Where each chest electrode lies around the heart in the horizontal plane, degrees from the patient's left towards the front, as textbooks
# draw them; and on the chest, in widths of the torso from its middle, and heights from the fourth intercostal space.
HORIZONTAL = {"V1": 115, "V2": 94, "V3": 58, "V4": 47, "V5": 22, "V6": 0}
ON_CHEST = {"V1": (-0.06, 0.0), "V2": (0.06, 0.0), "V3": (0.16, -0.1), "V4": (0.26, -0.2), "V5": (0.36, -0.2), "V6": (0.44, -0.2)}


@dataclass(frozen=True, eq=False)
class Subject:
    """The page's network beside validation records. run: None where the weights are fresh."""

    model: nn.Module
    run: Run | None
    records: ValidationRecords

    @property
    def whose(self) -> str:
        """Whose weights a picture shows, for its title."""
        return paper_page.whose_weights(self.run)


def subject(found: Comparison) -> Subject:
    """The page's trained network, if its weights are at hand, and validation records."""
    model, run = paper_page.trained(found)
    return Subject(model, run, validation_records(found, run))


# -- from where each view looks -----------------------------------------------------------------------------------------

def view_of(lead: str) -> str:
    """The view that a lead belongs to."""
    return next(view for view, leads in VIEWS.items() if lead in leads)


def chest_figure(gates: Mapping[str, float], title: str) -> Figure:
    """The six views on the frontal and on the horizontal plane, one colour a view. gates: the mean gate of each view."""
    with plt.rc_context(STYLE):
        figure, (front, across, legend) = plt.subplots(1, 3, figsize=(11, 4.9), layout="constrained", width_ratios=[1.1, 1.1, 0.75])
        _frontal(front)
        _horizontal(across)
        for axis in (front, across, legend):
            axis.set_axis_off()
        for axis in (front, across):
            axis.set_aspect("equal")
        for row, (view, leads) in enumerate(VIEWS.items()):
            y = 0.86 - 0.14 * row
            legend.plot([0.0, 0.12], [y, y], color=COLOURS[view], lw=5, solid_capstyle="round")
            legend.text(0.18, y, f"{view}: {', '.join(leads)}\nmean gate {gates[view]:.2f}", fontsize=10, va="center")
        legend.set(xlim=(-0.05, 1), ylim=(0, 1))
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def _frontal(axis: Axes) -> None:
    """The patient seen from the front, the limb leads as arrows from the heart, the chest electrodes as dots."""
    right = [(-0.14, 1.12), (-0.14, 0.95), (-0.24, 0.88), (-0.55, 0.82), (-0.72, 0.74), (-0.76, 0.40), (-0.78, 0.05)]
    side = [(-0.62, 0.05), (-0.58, 0.42), (-0.52, 0.10), (-0.48, -0.35), (-0.52, -0.95)]
    half = right + side
    outline = half + [(-x, y) for x, y in reversed(half)]
    axis.add_patch(PathPatch(Path(outline), facecolor="#f5f1ec", edgecolor=GREY, lw=1.2, zorder=0))
    axis.add_patch(Ellipse((0.08, 0.02), 0.34, 0.46, angle=35, facecolor="#f2c9c9", edgecolor="#c98a8a", lw=1, zorder=1))
    for lead, angle in FRONTAL.items():
        _arrow(axis, lead, (0.04, 0.06), angle, 0.95)
    for lead, (x, y) in ON_CHEST.items():
        axis.plot(1.15 * x, y + 0.14, "o", ms=8, color=COLOURS[view_of(lead)], mec="white", mew=1, zorder=4)
    axis.set(xlim=(-1.25, 1.3), ylim=(-1.25, 1.2))
    axis.set_title("frontal plane, the patient facing the reader", fontsize=10)
    for x, word in ((-1.2, "right"), (1.2, "left")):
        axis.text(x, 1.08, word, fontsize=9, color=GREY, ha="center")


def _horizontal(axis: Axes) -> None:
    """The chest cut across and seen from above, its front at the foot of the picture, the chest leads as arrows from the heart."""
    axis.add_patch(Ellipse((0, 0), 2.0, 1.45, facecolor="#f5f1ec", edgecolor=GREY, lw=1.2, zorder=0))
    axis.add_patch(Ellipse((0, 0.56), 0.26, 0.2, facecolor="#e4ded6", edgecolor=GREY, lw=1, zorder=1))          # the spine
    axis.add_patch(Ellipse((0.13, -0.14), 0.62, 0.44, angle=-35, facecolor="#f2c9c9", edgecolor="#c98a8a", lw=1, zorder=1))
    for lead, angle in HORIZONTAL.items():
        _arrow(axis, lead, (0.08, -0.1), angle, 0.98)
    axis.set(xlim=(-1.25, 1.3), ylim=(-1.3, 1.15))
    axis.set_title("horizontal plane, seen from above", fontsize=10)
    for x, y, word in ((-1.13, 0.0, "right"), (1.2, 0.22, "left"), (0, 0.82, "back"), (-0.75, -1.0, "front")):
        axis.text(x, y, word, fontsize=9, color=GREY, ha="center", va="center")


def _arrow(axis: Axes, lead: str, start: tuple[float, float], angle: float, length: float) -> None:
    """A lead from `start`, `angle` degrees from the right of the picture, positive downwards; its name beyond the tip."""
    turned = np.radians(-angle)
    step = np.array([np.cos(turned), np.sin(turned)])
    tip, colour = np.array(start) + length * step, COLOURS[view_of(lead)]
    arrow = {"arrowstyle": "-|>", "color": colour, "lw": 2.2, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", xy=tip, xytext=start, arrowprops=arrow, zorder=3)
    axis.text(*(tip + 0.13 * step), lead, color=colour, fontsize=10, fontweight="bold", ha="center", va="center", zorder=4)


# -- gates and shares by class ------------------------------------------------------------------------------------------

@torch.no_grad()
def gates_and_parts(seen: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Of every record the gate of each view [R, V], and what each view adds to each logit [R, K, V]."""
    gates, parts = [], []
    for x in seen.records.batches():
        maps = seen.model.forward_features(x)
        gates.append(seen.model.head.gates(maps.mean(dim=-1))[:, 0])
        parts.append(seen.model.head.contributions(maps))
    return torch.cat(gates).numpy(), torch.cat(parts).numpy()


def by_class(values: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means [K, V] over the records with a class and over those without. values: [R, V], or [R, K, V] with a row for each class.

    NaN where there is no such record.
    """
    own = values if values.ndim == 3 else np.broadcast_to(values[:, None], (len(values), targets.shape[1], values.shape[1]))
    return tuple(np.stack([_mean(own[chosen[:, k], k]) for k in range(targets.shape[1])])
                 for chosen in (targets.astype(bool), ~targets.astype(bool)))


def _mean(rows: np.ndarray) -> np.ndarray:
    return rows.mean(axis=0) if len(rows) else np.full(rows.shape[1], np.nan)


def mean_gates(seen: Subject) -> dict[str, float]:
    """The gate of each view, mean over the records."""
    return dict(zip(VIEWS, map(float, gates_and_parts(seen)[0].mean(axis=0)), strict=True))


def views_figure(seen: Subject, found: Comparison) -> Figure:
    """The chest diagram with the mean gates; also kept as the page's picture."""
    drawn = chest_figure(mean_gates(seen), f"Six views of the heart, and how far their gates open ({seen.whose})")
    axis_page.save_picture(drawn, found.page.request)
    return closed(drawn)


def class_figure(seen: Subject) -> Figure:
    """For each class and view: the gate; the gate with the class minus without it; the same difference of the view's part of the logit."""
    gates, parts = gates_and_parts(seen)
    targets = seen.records.targets
    with_class, without = by_class(gates, targets)
    part_with, part_without = by_class(parts, targets)
    counts = targets.sum(axis=0)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(11, 0.36 * len(counts) + 2.4), layout="constrained", sharey=True)
        panels = (("gate, records with the class", with_class, "Oranges"), ("gate, with minus without", with_class - without, "RdBu_r"),
                  ("part of the logit,\nwith minus without", part_with - part_without, "RdBu_r"))
        for axis, (title, values, palette) in zip(axes, panels, strict=True):
            _matrix(figure, axis, values, palette)
            axis.set_title(title, fontsize=10)
        axes[0].set_yticks(range(len(counts)), [f"{name} ({n})" for name, n in zip(seen.records.classes, counts, strict=True)])
        figure.suptitle(f"Views by class ({seen.whose}; {len(targets)} validation records)", fontsize=11, x=0.01, ha="left")
        return closed(figure)


def _matrix(figure: Figure, axis: Axes, values: np.ndarray, palette: str) -> None:
    """[K, V] as colours; a palette of two signs is centred on 0. Grey: no records."""
    largest = max(np.nanmax(np.abs(values), initial=0.0), 1e-6)
    low, high = (-largest, largest) if palette == "RdBu_r" else (0.0, 1.0)
    drawn = axis.imshow(values, aspect="auto", cmap=palette, vmin=low, vmax=high)
    axis.set_facecolor("#dddddd")
    axis.set_xticks(range(len(VIEWS)), list(VIEWS), rotation=40, ha="right", rotation_mode="anchor", fontsize=9)
    for label, view in zip(axis.get_xticklabels(), VIEWS, strict=True):
        label.set_color(COLOURS[view])
    axis.tick_params(colors=INK, axis="y")
    figure.colorbar(drawn, ax=axis, pad=0.02)


def in_words(seen: Subject) -> str:
    """What the pictures show, as Markdown, from their own numbers."""
    gates, parts = gates_and_parts(seen)
    targets, names = seen.records.targets, list(VIEWS)
    with_class, without = by_class(parts, targets)
    strongest = [f"{name} {names[int(row.argmax())]}" for name, row in zip(seen.records.classes, with_class - without, strict=True)
                 if not np.isnan(row).any()]
    spread, means = gates.std(axis=0).mean(), gates.mean(axis=0)
    widest, least = int(means.argmax()), int(means.argmin())
    return (f"**Gates** ({seen.whose}). "
            f"On {len(targets)} validation records the widest open is *{names[widest]}* (mean {means[widest]:.2f}), the least "
            f"open *{names[least]}* ({means[least]:.2f}). From record to record one gate varies by {spread:.3f} (SD, mean of views).\n\n"
            f"**Views.** The view whose part of the logit rises most when the class is there: {', '.join(strongest)}. This is exact for "
            "the network, because a logit is a sum over views; it does not say that the others would not have sufficed.")
