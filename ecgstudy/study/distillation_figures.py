"""Figures of what a teacher gives: the ways of teaching side by side, the gap that is closed in each class, and views by class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ecgstudy.evaluate.bootstrap import Interval
from ecgstudy.study.class_gaps import EVERY_CLASS, ClassGap
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE

TEACHER, LOSS, NOTHING = "#222222", "#d1495b", "#dddddd"        # the teacher's mark; a gain below zero; no value


def ways_figure(panels: Mapping[str, tuple[Interval | None, Mapping[str, tuple[Interval, Sequence[float]]]]], title: str) -> Figure:
    """A panel for each student, a row for each way of teaching: mean macro-AUROC, its 95 % interval, and each seed.

    panels: student -> (the teacher's interval, drawn as a band; way -> (interval, seeds' scores)).
    """
    with plt.rc_context(STYLE):
        n_rows = max((len(ways) for _, ways in panels.values()), default=1)
        figure, axes = plt.subplots(1, len(panels), figsize=(9.5, 0.5 * n_rows + 1.7), layout="constrained", squeeze=False, sharex=True)
        for axis, (student, (teacher, ways)) in zip(axes[0], panels.items(), strict=True):
            if teacher:
                axis.axvspan(teacher.low, teacher.high, color=GREY, alpha=0.25, lw=0, label="teacher, 95 %")
                axis.axvline(teacher.estimate, color=TEACHER, lw=1.2, label="teacher")
            for place, (found, seeds) in zip(range(len(ways))[::-1], ways.values(), strict=True):
                axis.plot([found.low, found.high], [place] * 2, color=MEASURED, lw=2, solid_capstyle="round")
                axis.plot(found.estimate, place, "o", color=MEASURED, ms=7, label="student, 95 % over patients" if not place else None)
                axis.plot(seeds, [place + 0.2] * len(seeds), "|", color=INK, ms=6, mew=1, label="one seed" if not place else None)
            axis.set_yticks(range(len(ways))[::-1], list(ways))
            axis.set(ylim=(-0.6, max(len(ways), 1) - 0.3), xlabel="macro-AUROC on the test fold")
            axis.set_title(student, loc="left", fontsize=10)
            axis.grid(axis="x", color="#e5e5e5", lw=0.8)
            axis.set_axisbelow(True)
        handles = {label: handle for axis in axes[0] for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=9)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def gap_figure(panels: Mapping[str, Sequence[ClassGap]], title: str) -> Figure:
    """A panel for each student, a row for each class: the student alone, taught, and the teacher; at the right the share closed."""
    with plt.rc_context(STYLE):
        n_rows = max((len(gaps) for gaps in panels.values()), default=1)
        figure, axes = plt.subplots(1, len(panels), figsize=(max(4.9 * len(panels), 7.0), 0.36 * n_rows + 2.1), layout="constrained",
                                    squeeze=False, sharex=True, sharey=True)
        for axis, (student, gaps) in zip(axes[0], panels.items(), strict=True):
            for place, gap in enumerate(gaps):
                _dumbbell(axis, place, gap)
            axis.set_title(student, loc="left", fontsize=10)
            axis.set_xlabel("AUROC on the test fold")
            axis.grid(axis="x", color="#e5e5e5", lw=0.8)
            axis.set_axisbelow(True)
        longest = max(panels.values(), key=len, default=[])
        labels = [gap.name if gap.name == EVERY_CLASS else f"{gap.name} ({gap.positives})" for gap in longest]
        axes[0, 0].set_yticks(range(len(longest)), labels)
        axes[0, 0].set_ylim(n_rows - 0.4, -0.9)
        handles = [plt.Line2D([], [], ls="", marker="o", ms=6.5, mfc="white", mec=GREY, mew=1.6, label="labels alone"),
                   plt.Line2D([], [], ls="", marker="o", ms=6.5, color=MEASURED, label="taught, higher"),
                   plt.Line2D([], [], ls="", marker="o", ms=6.5, color=LOSS, label="taught, lower"),
                   plt.Line2D([], [], ls="", marker="|", ms=13, mew=2, color=TEACHER, label="teacher")]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def _dumbbell(axis: Axes, place: int, gap: ClassGap) -> None:
    """From alone to the teacher in grey, from alone to taught in colour."""
    if gap.name == EVERY_CLASS:
        axis.axhspan(place - 0.5, place + 0.5, color="#f3f3f3", lw=0, zorder=0)
    if math.isnan(gap.alone):
        axis.text(0.02, place, "no such record", transform=axis.get_yaxis_transform(), fontsize=8, color=GREY, va="center")
        return
    colour = MEASURED if gap.taught >= gap.alone else LOSS
    axis.plot([gap.alone, gap.teacher], [place] * 2, color=NOTHING, lw=5, solid_capstyle="butt", zorder=1)
    axis.plot([gap.alone, gap.taught], [place] * 2, color=colour, lw=2.2, zorder=2)
    axis.plot(gap.teacher, place, "|", color=TEACHER, ms=15, mew=2, zorder=3)
    axis.plot(gap.alone, place, "o", ms=6.5, mfc="white", mec=GREY, mew=1.6, zorder=4)
    axis.plot(gap.taught, place, "o", ms=6.5, color=colour, zorder=5)
    told = "–" if math.isnan(gap.share) else f"{100 * gap.share:.0f} %".replace("-", "−")
    axis.annotate(told, (1, place), xycoords=axis.get_yaxis_transform(), xytext=(4, 0), textcoords="offset points", fontsize=9, va="center",
                  color=INK if told != "–" else GREY, annotation_clip=False)
    if not place:
        axis.annotate("closed", (1, place - 0.62), xycoords=axis.get_yaxis_transform(), xytext=(4, 0), textcoords="offset points",
                      fontsize=8, va="bottom", color=INK, annotation_clip=False)


def view_figure(auroc: np.ndarray, gains: Mapping[str, tuple[np.ndarray, np.ndarray]], views: Sequence[str], classes: Sequence[str],
                title: str) -> Figure:
    """Above, the AUROC of the student of each view by labels alone, [V, K]; below for each lesson its gain [V, K], and a dot where the
    patients' interval leaves zero out (the second array, bool [V, K])."""
    with plt.rc_context(STYLE):
        n = 1 + len(gains)
        figure, axes = plt.subplots(n, 1, figsize=(max(6.4, 0.78 * len(classes) + 2.6), (0.36 * len(views) + 0.75) * n + 1.0),
                                    layout="constrained", squeeze=False, sharex=True, sharey=True)
        image = _cells(axes[0, 0], auroc, "viridis", 0.5, 1.0, "labels alone: AUROC", 2, signed=False)
        figure.colorbar(image, ax=axes[0, 0], pad=0.02, label="AUROC", extend="min")
        widest = max((np.nanmax(np.abs(gain), initial=0.0) for gain, _ in gains.values()), default=0.0)
        widest = max(float(widest), 0.01)
        for axis, (name, (gain, sure)) in zip(axes[1:, 0], gains.items(), strict=True):
            image = _cells(axis, gain, "RdBu_r", -widest, widest, f"{name}: minus labels alone", 2, signed=True)
            figure.colorbar(image, ax=axis, pad=0.02, label="difference")
            for view, k in zip(*np.nonzero(sure), strict=True):
                axis.plot(k + 0.4, view - 0.32, "o", ms=4, color=INK, mec="white", mew=0.8)
        axes[0, 0].set_yticks(range(len(views)), list(views))
        axes[-1, 0].set_xticks(range(len(classes)), list(classes), rotation=35, ha="right", rotation_mode="anchor")
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def _cells(axis: Axes, values: np.ndarray, palette: str, low: float, high: float, title: str, digits: int, *, signed: bool) -> AxesImage:
    """[V, K] as colours with the numbers written in; grey where there is none."""
    image = axis.imshow(values, aspect="auto", cmap=palette, vmin=low, vmax=high)
    axis.set_facecolor(NOTHING)
    axis.set_title(title, loc="left", fontsize=10)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    for (view, k), value in np.ndenumerate(values):
        if not np.isnan(value):
            red, green, blue, _ = image.cmap(image.norm(value))
            light = 0.3 * red + 0.6 * green + 0.1 * blue > 0.55
            text = f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "−")
            axis.text(k, view, text.replace("0.", ".", 1), ha="center", va="center", fontsize=8, color=INK if light else "white")
    return image
