"""The page of MAMIL: a record as two bags side by side, its loudest beat and patch, and what their queries gather from both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ecgstudy.layers.gramian import patch_places
from ecgstudy.leads import LEADS
from ecgstudy.models.multimodal_mil import MODALITIES, N_PATCHES, PATCH, SIZE, Fused, MultimodalMIL
from ecgstudy.study.axis_page import SIGNAL, Comparison, save_picture
from ecgstudy.study.figures import GREY, INK, STYLE
from ecgstudy.study.paper_page import trained, whose_weights
from ecgstudy.study.papers.simulated_beats import COLOURS, SimulatedBeats, simulated_beats

N_RECORDS = 96
TRACE = LEADS.index("II")
ECTOPIC = ("PAC", "PVC")
MARK = "#c2185b"            # of what is loudest
SPOKEN = {"beats": "beat", "image": "patch"}


@dataclass(frozen=True, eq=False)
class Subject:
    """The network of the page, and the beats that it is asked about."""

    model: MultimodalMIL
    weights: str
    beats: SimulatedBeats

    @cached_property
    def fused(self) -> Fused:
        """What the network does with every record's two bags."""
        with torch.inference_mode():
            return self.model.head.fuse(*self.model.instances(self.beats.x, self.beats.peaks))

    @property
    def n_slots(self) -> int:
        return self.beats.peaks.shape[1]


def subject(found: Comparison) -> Subject:
    """The page's network with the weights of its first run, or fresh ones where none are at hand."""
    model, run = trained(found)
    return Subject(model, whose_weights(run), simulated_beats(run, N_RECORDS, model.most))


# -- two bags side by side ----------------------------------------------------------------------------------------------

def bag_figure(seen: Subject, found: Comparison) -> Figure:
    """One record twice: above, what the loudest beat gathers from beats and patches; below, what the loudest patch gathers. Also kept as
    the page's picture."""
    record = seen.beats.record_of_many_kinds()
    weights, top = seen.fused.weights[record].numpy(), seen.fused.top[record].tolist()
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(10, 6.4), layout="constrained", width_ratios=[2.1, 1])
        for i, (left, right) in enumerate(axes):
            name = SPOKEN[MODALITIES[i]]
            own = f"{100 * weights[i, :seen.n_slots].sum():.0f} %"
            _draw_beats(left, seen, record, weights[i, :seen.n_slots], top[0] if i == 0 else None)
            _draw_patches(right, seen, record, weights[i, seen.n_slots:], top[1] - seen.n_slots if i == 1 else None)
            left.set_title(f"the loudest {name} asks: {own} of its weight goes to beats", loc="left")
            right.set_title("the rest to patches", loc="left")
        figure.suptitle(f"Two bags of one record, lead II (simulated; {seen.weights})", fontsize=11, x=0.01, ha="left")
        save_picture(figure, found.page.request)
        return figure


def _draw_beats(axis: Axes, seen: Subject, record: int, weights: np.ndarray, top: int | None) -> None:
    """The trace; under it a bar for each beat, as long as its weight, in the colour of its kind."""
    signal = seen.beats.simulation.signals[record, TRACE]
    trace = signal - np.median(signal)
    axis.plot(np.arange(len(trace)) / SIGNAL.fs, trace, color=INK, lw=0.9)
    foot = trace.min() - 1.35
    scale = 1.0 / max(weights.max(), 1e-9)
    for i, peak in enumerate(seen.beats.peaks[record].tolist()):
        if peak < 0:
            continue
        at = peak / SIGNAL.fs
        axis.bar(at, scale * weights[i], 0.28, bottom=foot, color=COLOURS[seen.beats.kinds[record, i]], alpha=0.85)
        axis.text(at, foot + scale * weights[i] + 0.05, f"{100 * weights[i]:.0f}", ha="center", va="bottom", fontsize=8)
        if i == top:
            begin = (peak - seen.model.before) / SIGNAL.fs
            axis.axvspan(begin, begin + seen.model.length / SIGNAL.fs, color=MARK, alpha=0.15, lw=0, zorder=0)
            axis.plot(at, trace.max() + 0.3, "*", color=MARK, ms=13)
    kinds = [kind for kind in COLOURS if kind and kind in set(seen.beats.kinds[record])]
    axis.legend(handles=[Rectangle((0, 0), 1, 1, color=COLOURS[kind], label=kind) for kind in kinds], fontsize=9, ncols=len(kinds),
                loc="upper right", borderaxespad=0, handlelength=1)
    axis.set(xlim=(0, len(trace) / SIGNAL.fs), ylim=(foot, trace.max() + 0.75), xlabel="time (s); bars: weight (%)", ylabel="lead II (mV)",
             xticks=range(11))
    axis.set_yticks([y for y in axis.get_yticks() if trace.min() - 0.3 < y < trace.max() + 0.5])


def _draw_patches(axis: Axes, seen: Subject, record: int, weights: np.ndarray, top: int | None) -> None:
    """The Gramian image with the weight of each patch on it, in per cent."""
    image = seen.model.image(seen.beats.x[record:record + 1])[0, TRACE].numpy()
    seconds = SIGNAL.n_samples / SIGNAL.fs
    point = seconds / SIZE
    axis.imshow(image, cmap="Greys", vmin=-1, vmax=1, extent=(0, seconds, seconds, 0), interpolation="nearest")
    for i, (row, column) in enumerate((patch_places(SIZE, PATCH).numpy() * point).tolist()):
        side = PATCH * point
        axis.add_patch(Rectangle((column, row), side, side, fill=False, ec=GREY, lw=0.8))
        axis.text(column + side / 2, row + side / 2, f"{100 * weights[i]:.0f}", ha="center", va="center", fontsize=9,
                  bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.2})
        if i == top:
            axis.add_patch(Rectangle((column, row), side, side, fill=False, ec=MARK, lw=3, zorder=3))
    axis.set(xlabel="time (s); numbers: weight (%)", ylabel="time (s)", xticks=range(0, 11, 5), yticks=range(0, 11, 5))
    axis.spines[["top", "right"]].set_visible(True)


# -- what is chosen, over all records -----------------------------------------------------------------------------------

def chosen_early(seen: Subject) -> tuple[int, int, float]:
    """Records with both early and other beats; of how many the loudest beat is an early one; how many it would be by lot."""
    early = np.isin(seen.beats.kinds.astype(str), ECTOPIC)                                      # [R, S]
    n_early, n_beats = early.sum(axis=1), seen.beats.held.sum(axis=1)
    mixed = (n_early > 0) & (n_early < n_beats)
    top = seen.fused.top[:, 0].numpy()
    hits = early[np.arange(len(early)), top]
    return int(mixed.sum()), int(hits[mixed].sum()), float((n_early / n_beats)[mixed].sum())


def gathered(seen: Subject) -> np.ndarray:
    """Share of a query's weight that lies on the instances of each modality, mean over records: [query's modality, gathered modality]."""
    of_beats = seen.fused.weights[..., :seen.n_slots].sum(dim=-1).mean(dim=0).numpy()
    return np.stack([of_beats, 1 - of_beats], axis=1)


def by_number(seen: Subject) -> float:
    """The share of beats among a record's instances, mean over records: what an even query would gather of them."""
    n_beats = seen.beats.held.sum(axis=1)
    return float((n_beats / (n_beats + N_PATCHES)).mean())


def choice_figure(seen: Subject) -> Figure:
    """Left, how often each place among the beats and each patch is the loudest; right, from where each query gathers."""
    top = seen.fused.top.numpy()
    with plt.rc_context(STYLE):
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.3), layout="constrained", width_ratios=[1.2, 1, 1.1])
        n_mixed, hits, lot = chosen_early(seen)
        left.barh([1, 0], [hits, lot], color=[MARK, GREY], height=0.55)
        left.set_yticks([1, 0], ["the network", "by lot"])
        left.set(xlim=(0, max(n_mixed, 1)), xlabel=f"of {n_mixed} records with early beats", title="loudest beat is PAC or PVC")
        counts = np.bincount(top[:, 1] - seen.n_slots, minlength=N_PATCHES).reshape(SIZE // PATCH, -1)
        middle.imshow(counts, cmap="Greys", vmin=0, vmax=max(counts.max(), 1))
        for (row, column), n in np.ndenumerate(counts):
            middle.text(column, row, n, ha="center", va="center", color="white" if n > counts.max() / 2 else INK)
        middle.set(title="loudest patch", xlabel="patch along time", ylabel="patch along time", xticks=range(4), yticks=range(4))
        shares, even = gathered(seen), by_number(seen)
        for place, (row, modality) in enumerate(zip(shares, MODALITIES, strict=True)):
            right.barh(-place, row[0], color=INK, height=0.55, label="beats" if place == 0 else None)
            right.barh(-place, row[1], left=row[0], color="#c9c9c9", height=0.55, label="patches" if place == 0 else None)
            right.text(-0.03, -place, f"loudest {SPOKEN[modality]}", ha="right", va="center")
        right.axvline(even, color=MARK, lw=1.5, ls="--", label="by number")
        right.set(xlim=(0, 1), yticks=[], xlabel="share of the weight", title="gathered from", ylim=(-2.1, 0.5))
        right.legend(fontsize=8.5, loc="lower center", ncols=3, columnspacing=1, handlelength=1.2)
        figure.suptitle(f"{N_RECORDS} simulated records ({seen.weights})", fontsize=11, x=0.01, ha="left")
        return figure


# -- words --------------------------------------------------------------------------------------------------------------

def in_words(seen: Subject) -> str:
    """What the pictures show, as Markdown, from their numbers."""
    n_mixed, hits, lot = chosen_early(seen)
    shares, even = gathered(seen), by_number(seen)
    return (f"**The loudest beat.** In {n_mixed} of {N_RECORDS} simulated records some beats are early and some are not. The loudest beat "
            f"is an early one in {hits} of them; drawn by lot it would be in {lot:.1f}. No beat was ever labelled.\n\n"
            f"**Across the bags.** The loudest beat gives {100 * shares[0, 1]:.0f} % of its weight to patches, the loudest patch "
            f"{100 * shares[1, 0]:.0f} % of its own to beats; a query that did not care would give {100 * (1 - even):.0f} % and "
            f"{100 * even:.0f} %, their share by number. Weight says what is gathered, not what it was good for.")
