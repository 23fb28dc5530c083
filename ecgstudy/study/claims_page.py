"""Page 16: every claim beside what was measured, with its verdict; counted, drawn and read."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from pandas.io.formats.style import Styler

from ecgstudy.data.labels import TASKS, label_set
from ecgstudy.errors import require_known
from ecgstudy.study import claim_verdicts, figures, tables
from ecgstudy.study.axis_page import provenance
from ecgstudy.study.claim_verdicts import MET, NOT_COMPARABLE, NOT_MET, NOT_RUN, UNTOLD, WORDS, Evidence, Verdict
from ecgstudy.study.claims import NOTES, PTBXL_BENCHMARK, Claim, Claims, Compares, Noise, Records, claims
from ecgstudy.study.comparison import FEWEST_SEEDS
from ecgstudy.study.figures import GREY, INK, STYLE
from ecgstudy.study.names import readable
from ecgstudy.study.notebooks import declared_parameters, find_notebook, refuse_unknown
from ecgstudy.study.profiles import profile as size_of

NOTEBOOK = "16_reproduced"
SIGNS = {MET: "✓", NOT_MET: "✕", UNTOLD: "?", NOT_COMPARABLE: "–", NOT_RUN: "…"}
COLOURS = {MET: "#1f5fa8", NOT_MET: "#c4451c", UNTOLD: "#b8b8b8", NOT_COMPARABLE: "#ffffff", NOT_RUN: "#ffffff"}
PALE = {MET: "#bcd3ec", NOT_MET: "#f3c3b2"}         # short runs, or other recordings than the claim's
PROFILES = ("auto", "smoke", "quick", "full")


@dataclass(frozen=True)
class Page:
    """What the page was asked for. dataset: the only data set to look at, with its task; None for the best that the ledger holds."""

    claims: Claims
    dataset: tuple[str, str] | None
    profile: str

    def what(self) -> str:
        """What this page will do, as Markdown."""
        where = f"on `{self.dataset[0]}`, task `{self.dataset[1]}`, alone" if self.dataset else (
            "on each claim's own data where the ledger holds runs, else on PTB-XL's nine statements")
        size = "at full size where that was run, else in the `quick` profile"
        if self.profile != "auto":
            size = f"in the `{self.profile}` profile"
        sources = len({claim.source for claim in self.claims.claims})
        return (f"**This page:** {len(self.claims.claims)} claims of {sources} source{'s' * (sources > 1)}, {where}, {size}. It trains "
                "nothing.")

    def verdicts(self) -> Found:
        """A verdict on every claim, from the ledger."""
        evidence = claim_verdicts.evidence_of(self.claims, self.dataset, self.profile)
        return Found(claim_verdicts.verdicts(self.claims, evidence, self.dataset, self.profile), evidence)


def ask(namespace: Mapping[str, Any]) -> Page:
    """The page with its parameters checked; `namespace` is the notebook's globals()."""
    refuse_unknown(namespace, declared := declared_parameters(find_notebook(NOTEBOOK)))
    given = {name: str(namespace[name]) for name in declared}
    dataset = require_known("dataset", given["dataset"], ("auto", *TASKS))
    told = claims()
    sources = tuple(dict.fromkeys(claim.source for claim in told.claims))
    wanted = [require_known("source", word.strip(), ("all", *sources)) for word in given["sources"].split(",")]
    chosen = tuple(claim for claim in told.claims if "all" in wanted or claim.source in wanted)
    size = require_known("profile", given["profile"], PROFILES)
    return Page(Claims(chosen, told.margin), None if dataset == "auto" else (dataset, label_set(dataset, given["task"]).name), size)


@dataclass(frozen=True)
class Found:
    """The verdicts, and the runs that they rest on."""

    verdicts: list[Verdict]
    evidence: Evidence

    @cached_property
    def notes(self) -> list[Verdict]:
        return [each for each in self.verdicts if each.claim.source == NOTES]

    @cached_property
    def papers(self) -> list[Verdict]:
        return [each for each in self.verdicts if each.claim.source != NOTES]

    # -- tables ---------------------------------------------------------------------------------------------------------

    def summary(self) -> Styler:
        """How many claims have which verdict, and how many of those verdicts hold as claimed."""
        lines = []
        for name, group in (("the notes", self.notes), ("the papers", self.papers), ("all", self.verdicts)):
            own = Counter(each.word for each in group if each.as_claimed)
            away = Counter(each.word for each in group if not each.as_claimed)
            lines.append({("", "source"): name, ("", "claims"): str(len(group))}
                         | {("as claimed", word): str(own[word]) for word in (MET, NOT_MET, UNTOLD)}
                         | {("short runs or other recordings", word): str(away[word]) for word in (MET, NOT_MET, UNTOLD)}
                         | {("no verdict", word): str(own[word] + away[word]) for word in (NOT_COMPARABLE, NOT_RUN)})
        table = pd.DataFrame(lines)
        table.columns = pd.MultiIndex.from_tuples(table.columns)
        return tables.style(table, "Claims by verdict. As claimed: of the full network on the claim's own data, or a count, which needs no "
                                   "run. The middle columns are the verdicts of narrow networks and short runs, or on recordings that the "
                                   "claim is not about; they say which way things lie, and refute nothing."
                            ).set_table_attributes('class="dataframe study wraps"')

    def table(self, group: Sequence[Verdict], whose: bool = False) -> Any:
        """Each claim of a group with its verdict, what is printed, what was measured and where. whose: name the source in the row."""
        if not group:
            from IPython.display import Markdown

            return Markdown("No claim of this kind was asked for.")
        lines = [({"source": html.escape(each.claim.whose)} if whose else {}) | _line(each) for each in group]
        styler = tables.style(pd.DataFrame(lines), "Measured: differences on the test fold in the metric that is named, mean over seeds "
                                                   "[95 % interval over patients]; in grey what is printed.")
        return styler.set_table_attributes('class="dataframe study claims"').set_properties(
            subset=["reported"], **{"color": "#8a8a8a", "font-style": "italic"})

    # -- picture --------------------------------------------------------------------------------------------------------

    def figure(self) -> Figure:
        """A square a claim, a row a source: its colour and sign say the verdict, a pale one that it is not of the claim as made."""
        rows: dict[str, list[Verdict]] = {}
        for each in self.verdicts:
            rows.setdefault(_row(each.claim), []).append(each)
        widest = max(map(len, rows.values()))
        with plt.rc_context(STYLE):
            figure, plot = plt.subplots(figsize=(6.2, 0.29 * len(rows) + 1.6), layout="constrained")
            for place, group in enumerate(rows.values()):
                for at, each in enumerate(sorted(group, key=lambda each: (WORDS.index(each.word), not each.as_claimed))):
                    _square(plot, at, place, each)
            plot.set(xlim=(-0.1, widest + 0.1), ylim=(len(rows), 0), aspect="equal")
            plot.set_yticks([place + 0.5 for place in range(len(rows))], rows)
            plot.set_xticks([])
            plot.tick_params(length=0)
            plot.spines[:].set_visible(False)
            figure.legend(handles=_legend(), loc="outside lower center", ncols=2, fontsize=9, handlelength=1.2)
        return figures.closed(figure)

    # -- words ----------------------------------------------------------------------------------------------------------

    def reading(self) -> str:
        """What the verdicts allow one to say, as Markdown."""
        parts = [self._told(), self._open(), self._limits(), self._settle()]
        names = claim_verdicts.used(self.verdicts, self.evidence)
        runs = [run for run in self.evidence.runs if run.experiment in names]
        return "\n\n".join(part for part in parts if part) + ("\n\n" + provenance(runs, names) if runs else "")

    def headline(self) -> str:
        """The verdicts in a sentence."""
        own = Counter(each.word for each in self.verdicts if each.as_claimed)
        away = Counter(each.word for each in self.verdicts if not each.as_claimed)
        return (f"Of {len(self.verdicts)} claims {own[MET]} are met as they were made and {own[NOT_MET]} are not; in short runs or on "
                f"other recordings {away[MET]} more are met, {away[NOT_MET]} are not, and {own[UNTOLD] + away[UNTOLD]} cannot be told; "
                f"{own[NOT_RUN] + away[NOT_RUN]} are not yet run and {own[NOT_COMPARABLE]} are not comparable.")

    def _told(self) -> str:
        parts = [f"**What held.** {self.headline()}"]
        for word in (MET, NOT_MET):
            for own, where in ((True, "as they were made"), (False, "in short runs or on other recordings")):
                group = [each for each in self.verdicts if each.word == word and each.as_claimed is own]
                if group:
                    parts.append(f"{word[0].upper()}{word[1:]} {where}:\n\n" + "\n".join(f"- {each.claim.claim}" for each in group))
        return "\n\n".join(parts)

    def _open(self) -> str:
        untold = [each for each in self.verdicts if each.word == UNTOLD]
        few = sum(each.seeds < FEWEST_SEEDS for each in untold)
        if not untold:
            return ""
        return (f"**What keeps the others open.** Of {len(untold)} claims that cannot be told, {few} have fewer than {FEWEST_SEEDS} seeds, "
                f"so that nobody knows what another seed would do; with {len(untold) - few} the patients or the seeds do not decide. That "
                "a claim cannot be told is no verdict against it.")

    def _limits(self) -> str:
        away = [each for each in self.verdicts if each.away and each.word in (MET, NOT_MET, UNTOLD)]
        if not away:
            return ""
        reasons = Counter(reason for each in away for reason in each.away)
        told = "; ".join(f"{n} verdicts are of the {reason}" if "profile" in reason else f"{n} are from {reason} than the claim's"
                         for reason, n in reasons.items())
        return (f"**What cannot be concluded.** {told}. A narrow network that trained for a few epochs on a part of the records may order "
                "things as the full one would, or not; it cannot refute what is claimed of the full one. A claim is set against one "
                "comparison of this study's choosing, and the networks of papers without code are this study's reading of them.")

    def _settle(self) -> str:
        plans = Counter(each.claim.test.axis for each in self.verdicts
                        if isinstance(each.claim.test, Compares | Noise) and not (each.as_claimed and each.word in (MET, NOT_MET)))
        named = ", ".join(f"`{plan}` ({n} claim{'s' * (n > 1)})" for plan, n in plans.most_common())
        return (f"**What would settle it.** Full runs, {len(size_of('full').seeds)} seeds a variant: `python -m ecgstudy sweep PLAN "
                f"--dataset ptbxl --task nine --profile full`, with PLAN one of {named}. Claims about CPSC2018 and Chapman–Shaoxing want "
                "`--dataset cpsc` and `--dataset chapman`. Then this page again.") if plans else ""


def _line(each: Verdict) -> dict[str, str]:
    claim = each.claim
    metric = f"{figures.METRIC_NAMES[claim.test.metric]}: " if isinstance(claim.test, Compares) else ""
    return {"claim": html.escape(claim.claim), "verdict": f"<b>{SIGNS[each.word]} {each.word}</b><br>{_marked(each.why)}",
            "reported": ", ".join(f"{html.escape(name)} {_printed(value, claim)}" for name, value in claim.reported) or "–",
            "measured": metric + "<br>".join(map(html.escape, each.measured)) if each.measured else "–",
            "where": _where(each), "page": f'<a href="{claim.page}.html">{_page(claim.page)}</a>'}


def _printed(value: Any, claim: Claim) -> str:
    """A number as its source prints it: the notes give four digits, of which YAML drops a last zero."""
    return tables.show(value, 4) if claim.source == NOTES else str(value)


def _marked(why: str) -> str:
    """A reason with its commands set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(why))


def _where(each: Verdict) -> str:
    if each.place is None:
        return "–"
    if isinstance(each.claim.test, Records):            # a test fold is the same in every profile
        return f"{each.place.dataset}, {each.place.task}"
    seeds = f"<br>{each.seeds} seed{'s' * (each.seeds > 1)}" * bool(each.seeds)
    return f"{each.place.dataset}, {each.place.task}<br>{each.place.profile}{seeds}"


def _page(page: str) -> str:
    return readable(page.removeprefix("papers/")) if page.startswith("papers/") else page.split("_")[0]


def _row(claim: Claim) -> str:
    """The picture's row of a claim: a page of the notes, or a source."""
    if claim.source == PTBXL_BENCHMARK:
        return "PTB-XL's benchmark"
    return claim.page.partition("_")[2].replace("_", " ") + " (notes)" if claim.source == NOTES else claim.whose


def _square(plot: plt.Axes, at: int, place: int, each: Verdict) -> None:
    face = COLOURS[each.word] if each.as_claimed else PALE.get(each.word, COLOURS[each.word])
    dashes = {"ls": ":"} if each.word == NOT_RUN else {}
    plot.add_patch(Rectangle((at + 0.06, place + 0.06), 0.88, 0.88, facecolor=face, edgecolor=GREY, lw=0.8, **dashes))
    solid = each.as_claimed and each.word in (MET, NOT_MET)
    plot.text(at + 0.5, place + 0.52, SIGNS[each.word], ha="center", va="center", fontsize=9, color="white" if solid else INK)


def _legend() -> list[Patch]:
    told = [(COLOURS[MET], f"{SIGNS[MET]} met"), (PALE[MET], f"{SIGNS[MET]} met, short or elsewhere"),
            (COLOURS[NOT_MET], f"{SIGNS[NOT_MET]} not met"), (PALE[NOT_MET], f"{SIGNS[NOT_MET]} not met, short or elsewhere")]
    told += [(COLOURS[word], f"{SIGNS[word]} {word}") for word in (UNTOLD, NOT_COMPARABLE, NOT_RUN)]
    return [Patch(facecolor=colour, edgecolor=GREY, lw=0.8, ls=":" if label.endswith(NOT_RUN) else "-", label=label)
            for colour, label in told]
