"""What a step minimises: functions of model, batch and generator that return named losses; `loss` is the one descended."""

from ecgstudy.train.objectives.objective import Objective
from ecgstudy.train.objectives.supervised import multiclass, multilabel, supervised

__all__ = ["Objective", "multiclass", "multilabel", "supervised"]
