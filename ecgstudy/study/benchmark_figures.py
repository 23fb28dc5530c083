"""Page 15's pictures: score against cost with every network named, and who can be told from whom."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ecgstudy.study.axis_page import Comparison
from ecgstudy.study.benchmark import Ranking, by_score, front, kind
from ecgstudy.study.complexity import NetworkCost
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE
from ecgstudy.study.names import readable

KINDS = {"paper": (MEASURED, "o"), "own": ("#b3541e", "s"), "baseline": (GREY, "D")}
PRICES = {"macs": ("MACs a record (millions)", 1e-6), "milliseconds": ("forward pass of one record (ms)", 1.0)}
NAME_STEP = 0.052       # of an axis' height, from one name to the next


def cost_figure(found: Comparison, costs: Sequence[NetworkCost], title: str) -> Figure:
    """Macro-AUROC against MACs and, below, against time. Every network's name stands at the right, tied to its point; the line is the
    front of the means, and its networks are printed bold."""
    with plt.rc_context(STYLE):
        height = max(3.2, 0.21 * len(found.rows) + 0.9)
        figure, axes = plt.subplots(2, 1, figsize=(9.5, 2 * height), sharey=True, layout="constrained")
        for axis, price in zip(axes, PRICES, strict=True):
            _against(axis, found, costs, price)
        handles = [plt.Line2D([], [], color=colour, marker=mark, ls="", label=name) for name, (colour, mark) in KINDS.items()]
        figure.legend(handles=[*handles, plt.Line2D([], [], color=INK, lw=1, label="no cheaper network is higher")],
                      loc="outside lower center", ncols=4, fontsize=9)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def _against(axis: Axes, found: Comparison, costs: Sequence[NetworkCost], price: str) -> None:
    label, scale = PRICES[price]
    prices, rows = {cost.name: getattr(cost, price) * scale for cost in costs}, by_score(found)
    best = front(found, costs, price)
    estimates = {row.value: row.measured["macro_auroc"].interval.estimate for row in rows}
    axis.plot([prices[name] for name in best], [estimates[name] for name in best], color=INK, lw=1, zorder=1)
    for row in rows:
        interval, (colour, mark) = row.measured["macro_auroc"].interval, KINDS[kind(found.page, row.value)]
        axis.plot([prices[row.value]] * 2, [interval.low, interval.high], color=colour, lw=1, alpha=0.35, zorder=2)
        axis.plot(prices[row.value], interval.estimate, mark, color=colour, ms=6, zorder=3)
    axis.set(xscale="log", xlabel=label, ylabel="macro-AUROC on the test fold")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(color="#e5e5e5", lw=0.8)
    axis.set_axisbelow(True)
    low, high = axis.get_ylim()
    for name, place in zip(estimates, spread([(each - low) / (high - low) for each in estimates.values()], NAME_STEP), strict=True):
        tie = {"arrowstyle": "-", "color": KINDS[kind(found.page, name)][0], "lw": 0.5, "alpha": 0.6, "relpos": (0, 0.5), "shrinkB": 4}
        axis.annotate(readable(name), xy=(prices[name], estimates[name]), xycoords="data", xytext=(1.04, place), fontsize=8.5, color=INK,
                      textcoords="axes fraction", va="center", fontweight="bold" if name in best else "normal", arrowprops=tie,
                      annotation_clip=False)


def spread(places: Sequence[float], step: float) -> list[float]:
    """Places in falling order, moved as little as a pass down and a pass up allow, until neighbours are `step` apart and all lie in 0–1.

    >>> spread([0.9, 0.9, 0.2], 0.1)
    [0.9, 0.8, 0.2]
    """
    moved, roof = [], 1.0
    for place in places:
        roof = min(place, roof)
        moved.append(roof)
        roof -= step
    floor = 0.0
    for i in reversed(range(len(moved))):
        moved[i] = max(moved[i], floor)
        floor = moved[i] + step
    return moved


def ranking_figure(ranked: Ranking, title: str) -> Figure:
    """Networks in the order of their score; a bar joins neighbours of which no two can be told apart."""
    with plt.rc_context(STYLE):
        n = len(ranked.names)
        figure, axis = plt.subplots(figsize=(9.5, 0.3 * max(n, 3) + 1.4), layout="constrained")
        if not n:
            axis.set_axis_off()
            axis.text(0, 0.5, "No two networks have three seeds: nothing can be told apart yet.", transform=axis.transAxes, fontsize=10)
            return figure
        axis.plot(ranked.scores, np.arange(n), "o", color=MEASURED, ms=7, zorder=3)
        reach = np.ptp(ranked.scores) or 0.01
        for i, (start, stop) in enumerate(ranked.groups):
            x = ranked.scores.min() - (0.06 + 0.035 * i) * reach
            axis.plot([x, x], [start - 0.25, stop + 0.25], color=INK, lw=3, solid_capstyle="butt")
        axis.hlines(np.arange(n), ranked.scores.min() - 0.03 * reach, ranked.scores, color="#e5e5e5", lw=0.8, zorder=1)
        axis.set_yticks(np.arange(n), [readable(name) for name in ranked.names])
        axis.set(xlabel="mean macro-AUROC on the test fold", ylim=(n - 0.4, -0.6))
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure
