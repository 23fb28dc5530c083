"""Page 14: the notes' two result tables, one data set a table, and what a network knows about another data set's records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecgstudy.evaluate.bootstrap import interval, patient_weights, replicate_decisions, replicate_scores
from ecgstudy.evaluate.metrics import decisions
from ecgstudy.study import figures, tables
from ecgstudy.study.axis_page import AxisPage, Comparison, provenance
from ecgstudy.study.comparison import Measured, Row
from ecgstudy.study.ledger import Run
from ecgstudy.study.names import readable
from ecgstudy.study.plans import TRANSFERS, transfer
from ecgstudy.study.request import fulfil
from ecgstudy.study.tables import NOTES, show, show_measured

MULTI_LABEL = (("cpsc", "nine"), ("ptbxl", "rhythm"), ("ptbxl", "nine"), ("synthetic", "nine"))
SINGLE_LABEL = (("chapman", "rhythm"), ("synthetic_rhythm", "rhythm"))
IN_NOTES = {("cpsc", "nine"): "cpsc", ("ptbxl", "rhythm"): "ptbxl", ("chapman", "rhythm"): "chapman"}
WHY = {("cpsc", "nine"): "the notes' first table", ("ptbxl", "rhythm"): "the notes' second data set, twelve rhythm statements",
       ("ptbxl", "nine"): "the nine statements that CPSC2018 also labels, on recordings that are not CPSC2018's",
       ("synthetic", "nine"): "simulated records in CPSC2018's nine classes", ("chapman", "rhythm"): "the notes' multi-class table",
       ("synthetic_rhythm", "rhythm"): "simulated records in Chapman-Shaoxing's four groups"}
Found = dict[tuple[str, str], Comparison]       # (data set, task) -> its runs, compared
HEADS = {"macro_auroc": "AUROC", "macro_f1": "F1", "accuracy": "accuracy", "macro_recall": "recall", "macro_precision": "precision"}


def gather(page: AxisPage) -> Found:
    """Each data set's runs, compared: done where it is the page's own, else as the ledger holds them."""
    asked, found = page.request, {}
    for dataset, task in (*MULTI_LABEL, *SINGLE_LABEL):
        own = (asked.dataset, asked.task) == (dataset, task)
        there = asked if own else replace(asked, dataset=dataset, task=task, missing="name")
        found[dataset, task] = AxisPage(page.axis, there).compare(allow_none=True)
    return found


def result_tables(gathered: Found, wanted: Sequence[tuple[str, str]]) -> list[Any]:
    """For each data set of `wanted` a line that says what it is and what is missing, and the table of what was measured."""
    from IPython.display import Markdown

    shown: list[Any] = []
    for dataset, task in wanted:
        found = gathered[dataset, task]
        shown.append(Markdown(f"**{dataset}, `{task}`** — {WHY[dataset, task]}. {_gap(found, dataset, task)}"))
        if found.rows:
            shown.append(_table(found, dataset, task))
        elif told := _notes(dataset, task):
            shown.append(_table_of_notes(told))
    return shown


def _gap(found: Comparison, dataset: str, task: str) -> str:
    """Which rows do not exist, and how to make them."""
    seeds: dict[str, list[str]] = {}
    for experiment in [*found.outcome.missing, *(e for e, _ in found.outcome.failed)]:
        seeds.setdefault(found.page.plan[experiment], []).append(str(experiment.seed))
    if not seeds:
        return ""
    profile = found.page.request.size.name
    whole = [name for name, missing in seeds.items() if len(missing) == len(found.page.request.seeds)]
    told = "No run of it is in the ledger" if not found.rows else "Missing: " + ", ".join(
        f"`{name}`" + ("" if name in whole else f" seed {', '.join(missing)}") for name, missing in seeds.items())
    return f"{told}; `python -m ecgstudy sweep three_datasets --dataset {dataset} --task {task} --profile {profile}` makes it."


def measures(row: Row) -> dict[str, Measured]:
    """The row's AUROC and F1 and, for a single-label task, accuracy, recall and precision: mean over seeds, interval over patients."""
    if row.runs[0].experiment.labels.multilabel:
        return row.measured
    weights = patient_weights(row.runs[0].predictions.test_patients, 1000, np.random.default_rng(0))
    once = np.ones((1, weights.shape[1]))
    found = dict(row.measured)
    decided = {run.experiment.seed: decisions(run.test_probability(), None) for run in row.runs}
    targets = row.runs[0].predictions.test_targets
    points = {seed: replicate_decisions(each, targets, once) for seed, each in decided.items()}
    draws = {seed: replicate_decisions(each, targets, weights) for seed, each in decided.items()}
    for name in ("accuracy", "macro_recall", "macro_precision"):
        by_seed = {seed: float(point[name][0]) for seed, point in points.items()}
        values = np.array(list(by_seed.values()))
        deviation = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        found[name] = Measured(interval(float(values.mean()), np.mean([draw[name] for draw in draws.values()], axis=0)), deviation, by_seed)
    return found


def _notes(dataset: str, task: str) -> dict[str, float]:
    """The notes' numbers for the cross-stacked network on this data set, by the names of HEADS."""
    told = tables.reported("three_datasets").get(IN_NOTES.get((dataset, task), ""), {})
    names = {"macro_auroc": "macro_auc", "macro_recall": "recall", "macro_precision": "precision"}
    return {name: told[names.get(name, name)] for name in HEADS if names.get(name, name) in told}


def _table(found: Comparison, dataset: str, task: str) -> Any:
    told = _notes(dataset, task)
    lines = []
    for row in found.rows:
        mine = {("test fold", HEADS[name]): show_measured(value) for name, value in measures(row).items()}
        grey = {(NOTES, HEADS[name]): show(value if row.value == "crossed_shunted" else None, 4) for name, value in told.items()}
        lines.append({("", "network"): readable(row.value)} | mine | grey)
    table = pd.DataFrame(lines)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    n_seeds = sorted({len(row.runs) for row in found.rows})
    run = found.rows[0].runs[0]
    over_classes = "AUROC and F1" if run.experiment.labels.multilabel else "AUROC, F1, recall and precision"
    caption = (f"{tables.describe_data(run)}; {' to '.join(map(str, n_seeds))} seed{'s' * (n_seeds != [1])}. {over_classes} are means over "
               "classes; mean over seeds ± SD, [95 % interval over patients].")
    return tables.style(table, caption + " In grey the notes, for the full network." * bool(told))


def _table_of_notes(told: dict[str, float]) -> Any:
    grey = {(NOTES, HEADS[name]): show(value, 4) for name, value in told.items()}
    table = pd.DataFrame([{("", "network"): readable("crossed_shunted")} | grey])
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return tables.style(table, "What the notes report; nothing measured stands beside it yet.")


# -- transfer -----------------------------------------------------------------------------------------------------------

def transfers(page: AxisPage) -> list[Run]:
    """Runs tested on another data set than they were trained on: made for the page's own data set, read for the others."""
    asked, found = page.request, []
    for dataset, task in TRANSFERS:
        own = (asked.dataset, asked.task) == (dataset, task)
        there = asked if own else replace(asked, dataset=dataset, task=task, missing="name")
        found += fulfil(there, transfer(dataset, task, asked.size.name, seeds=asked.seeds)).finished
    return found


def transfer_table(gathered: Found, runs: Sequence[Run]) -> Any:
    """A row a direction: the base network on its own test fold and on the other one, per class and as the mean over shared classes."""
    lines = []
    for dataset, task in TRANSFERS:
        for target in TRANSFERS[dataset, task]:
            group = [run for run in runs if (run.experiment.dataset, run.experiment.tested_on) == (dataset, target)]
            lines.append({"trained on": dataset, "tested on": target} | (_transfer_line(gathered[dataset, task], group) if group else {
                "own fold": "–", "other fold": "not run", "best class": "–", "worst class": "–"}))
    return tables.style(pd.DataFrame(lines), "Macro-AUROC of the base network [95 % interval over patients of that fold]: on the test fold "
                        "of the data set it was trained on, and on another one's, over the classes that both label. Epoch and thresholds "
                        "were chosen on the first. The folds hold different people, so the two are not paired.")


def _transfer_line(at_home: Comparison, group: Sequence[Run]) -> dict[str, str]:
    home = next((row for row in at_home.rows if row.value == "inception_former"), None)
    first = group[0].predictions
    weights = patient_weights(first.test_patients, 1000, np.random.default_rng(0))
    draws = [replicate_scores(run.test_probability(), first.test_targets, run.thresholds, weights)["macro_auroc"] for run in group]
    scores = group[0].result["scores"]["test"]
    if any(run.result["scores"]["test"]["macro_auroc"] is None for run in group):       # a handful of records, all of one class
        return {"own fold": "–", "other fold": f"no class can be ranked in {scores['n_records']} records", "best class": "–",
                "worst class": "–"}
    point = float(np.mean([run.result["scores"]["test"]["macro_auroc"] for run in group]))
    classes = np.nanmean([[np.nan if v is None else v for v in run.result["scores"]["test"]["auroc"]] for run in group], axis=0)
    ranked = np.argsort(np.where(np.isnan(classes), -1, classes))
    ranked = ranked[~np.isnan(classes[ranked])]
    named = [f"{scores['classes'][k]} {show(classes[k])}" for k in (ranked[-1], ranked[0])]
    return {"own fold": tables.show_interval(home.measured["macro_auroc"].interval, joint="<br>") if home else "–",
            "other fold": tables.show_interval(interval(point, np.mean(draws, axis=0)), joint="<br>"),
            "best class": named[0], "worst class": named[1]}


def picture(gathered: Found) -> Figure:
    """Macro-AUROC of each network, a panel for each data set that has runs: the mean with its 95 % interval, and single seeds."""
    there = {f"{dataset}, {task}": found.rows for (dataset, task), found in gathered.items() if found.rows}
    names = list(dict.fromkeys(row.value for rows in there.values() for row in rows))[::-1]
    with plt.rc_context(figures.STYLE):
        figure, axes = plt.subplots(len(there), 1, figsize=(7.5, len(there) * (0.32 * len(names) + 0.75) + 0.6), sharey=True,
                                    layout="constrained", squeeze=False)
        for axis, (title, rows) in zip(axes[:, 0], there.items(), strict=True):
            for row in rows:
                place, found = names.index(row.value), row.measured["macro_auroc"]
                axis.plot([found.interval.low, found.interval.high], [place, place], color=figures.MEASURED, lw=2, solid_capstyle="round")
                axis.plot(found.interval.estimate, place, "o", color=figures.MEASURED, ms=6)
                axis.plot(list(found.by_seed.values()), np.full(len(found.by_seed), place + 0.26), "|", color=figures.INK, ms=6, mew=1)
            for name in set(names) - {row.value for row in rows}:
                axis.text(0.01, names.index(name), "not run", transform=axis.get_yaxis_transform(), color="#767676", va="center")
            axis.set_title(title, loc="left")
            axis.set_yticks(range(len(names)), [readable(name) for name in names])
            axis.set_ylim(-0.6, len(names) - 0.4)
            axis.grid(axis="x", color="#e5e5e5", lw=0.8)
            axis.set_axisbelow(True)
        axes[-1, 0].set_xlabel("macro-AUROC on the test fold of that data set")
        return figures.closed(figure)


# -- reading ------------------------------------------------------------------------------------------------------------

def reading(gathered: Found, moved: Sequence[Run]) -> str:
    """What the tables say and what they do not, as Markdown, from the runs at hand."""
    parts = []
    for (dataset, task), found in gathered.items():
        rivals = [row for row in found.rows if row.difference["macro_auroc"]]
        if not rivals:
            continue
        told = {word: [f"`{row.value}` ({tables.show_interval(row.difference['macro_auroc'].interval, signed=True)})" for row in rivals
                       if row.difference["macro_auroc"].verdict == word] for word in ("better", "worse", "undecided")}
        parts.append(f"**{dataset}, `{task}`.** On macro-AUROC, against the cross-stacked network: "
                     + "; ".join(f"{word} {', '.join(names)}" for word, names in told.items() if names) + ".")
    gone = [f"{dataset} (`{task}`)" for dataset, task in IN_NOTES if not gathered[dataset, task].rows]
    if gone:
        parts.append(f"**Not reproduced yet.** {', '.join(gone)}: the notes' numbers there stand alone.")
    profile = next(iter(gathered.values())).page.request.size.name
    parts.append("**Limits.** The notes chose epoch and threshold on the fold that they scored, at full width; this page shows the "
                 f"`{profile}` profile. Simulated records stand in for no data set: they are easier, and they are here so that the "
                 "multi-class machinery is exercised wherever the page is run.")
    runs = [run for found in gathered.values() for run in found.outcome.finished]
    names = {run.experiment: f"{run.experiment.dataset} {run.experiment.model}" for run in runs}
    names |= {run.experiment: f"{run.experiment.dataset} on {run.experiment.tested_on}" for run in moved}
    return "\n\n".join(parts) + "\n\n" + provenance([*runs, *moved], names)
