"""The data manifest: what each public data set is, where its files come from, and where they belong.

`data_manifest.yaml` at the top of the checkout is the one place that names addresses, versions, licences and citations, and
describes who was recorded, how, with which labels and how many of each. Its keys are explained at its head. The checks below are
its schema: reading it checks every value, refuses unknown keys, and says which key to mend. Codes of classes are not repeated in
it: it names a table of `ecgstudy/data/labels.py`.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from ecgstudy import files
from ecgstudy.data.labels import CHAPMAN_SNOMED, CPSC_SNOMED, PTBXL_STATEMENTS, TASKS
from ecgstudy.errors import ConfigurationError, require_known, unknown

LICENSES = {        # SPDX name -> the licence's own page
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "ODC-By-1.0": "https://opendatacommons.org/licenses/by/1-0/",
}
# Tables that the manifest may name. A set of statements is its own code: code and statement are the same word.
CODES: dict[str, dict[str, str]] = {
    "CPSC_SNOMED": CPSC_SNOMED, "CHAPMAN_SNOMED": CHAPMAN_SNOMED,
    "PTBXL_STATEMENTS": {statement: statement for statement in sorted(PTBXL_STATEMENTS)},
}
NAN = {"refuse": "a recording with a sample that is not a finite number is refused by name; nothing is filled in"}
FOLDS = {
    "published": "the publisher's ten folds, kept",
    "stratified": "none are published; this study makes ten, stratified by class, the same ones every time",
    "none": "none: nothing is trained on it",
}
PATIENTS = {
    "published": "the publisher's ids; no patient is in two folds",
    "single": "the publisher states one recording a patient, so each recording is its own patient",
    "unpublished": "no ids are published; each recording counts as its own patient, so a patient recorded twice may be in two folds",
}


@dataclass(frozen=True)
class Exclusion:
    """Recordings that are never used. records: their ids as in the record table; reason: why, in words."""

    records: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Source:
    """One published data set.

    name: what the study calls it (`cpsc`). fs: sampling rate in Hz. seconds: shortest and longest recording. files: patterns of
    the names under `folder`; approximate_bytes: their size, an estimate. codes: a key of CODES; nan, folds, patients: keys of the
    tables of these names, which say what each means. tasks: task -> class -> recordings, in the order of the label set.
    The other fields are as in the manifest's head.
    """

    name: str
    title: str
    version: str
    doi: str
    license: str
    citation: str
    folder: str
    base: str
    mirrors: tuple[str, ...]
    checksums: str
    prefix: str
    files: tuple[str, ...]
    example: str
    recordings: int
    fs: int
    leads: int
    seconds: tuple[float, float]
    approximate_bytes: int
    by_hand: str
    population: str
    device: str
    rates: tuple[int, ...]
    resolution: str
    labels: str
    codes: str
    tasks: dict[str, dict[str, int]]
    counted: str
    layout: str
    exclusions: tuple[Exclusion, ...]
    nan: str
    folds: str
    patients: str

    def path(self) -> Path:
        """Its folder: under ECGSTUDY_DATA where that is set, else under the study's own cache folder."""
        chosen = os.environ.get("ECGSTUDY_DATA")
        return (Path(chosen).expanduser() if chosen else files.home() / "data") / self.folder

    def addresses(self) -> tuple[str, ...]:
        """The publisher's address, then the mirrors; each ends in a slash."""
        return (self.base, *self.mirrors)

    def wants(self, name: str) -> bool:
        """Whether a stored name such as `g1/A0001.hea` belongs to what the study uses."""
        return any(_matches(name, pattern) for pattern in self.files)

    def excluded(self) -> dict[str, str]:
        """{record id: reason} of the recordings that are never used."""
        return {record: exclusion.reason for exclusion in self.exclusions for record in exclusion.records}

    def cite(self) -> str:
        """What a paper that uses it names, as plain text: article, data set with version and DOI, licence."""
        return (f"{self.citation}\n{self.title}. Version {self.version}. https://doi.org/{self.doi}\n"
                f"Licence: {self.license}, {LICENSES[self.license]}")


def manifest(path: Path | None = None) -> dict[str, Source]:
    """Every data set of the manifest by its name, in the file's order.

    path: another manifest; default is `data_manifest.yaml` of this checkout. Raises ConfigurationError that names the file,
    the key and what belongs there.
    """
    path = Path(path) if path is not None else files.repository() / "data_manifest.yaml"
    try:
        content = _plain_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path} does not exist; it comes with the checkout: git checkout -- {path.name}") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} is not valid YAML: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(content, dict) or not content:
        raise ConfigurationError(f"{path} holds {_shown(content)}; expected one mapping for each data set, such as 'cpsc:'")
    return {_name(path, name): _source(path, name, entry) for name, entry in content.items()}


def source(name: str, path: Path | None = None) -> Source:
    """The manifest's entry of one data set; ConfigurationError with the nearest name where there is none."""
    entries = manifest(path)
    return entries[require_known("data set", name, entries)]


def unsafe(name: str) -> str | None:
    """Why a relative file name from outside must not be written, or None where it is harmless.

    >>> unsafe("g1/A0001.hea") is None, unsafe("../evil"), unsafe("/etc/passwd")
    (True, 'it climbs out of its folder', 'it is absolute')
    """
    if not name or not name.isprintable():
        return "it is empty or holds control characters"
    if name.startswith("/"):
        return "it is absolute"
    parts = name.replace("\\", "/").split("/")
    if ".." in parts:
        return "it climbs out of its folder"
    if "" in parts or "." in parts:
        return "it has an empty part"
    return None


def _plain_yaml(text: str) -> Any:
    """The content of a YAML text without aliases, of which a few lines can stand for more than fits in memory. Else ValueError."""
    import yaml

    class PlainLoader(yaml.SafeLoader):
        def compose_node(self, parent, index):
            if self.check_event(yaml.AliasEvent):
                raise ValueError(f"an alias stands in line {self.peek_event().start_mark.line + 1}; write the value out")
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, PlainLoader)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError) as error:     # the last for a value not of its tag
        raise ValueError(str(error)) from None


def _matches(name: str, pattern: str) -> bool:
    """fnmatch part by part, so that `*` never crosses a slash."""
    parts, patterns = name.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


MOST = 10**15           # of anything that the manifest counts


# Checks of the values. Each returns the value in its final type or raises ValueError with what is accepted.

def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text in quotes")
    return value.strip()


def _text_or_empty(value: Any) -> str:
    return "" if value == "" else _text(value)


def _address(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith(("https://", "http://")) or not value.endswith("/"):
        raise ValueError("an address that starts with https:// and ends with /")
    return value


def _relative(value: Any) -> str:
    if not isinstance(value, str) or unsafe(value):
        raise ValueError("a relative name with forward slashes and without '..'")
    return str(PurePosixPath(value))


def _folder_prefix(value: Any) -> str:
    if value != "" and (not isinstance(value, str) or not value.endswith("/") or unsafe(value[:-1])):
        raise ValueError('"" or a relative folder that ends with /')
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < MOST:
        raise ValueError(f"a whole number of at least 1 and below {MOST}")
    return value


def _list_of(check: Callable[[Any], str], least: int) -> Callable[[Any], tuple[str, ...]]:
    def checked(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise ValueError(f"a list with at least {least} entries")
        return tuple(check(entry) for entry in value)

    return checked


def _range(value: Any) -> tuple[float, float]:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(v) in (int, float) for v in value)
    if not numbers or not 0 < value[0] <= value[1] < MOST:
        raise ValueError("two numbers [shortest, longest] above 0")
    return float(value[0]), float(value[1])


def _list_of_counts(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or value != sorted(set(map(_count, value))):
        raise ValueError("a list of whole numbers of at least 1, rising")
    return tuple(value)


def _doi(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"10\.\d{4,9}/\S+", value):
        raise ValueError("a DOI without address, such as 10.13026/kfzx-aw45")
    return value


def _one_of(accepted: Iterable[str]) -> Callable[[Any], str]:
    names = tuple(accepted)

    def checked(value: Any) -> str:
        if value not in names:
            raise ValueError(f"one of {', '.join(name or repr(name) for name in names)}")
        return value

    return checked


def _counts_of_tasks(value: Any) -> dict[str, dict[str, int]]:
    """Task -> class -> recordings; that tasks and classes are those of the label sets is checked with the data set's name."""
    if not isinstance(value, dict) or not all(isinstance(counts, dict) for counts in value.values()):
        raise ValueError("a mapping of task to {class: recordings}, {} where there are none")
    for task, counts in value.items():
        for name, n in counts.items():
            if type(n) is not int or n < 1:
                raise ValueError(f"a whole number of at least 1 for {task}.{name}")
    return value


def _exclusions(value: Any) -> tuple[Exclusion, ...]:
    expected = "a list of {records: [ids], reason: text} that names each id once, [] where there are none"
    if not isinstance(value, list) or not all(isinstance(each, dict) and each.keys() == {"records", "reason"} for each in value):
        raise ValueError(expected)
    found = []
    for each in value:
        ids = each["records"]
        if not isinstance(ids, list) or not ids or not all(type(one) in (int, str) and str(one).strip() for one in ids):
            raise ValueError(expected)
        found.append(Exclusion(tuple(str(one) for one in ids), _text(each["reason"])))
    names = [name for exclusion in found for name in exclusion.records]
    if len(set(names)) != len(names):
        raise ValueError(expected)
    return tuple(found)


CHECKS: dict[str, Callable[[Any], Any]] = {
    "title": _text, "version": _text, "doi": _doi, "license": _one_of(LICENSES), "citation": _text,
    "folder": _relative, "base": _address, "mirrors": _list_of(_address, 0), "checksums": _relative, "prefix": _folder_prefix,
    "files": _list_of(_relative, 1), "example": _relative, "recordings": _count, "fs": _count, "leads": _count,
    "seconds": _range, "approximate_bytes": _count, "by_hand": _text_or_empty,
    "population": _text, "device": _text_or_empty, "rates": _list_of_counts, "resolution": _text, "labels": _text,
    "codes": _one_of((*CODES, "")), "tasks": _counts_of_tasks, "counted": _text_or_empty, "layout": _text,
    "exclusions": _exclusions, "nan": _one_of(NAN), "folds": _one_of(FOLDS), "patients": _one_of(PATIENTS),
}


def _name(path: Path, name: Any) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigurationError(f"{path}: data set name {name!r}; expected letters, digits and underscores")
    return name


def _source(path: Path, name: str, entry: Any) -> Source:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{path}: {name} holds {_shown(entry)}; expected the keys {', '.join(CHECKS)}")
    for key in entry:
        if key not in CHECKS:
            raise ConfigurationError(f"{path}: in {name}, {unknown('key', key, CHECKS)}")
    if missing := [key for key in CHECKS if key not in entry]:
        raise ConfigurationError(f"{path}: {name} lacks {', '.join(missing)}; add them as the other data sets have them")
    values = {}
    for key, check in CHECKS.items():
        try:
            values[key] = check(entry[key])
        except ValueError as error:
            raise ConfigurationError(f"{path}: {name}.{key} is {_shown(entry[key])}; expected {error}") from None
    values["tasks"] = {task: _in_order(path, name, task, counts) for task, counts in values["tasks"].items()}
    made = Source(name=name, **values)
    _require_agreement(path, made)
    return made


def _require_agreement(path: Path, made: Source) -> None:
    """Values that are right each by themselves must also fit together."""
    name = made.name
    if not made.wants(made.example):
        raise ConfigurationError(f"{path}: {name}.example {made.example!r} matches none of {name}.files; correct one of them")
    if made.fs not in made.rates:
        raise ConfigurationError(f"{path}: {name}.fs {made.fs} is none of {name}.rates {list(made.rates)}; correct one of them")
    if bool(made.tasks) != bool(made.counted):
        raise ConfigurationError(f"{path}: {name}.counted is {_shown(made.counted)} and {name}.tasks has {len(made.tasks)}; say what the "
                                 'counts were taken from, "" where there are none')
    label_sets = [TASKS[name][task] for task in made.tasks]
    counted = {statement for each in label_sets for k in each.classes for statement in each.members.get(k, (k,))}
    if uncoded := sorted(counted - set(CODES.get(made.codes, {}).values())):
        raise ConfigurationError(f"{path}: {name}.codes is {made.codes!r}, which has no code for {', '.join(uncoded)}; expected the table "
                                 f"of ecgstudy/data/labels.py that {name} is coded by, one of {', '.join(CODES)}")


def _in_order(path: Path, name: str, task: str, counts: dict[str, int]) -> dict[str, int]:
    """The counts of one task in the order of its label set, which must know the task and have these classes."""
    known = TASKS.get(name, {})
    if task not in known:
        raise ConfigurationError(f"{path}: in {name}.tasks, {unknown('task', task, known)}")
    classes = known[task].classes
    for each in counts:
        if each not in classes:
            raise ConfigurationError(f"{path}: in {name}.tasks.{task}, {unknown('class', each, classes)}")
    if missing := [each for each in classes if each not in counts]:
        raise ConfigurationError(f"{path}: {name}.tasks.{task} lacks {', '.join(missing)}; give the recordings of every class")
    return {each: counts[each] for each in classes}


def _shown(value: Any) -> str:
    text = reprlib.repr(value)          # bounded, however large or deep the value is
    return text if len(text) <= 80 else f"{text[:77]}..."


assert set(CHECKS) == {field.name for field in fields(Source)} - {"name"}, "Source and CHECKS must have the same keys"
