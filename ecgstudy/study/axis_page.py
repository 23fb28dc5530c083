"""A page that compares variants along one axis: what it runs, its tables, and the reading that its numbers allow.

The text that is one page's own stands in its notebook; what every such page says stands here, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ecgstudy import files
from ecgstudy.data.labels import SIMULATED, label_set
from ecgstudy.errors import RunError
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study import figures, tables
from ecgstudy.study.comparison import FEWEST_SEEDS, SIGNIFICANT, Row, compare
from ecgstudy.study.complexity import NetworkCost, network_cost
from ecgstudy.study.ledger import Run
from ecgstudy.study.profiles import Profile, profile
from ecgstudy.study.request import Request, fulfil, read_request
from ecgstudy.study.sweep import Outcome
from ecgstudy.study.variants import Axis, axis
from ecgstudy.train.experiment import Experiment

SIGNAL = SignalSpec(n_leads=12, n_samples=1000, fs=100)
FEWEST_POSITIVES = 20       # of a class on the test fold, before its score is read on its own


def ask(namespace: Mapping[str, Any], name: str) -> AxisPage:
    """The page of an axis with its parameters checked; `namespace` is the notebook's globals()."""
    found = axis(name)
    return AxisPage(found, read_request(namespace, found.page, {found.parameter: tuple(found.variants)}))


@dataclass(frozen=True)
class AxisPage:
    """What a page was asked to compare."""

    axis: Axis
    request: Request

    @property
    def names(self) -> tuple[str, ...]:
        """The chosen variants."""
        return self.request.axes[self.axis.parameter]

    @cached_property
    def plan(self) -> dict[Experiment, str]:
        """Every run of the page, with its variant's name."""
        asked = self.request
        return self.axis.experiments(asked.dataset, asked.task, asked.size, self.names, asked.seeds)

    def what_runs(self) -> str:
        """What this page will do, as Markdown, before it does it."""
        asked, size = self.request, self.request.size
        records = f"{size.n_training:,} training records" if size.n_training else "all training records"
        own = any(self.axis.variants[name].model == "inception_former" for name in self.names)
        parts = [*([describe_network(size)] if own else []), records, f"at most {size.epochs} epoch{'s' * (size.epochs > 1)}",
                 f"seed{'s' * (len(asked.seeds) > 1)} {_list(asked.seeds)}"]
        return (f"**This page:** data set `{asked.dataset}`, task `{asked.task}`, profile `{size.name}`: {', '.join(parts)}; "
                f"{self.axis.label}: {_list(self.names)}.")

    def compare(self, allow_none: bool = False) -> Comparison:
        """Do every run of the page, or read it from the ledger, and compare them on the test fold.

        Raises RunError where there is not one run to show, unless `allow_none`.
        """
        outcome = fulfil(self.request, self.plan)
        if not outcome.finished and not allow_none:
            asked, why = self.request, f"; the first failed: {outcome.failed[0][1]}" if outcome.failed else ""
            raise RunError(f"not one of the {len(self.plan)} runs of this page exists for {asked.dataset}, task {asked.task}, profile "
                           f"{asked.size.name}{why}. Make them with `python -m ecgstudy sweep {self.axis.name} --dataset {asked.dataset} "
                           f"--task {asked.task} --profile {asked.size.name}`, or run the page with `-p missing train`")
        return Comparison(self, outcome, compare(outcome.finished, self.plan, self.axis.baseline))

    def notes(self) -> dict[str, dict[str, float]]:
        """The notes' F1 of each chosen variant that they report: {name: {"test_f1": …, "validation_f1": …}}."""
        told = {name: tables.reported_pair(*self.axis.variants[name].notes) for name in self.names}
        return {name: pair for name, pair in told.items() if pair}

    def costs(self, size: Profile | None = None) -> list[NetworkCost]:
        """What each variant costs in a profile, by default the page's own, measured now on this machine."""
        size = size or self.request.size
        n_classes = len(label_set(self.request.dataset, self.request.task).classes)
        repeats = 3 if self.request.size.name == "smoke" else 20
        return [network_cost(name, build_model(variant.model, SIGNAL, n_classes, **variant.all_settings(size)), SIGNAL, repeats)
                for name, variant in ((name, self.axis.variants[name]) for name in self.names)]

    def cost_table(self) -> Styler:
        """Cost of each network on this page beside that of the full one."""
        return tables.cost_table(self.costs(), self.costs(profile("full")), self.axis.label)


@dataclass(frozen=True)
class Comparison:
    """The finished runs of a page, compared."""

    page: AxisPage
    outcome: Outcome
    rows: list[Row]

    def score_table(self) -> Styler | str:
        """Scores, paired differences to the baseline, and the notes' F1 where they report one."""
        return tables.score_table(self.rows, self.page.axis.label, self.page.notes())

    def class_table(self) -> Styler:
        """Test AUROC of every class."""
        return tables.per_class_table(self.rows, self.page.axis.label)

    def figure(self) -> Figure:
        """The scores drawn; also kept as the page's picture."""
        told = {name: pair["test_f1"] for name, pair in self.page.notes().items() if "test_f1" in pair}
        drawn = figures.scores(self.rows, told, tables.describe_data(self.outcome.finished[0]))
        save_picture(drawn, self.page.request)
        return figures.closed(drawn)

    def reading(self, limits: Sequence[str] = ()) -> str:
        """What can and what cannot be concluded, as Markdown, from the numbers of this run alone. limits: the page's own."""
        asked, baseline = self.page.request, self.page.axis.baseline
        parts = [_decided(self.rows, baseline), _spread(self.rows), _widest_class(self.rows),
                 _limits(asked, self.rows, bool(self.page.notes()), limits), _gaps(self.outcome, self.page.plan),
                 _settle(asked, self.page.axis)]
        return "\n\n".join(part for part in parts if part) + "\n\n" + provenance(self.outcome.finished, self.page.plan)


def save_picture(figure: Figure, request: Request) -> None:
    """Write the page's main picture to where the command line says it is."""
    files.write_atomically(request.picture(), lambda file: figure.savefig(file, format="png", dpi=150))


def describe_network(size: Profile) -> str:
    """The own network's size in a profile, in words."""
    sizes = dict(size.network)
    if not sizes:
        return "the full network (widths 64, 128, 256, 512; depths 2, 4, 8, 4; 8 heads)"
    return f"a narrow network (widths {_list(sizes['widths'])}; depths {_list(sizes['depths'])}; {sizes['heads']} heads)"


def _decided(rows: Sequence[Row], baseline: str) -> str:
    compared = [(row.value, row.difference["macro_auroc"]) for row in rows if row.difference["macro_auroc"]]
    if not compared:
        return f"**What can be concluded.** Nothing about differences: `{baseline}` or its rivals are not in this table."
    told = [f"`{value}` is {found.verdict} ({tables.show_interval(found.interval, signed=True)}, corrected p {tables.show_p(found)})"
            for value, found in compared if found.verdict != "undecided"]
    undecided = [f"`{value}`" for value, found in compared if found.verdict == "undecided"]
    text = f"**What can be concluded.** On macro-AUROC, against `{baseline}`: " + "; ".join(told) + "." if told else (
        f"**What can be concluded.** On macro-AUROC none of the others can be told from `{baseline}` here.")
    if undecided and told:
        text += f" Undecided: {', '.join(undecided)}."
    near = {value: found for value, found in compared if found.verdict == "undecided" and found.p_holm < SIGNIFICANT}
    if near:
        told = ", ".join(f"`{value}` ({tables.show_interval(found.interval, signed=True)})" for value, found in near.items())
        n_seeds = min(found.n_seeds for found in near.values())
        why = (f"with {n_seeds} seed{'s' * (n_seeds > 1)} this is not told apart from the luck of a seed" if n_seeds < FEWEST_SEEDS else
               "not every seed points the same way")
        text += f" The patients alone would separate {told}, but {why}, so no verdict is given."
    return text


def _spread(rows: Sequence[Row]) -> str:
    if len(rows) < 2:
        return ""
    best = max(rows, key=lambda row: row.measured["macro_auroc"].interval.estimate)
    worst = min(rows, key=lambda row: row.measured["macro_auroc"].interval.estimate)
    gap = best.measured["macro_auroc"].interval.estimate - worst.measured["macro_auroc"].interval.estimate
    widths = [row.measured["macro_auroc"].interval.high - row.measured["macro_auroc"].interval.low for row in rows]
    text = (f"From the highest (`{best.value}`) to the lowest (`{worst.value}`) mean lie {gap:.3f} of macro-AUROC; one 95 % interval over "
            f"patients is about {np.median(widths):.3f} wide.")
    deviations = [row.measured["macro_auroc"].deviation for row in rows if len(row.runs) > 1]
    if deviations:
        text += f" Another seed of the same variant moves the score by about {np.median(deviations):.3f} (one SD)."
    return text


def _widest_class(rows: Sequence[Row]) -> str:
    """The class that the variants differ in most, among those with enough positives to say so; empty where there is none."""
    found = tables.class_auroc(rows)                                                      # [values, K]
    counted = np.array(rows[0].runs[0].result["scores"]["test"]["positives"]) >= FEWEST_POSITIVES
    gap = np.where(counted & ~np.isnan(found).any(axis=0), np.ptp(found, axis=0), -1.0)
    if gap.max(initial=-1.0) < 0 or len(rows) < 2:
        return ""
    k = int(gap.argmax())
    best, worst = int(found[:, k].argmax()), int(found[:, k].argmin())
    name = rows[0].runs[0].result["scores"]["test"]["classes"][k]
    return (f"Among classes with at least {FEWEST_POSITIVES} positive test records the variants differ most in **{name}**: from "
            f"{found[worst, k]:.3f} (`{rows[worst].value}`) to {found[best, k]:.3f} (`{rows[best].value}`). It is the largest of "
            "several such gaps, picked after looking: a hint to test, not a finding.")


def _limits(asked: Request, rows: Sequence[Row], noted: bool, own: Sequence[str]) -> str:
    limits = []
    if asked.size.name != "full":
        limits.append(f"this is the `{asked.size.name}` profile: a narrow network, few records, few epochs; an order found here need "
                      "not hold at full width")
    fewest = min(len(row.runs) for row in rows)
    if fewest < 5:
        limits.append(f"{'as few as ' * (fewest < max(len(row.runs) for row in rows))}{fewest} seed{'s' * (fewest > 1)} a variant, not "
                      "the five of the full profile")
    if asked.dataset in SIMULATED:
        limits.append("the records are simulated: they test whether a network *can* find known evidence, not how it fares in a clinic")
    elif asked.dataset != "cpsc" and noted:
        limits.append(f"these are {asked.dataset} records, so the notes' CPSC2018 numbers in grey are no reference for them")
    text = "; ".join([*limits, *own])
    return f"**What cannot.** {text[0].upper()}{text[1:]}." if text else ""


def _gaps(outcome: Outcome, names: Mapping[Experiment, str]) -> str:
    gone = outcome.missing + [experiment for experiment, _ in outcome.failed]
    seeds: dict[str, list[str]] = {}
    for experiment in gone:
        seeds.setdefault(names[experiment], []).append(str(experiment.seed))
    told = ", ".join(f"`{name}` seed{'s' * (len(which) > 1)} {', '.join(which)}" for name, which in seeds.items())
    return f"**Missing runs.** {told}. They have not been made; the page shows what the ledger holds." if gone else ""


def _settle(asked: Request, compared: Axis) -> str:
    command = (f"python -m ecgstudy sweep {compared.name} --dataset {asked.dataset} --task {asked.task} --profile full "
               "--time-budget 3600")
    return (f"**What would settle it.** The full profile, five seeds, on recordings: `{command}` (repeat it until it says that "
            "nothing is left; it skips what is finished), then this page again with `-p profile full`.")


def provenance(runs: Sequence[Run], names: Mapping[Experiment, str]) -> str:
    """Where each number comes from, folded away under the reading."""
    head = ("run", "variant", "seed", "best epoch", "minutes", "device", "commit", "data", "finished (UTC)")
    lines = [head, ("---",) * len(head)]
    for run in runs:
        training, made = run.result["training"], run.result["environment"]
        lines.append((run.key[:12], names[run.experiment], run.experiment.seed, training["best_epoch"],
                      f"{training['seconds'] / 60:.1f}", made["device_name"], made["commit"][:10] + " + edits" * made["edited"],
                      run.result["data"]["digest"][:10], made["finished"]))
    table = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    return f"<details><summary>Provenance of the {len(runs)} runs</summary>\n\n{table}\n\n</details>"


def _list(values: Sequence) -> str:
    return ", ".join(str(value) for value in values)
