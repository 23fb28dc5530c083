"""Page 01, the data: what is counted, what is drawn, and what the counts allow one to trust."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ecgstudy.data.dataset import Prepared
from ecgstudy.data.labels import SIMULATED, TASKS, LabelSet, label_set
from ecgstudy.data.manifest import manifest, source
from ecgstudy.data.quality import KINDS, read_report
from ecgstudy.data.splits import N_FOLDS, TEST_FOLD, VALIDATION_FOLD, audit
from ecgstudy.data.synthetic.realism import Check
from ecgstudy.study import tables
from ecgstudy.study.cards import card
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE
from ecgstudy.study.request import Request, obtain

TITLES = {"ptbxl": "PTB-XL", "cpsc": "CPSC2018", "chapman": "Chapman-Shaoxing", "synthetic": "the simulator",
          "synthetic_rhythm": "the simulator's rhythms"}
NOTES_NAMES = {"cpsc": {"Normal": "NORM"}}      # what the notes call a class that the data set calls otherwise
FEWEST_POSITIVES = 20       # of a class on the test fold, before its score is read on its own
CHANCE = 3.5                # binomial standard deviations that the farthest of some hundred shares may lie off by chance
SEXES = {"female": "#b3541e", "male": MEASURED}


@dataclass(frozen=True)
class Data:
    """A page's data: prepared records, the task's classes, their targets [R, K] and the fold [R] of each record."""

    page: Request
    prepared: Prepared
    labels: LabelSet
    targets: np.ndarray
    fold: np.ndarray

    @property
    def title(self) -> str:
        return TITLES[self.page.dataset]

    @property
    def table(self) -> pd.DataFrame:
        return self.prepared.table


def open_data(page: Request) -> Data:
    """The page's prepared data, made or fetched where they are not at hand."""
    prepared = obtain(page.dataset, page.size)
    labels = label_set(page.dataset, page.task)
    return Data(page, prepared, labels, labels.encode(prepared.statements()), prepared.table["fold"].to_numpy())


# -- what is here -------------------------------------------------------------------------------------------------------

def what_is_here(data: Data) -> str:
    """The data set in a few sentences, and its card."""
    table, fs = data.table, data.prepared.fs
    patients = table["patient_id"].nunique()
    whose = "each its own patient" if patients == len(table) else f"from {patients:,} patients"
    text = (f"**This page:** data set `{data.page.dataset}` ({data.title}), task `{data.page.task}`: {len(table):,} records, {whose}, "
            f"twelve leads at {fs} Hz, at most {data.prepared.spec.seconds:g} s of each. Data digest `{data.prepared.digest[:12]}`.")
    if data.page.dataset in SIMULATED:
        own = "The records are simulated: nothing on this page is a measurement of people."
    else:
        own = card(source(data.page.dataset))
    folded = [f"<details><summary>Data card of {name}</summary>\n\n{card(entry)}\n</details>"
              for name, entry in manifest().items() if name != data.page.dataset]
    return "\n\n".join([text, own, *folded])


# -- counts -------------------------------------------------------------------------------------------------------------

def count_table(data: Data) -> Styler:
    """Records of every class of every task, by part, beside the notes' own counts and whether the two are equal."""
    lines, told = [], False
    for task in TASKS[data.page.dataset]:
        for name, here, notes in _counts(data, task):
            line: dict[tuple[str, str], Any] = {("", "task"): task, ("", "class"): name} | {
                ("here", part): f"{count:,}" for part, count in zip(("folds 1–8", "fold 9", "fold 10"), here, strict=True)}
            told = told or notes is not None
            line |= {(tables.NOTES, part): "–" if notes is None else f"{notes[i]:,}" for i, part in enumerate(("folds 1–9", "fold 10"))}
            line[("", "equal")] = "–" if notes is None else "yes" if _equal(here, notes) else "no"
            lines.append(line)
    table = pd.DataFrame(lines)
    if not told:
        table = table.drop(columns=[(tables.NOTES, "folds 1–9"), (tables.NOTES, "fold 10"), ("", "equal")])
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    caption = (f"Records that carry each class, {data.title}, {len(data.table):,} records. The last line of a task counts the records "
               "that it can use." + (" In grey the study notes' counts, whose training part is folds 1 to 9; equal means that both "
                                     "parts agree exactly." if told else ""))
    return tables.style(table, caption)


def verdict(data: Data) -> str:
    """Whether the counts are those of the notes, in a sentence."""
    compared = [(name, here, notes) for task in TASKS[data.page.dataset] for name, here, notes in _counts(data, task) if notes]
    if not compared:
        return "The notes have no counts for these records: there is nothing to compare with."
    different = [(name, here, notes) for name, here, notes in compared if not _equal(here, notes)]
    if not different:
        return (f"**All {len(compared) - 1} classes and the number of usable records equal the notes' counts exactly**, in the training "
                "part and in the test part.")
    told = "; ".join(f"{name} {here[0] + here[1]:,} + {here[2]:,} here, {notes[0]:,} + {notes[1]:,} in the notes"
                     for name, here, notes in different)
    sums = sum(sum(here) == sum(notes) for _, here, notes in compared)
    text = (f"**{len(compared) - len(different)} of {len(compared)} counts equal the notes'** in both parts, and {sums} in their sum. "
            f"Different (training + test): {told}.")
    published = source(data.page.dataset).recordings
    if len(data.table) < published:
        text += f" Only {len(data.table):,} of the {published:,} published recordings are on this machine."
    return text


def _counts(data: Data, task: str) -> Iterator[tuple[str, tuple[int, int, int], tuple[int, int] | None]]:
    """For each class of the task, and for its usable records: the counts in folds 1-8, 9 and 10, and the notes' in 1-9 and 10."""
    labels = label_set(data.page.dataset, task)
    targets = labels.encode(data.prepared.statements()).astype(bool)
    usable = targets.any(1) if labels.multilabel else targets.sum(1) == 1
    notes = tables.reported("dataset_counts").get(data.page.dataset)
    renamed = [NOTES_NAMES.get(data.page.dataset, {}).get(name, name) for name in labels.classes]
    told = notes if notes and set(renamed) == set(notes["classes"]) else None
    parts = (data.fold < VALIDATION_FOLD, data.fold == VALIDATION_FOLD, data.fold == TEST_FOLD)
    for name, known, column in zip(labels.classes, renamed, targets.T, strict=True):
        place = told["classes"].index(known) if told else 0
        yield name, _in_parts(column, parts), (told["train"][place], told["test"][place]) if told else None
    yield "records", _in_parts(usable, parts), (told["n_train"], told["n_test"]) if told else None


def _in_parts(chosen: np.ndarray, parts: Sequence[np.ndarray]) -> tuple[int, int, int]:
    first, second, third = (int((chosen & part).sum()) for part in parts)
    return first, second, third


def _equal(here: tuple[int, int, int], notes: tuple[int, int]) -> bool:
    return (here[0] + here[1], here[2]) == notes


# -- people, lengths and folds ------------------------------------------------------------------------------------------

def people(data: Data) -> Figure:
    """Ages by sex of all records; and of each class the median age with its middle half, and the share of men."""
    age, sex = data.table["age"].to_numpy(float), data.table["sex"].to_numpy()
    with plt.rc_context(STYLE):
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.5, 0.28 * len(data.labels.classes) + 1.7), layout="constrained",
                                                     width_ratios=(1.3, 1, 0.8))
        bins = np.arange(0, 105, 5)
        for name, colour in SEXES.items():
            left.hist(age[(sex == name) & np.isfinite(age)], bins, histtype="step", color=colour, lw=1.8)
        tops = [np.histogram(age[sex == name], bins)[0] for name in SEXES]
        for (name, colour), counts, offset in zip(SEXES.items(), tops, (0.98, 0.88), strict=True):
            left.text(0.02, offset, f"{name} ({counts.sum():,})", color=colour, transform=left.transAxes, va="top", fontsize=9)
        left.set(xlabel="age (years)", ylabel="records", xlim=(0, 100))
        places = np.arange(len(data.labels.classes))[::-1]
        for place, column in zip(places, data.targets.T.astype(bool), strict=True):
            known = age[column & np.isfinite(age)]
            if len(known):
                low, median, high = np.percentile(known, [25, 50, 75])
                middle.plot([low, high], [place, place], color=MEASURED, lw=2, solid_capstyle="round")
                middle.plot(median, place, "o", color=MEASURED, ms=6)
            stated = np.isin(sex[column], list(SEXES))
            if stated.any():
                right.plot(100 * (sex[column][stated] == "male").mean(), place, "o", color=SEXES["male"], ms=6)
        middle.set_yticks(places, data.labels.classes)
        right.set_yticks(places, [])
        right.axvline(50, color=GREY, lw=0.8)
        middle.set(xlabel="median age, middle half", xlim=(0, 100))
        right.set(xlabel="men (%)", xlim=(0, 100))
        for axis in (middle, right):
            axis.grid(axis="x", color="#e5e5e5", lw=0.8)
            axis.set_axisbelow(True)
        figure.suptitle(f"{data.title}: {len(age):,} records", fontsize=11, x=0.01, ha="left", color=INK)
        return figure


def fold_table(data: Data) -> Styler:
    """Share of each class in each fold, in percent of the fold's records, and the folds' sizes."""
    folds = range(1, N_FOLDS + 1)
    lines: list[dict[str, Any]] = [
        {"": what} | {str(f): f"{count(data.table[data.fold == f]):,}" for f in folds} | {"all": f"{count(data.table):,}"}
        for what, count in (("records", len), ("patients", lambda part: part["patient_id"].nunique()))]
    for name, column in zip(data.labels.classes, data.targets.T, strict=True):
        lines.append({"": name} | {str(f): _percent(column[data.fold == f]) for f in folds} | {"all": _percent(column)})
    return tables.style(pd.DataFrame(lines), f"Folds of {data.title}: records, patients, and the share of records with each class in "
                                             "percent. Folds 1 to 8 train, 9 validates, 10 tests.")


def _percent(column: np.ndarray) -> str:
    return f"{100 * column.mean():.1f}" if len(column) else "–"


def lengths(data: Data) -> str:
    """How long the records are, whether patients cross folds, and whose age or sex is not known."""
    fs, longest = data.prepared.fs, data.prepared.spec.seconds
    seconds = data.table["n_samples"].to_numpy() / fs
    short = int((seconds < longest).sum())
    text = (f"**Lengths.** All {len(seconds):,} records fill the {longest:g} s." if not short else
            f"**Lengths.** {short:,} of {len(seconds):,} records are shorter than {longest:g} s (shortest {seconds.min():.1f} s) and are "
            "filled with zeros at their end.")
    if data.page.dataset not in SIMULATED and source(data.page.dataset).seconds[1] > longest:
        low, high = source(data.page.dataset).seconds
        text += f" As published they last {low:g} to {high:g} s; what lies beyond {longest:g} s is not used."
    audit(data.table)       # refuses data in which a patient has records in two folds
    text += " **Folds.** No patient has records in two folds."
    unknown = [f"{int(missing.sum()):,} records without {what}" for what, missing in
               (("an age", data.table["age"].isna()), ("a sex", data.table["sex"] == "")) if missing.any()]
    text += f" **Gaps.** {' and '.join(unknown)}." if unknown else " **Gaps.** Age and sex are known of every record."
    if data.page.dataset == "ptbxl":
        text += f" An age of 90 stands for 90 or older ({int((data.table['age'] >= 90).sum()):,} records)."
    return text


# -- quality ------------------------------------------------------------------------------------------------------------

def quality(data: Data) -> Any:
    """What the quality check found, as a table; where it has not been run, how to run it, as Markdown."""
    from IPython.display import Markdown

    if data.page.dataset in SIMULATED:
        return Markdown("Simulated records were never recorded: there is nothing to check.")
    command = f"`python -m ecgstudy data check {data.page.dataset}`"
    report = read_report(data.page.dataset)
    if report is None:
        return Markdown(f"The recordings have not been checked on this machine; {command} makes the report that stands here.")
    table = report.table.copy()
    table["records"] = [f"{count:,}" for count in table["records"]]
    table["share"] = [f"{100 * share:.2f} %" for share in table["share"]]
    table["kind"] = [KINDS[kind] for kind in table["kind"]]
    shown = tables.style(table, f"Findings of the quality check on {data.title}. A finding is a remark, not a repair: the record stays as "
                               "it was published.")
    return shown.set_properties(subset=["kind", "examples"], **{"white-space": "normal"})


# -- the simulator's measures -------------------------------------------------------------------------------------------

def realism_table(checks: Sequence[Check]) -> Any:
    """Simulated values beside the range of real recordings, folded away under a line that says how many lie inside."""
    from IPython.display import HTML

    table = pd.DataFrame([{"what": c.what, "where": c.where, "unit": c.unit, "real": f"{_digits(c.low)} to {_digits(c.high)}",
                           "simulated": _digits(c.measured), "inside": "yes" if c.inside else "no"} for c in checks])
    styled = tables.style(table, "The simulator measured now, beside what real recordings allow: 10th to 90th percentile (R, S), within "
                                 "0.12 mV of the median (T), within 5 % of the class mean (rate, QRS, QTc), within 5 dB (spectrum), "
                                 "within a factor of two (noise).")
    inside = sum(check.inside for check in checks)
    line = f"{inside} of {len(checks)} measures inside the range of real recordings"
    return HTML(f"<details><summary>{line}</summary>{styled.to_html()}</details>")


def _digits(value: float) -> str:
    """Three significant digits."""
    return f"{value:.0e}" if 0 < abs(value) < 1e-3 else f"{value:.3g}".replace("-", "−")


# -- the answer ---------------------------------------------------------------------------------------------------------

def reading(data: Data, checks: Sequence[Check]) -> str:
    """What can be trusted and what cannot, as Markdown, from the numbers of this run alone."""
    sound = ["no patient crosses a fold, so a test score is not a memory of the patient"]
    compared = [_equal(here, notes) for task in TASKS[data.page.dataset] for _, here, notes in _counts(data, task) if notes]
    if compared and all(compared):
        sound.append("every count is the notes' own, so the notes' splits can be rebuilt here")
    careful = []
    z, worst, fold = farthest_fold(data)
    if z <= CHANCE:
        sound.append(f"every class is spread over the folds as chance would, or more evenly: no fold departs by more than {z:.1f} binomial "
                     "standard deviations from the class's share")
    else:
        careful.append(f"fold {fold} holds an unusual share of {worst}, {z:.1f} binomial standard deviations from that of all records")
    parts = [f"**What can be trusted.** {_sentence(sound)}"]
    positives = data.targets[data.fold == TEST_FOLD].sum(0).astype(int)
    rare = [f"{name} ({n})" for name, n in zip(data.labels.classes, positives, strict=True) if n < FEWEST_POSITIVES]
    if rare:
        careful.append(f"the test fold holds fewer than {FEWEST_POSITIVES} records of {', '.join(rare)}, so the score of such a class "
                       "moves with single records and takes the macro mean along")
    usable = data.targets.any(1)
    if not usable.all():
        careful.append(f"{int((~usable).sum()):,} records ({100 * (~usable).mean():.0f} %) carry no class of task `{data.page.task}` "
                       "and are left out of it")
    careful.extend(_confounds(data))
    if careful:
        parts.append(f"**What cannot be taken for granted.** {_sentence(careful)}")
    inside = sum(check.inside for check in checks)
    outside = ", ".join(f"{check.what} ({check.where})" for check in checks if not check.inside)
    parts.append(f"**The simulator** lies inside the range of real recordings in {inside} of {len(checks)} measures"
                 + (f"; outside: {outside}." if outside else ".") + " That makes its records fit for testing a method whose answer must be "
                 "known, and does not make them patients: a network trained on them is not validated by them.")
    return "\n\n".join(parts)


def farthest_fold(data: Data) -> tuple[float, str, int]:
    """The largest departure of a class's share in a fold from its share in all records, in binomial SDs; the class and the fold."""
    folds = [f for f in range(1, N_FOLDS + 1) if (data.fold == f).any()]
    share = data.targets.mean(0)                                                                  # [K]
    found = np.array([data.targets[data.fold == f].mean(0) for f in folds])                       # [F, K]
    size = np.array([(data.fold == f).sum() for f in folds])[:, None]
    z = np.abs(found - share) / np.sqrt(np.maximum(share * (1 - share), 1e-12) / size)
    at, k = np.unravel_index(z.argmax(), z.shape)
    return float(z[at, k]), data.labels.classes[k], folds[at]


def _confounds(data: Data) -> list[str]:
    """Age tells part of the label: the youngest and the oldest class by their median age."""
    age = data.table["age"].to_numpy(float)
    medians = {name: float(np.nanmedian(age[column])) for name, column in zip(data.labels.classes, data.targets.T.astype(bool), strict=True)
               if np.isfinite(age[column]).sum() >= FEWEST_POSITIVES}
    if len(medians) < 2:
        return []
    young, old = min(medians, key=medians.__getitem__), max(medians, key=medians.__getitem__)
    return [f"classes differ in age, from a median of {medians[young]:.0f} years ({young}) to {medians[old]:.0f} ({old}), so a network may "
            "learn signs of age in place of the finding"]


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."
