"""The frozen description of one run: everything that decides its numbers, and nothing else.

Two experiments that are equal share one key, hence one run and one result, whichever page asked for it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from ecgstudy import files
from ecgstudy.data.labels import LabelSet, as_published_by, label_set
from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.train.augment import AUGMENTATIONS

RESULT_SCHEMA = 1       # raised when the meaning of a stored result changes; part of every key
PROFILES = ("smoke", "quick", "full")
SCHEDULES = ("step", "cosine", "constant")
PRECISIONS = ("auto", "fp32", "bf16")
LEFT_OUT = {"tested_on": "", "augmentation": (), "watch_test": False}     # of the JSON, so that older keys stand

Scalar = str | int | float | bool
Setting = Scalar | tuple[Scalar, ...]


def freeze_settings(settings: dict[str, Any]) -> tuple[tuple[str, Setting], ...]:
    """A model's settings as a sorted, hashable tuple; lists become tuples."""
    return tuple(sorted((name, tuple(value) if isinstance(value, list | tuple) else value) for name, value in settings.items()))


@dataclass(frozen=True)
class Experiment:
    """One run.

    dataset, task: what is learnt; profile: smoke, quick or full. model, settings: a registered builder and its settings.
    n_training: how many training records are used (0 = all), drawn once from `subset_seed`, the same for every model.
    epochs, patience: at most so many, stopped after `patience` epochs without a better validation macro-AUROC.
    schedule: "step" multiplies the rate by `schedule_factor` every `schedule_step` epochs; "cosine" falls to 0 over `epochs`.
    precision: "auto" is bf16 on CUDA and fp32 on the CPU, where bf16 is emulated and several times slower.
    tested_on: another data set whose test fold is scored instead, on the classes that the two share; "" for the own one.
    augmentation: names of `train.augment` that training batches go through, kept sorted; each name once.
    watch_test: keep the test fold's logits after each epoch, for the oracle rows of page 02 alone. They choose nothing, and the
    run's key is not that of the same run unwatched.
    """

    dataset: str
    task: str
    profile: str
    model: str
    settings: tuple[tuple[str, Setting], ...]
    seed: int
    n_training: int
    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    schedule: str
    schedule_step: int = 20
    schedule_factor: float = 0.1
    precision: str = "auto"
    subset_seed: int = 0
    tested_on: str = ""
    augmentation: tuple[str, ...] = ()
    watch_test: bool = False

    def __post_init__(self) -> None:
        labels = label_set(self.dataset, self.task)
        if self.tested_on:
            as_published_by(labels, self.tested_on)
        require_known("profile", self.profile, PROFILES)
        require_known("schedule", self.schedule, SCHEDULES)
        require_known("precision", self.precision, PRECISIONS)
        object.__setattr__(self, "augmentation", tuple(sorted(self.augmentation)))
        for name in self.augmentation:
            require_known("augmentation", name, tuple(AUGMENTATIONS))
        if len(set(self.augmentation)) < len(self.augmentation):
            raise ConfigurationError(f"augmentation is {', '.join(self.augmentation)}; name each once")
        for name in ("epochs", "patience", "batch_size", "schedule_step"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigurationError(f"learning_rate is {self.learning_rate}; it must be above 0")
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigurationError(f"weight_decay is {self.weight_decay}; it must be 0 or above")
        if self.n_training < 0:
            raise ConfigurationError(f"n_training is {self.n_training}; use 0 for all training records")

    @property
    def labels(self) -> LabelSet:
        return label_set(self.dataset, self.task)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives an equal experiment back."""
        values = dataclasses.asdict(self)
        values["settings"] = {name: list(value) if isinstance(value, tuple) else value for name, value in self.settings}
        values["augmentation"] = list(self.augmentation)
        return {name: value for name, value in values.items() if name not in LEFT_OUT or getattr(self, name) != LEFT_OUT[name]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Experiment:
        """The experiment that `to_json` described; ConfigurationError where a field is missing or unknown."""
        names = {field.name for field in dataclasses.fields(cls)}
        try:
            if strange := sorted(set(values) - names):
                raise ConfigurationError(f"unknown experiment field {strange[0]!r}; accepted: {', '.join(sorted(names))}")
            return cls(**(values | {"settings": freeze_settings(values["settings"])}))
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"this is not an experiment of the study: {error}") from None

    def key(self, data_digest: str) -> str:
        """The run's name: a digest of this experiment, the prepared data and the result schema."""
        return files.digest({"experiment": self.to_json(), "data": data_digest, "schema": RESULT_SCHEMA})
