"""The twelve leads on paper, as a cardiologist reads them: 25 mm/s, 10 mm/mV, a millimetre grid whose squares are square.

Everything is drawn in millimetres on one axes that covers the whole figure, so the scale is exact by construction: the
figure's size in inches is its width and height in millimetres over 25.4. Each row shows three or four leads for 2.5 s each,
and the strip below shows lead II throughout.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ecgstudy.errors import DataError, require_known
from ecgstudy.leads import LEADS

ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
RHYTHM = "II"
SPEED, GAIN = 25.0, 10.0                    # mm/s, mm/mV
COLUMN, SECONDS = 2.5, 10.0                 # seconds of one lead, of the page
PULSE = (1.0, 0.2)                          # calibration: mV, seconds
LEFT, RIGHT, HEAD, FOOT = 15.0, 5.0, 10.0, 7.0      # mm around the traces
NEAREST, FARTHEST = 20.0, 35.0              # mm between the zero lines of two rows; taller traces cross, as on paper
TALLEST = 45.0                              # mm above the first zero line and below the last; what reaches farther is cut
PIXELS = 5                                  # a millimetre: whole, so that every grid line is equally sharp
DPI = PIXELS * 25.4
INK, FINE, COARSE = "#111111", "#f8dddd", "#eeb4b4"
BAND = (-7.5, 9.5)                          # mm from the zero line that a span or heat covers
HEAT = "#f0862b"
SHADES = ("#2f7fd0", "#e08a00", "#2e9e5b", "#8e4ec6")


def twelve_leads(signal: np.ndarray, fs: float, *, title: str, spans: Mapping[str, Sequence[tuple[float, float]]] | None = None,
                 leads: Mapping[str, Collection[str]] | None = None, heat: np.ndarray | None = None, start: float = 0.0) -> Figure:
    """One recording as a 3 x 4 page with a rhythm strip of lead II.

    signal: [L=12, T] in mV, leads in the study's order; NaN leaves a gap. fs in Hz. start: second of the record at which the page
    begins; 10 s are shown. spans: label -> (start, end) in seconds of the record, shaded on the leads that `leads` names for
    that label (on all where it names none), one colour a label, and named at the foot. heat: [12, T] from 0 to 1, of each sample of each
    lead, drawn behind the traces, the deeper the colour the nearer to 1; NaN is drawn as 0.

    Each lead is drawn from its own median, as an ECG machine's high-pass filter would. Column c shows the seconds 2.5 c to
    2.5 c + 2.5 of the page; where the record is too short for that, it shows the last 2.5 s that there are, and the foot says so.
    Raises DataError for a signal that is not [12, T] or that has no sample after `start`, and for heat of another shape.
    """
    signal = np.asarray(signal, np.float64)
    if signal.ndim != 2 or len(signal) != len(LEADS):
        raise DataError(f"a page needs a signal of shape (12, T) in mV, got {signal.shape}")
    if heat is not None and np.shape(heat) != signal.shape:
        raise DataError(f"heat has the shape {np.shape(heat)} and the signal {signal.shape}; give one value for each sample of each lead")
    shown = slice(round(start * fs), round((start + SECONDS) * fs))
    page = signal[:, shown]
    if not np.isfinite(page).any():
        raise DataError(f"the record has no sample after second {start:g}; it lasts {signal.shape[1] / fs:g} s")
    page = page - np.nanmedian(page, axis=1, keepdims=True)
    starts = column_starts(page.shape[1] / fs)
    shaded = {label: ([(a - start, b - start) for a, b in found], _lead_names(label, leads)) for label, found in (spans or {}).items()}

    panels = [[_Panel(lead, begin, COLUMN, LEFT + SPEED * COLUMN * c) for c, (lead, begin) in enumerate(zip(row, starts, strict=True))]
              for row in ROWS] + [[_Panel(RHYTHM, 0.0, SECONDS, LEFT)]]
    zeros, height = _zero_lines([[panel.cut(page, fs) for panel in row] for row in panels])
    figure, axis = sheet(LEFT + SPEED * SECONDS + RIGHT, height)
    grid(axis, 0, axis.get_xlim()[1], FOOT, height - HEAD)
    for row, zero in zip(panels, zeros, strict=True):
        _calibration(axis, zero)
        for panel in row:
            if heat is not None:
                _warm(axis, panel, panel.cut(np.asarray(heat)[:, shown], fs), fs, zero)
            _draw(axis, panel, panel.cut(page, fs), fs, zero, shaded)
    _words(axis, height, title, starts, list(shaded))
    return figure


def column_starts(seconds: float) -> list[float]:
    """The second at which each column begins, for a record of that length."""
    return [max(0.0, min(COLUMN * c, seconds - COLUMN)) for c in range(len(ROWS[0]))]


class _Panel:
    """Where one lead stands on the page: from `begin` for `seconds`, its left edge at `x` mm."""

    def __init__(self, lead: str, begin: float, seconds: float, x: float) -> None:
        self.lead, self.begin, self.seconds, self.x = lead, begin, seconds, x

    def cut(self, page: np.ndarray, fs: float) -> np.ndarray:
        """This panel's samples [t] in mV, with one more at its end, so that neighbouring columns leave no gap."""
        first = round(self.begin * fs)
        return page[LEADS.index(self.lead), first:first + round(self.seconds * fs) + 1]


def _lead_names(label: str, leads: Mapping[str, Collection[str]] | None) -> Collection[str]:
    named = (leads or {}).get(label, LEADS)
    for name in named:
        require_known("lead", name, LEADS)
    return named


def _zero_lines(rows: Sequence[Sequence[np.ndarray]]) -> tuple[list[float], float]:
    """Height of each row's zero line and of the page, in mm: whole 5-mm lines, as close as the traces above each other allow."""
    def reach(row: Sequence[np.ndarray], sign: int) -> np.ndarray:
        """How far each quarter of a row goes up (sign 1) or down (-1), in mm."""
        quarters = row if len(row) > 1 else np.array_split(row[0], len(ROWS[0]))
        return np.array([GAIN * np.max(sign * part[np.isfinite(part)], initial=0.0) for part in quarters])

    def whole(millimetres: float, least: float, most: float) -> float:
        return 5.0 * np.ceil(np.clip(millimetres, least, most) / 5)

    gaps = [whole((reach(above, -1) + reach(below, 1)).max() + 2, NEAREST, FARTHEST)
            for above, below in zip(rows[:-1], rows[1:], strict=True)]
    lowest = whole(reach(rows[-1], -1).max() + 2, 10.0, TALLEST)
    zeros = [FOOT + lowest + sum(gaps[i:]) for i in range(len(rows))]
    return zeros, zeros[0] + whole(reach(rows[0], 1).max() + 2, 15.0, TALLEST) + HEAD


def sheet(width: float, height: float, dpi: float = DPI) -> tuple[Figure, Axes]:
    """An empty page; its axes covers it and is in millimetres."""
    figure = plt.figure(figsize=(width / 25.4, height / 25.4), dpi=dpi, facecolor="white")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.set_axis_off()
    return figure, axis


def grid(axis: Axes, left: float, right: float, bottom: float, top: float) -> None:
    """Millimetre squares on a part of a `sheet`, every fifth line stronger; counted from `left` and `bottom`."""
    for step, colour in ((1, FINE), (5, COARSE)):
        upright = [[(x, bottom), (x, top)] for x in np.arange(left, right + 0.5, step)]
        level = [[(left, y), (right, y)] for y in np.arange(bottom, top + 0.5, step)]
        axis.add_collection(LineCollection(upright + level, colors=colour, linewidths=72 / axis.figure.dpi, antialiaseds=False,
                                           zorder=step / 10), autolim=False)


def _calibration(axis: Axes, zero: float) -> None:
    """1 mV for 0.2 s at the left of a row."""
    high, wide = GAIN * PULSE[0], SPEED * PULSE[1]
    x = np.array([0, 0, wide, wide]) + 5.0
    line, = axis.plot([3.0, *x, x[-1] + 2.0], [zero, zero, zero + high, zero + high, zero, zero], color=INK, lw=0.9,
                      solid_joinstyle="miter", zorder=3)
    line.set_gid("calibration")


def _warm(axis: Axes, panel: _Panel, heat: np.ndarray, fs: float, zero: float) -> None:
    """The heat of one lead behind its trace: one colour, whose opacity is the heat."""
    colours = np.empty((1, len(heat), 4))
    colours[..., :3], colours[..., 3] = to_rgb(HEAT), np.clip(np.nan_to_num(heat), 0, 1)
    left, right = panel.x + SPEED * (np.array([0, len(heat) - 1]) + [-0.5, 0.5]) / fs
    image = axis.imshow(colours, extent=(left, right, zero + BAND[0], zero + BAND[1]), aspect="auto", interpolation="nearest", zorder=1)
    image.set_gid(f"heat {panel.lead} from {panel.begin:g} s")


def _draw(axis: Axes, panel: _Panel, trace: np.ndarray, fs: float, zero: float,
          shaded: Mapping[str, tuple[Sequence[tuple[float, float]], Collection[str]]]) -> None:
    """One lead in its place: spans behind it, its name above the zero line, a tick where the next lead takes over."""
    for colour, (spans, leads) in zip(SHADES * len(shaded), shaded.values(), strict=False):
        for begin, end in spans if panel.lead in leads else ():
            left, right = np.clip([begin - panel.begin, end - panel.begin], 0, panel.seconds)
            if right > left:
                axis.fill_between(panel.x + SPEED * np.array([left, right]), zero + BAND[0], zero + BAND[1], color=colour, alpha=0.28, lw=0,
                                  zorder=1)
    line, = axis.plot(panel.x + SPEED * np.arange(len(trace)) / fs, zero + GAIN * trace, color=INK, lw=0.9, solid_joinstyle="round",
                      zorder=3)
    line.set_gid(f"trace {panel.lead} from {panel.begin:g} s")
    line.set_clip_path(Rectangle((0, FOOT), axis.get_xlim()[1], axis.get_ylim()[1] - HEAD - FOOT, transform=axis.transData))
    if panel.x > LEFT:
        axis.plot([panel.x, panel.x], [zero - 3, zero + 3], color=INK, lw=0.9, zorder=3)
    axis.text(panel.x + 1, zero + 9, panel.lead, fontsize=9, fontweight="bold", color=INK, va="center", zorder=2,
              bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.6})


def _words(axis: Axes, height: float, title: str, starts: Sequence[float], labels: Sequence[str]) -> None:
    """Title above; below it speed, gain, the columns' seconds where they are unusual, and which colour marks which label."""
    axis.text(3, height - HEAD / 2, title, fontsize=11, color=INK, va="center")
    scale = f"{SPEED:g} mm/s   {GAIN:g} mm/mV"
    if starts != column_starts(SECONDS):
        scale += "   columns from " + ", ".join(f"{second:.3g}" for second in starts) + " s"
    axis.text(3, FOOT / 2, scale, fontsize=9, color=INK, va="center")
    x = LEFT + SPEED * SECONDS
    for colour, label in reversed(list(zip(SHADES * len(labels), labels, strict=False))):
        x -= 2.2 * len(label) + 8
        axis.fill_between([x, x + 4], FOOT / 2 - 1.5, FOOT / 2 + 1.5, color=colour, alpha=0.4, lw=0)
        axis.text(x + 5, FOOT / 2, label, fontsize=9, color=INK, va="center")
