"""What probes measured, kept: one JSON and one file of logits for each run and page, beside the ledger or beside the run's weights.

As in the ledger, what an entry states can be recomputed from its logits, and one that does not agree with itself is refused.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ecgstudy import files
from ecgstudy.errors import DataError
from ecgstudy.evaluate.metrics import score
from ecgstudy.study import ledger, runs
from ecgstudy.study.ledger import Run
from ecgstudy.train.experiment import Experiment

PROBE_SCHEMA = 1            # raised when the meaning of a stored probe changes
CLOSE = 0.1                 # mean absolute difference of logits that another device's precision explains
MOST = 700                  # validation records that a short profile probes: a page has tens of probes, and two cores
FIELDS = {"schema", "key", "experiment", "data_digest", "environment", "probes", "macro_auroc"}


@dataclass(frozen=True, eq=False)
class Probed:
    """One run on its validation fold under P probes.

    result: what was probed, how, where and by which code. logits: float16 [P, R, K], half the size in the repository, and precise
    enough to rank records by. targets: uint8 [R, K]. records, patients: [R].
    """

    result: dict[str, Any]
    logits: np.ndarray
    targets: np.ndarray
    records: np.ndarray
    patients: np.ndarray

    @cached_property
    def experiment(self) -> Experiment:
        return Experiment.from_json(self.result["experiment"])

    @property
    def key(self) -> str:
        """The key of the run that was probed."""
        return self.result["key"]

    @property
    def macro_auroc(self) -> list[float]:
        """One a probe; NaN where the fold has no class that can be ranked."""
        return [float("nan") if value is None else value for value in self.result["macro_auroc"]]


def describe_probed(run: Run, probes: list[list], logits: np.ndarray, targets: np.ndarray, records: np.ndarray, patients: np.ndarray,
                    environment: dict[str, Any]) -> Probed:
    """What was measured, with all that a reader needs to trust it. probes: [kind, value] of each, in the order of `logits`."""
    logits = logits.astype(np.float16)
    result = {"schema": PROBE_SCHEMA, "key": run.key, "experiment": run.result["experiment"], "data_digest": run.result["data"]["digest"],
              "environment": environment, "probes": _plain(probes), "macro_auroc": _scores(run.experiment, logits, targets)}
    return Probed(result, logits, targets, records, patients)


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON gives them back."""
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _scores(experiment: Experiment, logits: np.ndarray, targets: np.ndarray) -> list[float | None]:
    labels = experiment.labels
    thresholds = np.full(len(labels.classes), 0.5) if labels.multilabel else None       # AUROC does not ask for them
    found = [score(each, targets, labels.classes, labels.multilabel, thresholds).macro_auroc for each in logits]
    return [None if math.isnan(value) else value for value in found]


def asked_of(run: Run) -> np.ndarray:
    """Which of a run's validation records are probed: all of them in the full profile, else evenly spread ones, at most MOST."""
    n = len(run.predictions.validation_records)
    return np.arange(0, n, 1 if run.experiment.profile == "full" else -(-n // MOST))


def require_of(run: Run, entry: Probed) -> None:
    """DataError unless an entry is of this run: its key, its validation records, and clean logits that are the run's own.

    Another device's precision moves a logit a little; other weights move it far.
    """
    own, asked = run.predictions, asked_of(run)
    if entry.key != run.key or not np.array_equal(entry.records, own.validation_records[asked]) or \
            not np.array_equal(entry.targets, own.validation_targets[asked]):
        raise DataError(f"the probes of {entry.key[:12]} are not of run {run.key[:12]} and its validation records; probe the run again")
    apart = float(np.abs(entry.logits[0].astype(np.float32) - own.validation_logits[asked]).mean())
    if apart > CLOSE:
        raise DataError(f"the weights of run {run.key[:12]} give clean logits {apart:.2f} away from the stored ones on average; remove the "
                        "run's folder and train it again")


def places(run: Run, page: str) -> tuple[Path, Path]:
    """Where the probes of a run for a page may lie: in the ledger, or beside the run's weights."""
    name = _file(run.experiment, run.key, page)
    return folder() / name, runs.folder() / run.key / name


def _file(experiment: Experiment, key: str, page: str) -> str:
    """The name of an entry's file; a page in a folder, such as papers/mina, makes none here."""
    return f"{ledger.entry_name(experiment, key)}-{page.replace('/', '-')}.json"


def folder() -> Path:
    """Where the committed probes lie."""
    return ledger.folder() / "probes"


def stored(run: Run, page: str, probes: Sequence[list]) -> Probed | None:
    """What is kept of a run for a page, where it holds every probe asked for; None where nothing does."""
    for path in places(run, page):
        if path.is_file():
            entry = read(path)
            require_of(run, entry)
            if all(each in entry.result["probes"] for each in _plain(probes)):
                return entry
    return None


def save(entry: Probed, where: Path, page: str) -> Path:
    """Write an entry into a folder, its logits first; returns the JSON file."""
    path = Path(where) / _file(entry.experiment, entry.key, page)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, logits=entry.logits, targets=entry.targets, records=entry.records, patients=entry.patients)
    arrays = files.write_atomically(path.with_suffix(".npz"), lambda file: file.write(buffer.getvalue()))
    described = entry.result | {"sha256": files.sha256(arrays)}
    return files.write_json(path, described | {"digest": files.digest(described)})


def publish(run: Run, page: str) -> Path:
    """Copy the probes of a run for a page from beside its weights into the ledger; DataError where there are none."""
    _, made = places(run, page)
    return save(read(made), folder(), page)


def read(path: Path) -> Probed:
    """One entry, checked: complete, of this schema, its key, logits and scores its own. DataError otherwise."""
    result, arrays = files.read_json(path), Path(path).with_suffix(".npz")
    if not isinstance(result, dict) or not FIELDS | {"sha256", "digest"} <= set(result):
        raise DataError(f"{path} does not hold probes; remove it and probe the run again")
    if files.digest({name: value for name, value in result.items() if name != "digest"}) != result.pop("digest"):
        raise DataError(f"{path} was edited: it is not what its digest was taken of; probe the run again")
    if result["schema"] != PROBE_SCHEMA:
        raise DataError(f"{path} has probe schema {result['schema']}, this version reads {PROBE_SCHEMA}; probe the run again")
    if not arrays.is_file() or files.sha256(arrays) != result.pop("sha256"):
        raise DataError(f"{path}: {arrays.name} is missing or is not the file that was scored; probe the run again")
    try:
        with np.load(arrays, allow_pickle=False) as held:
            entry = Probed(result, *(held[name] for name in ("logits", "targets", "records", "patients")))
        sound = entry.experiment.key(result["data_digest"]) == result["key"] and \
            len(entry.logits) == len(result["probes"]) == len(result["macro_auroc"]) and \
            entry.records.shape == entry.patients.shape == entry.targets.shape[:1] and \
            _scores(entry.experiment, entry.logits, entry.targets) == result["macro_auroc"]
    except Exception as error:      # NumPy and zipfile raise a dozen kinds for a damaged file
        raise DataError(f"{path} does not hold probes ({type(error).__name__}: {error}); remove it and probe the run again") from None
    if not sound:
        raise DataError(f"{path}: its key, its probes or its scores are not those of its logits; remove it and probe the run again")
    return entry
