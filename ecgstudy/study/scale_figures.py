"""Page 18's pictures: preparing over the number of records, and the work of a long recording over its length."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ecgstudy.study import scale
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE
from ecgstudy.study.scale import LengthLaw, Rates

OTHER = "#b3541e"
HOURS = np.geomspace(10 / 3600, 24 * 7, 200)


def streaming_figure(rates: Rates, title: str) -> Figure:
    """Above: bytes on disk and the largest memory, measured, and the line on to the page's number of records. Below: processor time."""
    measured = np.array([each.n_records for each in rates.streamed])
    ahead = np.geomspace(measured[0], max(rates.n_records, measured[-1]), 60)
    with plt.rc_context(STYLE):
        figure, (above, below) = plt.subplots(2, 1, figsize=(6.4, 6.6), sharex=True, layout="constrained")
        last = rates.streamed[-1]
        above.plot(ahead, ahead * last.signals_bytes / last.n_records / 1e9, color=OTHER, lw=1, ls="--")
        above.plot(measured, [each.signals_bytes / 1e9 for each in rates.streamed], "s", color=OTHER, label="signals on disk")
        above.plot(ahead, [scale.memory(rates, n) / 1e9 for n in ahead], color=MEASURED, lw=1, ls="--")
        above.plot(measured, [each.peak_bytes / 1e9 for each in rates.streamed], "o", color=MEASURED, label="largest memory of the process")
        above.set(ylabel="GB", yscale="log")
        below.plot(ahead, ahead / rates.simulated_per_second / 60, color=MEASURED, lw=1, ls="--")
        below.plot(measured, [each.cpu_seconds / 60 for each in rates.streamed], "o", color=MEASURED, label="simulate and prepare")
        files = rates.published
        below.plot(ahead, ahead / rates.read_per_second / 60, color=OTHER, lw=1, ls="--")
        below.plot([each.n_records for each in files], [each.cpu_seconds / 60 for each in files], "s", color=OTHER,
                   label="read files and prepare")
        below.set(ylabel="minutes of one core", yscale="log", xscale="log", xlabel="records")
        for axis in (above, below):
            axis.axvline(rates.n_records, color=GREY, lw=1, ls=":")
            axis.grid(color="#e5e5e5", lw=0.8)
            axis.legend(fontsize=9, loc="upper left")
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure


def holter_figure(rates: Rates, law: LengthLaw, title: str) -> Figure:
    """Multiply-accumulates of reading a recording once, over its length, both axes logarithmic: windows, and attention over all of it."""
    found = [scale.holter(rates, law, hours) for hours in HOURS]
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
        for way, colour, mark in ((0, MEASURED, "-"), (1, OTHER, "--")):
            axis.plot(HOURS, [each[way].n_macs / 1e9 for each in found], mark, color=colour, lw=2, label=found[0][way].way)
        axis.axvline(rates.holter_hours, color=GREY, lw=1, ls=":")
        axis.set(xscale="log", yscale="log", xlabel="length of the recording", ylabel="10⁹ multiply-accumulates")
        axis.set_xticks([10 / 3600, 5 / 60, 1, 24, 168], ["10 s", "5 min", "1 h", "24 h", "7 days"])
        axis.minorticks_off()
        axis.grid(color="#e5e5e5", lw=0.8)
        axis.legend(fontsize=9, labelcolor=INK)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure
