"""Measures simulated recordings the way real ones were measured, and holds the two side by side (`reference`).

    for check in measure():
        check.what, check.where, check.measured, (check.low, check.high), check.inside

Every function simulates its own records from a fixed seed, so the answer is the same wherever it is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecgstudy.data.labels import CPSC_CLASSES
from ecgstudy.data.synthetic import Settings, Simulation, draw_parameters, reference, simulate
from ecgstudy.data.synthetic.timing import time_beats
from ecgstudy.data.synthetic.truth import parameter_table
from ecgstudy.leads import LEADS, limb_residuals

SILENT, BALANCED = Settings(noise=0), Settings(scheme="balanced")
N_CLASSES = len(CPSC_CLASSES)


@dataclass(frozen=True)
class Check:
    """One measured value beside the range that real recordings allow. where: a lead, a class or a band."""

    what: str
    where: str
    unit: str
    measured: float
    low: float
    high: float

    @property
    def inside(self) -> bool:
        return bool(self.low <= self.measured <= self.high)


def measure() -> list[Check]:
    """Every check of this module; some seconds."""
    return [*limb_identities(), *amplitudes(), *class_means(), *spectrum(), *noise()]


def median_beat(simulation: Simulation, record: int, before: float = 0.4, after: float = 0.6) -> tuple[np.ndarray, pd.Series]:
    """Median of a record's conducted beats, [12, t] in mV from the level before the QRS, and when its waves stand in it, in s."""
    fs = simulation.fs
    seconds = simulation.signals.shape[2] / fs
    beats = simulation.beats
    beats = beats[(beats.record == record) & beats.kind.isin(["sinus", "AF"]) & (beats.r > before) & (beats.r < seconds - after)]
    starts = ((beats.r - before) * fs).round().astype(int)
    beat = np.median([simulation.signals[record, :, start:start + round((before + after) * fs)] for start in starts], 0)
    onset = round((before - (beats.r - beats.qrs_on).iloc[0]) * fs)
    times = beats.drop(columns=["record", "kind"]).iloc[0].astype(float)
    return beat - beat[:, onset - 3:onset].mean(1, keepdims=True), times - times.r + before


def limb_identities() -> list[Check]:
    """Largest departure of 200 noisy records from III = II - I and Goldberger's three."""
    worst = max(max(limb_residuals(signal).values()) for signal in simulate(3, range(200)).signals)
    return [Check("limb lead identities", "I to aVF", "mV", worst, 0.0, reference.LIMB_TOLERANCE)]


def amplitudes() -> list[Check]:
    """Median R, S and T over the median beats of 192 records, labels in their natural frequency, without noise, at 500 Hz."""
    simulation = simulate(3, range(192), fs=500, settings=SILENT)
    r, s, t = [], [], []
    for record in range(len(simulation.signals)):
        beat, at = median_beat(simulation, record)
        qrs = beat[:, int(at.qrs_on * 500):int(at.qrs_off * 500)]                      # [12, t]
        r.append(np.maximum(qrs.max(1), 0))
        s.append([lead[lead.argmax():].min() for lead in qrs])
        t.append(beat[:, int(at.t_peak * 500)])
    r, s, t = (dict(zip(LEADS, np.median(found, 0).tolist(), strict=True)) for found in (r, s, t))
    tolerance = reference.T_TOLERANCE
    return ([Check("R peak", lead, "mV", r[lead], low, high) for lead, (low, high) in reference.R_PEAK.items()]
            + [Check("S trough", lead, "mV", s[lead], low, high) for lead, (low, high) in reference.S_TROUGH.items()]
            + [Check("T peak", lead, "mV", t[lead], real - tolerance, real + tolerance) for lead, real in reference.T_PEAK.items()])


def class_means(n_records: int = 500) -> list[Check]:
    """Mean heart rate, QRS and QTc after Bazett of each class, over the parameters of that many records."""
    found = []
    for name, means in reference.CLASS_MEANS.items():
        drawn = draw_parameters(0, np.arange(CPSC_CLASSES.index(name), N_CLASSES * n_records, N_CLASSES), BALANCED, 10.0)
        table = parameter_table(drawn, time_beats(drawn))
        rr = 60 / table.heart_rate
        bazett = (table.qtc - 0.154 * (1 - rr)) / np.sqrt(rr)                          # from Framingham's, which the simulator draws
        measured = {"heart rate": table.heart_rate.mean(), "QRS": 1000 * table.qrs.mean(), "QTc": 1000 * bazett.mean()}
        for what, mean in means.items():
            margin = reference.CLASS_TOLERANCE * mean
            found.append(Check(what, name, "1/min" if what == "heart rate" else "ms", float(measured[what]), mean - margin, mean + margin))
    return found


def spectrum() -> list[Check]:
    """Power in bands relative to 5 to 10 Hz, median over 64 Normal records at 500 Hz."""
    signals = simulate(5, range(0, N_CLASSES * 64, N_CLASSES), fs=500, settings=BALANCED).signals
    f = np.fft.rfftfreq(signals.shape[2], 1 / 500)
    found = []
    for lead, levels in reference.SPECTRUM.items():
        power = np.abs(np.fft.rfft(signals[:, LEADS.index(lead)] * np.hanning(signals.shape[2]))) ** 2      # [R, f]

        def level(low: float, high: float, power: np.ndarray = power) -> np.ndarray:
            return 10 * np.log10(power[:, (f >= low) & (f < high)].mean(1))

        for (low, high), real in zip(reference.BANDS, levels, strict=True):
            found.append(Check("spectrum", f"{lead}, {low}–{high} Hz", "dB", float(np.median(level(low, high) - level(5, 10))),
                               real - reference.SPECTRUM_TOLERANCE, real + reference.SPECTRUM_TOLERANCE))
    return found


def noise() -> list[Check]:
    """Root mean square of the noise alone, the median over 128 records and all leads at 100 Hz."""
    noise = simulate(5, range(128)).signals - simulate(5, range(128), settings=SILENT).signals
    n = noise.shape[2]
    power = np.abs(np.fft.rfft(noise)) ** 2 * 2 / n ** 2
    f = np.fft.rfftfreq(n, 0.01)
    found = []
    for (low, high), real in reference.NOISE.items():
        level = float(np.median(np.sqrt(power[..., (f >= low) & (f < high)].sum(-1))))
        where = "below 0.5 Hz" if low < 1 else f"{low}–{high} Hz"
        found.append(Check("noise", where, "mV", level, real / reference.NOISE_FACTOR, real * reference.NOISE_FACTOR))
    return found
