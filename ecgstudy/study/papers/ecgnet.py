"""The page of ECGNet: what its kernels of several sizes learned and respond to, and how much its LSTM adds and remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from torch import Tensor

from ecgstudy.leads import LEADS
from ecgstudy.models.ecgnet import ECGNet, MultiKernelConv
from ecgstudy.study import tables
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE
from ecgstudy.study.papers.simulated import WAVE_COLOURS, Subject, named, wave_masks

N_RECORDS, FEW = 64, 4              # few: for what is slow
SHOWN, BEGIN, SECONDS = 38, 1.0, 5.0        # the drawn record, and which seconds of it
TRACE = LEADS.index("II")
N_FREQUENCIES = 257
FAINTEST = 1e-6         # of the largest sensitivity, at the foot of the picture
REPORTED_LIMIT = "the paper's own task, three kinds of beat in strips of two seconds, was not repeated"


# -- the kernels --------------------------------------------------------------------------------------------------------

def gain(weights: np.ndarray, fs: float = SIGNAL.fs) -> tuple[np.ndarray, np.ndarray]:
    r"""Frequencies [F] in Hz and each map's gain [maps, F], $\sqrt{\sum_l |\hat w_l(f)|^2}$, of kernels [maps, L, k].

    That is how a map scales a wave which is in all leads equally strong and unrelated from lead to lead.
    """
    spectrum = np.fft.rfft(weights, n=2 * (N_FREQUENCIES - 1), axis=-1)
    return np.linspace(0, fs / 2, N_FREQUENCIES), np.sqrt((np.abs(spectrum) ** 2).sum(axis=1))


def kernels(first: MultiKernelConv) -> list[np.ndarray]:
    """The kernels [maps, L, k] of each size."""
    return [scale.weight.detach().cpu().numpy() for scale in first.scales]


@torch.inference_mode()
def responses(first: MultiKernelConv, x: Tensor) -> np.ndarray:
    """What every map of the first layer gives for x [R, L, T], each record from its own median: [R, maps of all sizes, T]."""
    given = first(x)
    return (given - given.median(dim=-1, keepdim=True).values).cpu().numpy()


def strongest(found: np.ndarray, first: MultiKernelConv) -> list[int]:
    """The map of each size, as a column of `found` [R, M, T], with the most power."""
    power = (found ** 2).mean(axis=(0, 2))
    edges = np.cumsum([0, *(scale.out_channels for scale in first.scales)])
    return [int(start + power[start:stop].argmax()) for start, stop in zip(edges[:-1], edges[1:], strict=True)]


def wave_power(found: np.ndarray, masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The mean power of each map [M] inside a wave, over its mean power everywhere. found: [R, M, T]; masks: [R, T].

    1 is what a map gives that does not care where it is.
    """
    power = found ** 2
    everywhere = power.mean(axis=(0, 2))
    return {wave: power.transpose(1, 0, 2)[:, mask].mean(axis=1) / everywhere for wave, mask in masks.items()}


def kernel_figure(seen: Subject) -> Figure:
    """Above, the strongest map of each kernel size as an image, lead by time; below, the gain of all maps over frequency."""
    first, before = seen.model.trunk.first, seen.untrained.trunk.first
    chosen, n_maps = strongest(responses(first, seen.x), first), first.scales[0].out_channels
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, len(first.scales), figsize=(9.5, 6.2), layout="constrained", height_ratios=[1.25, 1], sharey="row",
                                    squeeze=False)
        for (image, curve), weights, untrained, place in zip(axes.T, kernels(first), kernels(before), chosen, strict=True):
            kernel = weights[place % n_maps]                                            # [L, k]
            half, reach = kernel.shape[1] / 2 / SIGNAL.fs, np.abs(kernel).max()
            drawn = image.imshow(kernel / reach, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest",
                                 extent=(-1000 * half, 1000 * half, len(kernel) - 0.5, -0.5))
            image.set(title=f"{kernel.shape[1]} samples, {kernel.shape[1] / SIGNAL.fs:.2f} s", xlabel="time in the kernel (ms)")
            image.set_yticks(range(len(kernel)), LEADS[:len(kernel)], fontsize=9)
            _gains(curve, weights, untrained, place % n_maps)
        axes[1, 0].set_ylabel("gain")
        axes[1, 0].set_ylim(bottom=0)
        figure.colorbar(drawn, ax=axes[0], label="weight, largest = 1", pad=0.01)
        figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
        figure.suptitle(f"Kernels of the first layer ({seen.weights})", fontsize=11, x=0.01, ha="left")
        return figure


def _gains(axis: Axes, weights: np.ndarray, untrained: np.ndarray, chosen: int) -> None:
    frequencies, found = gain(weights)
    for i, curve in enumerate(np.delete(found, chosen, axis=0)):
        axis.plot(frequencies, curve, color=MEASURED, lw=0.7, alpha=0.5, label="the other maps" if i == 0 else None)
    axis.plot(frequencies, found[chosen], color=MEASURED, lw=2.2, label="the map above")
    axis.plot(frequencies, gain(untrained)[1].mean(axis=0), color=GREY, lw=1.5, ls="--", label="mean of the maps before training")
    axis.set(xlim=(0, SIGNAL.fs / 2), xlabel="frequency (Hz)")
    axis.grid(color="#e5e5e5", lw=0.8)


def response_figure(seen: Subject) -> Figure:
    """Left, five seconds of a record with its waves, and what the strongest map of each size gives; right, the power of every map in
    each wave."""
    first = seen.model.trunk.first
    found = responses(first, seen.x)
    masks, chosen = wave_masks(seen.simulation), strongest(found, first)
    after, before = wave_power(found, masks), wave_power(responses(seen.untrained.trunk.first, seen.x), masks)
    signal = wave_power(seen.simulation.signals - np.median(seen.simulation.signals, axis=-1, keepdims=True), masks)
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(9.5, 6.4), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=[1.9, 1])
        axes = left.subplots(1 + len(chosen), 1, sharex=True, height_ratios=[1.5] + [1] * len(chosen))
        _trace(axes[0], seen, masks)
        for axis, place, scale in zip(axes[1:], chosen, first.scales, strict=True):
            _over_time(axis, found[SHOWN, place] / np.sqrt((found[:, place] ** 2).mean()), f"{scale.kernel_size[0]}")
        axes[-1].set_xlabel("time (s)")
        left.supylabel("response of the strongest map of each kernel size, its RMS = 1", fontsize=9)
        _powers(right.subplots(), after, before, signal)
        figure.suptitle(f"What the first layer responds to ({seen.weights}; simulated records)", fontsize=11, x=0.01, ha="left")
        return figure


def _trace(axis: Axes, seen: Subject, masks: Mapping[str, np.ndarray]) -> None:
    times, trace = np.arange(SIGNAL.n_samples) / SIGNAL.fs, seen.simulation.signals[SHOWN, TRACE]
    axis.plot(times, trace, color=INK, lw=0.9)
    for wave, colour in WAVE_COLOURS.items():
        axis.fill_between(times, 0, 1, where=masks[wave][SHOWN], transform=axis.get_xaxis_transform(), color=colour, alpha=0.22, lw=0,
                          label=wave)
    axis.set(xlim=(BEGIN, BEGIN + SECONDS), ylabel="lead II (mV)")
    axis.set_title(f"A record with {named(seen.simulation, SHOWN)}", fontsize=10, loc="left")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=9, borderaxespad=0.1)


def _over_time(axis: Axes, response: np.ndarray, kernel: str) -> None:
    axis.axhline(0, color=GREY, lw=0.6)
    axis.plot(np.arange(len(response)) / SIGNAL.fs, response, color=MEASURED, lw=1)
    axis.set_ylabel(f"{kernel} samples", fontsize=9)


def _powers(axis: Axes, after: Mapping[str, np.ndarray], before: Mapping[str, np.ndarray], signal: Mapping[str, np.ndarray]) -> None:
    for column, wave in enumerate(after):
        for found, shift, colour, label in ((before[wave], -0.18, GREY, "a map before training"),
                                            (after[wave], 0.18, MEASURED, "a map of the network shown")):
            jitter = np.linspace(-0.11, 0.11, len(found))
            axis.plot(column + shift + jitter, found, "o", ms=3.5, color=colour, alpha=0.8, mew=0, label=label if column == 0 else None)
        axis.plot([column - 0.35, column + 0.35], [signal[wave].mean()] * 2, color=INK, lw=1.5,
                  label="the signal itself, mean of leads" if column == 0 else None)
    axis.axhline(1, color=INK, lw=0.6, ls=":")
    axis.set(yscale="log", ylabel="mean power in the wave / everywhere")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(NullLocator())
    axis.set_xticks(range(len(after)), list(after))
    axis.legend(loc="lower left", bbox_to_anchor=(-0.1, 1.0), fontsize=9)


# -- the LSTM beside the trunk ------------------------------------------------------------------------------------------

def sensitivity(model: ECGNet, x: Tensor) -> np.ndarray:
    r"""How much the LSTM's last state depends on each sample: the mean over records of $\sqrt{\sum_{i,l} (\partial r_{T,i} /
    \partial x_{l,t})^2}$, [T]. x: [R, L, T]."""
    n_records, hidden = len(x), model.recurrence.lstm.hidden_size
    copies = x.repeat_interleave(hidden, dim=0).requires_grad_()                         # one copy a unit, so that one pass does
    last = model.recurrence(copies)[..., -1].view(n_records, hidden, hidden)              # [R, copy, unit]
    slopes = torch.autograd.grad(last.diagonal(dim1=1, dim2=2).sum(), copies)[0]
    return slopes.view(n_records, -1, x.shape[-1]).norm(dim=1).mean(dim=0).numpy()


@torch.inference_mode()
def contributions(model: ECGNet, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """How much each branch moves each logit: SD over records of what the trunk [K] and the LSTM [K] add to it."""
    maps, states = model.branches(x)
    read, weight = model.head.summary(maps, states), model.head.classify[-1].weight       # [R, C + hidden], [K, C + hidden]
    added = read[:, None] * weight                                                        # [R, K, C + hidden]
    trunk, recurrence = added.split([maps.shape[1], states.shape[1]], dim=-1)
    return trunk.sum(dim=-1).std(dim=0).numpy(), recurrence.sum(dim=-1).std(dim=0).numpy()


def memory(curve: np.ndarray, share: float = 0.9) -> float:
    """The seconds before the end that hold `share` of a sensitivity [T]."""
    held = np.cumsum(curve[::-1]) / curve.sum()
    return float((np.searchsorted(held, share) + 1) / SIGNAL.fs)


def memory_figure(seen: Subject) -> Figure:
    """Left, how far back the LSTM's last state looks; right, what either branch adds to the logit of each class."""
    back = np.arange(SIGNAL.n_samples - 1, -1, -1) / SIGNAL.fs
    with plt.rc_context(STYLE):
        figure, (past, share) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained", width_ratios=[1.2, 1])
        curves = [sensitivity(model, seen.x[:FEW]) for model in (seen.untrained, seen.model)]
        for curve, colour, label in zip(curves, (GREY, MEASURED), ("before training", "the network shown"), strict=True):
            past.plot(back, curve, color=colour, lw=1.5, label=label)
        seconds = max(back[curve > curve.max() * FAINTEST].max() for curve in curves)
        past.set(yscale="log", xlim=(seconds, 0), ylim=(max(map(np.max, curves)) * FAINTEST, None),
                 xlabel="seconds before the end of the record", ylabel="sensitivity of the last state")
        past.legend(fontsize=9, loc="upper left")
        past.grid(color="#e5e5e5", lw=0.8)
        places = np.arange(len(seen.classes))
        trunk, recurrence = contributions(seen.model, seen.x)
        for shift, found, colour, label in ((0.2, trunk, INK, "CNN"), (-0.2, recurrence, MEASURED, "LSTM")):
            share.barh(-places + shift, found, 0.36, color=colour, label=label)
        share.set_yticks(-places, seen.classes)
        share.set(xlabel="SD of what the branch adds to the logit")
        share.legend(fontsize=9)
        figure.suptitle(f"The LSTM beside the CNN ({seen.weights}; simulated records)", fontsize=11, x=0.01, ha="left")
        return figure


def in_words(seen: Subject) -> str:
    """What the three pictures show, as Markdown, from their own numbers."""
    masks = wave_masks(seen.simulation)
    after, before = (wave_power(responses(m.trunk.first, seen.x), masks) for m in (seen.model, seen.untrained))
    told = ", ".join(f"{wave} {np.median(after[wave]):.1f} (before training {np.median(before[wave]):.1f})" for wave in after)
    moved = [float(np.linalg.norm(a - b) / np.linalg.norm(b))
             for a, b in zip(kernels(seen.model.trunk.first), kernels(seen.untrained.trunk.first), strict=True)]
    trunk, recurrence = contributions(seen.model, seen.x)
    reach, fresh_reach = (memory(sensitivity(m, seen.x[:FEW])) for m in (seen.model, seen.untrained))
    return (f"**Kernels.** {_moved(seen, moved)} Power of the median map in each wave, over its power everywhere: {told}.\n\n"
            f"**LSTM.** Nine tenths of the sensitivity of its last state lie in the last {reach:.2f} s "
            f"of the record (before training {fresh_reach:.2f} s). What it adds to a logit varies {np.median(recurrence / trunk):.2f} "
            "times as much from record to record as what the CNN adds (median of the classes).")


def reported() -> str:
    """What the paper reports, as grey Markdown."""
    told = tables.reported("papers")["ecgnet"]
    return (f'<span style="color:#8a8a8a">**The paper** reports an accuracy of {told["accuracy"]:.3f} for {told["network"]} on '
            f"{told['dataset']} ({told['task']}).</span>")


def _moved(seen: Subject, moved: Sequence[float]) -> str:
    if max(moved) == 0:
        return "The weights are fresh: nothing was learned yet."
    sizes = [scale.kernel_size[0] for scale in seen.model.trunk.first.scales]
    told = ", ".join(f"{100 * share:.0f} % ({size})" for share, size in zip(moved, sizes, strict=True))
    return f"Training moved the weights of each kernel size by so much of their initial norm: {told}."
