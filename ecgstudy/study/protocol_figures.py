"""Page 02's figures: what moves a score (seeds, patients), and how an oracle's optimism grows as records become few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ecgstudy.evaluate.bootstrap import Interval
from ecgstudy.study.comparison import METRICS, Row
from ecgstudy.study.figures import GREY, INK, MARKS, MEASURED, METRIC_NAMES, STYLE


def optimism(found: Mapping[str, Sequence[np.ndarray]], sizes: Sequence[int], labels: Mapping[str, str], title: str) -> Figure:
    """Optimism of each oracle [draws a size] over the number of test records: the mean as a line, single draws as small dots."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(9.5, 3.8), layout="constrained")
        for i, (name, draws) in enumerate(found.items()):
            colour = plt.get_cmap("tab10").colors[i]
            beside = 0.006 * sizes[-1] * (i - (len(found) - 1) / 2)         # draws of two oracles must not cover each other
            for size, values in zip(sizes, draws, strict=True):
                if len(values) > 1:
                    axis.plot(np.full(len(values), size + beside), values, ".", color=colour, ms=4, alpha=0.35)
            axis.plot(sizes, [values.mean() for values in draws], color=colour, marker=MARKS[i], ms=6, lw=1.6, label=labels[name])
        axis.axhline(0, color=GREY, lw=0.8)
        axis.set(xlabel="test records that are chosen on and scored", ylabel="macro-F1: oracle minus its twin")
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.grid(color="#e5e5e5", lw=0.8)
        axis.set_axisbelow(True)
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def spread(row: Row, by_seed: Mapping[int, Mapping[str, Interval]], title: str) -> Figure:
    """Both metrics of one recipe: each seed with its own 95 % interval over patients, the mean of seeds with its interval, and a band
    of one SD over seeds around it."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(METRICS), figsize=(9.5, 0.42 * len(by_seed) + 2.0), sharey=True, layout="constrained")
        places = np.arange(len(by_seed) + 1)[::-1]
        for axis, metric in zip(axes, METRICS, strict=True):
            mean, deviation = row.measured[metric].interval, row.measured[metric].deviation
            if not np.isnan(deviation):
                axis.axvspan(mean.estimate - deviation, mean.estimate + deviation, color=MEASURED, alpha=0.15, lw=0)
            for place, found, colour in zip(places, [mean, *(seed[metric] for seed in by_seed.values())],
                                            [MEASURED, *[INK] * len(by_seed)], strict=True):
                axis.plot([found.low, found.high], [place, place], color=colour, lw=2, solid_capstyle="round")
                axis.plot(found.estimate, place, "o", color=colour, ms=6)
            axis.set_xlabel(f"{METRIC_NAMES[metric]} on the test fold")
            axis.grid(axis="x", color="#e5e5e5", lw=0.8)
            axis.set_axisbelow(True)
        axes[0].set_yticks(places, ["mean of seeds", *(f"seed {seed}" for seed in by_seed)])
        handles = [plt.Line2D([], [], color=INK, marker="o", lw=2, label="score, 95 % over patients"),
                   plt.Rectangle((0, 0), 1, 1, color=MEASURED, alpha=0.15, label="mean ± SD over seeds")]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure
