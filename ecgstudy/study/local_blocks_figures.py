"""Figures of page 06: how far local blocks see, what their kernels pass, where their gates open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ecgstudy.data.synthetic import Simulation
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE
from ecgstudy.study.local_blocks_page import Gates, Network, Reach, gains, kernels, lead_ii
from ecgstudy.study.names import readable

STAGE_MARKS = {1: ("o", "#1f5fa8"), 2: ("s", "#d1701f"), 3: ("^", "#2e7d4f")}
SECOND_TICKS = (0.03, 0.1, 0.3, 1, 3, 10)
CHANNELS_SHOWN = (10, 50, 90)                   # percentiles over channels: band and line


@dataclass(frozen=True)
class _Look:
    colour: str
    line: str
    filled: bool


BEFORE, AFTER = _Look("#6f6f6f", "--", filled=False), _Look(MEASURED, "-", filled=True)


def reach(found: Mapping[str, Reach], record: Simulation, title: str) -> Figure:
    """Left: one block in each stage that holds it. Right: stem and stages 1 and 2 together, full network filled, the page's own open.

    A diamond at the length of the record: a gate carries its mean to every token. Grey: QRS and RR of `record`.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.5, 0.4 * len(found) + 2.0), sharey=True, layout="constrained")
        places = np.arange(len(found))[::-1]
        for place, each in zip(places, found.values(), strict=True):
            for stage, seconds in each.by_stage.items():
                mark, colour = STAGE_MARKS[stage]
                axes[0].plot(seconds, place, mark, color=colour, ms=7)
            if each.whole_record:
                axes[0].plot(SIGNAL.seconds, place, "D", color=INK, ms=6, mfc="white", clip_on=False)
            for size, seconds in each.by_depth.items():
                axes[1].plot(seconds, place, "o", color=MEASURED, ms=7, mfc=MEASURED if size == "full" else "white")
        for axis, label in zip(axes, ("one block (s)", "stem, stages 1 and 2 together (s)"), strict=True):
            _seconds_axis(axis, label, record)
        axes[0].set_yticks(places, [readable(name) for name in found])
        axes[0].set_ylim(-0.6, len(found) - 0.4)
        figure.legend(handles=_reach_legend(found), loc="outside lower center", ncols=3, fontsize=9)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def _seconds_axis(axis: Axes, label: str, record: Simulation) -> None:
    axis.set(xscale="log", xlim=(0.02, SIGNAL.seconds), xlabel=label)
    axis.set_xticks(SECOND_TICKS, [f"{tick:g}" for tick in SECOND_TICKS])
    axis.minorticks_off()
    axis.grid(axis="y", color="#e5e5e5", lw=0.8)
    axis.set_axisbelow(True)
    beats = record.beats[record.beats["record"] == 0]
    for name, seconds in (("QRS", (beats["qrs_off"] - beats["qrs_on"]).median()), ("RR", beats["r"].diff().median())):
        axis.axvline(seconds, color=GREY, lw=1, ls="--", zorder=0)
        axis.annotate(name, (seconds, 1), xycoords=("data", "axes fraction"), xytext=(0, 2), textcoords="offset points", ha="center",
                      va="bottom", fontsize=9, color="#6f6f6f")


def _reach_legend(found: Mapping[str, Reach]) -> list[plt.Line2D]:
    handles = [plt.Line2D([], [], color=colour, marker=mark, ls="", label=f"stage {stage}") for stage, (mark, colour) in
               STAGE_MARKS.items()]
    if any(each.whole_record for each in found.values()):
        handles.append(plt.Line2D([], [], color=INK, marker="D", mfc="white", ls="", label="through the gate: whole record"))
    sizes = dict.fromkeys(size for each in found.values() for size in each.by_depth)
    return handles + [plt.Line2D([], [], color=MEASURED, marker="o", mfc=MEASURED if size == "full" else "white", ls="",
                                 label=f"{size} network") for size in sizes]


def _band(axis: Axes, frequencies: np.ndarray, found: np.ndarray, label: str, look: _Look) -> None:
    """Median over channels as a line, with its band filled or outlined."""
    low, middle, high = np.percentile(found, CHANNELS_SHOWN, axis=0)
    axis.plot(frequencies, middle, color=look.colour, lw=1.8, ls=look.line, label=label)
    if look.filled:
        axis.fill_between(frequencies, low, high, color=look.colour, alpha=0.22, lw=0)
    else:
        for edge in (low, high):
            axis.plot(frequencies, edge, color=look.colour, lw=0.8, ls=":")


def responses(network: Network, title: str) -> Figure:
    """Gain of the depth-wise kernels over frequency, a row a stage, a column a kernel size: median and 10th to 90th percentile over
    channels, grey before training and blue after. What is drawn of the fresh kernels lies above, so that it is not hidden."""
    drawn = [("before training", BEFORE, kernels(network.fresh))]
    if network.trained is not None:
        drawn.insert(0, ("after training", AFTER, kernels(network.trained)))
    stages = drawn[0][-1]
    sizes = list(next(iter(stages.values())))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(len(stages), len(sizes), figsize=(9.5, 1.75 * len(stages) + 1.0), sharey=True, sharex="row",
                                    layout="constrained", squeeze=False)
        for row, stage in zip(axes, stages, strict=True):
            fs = SIGNAL.fs / 2**(stage - 1)
            for axis, size in zip(row, sizes, strict=True):
                for label, look, layers in drawn:
                    _band(axis, *gains(layers[stage][size], fs), label, look)
                axis.set_xlim(0, fs / 2)
                ticks = axis.set_xticks([0, fs / 4, fs / 2], [f"{tick:g}" for tick in (0, fs / 4, fs / 2)])
                for tick, side in zip(ticks, ("left", "center", "right"), strict=True):        # so that neighbours do not touch
                    tick.label1.set_horizontalalignment(side)
                axis.grid(color="#e5e5e5", lw=0.8)
            row[0].set_ylabel(f"stage {stage}\ngain")
        for axis, size in zip(axes[0], sizes, strict=True):
            axis.set_title(f"kernel {size}")
        axes[0, 0].set_ylim(bottom=0)
        for axis in axes[-1]:
            axis.set_xlabel("frequency (Hz)")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def gate_maps(found: Sequence[Gates], record: Simulation, title: str) -> Figure:
    """A row a block: coordinate attention's gate over channels and time, its gate over channels, squeeze-excite's over channels.

    Channels are sorted by what is drawn, the most open at the foot. Above stands lead II of the same record. One scale for all: white is
    σ = 0.5, red more open.
    """
    farthest = max(float(np.abs(part - 0.5).max()) for each in found for part in (each.over_time, each.coordinate, each.squeeze_excite))
    look = {"cmap": "RdBu_r", "norm": Normalize(0.5 - farthest, 0.5 + farthest), "aspect": "auto", "interpolation": "nearest"}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1 + len(found), 3, figsize=(9.5, 1.0 + 2.3 * len(found)), layout="constrained",
                                    height_ratios=[0.45] + [1] * len(found), width_ratios=[1, 0.07, 0.07])
        trace = lead_ii(record)
        axes[0, 0].plot(np.arange(len(trace)) / record.fs, trace, color=INK, lw=0.7)
        axes[0, 0].set(xlim=(0, SIGNAL.seconds), xticks=[], ylabel="II (mV)")
        for axis in axes[0, 1:]:
            axis.set_axis_off()
        for row, each in zip(axes[1:], found, strict=True):
            order = np.argsort(each.over_time.mean(axis=1))
            n = len(order)
            image = row[0].imshow(each.over_time[order], extent=(0, SIGNAL.seconds, 0, n), **look)
            row[0].set_ylabel(f"stage {each.stage}\nchannel (sorted)")
            for axis, gate in zip(row[1:], (each.coordinate, each.squeeze_excite), strict=True):
                axis.imshow(np.sort(gate)[:, None], extent=(0, 1, 0, n), **look)
                axis.set(xticks=[], yticks=[])
            for axis in row:
                axis.spines[["top", "right"]].set_visible(True)
            share = f"{100 * each.share_over_time:.1f} % of the variance is over time"
            row[0].set_title(f"coordinate attention, channels × time ({share})", fontsize=10)
            row[0].set_xticks([])
        for axis, name in zip(axes[1, 1:], ("channel\ngate", "SE"), strict=True):
            axis.set_title(name, fontsize=9)
        axes[-1, 0].set(xticks=range(0, round(SIGNAL.seconds) + 1, 2), xlabel="time (s)")
        figure.colorbar(image, ax=axes[1:, :], label="gate σ", shrink=0.8, fraction=0.03, pad=0.02)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure
