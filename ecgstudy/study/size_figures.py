"""Figures of page 07: deletion curves, the tokens kept over a trace, and where semantic tokens look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import NullLocator

from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE

if TYPE_CHECKING:
    from ecgstudy.study.size_page import Cut, Deletion
    from ecgstudy.study.size_traces import KeptTokens, Record, SemanticTokens

SECONDS = 10.0
CONTROL, SHADE = "#d9822b", "#f3d9b8"
PALETTE = "viridis_r"


def deletion(found: Deletion) -> Figure:
    """Score (upper) and cost (lower) over the share kept, tokens left, heads right."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(9.5, 5.8), sharex="col", sharey="row", layout="constrained", height_ratios=[1.5, 1],
                                    width_ratios=[1.6, 1])
        for (above, below), part in zip(axes.T, ("tokens", "heads"), strict=True):
            cuts = found.of(part)
            _scores(above, found, cuts)
            shares = [1.0, *(cut.share for cut in cuts)]
            below.plot(shares, [100, *(100 * cut.macs for cut in cuts)], "s-", color=INK, ms=5, lw=1.5, label="MACs")
            below.plot(shares, [100, *(100 * cut.time for cut in cuts)], "^--", color=GREY, ms=5, lw=1.5, label="time")
            below.set(xscale="log", xlabel=f"share of the {part} kept in the last block (%)")
            below.set_xticks(shares, [f"{100 * share:g}" for share in shares])
            for axis in (above, below):
                axis.xaxis.set_minor_locator(NullLocator())
                axis.grid(color="#e5e5e5", lw=0.8)
                axis.set_axisbelow(True)
            above.set_title(part, loc="left")
        axes[0, 0].set_ylabel("validation macro-AUROC")
        axes[1, 0].set_ylabel("of the whole network (%)")
        axes[1, 0].set_ylim(bottom=0)
        handles = [*axes[0, 0].get_legend_handles_labels()[0], *axes[1, 0].get_legend_handles_labels()[0]]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
        figure.suptitle("Deleting parts of the last stage of the trained base", fontsize=11, x=0.01, ha="left")
        return figure


def _scores(axis: Axes, found: Deletion, cuts: Sequence[Cut]) -> None:
    """One part's curves; says so where nothing was measured."""
    if found.clean is None:
        axis.text(0.5, 0.5, "not measured:\nno weights at hand", transform=axis.transAxes, ha="center", va="center", color=GREY)
        return
    axis.axhline(found.clean.estimate, color=INK, lw=0.8, ls=":", label="nothing deleted")
    for name, colour, mark, scores in (("by importance", MEASURED, "o", [cut.importance for cut in cuts]),
                                       ("at random", CONTROL, "D", [cut.chance for cut in cuts])):
        places, scores = [1.0, *(cut.share for cut in cuts)], [found.clean, *scores]
        intervals = [score.interval for score in scores]
        axis.fill_between(places, [each.low for each in intervals], [each.high for each in intervals], color=colour, alpha=0.15, lw=0)
        axis.plot(places, [each.estimate for each in intervals], mark + "-", color=colour, ms=5, lw=1.5, label=name)
    for cut in cuts:
        axis.plot([cut.share] * len(cut.draws), [draw.estimate for draw in cut.draws], "_", color=CONTROL, ms=7, mew=1)
    trained = {share: score for (part, share), score in found.trained.items() if part == cuts[0].part}
    if trained:
        axis.plot(list(trained), list(trained.values()), "*", color=INK, ms=11, ls="", label="trained with deletion")


def kept_tokens(found: KeptTokens) -> Figure:
    """The trace above one strip of tokens for each block."""
    blocks, n_tokens = found.importance.shape
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(blocks + 1, 1, figsize=(9.5, 1.9 + 0.62 * blocks), sharex=True, layout="constrained",
                                    height_ratios=[2.4] + [1] * blocks)
        _trace(axes[0], found.record)
        norm = _logarithmic(found.importance[np.isfinite(found.importance)])
        for i, (axis, row) in enumerate(zip(axes[1:], found.importance, strict=True)):
            image = axis.imshow(np.ma.masked_invalid(row[None]), cmap=PALETTE, norm=norm, extent=(*_edges(n_tokens), 0, 1),
                                aspect="auto", interpolation="nearest")
            axis.set_xlim(0, SECONDS)
            axis.set_yticks([0.5], [f"block {i + 1}\n{np.isfinite(row).sum()} of {n_tokens}"])
            axis.tick_params(axis="y", length=0)
            axis.spines[["top", "right"]].set_visible(True)
        axes[-1].set_xlabel("time (s)")
        _colour_bar(figure, image, axes[1:], "importance\n(mean = 1)", 12)
        figure.suptitle(f"Tokens that stay in stage 4 (base, {found.weights})", fontsize=11, x=0.01, ha="left")
        return figure


def semantic_tokens(found: SemanticTokens) -> Figure:
    """The trace above the attention of every semantic token over the record's tokens."""
    m, n = found.attention.shape
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 1, figsize=(9.5, 5.2), sharex=True, layout="constrained", height_ratios=[1, 2.6])
        _trace(axes[0], found.record)
        even = found.attention * n
        image = axes[1].imshow(even, cmap=PALETTE, norm=_logarithmic(even.ravel()), extent=(*_edges(n), m, 0), aspect="auto",
                               interpolation="nearest")
        home, first = SECONDS * (n // m) / n, _edges(n)[0]
        for row in range(m):
            axes[1].plot([first + row * home, first + (row + 1) * home], [row + 0.5] * 2, color="white", lw=2.4, solid_capstyle="butt")
            axes[1].plot([first + row * home, first + (row + 1) * home], [row + 0.5] * 2, color=CONTROL, lw=1.2, solid_capstyle="butt")
        axes[1].set(xlabel="time (s)", ylabel="semantic token", xlim=(0, SECONDS))
        axes[1].set_yticks(np.arange(0, m, 4) + 0.5, [str(row + 1) for row in range(0, m, 4)])
        axes[1].spines[["top", "right"]].set_visible(True)
        _colour_bar(figure, image, axes[1:], "attention (even spread = 1)", 30)
        figure.suptitle(f"Where semantic tokens look ({found.weights})", fontsize=11, x=0.01, ha="left")
        return figure


def _edges(n_tokens: int) -> tuple[float, float]:
    """Seconds at both ends of a strip of tokens, each cell centred on the sample that its token stands on."""
    return -0.5 * SECONDS / n_tokens, (n_tokens - 0.5) * SECONDS / n_tokens


def _logarithmic(values: np.ndarray) -> LogNorm:
    """A colour scale that leaves the outermost half per cent on either side to its ends."""
    return LogNorm(*np.quantile(values, (0.005, 0.995)), clip=True)


def _colour_bar(figure: Figure, image: AxesImage, axes: Sequence[Axes], label: str, aspect: float) -> None:
    """With a few round numbers: the scale may cover less than a power of ten, where the usual ticks of a logarithmic axis have none."""
    bar = figure.colorbar(image, ax=axes, label=label, aspect=aspect, extend="both")
    low, high = image.norm.vmin, image.norm.vmax
    ticks = [value for value in np.unique([float(f"{value:.2g}") for value in np.geomspace(low, high, 5)]) if low <= value <= high]
    bar.set_ticks(ticks, labels=[f"{value:g}" for value in ticks])
    bar.minorticks_off()


def _trace(axis: Axes, record: Record) -> None:
    """Lead II, with the evidence shaded."""
    for start, end in record.spans:
        axis.axvspan(start, end, color=SHADE, lw=0)
    trace = record.trace
    axis.plot(np.arange(len(trace)) * SECONDS / len(trace), trace, color=INK, lw=0.8)
    axis.set(xlim=(0, SECONDS), ylabel="II (mV)")
