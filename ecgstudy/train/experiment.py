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
from ecgstudy.leads import LEADS
from ecgstudy.train.augment import AUGMENTATIONS

RESULT_SCHEMA = 1       # raised when the meaning of a stored result changes; part of every key
PROFILES = ("smoke", "quick", "full")
SCHEDULES = ("step", "cosine", "constant")
PRECISIONS = ("auto", "fp32", "bf16")
LABELLED, UNLABELLED = ("supervised", "distil"), ("cpc", "clocs", "masked")      # objectives
TRAINED = ("all", "head")
LEFT_OUT = {"tested_on": "", "augmentation": (), "watch_test": False, "objective": "supervised", "objective_settings": (),
            "begins_with": None, "trains": "all", "teacher": None, "leads": (), "percent": 100}     # of the JSON, so that older keys stand

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
    objective, objective_settings: a function of `train.objectives` and its settings. One without labels makes weights and no scores.
    begins_with: the run without labels whose encoder this one starts from; trains: "all" of the network, or the "head" alone on an
    encoder that stays as it is. teacher: the run that "distil" learns from. leads: those that the network is given; () for all.
    percent: of the training records above, those whose labels are used: the first of the same draw.
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
    objective: str = "supervised"
    objective_settings: tuple[tuple[str, Setting], ...] = ()
    begins_with: Experiment | None = None
    trains: str = "all"
    teacher: Experiment | None = None
    leads: tuple[str, ...] = ()
    percent: int = 100

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
        self._require_objective()

    def _require_objective(self) -> None:
        """What a run learns from, and with what it begins, must fit together."""
        require_known("objective", self.objective, LABELLED + UNLABELLED)
        require_known("trains", self.trains, TRAINED)
        for lead in self.leads:
            require_known("lead", lead, LEADS)
        if not (type(self.percent) is int and 1 <= self.percent <= 100):
            raise ConfigurationError(f"percent is {self.percent!r}; give a whole number from 1 to 100")
        if (self.objective == "distil") != (self.teacher is not None):
            raise ConfigurationError(f"objective {self.objective} {'needs' if self.teacher is None else 'has no use for'} a teacher")
        if self.trains == "head" and self.begins_with is None:
            raise ConfigurationError("trains is 'head' of a network with fresh weights; name in begins_with where its encoder comes from")
        if self.leads and self.begins_with:
            raise ConfigurationError(f"leads are {', '.join(self.leads)} and begins_with is a run on all leads; leave one of the two out")
        if not self.labelled and (self.percent < 100 or self.begins_with or self.tested_on or self.watch_test or self.leads):
            raise ConfigurationError(f"objective {self.objective} uses no labels; percent, begins_with, tested_on, watch_test and leads "
                                     "are for runs that do")
        for name, earlier, labelled in (("begins_with", self.begins_with, False), ("teacher", self.teacher, True)):
            if earlier is not None and (earlier.labelled is not labelled or earlier.teacher or earlier.begins_with):
                wanted = "an ordinary run on labels" if labelled else "a run without labels"
                raise ConfigurationError(f"{name} must be {wanted}; its objective is {earlier.objective}")
            seen = (self.dataset, self.task, self.subset_seed)
            if earlier is not None and (earlier.dataset, earlier.task, earlier.subset_seed) != seen:
                raise ConfigurationError(f"{name} was trained on {earlier.dataset} ({earlier.task}, subset seed {earlier.subset_seed}), "
                                         f"this run on {self.dataset} ({self.task}, {self.subset_seed}); both must see one training fold")
        if self.begins_with and (self.begins_with.model, self.begins_with.settings) != (self.model, self.settings):
            raise ConfigurationError(f"begins_with is of {self.begins_with.model} and this run of {self.model}, or their settings differ; "
                                     "an encoder fits only its own network")

    @property
    def labelled(self) -> bool:
        """Whether the run learns from labels, and hence has scores."""
        return self.objective in LABELLED

    @property
    def labels(self) -> LabelSet:
        return label_set(self.dataset, self.task)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives an equal experiment back."""
        values = dataclasses.asdict(self)
        for name in ("settings", "objective_settings"):
            values[name] = {each: list(value) if isinstance(value, tuple) else value for each, value in getattr(self, name)}
        for name in ("augmentation", "leads"):
            values[name] = list(getattr(self, name))
        for name in ("begins_with", "teacher"):
            earlier = getattr(self, name)
            values[name] = earlier and earlier.to_json()
        return {name: value for name, value in values.items() if name not in LEFT_OUT or getattr(self, name) != LEFT_OUT[name]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Experiment:
        """The experiment that `to_json` described; ConfigurationError where a field is missing or unknown."""
        names = {field.name for field in dataclasses.fields(cls)}
        try:
            if strange := sorted(set(values) - names):
                raise ConfigurationError(f"unknown experiment field {strange[0]!r}; accepted: {', '.join(sorted(names))}")
            frozen = {"settings": freeze_settings(values["settings"])}
            if "objective_settings" in values:
                frozen["objective_settings"] = freeze_settings(values["objective_settings"])
            earlier = {name: cls.from_json(values[name]) for name in ("begins_with", "teacher") if name in values}
            return cls(**(values | frozen | earlier | ({"leads": tuple(values["leads"])} if "leads" in values else {})))
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"this is not an experiment of the study: {error}") from None

    def key(self, data_digest: str) -> str:
        """The run's name: a digest of this experiment, the prepared data and the result schema."""
        return files.digest({"experiment": self.to_json(), "data": data_digest, "schema": RESULT_SCHEMA})
