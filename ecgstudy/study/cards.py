"""Data cards: what a reader must know of a data set before believing a number on it, as Markdown made from the manifest.

A page shows one with `IPython.display.Markdown(card(source("ptbxl")))`. The text is plain CommonMark with tables, so that it reads
the same in Jupyter and in the book; a card that is generated cannot fall behind the manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ecgstudy.data.labels import TASKS, LabelSet
from ecgstudy.data.manifest import CODES, FOLDS, LICENSES, NAN, PATIENTS, Source

UNKNOWN = "not published"


def card(entry: Source) -> str:
    """The card of one data set: facts, classes with their counts and codes, and what the study does with it."""
    parts = [f"**{_cell(entry.title)}** (version {entry.version})", table(("", "what the publisher gives"), _facts(entry)),
             f"**Labels.** {entry.labels}"]
    parts += [_classes(entry, task) for task in entry.tasks]
    if entry.counted:
        parts.append(f"Counted in {entry.counted}.")
    parts += [table(("", "what the study does"), _policies(entry)), *_left_out(entry), f"**Files.** {entry.layout}",
              f"**Cite.** {entry.citation}. Data: [doi:{entry.doi}](https://doi.org/{entry.doi})."]
    if entry.by_hand:
        parts.append(f"**By hand.** {entry.by_hand}")
    return "\n\n".join(parts) + "\n"


def _facts(entry: Source) -> list[tuple[str, str]]:
    shortest, longest = entry.seconds
    offered = " and ".join(map(str, entry.rates))
    return [("recordings", f"{entry.recordings:,}"), ("people", entry.population), ("device", entry.device or UNKNOWN),
            ("leads", str(entry.leads)),
            ("sampling", f"{offered} Hz" + (f"; {entry.fs} Hz is fetched" if len(entry.rates) > 1 else "")),
            ("resolution", entry.resolution),
            ("length", f"{shortest:g} s" if shortest == longest else f"{shortest:g} to {longest:g} s"),
            ("licence", f"[{entry.license}]({LICENSES[entry.license]})")]


def _policies(entry: Source) -> list[tuple[str, str]]:
    return [("folds", FOLDS[entry.folds]), ("patients", PATIENTS[entry.patients]), ("samples that are no number", NAN[entry.nan]),
            ("obtain", f"`python -m ecgstudy data fetch {entry.name}`, about {entry.approximate_bytes / 1e6:,.0f} MB")]


def _classes(entry: Source, task: str) -> str:
    """One task: each class, the recordings that have it, and the published statements and codes that count as it."""
    label_set, counts = TASKS[entry.name][task], entry.tasks[task]
    kind = "any number of classes a recording" if label_set.multilabel else "one class a recording"
    rows = [(name, f"{n:,}", *_published_as(entry, label_set, name)) for name, n in counts.items()]
    coded = any(row[3] != row[2] for row in rows)
    heads = ("class", "recordings", "published as", f"codes ({entry.codes})")
    return f"Task `{task}`, {kind}:\n\n" + table(heads if coded else heads[:3], (row if coded else row[:3] for row in rows), (1,))


def _published_as(entry: Source, label_set: LabelSet, name: str) -> tuple[str, str]:
    statements = label_set.members.get(name, (name,))
    codes = [code for statement in statements for code, coded in CODES[entry.codes].items() if coded == statement]
    return ", ".join(statements), ", ".join(codes)


def _left_out(entry: Source) -> list[str]:
    return [f"**Left out.** {len(exclusion.records)} recordings ({exclusion.reason}): {', '.join(exclusion.records)}."
            for exclusion in entry.exclusions]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A Markdown table; columns in `right` are aligned there."""
    rule = "|".join("---:" if column in right else ":---" for column in range(len(heads)))
    return "\n".join([_line(heads), f"|{rule}|", *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Text that cannot end its cell: bars escaped, line ends made spaces."""
    return " ".join(text.split()).replace("|", "\\|")
