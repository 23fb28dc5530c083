"""Page 15: every registered network under one protocol, what it costs, and which of them can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from ecgstudy.evaluate.bootstrap import patient_weights, replicate_scores, told_apart
from ecgstudy.models.registry import model_entry
from ecgstudy.study import tables
from ecgstudy.study.axis_page import AxisPage, Comparison
from ecgstudy.study.comparison import FEWEST_SEEDS, Row
from ecgstudy.study.complexity import NetworkCost
from ecgstudy.study.figures import pareto_front
from ecgstudy.study.names import readable
from ecgstudy.study.tables import NOTES, mega, show, show_interval, show_measured, show_p

OWN = ("inception_former", "two_stream", "stft_resnet34")
PUBLISHED_ON = ("all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm")
N_REPLICATES = 1000


def kind(page: AxisPage, name: str) -> str:
    """Where a network of the table comes from: paper, own or baseline."""
    model = page.axis.variants[name].model
    return "paper" if model_entry(model).sizes else "own" if model in OWN else "baseline"


def by_score(found: Comparison) -> list[Row]:
    """The measured networks, highest mean macro-AUROC first."""
    return sorted(found.rows, key=lambda row: -row.measured["macro_auroc"].interval.estimate)


# -- tables -------------------------------------------------------------------------------------------------------------

def benchmark_table(found: Comparison, costs: Sequence[NetworkCost]) -> Styler:
    """Scores and cost of every network of the page, highest first; those without a run stand at the end and say so."""
    by_name, rows = {cost.name: cost for cost in costs}, by_score(found)
    lines = []
    for name in [*(row.value for row in rows), *missing(found)]:
        row, cost = next((row for row in rows if row.value == name), None), by_name[name]
        difference = row.difference["macro_auroc"] if row else None
        lines.append({
            ("", "network"): readable(name), ("", "from"): kind(found.page, name), ("", "seeds"): str(len(row.runs)) if row else "not run",
            ("test fold", "macro-AUROC"): show_measured(row.measured["macro_auroc"]) if row else "–",
            ("test fold", "macro-F1"): show_measured(row.measured["macro_f1"]) if row else "–",
            ("AUROC against ResNet18", "difference"): show_interval(difference.interval, True, "<br>") if difference else "–",
            ("AUROC against ResNet18", "p"): show_p(difference),
            ("cost", "parameters"): f"{cost.n_parameters:,}", ("cost", "MACs"): mega(cost.macs),
            ("cost", "ms a record"): show(cost.milliseconds, 1)})
    table = pd.DataFrame(lines)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return tables.style(table, f"{tables.describe_data(found.rows[0].runs[0])}. Mean over seeds ± SD over seeds, [95 % interval over "
                               "patients]; differences on the seeds that both have, p after Holm. MACs: all matrix products and "
                               "convolutions of one 10-s record. Time: processor time of one forward pass, batch of one, one thread, on "
                               "the machine that made this page.")


def size_table(page: AxisPage, full: Sequence[NetworkCost]) -> Styler:
    """Every network at the size that the full profile trains."""
    return tables.style(pd.DataFrame([{
        "network": readable(cost.name), "from": kind(page, cost.name), "parameters": f"{cost.n_parameters:,}", "MACs": mega(cost.macs),
        "ms a record": show(cost.milliseconds, 1)} for cost in sorted(full, key=lambda cost: cost.macs)]),
        "The networks at full size, which the full profile trains: the papers' in the size of this study, cheapest first. Counted and "
        "timed as above.")


def missing(found: Comparison) -> list[str]:
    """The networks of the page without a single run."""
    return [name for name in found.page.names if name not in {row.value for row in found.rows}]


def published_table(page: AxisPage) -> Styler:
    """Published macro-AUROC on PTB-XL's fold 10 in grey, and what this study's ledger holds for the one task that is theirs too."""
    rhythm = AxisPage(page.axis, replace(page.request, dataset="ptbxl", task="rhythm", missing="name")).compare(allow_none=True)
    lines = [{("", "network"): readable(row.value), ("", "from"): f"here, {rhythm.page.request.size.name}, {_seeds(row)}"}
             | {("measured", "rhythm"): show_interval(row.measured["macro_auroc"].interval)}
             | {(NOTES, head): "" for head in PUBLISHED_ON} for row in by_score(rhythm)]
    for source in tables.reported("ptbxl_benchmark"):
        for name, scores in source["rows"].items():
            lines.append({("", "network"): name, ("", "from"): source["source"], ("measured", "rhythm"): ""}
                         | {(NOTES, head): show(scores[head]) for head in PUBLISHED_ON})
    table = pd.DataFrame(lines)
    table.columns = pd.MultiIndex.from_tuples([("published" if top == NOTES else top, head) for top, head in table.columns])
    grey = [column for column in table.columns if column[0] == "published"]
    styler = tables.style(table, "Macro-AUROC on PTB-XL, fold 10. In grey published numbers for PTB-XL's own tasks, as their sources print "
                                 "them, of networks at full size trained on all records; only the task of twelve rhythm statements is also "
                                 "one of this study.")
    return styler.set_properties(subset=grey, **{"color": "#8a8a8a", "font-style": "italic"})


def _seeds(row: Row) -> str:
    return f"{len(row.runs)} seed{'s' * (len(row.runs) > 1)}"


# -- who can be told apart ----------------------------------------------------------------------------------------------

@dataclass(frozen=True, eq=False)
class Ranking:
    """Networks with enough seeds, best first. scores: mean macro-AUROC [M]. apart: bool [M, M]. groups: first and last place of each
    run of neighbours of which no two can be told apart, longest possible."""

    names: tuple[str, ...]
    scores: np.ndarray
    apart: np.ndarray
    groups: tuple[tuple[int, int], ...]
    seeds: tuple[int, ...]


def ranking(found: Comparison) -> Ranking:
    """All pairs of networks on the seeds that all of them have, decided at once.

    Only networks with at least three seeds enter, because with fewer the luck of a seed is not known; and a pair is apart only where
    every seed points the same way and the patients' draws say so (`told_apart`).
    """
    rows = [row for row in by_score(found) if len(row.runs) >= FEWEST_SEEDS]
    seeds = sorted(set.intersection(*({run.experiment.seed for run in row.runs} for row in rows))) if rows else []
    if len(rows) < 2 or len(seeds) < FEWEST_SEEDS:
        return Ranking((), np.array([]), np.zeros((0, 0), bool), (), ())
    weights = patient_weights(rows[0].runs[0].predictions.test_patients, N_REPLICATES, np.random.default_rng(0))
    by_seed = np.array([[row.measured["macro_auroc"].by_seed[seed] for seed in seeds] for row in rows])                   # [M, S]
    order = np.argsort(-by_seed.mean(axis=1), kind="stable")
    rows, by_seed = [rows[i] for i in order], by_seed[order]
    drawn = []
    for row in rows:
        chosen = [run for run in row.runs if run.experiment.seed in seeds]
        drawn.append(np.mean([replicate_scores(run.test_probability(), run.predictions.test_targets, run.thresholds, weights)["macro_auroc"]
                              for run in chosen], axis=0))
    signs = np.sign(by_seed[:, None] - by_seed[None])                                                                     # [M, M, S]
    agree = (signs == signs[..., :1]).all(axis=-1)
    apart = told_apart(by_seed.mean(axis=1), np.array(drawn)) & agree
    return Ranking(tuple(row.value for row in rows), by_seed.mean(axis=1), apart, groups(apart), tuple(seeds))


def groups(apart: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Of networks in their order, the longest runs of neighbours (first, last), of two or more, with no pair apart.

    >>> groups(np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], bool))
    ((0, 1), (1, 2))
    """
    found: list[tuple[int, int]] = []
    for start in range(len(apart)):
        stop = start
        while stop + 1 < len(apart) and not apart[start:stop + 2, start:stop + 2].any():
            stop += 1
        if stop > start and (not found or stop > found[-1][1]):
            found.append((start, stop))
    return tuple(found)


# -- in words -----------------------------------------------------------------------------------------------------------

def in_words(found: Comparison, costs: Sequence[NetworkCost], ranked: Ranking) -> str:
    """Who is on the front of score against cost, and who can be told from whom, as Markdown."""
    fronts = [", ".join(f"`{name}`" for name in front(found, costs, price)) for price in ("macs", "milliseconds")]
    parts = [f"**Score against cost.** No cheaper network has a higher mean than {fronts[0]} (by MACs), or than {fronts[1]} (by time). "
             "These are fronts of means; the intervals do not prove them."]
    if ranked.names:
        n = len(ranked.names)
        parts.append(f"**Who can be told apart.** Of {n * (n - 1) // 2} pairs of the {n} networks with {len(ranked.seeds)} seeds, "
                     f"{int(ranked.apart.sum()) // 2} can be told apart, all pairs asked at once. {_top(ranked)}")
    else:
        parts.append(f"**Who can be told apart.** No two networks have {FEWEST_SEEDS} seeds yet, so nothing can be said.")
    if gone := missing(found):
        parts.append(f"**Not run.** {', '.join(f'`{name}`' for name in gone)}.")
    return "\n\n".join(parts)


def front(found: Comparison, costs: Sequence[NetworkCost], price: str) -> list[str]:
    """The networks on the front of mean macro-AUROC against a cost, `macs` or `milliseconds`, cheapest first."""
    prices = {cost.name: getattr(cost, price) for cost in costs}
    points = {(prices[row.value], row.measured["macro_auroc"].interval.estimate): row.value for row in found.rows}
    return [points[point] for point in pareto_front(list(points))]


def _top(ranked: Ranking) -> str:
    level = [name for name, apart in zip(ranked.names[1:], ranked.apart[0, 1:], strict=True) if not apart]
    first = f"The highest mean is `{ranked.names[0]}`'s"
    return f"{first}; it cannot be told from {', '.join(f'`{name}`' for name in level)}." if level else f"{first}, apart from all others."
