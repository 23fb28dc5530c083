"""SE-ECGNet's page: the record as the image that the network sees, and what its gates do class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from ecgstudy.layers.map_gate import MapSqueezeExcite
from ecgstudy.leads import LEADS
from ecgstudy.study import axis_page, figures, paper_page, tables
from ecgstudy.study.axis_page import Comparison
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE
from ecgstudy.study.ledger import Run
from ecgstudy.study.papers.validation import ValidationRecords, validation_records

WANTED = ("PVC", "RBBB", "CRBBB")   # classes of the image's record, the first that the fold has
FEWEST = 3                          # records of a class before its mean gate is shown
SHUFFLES = 20                       # of the records' labels, for what chance alone would spread
SPACING = 1.6                       # mV between two leads of the traces
COLOURS = (MEASURED, "#b3541e", "#2e9e5b")


@dataclass(frozen=True, eq=False)
class Evidence:
    """The trained network beside the validation records that its pictures show. run: None where the weights are fresh."""

    model: nn.Module
    run: Run | None
    records: ValidationRecords

    @property
    def whose(self) -> str:
        """Whose weights a picture shows, for its title."""
        return paper_page.whose_weights(self.run)

    @cached_property
    def gates(self) -> dict[str, np.ndarray]:
        """The factors of every gate on every record: module's name -> [R, C], in the order in which a record passes them."""
        return gate_weights(self.model, list(self.records.batches()))


def gather(found: Comparison) -> Evidence:
    """The page's trained network, if its weights are at hand, and validation records."""
    model, run = paper_page.trained(found)
    return Evidence(model, run, validation_records(found, run))


def gate_weights(model: nn.Module, batches: Sequence[Tensor]) -> dict[str, np.ndarray]:
    """The factors that each squeeze-and-excitation gate of a network gives the channels of each record: name -> [R, C]."""
    found: dict[str, list[Tensor]] = {}

    def keep(name: str):
        def hook(gate: MapSqueezeExcite, received: tuple[Tensor, ...]) -> None:
            found.setdefault(name, []).append(gate.weights(received[0]))
        return hook

    handles = [module.register_forward_pre_hook(keep(name)) for name, module in model.named_modules()
               if isinstance(module, MapSqueezeExcite)]
    try:
        with torch.no_grad():
            for x in batches:
                model(x)
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}


# -- the record as an image ---------------------------------------------------------------------------------------------

def image_figure(seen: Evidence, found: Comparison) -> Figure:
    """One record three times on one time axis: as traces, as the grey image that the network gets, and after the stem."""
    row, k = seen.records.example(seen.model, WANTED)
    x, millivolts = seen.records.scaled[row:row + 1], seen.records.millivolts[row]
    with torch.no_grad():
        maps = seen.model.stem(x.unsqueeze(1))[0]                                           # [C, L, T / 2]
    channel = int(maps.flatten(1).std(dim=1).argmax())
    seconds = x.shape[-1] / seen.records.fs
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(3, 1, figsize=(10, 9.6), layout="constrained", height_ratios=[1.7, 1, 1], sharex=True)
        _traces(axes[0], millivolts, seen.records.fs)
        for axis, image, label in ((axes[1], x[0].numpy(), "input, in deviations"), (axes[2], maps[channel].numpy(), "output")):
            low, high = np.percentile(image, [0.5, 99.5])
            drawn = axis.imshow(image, aspect="auto", cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest",
                                extent=(0, seconds, len(LEADS) - 0.5, -0.5))
            axis.set_yticks(range(len(LEADS)), LEADS, fontsize=8)
            figure.colorbar(drawn, ax=axis, label=label, pad=0.01, extend="both")
        axes[0].set_title("for a reader: twelve traces")
        axes[1].set_title("for the network: one grey image of twelve rows")
        axes[2].set_title(f"after the stem: one of its {len(maps)} channels, the one that varies most")
        axes[2].set(xlabel="time (s)", xlim=(0, seconds))
        figure.suptitle(f"A record with {seen.records.classes[k]} ({seen.whose})", fontsize=11, x=0.01, ha="left")
    axis_page.save_picture(figure, found.page.request)
    return figures.closed(figure)


def _traces(axis: Axes, millivolts: np.ndarray, fs: float) -> None:
    """Twelve leads under each other, each from its own median, with 1 mV at the right."""
    time = np.arange(millivolts.shape[1]) / fs
    for i, lead in enumerate(millivolts):
        axis.plot(time, lead - np.median(lead) - SPACING * i, color=INK, lw=0.7)
    axis.plot([1.01 * time[-1]] * 2, [-SPACING * 6 - 0.5, -SPACING * 6 + 0.5], color=INK, lw=2, clip_on=False)
    axis.text(1.02 * time[-1], -SPACING * 6, "1 mV", va="center", fontsize=9)
    axis.set_yticks([-SPACING * i for i in range(len(LEADS))], LEADS, fontsize=8)
    axis.set_ylim(-SPACING * (len(LEADS) - 0.2), SPACING * 1.2)
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)


# -- gates by class -----------------------------------------------------------------------------------------------------

def class_means(weights: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Mean factor of each channel over the records of each class: weights [R, C], targets [R, K] -> [K, C]; NaN below FEWEST records."""
    counts = targets.sum(axis=0)
    means = targets.T @ weights.astype(np.float64) / np.maximum(counts, 1)[:, None]
    means[counts < FEWEST] = np.nan
    return means


def spread(weights: np.ndarray, targets: np.ndarray) -> float:
    """How far the classes lie apart in a gate: standard deviation over classes of the mean factor, mean over channels."""
    means = class_means(weights, targets)
    means = means[~np.isnan(means).any(axis=1)]
    return float(means.std(axis=0).mean()) if len(means) > 1 else float("nan")


def spreads(seen: Evidence) -> dict[str, tuple[float, float]]:
    """Of each gate the spread over classes, and its mean when the labels are shuffled among the records."""
    targets, random = seen.records.targets, np.random.default_rng(0)
    orders = [random.permutation(len(targets)) for _ in range(SHUFFLES)]
    return {name: (spread(weights, targets), float(np.mean([spread(weights, targets[order]) for order in orders])))
            for name, weights in seen.gates.items()}


def last_gates(names: Sequence[str], branch: int) -> tuple[str, str]:
    """The last gate of a branch's two-dimensional part and that of its one-dimensional part."""
    return tuple([name for name in names if name.startswith(f"branches.{branch}.{part}.")][-1] for part in ("by_lead", "mixed"))


def gate_figure(seen: Evidence) -> Figure:
    """Two gates of the middle branch, class by class: the mean factor of each channel, minus its mean over all records."""
    counts = seen.records.targets.sum(axis=0)
    middle = len(seen.model.branches) // 2
    kernel = seen.model.branches[middle].by_lead[0].chain[0][-1].kernel_size[1]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(11, 0.36 * len(counts) + 2.0), layout="constrained", sharey=True, width_ratios=[1, 2])
        for axis, name, part in zip(axes, last_gates(list(seen.gates), middle), ("image part", "one-dimensional part"), strict=True):
            weights = seen.gates[name]
            change = class_means(weights, seen.records.targets) - weights.mean(axis=0)
            order = np.argsort(-np.nan_to_num(change).std(axis=0), kind="stable")
            largest = max(np.nanmax(np.abs(change), initial=0.0), 1e-6)
            drawn = axis.imshow(change[:, order], aspect="auto", cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
            axis.set_facecolor("#dddddd")
            axis.set(title=f"last gate of the {part}", xlabel=f"its {len(order)} channels, most different first", xticks=[])
            figure.colorbar(drawn, ax=axis, label="factor, minus its mean", pad=0.02)
        axes[0].set_yticks(range(len(counts)), [f"{name} ({n})" for name, n in zip(seen.records.classes, counts, strict=True)])
        figure.suptitle(f"What the gates do class by class, branch of kernel {kernel} ({seen.whose})", fontsize=11, x=0.01, ha="left")
        return figure


def depth_figure(seen: Evidence) -> Figure:
    """The spread over classes of every gate from the stem to the end, branch by branch, beside what shuffled labels give."""
    found = spreads(seen)
    shared = [name for name in found if name.startswith("shrink.")]
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(10, 4.2), layout="constrained")
        for i, branch in enumerate(seen.model.branches):
            own = [name for name in found if name.startswith(f"branches.{i}.")]
            path = [*shared, *own]
            kernel = branch.by_lead[0].chain[0][-1].kernel_size[1]
            axis.plot(range(len(path)), [found[name][0] for name in path], "-o", color=COLOURS[i % len(COLOURS)], ms=5, lw=1.5,
                      label=f"branch of kernel {kernel}")
            axis.plot(range(len(path)), [found[name][1] for name in path], color=GREY, lw=1, ls="--",
                      label="labels shuffled" if i == 0 else None)
        two = len(shared) + sum(name.startswith("branches.0.by_lead.") for name in found)
        for place, words in ((len(shared) - 0.5, "branches part"), (two - 0.5, "leads are mixed")):
            axis.axvline(place, color=GREY, lw=0.8, ls=":")
            axis.text(place + 0.08, 0.98, words, fontsize=9, color=INK, va="top", transform=axis.get_xaxis_transform())
        axis.set(xlabel="gate, in the order of the network", ylabel="SD of the mean factor over classes", xticks=range(len(path)))
        axis.set_xticklabels(range(1, len(path) + 1))
        axis.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=4, fontsize=9)
        figure.suptitle(f"Where the gates tell classes apart ({seen.whose})", fontsize=11, x=0.01, ha="left")
        return figure


def paper_scores() -> str:
    """What the paper's abstract reports, grey, as Markdown."""
    told = tables.reported("papers")["se_ecgnet"]
    numbers = [f'<span style="color:#8a8a8a">{100 * told[name]:.1f} %</span>' for name in ("mit_bih_f1", "alibaba_f1")]
    return (f"**What the paper reports.** An F1 of {numbers[0]} on the MIT-BIH arrhythmia records and of {numbers[1]} on the Alibaba "
            "records with 34 labels. Its code takes the F1 over all pairs of record and label together, on the records that choose the "
            "epoch. Common labels rule such a number and it flatters, so it is no reference for the macro-F1 above.")


def words(seen: Evidence) -> str:
    """What the gates say, as Markdown, from the numbers of this page."""
    found = spreads(seen)
    counted = {name: pair for name, pair in found.items() if np.isfinite(pair).all()}
    if not counted:
        return "**The gates.** Too few records of more than one class to compare them."
    above = sum(apart > chance for apart, chance in counted.values())
    first, last = (counted[name] for name in (next(iter(counted)), list(counted)[-1]))
    return (f"**The gates.** In {above} of {len(counted)} gates the classes lie farther apart than with shuffled labels. The first gate "
            f"spreads them by {first[0]:.4f} (shuffled {first[1]:.4f}), the last of the last branch by {last[0]:.4f} (shuffled "
            f"{last[1]:.4f}).")
