"""Page 11's figures: a map under twelve leads, the methods side by side, and what the network says when the marked parts are gone."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecgstudy.data.beats import find_beats
from ecgstudy.data.labels import CPSC_CLASSES
from ecgstudy.errors import ConfigurationError
from ecgstudy.explain.attribution import BASELINES, METHODS, Attribution, attribute
from ecgstudy.leads import LEADS
from ecgstudy.study import attention_records, ecg_page, figures
from ecgstudy.study.attribution_bed import TITLES, Asked
from ecgstudy.study.attribution_page import Study
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.figures import GREY, INK, STYLE
from ecgstudy.study.record_list import record_list

SHOWN = 5.0                     # seconds of the methods side by side
TALL, LOW = 15.0, 4.0           # mm of the trace's panel to its lower and upper edge, and of one strip
COLOURS = {"grad_cam": "#1f5fa8", "hires_cam": "#56b4e9", "gradient_x_input": "#d55e00", "integrated_gradients": "#aa3377",
           "occlusion_beat": "#2e9e5b", "magnitude": "#222222", "random": "#9a9a9a"}
EVIDENCE = "#2f7fd0"
DASHES = {"hires_cam": (0, (2, 2)), "magnitude": "--", "random": ":"}


def pictured() -> list[str]:
    """The labels whose first records the page draws, fixed beforehand."""
    return record_list("grad_cam")["pictured"]["labels"]


def words_of(asked: Asked, row: int) -> str:
    """Whether the network is right on a record, for a title."""
    return "ranked first" if row in asked.correct else "not ranked first"


# -- a map under twelve leads ---------------------------------------------------------------------------------------------

def twelve_leads(found: Study, label: str) -> Figure:
    """Grad-CAM of a record's own class behind its twelve leads, by the first network whose map has a row a lead, else by the first that
    has a map at all, said to be the same in every lead. The evidence is shaded on the leads that show it."""
    row = found.bed.first(label)
    asked, maps = _grad_cam(found, row)
    values = maps.values[0]
    heat = values / max(values.max(), 1e-12)
    whose = f"{asked.network.name}, {asked.network.told}; {words_of(asked, row)}"
    whose += "" if heat.any() else "; the map is empty"
    if not maps.has_leads:
        whose += "; the same in every lead"
    leads = [name for name, shows in zip(LEADS, found.bed.leads[row], strict=True) if shows]
    return ecg_page.twelve_leads(found.bed.simulation.signals[row], found.bed.fs, title=f"{label}: Grad-CAM ({whose})", heat=heat,
                                 spans={"evidence": _spans(found.bed.masks[row], found.bed.fs)}, leads={"evidence": leads})


def _grad_cam(found: Study, row: int) -> tuple[Asked, Attribution]:
    """The first network whose Grad-CAM has leads, or else any that has a Grad-CAM, and its map of the record."""
    made = []
    for each in found.scored:
        try:
            made.append((each.asked, each.asked.maps("grad_cam", rows=np.array([row]))))
        except ConfigurationError:
            continue
    if not made:
        raise ConfigurationError("no network of this page has a Grad-CAM; give networks one of resnet18, im_ecg, mhsa")
    return next((pair for pair in made if pair[1].has_leads), made[0])


def _spans(mask: np.ndarray, fs: float) -> list[tuple[float, float]]:
    """The spans of a mask [T] in seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [(begin / fs, (end - 1) / fs) for begin, end in edges.reshape(-1, 2)]


# -- methods side by side -------------------------------------------------------------------------------------------------

def side_by_side(found: Study, label: str) -> Figure:
    """Five seconds of lead II of the label's simulated record, and below it a strip for each method of each network."""
    row, fs = found.bed.first(label), found.bed.fs
    middle = np.flatnonzero(found.bed.masks[row])
    centre = middle[len(middle) // 2] / fs if len(middle) else SHOWN / 2
    start = float(np.clip(centre - SHOWN / 2, 0, found.bed.masks.shape[1] / fs - SHOWN))
    strips = []
    for each in found.scored:
        asked = each.asked
        strips.append((f"{asked.network.name} ({words_of(asked, row)})", None))
        for method in (name for name in found.request.axes["methods"] if name != "random"):
            try:
                maps = asked.maps(method, rows=np.array([row]))
            except ConfigurationError:
                continue
            if maps.has_time:
                strips.append((TITLES[method], maps.over_time()[0]))
    return _under_a_trace(f"{label}: the evidence (blue) and what each map marks", found.bed.simulation.signals[row], fs, start, strips,
                          _spans(found.bed.masks[row], fs))


def recorded(found: Study) -> Figure:
    """The same for a recording of the page's real data set, by the networks for recordings; where its evidence lies nobody marked."""
    label, = record_list("grad_cam")["recorded"]["labels"]
    records = attention_records.recorded(found.real, [label], found.request.size) if found.real else []
    if not records:
        return figures.absent(f"{found.real} is not on this machine" if found.real else "no recordings were asked for")
    record, = records
    k, fs = CPSC_CLASSES.index(label), SIGNAL.fs
    beats = find_beats(record.millivolts, fs)
    strips = []
    for network in found.readers:
        x = network.scaled(record.millivolts[None])
        strips.append((f"{network.name} ({'gives' if network.gives(x, np.array([k]))[0] else 'does not give'} the label)", None))
        for method in (name for name in found.request.axes["methods"] if name != "random"):
            try:
                maps = attribute(network.model, x, k, method, beats=torch.from_numpy(beats), fs=fs)
            except ConfigurationError:
                continue
            if maps.has_time:
                strips.append((TITLES[method], maps.over_time()[0]))
    told = ", ".join(dict.fromkeys(network.told for network in found.readers))
    return _under_a_trace(f"{record.title}\n{told}", record.millivolts, fs, record.start, strips, [])


def _under_a_trace(title: str, millivolts: np.ndarray, fs: float, start: float, strips: list[tuple[str, np.ndarray | None]],
                   spans: list[tuple[float, float]]) -> Figure:
    """Lead II of a record [L, T] on ECG paper, its evidence shaded, and a strip for each curve [T]; None is a heading."""
    width, height = 36 + 25 * SHOWN + 4, 12 + 2 * TALL + LOW * len(strips) + 10
    with plt.rc_context(STYLE):
        figure, axis = ecg_page.sheet(width, height)
        zero = height - 12 - TALL
        _paper(axis, 36.0, zero, millivolts[LEADS.index("II")], fs, start)
        for begin, end in spans:
            left, right = (36 + 25 * (np.clip(edge, start, start + SHOWN) - start) for edge in (begin, end))
            if right > left:
                axis.fill_between([left, right], zero - TALL, zero + TALL, color=EVIDENCE, alpha=0.18, lw=0, zorder=1)
                axis.vlines([left, right], 10, zero - TALL, color=EVIDENCE, lw=0.7, zorder=2)
        _strips(axis, strips, fs, start, zero - TALL)
        axis.text(1, height - 2, title, fontsize=10, va="top")
        axis.text(1, 4, f"Lead II from second {start:.1f}, 25 mm/s, 10 mm/mV. Each strip: from zero to its own largest value here.",
                  fontsize=8, va="center", color=INK)
        return figure


def _paper(axis: Axes, left: float, zero: float, trace: np.ndarray, fs: float, start: float) -> None:
    """A trace on its millimetre grid."""
    right = left + 25 * SHOWN
    ecg_page.grid(axis, left, right, zero - TALL, zero + TALL)
    part = trace[round(start * fs):round((start + SHOWN) * fs)]
    height = np.clip(10 * (part - np.median(trace)), -TALL, TALL)
    axis.plot(left + 25 * np.arange(len(part)) / fs, zero + height, color=INK, lw=1, zorder=3)
    axis.plot(np.array([-9, -8, -8, -3, -3, -2]) + left, zero + np.array([0, 0, 10, 10, 0, 0]), color=INK, lw=1)
    axis.text(left - 10, zero, "II", fontsize=9, fontweight="bold", ha="right", va="center")


def _strips(axis: Axes, strips: list[tuple[str, np.ndarray | None]], fs: float, start: float, top: float) -> None:
    for i, (name, curve) in enumerate(strips):
        low = top - LOW * (i + 1)
        axis.text(35 if curve is not None else 1, low + LOW / 2, name, fontsize=8, ha="right" if curve is not None else "left", va="center",
                  fontweight="normal" if curve is not None else "bold")
        if curve is None:
            continue
        part = curve[round(start * fs):round((start + SHOWN) * fs)]
        axis.imshow((part / max(part.max(), 1e-12))[None], extent=(36, 36 + 25 * SHOWN, low + 0.3, low + LOW - 0.3), aspect="auto",
                    cmap="Oranges", vmin=0, vmax=1, interpolation="nearest", zorder=1)
    axis.set(xlim=(0, 36 + 25 * SHOWN + 4))


# -- deletion and insertion -----------------------------------------------------------------------------------------------

def deletion_and_insertion(found: Study) -> Figure:
    """Mean probability of the own class, each class counting the same, as the marked tenths of a second go, or come, in their order."""
    shown = [each for each in found.scored if each.curves]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, max(len(shown), 1), figsize=(9.5, 5.8), layout="constrained", sharex=True, sharey=True,
                                    squeeze=False)
        for column, each in zip(axes.T, shown, strict=False):
            target = each.asked.bed.target[each.asked.correct]
            for method in (name for name in METHODS if name in each.curves):
                curves = each.curves[method]
                style = {"color": COLOURS.get(method, GREY), "ls": DASHES.get(method, "-"), "lw": 1.2 if method in BASELINES else 1.6}
                for axis, probability in zip(column, (curves.deletion, curves.insertion), strict=True):
                    mean = np.mean([probability[target == k].mean(axis=0) for k in np.unique(target)], axis=0)
                    axis.plot(100 * curves.share, mean, label=TITLES[method], **style)
            network = each.asked.network
            column[0].set_title(network.name if network.trained else f"{network.name}\n({network.told})")
            column[1].set_xlabel("% of the record")
        for axis, label in zip(axes[:, 0], ("deleted: P(class)", "inserted: P(class)"), strict=True):
            axis.set(ylabel=label, ylim=(0, 1), xlim=(0, 100), xticks=[0, 50, 100])
        named = {text: line for column in axes.T for line, text in zip(*column[0].get_legend_handles_labels(), strict=True)}
        if named:
            figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=4, fontsize=9)
        told = ", ".join(sorted({each.asked.network.told for each in shown if each.asked.network.trained}))
        figure.suptitle("When the marked parts are gone, or alone" + f" ({told})" * bool(told), fontsize=11, x=0.01, ha="left")
        return figure
