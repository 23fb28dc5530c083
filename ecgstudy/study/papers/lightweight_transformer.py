"""The page of the LightConv transformer: the beats it is given, which channels its gates open for which beat, and its kernels.

Asked on simulated records, because there it is known of each beat whether it was early and where it came from.
"""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ecgstudy.leads import LEADS
from ecgstudy.models.heartbeats import cut
from ecgstudy.models.lightweight_transformer import LightweightTransformer, rhythm
from ecgstudy.study import tables
from ecgstudy.study.axis_page import SIGNAL, Comparison, save_picture
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE
from ecgstudy.study.paper_page import fresh, trained, whose_weights
from ecgstudy.study.papers.simulated_beats import COLOURS, KINDS, SimulatedBeats, simulated_beats

N_RECORDS = 96
TRACE = LEADS.index("II")
TOKEN = 0.04                # seconds
FEWEST_BEATS = 5            # of a kind, before its gates are shown
MOST_DRAWN = 60             # beats of a kind over one another


@dataclass(frozen=True, eq=False)
class Subject:
    """The network of the page, the same network untrained, and the beats that both are asked about."""

    model: LightweightTransformer
    untrained: LightweightTransformer
    weights: str
    beats: SimulatedBeats

    @property
    def kinds(self) -> list[str]:
        """The kinds with enough beats."""
        return [kind for kind in KINDS if (self.beats.kinds == kind).sum() >= FEWEST_BEATS]


def subject(found: Comparison) -> Subject:
    """The page's network with the weights of its first run, or fresh ones where none are at hand."""
    page = found.page
    model, run = trained(found)
    untrained = fresh(page, **page.axis.variants[page.axis.name].all_settings(page.request.size))
    return Subject(model, untrained, whose_weights(run), simulated_beats(run, N_RECORDS, model.most))


# -- the beats ----------------------------------------------------------------------------------------------------------

def beat_figure(seen: Subject, found: Comparison) -> Figure:
    """Above, a record cut into beats; below, the beats of each kind over one another. Also kept as the page's picture."""
    record = seen.beats.record_of_many_kinds()
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(10, 5.6), layout="constrained")
        rows = figure.subfigures(2, 1, height_ratios=[1, 1.15])
        _strip(rows[0].subplots(), seen, record)
        axes = rows[1].subplots(1, max(1, len(seen.kinds)), sharey=True, squeeze=False)[0]
        for axis, kind in zip(axes, seen.kinds, strict=False):
            _overlay(axis, seen, kind)
        axes[0].set_ylabel("lead II (mV)")
        rows[0].suptitle("A record as a bag of beats (simulated)", fontsize=11, x=0.01, ha="left")
        save_picture(figure, found.page.request)
        return figure


def _strip(axis: Axes, seen: Subject, record: int) -> None:
    """Lead II with the window of each beat; neighbours stand at two heights, because windows overlap where the heart is fast."""
    trace = _millivolts(seen)[record]
    axis.plot(np.arange(len(trace)) / SIGNAL.fs, trace, color=INK, lw=0.9)
    low, high = trace.min() - 0.3, trace.max() + 0.35
    for i, peak in enumerate(seen.beats.peaks[record].numpy()):
        if peak < 0:
            continue
        colour, begin = COLOURS[seen.beats.kinds[record, i]], (peak - seen.model.before) / SIGNAL.fs
        foot = low - 0.18 * (i % 2)
        axis.plot([begin, begin + seen.model.length / SIGNAL.fs], [foot, foot], color=colour, lw=4, solid_capstyle="butt", alpha=0.75)
        axis.plot(peak / SIGNAL.fs, high, "v", color=colour, ms=6)
        axis.plot([peak / SIGNAL.fs] * 2, [foot, high], color=colour, lw=0.6, alpha=0.5)
    axis.set(xlim=(0, len(trace) / SIGNAL.fs), ylim=(low - 0.35, high + 0.15), xlabel="time (s)", ylabel="lead II (mV)", xticks=range(11))
    shown = [kind for kind in KINDS if kind in set(seen.beats.kinds[record])]
    axis.legend(handles=[plt.Line2D([], [], color=COLOURS[kind], marker="v", lw=4, label=kind) for kind in shown], fontsize=9,
                loc="lower right", bbox_to_anchor=(1, 1), ncols=len(shown), borderaxespad=0.2)


def _overlay(axis: Axes, seen: Subject, kind: str) -> None:
    """The beats of one kind as the network gets them, their median, and in words how early they come."""
    chosen = seen.beats.kinds == kind
    cut_out = cut(torch.from_numpy(_millivolts(seen))[:, None], seen.beats.peaks, seen.model.before, seen.model.length)[..., 0].numpy()
    waves = cut_out[chosen[seen.beats.held]]
    early = rhythm(seen.beats.peaks, SIGNAL.fs)[..., 2].numpy()[chosen]
    time = (np.arange(seen.model.length) - seen.model.before) / SIGNAL.fs
    axis.plot(time, waves[:MOST_DRAWN].T, color=GREY, lw=0.5, alpha=0.35)
    axis.plot(time, np.median(waves, axis=0), color=COLOURS[kind], lw=2)
    axis.axvline(0, color=INK, lw=0.5, ls=":")
    axis.set(title=f"{kind}, {chosen.sum()} beats", xlabel="from the R-peak (s)", xlim=(time[0], time[-1]))
    axis.text(0.98, 0.97, f"RR before / mean:\n{np.median(early):.2f}", transform=axis.transAxes, ha="right", va="top", fontsize=9)


def _millivolts(seen: Subject) -> np.ndarray:
    """Lead II from its median, [R, T]."""
    traces = seen.beats.simulation.signals[:, TRACE]
    return traces - np.median(traces, axis=-1, keepdims=True)


# -- the gates ----------------------------------------------------------------------------------------------------------

@torch.inference_mode()
def gates(model: LightweightTransformer, x: Tensor, peaks: Tensor) -> list[np.ndarray]:
    """How far each squeeze-and-excitation gate opens each channel for each beat: of every convolution [n, C], from 0 to 1."""
    opened: list[np.ndarray] = []
    handles = [stage.gate.excite.register_forward_hook(lambda _module, _received, output: opened.append(output.sigmoid()[:, 0].numpy()))
               for stage in model.embed]
    try:
        model.embed(cut(x, peaks, model.before, model.length))
    finally:
        for handle in handles:
            handle.remove()
    return opened


def gate_means(seen: Subject) -> list[np.ndarray]:
    """The mean opening of each channel by kind of beat: of every convolution [kinds, C]."""
    kinds = seen.beats.kinds[seen.beats.held]
    return [np.stack([opened[kinds == kind].mean(axis=0) for kind in seen.kinds])
            for opened in gates(seen.model, seen.beats.x, seen.beats.peaks)]


def gate_figure(seen: Subject) -> Figure:
    """Above, each kind's mean opening of every channel; below, how it departs from that of sinus beats. Channels in the order of the
    opening for sinus beats."""
    means = gate_means(seen)
    apart = [mean - mean[:1] for mean in means]
    largest = max(1e-6, max(np.abs(each).max() for each in apart))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, len(means), figsize=(10, 4.8), layout="constrained", squeeze=False, sharex="col",
                                    width_ratios=[1, 1.3, 1.7])
        for i, (mean, difference) in enumerate(zip(means, apart, strict=True)):
            order = np.argsort(mean[0])
            for row, kind in zip(mean, seen.kinds, strict=True):
                axes[0, i].plot(row[order], ".", color=COLOURS[kind], ms=4, alpha=0.8, label=kind)
            axes[0, i].set(title=f"after convolution {i + 1}", ylim=(0, 1))
            image = axes[1, i].imshow(difference[1:, order], aspect="auto", cmap="RdBu_r", vmin=-largest, vmax=largest,
                                      interpolation="nearest")
            axes[1, i].set_xlabel(f"channel ({mean.shape[1]})")
            axes[1, i].set_yticks(range(len(seen.kinds) - 1), seen.kinds[1:] if i == 0 else [])
        axes[0, 0].set_ylabel("mean opening σ")
        figure.colorbar(image, ax=axes[1], label="minus sinus", pad=0.01)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(seen.kinds), fontsize=9,
                      markerscale=2.5)
        figure.suptitle(f"Squeeze-and-excitation by kind of beat ({seen.weights})", fontsize=11, x=0.01, ha="left")
        return figure


# -- the kernels --------------------------------------------------------------------------------------------------------

def kernels(model: LightweightTransformer) -> list[np.ndarray]:
    """The averaging kernels of every layer, [H, k], rows that sum to one."""
    return [layer.token_mixer[0].mix.kernels().detach().numpy() for layer in model.encoder]


def taps_in_use(kernel: np.ndarray) -> np.ndarray:
    r"""How many taps a kernel spreads over, $\exp(-\sum_j w_j \log w_j)$: k where all weigh alike, 1 where one has all. [H, k] -> [H]"""
    return np.exp(-(kernel * np.log(np.maximum(kernel, 1e-12))).sum(axis=1))


def kernel_figure(seen: Subject) -> Figure:
    """The kernels of each layer over time, one line a head; dashed, equal weights."""
    after, before = kernels(seen.model), kernels(seen.untrained)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(after), figsize=(10, 3.1), layout="constrained", squeeze=False)
        for i, (axis, kernel, fresh_ones) in enumerate(zip(axes[0], after, before, strict=True)):
            offset = (np.arange(kernel.shape[1]) - kernel.shape[1] // 2) * TOKEN * 1000
            for h, row in enumerate(kernel):
                axis.plot(offset, row, color=plt.get_cmap("tab10").colors[h % 10], marker=".", ms=5, lw=1.2)
            axis.axhline(1 / kernel.shape[1], color=INK, lw=0.8, ls="--")
            axis.set(title=f"layer {i + 1}: {kernel.shape[1]} tokens", xlabel="offset (ms)", ylim=(0, 1.25 * kernel.max()),
                     xticks=offset[[0, len(offset) // 2, -1]])
            axis.text(0.5, 0.98, f"in use {taps_in_use(kernel).mean():.1f}, untrained {taps_in_use(fresh_ones).mean():.1f}",
                      transform=axis.transAxes, ha="center", va="top", fontsize=8.5, color=MEASURED)
        axes[0, 0].set_ylabel("weight of the token")
        figure.suptitle(f"The kernels in the place of attention, eight heads a layer ({seen.weights})", fontsize=11, x=0.01, ha="left")
        return figure


# -- words --------------------------------------------------------------------------------------------------------------

def in_words(seen: Subject) -> str:
    """What the pictures show, as Markdown, from their numbers."""
    true, found, others = seen.beats.detected()
    means = gate_means(seen)
    parts = [f"**The beats.** Of {true:,} true beats in {N_RECORDS} simulated records the detector found {found:,}; "
             f"{others} of its detections {'is' if others == 1 else 'are'} no beat. Beats are cut before any network is asked, so what is "
             "missed here is missed for good."]
    if len(seen.kinds) > 1:
        apart = {kind: float(np.mean([np.abs(mean[i] - mean[0]).mean() for mean in means])) for i, kind in enumerate(seen.kinds) if i}
        most = max(apart, key=apart.get)
        parts.append("**The gates.** Mean distance of a channel's opening from that for sinus beats: "
                     + ", ".join(f"{kind} {value:.4f}" for kind, value in apart.items()) + f". Largest for {most}. The gates see the "
                     "beat's shape alone; an early beat of ordinary shape must be told by its RR interval.")
    used = [(taps_in_use(after).mean(), taps_in_use(before).mean(), after.shape[1])
            for after, before in zip(kernels(seen.model), kernels(seen.untrained), strict=True)]
    parts.append("**The kernels.** Taps in use, of all, by layer: " + ", ".join(f"{after:.1f} of {k} ({before:.1f} untrained)"
                 for after, before, k in used) + ". A kernel near all of its taps is a running mean.")
    return "\n\n".join(parts)


def reported() -> str:
    """What is known of the paper's numbers, as grey Markdown."""
    told = tables.reported("papers")["lightweight_transformer"]
    return (f'<span style="color:#8a8a8a">**The paper\'s** own numbers could not be established. Its parent, the {told["network"]}, '
            f"reports an accuracy of {told['accuracy']:.4f} and a sensitivity of {told['sensitivity']:.4f} on {told['dataset']}, beat by "
            "beat.</span>")
