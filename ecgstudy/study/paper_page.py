"""A paper's page: whom it stands for, what is the paper's and what is ours, shapes and counts, and its trained network.

Its runs, tables and reading are those of any page (`axis_page`); the network is compared with a plain baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pandas.io.formats.style import Styler
from torch import nn

from ecgstudy.data.labels import label_set
from ecgstudy.models import build_model
from ecgstudy.models.registry import ModelEntry, model_entry
from ecgstudy.study import axis_page, runs, tables
from ecgstudy.study.axis_page import SIGNAL, AxisPage, Comparison
from ecgstudy.study.comparison import FEWEST_SEEDS, compare
from ecgstudy.study.complexity import count_parameters, example_input, macs, measuring
from ecgstudy.study.ledger import Run
from ecgstudy.study.tables import NOTES, mega
from ecgstudy.train.checkpoint import load_weights
from ecgstudy.train.seeds import scoped_seed


def ask(namespace: Mapping[str, Any], name: str) -> AxisPage:
    """A paper's page with its parameters checked; `namespace` is the notebook's globals(), `name` the registered model."""
    return axis_page.ask(namespace, name)


def entry(page: AxisPage) -> ModelEntry:
    """What is registered for the page's paper."""
    return model_entry(page.axis.name)


def about(page: AxisPage) -> str:
    """Whom the network stands for, what it was built from, and what is this study's choice, as Markdown."""
    found = entry(page)
    choices = "\n".join(f"- {choice}" for choice in found.choices)
    return f"**The paper.** {found.paper}\n\n**Fidelity.** {found.fidelity}\n\n**Ours, not the paper's:**\n\n{choices}"


def fresh(page: AxisPage, **settings: Any) -> nn.Module:
    """The page's network at its default size, with the weights of seed 0, in evaluation mode."""
    with scoped_seed(0):
        return build_model(page.axis.name, SIGNAL, len(label_set(page.request.dataset, page.request.task).classes), **settings).eval()


def shape_table(page: AxisPage, depth: int = 1) -> Styler:
    """Every module down to `depth` levels in the order in which one record passes it: its output's shape, live, and its parameters."""
    model = fresh(page)
    lines: list[dict[str, str]] = []

    def tell(name: str) -> Any:
        def hook(module: nn.Module, _received: tuple, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                lines.append({"module": name, "kind": type(module).__name__, "output": " × ".join(map(str, output.shape[1:])) or "–",
                              "parameters": f"{count_parameters(module):,}"})
        return hook

    handles = [module.register_forward_hook(tell(name)) for name, module in model.named_modules() if name and name.count(".") < depth]
    try:
        with measuring(model):
            model(example_input(model, SIGNAL))
    finally:
        for handle in handles:
            handle.remove()
    total = f"{count_parameters(model):,}"
    return tables.style(pd.DataFrame([*lines, {"module": "all", "kind": type(model).__name__, "output": "", "parameters": total}]),
                        "Modules in the order in which they run for one record of 12 × 1000; shapes without the batch.")


def size_table(page: AxisPage) -> Styler:
    """Each size of the network: parameters, the count that was expected, whether they agree, and MACs."""
    lines = []
    for name, (settings, expected) in entry(page).sizes.items():
        with scoped_seed(0):
            model = build_model(page.axis.name, SIGNAL, 9, **settings)
        found = count_parameters(model)
        told = ", ".join(f"{key} {value}" for key, value in settings.items()) or "as registered"
        lines.append({("", "size"): name, ("", "settings"): told, ("built here", "parameters"): f"{found:,}",
                      ("built here", "MACs"): mega(macs(model, SIGNAL)), (NOTES, "expected"): f"{expected:,}",
                      ("", "equal"): "yes" if found == expected else "no"})
    table = pd.DataFrame(lines)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return tables.style(table, "Sizes of the network at 12 × 1000 and nine classes. In grey the count that was worked out from the "
                               "paper's description or its code before this one was written.")


def reading(found: Comparison, told: Sequence[str] = (), limits: Sequence[str] = (), weights: str = "") -> Any:
    """A paper's page read, as Markdown: whose weights its pictures show, its network beside what it is compared with, what the page
    itself has `told`, and what can be concluded. limits: the page's own. weights: whose, where they are not those of the paper's row."""
    from IPython.display import Markdown

    shown = f"**Weights.** In the pictures: {weights or whose_weights(shown_run(found))}."
    parts = (shown, beside_its_parts(found), *told, found.reading(limits))
    return Markdown("\n\n".join(part for part in parts if part))


def beside_its_parts(found: Comparison) -> str:
    """The paper's network beside each of its own variants that was run, as Markdown; empty where there is none."""
    own = found.page.axis.name
    rivals = [row.value for row in found.rows if row.value != own and found.page.axis.variants[row.value].model == own]
    lines = [f"- {against(found, own, rival)}" for rival in rivals] if own in {row.value for row in found.rows} else []
    return "\n".join(["**Beside its variants.** By the runs of this page:", "", *lines]) if lines else ""


def against(found: Comparison, name: str, rival: str) -> str:
    """Whether the page's runs tell `name` from `rival` on macro-AUROC, and the parameters of both, in a sentence."""
    rows = {row.value: row for row in compare(found.outcome.finished, found.page.plan, rival)}
    difference = rows[name].difference["macro_auroc"]
    sized = {each: f"`{each}` ({rows[each].runs[0].result['training']['n_parameters']:,} parameters)" for each in (name, rival)}
    told = "cannot be told from" if difference.verdict == "undecided" else f"is {difference.verdict} than"
    end = " That does not show that the two are equal." if difference.verdict == "undecided" else ""
    if difference.n_seeds < FEWEST_SEEDS:
        end = f" With {difference.n_seeds} seed{'s' * (difference.n_seeds > 1)} no verdict is given."
    return f"{sized[name]} {told} {sized[rival]} on macro-AUROC: {tables.show_interval(difference.interval, signed=True)}.{end}"


def trained(found: Comparison) -> tuple[nn.Module, Run | None]:
    """The paper's network with the weights of its first run where they are at hand, else with fresh ones and None in the run's place."""
    page, run = found.page, shown_run(found)
    if run is None:
        return fresh(page, **page.axis.variants[page.axis.name].all_settings(page.request.size)), None
    model = runs.build(run.experiment, SIGNAL)
    load_weights(_weights(run), model)
    return model.eval(), run


def shown_run(found: Comparison) -> Run | None:
    """The first run of the paper's network whose weights are at hand."""
    row = next((row for row in found.rows if row.value == found.page.axis.name), None)
    return next((run for run in (row.runs if row else ()) if _weights(run).is_file()), None)


def _weights(run: Run) -> Path:
    return runs.folder() / run.key / "weights.safetensors"


def whose_weights(run: Run | None) -> str:
    """Which weights a picture shows, as words for its title."""
    if run is None:
        return "fresh weights"
    return f"trained on {run.experiment.dataset}, {run.experiment.profile} profile, seed {run.experiment.seed}"
