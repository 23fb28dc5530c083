"""What a step minimises: functions of model, batch and generator that return named losses; `loss` is the one descended."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.train.experiment import Experiment
from ecgstudy.train.objectives.clocs import clocs
from ecgstudy.train.objectives.cpc import cpc
from ecgstudy.train.objectives.distil import distil
from ecgstudy.train.objectives.masked import masked
from ecgstudy.train.objectives.objective import Objective
from ecgstudy.train.objectives.supervised import multiclass, multilabel, supervised

__all__ = ["Objective", "multiclass", "multilabel", "objective_of", "settings_of", "supervised"]

_OBJECTIVES: dict[str, Objective] = {"cpc": cpc, "clocs": clocs, "masked": masked, "distil": distil}


def settings_of(name: str) -> dict[str, Any]:
    """The settings of an objective with their defaults, but for those that the task decides."""
    if name == "supervised":
        return {}
    own = inspect.signature(_OBJECTIVES[name]).parameters.values()
    return {each.name: each.default for each in own if each.kind is each.KEYWORD_ONLY and each.name != "multilabel"}


def objective_of(experiment: Experiment) -> Objective:
    """The objective of a run with its settings; ConfigurationError with the nearest name for a setting that it does not have."""
    settings, name = dict(experiment.objective_settings), experiment.objective
    known = settings_of(name)
    for each in settings:
        if not known:
            raise ConfigurationError(f"objective {name} has no settings and was given {each}; leave it out")
        require_known(f"setting of {name}", each, known)
    if name == "supervised":
        return supervised(experiment.labels.multilabel)
    if name == "distil":
        settings["multilabel"] = experiment.labels.multilabel
    return partial(_OBJECTIVES[name], **settings)
