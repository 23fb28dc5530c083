"""CPC's page: what one anchor expects on one record, how far ahead the network recognises what comes, and how many labels that saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from torch import Tensor, nn

from ecgstudy.evaluate.bootstrap import holm
from ecgstudy.leads import LEADS
from ecgstudy.models.cpc_ssl import CPC
from ecgstudy.models.registry import build_pretrainer, model_entry
from ecgstudy.models.sampling import at_rate
from ecgstudy.study import axis_page, pretraining, tables
from ecgstudy.study.axis_page import SIGNAL, Comparison
from ecgstudy.study.comparison import FEWEST_SEEDS, Difference, Row, compare
from ecgstudy.study.complexity import count_parameters
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE, closed
from ecgstudy.study.papers.validation import ValidationRecords, validation_records
from ecgstudy.study.pretraining import Pretrained
from ecgstudy.study.tables import NOTES, show_interval, show_p
from ecgstudy.train.objectives import settings_of
from ecgstudy.train.objectives.cpc import Draw, draw, recognised, scores
from ecgstudy.train.seeds import torch_generator

STEPS = (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 25, 32, 40, 50, 65, 80, 100, 130, 160, 200)
ANCHORS, BATCH, MOST = 100, 16, 64  # anchors a record and step; records at a time, and in all
SEED = 12                           # of the draws behind the curve
NORMAL = ("Normal", "NORM", "SR")   # classes of whose first record the example is taken, the first that there is
LOOKED_AT = (4.0, 6.0)              # seconds between which the example's QRS is looked for
HIGHEST = 10                        # samples marked on the example's trace
EXPECTED = {"study": 5_261_312, "compact": 1_319_936}       # parameters in pretraining, by the official code
PERCENTS = (1, 10, 100)
# how the network came to its classifier -> the row with so many per cent of the labels, colour, mark
WAYS = {"fine-tuned": ("cpc_tuned_{}", MEASURED, "o"), "linear probe": ("cpc_probe_{}", "#2e9e5b", "s"),
        "from scratch": ("cpc_ssl_scratch_{}", "#b3541e", "^")}


@dataclass(frozen=True, eq=False)
class Subject:
    """The pretraining network with its weights and untrained, beside validation records.

    distance, distractors: those of the loss that it was trained by; the distance in samples of the records.
    """

    pretrained: Pretrained
    records: ValidationRecords
    distance: int
    distractors: int

    @property
    def seconds(self) -> float:
        """How far ahead the network was trained to look."""
        return self.distance / self.records.fs

    @property
    def chance(self) -> float:
        """How often a guess is right."""
        return 1 / (1 + self.distractors)

    @property
    def steps(self) -> list[int]:
        """The distances of the curve, in samples; that of the loss is one of them."""
        return sorted({*STEPS, self.distance})

    @property
    def pair(self) -> dict[str, CPC]:
        """The networks that a picture compares; one alone where nothing was pretrained."""
        trained = {"pretrained": self.pretrained.model} if self.pretrained.run else {}
        return trained | {"fresh weights": self.pretrained.untrained}


def gather(found: Comparison) -> Subject:
    """The page's pretraining network, with its weights if they are at hand, and validation records."""
    pretrained = pretraining.pretrained(found, *(WAYS[way][0].format(percent) for way in ("fine-tuned", "linear probe")
                                                 for percent in PERCENTS))
    settings = settings_of("cpc")
    if pretrained.run:
        settings |= dict(pretrained.run.experiment.begins_with.objective_settings)
    return Subject(pretrained, validation_records(found, pretrained.run, MOST), at_rate(settings["distance"], SIGNAL),
                   settings["distractors"])


def pretraining_table() -> Styler:
    """Parameters of the network that is pretrained, part by part, beside the counts that were expected."""
    lines = []
    for size, expected in EXPECTED.items():
        with torch.device("meta"):
            model = build_pretrainer("cpc_ssl", SIGNAL, **model_entry("cpc_ssl").sizes[size][0])
        parts = {"encoder.latents": model.encoder.latents, "encoder.context": model.encoder.context, "predictor": model.predictor}
        counted = {("parameters", name): f"{count_parameters(part):,}" for name, part in parts.items()}
        lines.append({("", "size"): size, **counted, ("parameters", "all"): f"{count_parameters(model):,}",
                      (NOTES, "expected"): f"{expected:,}", ("", "equal"): "yes" if count_parameters(model) == expected else "no"})
    table = pd.DataFrame(lines)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return tables.style(table, "The network in pretraining: its encoder and the map W, which classification does without. In grey the "
                               "count of the official code.")


# -- one anchor ---------------------------------------------------------------------------------------------------------

@torch.no_grad()
def score_curve(model: CPC, x: Tensor, anchor: int) -> np.ndarray:
    """z_j^T W c_t of one anchor t and every sample j of a record: x [L, T] -> [T]"""
    z = model.latents(x[None])
    everywhere = Draw(torch.tensor([[anchor]]), torch.arange(z.shape[1])[None, None])
    return scores(model.predictor, z, model.context(z), everywhere)[0, 0].numpy()


def rank(curve: np.ndarray, place: int) -> int:
    """How many samples score at least as high as the one at `place`, itself included: 1 is first."""
    return int((curve >= curve[place]).sum())


def example(records: ValidationRecords, distance: int) -> tuple[int, int]:
    """The record and the anchor of the picture, chosen by rule: the first record of the first class of `NORMAL` that there is, and the
    sample from which the steepest place of a QRS in its middle, over all leads, is `distance` samples away."""
    row = 0
    for name in NORMAL:
        rows = np.flatnonzero(records.targets[:, records.classes.index(name)]) if name in records.classes else ()
        if len(rows):
            row = int(rows[0])
            break
    slope = np.abs(np.gradient(records.millivolts[row], axis=1)).sum(axis=0)                # [T]
    begin, end = (round(second * records.fs) for second in LOOKED_AT)
    return row, begin + int(slope[begin:end].argmax()) - distance


def anchor_figure(seen: Subject) -> Figure:
    """A record with an anchor and its positive, and under it what every sample scores, for each network."""
    records = seen.records
    row, anchor = example(records, seen.distance)
    positive, time = anchor + seen.distance, np.arange(records.millivolts.shape[-1]) / records.fs
    curves = {name: score_curve(model, records.scaled[row], anchor) for name, model in seen.pair.items()}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1 + len(curves), 1, figsize=(9.5, 2.4 + 1.9 * len(curves)), sharex=True, layout="constrained")
        trace = records.millivolts[row, LEADS.index("II")]
        axes[0].plot(time, trace, color=INK, lw=0.8)
        highest = np.argsort(next(iter(curves.values())))[::-1][:HIGHEST]
        axes[0].plot(time[highest], trace[highest], "o", color=MEASURED, ms=5, mfc="none", mew=1.4,
                     label=f"the {HIGHEST} highest scores ({next(iter(curves))})")
        axes[0].set(ylabel="lead II (mV)", xlim=(0, time[-1]), ylim=(None, trace.max() + 0.25 * np.ptp(trace)))
        axes[0].text(time[anchor] / 2, 0.97, "what the context has read", transform=axes[0].get_xaxis_transform(), ha="center", va="top",
                     fontsize=9, color=GREY)
        for axis, (name, curve) in zip(axes[1:], curves.items(), strict=True):
            axis.plot(time, curve, color=MEASURED if name == "pretrained" else GREY, lw=0.9)
            axis.plot(time[positive], curve[positive], "D", color=WAYS["from scratch"][1], ms=6, zorder=4)
            axis.set_ylabel("score")
            axis.set_title(f"{name}: what comes next ranks {rank(curve, positive):,} of {len(curve):,} samples", fontsize=10, loc="left")
        axes[0].plot(time[positive], trace[positive], "D", color=WAYS["from scratch"][1], ms=6, zorder=4,
                     label=f"the positive, {seen.seconds:.2f} s later")
        for axis in axes:
            axis.axvspan(0, time[anchor], color="#eef2f6", zorder=0)
            axis.axvline(time[anchor], color=INK, lw=1, ls="--")
        axes[-1].set_xlabel("time (s)")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
        figure.suptitle(f"One anchor and every sample of its record ({seen.pretrained.weights})", fontsize=11, x=0.01, ha="left")
        return closed(figure)


# -- prediction accuracy by step ----------------------------------------------------------------------------------------

@torch.no_grad()
def accuracy_by_step(model: nn.Module, signals: Tensor, generator: torch.Generator, steps: Sequence[int] = STEPS, *,
                     distractors: int = 128, anchors: int = ANCHORS) -> np.ndarray:
    """Of each record's anchors the share whose sample `steps` later scores above all distractors: signals [R, L, T] -> [R, len(steps)].

    There is one predictor, trained for one distance. At another k its expectation is the same, and only what counts as right moves: the
    curve says at which distance that expectation fits. steps: in samples. anchors: of each record and step, or all where it has fewer.
    """
    found = []
    for x in signals.split(BATCH):
        z = model.latents(x)
        c, n_samples = model.context(z), z.shape[1]
        drawn = (draw(len(x), n_samples, generator, k, distractors, min(anchors, n_samples - k)) for k in steps)
        found.append(torch.stack([recognised(scores(model.predictor, z, c, each)).float().mean(dim=1) for each in drawn], dim=1))
    return torch.cat(found).numpy()


def curves(seen: Subject) -> dict[str, np.ndarray]:
    """Accuracy by step of each network, under the same draws: name -> [R, steps]."""
    return {name: accuracy_by_step(model, seen.records.scaled, torch_generator(SEED), seen.steps, distractors=seen.distractors)
            for name, model in seen.pair.items()}


def step_figure(seen: Subject, found: Comparison, measured: Mapping[str, np.ndarray]) -> Figure:
    """Accuracy by step, and how pretraining went; also kept as the page's picture."""
    history = seen.pretrained.history
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 1 + bool(history), figsize=(9.5, 4.0), layout="constrained", squeeze=False,
                                    width_ratios=[1.7, 1][:1 + bool(history)])
        _by_step(axes[0, 0], seen, measured)
        if history:
            _by_epoch(axes[0, 1], history, -np.log(seen.chance))
        figure.suptitle(f"Recognising what comes ({seen.pretrained.weights}; {len(seen.records)} validation records)", fontsize=11,
                        x=0.01, ha="left")
        axis_page.save_picture(figure, found.page.request)
        return closed(figure)


def _by_step(axis: Axes, seen: Subject, measured: Mapping[str, np.ndarray]) -> None:
    seconds = np.array(seen.steps) / seen.records.fs
    for name, values in measured.items():
        colour = MEASURED if name == "pretrained" else GREY
        mean, reach = values.mean(axis=0), 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
        axis.fill_between(seconds, 100 * (mean - reach), 100 * (mean + reach), color=colour, alpha=0.25, lw=0)
        axis.plot(seconds, 100 * mean, "o-", color=colour, ms=3.5, lw=1.4, label=name)
    axis.axhline(100 * seen.chance, color=INK, lw=1, ls=":", label=f"chance, {100 * seen.chance:.1f} %")
    axis.axvline(seen.seconds, color=INK, lw=0.9, ls="--", zorder=0)
    axis.annotate(f"trained for\n{seen.seconds:.2f} s", (seen.seconds, 1), xycoords=axis.get_xaxis_transform(), xytext=(5, -4),
                  textcoords="offset points", fontsize=9, va="top")
    ticks = [0.01, 0.03, 0.1, 0.3, 1, 2]
    axis.set(xscale="log", xlabel="how much later (s)", ylabel="recognised (%)")
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_ylim(0, None)
    axis.legend(loc="upper right", fontsize=9)


def _by_epoch(axis: Axes, history: Sequence[Mapping[str, Any]], guessing: float) -> None:
    """Both losses over the epochs; `guessing` is the loss of a network whose scores are all equal."""
    epochs = np.arange(1, len(history) + 1)
    for name, colour, mark in (("training_loss", GREY, "o"), ("validation_loss", MEASURED, "s")):
        axis.plot(epochs, [line[name] for line in history], mark + "-", color=colour, ms=3.5, lw=1.4, label=name.split("_")[0])
    axis.axhline(guessing, color=INK, lw=1, ls=":", label=f"guessing, {guessing:.2f}")
    low, high = axis.get_ylim()
    axis.set(xlabel="epoch", ylabel="loss (nats)", xlim=(0.5, len(history) + 0.5),
             ylim=(low, high + 0.35 * (high - low)))                            # room for the legend
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(fontsize=9)


# -- label efficiency ---------------------------------------------------------------------------------------------------

def efficiency(rows: Sequence[Row]) -> dict[str, dict[int, Row]]:
    """The page's rows by way and per cent of the labels; what was not run is left out."""
    by_name = {row.value: row for row in rows}
    if "cpc_ssl" in by_name:                            # the network trained like any other: from scratch, with every label
        by_name.setdefault("cpc_ssl_scratch_100", by_name["cpc_ssl"])
    found = {way: {percent: by_name[name.format(percent)] for percent in PERCENTS if name.format(percent) in by_name}
             for way, (name, _, _) in WAYS.items()}
    return {way: each for way, each in found.items() if each}


def efficiency_figure(found: Comparison) -> Figure:
    """Test macro-AUROC against the share of the labels, one line a way; in grey what the paper reports with all labels of its task."""
    measured = efficiency(found.rows)
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(9.5, 4.4), layout="constrained")
        for i, (way, rows) in enumerate(measured.items()):
            _, colour, mark = WAYS[way]
            places = np.array(list(rows)) * 1.06 ** (i - 1)                     # beside each other on the log axis
            each = [row.measured["macro_auroc"] for row in rows.values()]
            axis.vlines(places, [m.interval.low for m in each], [m.interval.high for m in each], color=colour, lw=2, alpha=0.5)
            axis.plot(places, [m.interval.estimate for m in each], mark + "-", color=colour, ms=7, lw=1.4, label=way)
            for place, m in zip(places, each, strict=True):
                axis.plot([0.94 * place] * len(m.by_seed), list(m.by_seed.values()), "_", color=INK, ms=5, mew=1)
        _paper(axis)
        axis.margins(y=0.15)
        axis.set(xscale="log", xlim=(0.8, 320), xlabel="labelled training records (% of all)", ylabel="macro-AUROC on the test fold")
        axis.set_xticks(PERCENTS, [str(percent) for percent in PERCENTS])
        axis.minorticks_off()
        axis.grid(axis="y", color="#e5e5e5", lw=0.8)
        axis.set_axisbelow(True)
        axis.legend(loc="lower right" if measured else "upper left", fontsize=9)
        figure.suptitle(tables.describe_data(found.outcome.finished[0]), fontsize=11, x=0.01, ha="left")
        return closed(figure)


def _paper(axis: Axes) -> None:
    """The paper's own scores as grey strokes and words, to the right of every label."""
    told = tables.reported("papers")["cpc_ssl"]
    scratch, pretrained = told["rows"][0], told["rows"][-1]
    lines = {"fine-tuned": pretrained["tuned"], "from scratch": scratch["tuned"], "linear probe": pretrained["linear"]}
    words = [f"the paper, {told['task']}", *(f"{way} {score:.3f}" for way, score in lines.items())]
    for score in lines.values():
        axis.plot([122, 138], [score, score], color=GREY, lw=1.5)
    for i, line in enumerate(words):                    # below each other from the highest, whatever the axis' range
        axis.annotate(line, (148, max(lines.values())), (0, 12 - 12 * i), textcoords="offset points", color=GREY, fontsize=9, va="center")


def in_words(seen: Subject, found: Comparison, measured: Mapping[str, np.ndarray]) -> str:
    """What the pictures show, as Markdown, from their own numbers."""
    parts = (_steps_in_words(seen, measured), _labels_in_words(efficiency(found.rows)), _gains_in_words(gains(found.rows)))
    return "\n\n".join(part for part in parts if part)


def _steps_in_words(seen: Subject, measured: Mapping[str, np.ndarray]) -> str:
    means, place = {name: values.mean(axis=0) for name, values in measured.items()}, seen.steps.index(seen.distance)
    if "pretrained" not in means:
        return (f"**Recognising what comes.** No pretrained weights are at hand. Fresh ones recognise {means['fresh weights'][place]:.1%} "
                f"of what comes {seen.seconds:.2f} s later; chance is {seen.chance:.1%}.")
    curve, seconds = means["pretrained"], np.array(seen.steps) / seen.records.fs
    best = int(curve.argmax())
    first, last = _around(curve >= curve[best] / 2, best)
    return (f"**Recognising what comes.** {seen.seconds:.2f} s ahead, the distance that it was trained for, the pretrained network picks "
            f"the true sample among {1 + seen.distractors} in {curve[place]:.1%} of all cases; fresh weights do in "
            f"{means['fresh weights'][place]:.1%}, and chance is {seen.chance:.1%}. Of the distances drawn it does best at "
            f"{seconds[best]:.2f} s ({curve[best]:.1%}), and at least half as well from {seconds[first]:.2f} to {seconds[last]:.2f} s. "
            "Distractors come from the same record, where other beats hold samples almost like the true one, so 100 % is out of reach.")


def _around(held: np.ndarray, place: int) -> tuple[int, int]:
    """The first and last index of the unbroken stretch of True that holds `place`."""
    gaps = np.flatnonzero(~held)
    return int(gaps[gaps < place].max(initial=-1)) + 1, int(gaps[gaps > place].min(initial=len(held))) - 1


def _labels_in_words(measured: Mapping[str, Mapping[int, Row]]) -> str:
    if not measured:
        return ""
    lines = [f"| {way} | " + " | ".join(show_interval(rows[percent].measured["macro_auroc"].interval) if percent in rows else "–"
                                        for percent in PERCENTS) + " |" for way, rows in measured.items()]
    head = ["| | " + " | ".join(f"{percent} % of the labels" for percent in PERCENTS) + " |", "| --- " * (1 + len(PERCENTS)) + "|"]
    return "**Label efficiency.** Macro-AUROC on the test fold:\n\n" + "\n".join([*head, *lines])


def gains(rows: Sequence[Row]) -> dict[int, Difference]:
    """Fine-tuned minus from scratch in macro-AUROC, with as many labels, paired by record and seed; p after Holm over the shares."""
    measured, found = efficiency(rows), {}
    for percent in PERCENTS:
        pair = {way: measured[way][percent].runs for way in ("from scratch", "fine-tuned") if percent in measured.get(way, {})}
        names = {run.experiment: way for way, runs in pair.items() for run in runs}
        compared = {row.value: row for row in compare([run for runs in pair.values() for run in runs], names, "from scratch")}
        difference = compared["fine-tuned"].difference["macro_auroc"] if len(pair) == 2 else None
        if difference:
            found[percent] = difference
    corrected = holm([difference.p_holm for difference in found.values()])
    return {percent: replace(difference, p_holm=p) for (percent, difference), p in zip(found.items(), corrected, strict=True)}


def _gains_in_words(found: Mapping[int, Difference]) -> str:
    if not found:
        return ""
    told = "; ".join(f"with {percent} % of the labels {show_interval(each.interval, signed=True)}, {each.verdict} (p {show_p(each)}, "
                     f"{each.n_seeds} seed{'s' * (each.n_seeds > 1)})" for percent, each in found.items())
    return (f"Fine-tuned minus from scratch: {told}. Fewer than {FEWEST_SEEDS} seeds are always undecided, because how far another "
            "seed would move the score is then not known.")


def reported_table() -> Styler:
    """The paper's own scores, in grey."""
    told = tables.reported("papers")["cpc_ssl"]
    table = pd.DataFrame([{("", "network"): row["network"], ("", "pretraining"): row["pretraining"],
                           (NOTES, "fine-tuned, or supervised"): f"{row['tuned']:.3f}", (NOTES, "linear"): f"{row['linear']:.3f}"}
                          for row in told["rows"]])
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return tables.style(table, f"What the authors report: macro-AUC on {told['dataset']}, {told['task']}, mean of {told['runs']} runs. Not "
                               "measured here: other labels, other pretraining data, other training.")
