"""The ledger: one JSON and one file of predictions for every finished run, under book/results/.

A result is written last and whole, so its presence means "finished". What it states can be recomputed: `recompute` scores
the stored logits again, and an entry that does not agree with its own predictions is refused.
"""

from __future__ import annotations

import dataclasses
import io
import math
import reprlib
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ecgstudy import files
from ecgstudy.data.labels import LabelSet
from ecgstudy.errors import DataError
from ecgstudy.evaluate.metrics import Scores, probabilities, score
from ecgstudy.train.experiment import RESULT_SCHEMA, Experiment

LARGEST = 2**28         # bytes of one run's predictions when unpacked: a million records of twelve classes
R_IDS = {"validation": "record ids [R]", "test": "record and patient ids [R]"}
FIELDS = {"schema", "key", "experiment", "data", "environment", "training", "thresholds", "scores", "predictions"}


@dataclass(frozen=True)
class Predictions:
    """Logits and targets [R, K] of the validation and test folds, with record and patient ids [R].

    oracle_epoch_logits: float16 [E, R, K], the test fold after each epoch of a watched run; None otherwise.
    """

    validation_logits: np.ndarray
    validation_targets: np.ndarray
    validation_records: np.ndarray
    test_logits: np.ndarray
    test_targets: np.ndarray
    test_records: np.ndarray
    test_patients: np.ndarray
    oracle_epoch_logits: np.ndarray | None = None

    def to_bytes(self) -> bytes:
        """A compressed .npz of plain arrays, byte-identical for equal content."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{name: array for name, array in dataclasses.asdict(self).items() if array is not None})
        return buffer.getvalue()

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """DataError where the file is missing, damaged, or holds other arrays than those described above."""
        try:
            with zipfile.ZipFile(path) as archive:
                if (size := sum(member.file_size for member in archive.infolist())) > LARGEST:
                    raise ValueError(f"{size} bytes when unpacked, expected at most {LARGEST}")
            with np.load(path, allow_pickle=False) as arrays:
                names = {field.name for field in dataclasses.fields(cls)}
                read = cls(**{name: arrays[name] for name in names - ({"oracle_epoch_logits"} - set(arrays.files))})
        except Exception as error:      # NumPy and zipfile raise a dozen kinds for a damaged file
            raise DataError(f"{path} does not hold predictions ({type(error).__name__}: {error}); remove the run and make it "
                            "again") from None
        for fold, ids in (("validation", ("records",)), ("test", ("records", "patients"))):
            logits, targets = getattr(read, f"{fold}_logits"), getattr(read, f"{fold}_targets")
            named = [getattr(read, f"{fold}_{each}") for each in ids]
            if logits.dtype.kind != "f" or logits.ndim != 2 or targets.dtype.kind not in "uib" or (targets > 1).any() or \
                    (targets < 0).any() or any(each.dtype.kind != "U" or each.shape != logits.shape[:1] for each in named):
                raise DataError(f"{path}: the {fold} arrays are not logits [R, K], targets of 0 and 1, and {R_IDS[fold]}; remove "
                                "the run and make it again")
        epochs = read.oracle_epoch_logits
        if epochs is not None and (epochs.dtype != np.float16 or epochs.ndim != 3 or epochs.shape[1:] != read.test_logits.shape
                                   or not np.isfinite(epochs).all()):
            raise DataError(f"{path}: oracle_epoch_logits is {epochs.dtype} {epochs.shape}, expected finite float16 [epochs, R, K] with "
                            f"{read.test_logits.shape} test logits; remove the run and make it again")
        return read


@dataclass(frozen=True)
class Run:
    """A finished run: its folder-independent result and where its predictions lie."""

    result: dict[str, Any]
    predictions_path: Path

    @cached_property
    def experiment(self) -> Experiment:
        return Experiment.from_json(self.result["experiment"])

    @cached_property
    def predictions(self) -> Predictions:
        return Predictions.read(self.predictions_path)

    @property
    def key(self) -> str:
        return self.result["key"]

    @property
    def thresholds(self) -> np.ndarray | None:
        return None if self.result["thresholds"] is None else np.array(self.result["thresholds"])

    def test_probability(self) -> np.ndarray:
        """Test probabilities [R, K]."""
        return probabilities(self.predictions.test_logits, self.experiment.labels.multilabel)


def folder() -> Path:
    """Where the committed results lie."""
    return files.repository() / "book" / "results"


def entry_name(experiment: Experiment, key: str) -> str:
    """A file name a person can read; the key's first digits make it unique."""
    return f"{experiment.dataset}-{experiment.task}-{experiment.profile}-{experiment.model}-{key[:12]}"


def scores_to_json(scores: Scores) -> dict[str, Any]:
    """Scores as JSON; NaN becomes null."""
    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and math.isnan(value) else value
    return {name: plain(value) for name, value in dataclasses.asdict(scores).items()}


def read_run(path: Path) -> Run:
    """One result file, checked: complete, of this schema, its key, predictions and scores its own. DataError otherwise."""
    result = files.read_json(path)
    if not isinstance(result, dict) or not FIELDS <= set(result):
        raise DataError(f"{path} is not a result: it lacks {', '.join(sorted(FIELDS - set(result if isinstance(result, dict) else ())))}")
    if result["schema"] != RESULT_SCHEMA:
        raise DataError(f"{path} has result schema {result['schema']}, this version reads {RESULT_SCHEMA}; run the experiment again")
    try:
        predictions = path.with_name(result["predictions"]["file"])         # beside it, not anywhere else
        experiment = Experiment.from_json(result["experiment"])
        key = experiment.key(result["data"]["digest"])
        scored = predictions.is_file() and files.sha256(predictions) == result["predictions"]["sha256"]
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, OSError) as error:
        raise DataError(f"{path} is not a result: {error!r:.300}") from None
    if key != result["key"]:
        raise DataError(f"{path} was edited: its experiment has the key {key[:12]}, it states {str(result['key'])[:12]}")
    if not scored:
        raise DataError(f"{path}: {predictions.name} is missing or is not the file that was scored")
    _require_thresholds(path, result["thresholds"], experiment.labels)
    run = Run(result, predictions)
    _require_epochs(path, run)
    if (scores := recompute(run)) != result["scores"]:
        raise DataError(f"{path} was edited: its predictions give macro_auroc {scores['test']['macro_auroc']} on test, it states "
                        "other scores")
    return run


def _require_thresholds(path: Path, thresholds: Any, labels: LabelSet) -> None:
    """One number a class for a multi-label task, none for another."""
    numbers = isinstance(thresholds, list) and len(thresholds) == len(labels.classes) and \
        all(type(each) in (int, float) and -1 <= each <= 2 for each in thresholds)
    if not (numbers if labels.multilabel else thresholds is None):
        raise DataError(f"{path} was edited: its thresholds are {reprlib.repr(thresholds)}, expected "
                        f"{f'{len(labels.classes)} probabilities' if labels.multilabel else 'null'}")


def _require_epochs(path: Path, run: Run) -> None:
    """Test logits after every epoch of a watched run, and of no other."""
    kept = run.predictions.oracle_epoch_logits
    found = 0 if kept is None else len(kept)
    wanted = len(run.result["training"]["history"]) if run.experiment.watch_test else 0
    if found != wanted:
        raise DataError(f"{path}: its predictions hold the test fold after {found} epochs, expected {wanted}; remove the run and make "
                        "it again")


def recompute(run: Run) -> dict[str, dict[str, Any]]:
    """Validation and test scores from the stored logits and thresholds: {"validation": ..., "test": ...} as JSON values."""
    labels, stored = run.experiment.labels, run.predictions
    return {fold: scores_to_json(score(logits, targets, labels.classes, labels.multilabel, run.thresholds))
            for fold, logits, targets in (("validation", stored.validation_logits, stored.validation_targets),
                                          ("test", stored.test_logits, stored.test_targets))}


def read_all(where: Path | None = None) -> list[Run]:
    """Every run of a ledger folder, checked, in the order of file names."""
    return [read_run(path) for path in sorted((where or folder()).glob("*.json"))]


def read_selected(wanted: Collection[Experiment], where: Path | None = None) -> list[Run]:
    """The runs of a ledger folder that are of these experiments, checked; the others are not opened further than to see that."""
    runs = []
    for path in sorted((where or folder()).glob("*.json")):
        stated = files.read_json(path)
        described = stated.get("experiment") if isinstance(stated, dict) else None
        if not isinstance(described, dict) or Experiment.from_json(described) in wanted:
            runs.append(read_run(path))
    return runs


def publish(run: Run, where: Path | None = None) -> Path:
    """Copy a finished run into the ledger. An identical entry is success; another result of the same key is refused."""
    where = where or folder()
    name = entry_name(run.experiment, run.key)
    target = where / f"{name}.json"
    if target.exists():
        if read_run(target).result["scores"] != run.result["scores"]:
            raise DataError(f"{target} already holds another result of the key {run.key[:12]}; keep one of the two by hand")
        return target
    predictions = run.predictions_path.read_bytes()
    files.write_atomically(where / f"{name}.npz", lambda file: file.write(predictions))
    return files.write_json(target, run.result | {"predictions": run.result["predictions"] | {"file": f"{name}.npz"}})


def find(runs: list[Run], experiment: Experiment, data_digest: str | None = None) -> Run | None:
    """The run of an experiment; without a digest (the data are not on this machine) on whatever preparation it was made."""
    for run in runs:
        if run.experiment == experiment and data_digest in (None, run.result["data"]["digest"]):
            return run
    return None
