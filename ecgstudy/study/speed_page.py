"""Page 17, speed: the kept benchmarks as tables, and what they allow to be said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from ecgstudy.bench import suites
from ecgstudy.bench.attention import curves
from ecgstudy.bench.rounds import Effort
from ecgstudy.bench.rows import Row, number, promise
from ecgstudy.bench.suites import Found
from ecgstudy.errors import ConfigurationError, DataError, require_known
from ecgstudy.study import tables
from ecgstudy.study.notebooks import declared_parameters, find_notebook, refuse_unknown

NAME = "17_speed"
CLOCK_WORDS = {"processor": "processor time of one thread, which other programs on the machine do not enter",
               "wall": "seconds by the wall, all threads"}


@dataclass(frozen=True)
class SpeedPage:
    """The benchmarks that the page shows: the first machine's in full, and whatever a GPU left."""

    found: Found
    gpu: tuple[Row, ...]

    def judged(self) -> list[Row]:
        """Rows with a target."""
        return [row for row in self.found.rows if row.target is not None]

    def missed(self) -> list[Row]:
        return [row for row in self.judged() if row.met is False]

    def against_peers(self) -> list[Row]:
        """Rows whose ratio is a speed beside a peer; attention has a picture of its own."""
        return [row for row in self.found.rows if row.ratio and row.meaning == "times as fast" and row.suite != "attention"]

    def limits(self) -> list[Row]:
        """Rows beside what the machine itself can do."""
        return [row for row in self.found.rows if row.ratio and row.meaning == "share of the limit" and row.suite != "notebook"]


def ask(namespace: Mapping[str, Any]) -> SpeedPage:
    """Read the kept results, or measure, as the notebook's parameters say; `namespace` is its globals().

    Raises ConfigurationError for a wrong name or value before any work, DataError where there is nothing to show.
    """
    declared = declared_parameters(find_notebook(NAME))
    refuse_unknown(namespace, declared)
    given = {name: namespace[name] for name in declared}
    chosen = [] if given["suites"] == "all" else str(given["suites"]).replace(" ", "").split(",")
    for name in chosen:
        require_known("suite", name, suites.SUITES)
    if not isinstance(given["measure"], bool):
        raise ConfigurationError(f"measure is {given['measure']!r}; it must be True or False")
    effort = Effort(given["rounds"], quick=True)
    kept = {path.stem: path for path in sorted(suites.folder().glob("*.json")) if path.stem.startswith(("cpu-", "cuda-"))}
    gpu = tuple(row for name, path in kept.items() if name.startswith("cuda") for row in suites.read(path).of("gpu") if row.ours)
    if given["measure"]:
        return SpeedPage(suites.run(chosen, effort), gpu)
    if not kept:
        raise DataError("book/benchmarks holds no results; make them with `python -m ecgstudy bench --keep`")
    here = next((name for name in kept if name.startswith("cpu")), next(iter(kept)))
    found = suites.read(kept[here if given["machine"] == "auto" else require_known("machine", given["machine"], ("auto", *kept))])
    rows = tuple(row for row in found.rows if not chosen or row.suite in chosen)
    return SpeedPage(Found(found.kind, found.machine, rows), gpu)


def what_was_measured(page: SpeedPage) -> str:
    """Machine, versions, load and effort, as Markdown; suites that were measured apart may differ in them."""
    told = page.found.machine
    here = {row.suite for row in page.found.rows}
    parts = [each for name, each in told.get("suites", {}).items() if name in here] or [told]
    rounds, loads = ([f"{value:g}" for value in sorted({min(values), max(values)})] for values in
                     ([each["effort"]["rounds"] for each in parts], [load for each in parts for load in each["load"]]))
    small = sorted(name for name, each in told.get("suites", {}).items() if name in here and each["effort"]["quick"])
    clocks = {each["effort"]["clock"] for each in parts}
    clock = " and ".join(CLOCK_WORDS[name] for name in sorted(clocks))
    library = {name: version for each in parts for name, version in each["versions"].items() if version != "absent"}
    peers = ", ".join(f"{name} {library[name]}" for name in ("wfdb", "torch-ecg", "neurokit2") if name in library)
    text = (f"**This page:** measured on {_days(parts)} at commit {_commits(parts)} on {told['device_name']}, {told['cores']} cores, under "
            f"a load of {' to '.join(loads)}; torch {told['torch']}, numpy {library['numpy']}, scipy {library['scipy']}; peers: "
            f"{peers or 'none at hand'}. {' to '.join(rounds)} interleaved rounds; the clock is {clock}.")
    return text + (f" At small sizes only: {', '.join(small)}." if small else "")


def _days(parts: Sequence[Mapping[str, Any]]) -> str:
    return " to ".join(sorted({min(each["date"] for each in parts), max(each["date"] for each in parts)}))


def _commits(parts: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(f"`{each['commit'] or 'unknown'}`" for each in parts))


def target_table(page: SpeedPage) -> Styler:
    """What was promised, what was found, and whether the one meets the other."""
    lines = [{"suite": row.suite, "what": row.name, "beside": row.peer_name, "ratio": f"{row.ratio.median:.4g}",
              "quartiles": quartiles(row), "which is": row.meaning, "target": promise(row),
              "met": "yes" if row.met else "no"} for row in page.judged() if row.ratio]
    return tables.style(pd.DataFrame(lines), "Every target of the suites: the median ratio over rounds, its quartiles, and whether the "
                                             "median meets the target.")


def row_table(page: SpeedPage) -> Styler:
    """Every row but attention's, with its numbers and what one must know to read it."""
    lines = [{"suite": row.suite, "what": row.name, "ours": number(row.ours), "peer": number(row.peer), "unit": row.unit,
              "beside": row.peer_name, "ratio": number(row.ratio and row.ratio.median), "to know": row.skipped or row.note}
             for row in (*page.found.rows, *page.gpu) if row.suite != "attention" and (row.suite != "gpu" or row.ours is not None)]
    if not page.gpu:
        lines.append({"suite": "gpu", "what": "training on a GPU", "ours": "", "peer": "", "unit": "", "beside": "", "ratio": "",
                      "to know": "not measured here: no results of a GPU are kept"})
    return tables.style(pd.DataFrame(lines), "Everything measured but attention, medians over rounds. Peers that could not be had say why.")


def quartiles(row: Row) -> str:
    return f"{row.ratio.low:.4g} – {row.ratio.high:.4g}"


# -- in words -----------------------------------------------------------------------------------------------------------

def in_words(page: SpeedPage) -> str:
    """What the rows allow to be said, as Markdown."""
    return "\n\n".join(part for part in (_targets(page), _peers(page), _limits(page), _attention(page), _absent(page)) if part)


def _targets(page: SpeedPage) -> str:
    judged = [row for row in page.judged() if row.met is not None]
    if not judged:
        return "**Targets.** None of the suites shown has one."
    missed = [f"{row.suite}, {row.name}: {row.ratio.median:.4g} where {promise(row)} was asked"
              + (f" (most time: {_largest(row)})" if row.profile else "") for row in page.missed()]
    close = [row.name for row in judged if row.ratio.low <= row.target <= row.ratio.high]
    text = f"**Targets.** {len(judged) - len(missed)} of {len(judged)} are met."
    text += f" Not met: {'; '.join(missed)}." if missed else ""
    if close:
        text += f" Within its quartiles the target lies for {'; '.join(close)}, so another run may fall on its other side."
    return text


def _largest(row: Row, n: int = 2) -> str:
    named = [(name, share) for name, share in row.profile if name != "other"][:n]
    return ", ".join(f"`{name}` {share:.0%}" for name, share in named)


def _peers(page: SpeedPage) -> str:
    rows = page.against_peers()
    if not rows:
        return ""
    slower = [f"{row.name} beside {row.peer_name} ({number(row.ratio.median)} ×)" for row in rows if row.ratio.high < 1]
    faster = [row for row in rows if row.ratio.low > 1]
    text = f"**Beside peers.** In {len(faster)} of {len(rows)} comparisons ours is faster in at least three quarters of the rounds"
    if faster:
        most = max(faster, key=lambda row: row.ratio.median)
        text += f", most of all {most.name} ({number(most.ratio.median)} × {most.peer_name})"
    return f"{text}. " + (f"The peer is faster in {len(slower)}: {'; '.join(slower)}." if slower else "No peer is faster so often.")


def _limits(page: SpeedPage) -> str:
    rows = [f"{row.name}, {row.ratio.median:.0%}" for row in page.limits()]
    return f"**Beside the machine.** Of what the hardware gives to one plain operation: {'; '.join(rows)}." if rows else ""


def _attention(page: SpeedPage) -> str:
    found = curves(page.found.of("attention"))
    if not found:
        return ""
    lengths = sorted(next(iter(found.values())))
    parts = []
    for n_tokens in (lengths[0], lengths[-1]):
        fastest = min(found, key=lambda name: found[name][n_tokens].ours)
        row, least = found["mhsa"][n_tokens], found[fastest][n_tokens].ours
        parts.append(f"at {n_tokens:,} tokens `{fastest}` is the cheapest layer, {number(row.ours / least)} × as fast as "
                     f"`mhsa`, and `mhsa` is {number(row.ratio.median)} × as fast as the softmax written out")
    return f"**Attention.** {'; '.join(parts)}.".replace("** at", "** At")


def _absent(page: SpeedPage) -> str:
    gone = [f"{row.suite}, {row.name}" for row in page.found.rows if row.skipped and row.suite != "gpu"]
    parts = [f"peers of {'; '.join(gone)}"] * bool(gone) + ["training on a GPU"] * (not page.gpu)
    gone = f" Not measured: {', '.join(parts)}." if parts else ""
    return ("**What cannot be concluded.** One machine with its libraries was measured; another gives other ratios, and what is fast at a "
            f"small size need not be at a large one.{gone}")
