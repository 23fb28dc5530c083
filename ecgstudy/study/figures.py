"""Figures of the pages, in one house style. Each returns a matplotlib Figure; nothing is shown or saved here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ecgstudy.study.comparison import METRICS, Row
from ecgstudy.study.complexity import AttentionCost, NetworkCost
from ecgstudy.study.names import readable

INK, MEASURED, GREY = "#222222", "#1f5fa8", "#9a9a9a"
MARKS = ("o", "s", "^", "D", "v", "P", "X")
ZOOM = 2.0          # seconds
METRIC_NAMES = {"macro_auroc": "macro-AUROC", "macro_f1": "macro-F1"}
STYLE = {"font.size": 10, "axes.titlesize": 11, "axes.labelsize": 10, "axes.spines.top": False, "axes.spines.right": False,
         "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white", "legend.frameon": False,
         "axes.edgecolor": INK, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}


def closed(figure: Figure) -> Figure:
    """The figure, no longer held by pyplot, so that a notebook shows it once and a long run does not collect them."""
    plt.close(figure)
    return figure


def absent(why: str) -> Figure:
    """In place of a picture that cannot be drawn: one line that says why."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.3, 0.8))
        axis.set_axis_off()
        axis.text(0, 0.5, why[0].upper() + why[1:] + ".", fontsize=11)
        return closed(figure)


def scores(rows: Sequence[Row], notes: Mapping[str, float], title: str) -> Figure:
    """Both test metrics of every value: the mean with its 95 % interval, each seed as a small mark, the notes' F1 in grey."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(METRICS), figsize=(9.5, 0.42 * len(rows) + 1.5), sharey=True, layout="constrained")
        places = np.arange(len(rows))[::-1]
        for axis, metric in zip(axes, METRICS, strict=True):
            for place, row in zip(places, rows, strict=True):
                found = row.measured[metric]
                axis.plot([found.interval.low, found.interval.high], [place, place], color=MEASURED, lw=2, solid_capstyle="round")
                axis.plot(found.interval.estimate, place, "o", color=MEASURED, ms=7)
                axis.plot(list(found.by_seed.values()), np.full(len(found.by_seed), place + 0.22), "|", color=INK, ms=6, mew=1)
                if metric == "macro_f1" and row.value in notes:
                    axis.plot(notes[row.value], place, "x", color=GREY, ms=7, mew=1.5)
            axis.set_xlabel(f"{METRIC_NAMES[metric]} on the test fold")
            axis.grid(axis="x", color="#e5e5e5", lw=0.8)
            axis.set_axisbelow(True)
        axes[0].set_yticks(places, [readable(row.value) for row in rows])
        axes[0].set_ylim(-0.6, len(rows) - 0.4)
        handles = [plt.Line2D([], [], color=MEASURED, marker="o", lw=2, label="mean, 95 % over patients"),
                   plt.Line2D([], [], color=INK, marker="|", ls="", label="one seed")]
        if notes:
            handles.append(plt.Line2D([], [], color=GREY, marker="x", ls="", label="notes' F1 (CPSC2018)"))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def trade_off(rows: Sequence[Row], costs: Sequence[NetworkCost], title: str) -> Figure:
    """Macro-AUROC with its 95 % interval against MACs and against time; a line joins the networks that no cheaper one equals (the
    Pareto front of the means, which the intervals do not prove)."""
    by_name = {cost.name: cost for cost in costs}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.4), sharey=True, layout="constrained")
        for axis, label, price in ((axes[0], "MACs a record (millions)", lambda cost: cost.macs / 1e6),
                                   (axes[1], "forward pass of one record (ms)", lambda cost: cost.milliseconds)):
            points = [(price(by_name[row.value]), row.measured["macro_auroc"].interval, row.value) for row in rows]
            front = pareto_front([(cost, found.estimate) for cost, found, _ in points])
            axis.plot(*zip(*front, strict=True), color=GREY, lw=1.2, zorder=1)
            for i, (cost, found, name) in enumerate(points):
                colour = plt.get_cmap("tab10").colors[i % 10]
                axis.plot([cost, cost], [found.low, found.high], color=colour, lw=1, alpha=0.6, zorder=2)
                axis.plot(cost, found.estimate, MARKS[i % len(MARKS)], color=colour, ms=7, label=readable(name), zorder=3)
            axis.set_xlabel(label)
            axis.grid(color="#e5e5e5", lw=0.8)
            axis.set_axisbelow(True)
        axes[0].set_ylabel("macro-AUROC on the test fold")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (cost, score) pairs those that no other one beats in both, cheapest first.

    >>> pareto_front([(2, 0.8), (1, 0.7), (3, 0.75), (4, 0.9)])
    [(1, 0.7), (2, 0.8), (4, 0.9)]
    """
    front: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or score > front[-1][1]:
            front.append((cost, score))
    return front


def attention_patterns(maps: Mapping[str, np.ndarray], trace: np.ndarray, seconds: float, title: str) -> Figure:
    """What each mechanism's queries may see: attention [H, N, N] a mechanism (query down, key across) under one lead of the record.

    trace: [T] in mV. Upper map: mean over heads, the whole record. Lower map: the last head, the first two seconds, on its own scale.
    White is exactly zero: no path from that key to that query in this layer.
    """
    with plt.rc_context(STYLE):
        columns = 4
        rows = -(-len(maps) // columns)
        figure, axes = plt.subplots(rows * 3, columns, figsize=(9.5, 4.7 * rows), layout="constrained", squeeze=False,
                                    height_ratios=[0.22, 1, 1] * rows)
        for axis in axes.flat:
            axis.set_axis_off()
        palette = plt.get_cmap("viridis_r").with_extremes(bad="white")
        for i, (name, weights) in enumerate(maps.items()):
            above, whole, part = axes[3 * (i // columns):3 * (i // columns) + 3, i % columns]
            above.plot(np.linspace(0, seconds, len(trace)), trace, color=INK, lw=0.6)
            above.set(xlim=(0, seconds), title=readable(name))
            mean = weights.mean(axis=0)
            image = _map(whole, mean, seconds, LogNorm(1e-3, 1e-1, clip=True), palette)
            n = round(len(mean) * ZOOM / seconds)
            zoomed = weights[-1, :n, :n]
            _map(part, zoomed, ZOOM, Normalize(zoomed[zoomed > 0].min(), zoomed.max()), palette)
            if i % columns == 0:
                whole.set_ylabel("query (s)")
                part.set_ylabel("query (s)")
        figure.colorbar(image, ax=axes[:, -1], label="attention weight (upper maps)", shrink=0.5, extend="both")
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def _map(axis: Axes, weights: np.ndarray, seconds: float, norm: Normalize, palette: Colormap) -> AxesImage:
    axis.set_axis_on()
    axis.spines[["top", "right"]].set_visible(True)
    axis.set(xticks=[0, seconds / 2, seconds], yticks=[0, seconds / 2, seconds], xlabel="key (s)")
    return axis.imshow(np.ma.masked_less_equal(weights, 0), norm=norm, cmap=palette, extent=(0, seconds, seconds, 0), aspect="auto",
                       interpolation="nearest")


def costs(cost_by_name: Mapping[str, Sequence[AttentionCost]], tokens: Sequence[int], title: str) -> Figure:
    """Time of a forward pass and memory held for the backward pass of one layer, over the number of tokens, both log-log."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
        colours = plt.get_cmap("tab10").colors
        for i, (name, points) in enumerate(cost_by_name.items()):
            mark = {"marker": MARKS[i % len(MARKS)], "ms": 5, "lw": 1.5, "color": colours[i], "label": readable(name)}
            axes[0].plot(tokens, [p.forward_milliseconds for p in points], **mark)
            axes[1].plot(tokens, [p.saved_bytes / 2**20 for p in points], **mark)
        for axis, label in zip(axes, ("forward pass (ms)", "memory saved for backward (MiB)"), strict=True):
            axis.set(xscale="log", yscale="log", xlabel="tokens N", ylabel=label)
            axis.set_xticks(tokens, [str(n) for n in tokens])
            axis.minorticks_off()
            axis.grid(color="#e5e5e5", lw=0.8)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure
