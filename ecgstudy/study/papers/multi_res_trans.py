"""The page of MRTNet: a unit at its three sampling rates, the moments that the maxima mark, and what mean and maximum tell of a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ecgstudy.evaluate.bootstrap import weighted_auroc
from ecgstudy.leads import LEADS
from ecgstudy.models.multi_res_trans import MultiResTrans
from ecgstudy.study import tables
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE
from ecgstudy.study.papers.simulated import WAVE_COLOURS, Subject, named, wave_masks

N_RECORDS = 160
SHOWN, UNIT = 38, 3                         # the drawn record and which of its units
TRACE = LEADS.index("II")
FEWEST = 8                                  # records with a class, before its features are judged
RATE_COLOURS = ("#1f5fa8", "#e08a00", "#2e9e5b", "#8e4ec6")
REPORTED_LIMIT = "the paper's own task, infarction on PTB-XL, was not repeated, and every width and window is this study's"


@dataclass(frozen=True)
class Summaries:
    """The last map of one rate, summarised: mean and maximum [R, S, C] of every channel in every unit, and the samples of the record
    [R, S, C] at which the maxima stand. n_places: the map's length in a unit."""

    factor: int
    n_places: int
    mean: np.ndarray
    maximum: np.ndarray
    moment: np.ndarray


@torch.inference_mode()
def summaries(model: MultiResTrans, x: Tensor) -> list[Summaries]:
    """Both summaries of every rate for x [R, L, T]. A place of the map stands at the middle of the samples that it covers."""
    units, found = model.units(x), []                                                     # [R, S, L, W]
    starts = torch.arange(units.shape[1]) * model.units.hop
    for rate in model.rates:
        maps = rate.maps(units.flatten(0, 1)).unflatten(0, units.shape[:2])               # [R, S, C, N]
        maximum, place = maps.max(dim=-1)
        covered = model.units.window / maps.shape[-1]
        moment = starts[None, :, None] + (place + 0.5) * covered
        found.append(Summaries(rate.factor, maps.shape[-1], maps.mean(dim=-1).numpy(), maximum.numpy(), moment.numpy()))
    return found


# -- the three rates ----------------------------------------------------------------------------------------------------

def kept(unit: np.ndarray, factor: int, mask: np.ndarray) -> float:
    """The least share of its range that any marked stretch keeps when every `factor` samples are replaced by their mean.

    unit: [W] a trace; mask: bool [W], its stretches that lie wholly inside count. NaN where there is none.
    """
    means = np.repeat(unit[:len(unit) // factor * factor].reshape(-1, factor).mean(axis=1), factor)
    edges = np.flatnonzero(np.diff(mask.astype(int))) + 1
    stretches = [part for part in np.split(np.arange(len(unit)), edges)[1:-1] if mask[part[0]] and part[-1] < len(means)]
    return float(min((np.ptp(means[part]) / np.ptp(unit[part]) for part in stretches), default=np.nan))


def rate_figure(seen: Subject) -> Figure:
    """Above, the record and its units; below, one unit at each rate, and under it how many channels have their maximum where."""
    model, found = seen.model, summaries(seen.model, seen.x[SHOWN:SHOWN + 1])
    trace, masks = seen.simulation.signals[SHOWN, TRACE], {wave: mask[SHOWN] for wave, mask in wave_masks(seen.simulation).items()}
    begin, window = UNIT * model.units.hop, model.units.window
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(9.5, 6.8), layout="constrained")
        grid = figure.add_gridspec(3, len(found), height_ratios=[1.05, 1.2, 0.8])
        _strip(figure.add_subplot(grid[0, :]), trace, model)
        above = below = None
        for column, rate in enumerate(found):
            above = figure.add_subplot(grid[1, column], sharey=above)
            _sampled(above, trace[begin:begin + window], rate.factor, begin, {wave: m[begin:begin + window] for wave, m in masks.items()})
            below = figure.add_subplot(grid[2, column], sharex=above, sharey=below)
            _moments(below, rate.moment[0, UNIT] / SIGNAL.fs, begin / SIGNAL.fs, window / SIGNAL.fs, rate.n_places)
            for axis in (above, below):
                axis.tick_params(labelleft=column == 0)
            if column == 0:
                above.set_ylabel("lead II (mV)")
                below.set_ylabel("channels whose\nmaximum is here")
                above.legend(loc="upper left", fontsize=8)
        figure.suptitle(f"A record with {named(seen.simulation, SHOWN)}: its units and the three rates ({seen.weights})", fontsize=11,
                        x=0.01, ha="left")
        return figure


def _strip(axis: Axes, trace: np.ndarray, model: MultiResTrans) -> None:
    """The whole trace, and under it each unit as a bar; the drawn one darker."""
    axis.plot(np.arange(len(trace)) / SIGNAL.fs, trace, color=INK, lw=0.8)
    low, step = trace.min() - 0.25 * np.ptp(trace), 0.13 * np.ptp(trace)
    for unit in range(model.units.count(len(trace))):
        start = unit * model.units.hop / SIGNAL.fs
        axis.plot([start + 0.03, start + model.units.window / SIGNAL.fs - 0.03], [low - step * (unit % 2)] * 2, lw=4,
                  color=MEASURED if unit == UNIT else GREY, solid_capstyle="butt")
    axis.set(xlim=(0, len(trace) / SIGNAL.fs), xlabel="time (s); bars: the overlapping units, the one below in blue", ylabel="lead II (mV)")


def _sampled(axis: Axes, unit: np.ndarray, factor: int, begin: int, masks: Mapping[str, np.ndarray]) -> None:
    """One unit at one rate: each mean as a point at the middle of its samples, over the trace at the full rate."""
    times = (begin + np.arange(len(unit))) / SIGNAL.fs
    means = unit[:len(unit) // factor * factor].reshape(-1, factor).mean(axis=1)
    for wave, colour in WAVE_COLOURS.items():
        axis.fill_between(times, 0, 1, where=masks[wave], transform=axis.get_xaxis_transform(), color=colour, alpha=0.22, lw=0, label=wave)
    axis.plot(times, unit, color=GREY, lw=0.8)
    middles = (begin + (np.arange(len(means)) + 0.5) * factor - 0.5) / SIGNAL.fs
    axis.plot(middles, means, "o-", color=MEASURED, ms=2.2, lw=0.9)
    axis.set_title(f"{SIGNAL.fs / factor:g} Hz: the sharpest QRS keeps {100 * kept(unit, factor, masks['QRS']):.0f} %", fontsize=9)


def _moments(axis: Axes, moments: np.ndarray, begin: float, seconds: float, n_places: int) -> None:
    edges = np.linspace(begin, begin + seconds, n_places + 1)
    axis.stairs(np.histogram(moments, edges)[0], edges, fill=True, color=MEASURED)
    axis.set(xlim=(begin, begin + seconds), xlabel="time (s)")


# -- mean against maximum -----------------------------------------------------------------------------------------------

def moments_in_waves(found: Sequence[Summaries], masks: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How much more often a maximum stands in a wave than a moment drawn at random would, over all rates, units and channels.

    masks: [R, T]. Moments beyond the end of the record do not count. 1 is chance.
    """
    n_records, n_samples = masks["rest"].shape
    shares = {}
    for wave, mask in masks.items():
        hits = []
        for rate in found:
            sample, record = rate.moment.astype(int), np.arange(n_records)[:, None, None]
            inside = sample < n_samples
            hits.append(mask[record, np.minimum(sample, n_samples - 1)][inside].mean())
        shares[wave] = float(np.mean(hits) / mask.mean())
    return shares


def separation(features: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """How well each feature alone separates a class: its AUROC or that of its negative, whichever is above 0.5. [R, C], [R] -> [C].

    A feature that never changes has 0.5.
    """
    even = np.ones((1, len(positive)))
    found = np.array([weighted_auroc(column, positive, even)[0] for column in features.T])
    return np.maximum(found, 1 - found)


def separations(found: Sequence[Summaries], labels: np.ndarray, classes: Sequence[str]) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """For each class with at least FEWEST records, and each rate, `separation` [C] by the mean and by the maximum; both are averaged
    over the record's units first, as the network's own head does."""
    result = {}
    for name, positive in zip(classes, labels.T, strict=True):
        if FEWEST <= positive.sum() <= len(positive) - FEWEST:
            result[name] = [tuple(separation(part.mean(axis=1), positive) for part in (rate.mean, rate.maximum)) for rate in found]
    return result


def pooling_figure(seen: Subject) -> Figure:
    """One panel a class: each channel's separation by its maximum against that by its mean, one colour a rate."""
    found = summaries(seen.model, seen.x)
    by_class = separations(found, seen.simulation.labels, seen.simulation.classes)
    columns = 4
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(-(-len(by_class) // columns), columns, figsize=(9.5, 2.5 * -(-len(by_class) // columns) + 0.7),
                                    sharex=True, sharey=True, layout="constrained", squeeze=False)
        for place in range(len(by_class), axes.size):
            axes.flat[place].set_axis_off()
            axes.flat[place - columns].tick_params(labelbottom=True)
        for axis, (name, rates) in zip(axes.flat, by_class.items(), strict=False):
            for rate, (mean, maximum), colour in zip(found, rates, RATE_COLOURS, strict=False):
                axis.plot(mean, maximum, "o", ms=3, alpha=0.55, mew=0, color=colour, label=f"{SIGNAL.fs / rate.factor:g} Hz")
            axis.plot([0.5, 1], [0.5, 1], color=INK, lw=0.7, ls=":")
            above = np.mean(np.concatenate([maximum > mean for mean, maximum in rates]))
            axis.set_title(f"{name}: above in {100 * above:.0f} %", fontsize=10)
            axis.set(xlim=(0.49, 1.01), ylim=(0.49, 1.01), aspect="equal")
        figure.supxlabel("AUROC of a channel's mean (GAP)", fontsize=10)
        figure.supylabel("AUROC of a channel's maximum (GMP)", fontsize=10)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower right", ncols=len(found), fontsize=9, markerscale=2)
        figure.suptitle(f"Mean and maximum of each channel, class by class ({seen.weights}; simulated records)", fontsize=11, x=0.01,
                        ha="left")
        return figure


def weight_on_maximum(model: MultiResTrans) -> list[float]:
    """For each rate with both poolings, the share of the maximum's half in the squared weights of the linear map behind them."""
    shares = []
    for rate in model.rates:
        if rate.pool.pooling == "both":
            mean, maximum = rate.project.weight.detach().square().sum(dim=0).chunk(2)
            shares.append(float(maximum.sum() / (mean.sum() + maximum.sum())))
    return shares


def in_words(seen: Subject) -> str:
    """What the two pictures show, as Markdown, from their own numbers."""
    found, masks = summaries(seen.model, seen.x), wave_masks(seen.simulation)
    waves = ", ".join(f"{wave} {share:.1f}" for wave, share in moments_in_waves(found, masks).items())
    by_class = separations(found, seen.simulation.labels, seen.simulation.classes)
    shares = {name: float(np.mean([maximum > mean for mean, maximum in rates])) for name, rates in by_class.items()}
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in sorted(shares.items(), key=lambda item: -item[1]))
    weights = ", ".join(f"{100 * share:.0f} % at {SIGNAL.fs / rate.factor:g} Hz"
                        for share, rate in zip(weight_on_maximum(seen.model), found, strict=False))
    return (f"**Where the maxima stand.** Times as often as a moment drawn at random: {waves}.\n\n"
            f"**Mean or maximum.** Channels whose maximum separates the class better than their mean: {told}. Of the squared weights "
            f"behind the two poolings the maxima have {weights}; one half is what fresh weights give.")


def reported() -> str:
    """What the paper reports, as grey Markdown."""
    told = tables.reported("papers")["multi_res_trans"]
    return (f'<span style="color:#8a8a8a">**The paper** reports an AUC of about {told["auc"]:.2f} on {told["dataset"]} ({told["task"]}); '
            "its accuracy stands in no source at hand.</span>")
