"""The landing page: what each page found, in the words that the page itself computed, and the main networks in one picture.

An answer is taken from the executed copy that the book shows of a page, so that the two cannot disagree.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ecgstudy import files
from ecgstudy.data.labels import TASKS, label_set
from ecgstudy.errors import DataError, RunError, require_known
from ecgstudy.study import benchmark, figures, tables
from ecgstudy.study.axis_page import AxisPage, Comparison, provenance
from ecgstudy.study.comparison import FEWEST_SEEDS
from ecgstudy.study.figures import INK, STYLE
from ecgstudy.study.names import readable
from ecgstudy.study.notebooks import declared_parameters, find_notebook, read_notebook, refuse_unknown
from ecgstudy.study.profiles import profile as size_of
from ecgstudy.study.request import Request
from ecgstudy.study.variants import axis

NOTEBOOK = "00_found"
PROFILES = ("auto", "smoke", "quick", "full")
COLOURS = {"own": "#1f5fa8", "paper": "#d98200", "baseline": INK}
KINDS = {"own": "the study's own", "paper": "of a paper", "baseline": "a baseline"}
MARKERS = {"own": "o", "paper": "s", "baseline": "D"}


@dataclass(frozen=True)
class Asked:
    """A line of the table: a page's question, and where its answer begins among what the page computed.

    begins: how the paragraph begins, a regular expression. sentences: how many of it make the answer. where: what it was measured on,
    where that is not the page's data set and profile.
    """

    page: str
    question: str
    begins: str
    sentences: int = 1
    where: str = ""


LINES = (
    Asked("03_inceptionformer", "Is the notes' network rebuilt exactly?", r"\*\*(All )?\d+ (of \d+ )?printed figures", where="full width"),
    Asked("16_reproduced", "How much of what is claimed held?", r"\*\*What held\.\*\*", where="all that is stored"),
    Asked("02_protocol", "What does choosing on the test fold add?", r"\*\*What the scoring rule does\.\*\*"),
    Asked("04_attention_ablation", "Does the kind of attention matter?", r"\*\*What can be concluded\.\*\*"),
    Asked("08_stacking", "Does convolution see high frequencies, attention low ones?", r"\*\*The claim about frequencies"),
    Asked("09_time_frequency", "Does the spectrogram see what the signal hides?", r"\*\*What can be concluded\.\*\*"),
    Asked("11_grad_cam", "Which maps of a network's reasons can be trusted?", r"\*\*MHSA \(full\)\.\*\*"),
    Asked("13_distillation", "How far is a network of lead I behind one of twelve?", r"\*\*Lead I\.\*\*"),
    Asked("01_data", "Does a network of simulated records read recorded ones?", r"\*\*From simulated to recorded\.\*\*"),
    Asked("15_benchmark", "What is left of the order under one protocol?", r"\*\*Who can be told apart\.\*\*", 2),
)


# -- answers ------------------------------------------------------------------------------------------------------------

def kept(page: str) -> Path:
    """The executed copy that the book shows of a page."""
    return files.repository() / "book" / "executed" / f"{page}.ipynb"


def paragraphs(executed: Mapping[str, Any]) -> list[str]:
    """Every paragraph of Markdown that a page computed, in its order."""
    outputs = [output for cell in executed["cells"] for output in cell.get("outputs", [])]
    told = ["".join(output.get("data", {}).get("text/markdown", "")) for output in outputs]
    return [" ".join(part.split()) for text in told for part in text.split("\n\n") if part.strip()]


def first_sentences(paragraph: str, n: int) -> str:
    """The first n sentences of a paragraph, without the bold words that it begins with where they are a heading of it.

    >>> first_sentences("**Lead I.** It gains +0.012. It is open. More.", 2)
    'It gains +0.012. It is open.'
    """
    heading, rest = re.match(r"(\*\*[^*]+\*\*)?\s*(.*)", paragraph, re.S).groups()
    told = rest if rest else (heading or "").strip("*")
    if heading and ":" in heading:                      # the heading says something itself
        told = f"{heading.strip('*')} {rest}"
    return " ".join(re.split(r"(?<=\.)\s+(?=[A-Z`])", told.strip())[:n])


def answer(asked: Asked, executed: Mapping[str, Any]) -> str:
    """The page's own answer, as Markdown; DataError where the page no longer says it under that beginning."""
    for paragraph in paragraphs(executed):
        if re.match(asked.begins, paragraph):
            return first_sentences(paragraph, asked.sentences)
    raise DataError(f"{asked.page} computes no paragraph that begins like {asked.begins!r}; name its present beginning in found.LINES")


def answer_table() -> Styler:
    """A line a page: its question, and its own answer with what that was measured on."""
    lines = []
    for asked in LINES:
        link = f'<a href="{asked.page}.html">{html.escape(asked.question)}</a>'
        if not (path := kept(asked.page)).is_file():
            lines.append({"question": link, "answer": "Not run yet."})
            continue
        executed = read_notebook(path)
        given = executed["metadata"]["ecgstudy"]["parameters"]
        where = asked.where or f"{given['dataset']}, {given['profile']}"
        lines.append({"question": link, "answer": f'{_marked(answer(asked, executed))} <span class="reported">({where})</span>'})
    styler = tables.style(pd.DataFrame(lines), "Each answer is the page's own, word for word, from the run of it that this book "
                                               "shows; in grey the data set and the profile. In brackets 95 % intervals over patients.")
    return styler.set_table_attributes('class="dataframe study answers"')


def _marked(text: str) -> str:
    """Markdown of one line as HTML: code, bold and emphasis."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
    marked = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", marked)
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", marked)


# -- picture ------------------------------------------------------------------------------------------------------------

def ask(namespace: Mapping[str, Any]) -> Comparison:
    """The networks of page 15 that the ledger holds, compared: at full size where three of them have three seeds, else as the quick
    profile trained them; `namespace` is the notebook's globals(), whose parameters are checked.

    Raises RunError where the ledger holds none.
    """
    refuse_unknown(namespace, declared := declared_parameters(find_notebook(NOTEBOOK)))
    dataset, task, wanted = (str(namespace[name]) for name in declared)
    require_known("dataset", dataset, TASKS)
    require_known("profile", wanted, PROFILES)
    networks, task = axis("benchmark"), label_set(dataset, task).name
    found = None
    for name in ("full", "quick") if wanted == "auto" else (wanted,):
        size = size_of(name)
        request = Request(NOTEBOOK, dataset, task, size, size_of("full").seeds, {networks.parameter: tuple(networks.variants)}, "name")
        found = AxisPage(networks, request).compare(allow_none=True)
        if len(main_rows(found)) >= FEWEST_SEEDS:
            return found
    if not found.rows:
        raise RunError(f"the ledger holds no run of page 15 for {dataset}, task {task}, profile {wanted}; make them with `python -m "
                       f"ecgstudy sweep benchmark --dataset {dataset} --task {task}`")
    return found


def main_rows(found: Comparison) -> list:
    """The networks with enough seeds to be compared, best first; all where none has them."""
    rows = benchmark.by_score(found)
    return [row for row in rows if len(row.runs) >= FEWEST_SEEDS] or rows


def picture(found: Comparison) -> Figure:
    """Macro-AUROC of the main networks with its interval over patients, best first."""
    rows = main_rows(found)
    with plt.rc_context(STYLE):
        figure, plot = plt.subplots(figsize=(6.2, 0.31 * len(rows) + 1.5), layout="constrained")
        for place, row in enumerate(rows):
            measured, kind = row.measured["macro_auroc"], benchmark.kind(found.page, row.value)
            plot.plot([measured.interval.low, measured.interval.high], [place, place], color=COLOURS[kind], lw=2, solid_capstyle="round")
            plot.plot(measured.interval.estimate, place, MARKERS[kind], color=COLOURS[kind], ms=6)
            plot.plot(list(measured.by_seed.values()), [place - 0.27] * len(measured.by_seed), "|", color=INK, ms=5, mew=1)
        plot.set_yticks(range(len(rows)), [readable(row.value) for row in rows])
        plot.set(ylim=(len(rows) - 0.5, -0.6), xlabel="macro-AUROC on the test fold")
        plot.grid(axis="x", color="#e5e5e5", lw=0.8)
        plot.set_axisbelow(True)
        shown = dict.fromkeys(benchmark.kind(found.page, row.value) for row in rows)
        handles = [plt.Line2D([], [], color=COLOURS[kind], marker=MARKERS[kind], lw=2, label=KINDS[kind]) for kind in shown]
        handles.append(plt.Line2D([], [], color=INK, marker="|", ls="", label="one seed"))
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9)
        run = rows[0].runs[0].experiment
        figure.suptitle(f"{run.dataset} ({run.task}), {run.profile} profile: {len(run.labels.classes)} classes", fontsize=10, x=0.01,
                        ha="left")
    return figures.closed(figure)


def in_words(found: Comparison) -> str:
    """What the picture shows, as Markdown, and where its numbers come from."""
    rows = main_rows(found)
    first = rows[0].runs[0]
    seeds: Sequence[int] = sorted({len(row.runs) for row in rows})
    names = {run.experiment: readable(row.value) for row in rows for run in row.runs}
    short = ("" if first.experiment.profile == "full" else " They are narrow networks after a few epochs on part of the records, and their "
             "order need not hold at full size.")
    told = (f"**What cannot be concluded.** Intervals over patients do not hold the luck of a seed, and where they overlap the picture "
            f"ranks nothing.{short}\n\n{tables.describe_data(first)}. Shown are the {len(rows)} of {len(found.page.names)} networks with "
            f"{' to '.join(map(str, seeds))} seed{'s' * (seeds != [1])}; [page 15](15_benchmark.ipynb) has them all.")
    return told + "\n\n" + provenance([run for row in rows for run in row.runs], names)
