"""Page 10's pictures: heat strips under a trace on millimetre paper, heads, distances and scores. All in times an even spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ecgstudy.explain.attention import between_places
from ecgstudy.study import axis_page
from ecgstudy.study.attention_page import MAPS, Network, Observed, Page, numbered, times_even
from ecgstudy.study.attention_records import Shown
from ecgstudy.study.attention_scores import Question
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.ecg_page import GAIN, SHADES, SPEED, grid, sheet
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE, closed
from ecgstudy.study.names import readable

LEFT, RIGHT, HEAD, FOOT = 33.0, 6.0, 12.0, 15.0      # mm around the traces
STRIP, GAP, BETWEEN = 4.5, 0.8, 13.0                # mm: height of a strip, between strips, between records
DPI = 8 * 25.4
PALETTE, AMPLITUDE = "PuOr_r", "#b3541e"     # purple: less than an even spread; white: even; orange: more
FONT = 10
FLATTEST, STEEPEST = 1.5, 16.0                      # the colours' end: as far as the strips reach, within these


@dataclass(frozen=True, eq=False)
class Strip:
    """One line of heat: values of tokens [N], times an even spread, `seconds_per_token` apart from the record's start."""

    name: str
    values: np.ndarray
    seconds_per_token: float


def strips_under_traces(blocks: Sequence[tuple[Shown, Sequence[Strip]]], title: str,
                        extra: float = 0.0) -> tuple[Figure, Axes, float, float]:
    """Each record's lead II on millimetre paper, its strips below it; one scale for all. extra: mm left free above the foot.

    Returns the figure, its axes in millimetres, the height down to which it is filled, and the largest value of the scale.
    """
    rises = [_rise(record) for record, _ in blocks]
    heights = [sum(rise) + 3 + len(strips) * (STRIP + GAP) for rise, (_, strips) in zip(rises, blocks, strict=True)]
    seconds = blocks[0][0].seconds
    head = HEAD + 5.5 * max(title.count("\n") - 1, 0)
    page = FOOT + extra + sum(heights) + BETWEEN * len(blocks) + head
    figure, axis = sheet(LEFT + SPEED * seconds + RIGHT, page, DPI)
    axis.text(2, page - 2, title, fontsize=FONT + 1, color=INK, va="top")
    top = float(np.clip(max(np.nanquantile(strip.values, 0.998) for _, strips in blocks for strip in strips), FLATTEST, STEEPEST))
    y = page - head
    for (record, strips), rise in zip(blocks, rises, strict=True):
        y -= BETWEEN - 6
        axis.text(LEFT, y + 2, record.title, fontsize=FONT, color=INK, va="center")
        y -= sum(rise) + 1.5
        _trace(axis, record, y, rise)
        y -= 1.5
        for strip in strips:
            y -= STRIP + GAP
            _strip(axis, strip, record, y, top)
        y -= 4
        _seconds(axis, record, y + 3.2)
        y -= 2
    _scale(axis, top, any(record.spans for record, _ in blocks))
    return figure, axis, y, top


def _rise(record: Shown) -> tuple[float, float]:
    """Millimetres of paper below and above the zero line, whole 5-mm squares."""
    shown = GAIN * record.trace[round(record.start * SIGNAL.fs):round((record.start + record.seconds) * SIGNAL.fs)]
    return tuple(5 * np.ceil(np.clip(reach + 1.5, 5, 25) / 5) for reach in (-shown.min(), shown.max()))


def _trace(axis: Axes, record: Shown, y: float, rise: tuple[float, float]) -> None:
    """Lead II at 25 mm/s and 10 mm/mV over its grid; premature beats shaded where they are known."""
    right, fs = LEFT + SPEED * record.seconds, SIGNAL.fs
    grid(axis, LEFT, right, y, y + sum(rise))
    for begin, end in record.spans:
        x = LEFT + SPEED * np.clip([begin - record.start, end - record.start], 0, record.seconds)
        if x[1] > x[0]:
            axis.fill_between(x, y, y + sum(rise), color=SHADES[0], alpha=0.22, lw=0, zorder=1)
    first = round(record.start * fs)
    part = record.trace[first:first + round(record.seconds * fs) + 1]
    line, = axis.plot(LEFT + SPEED * np.arange(len(part)) / fs, y + rise[0] + GAIN * part, color=INK, lw=1.0, zorder=3)
    line.set_clip_path(Rectangle((LEFT, y), right - LEFT, sum(rise), transform=axis.transData))
    zero = y + rise[0]
    axis.plot([LEFT - 7, LEFT - 6, LEFT - 6, LEFT - 2, LEFT - 2, LEFT - 1], [zero, zero, zero + GAIN, zero + GAIN, zero, zero], color=INK,
              lw=0.9)
    axis.text(LEFT - 8.5, zero + GAIN / 2, "1 mV", fontsize=FONT - 1, color=INK, ha="right", va="center")


def _strip(axis: Axes, strip: Strip, record: Shown, y: float, top: float) -> None:
    """Each token's cell is centred on its place."""
    n, step = len(strip.values), strip.seconds_per_token
    edges = LEFT + SPEED * ((np.array([0, n]) - 0.5) * step - record.start)
    image = axis.imshow(**_around_even(strip.values[None], top), extent=(*edges, y, y + STRIP), zorder=1)
    frame = Rectangle((LEFT, y), SPEED * record.seconds, STRIP, transform=axis.transData, fill=False, ec=GREY, lw=0.5, zorder=2)
    image.set_clip_path(Rectangle((LEFT, y), SPEED * record.seconds, STRIP, transform=axis.transData))
    axis.add_patch(frame)
    axis.text(LEFT - 1.5, y + STRIP / 2, strip.name, fontsize=FONT - 1, color=INK, ha="right", va="center")


def _around_even(values: np.ndarray, top: float) -> dict:
    """How `imshow` is to colour multiples of an even spread: by their logarithm, from 1 / top to top, white at 1."""
    return {"X": np.clip(values, 1 / top, top), "norm": LogNorm(1 / top, top), "cmap": PALETTE, "aspect": "auto",
            "interpolation": "nearest"}


def _seconds(axis: Axes, record: Shown, y: float) -> None:
    for second in np.arange(np.ceil(record.start), record.start + record.seconds + 1e-9):
        x = LEFT + SPEED * (second - record.start)
        axis.plot([x, x], [y, y + 1], color=INK, lw=0.8)
        axis.text(x, y - 0.5, f"{second:.0f} s", fontsize=FONT - 1, color=INK, ha="center", va="top")


def _scale(axis: Axes, top: float, shaded: bool) -> None:
    """The colours' meaning, at the foot."""
    width = 45.0
    axis.imshow(np.linspace(0, 1, 128)[None], extent=(LEFT, LEFT + width, 8, 11), aspect="auto", cmap=PALETTE)
    axis.add_patch(Rectangle((LEFT, 8), width, 3, fill=False, ec=GREY, lw=0.5))
    for share, value in ((0.0, f"1/{top:.2g}"), (0.5, "1"), (1.0, f"{top:.2g}")):
        axis.text(LEFT + width * share, 6.8, value, fontsize=FONT - 1, color=INK, ha="center", va="top")
    axis.text(LEFT + width + 5, 9.5, "attention received, times an even spread", fontsize=FONT - 1, color=INK, va="center")
    axis.text(LEFT + width + 5, 4.5, f"{SPEED:g} mm/s, {GAIN:g} mm/mV" + "; shaded: premature beat" * shaded, fontsize=FONT - 1, color=INK,
              va="center")
    axis.set(xlim=(0, axis.figure.get_figwidth() * 25.4), ylim=(0, axis.figure.get_figheight() * 25.4))       # imshow moves them


# -- the pictures -------------------------------------------------------------------------------------------------------

def stages(page: Page) -> Figure:
    """Every attention layer of the first mechanism, stage by stage, under each record, the recordings with the network trained on such;
    also kept as the page's picture."""
    blocks = []
    for part in page.parts:
        names = [f"stage {stage}, {number}" for stage, number, _ in numbered(part.layers)]
        blocks += [(record, [Strip(name, times_even(layer)[row].mean(axis=0), layer.seconds_per_token)
                             for name, layer in zip(names, part.layers, strict=True)]) for row, record in enumerate(part.records)]
    whose = ";\nrecordings: ".join(part.network.told for part in page.parts)
    figure, *_ = strips_under_traces(blocks, f"Stage by stage: {readable(page.networks[0].name)}, mean over heads\n({whose})")
    axis_page.save_picture(figure, page.request)
    return closed(figure)


def heads(page: Page) -> Figure:
    """Every head of the first network's last layer over one record: what each place receives, and below it the whole map."""
    first, record = page.networks[0], page.shown[page.example]
    layer = page.maps[first.name][-1]
    received, n_heads = times_even(layer)[page.example], layer.maps.shape[1]
    columns = min(4, n_heads)
    wide = (SPEED * record.seconds - 4.0 * (columns - 1)) / columns
    rows = -(-n_heads // columns)
    strips = [Strip(f"head {head + 1}", received[head], layer.seconds_per_token) for head in range(n_heads)]
    figure, axis, y, top = strips_under_traces([(record, strips)], f"Every head of the last layer: {readable(first.name)}\n({first.told})",
                                               extra=rows * (wide + 12))
    maps = between_places(layer)[page.example] * layer.n_places
    last = SIGNAL.seconds
    for head in range(n_heads):
        left, bottom = LEFT + (head % columns) * (wide + 4), y - 4 - (head // columns) * (wide + 12) - wide
        axis.imshow(**_around_even(maps[head], top), extent=(left, left + wide, bottom, bottom + wide))
        axis.add_patch(Rectangle((left, bottom), wide, wide, fill=False, ec=GREY, lw=0.6))
        axis.text(left, bottom + wide + 1, f"head {head + 1}", fontsize=FONT - 1, color=INK, va="bottom")
        for end, where in ((0, "left"), (1, "right")):
            axis.text(left + end * wide, bottom - 1, f"{end * last:g} s", fontsize=FONT - 1, color=INK, ha=where, va="top")
    axis.text(LEFT - 1.5, y - 4 - wide / 2, "query\ndown,\nkey\nacross", fontsize=FONT - 1, color=INK, ha="right", va="center")
    axis.set(xlim=(0, figure.get_figwidth() * 25.4), ylim=(0, figure.get_figheight() * 25.4))
    return closed(figure)


def mechanisms(page: Page) -> Figure:
    """All mechanisms side by side: what places receive in each network's last layer, under each record."""
    blocks = [(record, [Strip(page.called(each), times_even(page.maps[each.name][-1])[row].mean(axis=0),
                              page.maps[each.name][-1].seconds_per_token) for each in page.networks])
              for row, record in enumerate(page.shown)]
    figure, *_ = strips_under_traces(blocks, f"All mechanisms: last layer, mean over heads\n({page.whose})")
    return closed(figure)


def distances(page: Page) -> Figure:
    """How far each head of each layer looks, and how widely; a row for each mechanism."""
    with plt.rc_context(STYLE):
        n = len(page.networks)
        figure, axes = plt.subplots(n, 2, figsize=(6.3, 1.05 * n + 1.3), sharex="col", sharey="row", layout="constrained", squeeze=False)
        for row, each in zip(axes, page.networks, strict=True):
            _heads(row, page, each)
            row[0].set_title(page.called(each), fontsize=FONT, loc="left", pad=2)
        axes[-1, 0].set_xlabel("mean distance looked (s)")
        axes[-1, 1].set_xlabel("entropy, share of an even spread's")
        axes[-1, 0].set_xlim(0, 1.04 * axes[-1, 0].get_xlim()[1])
        axes[-1, 1].set_xlim(-0.03, 1.03)
        handles = [plt.Line2D([], [], color=MEASURED, marker="o", ls="", ms=6, label="one head"),
                   plt.Line2D([], [], color=INK, marker="|", ls="", ms=11, label="even over what is seen")]
        if any((each.name, "fresh") in page.observed for each in page.networks):
            handles.insert(1, plt.Line2D([], [], color=GREY, marker="s", ls="", mfc="none", ms=5, label="before training"))
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=FONT - 1)
        figure.suptitle(f"How far heads look, and how widely\n({page.whose})", fontsize=FONT + 1, x=0.01, ha="left")
        return closed(figure)


def _heads(row: Sequence[Axes], page: Page, each: Network) -> None:
    """One mechanism: a line for each layer, deepest below; heads as dots."""
    def over_beds(found: list[Observed], what: str, i: int) -> np.ndarray:
        return np.mean([getattr(one, what)[i].mean(axis=0) for one in found], axis=0)                      # [H]

    own = page.observed[each.name, "shown"]
    layers = own[0].layers
    for i in range(len(layers)):
        for axis, what in zip(row, ("distance", "spread"), strict=True):
            if (each.name, "fresh") in page.observed:
                before = over_beds(page.observed[each.name, "fresh"], what, i)
                axis.plot(before, np.full(len(before), i + 0.2), "s", color=GREY, mfc="none", ms=4)
            after = over_beds(own, what, i)
            axis.plot(after, np.full(len(after), i - 0.15), "o", color=MEASURED, ms=5, alpha=0.8)
        allowed = np.unique(own[0].even[i].round(3))
        row[0].plot(allowed, np.full(len(allowed), i), "|", color=INK, ms=10, mew=1.2)
    row[0].set_yticks(range(len(layers)), [f"{stage}.{number}" for stage, number, _ in layers], fontsize=FONT - 1)
    row[0].set_ylim(len(layers) - 0.4, -0.6)
    for axis in row:
        axis.grid(axis="x", color="#e5e5e5", lw=0.8)
        axis.set_axisbelow(True)


def gathered(found: Question) -> Figure:
    """Each network's score with its interval beside what it must beat, a panel for each label."""
    names, labels = found.names, found.labels
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(len(labels), 1, figsize=(6.3, len(labels) * (0.42 * len(names) + 0.9) + 1.2), layout="constrained",
                                    sharex=True, squeeze=False)
        for axis, label in zip(axes[:, 0], labels, strict=True):
            for i, name in enumerate(names):
                own = found.auroc[name, label, MAPS[0]]
                for whose, mark, colour, lift in (("fresh", "s", GREY, 0.16), ("another", "x", GREY, -0.16), ("shown", "o", MEASURED, 0.0)):
                    if whose in own.of:
                        at, middle = i + lift, own.mean(whose)
                        axis.plot([middle.low, middle.high], [at, at], color=colour, lw=1.8, solid_capstyle="round")
                        axis.plot(middle.estimate, at, mark, color=colour, ms=7 if whose == "shown" else 5)
                axis.plot(own.mean("amplitude").estimate, i, "D", color=AMPLITUDE, ms=5, mfc="none", mew=1.4)
                axis.plot(own.mean("ceiling").estimate, i, "|", color=INK, ms=12, mew=1.5)
            axis.axvline(0.5, color=INK, lw=0.8, ls=":")
            axis.set_yticks(range(len(names)), [found.page.called(each) for each in found.page.networks])
            axis.set(ylim=(len(names) - 0.5, -0.5), title=f"{label}: last layer, mean over heads")
            axis.grid(axis="x", color="#e5e5e5", lw=0.8)
            axis.set_axisbelow(True)
        axes[-1, 0].set_xlabel("AUROC over samples (dotted: chance)")
        marks = [("network shown, 95 %", "o", MEASURED, MEASURED), ("|x|", "D", AMPLITUDE, "none"),
                 ("ceiling of the tokens", "|", INK, INK), ("another record's map", "x", GREY, GREY)]
        if any("fresh" in one.of for one in found.auroc.values()):
            marks.insert(1, ("before training", "s", GREY, GREY))
        handles = [plt.Line2D([], [], color=colour, mfc=inside, marker=mark, ls="", label=told) for told, mark, colour, inside in marks]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=FONT - 1)
        figure.suptitle(f"Does attention gather on the premature beat?\n({found.page.whose})", fontsize=FONT + 1, x=0.01, ha="left")
        return closed(figure)
