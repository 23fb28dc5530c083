"""A paper's own claim: its network beside the one that it is meant to better, on the runs of a page."""

from __future__ import annotations

from ecgstudy.study import tables
from ecgstudy.study.axis_page import Comparison
from ecgstudy.study.comparison import compare


def against(found: Comparison, name: str, rival: str) -> str:
    """Whether the page's runs tell `name` from `rival` on macro-AUROC, and the parameters of both, in a sentence."""
    rows = {row.value: row for row in compare(found.outcome.finished, found.page.plan, rival)}
    if not {name, rival} <= set(rows):
        return f"It takes `{name}` and `{rival}`, and one of them is not in this table."
    difference = rows[name].difference["macro_auroc"]
    sized = {each: f"`{each}` ({rows[each].runs[0].result['training']['n_parameters']:,} parameters)" for each in (name, rival)}
    told = "cannot be told from" if difference.verdict == "undecided" else f"is {difference.verdict} than"
    equal = " That does not show that the two are equal." if difference.verdict == "undecided" else ""
    return f"{sized[name]} {told} {sized[rival]} on macro-AUROC: {tables.show_interval(difference.interval, signed=True)}.{equal}"
