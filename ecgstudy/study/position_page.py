"""Page 05, the position encodings: what each adds, drawn from its weights, and how the networks take moved and longer records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from torch import nn

from ecgstudy.data.labels import SIMULATED, label_set
from ecgstudy.evaluate.bootstrap import difference_p_value, holm
from ecgstudy.layers.attention.mhsa import MHSA
from ecgstudy.layers.convs import DepthwiseConv
from ecgstudy.layers.positions import ConditionalPosition
from ecgstudy.models import build_model
from ecgstudy.study import tables
from ecgstudy.study.axis_page import SIGNAL, Comparison
from ecgstudy.study.comparison import Difference
from ecgstudy.study.figures import GREY, INK, MARKS, MEASURED, STYLE
from ecgstudy.study.names import readable
from ecgstudy.study.probes import CLEAN, Probe, Probing, Score, macro_auroc, mean, probe_all, weights
from ecgstudy.train.checkpoint import load_weights
from ecgstudy.train.seeds import scoped_seed

SHIFTS, LENGTHS, RECORDED = (1.0, 4.0), (15.0, 20.0), 20.0         # seconds
TOKEN = 0.04                # seconds of one token of stage 3
NOTHING = "No run of this page could be probed: neither weights nor stored probes are at hand."
KERNELS = ("cpe", "lepe", "lepe_5", "value")


# -- what each encoding adds ---------------------------------------------------------------------------------------------

def networks(found: Comparison) -> tuple[dict[str, nn.Module], str]:
    """The network of each encoding at the page's size, and whose weights they have, in words: those of the page's first seed where
    all are at hand, else fresh ones."""
    page, first = found.page, {row.value: row.runs[0] for row in found.rows}
    n_classes, size = len(label_set(page.request.dataset, page.request.task).classes), page.request.size
    trained = set(first) >= set(page.names) and all(weights(first[name]).is_file() for name in page.names)
    models = {}
    for name in page.names:
        with scoped_seed(0):
            models[name] = build_model("inception_former", SIGNAL, n_classes, **page.axis.variants[name].all_settings(size)).eval()
        if trained:
            load_weights(weights(first[name]), models[name])
    return models, "trained, the page's first seed" if trained else "fresh weights, not trained"


def first_of(model: nn.Module, kind: type[nn.Module]) -> nn.Module:
    """The first module of a kind, in the order in which the signal meets them."""
    return next(module for module in model.modules() if isinstance(module, kind))


@torch.no_grad()
def place_vectors(model: nn.Module) -> np.ndarray:
    """What an encoding that is added once adds to each token of stage 3, [N, C]: what it makes of tokens of zeros."""
    return model.entries[2](torch.zeros(1, SIGNAL.n_samples // 4, model.fusions[1].conv.out_channels))[0].numpy()


def similarity(vectors: np.ndarray) -> np.ndarray:
    """The cosine of every two places' vectors, [N, N]."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


@torch.no_grad()
def bias_curves(model: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """The distances i - j in seconds [2N - 1] and the bias of each head at each of them [H, 2N - 1], first attention of stage 3."""
    relative = first_of(model, MHSA).relative
    distance = np.arange(-relative.largest, relative.largest + 1) * TOKEN
    return distance, relative.table.T.numpy()


def local_convolution(model: nn.Module) -> DepthwiseConv:
    """The depth-wise convolution of an encoding, in or before the first attention of stage 3."""
    attention = first_of(model, MHSA)
    return attention.local_value or attention.local_output or first_of(model, ConditionalPosition).local


@torch.no_grad()
def answers(convolve: nn.Module, n_tokens: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """What a depth-wise convolution gives, less its bias: for one token of ones among zeros, [N, C], and for ones everywhere, [N, C]."""
    bias = convolve(torch.zeros(1, n_tokens, convolve.conv.in_channels))[0]
    tokens = torch.zeros(2, n_tokens, convolve.conv.in_channels)
    tokens[0, n_tokens // 2], tokens[1] = 1.0, 1.0
    impulse, constant = convolve(tokens) - bias
    return impulse.numpy(), constant.numpy()


def mechanisms(found: Comparison) -> Figure:
    """One panel an encoding: similarity of places, bias over distance, or the answer of its convolution; last, what the ends show."""
    models, whose = networks(found)
    drawn = [name for name in models if name != "none"]
    with plt.rc_context(STYLE):
        rows = -(-(len(drawn) + 1) // 4)
        figure, axes = plt.subplots(rows, 4, figsize=(9.5, 2.9 * rows), layout="constrained", squeeze=False)
        for axis in axes.flat[len(drawn):]:
            axis.set_axis_off()
        for axis, name in zip(axes.flat, drawn, strict=False):
            axis.set_title(readable(name))
            if name in KERNELS:
                _draw_taps(axis, local_convolution(models[name]))
            elif name == "relative":
                _draw_bias(axis, models[name])
            else:
                image = axis.imshow(similarity(place_vectors(models[name])), cmap="RdBu_r", vmin=-1, vmax=1, extent=(0, 10, 10, 0))
                axis.set(xlabel="place of one token (s)", ylabel="of another (s)", xticks=[0, 5, 10], yticks=[0, 5, 10])
                axis.spines[["top", "right"]].set_visible(True)
                figure.colorbar(image, ax=axis, location="bottom", label="cosine", ticks=[-1, 0, 1])
        if kernels := [name for name in drawn if name in KERNELS]:
            _draw_ends(axes.flat[len(drawn)], {name: local_convolution(models[name]) for name in kernels})
        figure.suptitle(f"What each encoding adds in stage 3 ({whose})", fontsize=11, x=0.01, ha="left")
        return figure


def _draw_bias(axis: Axes, model: nn.Module) -> None:
    distance, curves = bias_curves(model)
    axis.plot(distance, curves.T, color=GREY, lw=0.4, alpha=0.7)
    axis.plot(distance, curves.mean(axis=0), color=MEASURED, lw=1.2)
    axis.axhline(0, color=INK, lw=0.6)
    axis.set(xlabel="query minus key (s)", ylabel="added to the score", xlim=(distance[0], distance[-1]))


def _draw_taps(axis: Axes, convolve: DepthwiseConv) -> None:
    impulse, _ = answers(convolve)
    middle, half = len(impulse) // 2, convolve.conv.kernel_size[1] // 2 + 1
    offset = np.arange(-half, half + 1)
    axis.plot(offset * TOKEN * 1000, impulse[middle - half:middle + half + 1], color=GREY, lw=0.4, alpha=0.35)
    axis.plot(offset * TOKEN * 1000, np.sqrt((impulse[middle - half:middle + half + 1] ** 2).mean(axis=1)), "o-", color=MEASURED, ms=4)
    axis.axhline(0, color=INK, lw=0.6)
    axis.set(xlabel="distance (ms)", ylabel="answer to one token", xticks=offset[1:-1:max(1, half - 1)] * TOKEN * 1000)


def _draw_ends(axis: Axes, convolutions: dict[str, DepthwiseConv]) -> None:
    """How far the answer to equal tokens differs from that in the middle: where it does, a token shows where it stands."""
    axis.set_axis_on()
    for i, (name, convolve) in enumerate(convolutions.items()):
        _, constant = answers(convolve)
        apart = np.sqrt(((constant - constant[len(constant) // 2]) ** 2).mean(axis=1))[:5]
        axis.plot(np.arange(5), apart, marker=MARKS[i], ms=5, lw=1.2, label=readable(name))
    axis.set(title="what the ends show", xlabel="token from the start", ylabel="apart from the middle", xticks=range(5))
    axis.set_ylim(top=1.7 * axis.get_ylim()[1])         # room for the legend
    axis.legend(fontsize=8, loc="upper right", handlelength=1.2, borderaxespad=0)


# -- moved and longer records --------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Change:
    """A change of the record, as the difference of two probes. short: a column's head. long: in a sentence."""

    short: str
    long: str
    probe: Probe
    reference: Probe = CLEAN


def changes(dataset: str, smoke: bool) -> tuple[Change, ...]:
    """What is done to the records. Moving is measured against the same loss without the move."""
    chosen = [Change(f"moved by {s:g} s", f"moving the window by {s:g} s", Probe("shift", s), Probe("blank", s))
              for s in (SHIFTS[-1:] if smoke else SHIFTS)]
    chosen += [Change(f"padded to {s:g} s", f"padding to {s:g} s", Probe("length", s)) for s in (LENGTHS[-1:] if smoke else LENGTHS)]
    if dataset in SIMULATED:
        chosen.append(Change(f"recorded for {RECORDED:g} s", f"recording the same patients for {RECORDED:g} s",
                             Probe("recording", RECORDED)))
    return tuple(chosen)


@dataclass(frozen=True)
class Robustness:
    """How every encoding takes the changes, on the validation fold."""

    changes: tuple[Change, ...]
    probing: Probing
    baseline: str

    @cached_property
    def by_run(self) -> dict[tuple[str, int], dict[Probe, Score]]:
        """{(encoding, seed): {probe: score}}"""
        return macro_auroc({(name, entry.experiment.seed): [entry] for name, group in self.probing.groups.items() for entry in group})

    def seeds(self, name: str) -> list[int]:
        return sorted(seed for each, seed in self.by_run if each == name)

    def score(self, name: str, probe: Probe) -> Score:
        """Mean over the seeds of an encoding."""
        return mean([self.by_run[name, seed][probe] for seed in self.seeds(name)])

    def change(self, name: str, change: Change) -> Score:
        return self.score(name, change.probe) - self.score(name, change.reference)

    @cached_property
    def against_baseline(self) -> dict[tuple[str, Change], Difference]:
        """An encoding's change less the baseline's, on the seeds that both have; p after Holm over all of these."""
        found = {}
        for name in self.probing.groups:
            shared = sorted(set(self.seeds(name)) & set(self.seeds(self.baseline)))
            if name == self.baseline or not shared:
                continue
            for change in self.changes:
                found[name, change] = [_taken(self.by_run[name, seed], change) - _taken(self.by_run[self.baseline, seed], change)
                                       for seed in shared]
        corrected = holm([difference_p_value(mean(by_seed).draws) for by_seed in found.values()])
        return {key: Difference(mean(by_seed).interval, p, len(by_seed), len({np.sign(each.estimate) for each in by_seed}) == 1)
                for (key, by_seed), p in zip(found.items(), corrected, strict=True)}

    def table(self) -> Styler:
        """The score of each encoding on records as they are, and what each change adds to it."""
        lines = []
        for name in self.probing.groups:
            line = {("", "position encoding"): readable(name),
                    ("validation macro-AUROC", "as recorded"): tables.show_interval(self.score(name, CLEAN).interval, joint="<br>")}
            for change in self.changes:
                line["change", change.short] = tables.show_interval(self.change(name, change).interval, True, "<br>")
            lines.append(line)
        if not lines:
            return tables.style(pd.DataFrame(), NOTHING)
        table = pd.DataFrame(lines)
        table.columns = pd.MultiIndex.from_tuples(table.columns)
        seeds = sorted({len(group) for group in self.probing.groups.values()})
        return tables.style(table, f"Validation fold; {' to '.join(map(str, seeds))} seed{'s' * (seeds != [1])}. [95 % interval over "
                                   "patients, paired.] Moved: against the same seconds blanked in place. The others: against the record "
                                   "as it is.")

    def figure(self) -> Figure:
        """Macro-AUROC against seconds lost and against length, and below it the changes that are read."""
        if not self.probing.groups:
            return _nothing_to_draw()
        with plt.rc_context(STYLE):
            figure, axes = plt.subplots(2, 2, figsize=(9.5, 7.2), layout="constrained", height_ratios=[1, 1.1])
            self._draw_scores(axes[0, 0], Probe("shift", 0.0), "seconds lost at the start (moved)")
            self._draw_scores(axes[0, 1], Probe("length", 10.0), "seconds of input (zeros after ten)")
            for axis, kind, title in ((axes[1, 0], "shift", "moving alone"), (axes[1, 1], "length", "longer input")):
                if drawn := [each for each in self.changes if (each.probe.kind == "shift") == (kind == "shift")]:
                    self._draw_changes(axis, drawn, title)
            axes[0, 0].set_ylabel("validation macro-AUROC")
            figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
            figure.suptitle("Moved and longer records", fontsize=11, x=0.01, ha="left")
            return figure

    def _draw_scores(self, axis: Axes, start: Probe, label: str) -> None:
        """Lines from the clean score, which stands at `start`; dotted, for the baseline, the same seconds blanked in place."""
        asked = [each.probe for each in self.changes if each.probe.kind == start.kind]
        places = [start.value, *(probe.value for probe in asked)]
        for i, name in enumerate(self.probing.groups):
            style = {"color": plt.get_cmap("tab10").colors[i % 10], "marker": MARKS[i % len(MARKS)], "ms": 5, "lw": 1.4}
            axis.plot(places, [self.score(name, probe).estimate for probe in (CLEAN, *asked)], label=readable(name), **style)
        if self.baseline in self.probing.groups:
            clean = self.score(self.baseline, CLEAN).interval
            axis.axhspan(clean.low, clean.high, color=GREY, alpha=0.15, lw=0, label=f"{readable(self.baseline)}: as recorded, 95 %")
            kept = [CLEAN, *(each.reference for each in self.changes if each.probe.kind == start.kind)]
            if start.kind == "shift":
                axis.plot(places, [self.score(self.baseline, probe).estimate for probe in kept], ":", color=INK, lw=1.4,
                          label=f"{readable(self.baseline)}: blanked in place")
        axis.set(xlabel=label, xticks=places)
        axis.grid(axis="y", color="#e5e5e5", lw=0.8)

    def _draw_changes(self, axis: Axes, drawn: Sequence[Change], title: str) -> None:
        names = list(self.probing.groups)
        places = np.arange(len(names))[::-1]
        for i, change in enumerate(drawn):
            for place, name in zip(places, names, strict=True):
                found, at = self.change(name, change).interval, place + 0.22 * ((len(drawn) - 1) / 2 - i)
                colour = (MEASURED, INK, "#b3541e")[i]
                axis.plot([found.low, found.high], [at, at], color=colour, lw=1.6, solid_capstyle="round")
                axis.plot(found.estimate, at, MARKS[i], color=colour, ms=5, label=change.short if place == 0 else None)
        axis.axvline(0, color=GREY, lw=0.8)
        axis.set(title=title, xlabel="change of macro-AUROC, 95 %")
        axis.set_yticks(places, [readable(name) for name in names])
        axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=len(drawn))

    def reading(self) -> str:
        """What the changes allow one to say, as Markdown, with the gaps."""
        if not self.probing.groups:
            return self.probing.gaps()
        parts = [self._told(change) for change in self.changes]
        return "**Moved and longer records.** " + " ".join(parts) + f"\n\n{self.probing.gaps()}" * bool(self.probing.missing)

    def _told(self, change: Change) -> str:
        found = {name: self.change(name, change).interval for name in self.probing.groups}
        low, high = min(found, key=lambda name: found[name].estimate), max(found, key=lambda name: found[name].estimate)
        text = (f"{change.long[0].upper()}{change.long[1:]} changes the score by {tables.show(found[low].estimate, signed=True)} (`{low}`) "
                f"to {tables.show(found[high].estimate, signed=True)} (`{high}`)")
        verdicts = {name: difference for (name, of), difference in self.against_baseline.items() if of == change}
        if not verdicts:
            return f"{text}; `{self.baseline}` or its rivals are not among the probed."
        told = [f"`{name}` takes it {difference.verdict} than `{self.baseline}` ({tables.show_interval(difference.interval, True)})"
                for name, difference in verdicts.items() if difference.verdict != "undecided"]
        return f"{text}; " + (", ".join(told) if told else f"no encoding can be told from `{self.baseline}` in this") + "."


def _nothing_to_draw() -> Figure:
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(9.5, 0.8))         # with an axis: a notebook shows no figure without one
        axis.set_axis_off()
        axis.text(0.0, 0.5, NOTHING, va="center", transform=axis.transAxes)
        return figure


def _taken(scores: dict[Probe, Score], change: Change) -> Score:
    return scores[change.probe] - scores[change.reference]


def robustness(found: Comparison) -> Robustness:
    """Probe every run of the page, or read what is stored."""
    request = found.page.request
    chosen = changes(request.dataset, request.size.name == "smoke")
    asked = [probe for change in chosen for probe in (change.probe, change.reference)]
    return Robustness(chosen, probe_all(found, asked), found.page.axis.baseline)
