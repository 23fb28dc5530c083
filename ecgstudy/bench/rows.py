"""What a suite finds: rows that can be judged, stored and read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ecgstudy.bench.rounds import Spread


@dataclass(frozen=True)
class Row:
    """One measured quantity.

    ours, peer: medians in `unit`; peer_name says what the peer is. ratio: over rounds, as `meaning` says. target: what the ratio must
    reach, or stay under where `at_most`; None where nothing was promised. note: what a reader must know to read the row. profile: where
    the time went, as (name, share of the time), largest first. skipped: why the peer, or the whole row, was not measured.
    """

    suite: str
    name: str
    unit: str
    ours: float | None = None
    peer_name: str = ""
    peer: float | None = None
    ratio: Spread | None = None
    meaning: str = "times as fast"
    target: float | None = None
    at_most: bool = False
    note: str = ""
    profile: tuple[tuple[str, float], ...] = ()
    skipped: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median ratio meets the target; None where there is no target or no ratio."""
        if self.target is None or self.ratio is None:
            return None
        return self.ratio.median <= self.target if self.at_most else self.ratio.median >= self.target

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"profile": [list(part) for part in self.profile], "met": self.met}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Row:
        given = {name: value for name, value in stored.items() if name != "met"}
        given["ratio"] = Spread(**given["ratio"]) if given["ratio"] else None
        given["profile"] = tuple((name, share) for name, share in given["profile"])
        return cls(**given)


def promise(row: Row) -> str:
    """The target in words.

    >>> promise(Row("training", "step", "s", target=1.3)), promise(Row("supply", "share", "s", target=0.02, at_most=True))
    ('at least 1.3', 'at most 0.02')
    """
    return "" if row.target is None else f"{'at most' if row.at_most else 'at least'} {row.target:g}"


def report(rows: list[Row]) -> str:
    """The rows as a table of text, one block a suite; what was skipped says why."""
    heads = ("", "ours", "unit", "peer", "", "ratio", "quartiles", "target", "met")
    lines = []
    for row in rows:
        spread = row.ratio
        lines.append((f"{row.suite}: {row.name}", number(row.ours), row.unit, number(row.peer), row.peer_name,
                      number(spread and spread.median), f"{number(spread.low)}–{number(spread.high)}" if spread else "", promise(row),
                      {True: "yes", False: "NO", None: ""}[row.met]))
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in (heads, *lines)]
    return "\n".join([*table, *(f"not measured: {row.suite}: {row.name}: {row.skipped}" for row in rows if row.skipped)])


def number(value: float | None) -> str:
    """Three digits that matter, without an exponent.

    >>> number(1234.6), number(0.01234), number(12.34), number(None)
    ('1,235', '0.0123', '12.3', '')
    """
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.1e}"
