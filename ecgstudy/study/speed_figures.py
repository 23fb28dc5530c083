"""Page 17's pictures: ratios to peers, shares of the machine's own rate, attention over length, and where missed targets lose time."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ecgstudy.bench.attention import curves
from ecgstudy.bench.rows import Row, number, promise
from ecgstudy.study.figures import GREY, INK, MARKS, MEASURED, STYLE
from ecgstudy.study.names import readable

TARGET = "#b3541e"
WIDTH = 6.0             # inches: names above their bars, so that the picture is still read on a phone


def ratio_figure(rows: Sequence[Row], title: str) -> Figure:
    """How many times as fast as its peer each row is, medians with quartiles, on a logarithmic axis; 1 is a dead heat."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(WIDTH, 0.56 * max(len(rows), 1) + 1.3), layout="constrained")
        for place, row in enumerate(rows):
            _named(axis, place, f"{row.name}  –  {row.peer_name}")
            axis.plot([row.ratio.low, row.ratio.high], [place, place], color=MEASURED, lw=5, alpha=0.35, solid_capstyle="butt")
            axis.plot(row.ratio.median, place, "o", color=MEASURED, ms=7)
            axis.annotate(f"{number(row.ratio.median)} ×", (row.ratio.median, place), xytext=(9, 0), textcoords="offset points",
                          va="center", fontsize=9)
            _target(axis, place, row)
        axis.axvline(1, color=INK, lw=1)
        axis.set(xscale="log", xlabel="times as fast as the peer")
        if rows:
            axis.set_xlim(min(0.5, *(row.ratio.low * 0.8 for row in rows)), max(2.0, *(row.ratio.high for row in rows)) * 3)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if not rows or max(row.ratio.high for row in rows) < 50 else (1,)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        return _finished(figure, axis, rows, title)


def limit_figure(rows: Sequence[Row], title: str) -> Figure:
    """Shares of what the machine gives to one plain operation, with their quartiles and targets."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(WIDTH, 0.56 * max(len(rows), 1) + 1.3), layout="constrained")
        for place, row in enumerate(rows):
            _named(axis, place, f"{row.name}  –  {row.peer_name}")
            axis.barh(place, 100 * row.ratio.median, height=0.32, color=MEASURED, alpha=0.8)
            axis.plot([100 * row.ratio.low, 100 * row.ratio.high], [place, place], color=INK, lw=2)
            axis.annotate(f"{row.ratio.median:.0%}", (100 * row.ratio.high, place), xytext=(5, 0), textcoords="offset points", va="center",
                          fontsize=9)
            _target(axis, place, row, scale=100)
        axis.set(xlim=(0, 115), xlabel="share of the limit (%)")
        axis.axvline(100, color=INK, lw=1)
        return _finished(figure, axis, rows, title)


def attention_figure(rows: Sequence[Row], title: str) -> Figure:
    """Processor time of one layer over the number of tokens, every mechanism and the softmax written out; below, their ratio to it."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 8.4), sharex=True, layout="constrained")
        colours, found, lengths = plt.get_cmap("tab10").colors, curves(list(rows)), []
        for i, (name, line) in enumerate(found.items()):
            lengths = sorted(line)
            mark = {"marker": MARKS[i % len(MARKS)], "ms": 5, "lw": 1.5, "color": colours[i], "label": readable(name)}
            axes[0].plot(lengths, [line[n].ours for n in lengths], **mark)
            axes[1].plot(lengths, [line[n].ratio.median for n in lengths], **mark)
            axes[1].fill_between(lengths, [line[n].ratio.low for n in lengths], [line[n].ratio.high for n in lengths], color=colours[i],
                                 alpha=0.15, lw=0)
        if found:
            any_line = next(iter(found.values()))
            axes[0].plot(lengths, [any_line[n].peer for n in lengths], "--", color=INK, lw=1.5, label="softmax written out")
        axes[1].axhline(1, color=INK, lw=1, ls="--")
        for axis, label in zip(axes, ("forward pass of one layer (ms)", "times as fast as the softmax written out"), strict=True):
            axis.set(xscale="log", yscale="log", ylabel=label)
            axis.set_xticks(lengths, [f"{n:,}" for n in lengths])
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter(NullFormatter())
            axis.xaxis.set_minor_locator(plt.NullLocator())
            axis.grid(color="#e5e5e5", lw=0.8)
        axes[1].set_xlabel("tokens N")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def profile_figure(missed: Sequence[Row], title: str) -> Figure:
    """Where the time of each row that misses its target goes, one panel a profile; rows that share a profile share a panel."""
    panels: dict[tuple, list[Row]] = {}
    for row in missed:
        if row.profile:
            panels.setdefault(row.profile, []).append(row)
    with plt.rc_context(STYLE):
        heights = [len(profile) + 1.6 for profile in panels] or [2.0]
        figure, axes = plt.subplots(len(heights), 1, figsize=(WIDTH, 0.27 * sum(heights) + 0.6), height_ratios=heights, squeeze=False,
                                    layout="constrained")
        if not panels:
            axes[0, 0].set_axis_off()
            axes[0, 0].text(0, 0.5, "No target is missed.", fontsize=10)
        for axis, (profile, rows) in zip(axes[:, 0], panels.items(), strict=False):
            places = np.arange(len(profile))[::-1]
            axis.barh(places, [100 * share for _, share in profile], color=[GREY if name == "other" else MEASURED for name, _ in profile])
            axis.set_yticks(places, [name if len(name) < 34 else f"{name[:32]}…" for name, _ in profile], fontsize=9)
            axis.set_title("\n".join(textwrap.wrap("; ".join(row.name for row in rows), 80)), fontsize=9.5, loc="left")
            for place, (_, share) in zip(places, profile, strict=True):
                axis.annotate(f"{share:.0%}", (100 * share, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.5)
            axis.set_xlim(0, 108 * max(share for _, share in profile))
        if panels:
            axes[-1, 0].set_xlabel("share of the time (%)")
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def _named(axis: Axes, place: int, text: str) -> None:
    axis.annotate(text, (0, place), xycoords=("axes fraction", "data"), xytext=(2, 8), textcoords="offset points", fontsize=8.5,
                  va="bottom", color=INK, annotation_clip=False)


def _target(axis: Axes, place: int, row: Row, scale: float = 1) -> None:
    if row.target is not None:
        axis.plot([row.target * scale] * 2, [place - 0.24, place + 0.24], color=TARGET, lw=2.5)


def _finished(figure: Figure, axis: Axes, rows: Sequence[Row], title: str) -> Figure:
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.set_ylim(len(rows) - 0.5, -0.85)
    axis.grid(axis="x", color="#e5e5e5", lw=0.8)
    axis.set_axisbelow(True)
    if any(promise(row) for row in rows):
        figure.legend(handles=[plt.Line2D([], [], color=TARGET, lw=2.5, label="target")], loc="outside lower center", fontsize=9)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure
