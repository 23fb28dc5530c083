"""Page 18, scale: what a million records, a day of one person and a thousand runs cost in bytes, hours and money.

A figure on paper is only as good as the rates that it multiplies. Rates are measured (`study/streaming.py`, stored in
book/benchmarks/scale.json), counted from the network, or assumed, and every one says which.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pandas.io.formats.style import Styler

from ecgstudy import files
from ecgstudy.data.dataset import MILLIVOLT
from ecgstudy.errors import ConfigurationError, DataError
from ecgstudy.models import build_model
from ecgstudy.study import ledger, tables
from ecgstudy.study.chosen import SIGNAL
from ecgstudy.study.complexity import count_parameters, macs
from ecgstudy.study.streaming import BASE, N_CLASSES, PTBXL_RECORDS, SIZES, Streamed, stored

WIDTH = 512                         # of the last stage of the base
TRAINING_SHARE = 0.8                # folds 1 to 8 of 10
PTBXL_TRAINING = round(TRAINING_SHARE * PTBXL_RECORDS)
PUBLISHED_FS = 500                  # Hz, of the files that data sets of this kind are published as
PASSES = 3                          # a training step costs a forward pass and twice that for the backward pass
SAMPLE_BYTES, WEIGHT_BYTES, HALF = 2, 4, 2
LENGTHS = (1000, 2000, 3000)        # samples, whose counts fix the law of a length
HOUR = 3600.0


@dataclass(frozen=True)
class Rates:
    """What is multiplied up. Chosen: n_records, epochs, holter_hours, n_runs. Assumed: gpu_tflops, what a training step sustains
    (10^12 operations a second, a multiply-accumulate being two); prices in dollars. Measured: the rest, per second of one core.
    """

    n_records: int
    epochs: int
    holter_hours: float
    n_runs: int
    gpu_tflops: float
    price_gpu_hour: float
    price_core_hour: float
    price_gb_month: float
    streamed: tuple[Streamed, ...]
    published: tuple[Streamed, ...]
    training_seconds: float             # of one core, for one record in one epoch of the base
    run_bytes: float                    # a finished run in the ledger, mean
    n_ledger: int
    machine: str

    @property
    def simulated_per_second(self) -> float:
        """Records of the simulator prepared a second, at the largest size."""
        return self.streamed[-1].n_records / self.streamed[-1].cpu_seconds

    @property
    def read_per_second(self) -> float:
        """Published recordings read, checked and prepared a second, at the largest size."""
        return self.published[-1].n_records / self.published[-1].cpu_seconds


@dataclass(frozen=True)
class Cost:
    """One thing to pay for: bytes to keep, hours of one core, hours of one GPU; 0 where it needs none."""

    what: str
    n_bytes: float = 0.0
    core_hours: float = 0.0
    gpu_hours: float = 0.0

    def dollars(self, rates: Rates) -> float:
        """Storage for a month, and the hours."""
        return (self.n_bytes / 1e9 * rates.price_gb_month + self.core_hours * rates.price_core_hour
                + self.gpu_hours * rates.price_gpu_hour)


def ask(parameters: Mapping[str, Any]) -> Rates:
    """The page's rates from its parameters and what is stored. ConfigurationError where a number is not above 0, DataError where the
    measurements are missing."""
    names = ("n_records", "epochs", "holter_hours", "n_runs", "gpu_tflops", "price_gpu_hour", "price_core_hour", "price_gb_month")
    for name in names:
        value = parameters[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ConfigurationError(f"{name} is {value!r}; it must be a number above 0")
    found = files.read_json(stored())
    measured = [Streamed(**each) for each in found["measured"]]
    measured.sort(key=lambda each: each.n_records)
    by_form = {form: tuple(each for each in measured if each.form == form) for form in SIZES}
    if any(len(each) < 2 for each in by_form.values()) or "training" not in found:
        raise DataError(f"{stored()} lacks sizes; measure them with `python -m ecgstudy.study.streaming`")
    if not (run_bytes := _run_bytes(ledger.folder())):
        raise DataError(f"{ledger.folder()} holds no finished run, whose size this page multiplies; check the results out again")
    return Rates(**{name: parameters[name] for name in names}, streamed=by_form["simulator"], published=by_form["published"],
                 training_seconds=found["training"]["cpu_seconds_per_record"], run_bytes=statistics.fmean(run_bytes),
                 n_ledger=len(run_bytes), machine=found["machine"])


def _run_bytes(folder: Path) -> list[int]:
    return [path.stat().st_size + path.with_suffix(".npz").stat().st_size for path in sorted(folder.glob("*.json"))]


# -- counted ---------------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class LengthLaw:
    """Multiply-accumulates of one forward pass of the base over T samples: constant + linear T + square T². Exact for T in eights."""

    constant: float
    linear: float
    square: float

    def __call__(self, n_samples: float) -> float:
        return self.constant + self.linear * n_samples + self.square * n_samples ** 2


def counted(n_samples: int) -> int:
    """Multiply-accumulates of the base over one record of that length, without its weights being made."""
    with torch.device("meta"):
        return macs(build_model(BASE, SIGNAL, N_CLASSES), torch.empty(1, SIGNAL.n_leads, n_samples))


def length_law() -> LengthLaw:
    """The law through three counted lengths: attention is all that grows with the square."""
    matrix = np.vander(LENGTHS, 3, increasing=True).astype(np.float64)
    return LengthLaw(*np.linalg.solve(matrix, [counted(n) for n in LENGTHS]))


def n_parameters() -> int:
    """Of the base."""
    with torch.device("meta"):
        return count_parameters(build_model(BASE, SIGNAL, N_CLASSES))


def gpu_hours(rates: Rates, n_macs: float) -> float:
    """Hours of one GPU for so many multiply-accumulates."""
    return 2 * n_macs / (rates.gpu_tflops * 1e12) / HOUR


def core_hours(rates: Rates, n_macs: float, record_macs: float) -> float:
    """Hours of one core, at the pace that training the base was measured at."""
    return n_macs / (PASSES * record_macs) * rates.training_seconds / HOUR


# -- the three scenarios -----------------------------------------------------------------------------------------------------

def million(rates: Rates, law: LengthLaw) -> list[Cost]:
    """(a) Many records: fetch, prepare, keep, train the base once. Two ways to train; a reader pays one of them."""
    n, record = rates.n_records, law(SIGNAL.n_samples)
    published = n * SIGNAL.n_leads * SIGNAL.seconds * PUBLISHED_FS * SAMPLE_BYTES
    steps = n * TRAINING_SHARE * rates.epochs * PASSES * record
    last = rates.streamed[-1]
    return [Cost("published files", published),
            Cost("prepare, one core", (last.signals_bytes + last.table_bytes) / last.n_records * n, n / rates.read_per_second / HOUR),
            Cost("train the base, one GPU", WEIGHT_BYTES * n_parameters(), gpu_hours=gpu_hours(rates, steps)),
            Cost("or: train it, one core", WEIGHT_BYTES * n_parameters(), core_hours(rates, steps, record))]


def memory(rates: Rates, n_records: float) -> float:
    """Bytes that preparing so many records would hold, along the line through the smallest and the largest measured size."""
    first, last = rates.streamed[0], rates.streamed[-1]
    return first.peak_bytes + (last.peak_bytes - first.peak_bytes) / (last.n_records - first.n_records) * (n_records - first.n_records)


@dataclass(frozen=True)
class Reading:
    """A way to read a long recording once: multiply-accumulates, and bytes of what must be held at once beside the recording."""

    way: str
    n_macs: float
    held_bytes: float


def holter(rates: Rates, law: LengthLaw, hours: float | None = None) -> list[Reading]:
    """(b) A long recording of one person: windows and a recurrent aggregator (a GRU over windows), or attention over all of it."""
    n_samples = (rates.holter_hours if hours is None else hours) * HOUR * SIGNAL.fs
    windows = n_samples / SIGNAL.n_samples
    tokens = n_samples / 4              # of stage 3, the longest sequence that attends to itself
    return [Reading("windows of 10 s, then a GRU", windows * (law(SIGNAL.n_samples) + 6 * WIDTH ** 2), windows * WIDTH * WEIGHT_BYTES),
            Reading("attention over all of it", law(n_samples), tokens ** 2 * HALF)]


def holter_bytes(rates: Rates) -> float:
    """Of the long recording itself, as it is prepared."""
    return rates.holter_hours * HOUR * SIGNAL.fs * SIGNAL.n_leads * SAMPLE_BYTES


def many_runs(rates: Rates, law: LengthLaw, n_training: int) -> list[Cost]:
    """(c) Many runs of the base on `n_training` records each: what the ledger keeps, weights, and the training itself."""
    steps = rates.n_runs * n_training * rates.epochs * PASSES * law(SIGNAL.n_samples)
    return [Cost("results and predictions", rates.n_runs * rates.run_bytes),
            Cost("weights", rates.n_runs * WEIGHT_BYTES * n_parameters()),
            Cost("training, one GPU", gpu_hours=gpu_hours(rates, steps)),
            Cost("or: training, one core", core_hours=core_hours(rates, steps, law(SIGNAL.n_samples)))]


# -- shown -------------------------------------------------------------------------------------------------------------------

def rate_table(rates: Rates, law: LengthLaw) -> Styler:
    """Every number that is multiplied, with its unit and where it comes from."""
    record, largest = law(SIGNAL.n_samples), rates.streamed[-1]
    rows = [("records", f"{rates.n_records:,}", "", "chosen"), ("epochs", f"{rates.epochs}", "", "chosen"),
            ("long recording", f"{rates.holter_hours:g}", "hours", "chosen"), ("runs", f"{rates.n_runs:,}", "", "chosen"),
            ("sample", f"{SAMPLE_BYTES}", "bytes", f"int16, 1/{MILLIVOLT} mV"),
            ("record", f"{record / 1e9:.3f}", "GMAC", f"counted: {BASE}, one forward pass"),
            ("training step", f"{PASSES}", "forward passes", "counted: backward is two"),
            ("reading", f"{rates.read_per_second:,.0f}", "records a second", f"measured: {rates.published[-1].n_records:,} files"),
            ("simulating", f"{rates.simulated_per_second:,.0f}", "records a second", f"measured: {largest.n_records:,} records"),
            ("training, one core", f"{rates.training_seconds:.2f}", "seconds a record", "measured: the base, batches of 8"),
            ("finished run", f"{rates.run_bytes / 1e3:,.0f}", "kB", f"measured: mean of the {rates.n_ledger} in the ledger"),
            ("GPU, sustained", f"{rates.gpu_tflops:g}", "10¹² operations a second", "assumed"),
            ("GPU", f"{rates.price_gpu_hour:g}", "$ an hour", "assumed"), ("core", f"{rates.price_core_hour:g}", "$ an hour", "assumed"),
            ("storage", f"{rates.price_gb_month:g}", "$ a GB and month", "assumed")]
    return tables.style(pd.DataFrame(rows, columns=["what", "value", "unit", "source"]),
                        f"What is multiplied. Measured: processor time on one core of {rates.machine}.")


def prediction_table(rates: Rates) -> Styler:
    """Each measured size beside what the size before it would have promised."""
    rows = []
    for before, now in zip((None, *rates.streamed), rates.streamed, strict=False):
        factor = now.n_records / before.n_records if before else np.nan
        rows.append((f"{now.n_records:,}", tables.show(before.cpu_seconds * factor, 0) if before else "–", tables.show(now.cpu_seconds, 0),
                     tables.show(before.signals_bytes * factor / 1e6, 0) if before else "–", tables.show(now.signals_bytes / 1e6, 0),
                     tables.show(now.peak_bytes / 1e6, 0)))
    heads = ["records", "s, promised", "s, measured", "MB, promised", "MB, measured", "peak memory (MB)"]
    return tables.style(pd.DataFrame(rows, columns=heads),
                        "Simulated records, prepared: processor seconds and bytes on disk; promised by the size above, times the records.")


def cost_table(costs: Sequence[Cost], rates: Rates, caption: str) -> Styler:
    """Bytes, hours and money of each step."""
    rows = [(cost.what, size(cost.n_bytes), duration(cost.core_hours), duration(cost.gpu_hours), f"{cost.dollars(rates):,.2f}")
            for cost in costs]
    return tables.style(pd.DataFrame(rows, columns=["", "bytes", "one core", "one GPU", "$ (a month)"]), caption)


def reading_table(readings: Sequence[Reading], rates: Rates, law: LengthLaw) -> Styler:
    """Multiply-accumulates, times and memory of the ways to read a long recording once."""
    rows = [(each.way, f"{each.n_macs / 1e12:,.0f}", duration(core_hours(rates, each.n_macs, law(SIGNAL.n_samples))),
             duration(gpu_hours(rates, each.n_macs)), size(each.held_bytes)) for each in readings]
    return tables.style(pd.DataFrame(rows, columns=["way", "10¹² MACs", "one core", "one GPU", "held at once"]),
                        f"One recording of {rates.holter_hours:g} hours, {size(holter_bytes(rates))}, read once.")


def size(n_bytes: float) -> str:
    """Bytes in words.

    >>> size(0), size(24_000), size(24.2e9), size(9.3e12)
    ('–', '24 kB', '24 GB', '9.3 TB')
    """
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:,.{1 if n_bytes < 10 * unit else 0}f} {name}"
    return f"{n_bytes:.0f} B" if n_bytes else "–"


def duration(hours: float) -> str:
    """Hours in words.

    >>> duration(0), duration(0.1 / 3600), duration(0.5), duration(30), duration(5000)
    ('–', '0.1 s', '30 min', '30 h', '208 days')
    """
    if not hours:
        return "–"
    units = ((1 / HOUR, "s", 2 / 60), (1 / 60, "min", 2.0), (1.0, "h", 100.0), (24.0, "days", 17_520.0), (8766.0, "years", np.inf))
    unit, name = next((unit, name) for unit, name, most in units if hours < most)
    return f"{hours / unit:,.{1 if hours / unit < 10 else 0}f} {name}"


def in_words(rates: Rates, law: LengthLaw, n_training: int) -> str:
    """What the tables say, in sentences whose numbers are theirs, as Markdown."""
    first, last = rates.streamed[0], rates.streamed[-1]
    kept = million(rates, law)
    windows, whole = holter(rates, law)
    times = last.n_records / first.n_records
    growth = (last.peak_bytes - first.peak_bytes) / (last.n_records - first.n_records)
    runs = many_runs(rates, law, n_training)
    alone = (law(SIGNAL.n_samples) - law.square * SIGNAL.n_samples ** 2) / law(SIGNAL.n_samples)
    n, record_bytes = f"{rates.n_records:,}", last.signals_bytes / last.n_records
    return "\n\n".join([
        f"**Memory.** {times:,.0f} times the records took {last.peak_bytes / first.peak_bytes:.2f} times the memory: {growth:,.0f} bytes "
        f"for each further record, whose signal has {record_bytes:,.0f}. {n} records would be prepared in "
        f"{size(memory(rates, rates.n_records))}.",
        f"**{n} records** are {size(kept[1].n_bytes)} on disk once prepared, and take {duration(kept[1].core_hours)} of one core. "
        f"Training is what costs: {duration(kept[2].gpu_hours)} of the assumed GPU, or {duration(kept[3].core_hours)} of this core.",
        f"**{rates.holter_hours:g} hours of one person.** The products of attention are {1 - alone:.0%} of the work on 10 s. Over the "
        f"whole recording, attending to everything costs {whole.n_macs / windows.n_macs:,.0f} times as much as windows with a GRU over "
        f"them, and one head's weights alone would fill {size(whole.held_bytes)} where they are held.",
        f"**{rates.n_runs:,} runs** on {n_training:,} records keep {size(runs[0].n_bytes)} of results and {size(runs[1].n_bytes)} of "
        f"weights, and take {duration(runs[2].gpu_hours)} of the assumed GPU, {runs[2].dollars(rates):,.0f} $; on one core, "
        f"{duration(runs[3].core_hours)}."])
