"""MPGT's page: what the gates give over time, what either row brings, and whether a gate is more than a constant.

Everything is asked on simulated records, because only there is it known to the sample where each beat and its waves stand. A network
that was trained on recordings meets them in the scale of its training records.
"""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor, nn

from ecgstudy.data.synthetic import Simulation
from ecgstudy.leads import LEADS
from ecgstudy.models.progressive_gated_transformer import POOLED, STRIDE, gate_values, gates
from ecgstudy.study.axis_page import SIGNAL, Comparison, save_picture
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE, closed
from ecgstudy.study.papers import simulated
from ecgstudy.study.papers.simulated import WAVE_COLOURS, WAVES, Subject

N_RECORDS, SHOWN = 48, 38                   # shown: the drawn record
BEGIN, SECONDS = 1.0, 5.0                   # which seconds of it are drawn
TRACE = LEADS.index("II")
TOKEN = STRIDE * POOLED                     # samples of a token
COARSE = "#e08a00"
AROUND, BIN = (-0.4, 0.6), 0.02             # seconds around an R-peak, and of one step of the curve
LIMITS = (float(1 / (1 + np.e)), float(np.e / (1 + np.e)))                       # sigmoid(-1), sigmoid(1)
PARTS = ("between channels", "between records", "over time")


def gather(found: Comparison) -> Subject:
    """The page's network and its simulated records."""
    return simulated.subject(found, range(N_RECORDS))


def values(model: nn.Module, x: Tensor) -> dict[int, np.ndarray]:
    """By level what each gate gives, [R, N, C]."""
    return {level: found.numpy() for level, found in gate_values(model, x).items()}


# -- what flows into each level's sum -----------------------------------------------------------------------------------

@torch.no_grad()
def contributions(model: nn.Module, x: Tensor) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """By level the two parts of its sum, each as its root mean square over channels [R, N]: the weighed fine row, the coarse row."""
    fine, coarse = model.fine(x), model.coarse(x)
    found = {}
    for number, level in enumerate(model.levels, 1):
        fine, own = level.fine(fine), level.coarse(coarse)
        coarse = own if level.merge is None else level.merge(fine, own)
        found[number] = (_root_mean_square(coarse - own), _root_mean_square(own))
    return found


def _root_mean_square(tokens: Tensor) -> np.ndarray:
    return tokens.square().mean(dim=-1).sqrt().numpy()


# -- is a gate more than a constant? ------------------------------------------------------------------------------------

def variance_shares(given: np.ndarray) -> np.ndarray:
    """How a gate's variance divides among `PARTS`, three shares whose sum is 1. given: [R, N, C].

    Between channels: of each channel's mean. Between records: of a record's mean in a channel about that. Over time: what is left.
    """
    by_channel = given.mean(axis=(0, 1), keepdims=True)
    by_record = given.mean(axis=1, keepdims=True)
    parts = np.array([by_channel.var(), ((by_record - by_channel) ** 2).mean(), ((given - by_record) ** 2).mean()])
    return parts / max(parts.sum(), 1e-30)


@torch.no_grad()
def logits_with_constant_gates(model: nn.Module, x: Tensor) -> np.ndarray:
    """Logits [R, K] when every gate gives each channel's mean over all records and tokens of x, whatever it is shown."""
    held = {level: found.mean(dim=(0, 1), keepdim=True) for level, found in gate_values(model, x).items()}
    handles = [gate.register_forward_hook(lambda _, __, output, level=level: held[level].expand_as(output))
               for level, gate in gates(model).items()]
    try:
        return model(x).numpy()
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def moved_by_constant_gates(model: nn.Module, x: Tensor) -> np.ndarray:
    """How far constant gates move the logit of each class [K]: root mean square, in standard deviations of the logit over records."""
    logits = model(x).numpy()
    moved = logits_with_constant_gates(model, x) - logits
    return np.sqrt((moved**2).mean(axis=0)) / np.maximum(logits.std(axis=0), 1e-12)


def around_beats(given: np.ndarray, simulation: Simulation) -> tuple[np.ndarray, np.ndarray]:
    """Seconds from the R-peak [S], and how far a gate is from its channel's mean there: root mean square over channels [S].

    given: [R, N, C]. Each step is the mean over all tokens whose middle falls into it, of all beats; only then over channels, so that
    what is not tied to the beat cancels. NaN where there is no token.
    """
    steps = np.arange(AROUND[0], AROUND[1] + BIN / 2, BIN)                              # the edges
    total, count = np.zeros((len(steps) - 1, given.shape[2])), np.zeros(len(steps) - 1)
    middle = (TOKEN * np.arange(given.shape[1]) + (TOKEN - 1) / 2) / simulation.fs
    departure = given - given.mean(axis=(0, 1))
    for record, r in simulation.beats[["record", "r"]].itertuples(index=False):
        place = np.digitize(middle - r, steps) - 1
        inside = (place >= 0) & (place < len(count))
        np.add.at(total, place[inside], departure[int(record), inside])
        np.add.at(count, place[inside], 1)
    mean = np.divide(total, count[:, None], out=np.full_like(total, np.nan), where=count[:, None] > 0)
    return (steps[:-1] + steps[1:]) / 2, np.sqrt((mean**2).mean(axis=1))


# -- pictures -----------------------------------------------------------------------------------------------------------

def gate_figure(seen: Subject, found: Comparison) -> Figure:
    """Under the trace, for each level: what its gate gives to every channel over time, and what either row brings to the sum."""
    x = seen.x[SHOWN:SHOWN + 1]
    given, brought = values(seen.model, x), contributions(seen.model, x)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1 + len(given), 2, figsize=(11, 1.8 + 1.75 * len(given)), layout="constrained", sharex=True,
                                    width_ratios=[1.25, 1])
        for axis in axes[0]:
            _trace(axis, seen.simulation)
        axes[0, 1].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=9, borderaxespad=0.1)
        for (heat, lines), (level, gate) in zip(axes[1:], given.items(), strict=True):
            drawn = _heat(heat, gate[0], level)
            _lines(lines, *brought[level])
        figure.colorbar(drawn, ax=axes[1:, 0].tolist(), label="gate", pad=0.01, ticks=[LIMITS[0], 0.4, 0.5, 0.6, LIMITS[1]],
                        format="{x:.2f}", aspect=30)
        axes[1, 1].legend(loc="upper right", fontsize=9, ncols=2)
        axes[-1, 0].set_xlabel("time (s)")
        axes[-1, 1].set_xlabel("time (s)")
        figure.suptitle(f"Left the gates, right what they let through ({seen.weights}; a simulated record)", fontsize=11, x=0.01, ha="left")
        save_picture(figure, found.page.request)
        return closed(figure)


def _trace(axis: Axes, simulation: Simulation) -> None:
    times, trace = np.arange(simulation.signals.shape[-1]) / simulation.fs, simulation.signals[SHOWN, TRACE]
    axis.plot(times, trace - np.median(trace), color=INK, lw=0.9)
    beats = simulation.beats[simulation.beats["record"] == SHOWN]
    for wave, (on, off) in WAVES.items():
        for i, (begin, end) in enumerate(beats[[on, off]].dropna().itertuples(index=False)):
            axis.axvspan(begin, end, color=WAVE_COLOURS[wave], alpha=0.22, lw=0, label=wave if i == 0 else None)
    axis.set(xlim=(BEGIN, BEGIN + SECONDS), ylabel="II (mV)")
    axis.set_title(simulated.named(simulation, SHOWN), fontsize=10, loc="left")


def _heat(axis: Axes, gate: np.ndarray, level: int) -> object:
    """Every channel of a gate [N, C] over time, channels in the order of their mean."""
    ordered = gate[:, np.argsort(gate.mean(axis=0))].T
    axis.set(ylabel=f"level {level}\nchannel", yticks=[])
    return axis.imshow(ordered, aspect="auto", cmap="RdBu_r", norm=Normalize(*LIMITS), interpolation="nearest", origin="lower",
                       extent=(0, gate.shape[0] * TOKEN / SIGNAL.fs, 0, len(ordered)))


def _lines(axis: Axes, fine: np.ndarray, coarse: np.ndarray) -> None:
    """What either row brings, each [1, N], as steps one token wide."""
    edges = np.arange(fine.shape[1] + 1) * TOKEN / SIGNAL.fs
    axis.stairs(fine[0], edges, color=MEASURED, lw=1.5, label="fine, through the gate", baseline=None)
    axis.stairs(coarse[0], edges, color=COARSE, lw=1.5, label="coarse", baseline=None)
    top = 1.35 * max(fine.max(), coarse.max())
    axis.set(ylim=(0, top), ylabel="RMS")
    axis.grid(color="#e5e5e5", lw=0.8)


def constancy_figure(seen: Subject) -> Figure:
    """Left, how a gate departs from its mean around the R-peak; middle, how its variance divides; right, what constant gates change."""
    after, before = values(seen.model, seen.x), values(seen.untrained, seen.x)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(11, 3.9), layout="constrained", width_ratios=[1.35, 1, 1])
        shades = plt.get_cmap("Blues")(np.linspace(0.45, 0.95, len(after)))
        for shade, (level, given) in zip(shades, after.items(), strict=True):
            axes[0].plot(*around_beats(given, seen.simulation), color=shade, lw=1.8, label=f"level {level}")
        for i, given in enumerate(before.values()):
            axes[0].plot(*around_beats(given, seen.simulation), color=GREY, lw=1, ls="--", label=None if i else "before training")
        axes[0].set(xlabel="seconds from the R-peak", ylabel="departure of the gate, RMS", xlim=AROUND, ylim=(0, None))
        axes[0].legend(fontsize=9, loc="upper right")
        axes[0].grid(color="#e5e5e5", lw=0.8)
        _shares(axes[1], {level: variance_shares(given) for level, given in after.items()})
        moved = moved_by_constant_gates(seen.model, seen.x)
        axes[2].barh(-np.arange(len(moved)), moved, 0.6, color=MEASURED)
        axes[2].set_yticks(-np.arange(len(moved)), _names(seen, len(moved)), fontsize=9)
        axes[2].set(xlabel="logit moved by constant gates (SD)")
        figure.suptitle(f"Is a gate more than a constant? ({seen.weights}; simulated records)", fontsize=11, x=0.01, ha="left")
        return closed(figure)


def _names(seen: Subject, n_classes: int) -> list[str]:
    names = list(seen.simulation.classes)
    return names if len(names) == n_classes else [f"class {k}" for k in range(1, n_classes + 1)]


def _shares(axis: Axes, shares: Mapping[int, np.ndarray]) -> None:
    bottom = np.zeros(len(shares))
    places = [f"level {level}" for level in shares]
    for i, (part, colour) in enumerate(zip(PARTS, ("#c9c9c9", "#9bbfe0", MEASURED), strict=True)):
        heights = np.array([each[i] for each in shares.values()])
        axis.bar(places, heights, 0.6, bottom=bottom, color=colour, label=part)
        bottom += heights
    axis.set(ylabel="share of the gate's variance", ylim=(0, 1))
    axis.legend(fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1)


def in_words(seen: Subject) -> str:
    """What the pictures show, as Markdown, from their own numbers."""
    given = values(seen.model, seen.x)
    shares = np.mean([variance_shares(each) for each in given.values()], axis=0)
    lowest, highest = min(each.min() for each in given.values()), max(each.max() for each in given.values())
    fine, coarse = contributions(seen.model, seen.x)[len(seen.model.levels)]
    moved = moved_by_constant_gates(seen.model, seen.x)
    return (f"**Gates** ({seen.weights}). "
            f"On {len(seen.x)} simulated records they lie between {lowest:.3f} and {highest:.3f}, of the possible "
            f"{LIMITS[0]:.3f} to {LIMITS[1]:.3f}. Of their variance {100 * shares[0]:.0f} % lies between channels, {100 * shares[1]:.0f} % "
            f"between records and {100 * shares[2]:.0f} % over time within a record (mean of the levels).\n\n"
            f"**Rows.** In the last level the fine row brings {np.median(fine / coarse):.2f} times as much as the coarse one (median over "
            "tokens, root mean squares over channels).\n\n"
            f"**Constant gates.** With each gate held at its channels' means, the median class has its logit moved by "
            f"{np.median(moved):.2f} of the standard deviation that it has from record to record. That is all that the gates' change over "
            "time and between records adds to this network's answers. A network trained with constant gates was not tried.")
