"""Networks that were trained without labels or by a teacher, for the pictures of their pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler
from torch import nn

from ecgstudy.data.dataset import Prepared
from ecgstudy.study import runs, tables
from ecgstudy.study.axis_page import Comparison
from ecgstudy.study.ledger import Run
from ecgstudy.study.names import readable
from ecgstudy.study.paper_page import whose_weights
from ecgstudy.study.request import at_hand
from ecgstudy.train.checkpoint import load_weights
from ecgstudy.train.experiment import Experiment


@dataclass(frozen=True, eq=False)
class Pretrained:
    """The network that a variant begins with, in evaluation mode, and the same untrained.

    run: the labelled run that began with it; None where `model` has fresh weights. weights: whose they are, for a picture's title.
    history: a line an epoch, as in the run's own result. scaling: how a record is fed to it; None with fresh weights.
    """

    model: nn.Module
    untrained: nn.Module
    weights: str
    history: tuple[dict[str, Any], ...]
    run: Run | None
    scaling: dict[str, float] | None = None


def pretrained(found: Comparison, variant: str) -> Pretrained:
    """What the first run of a variant began with, with its weights where they are at hand, else fresh ones.

    AbsentError where the page's data are not at hand: the network's size depends on them.
    """
    prepared = at_hand(found.page.request.dataset, found.page.request.size)
    before = next(e.begins_with for e, name in found.page.plan.items() if name == variant)
    untrained, run = runs.build(before, prepared).eval(), _shown(found, variant, prepared)
    if run is None:
        return Pretrained(untrained, untrained, whose_weights(None), history_of(found, variant), None)
    before = run.experiment.begins_with
    model = runs.build(before, prepared)
    load_weights(runs.weights_path(before, prepared.digest), model)
    told = run.result["pretraining"]["training"]
    return Pretrained(model.eval(), untrained, f"pretrained on {before.dataset}, {before.profile} profile, seed {before.seed}",
                      tuple(told["history"]), run, told["scaling"])


def _shown(found: Comparison, variant: str, prepared: Prepared) -> Run | None:
    """The first run of a variant whose pretrained weights are at hand."""
    row = next((row for row in found.rows if row.value == variant), None)
    return next((run for run in (row.runs if row else ())
                 if runs.weights_path(run.experiment.begins_with, prepared.digest).is_file()), None)


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


def classifier(found: Comparison, variant: str) -> tuple[nn.Module, Run | None]:
    """A variant's labelled network with the weights of its first run where they are at hand, else with fresh ones and None."""
    prepared = at_hand(found.page.request.dataset, found.page.request.size)
    row = next((row for row in found.rows if row.value == variant), None)
    run = next((run for run in (row.runs if row else ()) if runs.weights_path(run.experiment, prepared.digest).is_file()), None)
    experiment: Experiment = run.experiment if run else next(e for e, name in found.page.plan.items() if name == variant)
    model = runs.build(experiment, prepared)
    if run is not None:
        load_weights(runs.weights_path(experiment, prepared.digest), model)
    return model.eval(), run
