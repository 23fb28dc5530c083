"""Page 13: what a teacher of twelve leads, or of six views, gives a student that sees less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ecgstudy.study import axis_page, tables
from ecgstudy.study.axis_page import FEWEST_POSITIVES, Comparison
from ecgstudy.study.class_gaps import EVERY_CLASS, N_REPLICATES, ClassGap, Scored, class_gaps, differences, scored
from ecgstudy.study.comparison import Difference, Row
from ecgstudy.study.distillation_figures import gap_figure, view_figure, ways_figure
from ecgstudy.study.distillation_plan import SINGLE_LEADS, VIEW_LEADS
from ecgstudy.study.figures import closed
from ecgstudy.study.tables import show, show_interval, show_measured, show_p

TEACHER, SIX_VIEWS = "teacher", "six_views"
WAYS = {"bce": "labels alone", "kd": "+ answers (MKD)", "clt": "+ features (CLT)", "both": "+ both"}
VIEWS = {name: ", ".join(leads) or "all twelve" for name, leads in VIEW_LEADS.items()}
LESSONS = {"kd": "Bernoulli form", "published": "soft-max form, as published"}
LIMITS = ("a taught student has seen its teacher's answers to the same training records, not more records; a teacher that learnt from more "
          "people could give more",
          "an interval over patients does not hold the luck of a training run, and a share closed is a ratio of two such differences",
          "lead I of a 12-lead recording stands in for a recorder of one lead, which has other electrodes and more noise")


@dataclass(frozen=True, eq=False)
class Lesson:
    """The page's runs and, on the same draws of patients for all, every row's AUROC by class. teacher: the row that teaches one lead."""

    found: Comparison
    teacher: str = TEACHER
    n_replicates: int = N_REPLICATES

    @cached_property
    def rows(self) -> dict[str, Row]:
        return {row.value: row for row in self.found.rows}

    @cached_property
    def measured(self) -> Scored:
        return scored(self.found.rows, self.n_replicates)

    @property
    def test(self) -> dict[str, Any]:
        """Test scores of the first run, for the classes and how many have each."""
        return self.found.rows[0].runs[0].result["scores"]["test"]

    @property
    def whose(self) -> str:
        """What was measured on, for a picture's title."""
        return tables.describe_data(self.found.rows[0].runs[0])

    def gaps(self, teacher: str, alone: str, taught: str) -> list[ClassGap]:
        return class_gaps(self.measured, teacher, alone, taught, self.test)

    def asked(self, names: Sequence[str]) -> list[str]:
        """Those of the rows that were run."""
        return [name for name in names if name in self.rows]

    def gone(self, names: Sequence[str]) -> str:
        """A sentence that names the rows without a run; empty where there is none."""
        missing = [f"`{name}`" for name in names if name not in self.rows]
        return f"Not run: {', '.join(missing)}." if missing else ""


def student(lead: str, way: str) -> str:
    """A row's name: the student of one lead."""
    return f"lead_{lead}_{way}"


def view(name: str, way: str) -> str:
    """A row's name: the student of one view."""
    return f"view_{name}_{way}"


# -- one lead -----------------------------------------------------------------------------------------------------------

def against_labels(lesson: Lesson) -> dict[tuple[str, str], Difference]:
    """The teacher and each taught student minus the student by labels alone, p corrected over the students of one lead."""
    found = {}
    for lead in SINGLE_LEADS:
        alone = student(lead, "bce")
        rivals = [lesson.teacher, *(student(lead, way) for way in WAYS if way != "bce")]
        found |= differences(lesson.measured, [(rival, alone) for rival in rivals])
    return found


def ways_table(lesson: Lesson) -> list[Any]:
    """For each lead a line of what is missing, and the table of its ways of teaching."""
    from IPython.display import Markdown

    shown: list[Any] = []
    told = against_labels(lesson)
    for lead in SINGLE_LEADS:
        names = [lesson.teacher, *(student(lead, way) for way in WAYS)]
        gone = lesson.gone(names)
        if gone:
            shown.append(Markdown(f"**Lead {lead}.** {gone}"))
        if len(lesson.asked(names)) > 1:
            shown.append(_ways_of(lesson, lead, told))
    return shown


def _ways_of(lesson: Lesson, lead: str, told: dict[tuple[str, str], Difference]) -> Styler:
    alone, lines = student(lead, "bce"), []
    for name, label in ((lesson.teacher, "the teacher, twelve leads"), *((student(lead, way), words) for way, words in WAYS.items())):
        if name in lesson.rows:
            lines.append({"network": label} | _scores(lesson.rows[name]) | _difference(told.get((name, alone))))
    return tables.style(pd.DataFrame(lines), f"Students of lead {lead}: {lesson.whose}. Mean over seeds ± SD, [95 % interval over "
                        "patients]; difference of macro-AUROC to labels alone on the same patients and seeds, p after Holm within the "
                        "table.")


def _scores(row: Row) -> dict[str, str]:
    return {"macro-AUROC": show_measured(row.measured["macro_auroc"]), "macro-F1": show_measured(row.measured["macro_f1"]),
            "seeds": str(len(row.runs))}


def _difference(found: Difference | None, named: str = "against labels alone") -> dict[str, str]:
    return {named: show_interval(found.interval, signed=True, joint="<br>") if found else "–", "p": show_p(found)}


def ways_picture(lesson: Lesson) -> Figure | Any:
    """Both leads' ways of teaching and the teacher, also kept as the page's picture; a sentence where no student was run."""
    from IPython.display import Markdown

    teacher = lesson.rows[lesson.teacher].measured["macro_auroc"].interval if lesson.teacher in lesson.rows else None
    panels = {f"student of lead {lead}": (teacher, {
        label: (found.interval, list(found.by_seed.values())) for way, label in WAYS.items()
        if (name := student(lead, way)) in lesson.rows and (found := lesson.rows[name].measured["macro_auroc"])}) for lead in SINGLE_LEADS}
    panels = {name: panel for name, panel in panels.items() if panel[1]}
    if not panels:
        return Markdown("No student of one lead was run.")
    drawn = ways_figure(panels, lesson.whose)
    axis_page.save_picture(drawn, lesson.found.page.request)
    return closed(drawn)


def taught_way(lesson: Lesson) -> str:
    """The way of teaching whose gaps are shown: the paper's own, both terms, where it was run."""
    return next((way for way in ("both", "clt", "kd") if any(student(lead, way) in lesson.rows for lead in SINGLE_LEADS)), "both")


def lead_gaps(lesson: Lesson) -> dict[str, list[ClassGap]]:
    """For each lead whose three rows were run: the gap in each class and what the lesson closes of it."""
    way = taught_way(lesson)
    found = {lead: lesson.gaps(lesson.teacher, student(lead, "bce"), student(lead, way)) for lead in SINGLE_LEADS}
    return {lead: gaps for lead, gaps in found.items() if gaps}


def gap_picture(lesson: Lesson) -> Figure | Any:
    """The gaps drawn; a sentence where no lead has all three rows."""
    from IPython.display import Markdown

    found, way = lead_gaps(lesson), taught_way(lesson)
    if not found:
        names = [lesson.teacher, *(student(lead, each) for lead in SINGLE_LEADS for each in ("bce", way))]
        return Markdown(f"No gap can be drawn. {lesson.gone(names)}")
    return closed(gap_figure({f"student of lead {lead}": gaps for lead, gaps in found.items()},
                             f"What the teacher closes of the gap, class by class (labels {WAYS[way]})\n{lesson.whose}"))


# -- views --------------------------------------------------------------------------------------------------------------

def view_differences(lesson: Lesson) -> dict[tuple[str, str], Difference]:
    """Every taught view minus the same view by labels alone; p corrected over all of them."""
    return differences(lesson.measured, [(view(name, way), view(name, "bce")) for name in VIEWS for way in LESSONS])


def view_table(lesson: Lesson) -> Any:
    """A row a view: its student by labels alone, and what each form of the teacher's lesson adds."""
    from IPython.display import Markdown

    told, lines = view_differences(lesson), []
    if SIX_VIEWS in lesson.rows:
        teacher = lesson.rows[SIX_VIEWS].measured["macro_auroc"]
        lines.append({"student sees": "six views, the teacher", "labels alone": show_measured(teacher)})
    for name, label in VIEWS.items():
        if (alone := view(name, "bce")) in lesson.rows:
            line = {"student sees": label, "labels alone": show_measured(lesson.rows[alone].measured["macro_auroc"])}
            for way, words in LESSONS.items():
                found = told.get((view(name, way), alone))
                line |= {words: show_interval(found.interval, signed=True, joint="<br>") if found else "–", f"p, {way}": show_p(found)}
            lines.append(line)
    gone = lesson.gone([SIX_VIEWS, *(view(name, way) for name in VIEWS for way in ("bce", *LESSONS))])
    if not lines:
        return Markdown(f"**Views.** {gone}")
    return tables.style(pd.DataFrame(lines).fillna(""), "Macro-AUROC of the student of each view, and in the columns of the two forms "
                        "its difference to labels alone, on the same patients and seeds; p after Holm over all of them. "
                        f"{lesson.whose}. {gone}")


def view_picture(lesson: Lesson) -> Figure | Any:
    """AUROC by view and class, and each lesson's gain; a sentence where no view was run."""
    from IPython.display import Markdown

    views = [name for name in VIEWS if view(name, "bce") in lesson.rows]
    if not views:
        return Markdown("No view was run by labels alone, so there is nothing to set a lesson against.")
    classes = lesson.test["classes"]
    alone = tables.class_auroc([lesson.rows[view(name, "bce")] for name in views])
    gains = {}
    for way, words in LESSONS.items():
        by_view = [lesson.gaps(view(name, "bce"), view(name, "bce"), view(name, way))[1:] for name in views]
        if any(by_view):
            nothing = [float("nan")] * len(classes)
            gain = np.array([[gap.gain.estimate for gap in gaps] or nothing for gaps in by_view])
            sure = np.array([[gap.gain.low > 0 or gap.gain.high < 0 for gap in gaps] or [False] * len(classes) for gaps in by_view])
            gains[words] = (gain, sure)
    return closed(view_figure(alone, gains, [VIEWS[name] for name in views], classes,
                              f"Students of one view, class by class\n{lesson.whose}"))


# -- reading ------------------------------------------------------------------------------------------------------------

def told_by_lead(lesson: Lesson) -> str:
    """For each lead, how far the teacher is ahead and what each way of teaching does about it."""
    told, parts = against_labels(lesson), []
    for lead in SINGLE_LEADS:
        alone = student(lead, "bce")
        ahead = told.get((lesson.teacher, alone))
        if ahead is None:
            continue
        text = (f"**Lead {lead}.** The teacher of twelve leads minus the student by labels alone, in macro-AUROC: "
                f"{show_interval(ahead.interval, signed=True)} ({_word(ahead)}).")
        ways = [f"{WAYS[way].removeprefix('+ ')} {show_interval(found.interval, signed=True)} ({_word(found)})" for way in WAYS
                if (found := told.get((student(lead, way), alone)))]
        parts.append(text + (f" Against labels alone: {'; '.join(ways)}." if ways else ""))
    return "\n\n".join(parts)


def _word(found: Difference) -> str:
    return found.verdict if found.n_seeds >= 3 else f"{found.n_seeds} seed{'s' * (found.n_seeds > 1)}, no verdict"


def told_by_class(lesson: Lesson) -> str:
    """In which classes a lead falls shortest of the teacher, and how much of that was closed."""
    parts = []
    for lead, gaps in lead_gaps(lesson).items():
        enough = [gap for gap in gaps if gap.name != EVERY_CLASS and gap.positives >= FEWEST_POSITIVES and not np.isnan(gap.alone)]
        real = sorted((gap for gap in enough if gap.gap.low > 0), key=lambda gap: -gap.gap.estimate)
        if not enough:
            parts.append(f"Lead {lead}: no class has {FEWEST_POSITIVES} positive test records, so none is read on its own.")
        elif not real:
            parts.append(f"Lead {lead}: in none of the {len(enough)} classes with at least {FEWEST_POSITIVES} positives do the patients "
                         "show a gap to the teacher.")
        else:
            named = [f"{gap.name} {show(gap.gap.estimate)} ({100 * gap.share:.0f} % closed)" for gap in real]
            parts.append(f"Lead {lead}: the patients show a gap in {len(real)} of {len(enough)} classes with at least {FEWEST_POSITIVES} "
                         f"positives, widest first {', '.join(named)}; the median share closed is "
                         f"{100 * float(np.median([gap.share for gap in real])):.0f} %.")
    return "**By class.** " + " ".join(parts) + " A negative share is a loss." * ("closed)" in " ".join(parts)) if parts else ""


def told_by_view(lesson: Lesson) -> str:
    """Which view alone does best, and what the six views' lesson adds in either form."""
    alone = {name: lesson.rows[view(name, "bce")].measured["macro_auroc"].interval.estimate for name in VIEWS
             if view(name, "bce") in lesson.rows}
    if not alone:
        return ""
    partial = {name: score for name, score in alone.items() if name != "all"} or alone
    best, worst = max(partial, key=partial.get), min(partial, key=partial.get)
    parts = [f"**Views.** By labels alone the most telling of {len(partial)} views is {VIEWS[best]} ({show(partial[best])} macro-AUROC), "
             f"the least {VIEWS[worst]} ({show(partial[worst])})." if len(partial) > 1 else
             f"**Views.** By labels alone {VIEWS[best]} has {show(partial[best])} macro-AUROC."]
    if (pairs := differences(lesson.measured, [(SIX_VIEWS, view("all", "bce"))])):
        found = next(iter(pairs.values()))
        parts.append(f"Six networks of one view each against one network of all leads: {show_interval(found.interval, signed=True)} "
                     f"({_word(found)}).")
    told = view_differences(lesson)
    for way, words in LESSONS.items():
        mine = [told[pair] for name in VIEWS if (pair := (view(name, way), view(name, "bce"))) in told]
        if mine:
            counts = {word: sum(each.verdict == word for each in mine) for word in ("better", "worse", "undecided")}
            parts.append(f"The {words}, against labels alone: {', '.join(f'{n} {word}' for word, n in counts.items() if n)}; from "
                         f"{show(min(each.interval.estimate for each in mine), signed=True)} to "
                         f"{show(max(each.interval.estimate for each in mine), signed=True)}.")
    forms = differences(lesson.measured, [(view(name, "kd"), view(name, "published")) for name in VIEWS])
    if forms:
        ahead = sum(each.interval.estimate > 0 for each in forms.values())
        counted = sum(each.verdict != "undecided" for each in forms.values())
        parts.append(f"The Bernoulli form has the higher mean in {ahead} of {len(forms)} views, and is told from the soft-max form in "
                     f"{counted}.")
    return " ".join(parts)


def reading(lesson: Lesson) -> Any:
    """The page read, as Markdown, from its own numbers."""
    from IPython.display import Markdown

    parts = (told_by_lead(lesson), told_by_class(lesson), told_by_view(lesson), lesson.found.reading(LIMITS))
    return Markdown("\n\n".join(part for part in parts if part))
