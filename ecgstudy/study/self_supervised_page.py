"""Page 12: what training without labels is worth, with 1, 10 and 100 % of the labels, and in noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ecgstudy.study import figures, pretraining, tables
from ecgstudy.study.axis_page import AxisPage, Comparison, provenance, save_picture
from ecgstudy.study.comparison import FEWEST_SEEDS, Row, compare
from ecgstudy.study.figures import GREY, INK, MARKS, STYLE
from ecgstudy.study.names import METHOD_NAMES
from ecgstudy.study.probes import CLEAN, Probe, Probing, Score, macro_auroc, probe_all
from ecgstudy.study.request import read_request
from ecgstudy.study.self_supervised_plan import METHODS, PERCENTS, rows_of
from ecgstudy.study.variants import axis

NOISE = (2.0, 5.0, 10.0)            # times the noise of a resting record
COLOURS = {"scratch": INK, "probe": "#d98200", "tuned": "#1f5fa8"}
WAY_NAMES = {"scratch": "from scratch", "probe": "pretrained, head alone trained", "tuned": "pretrained, then all trained"}


def ask(namespace: Mapping[str, Any]) -> SelfSupervised:
    """The page with its parameters checked; `namespace` is the notebook's globals()."""
    found = axis("self_supervised")
    request = read_request(namespace, found.page, {"methods": tuple(METHODS), "percents": tuple(map(str, PERCENTS))})
    methods, percents = request.axes["methods"], tuple(map(int, request.axes["percents"]))
    names = tuple(rows_of(methods, percents))
    return SelfSupervised(AxisPage(found, replace(request, axes={found.parameter: names})), methods, percents)


@dataclass(frozen=True)
class SelfSupervised:
    """What the page was asked for: `page` holds its runs, methods and percents which of them."""

    page: AxisPage
    methods: tuple[str, ...]
    percents: tuple[int, ...]

    def what_runs(self) -> str:
        """What this page will do, as Markdown, before it does it."""
        asked = self.page.request
        n = asked.size.n_training or "all"
        seeds = ", ".join(map(str, asked.seeds))
        return (f"**This page:** data set `{asked.dataset}`, task `{asked.task}`, profile `{asked.size.name}`; "
                f"{', '.join(METHOD_NAMES[name] for name in self.methods)}, pretrained on the training folds without labels; then "
                f"{', '.join(f'{p} %' for p in self.percents)} of the labels of {n} training records, seeds {seeds}: "
                f"{len(self.page.plan)} labelled runs.")

    def compare(self) -> Found:
        """Do every run of the page, or read it from the ledger."""
        return Found(self, self.page.compare())


@dataclass(frozen=True)
class Found:
    """The finished runs of the page. Networks are compared with themselves: with the same one from scratch, at the same labels."""

    asked: SelfSupervised
    comparison: Comparison

    @cached_property
    def rows(self) -> dict[str, Row]:
        """By name, each compared with its own network from scratch at the same percentage; p after Holm over those that share it."""
        found: dict[str, Row] = {}
        for percent in self.asked.percents:
            for model in dict.fromkeys(METHODS[name].model for name in self.asked.methods):
                scratch = f"{model}_scratch_{percent}"
                names = {scratch, *(f"{name}_{way}_{percent}" for name in self.asked.methods if METHODS[name].model == model
                                    for way in ("probe", "tuned"))}
                runs = [run for run in self.comparison.outcome.finished if self.asked.page.plan[run.experiment] in names]
                found |= {row.value: row for row in compare(runs, self.asked.page.plan, scratch)}
        return found

    def row(self, method: str, way: str, percent: int) -> Row | None:
        """A method's row of one way and percentage; from scratch it is its network's."""
        return self.rows.get(f"{METHODS[method].model if way == 'scratch' else method}_{way}_{percent}")

    # -- tables ---------------------------------------------------------------------------------------------------------

    def pretraining_table(self) -> Styler:
        """How each pretraining went, told by the first labelled run that began with it."""
        names = {row.value: METHOD_NAMES[method] for method in self.asked.methods if (row := self._first_pretrained(method))}
        return pretraining.history_table(self.comparison, list(names), names)

    def _first_pretrained(self, method: str) -> Row | None:
        return next((row for percent in reversed(self.asked.percents) for way in ("tuned", "probe")
                     if (row := self.row(method, way, percent))), None)

    def score_table(self) -> Styler | str:
        """Test macro-AUROC of each method, way and percentage, and what pretraining adds to the same network from scratch."""
        lines = [self._line(method, percent) for method in self.asked.methods for percent in self.asked.percents]
        table = pd.DataFrame(lines)
        table.columns = pd.MultiIndex.from_tuples(table.columns)
        told = tables.describe_data(next(iter(self.rows.values())).runs[0])
        return tables.style(table, f"{told.split(':')[0]}; of the training records the given share with labels. Macro-AUROC on the test "
                                   "fold: mean over seeds ± SD over seeds, [95 % interval over patients]; differences to the same "
                                   "network from scratch with the same labels, on the seeds that both have; p after Holm over the runs "
                                   "that share a baseline.")

    def _line(self, method: str, percent: int) -> dict[tuple[str, str], str]:
        rows = {way: self.row(method, way, percent) for way in WAY_NAMES}
        shown = {way: tables.show_measured(row.measured["macro_auroc"]) if row else "not run" for way, row in rows.items()}
        line = {("", "method"): METHOD_NAMES[method], ("", "labels"): f"{percent} %",
                ("", "records"): next((f"{row.runs[0].result['data']['n_training']:,}" for row in rows.values() if row), "–"),
                ("", "from scratch"): shown["scratch"]}
        for way, head in (("probe", "head alone trained"), ("tuned", "all trained")):
            difference = rows[way].difference["macro_auroc"] if rows[way] else None
            line[head, "macro-AUROC"] = shown[way]
            line[head, "difference"] = tables.show_interval(difference.interval, True, "<br>") if difference else "–"
            line[head, "p"] = tables.show_p(difference)
        return line

    # -- figures --------------------------------------------------------------------------------------------------------

    def figure(self) -> Figure:
        """Macro-AUROC against the share of the labels, a panel a method."""
        methods = self.asked.methods
        with plt.rc_context(STYLE):
            columns = min(3, len(methods))
            rows = -(-len(methods) // columns)
            figure, axes = plt.subplots(rows, columns, figsize=(9.5, 3.1 * rows + 0.6), sharey=True, squeeze=False, layout="constrained")
            for ax in axes.flat[len(methods):]:
                ax.set_axis_off()
            for ax, method in zip(axes.flat, methods, strict=False):
                self._draw(ax, method)
            for ax in axes[:, 0]:
                ax.set_ylabel("macro-AUROC, test fold")
            handles = [plt.Line2D([], [], color=colour, marker=MARKS[i], label=WAY_NAMES[way])
                       for i, (way, colour) in enumerate(COLOURS.items())]
            figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)
            figure.suptitle("Label efficiency: " + _told(self), fontsize=11, x=0.01, ha="left")
            save_picture(figure, self.asked.page.request)
        return figures.closed(figure)

    def _draw(self, ax: Axes, method: str) -> None:
        for i, (way, colour) in enumerate(COLOURS.items()):
            drawn = [(at, row.measured["macro_auroc"]) for at, percent in enumerate(self.asked.percents)
                     if (row := self.row(method, way, percent))]
            for at, measured in drawn:
                ax.plot([at + (i - 1) * 0.07] * 2, [measured.interval.low, measured.interval.high], color=colour, lw=1.6)
            ax.plot([at + (i - 1) * 0.07 for at, _ in drawn], [each.interval.estimate for _, each in drawn], MARKS[i] + "-",
                    color=colour, ms=5, lw=1)
        ax.set(title=METHOD_NAMES[method], xlim=(-0.4, len(self.asked.percents) - 0.6), xlabel="labels used")
        ax.set_xticks(range(len(self.asked.percents)), [f"{percent} %" for percent in self.asked.percents])
        ax.axhline(0.5, color=GREY, lw=0.8, ls=":")
        ax.grid(axis="y", color="#e5e5e5", lw=0.8)

    def noise(self) -> Noise:
        """The runs with the most labels measured again in noise, or what is stored of that."""
        most = max(self.asked.percents)
        kept = [row for row in self.comparison.rows if row.value.endswith(f"_{most}")]
        asked = [Probe("noise", factor) for factor in (NOISE[-1:] if self.asked.page.request.size.name == "smoke" else NOISE)]
        return Noise(self, most, probe_all(replace(self.comparison, rows=kept), asked))

    # -- words ----------------------------------------------------------------------------------------------------------

    def reading(self, noise: Noise) -> str:
        """What the numbers allow one to say, as Markdown."""
        parts = [self._gains(percent) for percent in self.asked.percents]
        parts += [noise.reading(), self._limits(), self._gaps()]
        return "\n\n".join(part for part in parts if part) + "\n\n" + provenance(self.comparison.outcome.finished, self.asked.page.plan)

    def _gains(self, percent: int) -> str:
        differences = {f"{METHOD_NAMES[method]} ({words})": row.difference["macro_auroc"]
                       for way, words in (("probe", "head alone"), ("tuned", "all trained")) for method in self.asked.methods
                       if (row := self.row(method, way, percent)) and row.difference["macro_auroc"]}
        if not differences:
            return ""
        told = [f"{verdict} than the same network from scratch: " + ", ".join(names) for verdict in ("better", "worse") if (names := [
            f"{name} {tables.show_interval(each.interval, True)}" for name, each in differences.items() if each.verdict == verdict])]
        low, high = (pick(differences, key=lambda name: differences[name].interval.estimate) for pick in (min, max))
        told.append(f"the differences go from {tables.show_interval(differences[low].interval, True)}, {low}, to "
                    f"{tables.show_interval(differences[high].interval, True)}, {high}")
        undecided = [name for name, each in differences.items() if each.verdict == "undecided"]
        if undecided and len(undecided) < len(differences):
            told.append("undecided: " + ", ".join(undecided))
        few = [name for name, each in differences.items() if each.n_seeds < FEWEST_SEEDS]
        if few:
            whom = "any of them" if len(few) == len(differences) else ", ".join(few)
            told.append(f"with fewer than {FEWEST_SEEDS} seeds no verdict is given on {whom}")
        text = "; ".join(told)
        return f"**With {percent} % of the labels.** {text[0].upper()}{text[1:]}."

    def _limits(self) -> str:
        asked, size = self.asked.page.request, self.asked.page.request.size
        limits = ["each network is compared with itself; the three differ in size and cost, so their scores do not rank the methods",
                  "pretraining saw one data set, where the papers pool several"]
        if size.name != "full":
            limits.insert(0, f"this is the `{size.name}` profile: narrow networks and a short pretraining, where the papers' last hundreds "
                             "of epochs")
        if 1 in self.asked.percents and size.n_training:
            limits.append(f"one per cent of {size.n_training:,} records are {max(1, round(size.n_training / 100))}, in which rare classes "
                          "may not occur at all")
        text = "; ".join(limits)
        return (f"**What cannot be concluded.** {text[0].upper()}{text[1:]}.\n\n**What would settle it.** The full profile: `python -m "
                f"ecgstudy sweep self_supervised --dataset {asked.dataset} --task {asked.task} --profile full --time-budget 3600`.")

    def _gaps(self) -> str:
        seeds: dict[str, list[int]] = {}
        for experiment in self.comparison.outcome.missing + [e for e, _ in self.comparison.outcome.failed]:
            seeds.setdefault(self.asked.page.plan[experiment], []).append(experiment.seed)
        told = ", ".join(f"`{name}` (seed{'s' * (len(which) > 1)} {', '.join(map(str, which))})" for name, which in seeds.items())
        return f"**Missing runs.** {told}." if told else ""


@dataclass(frozen=True)
class Noise:
    """How the networks take noise that training never showed, on the validation fold."""

    found: Found
    percent: int
    probing: Probing

    @cached_property
    def scores(self) -> dict[str, dict[Probe, Score]]:
        return macro_auroc(self.probing.groups)

    @property
    def factors(self) -> list[float]:
        return sorted({probe.value for scores in self.scores.values() for probe in scores if probe.kind == "noise"})

    def loss(self, method: str, way: str, factor: float) -> Score | None:
        """What noise changes in the score of a method's run; None where it was not measured."""
        row = self.found.row(method, way, self.percent)
        scores = self.scores.get(row.value) if row else None
        return scores[Probe("noise", factor)] - scores[CLEAN] if scores else None

    def figure(self) -> Figure:
        """The change of macro-AUROC against the noise, a panel a method."""
        methods = [method for method in self.found.asked.methods
                   if any(self.loss(method, way, factor) for way in COLOURS for factor in self.factors)]
        with plt.rc_context(STYLE):
            if not methods:
                figure, ax = plt.subplots(figsize=(9.5, 0.8))
                ax.set_axis_off()
                ax.text(0, 0.5, "No run of this page could be probed: neither weights nor stored probes are at hand.", va="center")
                return figures.closed(figure)
            figure, axes = plt.subplots(1, len(methods), figsize=(9.5, 3.4), sharey=True, squeeze=False, layout="constrained")
            for ax, method in zip(axes.flat, methods, strict=True):
                for i, (way, colour) in enumerate(COLOURS.items()):
                    drawn = [(f, each.interval) for f in self.factors if (each := self.loss(method, way, f))]
                    places = np.arange(len(drawn)) + (i - 1) * 0.15
                    ax.plot(places, [each.estimate for _, each in drawn], MARKS[i] + "-", color=colour, ms=4, lw=1)
                    ax.vlines(places, [each.low for _, each in drawn], [each.high for _, each in drawn], color=colour, lw=1.4)
                ax.set(title=METHOD_NAMES[method], xlim=(-0.5, len(self.factors) - 0.5))
                ax.set_xticks(range(len(self.factors)), [f"{factor:g}" for factor in self.factors])
                ax.axhline(0, color=GREY, lw=0.8)
                ax.grid(axis="y", color="#e5e5e5", lw=0.8)
            axes[0, 0].set_ylabel("change of macro-AUROC")
            axes[0, len(methods) // 2].set_xlabel("times the noise of a resting record")
            handles = [plt.Line2D([], [], color=colour, marker=MARKS[i], label=WAY_NAMES[way])
                       for i, (way, colour) in enumerate(COLOURS.items())]
            figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)
            figure.suptitle(f"In noise: trained with {self.percent} % of the labels, validation fold", fontsize=11, x=0.01, ha="left")
        return figures.closed(figure)

    def reading(self) -> str:
        """Whether pretraining changed what noise takes away, as Markdown; paired on patients, seeds averaged."""
        if not self.factors:
            return self.probing.gaps()
        most, told = self.factors[-1], []
        for method in self.found.asked.methods:
            lost = {way: self.loss(method, way, most) for way in COLOURS}
            for way, words in (("probe", "the head alone trained"), ("tuned", "all trained")):
                if lost[way] and lost["scratch"]:
                    found = (lost[way] - lost["scratch"]).interval
                    told.append(f"{METHOD_NAMES[method]}, {words}: {tables.show_interval(found, True)}")
        text = (f"**In noise.** Noise {most:g} times that of a resting record takes more (−) or less (+) from a pretrained network than "
                f"from the same network from scratch: {'; '.join(told)}. An interval of patients says nothing about the luck of a "
                "seed.") if told else ""
        return "\n\n".join(part for part in (text, self.probing.gaps()) if part)


def _told(found: Found) -> str:
    asked = found.asked.page.request
    return f"{asked.dataset} ({asked.task}), {asked.size.name} profile"




def reported_table() -> Styler:
    """What the papers of CPC and of ST-MEM report, in grey."""
    lines = []
    for paper in ("cpc_ssl", "st_mem"):
        told = tables.reported("papers")[paper]
        for row in told["rows"]:
            lines.append({"network": row.get("network", "ViT-B"), "pretrained by": row.get("pretraining") or row["method"],
                          "data": f"{told['dataset']}, {told['task']}", "all trained": tables.show(row.get("tuned", math.nan)),
                          "head alone trained": tables.show(row.get("linear", row.get("probe", math.nan)))})
    styler = tables.style(pd.DataFrame(lines), "Reported AUROC, macro mean over labels, as later repositories quote it from the two "
                                               "papers; \"none\" under \"all trained\" is training from scratch.")
    return styler.set_properties(**{"color": "#8a8a8a", "font-style": "italic"})
