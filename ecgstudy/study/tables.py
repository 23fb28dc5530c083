"""Tables of the pages. Every number comes from the ledger or is computed here; the notes' own stand beside, in grey."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from ecgstudy import files
from ecgstudy.errors import DataError
from ecgstudy.evaluate.bootstrap import Interval
from ecgstudy.study.comparison import Difference, Measured, Row
from ecgstudy.study.complexity import NetworkCost
from ecgstudy.study.ledger import Run
from ecgstudy.study.names import readable

NOTES = "notes"         # first level of a column that shows the study notes' numbers: drawn grey


def reported(section: str) -> dict[str, Any]:
    """One section of book/reported.yaml: the notes' own numbers, and those of the papers."""
    import yaml

    path = files.repository() / "book" / "reported.yaml"
    if not path.is_file():
        raise DataError(f"{path} does not exist; the notes' numbers are part of the repository")
    return yaml.safe_load(path.read_text(encoding="utf-8"))[section]


def reported_pair(test: str, validation: str) -> dict[str, float]:
    """The notes' F1 on test and on validation, each at a dotted path of reported.yaml; what has no path or no value is left out."""
    found = {}
    for name, path in (("test_f1", test), ("validation_f1", validation)):
        if path:
            section, *rest = path.split(".")
            value = reported(section)
            for part in rest:
                value = value[part]
            found[name] = value
    return found


def show(value: float, digits: int = 3, signed: bool = False) -> str:
    """A number with fixed digits; a dash for what does not exist."""
    if value is None or math.isnan(value):
        return "–"
    rounded = round(value, digits) + 0.0        # no minus zero
    return f"{rounded:{'+' if signed and rounded else ''}.{digits}f}".replace("-", "−")


def show_interval(found: Interval, signed: bool = False, joint: str = " ") -> str:
    """An estimate and its interval; `joint` stands between the two."""
    return f"{show(found.estimate, signed=signed)}{joint}[{show(found.low, signed=signed)}, {show(found.high, signed=signed)}]"


def show_measured(found: Measured) -> str:
    """Mean ± SD over seeds, and below it the interval."""
    spread = "" if math.isnan(found.deviation) else f" ± {show(found.deviation)}"
    return f"{show(found.interval.estimate)}{spread}<br>[{show(found.interval.low)}, {show(found.interval.high)}]"


def show_p(difference: Difference | None) -> str:
    if difference is None:
        return "–"
    return "< 0.01" if difference.p_holm < 0.01 else f"{difference.p_holm:.2f}"


def style(table: pd.DataFrame, caption: str) -> Styler:
    """A table for the book: no index noise, the notes' columns grey, the caption above."""
    grey = [column for column in table.columns if NOTES in (column if isinstance(column, tuple) else (column,))]
    styler = table.style.set_caption(caption).hide(axis="index").set_table_attributes('class="dataframe study"')
    return styler.set_properties(subset=grey, **{"color": "#8a8a8a", "font-style": "italic"}) if grey else styler


def score_table(rows: Sequence[Row], axis: str, notes: dict[str, dict[str, float]]) -> Styler:
    """Scores of one axis on the test fold: mean ± SD over seeds [95 % interval], paired difference to the baseline, notes' F1."""
    lines = []
    for row in rows:
        auroc = row.difference["macro_auroc"]
        told = notes.get(row.value, {})
        grey = {(NOTES, "F1 test"): show(told.get("test_f1"), 4), (NOTES, "F1 val."): show(told.get("validation_f1"), 4)}
        lines.append({
            ("", axis): readable(row.value),
            ("test fold", "macro-AUROC"): show_measured(row.measured["macro_auroc"]),
            ("test fold", "macro-F1"): show_measured(row.measured["macro_f1"]),
            ("AUROC against baseline", "difference"): show_interval(auroc.interval, True, "<br>") if auroc else "–",
            ("AUROC against baseline", "p"): show_p(auroc)} | (grey if notes else {}))
    run = rows[0].runs[0]
    seeds = sorted({len(row.runs) for row in rows})
    caption = (f"{describe_data(run)}; {' to '.join(map(str, seeds))} seed{'s' * (seeds != [1])}. Mean over seeds ± SD over seeds, "
               f"[95 % interval over patients, from the {rows[0].measured['macro_auroc'].interval.n_replicates:,} bootstrap draws "
               "that kept every class]; differences on the seeds that both have, p after Holm."
               + " In grey the notes: CPSC2018, full width, threshold and epoch chosen on the scored fold." * bool(notes))
    table = pd.DataFrame(lines)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return style(table, caption)


def cost_table(costs: Sequence[NetworkCost], full: Sequence[NetworkCost], axis: str) -> Styler:
    """What each value costs: the network that was trained on this page, and the full base network of the notes."""
    lines = [{("", axis): readable(here.name),
              ("this page", "parameters"): f"{here.n_parameters:,}", ("this page", "MACs"): mega(here.macs),
              ("this page", "ms a record"): show(here.milliseconds, 1),
              ("full width", "parameters"): f"{base.n_parameters:,}", ("full width", "MACs"): mega(base.macs),
              (NOTES, "MACs"): mega(base.notes_macs)} for here, base in zip(costs, full, strict=True)]
    table = pd.DataFrame(lines)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return style(table, "Parameters and multiply-accumulates of one 10-s record; processor time of one forward pass, batch of one, one "
                        "thread, median, on the machine that made this page. In grey the full network by the notes' counting rule, which "
                        "leaves the attention products out.")


def mega(macs: int) -> str:
    """Multiply-accumulates in millions."""
    return f"{macs / 1e6:,.1f} M"


def describe_data(run: Run) -> str:
    """What a result was measured on, in one line."""
    e, data = run.experiment, run.result["data"]
    return (f"{e.dataset} ({e.task}, {len(data['classes'])} classes), {e.profile} profile: {data['n_training']:,} training, "
            f"{data['n_validation']:,} validation, {data['n_test']:,} test records")


def class_auroc(rows: Sequence[Row]) -> np.ndarray:
    """Test AUROC [values, K] of every class, mean over seeds; NaN for a class that the fold lacks."""
    return np.array([np.mean([[np.nan if value is None else value for value in run.result["scores"]["test"]["auroc"]] for run in row.runs],
                             axis=0) for row in rows])


def per_class_table(rows: Sequence[Row], axis: str) -> Styler:
    """Test AUROC of every class, mean over seeds, with the class's number of positive test records in the head."""
    test = rows[0].runs[0].result["scores"]["test"]
    heads = [f"{name}<br>({n})" for name, n in zip(test["classes"], test["positives"], strict=True)]
    lines = [{axis: readable(row.value)} | {head: show(value) for head, value in zip(heads, values, strict=True)}
             for row, values in zip(rows, class_auroc(rows), strict=True)]
    return style(pd.DataFrame(lines), "Test AUROC of each class, mean over seeds; in brackets the positive test records. A class with a "
                                      "handful of positives moves the macro mean by chance.")
