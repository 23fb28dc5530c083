"""Page 09, time against frequency: what each stream is shown, its F1 beside the notes', and the classes that it gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ecgstudy.data.labels import CPSC_CLASSES, label_set
from ecgstudy.data.synthetic import simulate
from ecgstudy.evaluate.bootstrap import difference_p_value, holm, interval, patient_weights, weighted_auroc
from ecgstudy.layers.spectrogram import Spectrogram
from ecgstudy.leads import LEADS
from ecgstudy.models import build_model
from ecgstudy.study import tables
from ecgstudy.study.axis_page import FEWEST_POSITIVES, SIGNAL, AxisPage, Comparison
from ecgstudy.study.comparison import SIGNIFICANT, Difference, Row
from ecgstudy.study.complexity import count_parameters
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE
from ecgstudy.study.ledger import Run
from ecgstudy.study.names import readable

N_REPLICATES = 2000         # twice as many as elsewhere: Holm's correction over classes and streams asks for small p
QRS_BAND = (5.0, 15.0)      # Hz; J. Pan, W. Tompkins, A real-time QRS detection algorithm, IEEE TBME 1985
SHOWN = {13: "Normal: a regular rhythm", 29: "AF: an irregular rhythm"}       # simulated records of SEED
SEED = 4
RHYTHM_LEAD = LEADS.index("II")


# -- what the streams are shown -----------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Seen:
    """Lead II of a simulated record as both streams get it.

    trace: [T] in mV. image: [F, N], log magnitude before standardising. whole: [F'] magnitude of one window over the whole record.
    beats_a_second: the mean rate, from the simulator's own beats.
    """

    title: str
    trace: np.ndarray
    image: np.ndarray
    whole: np.ndarray
    beats_a_second: float


def look(index: int, title: str) -> Seen:
    """The record `index` of SEED, scaled by its own deviation, through the frequency networks' own transform."""
    simulation = simulate(seed=SEED, indices=[index])
    signal = simulation.signals                                                           # [1, L, T] mV
    image = Spectrogram(SIGNAL).log_magnitude(torch.from_numpy(signal / signal.std()))    # [1, L, F, N]
    trace = signal[0, RHYTHM_LEAD]
    whole = np.abs(np.fft.rfft(np.hanning(len(trace)) * (trace - trace.mean())))
    return Seen(title, trace, image[0, RHYTHM_LEAD].numpy(), whole, float(1 / np.diff(simulation.beats["r"]).mean()))


def what_the_streams_see() -> Figure:
    """Two simulated records: the trace, the spectrogram beneath it, and the spectrum of the whole record against that of one frame."""
    seen = [look(index, title) for index, title in SHOWN.items()]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(3, len(seen), figsize=(9.5, 7.4), layout="constrained", height_ratios=[0.7, 1.3, 1.1], sharex="row",
                                    sharey="row")
        for (trace, image, spectrum), record in zip(axes.T, seen, strict=True):
            trace.plot(np.arange(SIGNAL.n_samples) / SIGNAL.fs, record.trace, color=INK, lw=0.8)
            trace.set(xlim=(0, SIGNAL.seconds), title=record.title, xlabel="time (s)")
            drawn = image.imshow(record.image, origin="lower", aspect="auto", cmap="viridis", interpolation="nearest",
                                 extent=_cells(record.image), vmin=0, vmax=max(other.image.max() for other in seen))
            image.set(xlabel="time (s)", xlim=(0, SIGNAL.seconds), ylim=(0, SIGNAL.fs / 2))
            _name_band(image)
            _spectra(spectrum, record)
        for axis, label in zip(axes[:, 0], ("lead II (mV)", "frequency (Hz)", "magnitude, largest = 1"), strict=True):
            axis.set_ylabel(label)
        figure.colorbar(drawn, ax=axes[1], label="log(1 + magnitude)", pad=0.01)
        figure.legend(*axes[2, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
        return figure


def _cells(image: np.ndarray) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of an image whose cells are centred on their times and frequencies, in s and Hz."""
    n_bins, n_frames = image.shape
    hop, bin_width = SIGNAL.seconds / (n_frames - 1), SIGNAL.fs / 2 / (n_bins - 1)
    return -hop / 2, SIGNAL.seconds + hop / 2, -bin_width / 2, (SIGNAL.fs + bin_width) / 2


def _name_band(axis: Axes) -> None:
    for edge in QRS_BAND:
        axis.axhline(edge, color="white", lw=1, ls="--")
    axis.text(0.1, QRS_BAND[1] + 1, f"QRS band, {QRS_BAND[0]:g} to {QRS_BAND[1]:g} Hz", color="white", fontsize=9, va="bottom")


def _spectra(axis: Axes, record: Seen) -> None:
    """The whole record's spectrum with the multiples of its heart rate, and the mean spectrum of the one-second frames."""
    frames = np.expm1(record.image).mean(axis=1)
    harmonics = record.beats_a_second * np.arange(1, int(QRS_BAND[1] / record.beats_a_second) + 1)
    axis.vlines(harmonics, 0, 1.05, color=GREY, lw=0.8, ls=":", label="multiples of the heart rate")
    axis.plot(np.arange(len(record.whole)) / SIGNAL.seconds, record.whole / record.whole.max(), color=INK, lw=0.9,
              label="one window over the whole record")
    axis.plot(np.arange(len(frames)), frames / frames.max(), "-o", color=MEASURED, lw=1.5, ms=4, label="mean of the one-second frames")
    axis.set(xlim=(0, QRS_BAND[1]), ylim=(0, 1.05), xlabel="frequency (Hz)")
    axis.set_title(f"{60 * record.beats_a_second:.0f} beats a minute: {record.beats_a_second:.2f} Hz", fontsize=10)


# -- the classes --------------------------------------------------------------------------------------------------------

def f1_table(rows: Sequence[Row]) -> Styler:
    """Test F1 of every class and stream, mean over seeds, beside the notes' where the classes are theirs."""
    first = rows[0].runs[0]
    test = first.result["scores"]["test"]
    measured = {row.value: np.mean([_numbers(run, "f1") for run in row.runs], axis=0) for row in rows}
    told = notes_f1([row.value for row in rows]) if first.experiment.task == "nine" else {}
    lines = []
    for k, (name, positives) in enumerate(zip(test["classes"], test["positives"], strict=True)):
        lines.append({("", "class"): name, ("", "positives"): str(positives)}
                     | {("test F1", readable(value)): tables.show(found[k]) for value, found in measured.items()}
                     | {(tables.NOTES, readable(value)): tables.show(found[k], 4) for value, found in told.items()})
    lines.append({("", "class"): "mean", ("", "positives"): ""}
                 | {("test F1", readable(row.value)): tables.show(row.measured["macro_f1"].interval.estimate) for row in rows}
                 | {(tables.NOTES, readable(value)): tables.show(tables.reported("time_frequency")[value]["f1"], 4) for value in told})
    table = pd.DataFrame(lines)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    caption = "F1 of each class on the test fold at the threshold that validation chose, mean over seeds."
    if told:
        caption += " In grey the notes: CPSC2018, full width, epoch and threshold chosen on the scored fold."
    return tables.style(table, caption)


def _numbers(run: Run, score: str) -> np.ndarray:
    """One test score of every class [K]; NaN for a class that the fold lacks."""
    return np.array([np.nan if value is None else value for value in run.result["scores"]["test"][score]])


def notes_f1(streams: Sequence[str]) -> dict[str, list[float]]:
    """stream -> the notes' F1 of each class, in the order that every nine-class task of the study keeps."""
    told = tables.reported("time_frequency")
    names = ["Normal" if name == "NORM" else name for name in tables.reported("classes")]
    return {stream: [told[stream]["per_class_f1"][names.index(name)] for name in CPSC_CLASSES] for stream in streams}


@dataclass(frozen=True)
class ClassGain:
    """AUROC of one class by one stream minus that by the time stream; `difference.p_holm` is NaN where there are too few positives."""

    value: str
    name: str
    positives: int
    difference: Difference


def class_gains(found: Comparison, n_replicates: int = N_REPLICATES) -> list[ClassGain]:
    """Each class's difference in test AUROC to the time stream, on the same patients and seeds; empty without a time stream.

    Interval and p are a paired bootstrap over patients. p is corrected after Holm over all streams and classes that are tested,
    those with at least FEWEST_POSITIVES positive test records. A class that the fold lacks is left out.
    """
    groups = {row.value: {run.experiment.seed: run for run in row.runs} for row in found.rows}
    base = groups.pop(found.page.axis.baseline, {})
    if not base:
        return []
    first = next(iter(base.values()))
    test, stored = first.result["scores"]["test"], first.predictions
    weights = patient_weights(stored.test_patients, n_replicates, np.random.default_rng(0))
    scored = [k for k, value in enumerate(test["auroc"]) if value is not None]

    def draws(run: Run) -> np.ndarray:
        probability = run.test_probability()
        return np.array([weighted_auroc(probability[:, k], stored.test_targets[:, k], weights) for k in scored])   # [k, draws]

    drawn = {seed: draws(run) for seed, run in base.items()}
    gains = []
    for value, group in groups.items():
        if seeds := sorted(set(group) & set(base)):
            points = np.array([_numbers(group[seed], "auroc") - _numbers(base[seed], "auroc") for seed in seeds])   # [seeds, K]
            between = np.mean([draws(group[seed]) - drawn[seed] for seed in seeds], axis=0)
            gains += [_gain(value, test["classes"][k], test["positives"][k], points[:, k], part)
                      for k, part in zip(scored, between, strict=True)]
    corrected = holm([gain.difference.p_holm for gain in gains])
    return [replace(gain, difference=replace(gain.difference, p_holm=p)) for gain, p in zip(gains, corrected, strict=True)]


def _gain(value: str, name: str, positives: int, points: np.ndarray, draws: np.ndarray) -> ClassGain:
    """One class of one stream from its difference in every seed and in every draw; p is not corrected yet."""
    p = difference_p_value(draws) if positives >= FEWEST_POSITIVES else float("nan")
    same_sign = bool((points > 0).all() or (points < 0).all())
    return ClassGain(value, name, positives, Difference(interval(float(points.mean()), draws), p, len(points), same_sign))


def gains_figure(gains: Sequence[ClassGain], title: str) -> Figure:
    """Each class's difference to the time stream with its interval: one panel a stream; filled where the rule gives a verdict."""
    values = list(dict.fromkeys(gain.value for gain in gains))
    with plt.rc_context(STYLE):
        names = list(dict.fromkeys(gain.name for gain in gains))
        figure, axes = plt.subplots(1, max(1, len(values)), figsize=(9.5, 0.36 * len(names) + 1.6), sharex=True, sharey=True,
                                    layout="constrained", squeeze=False)
        positives = {gain.name: gain.positives for gain in gains}
        for axis, value in zip(axes.flat, values, strict=False):
            for gain in (gain for gain in gains if gain.value == value):
                between, place = gain.difference.interval, -names.index(gain.name)
                colour = MEASURED if gain.positives >= FEWEST_POSITIVES else GREY
                axis.plot([between.low, between.high], [place, place], color=colour, lw=2, solid_capstyle="round")
                axis.plot(between.estimate, place, "o", ms=7, color=colour,
                          markerfacecolor="white" if gain.difference.verdict == "undecided" else colour)
            axis.axvline(0, color=INK, lw=0.8)
            axis.grid(axis="x", color="#e5e5e5", lw=0.8)
            axis.set_axisbelow(True)
            axis.locator_params(axis="x", nbins=5)
            axis.set(title=readable(value), xlabel="AUROC minus that of the time stream")
        axes[0, 0].set_yticks(-np.arange(len(names)), [f"{name} ({positives[name]})" for name in names])
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def gains_in_words(gains: Sequence[ClassGain]) -> str:
    """What the rule decides about single classes, as a paragraph of Markdown."""
    tested = [gain for gain in gains if not np.isnan(gain.difference.p_holm)]
    if not tested:
        return f"**Class by class.** No class has {FEWEST_POSITIVES} positive test records and two streams to compare; nothing is tested."
    decided = [gain for gain in tested if gain.difference.verdict != "undecided"]
    near = [gain for gain in tested if gain not in decided and gain.difference.p_holm < SIGNIFICANT]
    classes = len({gain.name for gain in tested})
    text = (f"**Class by class** (AUROC against the time stream, {classes} class{'es' * (classes > 1)} with at least {FEWEST_POSITIVES} "
            f"positive test records): of {len(tested)} comparisons {len(decided) or 'none'} can be decided")
    text += ": " * bool(decided) + "; ".join(f"`{gain.value}` is {gain.difference.verdict} on {_told(gain)}" for gain in decided) + "."
    if near:
        n_seeds = min(gain.difference.n_seeds for gain in near)
        text += (f" The patients alone would separate {'; '.join(f'`{gain.value}` on {_told(gain)}' for gain in near)}, but with {n_seeds} "
                 f"seed{'s' * (n_seeds > 1)} this is not told apart from the luck of a seed.")
    return text


def _told(gain: ClassGain) -> str:
    interval_and_p = f"{tables.show_interval(gain.difference.interval, signed=True)}, corrected p {tables.show_p(gain.difference)}"
    return f"**{gain.name}** ({interval_and_p})"


def reading(found: Comparison, gains: Sequence[ClassGain]) -> str:
    """What can and what cannot be concluded, as Markdown: class by class, then what every such page says, with this page's limits."""
    limits = ["window, hop, scale and the place where the streams meet were fixed beforehand and not tuned"]
    if {"time", "two_stream"} <= set(found.page.names):
        times = n_parameters(found.page, "two_stream") / n_parameters(found.page, "time")
        limits.append(f"two streams together have {times:.1f} times the parameters of the time stream, so a gain could come from size as "
                      "well as from the second view")
    return f"{gains_in_words(gains)}\n\n{found.reading(limits)}"


def n_parameters(page: AxisPage, name: str) -> int:
    """Parameters of one of the page's networks, in the page's profile."""
    variant, n_classes = page.axis.variants[name], len(label_set(page.request.dataset, page.request.task).classes)
    return count_parameters(build_model(variant.model, SIGNAL, n_classes, **variant.all_settings(page.request.size)))
