"""Weights that ship with the repository, so that a page can show a trained network on a fresh clone.

book/weights/NAME.safetensors holds a network's weights, NAME.json its card: the run that it is, with its experiment, data, scaling,
scores and environment, and the digest of the weights. All that a result in the ledger tells stands in the card; the predictions stay
there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ecgstudy import files
from ecgstudy.errors import ConfigurationError, DataError, unknown
from ecgstudy.signal import SignalSpec
from ecgstudy.study import runs
from ecgstudy.study.ledger import Run
from ecgstudy.train.checkpoint import load_weights
from ecgstudy.train.experiment import RESULT_SCHEMA, Experiment
from ecgstudy.train.feed import Scaling

SIGNAL = SignalSpec(n_leads=12, n_samples=1000, fs=100)        # what every network of the study is built for
LARGEST, ALL = 3_000_000, 20_000_000        # bytes of one file, and of the folder
TOLD = ("key", "experiment", "data", "environment", "training", "thresholds", "scores")


@dataclass(frozen=True, eq=False)
class Chosen:
    """A trained network in evaluation mode, with what must be known to feed it and to read it."""

    name: str
    model: nn.Module
    experiment: Experiment
    scaling: Scaling
    classes: tuple[str, ...]
    card: dict[str, Any]

    @property
    def told(self) -> str:
        """Whose weights these are, for a picture's title."""
        e = self.experiment
        return f"trained on {e.dataset}, {e.profile} profile, seed {e.seed}"


def folder() -> Path:
    """Where the weights lie."""
    return files.repository() / "book" / "weights"


def names() -> list[str]:
    """The networks that ship, in alphabetical order."""
    return sorted(path.stem for path in folder().glob("*.json"))


def keep(run: Run, name: str) -> Path:
    """Put a run's weights, which must lie in runs/, among those that ship; returns the card's path.

    Raises ConfigurationError for a name that is not one word of a file's name, and DataError where the weights are missing, are too large,
    or another run of that name is already kept.
    """
    if not name.replace("_", "").isalnum():
        raise ConfigurationError(f"name is {name!r}; use letters, digits and _, such as hilo_ptbxl")
    weights = runs.weights_path(run.experiment, run.result["data"]["digest"])
    if not weights.is_file():
        raise DataError(f"{weights} does not exist; train the run on this machine first")
    content, card = weights.read_bytes(), folder() / f"{name}.json"
    held = sum(path.stat().st_size for path in folder().glob("*.safetensors") if path.stem != name)
    if len(content) > LARGEST or held + len(content) > ALL:
        raise DataError(f"{weights} has {len(content):,} bytes and {held:,} are kept; at most {LARGEST:,} a file and {ALL:,} in all")
    if card.exists() and (other := files.read_json(card)["key"]) != run.key:
        raise DataError(f"{card} is of the run {other[:12]}, not of {run.key[:12]}; remove it, or choose another name")
    target = card.with_suffix(".safetensors")
    files.write_atomically(target, lambda file: file.write(content))
    return files.write_json(card, {name: run.result[name] for name in TOLD} | {"schema": RESULT_SCHEMA, "sha256": files.sha256(target)})


def load(name: str) -> Chosen:
    """The network of that name. ConfigurationError with the nearest name where there is none, DataError where it is damaged or is not
    what its card says."""
    if name not in names():
        raise unknown("network that ships", name, names())
    path = folder() / f"{name}.json"
    card = files.read_json(path)
    try:
        experiment = Experiment.from_json(card["experiment"])
        if experiment.key(card["data"]["digest"]) != card["key"]:
            raise DataError(f"{path} was edited: its experiment is not that of its key")
        scaling, classes = Scaling(**card["training"]["scaling"]), tuple(card["data"]["classes"])
        weights = path.with_suffix(".safetensors")
        if files.sha256(weights) != card["sha256"]:
            raise DataError(f"{weights} is not the file that its card describes; check it out again")
    except (KeyError, TypeError, OSError, ConfigurationError) as error:
        raise DataError(f"{path} is not the card of a network ({error!r}); check it out again") from None
    model = runs.build(experiment, SIGNAL)
    load_weights(weights, model)
    return Chosen(name, model.eval(), experiment, scaling, classes, card)
