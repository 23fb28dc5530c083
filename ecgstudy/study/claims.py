"""What the notes and the papers claim, read from book/claims.yaml: typed, and checked so that a claim cannot name what does not exist.

No verdict stands there; `ecgstudy.study.claim_verdicts` computes it from what the ledger holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from ecgstudy import files
from ecgstudy.data.labels import label_set
from ecgstudy.errors import ConfigurationError, DataError, require_known
from ecgstudy.models.registry import model_entry
from ecgstudy.study.comparison import METRICS
from ecgstudy.study.counts_page import COUNTED
from ecgstudy.study.names import readable
from ecgstudy.study.protocol_plan import RECIPES
from ecgstudy.study.variants import AXES

PROTOCOL = "protocol"           # page 02's axis, whose names change the recipe and not the network
BASELINE = "baseline"           # of it: the recipe of the profile
NOTES, PTBXL_BENCHMARK = "notes", "ptbxl_benchmark"


@dataclass(frozen=True)
class Compares:
    """A test on runs of one axis. names: the variants that it needs."""

    axis: str
    metric: str

    @property
    def names(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """What is subtracted: (first, second) of each comparison."""
        return ()


@dataclass(frozen=True)
class Better(Compares):
    """`first` scores higher than each of `others`."""

    kind: ClassVar[str] = "better"
    first: str
    others: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (self.first, *self.others)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple((self.first, other) for other in self.others)


@dataclass(frozen=True)
class NoWorse(Better):
    """`first` lies at most a margin below each of `others`."""

    kind: ClassVar[str] = "no_worse"


@dataclass(frozen=True)
class Order(Compares):
    """Each of `names` scores higher than the next."""

    kind: ClassVar[str] = "order"
    ranked: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return self.ranked

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple(zip(self.ranked[:-1], self.ranked[1:], strict=True))


@dataclass(frozen=True)
class Number(Compares):
    """The printed value lies in the interval measured of `variant`."""

    kind: ClassVar[str] = "number"
    variant: str

    @property
    def names(self) -> tuple[str, ...]:
        return (self.variant,)


@dataclass(frozen=True)
class Counts:
    """Parameters and multiply-accumulates print as these rows of reported.yaml's `counts` do."""

    kind: ClassVar[str] = "count"
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Records:
    """The test fold holds the printed number of records of each class of a data set of `dataset_counts`."""

    kind: ClassVar[str] = "records"
    dataset: str


@dataclass(frozen=True)
class Bands:
    """Page 08's band-stop test."""

    kind: ClassVar[str] = "bands"


@dataclass(frozen=True)
class Noise:
    """`first` loses less to noise than `other`, by page 12's probes."""

    kind: ClassVar[str] = "noise"
    axis: str
    first: str
    other: str
    factor: float

    @property
    def names(self) -> tuple[str, ...]:
        return (self.first, self.other)


Test = Better | NoWorse | Order | Number | Counts | Records | Bands | Noise
KINDS = {kind.kind: kind for kind in (Better, NoWorse, Order, Number, Counts, Records, Bands, Noise)}


@dataclass(frozen=True)
class Claim:
    """One claim.

    source: notes, ptbxl_benchmark, or a paper's model. reported: what is printed, {what it is of: number}. paths: where that lies in
    reported.yaml. data: data set and task of the claim, None where they are not among this study's. test: None where the claim is not
    comparable, and then `not_comparable` says why.
    """

    id: str
    source: str
    page: str
    claim: str
    reported: tuple[tuple[str, Any], ...]
    paths: tuple[str, ...]
    data: tuple[str, str] | None
    test: Test | None
    not_comparable: str = ""

    @property
    def sections(self) -> set[str]:
        """The sections of reported.yaml that it rests on; of the papers' one, the paper's own."""
        return {".".join(path.split(".")[:2]) if path.startswith("papers.") else path.split(".")[0] for path in self.paths}

    @property
    def whose(self) -> str:
        """The source as a reader knows it."""
        return {NOTES: "the notes", PTBXL_BENCHMARK: "PTB-XL's benchmark"}.get(self.source) or readable(self.source)


@dataclass(frozen=True)
class Claims:
    """All claims, and the difference of a score below which nothing is said to differ."""

    claims: tuple[Claim, ...]
    margin: float


def at(told: Any, path: str) -> Any:
    """What stands at a dotted path of a nested structure; a number is a place in a list.

    >>> at({"a": [{"b": 1}]}, "a.0.b")
    1
    """
    value = told
    for part in path.split("."):
        try:
            value = value[int(part)] if isinstance(value, Sequence) and not isinstance(value, str) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ConfigurationError(f"reported.yaml has nothing at {path!r}: {part!r} is not there; mend the path in claims.yaml"
                                     ) from None
    return value


@cache
def printed() -> dict[str, Any]:
    """All of book/reported.yaml."""
    return _yaml("reported.yaml")


def _yaml(name: str) -> dict[str, Any]:
    import yaml

    path = files.repository() / "book" / name
    if not path.is_file():
        raise DataError(f"{path} does not exist; the claims and the numbers that they print are part of the repository")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def claims(where: Path | None = None) -> Claims:
    """Every claim of book/claims.yaml, or of another file of its form, in its order.

    Raises ConfigurationError for a source, page, axis, variant, metric or printed number that does not exist.
    """
    import yaml

    told = yaml.safe_load(where.read_text(encoding="utf-8")) if where else _yaml("claims.yaml")
    found = tuple(read(each) for each in told["claims"])
    ids = [each.id for each in found]
    if twice := {each for each in ids if ids.count(each) > 1}:
        raise ConfigurationError(f"claims.yaml holds two claims of the id {', '.join(sorted(twice))}; an id names one")
    return Claims(found, float(told["margin"]))


def read(told: Mapping[str, Any]) -> Claim:
    """One claim from its entry, checked."""
    if unknown := set(told) - {"id", "source", "page", "claim", "reported", "sections", "data", "test", "not_comparable"}:
        strange = ", ".join(map(str, sorted(unknown, key=str)))
        raise ConfigurationError(f"claim {told.get('id')!r} has {strange}, which no claim has")
    if ("test" in told) == ("not_comparable" in told):
        raise ConfigurationError(f"claim {told['id']!r} needs either a test or the reason why it is not comparable, and not both")
    if told["source"] not in (NOTES, PTBXL_BENCHMARK):
        model_entry(told["source"])
    if not (files.repository() / "notebooks" / f"{told['page']}.ipynb").is_file():
        raise ConfigurationError(f"claim {told['id']!r} names the page {told['page']!r}, which the book does not have")
    paths = told.get("reported", {})
    reported = tuple((name, at(printed(), path)) for name, path in paths.items())
    sections = tuple(told.get("sections", ()))
    for section in sections:
        at(printed(), section)
    data = (told["data"][0], label_set(*told["data"]).name) if "data" in told else None
    test = _test(told["id"], told["test"]) if "test" in told else None
    if isinstance(test, Number) and (len(reported) != 1 or data is None):
        raise ConfigurationError(f"claim {told['id']!r} asks for a number; it needs one printed value and the data set that it is of")
    return Claim(told["id"], told["source"], told["page"], " ".join(told["claim"].split()), reported, (*paths.values(), *sections), data,
                 test, told.get("not_comparable", ""))


def _test(name: str, told: Mapping[str, Any]) -> Test:
    kind = KINDS[require_known("kind of test", told["kind"], KINDS)]
    given = {"ranked" if key == "names" else key: tuple(value) if isinstance(value, list) else value
             for key, value in told.items() if key != "kind"}
    wanted = {field.name for field in dataclasses.fields(kind)}
    if set(given) != wanted:
        raise ConfigurationError(f"claim {name!r}: a test of the kind {kind.kind} has {', '.join(sorted(wanted)) or 'nothing else'}; got "
                                 f"{', '.join(sorted(given))}")
    made = kind(**given)
    if isinstance(made, (Compares, Noise)):
        variants = (*RECIPES, BASELINE) if made.axis == PROTOCOL else AXES[require_known("axis", made.axis, AXES)].variants
        for variant in made.names:
            require_known(f"variant of {made.axis}", variant, variants)
    if isinstance(made, Compares):
        require_known("metric", made.metric, METRICS)
    if isinstance(made, Counts):
        for row in made.rows:
            require_known("printed count", row, COUNTED)
    if isinstance(made, Records):
        at(printed(), f"dataset_counts.{made.dataset}")
    return made
