"""MINA's page: where its three levels of attention look on one record, the hints beneath, and whether the network heeds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecgstudy.models.mina import LEVELS, Mina
from ecgstudy.study import axis_page, figures, tables
from ecgstudy.study.axis_page import SIGNAL, Comparison
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE
from ecgstudy.study.papers import simulated
from ecgstudy.study.papers.simulated import Subject

SEED, N_RECORDS = 5, 48
SHOWN = "PVC"                       # an early, wide, tall beat: sharp, spread and strong, so that every hint has something to say
BAND = 2                            # of the drawn waves and segments: the one that holds the ECG itself
HINT = "#b3541e"
LEVEL_WORDS = {"beat": "positions in a segment", "rhythm": "segments", "frequency": "bands"}


def gather(found: Comparison) -> Subject:
    """The page's network and its simulated records."""
    return simulated.subject(found, range(N_RECORDS), SEED)


@dataclass(frozen=True, eq=False)
class Looks:
    """Weights and hints on R records, as NumPy arrays.

    beat, sharpness: [R, F, M, P]; rhythm, spread: [R, F, M]; frequency, power: [R, F]. positions: seconds at the middle of what each
    position sees [M, P]; segment: seconds of a segment.
    """

    beat: np.ndarray
    sharpness: np.ndarray
    rhythm: np.ndarray
    spread: np.ndarray
    frequency: np.ndarray
    power: np.ndarray
    positions: np.ndarray
    segment: float

    def pair(self, level: str) -> tuple[np.ndarray, np.ndarray]:
        """Weights and hints of a level: both [R, F, M, P], [R, F, M] or [R, F]; the softmax runs over the last axis."""
        return {"beat": (self.beat, self.sharpness), "rhythm": (self.rhythm, self.spread), "frequency": (self.frequency, self.power)}[level]


@torch.inference_mode()
def looks(model: Mina, x: torch.Tensor) -> Looks:
    """Where a network looks on x: [R, L, T]."""
    readings, power = model.read(x)
    _, gamma = model.head.attend(model.forward_features(x))
    stacked = [torch.stack([getattr(reading, name) for reading in readings], dim=1).numpy()
               for name in ("beat", "beat_knowledge", "rhythm", "rhythm_knowledge")]
    network = model.networks[0]
    n_segments, n_positions = stacked[0].shape[2:]
    kernel, stride = network.conv[0].kernel_size[0], network.conv[0].stride[0]
    samples = np.arange(n_segments)[:, None] * network.segment + np.arange(n_positions) * stride + (kernel - 1) / 2
    return Looks(*stacked, gamma.numpy(), power.numpy(), samples / SIGNAL.fs, network.segment / SIGNAL.fs)


# -- whether the hints are heeded -----------------------------------------------------------------------------------------

@contextmanager
def without_hint(model: Mina, level: str) -> Iterator[None]:
    """The same network with zeros in the place of one level's hint."""
    kept, power = [network.knowledge for network in model.networks], model.knows_power
    for network in model.networks:
        network.knowledge = tuple(each for each in network.knowledge if each != level)
    model.knows_power = power and level != "frequency"
    try:
        yield
    finally:
        for network, knowledge in zip(model.networks, kept, strict=True):
            network.knowledge = knowledge
        model.knows_power = power


@dataclass(frozen=True)
class Heed:
    """What a level's hint does: `rank` its Spearman correlation with the weights, over what each softmax chooses from, mean over records
    and bands; `peak` the mean largest weight times the number to choose from, 1 where it does not choose; `moved` how far the logits
    move without the hint, over their own standard deviation from record to record."""

    level: str
    rank: float
    peak: float
    moved: float


@torch.inference_mode()
def heeds(seen: Subject) -> list[Heed]:
    """Each level on all records."""
    found, logits = looks(seen.model, seen.x), seen.model(seen.x)
    spread = logits.std(dim=0).mean().item()
    told = []
    for level in LEVELS:
        weights, hints = found.pair(level)
        with without_hint(seen.model, level):
            moved = (seen.model(seen.x) - logits).abs().mean().item() / spread
        told.append(Heed(level, rank_correlation(weights, hints), float(weights.max(axis=-1).mean() * weights.shape[-1]), moved))
    return told


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation along the last axis, mean over the others; rows in which either is constant are left out."""
    from scipy.stats import rankdata

    first, second = (rankdata(each, axis=-1) for each in (a, b))
    first, second = (each - each.mean(axis=-1, keepdims=True) for each in (first, second))
    scale = np.sqrt((first ** 2).sum(axis=-1) * (second ** 2).sum(axis=-1))
    return float(((first * second).sum(axis=-1)[scale > 0] / scale[scale > 0]).mean()) if (scale > 0).any() else float("nan")


# -- the picture ----------------------------------------------------------------------------------------------------------

def attention_figure(seen: Subject) -> Figure:
    """One record: the trace, weights over positions and over segments with their hints beneath, and the weights over bands beside."""
    row = seen.with_label(SHOWN)[0]
    found = looks(seen.model, seen.x[row:row + 1])
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(10.5, 7.6), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=[3.2, 1])
        axes = left.subplots(5, 1, sharex=True, height_ratios=[1.5, 1, 1, 1, 1])
        _trace(axes[0], seen, row)
        _positions(axes[1], found, found.beat[0, BAND], MEASURED, 1 / found.beat.shape[-1])
        _positions(axes[2], found, found.sharpness[0, BAND], HINT, None)
        _segments(axes[3], found, found.rhythm[0, BAND], MEASURED, 1 / found.rhythm.shape[-1])
        _segments(axes[4], found, found.spread[0, BAND], HINT, None)
        for axis, words in zip(axes[1:], ("beat attention: weight inside each segment", "its hint: sharpness (learned scale)",
                                          "rhythm attention: weight of each segment", "its hint: standard deviation (scaled signal)"),
                               strict=True):
            axis.set_title(words, fontsize=10, loc="left")
            for time in seen.r_peaks(row):
                axis.axvline(time, color=GREY, lw=0.6, ls=":", zorder=0)
        axes[-1].set_xlabel("time (s)")
        _bands(right, seen.model, found)
        figure.suptitle(f"Where the three levels look, band {seen.model.bands.names[BAND]} ({seen.weights}; simulated record)", fontsize=11,
                        x=0.01, ha="left")
        return figure


def _trace(axis: Axes, seen: Subject, row: int) -> None:
    axis.plot(np.arange(SIGNAL.n_samples) / SIGNAL.fs, seen.trace(row), color=INK, lw=0.8)
    axis.set(ylabel="lead II (mV)", xlim=(0, SIGNAL.seconds))
    axis.set_title(f"A record with {SHOWN}; dotted: R-peaks", fontsize=10, loc="left")


def _positions(axis: Axes, found: Looks, values: np.ndarray, colour: str, even: float | None) -> None:
    """values [M, P], one line a segment: the softmax knows nothing of the next segment."""
    for times, curve in zip(found.positions, values, strict=True):
        axis.plot(times, curve, color=colour, lw=1.3, marker=".", ms=2.5)
    _even(axis, values, even)


def _segments(axis: Axes, found: Looks, values: np.ndarray, colour: str, even: float | None) -> None:
    """values [M], one bar a segment."""
    axis.bar((np.arange(len(values)) + 0.5) * found.segment, values, 0.9 * found.segment, color=colour, alpha=0.8)
    _even(axis, values, even)


def _even(axis: Axes, values: np.ndarray, even: float | None) -> None:
    if even is not None:
        axis.axhline(even, color=INK, lw=0.8, ls="--")
        axis.text(1.004, even, "even", transform=axis.get_yaxis_transform(), fontsize=8, va="center", ha="left")
    axis.set_ylim(0, 1.12 * max(float(values.max()), even or 0.0, 1e-9))


def _bands(panel: Figure, model: Mina, found: Looks) -> None:
    above, below = panel.subplots(2, 1, sharex=True)
    places = np.arange(len(model.bands.names))
    above.bar(places, found.frequency[0], 0.7, color=MEASURED, alpha=0.8)
    above.axhline(1 / len(places), color=INK, lw=0.8, ls="--")
    above.set_title("frequency attention:\nweight of each band", fontsize=10, loc="left")
    below.bar(places, found.power[0], 0.7, color=HINT, alpha=0.8)
    below.set_title("its hint: log(1 + power)", fontsize=10, loc="left")
    below.set_xticks(places, model.bands.names, rotation=35, ha="right", fontsize=9)


def draw(seen: Subject, found: Comparison) -> Figure:
    """The picture, also kept as the page's own."""
    drawn = attention_figure(seen)
    axis_page.save_picture(drawn, found.page.request)
    return figures.closed(drawn)


def in_words(seen: Subject) -> str:
    """What the three levels do over all simulated records, as Markdown, from their own numbers."""
    told = ((f"{each.level}: {LEVEL_WORDS[each.level]}", tables.show(each.rank, 2, signed=True), tables.show(each.peak, 2),
             f"{100 * each.moved:.1f} % of an SD") for each in heeds(seen))
    head = ("level", "rank correlation of weight and hint", "largest weight, even = 1", "logits move without the hint")
    table = "\n".join(f"| {' | '.join(line)} |" for line in (head, ("---",) * len(head), *told))
    weights = looks(seen.model, seen.x).frequency.mean(axis=0)
    bands = ", ".join(f"{name} {100 * weight:.0f} %" for name, weight in zip(seen.model.bands.names, weights, strict=True))
    fresh = "" if seen.run else " The weights are fresh: nothing was learned yet."
    return (f"**The three levels.**{fresh} Over {len(seen.x)} simulated records; SD is that of a logit from record to "
            f"record:\n\n{table}\n\nThe bands get, on average: {bands}. A level whose largest weight is near the even share does not "
            "choose, and its map should not be read as evidence.")


def reported() -> str:
    """What the paper reports, as grey Markdown."""
    told = tables.reported("papers")["mina"]
    return (f'<span style="color:#8a8a8a">**The paper** reports a ROC-AUC of {told["roc_auc"]:.4f}, a PR-AUC of {told["pr_auc"]:.4f} and '
            f"an F1 of {told['f1']:.4f} for {told['task']} on {told['dataset']}. Its test windows were drawn ten times as densely from "
            "records with AF as from the others, which favours the PR-AUC.</span>")
