"""What a page was asked for: its parameters checked before any work, its data at hand, its runs done or named as missing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgstudy.data.dataset import Prepared
from ecgstudy.data.fetch import fetch, interrupted
from ecgstudy.data.labels import SIMULATED, TASKS, label_set
from ecgstudy.data.manifest import source
from ecgstudy.data.prepare import prepare
from ecgstudy.errors import AbsentError, ConfigurationError, require_known
from ecgstudy.study import ledger
from ecgstudy.study.ledger import Run
from ecgstudy.study.notebooks import declared_parameters, find_notebook, refuse_unknown
from ecgstudy.study.profiles import Profile, profile
from ecgstudy.study.runs import folder as runs_folder
from ecgstudy.study.sweep import Outcome, sweep
from ecgstudy.train.experiment import Experiment

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """The checked parameters of one page.

    axes: the page's own parameters and, for each, the chosen values. missing: what to do about runs that do not exist, "train" them
    or "name" them as missing.
    """

    name: str
    dataset: str
    task: str
    size: Profile
    seeds: tuple[int, ...]
    axes: dict[str, tuple[str, ...]]
    missing: str = "train"

    def picture(self) -> Path:
        """Where the page puts its main picture."""
        return runs_folder() / f"{self.name}-{self.dataset}-{self.size.name}.png"


def read_request(namespace: Mapping[str, Any], name: str, axes: Mapping[str, Sequence[str]]) -> Request:
    """Check a notebook's parameters, also under plain papermill, which only warns about a name it does not know.

    Every page has dataset, task and profile; one that trains nothing has no seeds.

    namespace: the notebook's globals(). axes: for each of the page's own parameters, every value that it accepts, in order.
    Raises ConfigurationError, before any work, with the nearest valid name for a misspelt name or value.
    """
    declared = declared_parameters(find_notebook(name))
    refuse_unknown(namespace, declared)
    given = {parameter: namespace[parameter] for parameter in declared}
    dataset = require_known("dataset", given["dataset"], TASKS)
    task = label_set(dataset, given["task"]).name
    size = profile(given["profile"])
    return Request(name, dataset, task, size, _seeds(given.get("seeds", "auto"), size),
                {axis: _values(axis, given[axis], accepted) for axis, accepted in axes.items()},
                require_known("missing", given.get("missing", "train"), ("train", "name")))


def _words(text: Any) -> list[str]:
    parts = text if isinstance(text, list | tuple) else str(text).split(",")
    return [str(part).strip() for part in parts if str(part).strip()]


def _values(axis: str, text: Any, accepted: Sequence[str]) -> tuple[str, ...]:
    words = _words(text)
    if words == ["all"]:
        return tuple(accepted)
    if not words:
        raise ConfigurationError(f"{axis} is empty; give 'all' or some of {', '.join(accepted)}")
    return tuple(require_known(axis, word, ("all", *accepted)) for word in dict.fromkeys(words))


def _seeds(text: Any, size: Profile) -> tuple[int, ...]:
    words = _words(text)
    if words == ["auto"]:
        return size.seeds
    if not words or not all(word.isdigit() for word in words):
        raise ConfigurationError(f"seeds is {text!r}; give whole numbers such as \"0,1,2\", or 'auto' for the profile's own "
                                 f"({', '.join(map(str, size.seeds))})")
    return tuple(dict.fromkeys(int(word) for word in words))


def at_hand(dataset: str, size: Profile) -> Prepared:
    """The prepared data of a page, from the simulator or from recordings on disk; AbsentError where they are not here."""
    return prepare(dataset, n_records=size.n_synthetic) if dataset in SIMULATED else prepare(dataset)


def obtain(dataset: str, size: Profile) -> Prepared:
    """The prepared data of a data set, fetched first where they are not here or where a fetch was interrupted."""
    if dataset not in SIMULATED and interrupted(source(dataset)):
        fetch(dataset)
    try:
        return at_hand(dataset, size)
    except AbsentError as error:
        logger.info("%s", error)
        fetch(dataset)
        return at_hand(dataset, size)


def fulfil(request: Request, experiments: Iterable[Experiment]) -> Outcome:
    """Every experiment of a page, done: from the ledger alone where it holds them all and the data are not here, else trained.

    Runs that failed or were not reached, or that the page was asked to leave undone, are named in the outcome, and the page shows
    the gap. A data set that is only tested on is not fetched: where it is not here, its runs are missing.
    """
    experiments = list(experiments)
    stored = ledger.read_selected(set(experiments))
    found: dict[Experiment, Run | None] = {e: ledger.find(stored, e) for e in experiments}
    held = Outcome([run for run in found.values() if run], missing=[e for e, run in found.items() if run is None])
    if request.missing == "name":
        return held
    if held.missing:
        prepared = obtain(request.dataset, request.size)
    else:
        try:
            prepared = at_hand(request.dataset, request.size)
        except AbsentError:
            logger.warning("%s is not on this machine; these are the stored results", request.dataset)
            return held
    together = Outcome()
    for name in dict.fromkeys(e.tested_on for e in experiments):
        mine = [e for e in experiments if e.tested_on == name]
        try:
            part = sweep(mine, prepared, tested=at_hand(name, request.size) if name else None)
        except AbsentError:
            part = Outcome([run for e in mine if (run := found[e])], missing=[e for e in mine if not found[e]])
        together += part
    return together
