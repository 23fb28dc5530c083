"""Networks that were trained without labels or by a teacher, for the pictures of their pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler
from torch import nn

from ecgstudy.models.registry import build_pretrainer
from ecgstudy.study import runs, tables
from ecgstudy.study.axis_page import SIGNAL, Comparison
from ecgstudy.study.ledger import Run
from ecgstudy.study.names import readable
from ecgstudy.study.paper_page import whose_weights
from ecgstudy.train.checkpoint import load_weights
from ecgstudy.train.seeds import scoped_seed


@dataclass(frozen=True, eq=False)
class Pretrained:
    """The network that variants begin with, in evaluation mode, and the same untrained.

    run: the labelled run that began with it; None where `model` has fresh weights. weights: whose they are, for a picture's title.
    history: a line an epoch, as in the run's own result. scaling: how a record is fed to it; None with fresh weights.
    """

    model: nn.Module
    untrained: nn.Module
    weights: str
    history: tuple[dict[str, Any], ...]
    run: Run | None
    scaling: dict[str, float] | None = None


def pretrained(found: Comparison, *variants: str) -> Pretrained:
    """What the first of these variants began with whose pretrained weights are at hand; with fresh ones where there is none.

    The page is a paper's, whose network all its variants share.
    """
    page, rows = found.page, {row.value: row for row in found.rows}
    with scoped_seed(0):
        settings = page.axis.variants[page.axis.name].all_settings(page.request.size)
        untrained = build_pretrainer(page.axis.name, SIGNAL, **settings).eval()
    for run in (run for name in variants if name in rows for run in rows[name].runs):
        before = run.experiment.begins_with
        path = runs.weights_path(before, run.result["data"]["digest"])
        if path.is_file():
            model, told = runs.build(before, SIGNAL), run.result["pretraining"]["training"]
            load_weights(path, model)
            return Pretrained(model.eval(), untrained, f"pretrained on {before.dataset}, {before.profile} profile, seed {before.seed}",
                              tuple(told["history"]), run, told["scaling"])
    return Pretrained(untrained, untrained, whose_weights(None), (), None)


def history_of(found: Comparison, variant: str) -> tuple[dict[str, Any], ...]:
    """How the pretraining of a variant's first run went, a line an epoch; empty where there is no run."""
    row = next((row for row in found.rows if row.value == variant), None)
    return tuple(row.runs[0].result["pretraining"]["training"]["history"]) if row else ()


def history_table(found: Comparison, variants: Sequence[str], names: Mapping[str, str] = MappingProxyType({})) -> Styler:
    """What the pretraining of each variant's first run took and where it ended: records, epochs, time, and the loss of the validation
    fold after the first epoch and the best. names: what a variant is called, where not by its own name."""
    lines = []
    for row in (row for row in found.rows if row.value in variants):
        before = row.runs[0].result["pretraining"]
        history, best = before["training"]["history"], before["training"]["best_epoch"]
        lines.append({"pretraining": names.get(row.value, readable(row.value)), "records": f"{before['n_training']:,}",
                      "epochs": len(history), "best": best,
                      "minutes": f"{before['training']['seconds'] / 60:.1f}",
                      "loss, first epoch": tables.show(history[0]["validation_loss"]),
                      "loss, best epoch": tables.show(history[best - 1]["validation_loss"])})
    return tables.style(pd.DataFrame(lines), "Training without labels. The loss is that of the validation fold, under the same draws "
                                             "after each epoch; losses of two objectives do not compare.")


def classifier(found: Comparison, variant: str) -> tuple[nn.Module | None, Run | None]:
    """A variant's labelled network with the weights of its first run that has them at hand; None and None where none has."""
    row = next((row for row in found.rows if row.value == variant), None)
    for run in (row.runs if row else ()):
        path = runs.weights_path(run.experiment, run.result["data"]["digest"])
        if path.is_file():
            model = runs.build(run.experiment, SIGNAL)
            load_weights(path, model)
            return model.eval(), run
    return None, None
