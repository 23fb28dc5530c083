"""Page 02: what the scoring rule and the training recipe do to the number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ecgstudy.evaluate.bootstrap import Interval, interval, patient_weights, replicate_scores
from ecgstudy.study import figures, protocol_figures, scoring_rules, tables
from ecgstudy.study.axis_page import AxisPage, Comparison
from ecgstudy.study.comparison import METRICS, Row, compare
from ecgstudy.study.ledger import Run
from ecgstudy.study.protocol_plan import RECIPES, WATCHED, recipe_axis, step_after
from ecgstudy.study.request import fulfil, read_request
from ecgstudy.study.scoring_rules import SHARES, Scored
from ecgstudy.study.sweep import Outcome
from ecgstudy.train.augment import LEAD_PROBABILITY, LONGEST_SHARE, NOISE_SIGMA

if TYPE_CHECKING:
    from IPython.display import Markdown

GREY = "color: #8a8a8a; font-style: italic"
ORACLE_NAMES = {"oracle_one": "one threshold on test", "oracle_per_class": "a threshold a class on test", "oracle_epoch": "epoch on test",
                "oracle_epoch_one": "epoch and one threshold on test"}
NORMAL_WIDTH = 2 * 1.96     # of a 95 % interval, in SDs
OWN_LIMITS = ("the augmentations' strengths are this study's choices, since the notes give none; other strengths may do other things",
              "a rate schedule and an augmentation may need more epochs than a short profile has before they show")


def ask(namespace: Mapping[str, Any]) -> AxisPage:
    """The page with its parameters checked; `namespace` is the notebook's globals()."""
    request = read_request(namespace, "02_protocol", {"recipes": RECIPES})
    return AxisPage(recipe_axis(request.size), request)


def what_runs(page: AxisPage) -> str:
    """What this page will do, as Markdown, before it does it."""
    size = page.request.size
    at, epochs = step_after(size), size.epochs
    return (f"{page.what_runs()} The profile trains with the `{size.schedule}` schedule, which is the baseline; `step` divides the rate "
            f"by ten after {at} of {epochs} epoch{'s' * (epochs > 1)}, `cosine` lets it fall to zero over all of them. An augmentation "
            f"is added to the baseline. `{WATCHED}` is the baseline once more, with its test predictions kept after every epoch.")


def notes_recipe() -> str:
    """What the notes record of their recipe, as Markdown."""
    told = tables.reported("recipe")
    step = told["schedules"]["step"]
    return (f"The notes train with {told['optimizer']} at {told['lr']} and multiply the rate by {step['gamma']} every "
            f"{step['step_size']} epochs. Of a cosine schedule they say: *{told['schedules']['cosine']}*. Of augmentation: "
            f"*{told['augmentation']}*. Here a lead is masked with probability {LEAD_PROBABILITY}, an end mask covers up to "
            f"{LONGEST_SHARE:.0%} of the record, and the noise has {NOISE_SIGMA} standard deviations of the training records.")


def run(page: AxisPage) -> Protocol:
    """Do every run of the page, or read it from the ledger."""
    return Protocol(page, fulfil(page.request, page.plan))


@dataclass(frozen=True)
class Protocol:
    """The finished runs of page 02."""

    page: AxisPage
    outcome: Outcome

    def named(self, name: str) -> list[Run]:
        """The finished runs of a recipe, one a seed."""
        return [run for run in self.outcome.finished if self.page.plan[run.experiment] == name]

    @cached_property
    def base(self) -> list[Run]:
        return self.named(self.page.axis.baseline)

    @cached_property
    def watched(self) -> list[Run]:
        return self.named(WATCHED)

    @cached_property
    def scored(self) -> dict[str, Scored]:
        """Every scoring rule on the runs of this page."""
        return scoring_rules.score_rules(self.base, self.watched)

    @cached_property
    def by_size(self) -> dict[str, list[np.ndarray]]:
        """Optimism of each oracle on a share of the test patients: draws for each of SHARES."""
        return scoring_rules.optimism_by_size(self.base, self.watched)

    @cached_property
    def recipes(self) -> Comparison:
        """The recipes compared; the watched run, which repeats the baseline, is not one of them."""
        runs = [run for run in self.outcome.finished if self.page.plan[run.experiment] != WATCHED]
        return Comparison(self.page, self.outcome, compare(runs, self.page.plan, self.page.axis.baseline))

    def rule_table(self) -> Styler | Markdown:
        """Macro-F1 under every scoring rule; what the test fold chose stands in grey."""
        if not self.scored:
            return self._gap()
        rules = scoring_rules.rules_of(self.base, self.watched)
        lines = [{"rule": name, "epoch; threshold": f"best on {rules[name][0].epoch};<br>{rules[name][0].thresholds}",
                  "macro-F1": tables.show_interval(found.score, joint="<br>"), "minus protocol": _paired(found.against_protocol),
                  "optimism": _paired(found.optimism) + (f"<br>over {rules[name][0].twin}" if rules[name][0].twin else "")}
                 for name, found in self.scored.items()]
        seeds = " and ".join(dict.fromkeys(str(found.n_seeds) for found in self.scored.values()))
        first = (self.base or self.watched)[0]
        caption = (f"{tables.describe_data(first)}; seeds a rule: {seeds}. One set of predictions, scored in different ways: mean over "
                   "seeds, [95 % interval over patients]. A threshold is the one with the best F1 there. Optimism is an oracle minus its "
                   "twin, the rule that makes the same choice without test. Grey: the test fold chose, so the number is not a result.")
        return tables.style(pd.DataFrame(lines), caption).apply(
            lambda line: [GREY if line["rule"].startswith("oracle_") else ""] * len(line), axis=1)

    def optimism_figure(self) -> Figure | Markdown:
        """How an oracle's optimism grows as the test fold shrinks."""
        if not self.scored:
            return self._gap()
        first = (self.base or self.watched)[0]
        sizes = [round(share * len(first.predictions.test_records)) for share in SHARES]
        return figures.closed(protocol_figures.optimism(self.by_size, sizes, ORACLE_NAMES, tables.describe_data(first)))

    def recipe_table(self) -> Styler | Markdown:
        """The recipes' scores and their paired differences to the baseline."""
        return self.recipes.score_table() if self.recipes.rows else self._gap()

    def recipe_figure(self) -> Figure | Markdown:
        """The recipes' scores drawn; the page's picture."""
        return self.recipes.figure() if self.recipes.rows else self._gap()

    def spread_figure(self) -> Figure | Markdown:
        """Each seed of the baseline with its own interval over patients."""
        row = self._base_row()
        if row is None:
            return self._gap()
        return figures.closed(protocol_figures.spread(row, seed_intervals(row), tables.describe_data(row.runs[0])))

    def reading(self) -> str:
        """What can and what cannot be concluded, as Markdown."""
        parts = [self._about_rules(), self._about_epochs(), self._about_spread()]
        rest = self.recipes.reading(OWN_LIMITS) if self.recipes.rows else "**Missing runs.** No recipe is here to compare."
        return "\n\n".join([*filter(None, parts), rest])

    def _base_row(self) -> Row | None:
        return next((row for row in self.recipes.rows if row.value == self.page.axis.baseline), None)

    def _gap(self) -> Markdown:
        from IPython.display import Markdown

        return Markdown(f"The runs that belong here have not been made. This needs `{self.page.axis.baseline}`, the baseline, among "
                        f"`recipes`, and for the epochs `{WATCHED}`.")

    def _about_rules(self) -> str:
        told = [f"{ORACLE_NAMES[name]} {tables.show_interval(found.optimism, signed=True)}" for name, found in self.scored.items()
                if found.optimism]
        if not told:
            return ""
        small = "; ".join(f"{ORACLE_NAMES[name]} {tables.show(draws[0].mean(), signed=True)}" for name, draws in self.by_size.items())
        return (f"**What the scoring rule does.** The optimism of letting the test fold choose, in macro-F1: {'; '.join(told)}. No "
                "estimate can be negative, whatever the network: the best of several choices is taken after looking. On "
                f"{SHARES[0]:.0%} of the test patients the same oracles add, on average: {small}.")

    def _about_epochs(self) -> str:
        if not self.watched:
            return ""
        chosen, gained = scoring_rules.epoch_auroc(self.watched)
        epochs = max(len(run.predictions.oracle_epoch_logits) for run in self.watched)
        return (f"Without any threshold, in macro-AUROC, the epoch chosen on validation scores {tables.show_interval(chosen)}; the best of "
                f"at most {epochs} epoch{'s' * (epochs > 1)} on test adds {tables.show_interval(gained, signed=True)}.")

    def _about_spread(self) -> str:
        row = self._base_row()
        if row is None:
            return ""
        found = [seed["macro_f1"] for seed in seed_intervals(row).values()]
        text = (f"**What moves a score.** One run of the baseline has a 95 % interval over patients {_width(found):.3f} of macro-F1 wide, "
                f"as wide as that of an SD of {_width(found) / NORMAL_WIDTH:.3f}.")
        seeds = row.measured["macro_f1"].deviation
        if np.isnan(seeds):
            return f"{text} One seed says nothing about seeds."
        optimism = max((scored.optimism.estimate for scored in self.scored.values() if scored.optimism), default=0.0)
        return (f"{text} Over {len(row.runs)} seeds the SD is {seeds:.3f}, itself a rough figure from so few. The largest optimism above "
                f"is {optimism:.3f}.")


def _width(found: Sequence[Interval]) -> float:
    return float(np.mean([each.high - each.low for each in found]))


def seed_intervals(row: Row, n_replicates: int = 1000) -> dict[int, dict[str, Interval]]:
    """For each seed of a recipe both metrics with their own interval over patients."""
    first = row.runs[0].predictions
    weights = patient_weights(first.test_patients, n_replicates, np.random.default_rng(0))
    found = {}
    for run in row.runs:
        draws = replicate_scores(run.test_probability(), run.predictions.test_targets, run.thresholds, weights)
        seed = run.experiment.seed
        found[seed] = {metric: interval(row.measured[metric].by_seed[seed], draws[metric]) for metric in METRICS}
    return found


def _paired(found: Interval | None) -> str:
    return tables.show_interval(found, True, "<br>") if found else "–"
