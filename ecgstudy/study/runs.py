"""A run's life: found finished, or resumed, or trained; scored once on test; written last.

runs/<key>/ holds checkpoints while it trains, then weights.safetensors, predictions.npz and result.json.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from ecgstudy import __version__, files
from ecgstudy.data.dataset import Prepared
from ecgstudy.data.labels import LabelSet, as_published_by
from ecgstudy.data.splits import open_test, split
from ecgstudy.errors import ConfigurationError, RunError
from ecgstudy.evaluate.metrics import probabilities
from ecgstudy.evaluate.thresholds import fit_thresholds
from ecgstudy.models import build_model
from ecgstudy.models.registry import model_entry
from ecgstudy.progress import progress
from ecgstudy.study import ledger
from ecgstudy.study.complexity import count_parameters
from ecgstudy.study.ledger import Predictions, Run
from ecgstudy.train.checkpoint import Checkpoints, load_weights, save_weights
from ecgstudy.train.device import describe, resolve_device, resolve_precision
from ecgstudy.train.experiment import RESULT_SCHEMA, Experiment
from ecgstudy.train.feed import Feed, Scaling, fit_scaling
from ecgstudy.train.loop import Bar, Progress, fit, n_steps, name_of, predict
from ecgstudy.train.seeds import scoped_seed

logger = logging.getLogger(__name__)


def folder() -> Path:
    """Where runs in progress live: ECGSTUDY_RUNS, else runs/ of the checkout, outside git."""
    return Path(os.environ.get("ECGSTUDY_RUNS", files.repository() / "runs"))


def training_rows(experiment: Experiment, rows: np.ndarray) -> np.ndarray:
    """The training rows that an experiment uses: all, or `n_training` drawn from `subset_seed`, the same for every model."""
    if experiment.n_training == 0 or experiment.n_training >= len(rows):
        return rows
    drawn = np.random.default_rng(experiment.subset_seed).permutation(len(rows))[:experiment.n_training]
    return np.sort(rows[drawn])


def finished(experiment: Experiment, data_digest: str) -> Run | None:
    """The finished run of an experiment, from the ledger or from runs/; None where there is none."""
    key = experiment.key(data_digest)
    for path in (ledger.folder() / f"{ledger.entry_name(experiment, key)}.json", folder() / key / "result.json"):
        if path.is_file():
            return ledger.read_run(path)
    return None


def build(experiment: Experiment, prepared: Prepared) -> torch.nn.Module:
    """The experiment's model, initialised from its seed."""
    with scoped_seed(experiment.seed):
        return build_model(experiment.model, prepared.spec, len(experiment.labels.classes), **dict(experiment.settings))


def data_digest(prepared: Prepared, tested: Prepared | None = None) -> str:
    """The digest of the data behind a run: of the one data set, or of both where another one is tested."""
    return prepared.digest if tested is None else files.digest([prepared.digest, tested.digest])


def run(experiment: Experiment, prepared: Prepared, *, tested: Prepared | None = None, device: str = "auto",
        deadline: float | None = None, bar: Bar | None = None) -> Run:
    """Return the finished run of `experiment`, resuming or training it first where there is none.

    tested: the data of `experiment.tested_on`. bar: told of each step, in place of a progress bar of this run's own. deadline:
    `time.monotonic()` at which training stops, saved, with OutOfTime. Raises RunError where training failed and LockedError where
    another process trains the same run.
    """
    for given, wanted in ((prepared.dataset, experiment.dataset), (tested.dataset if tested else "", experiment.tested_on)):
        if given != wanted:
            raise ConfigurationError(f"the experiment is on {wanted!r}, the prepared data are {given!r}")
    data = data_digest(prepared, tested)
    if done := finished(experiment, data):
        return done
    key = experiment.key(data)
    place = folder() / key
    with files.lock(place / "lock"):
        if done := finished(experiment, data):
            return done
        files.write_json(place / "experiment.json", experiment.to_json())
        try:
            return _train(experiment, prepared, tested, key, place, resolve_device(device), deadline, bar)
        except RunError as error:
            logger.error("run %s stopped: %s", key[:12], error)
            raise


def _train(experiment: Experiment, prepared: Prepared, tested: Prepared | None, key: str, place: Path, device: torch.device,
           deadline: float | None, bar: Bar | None) -> Run:
    labels = experiment.labels
    parts = split(prepared, labels)
    targets = labels.encode(prepared.statements())
    rows = training_rows(experiment, parts.training)
    scaling = fit_scaling(prepared, rows)
    model = build(experiment, prepared)
    inputs = model_entry(experiment.model).inputs
    validation = Feed(prepared, parts.validation, targets, scaling, device, inputs)
    checkpoints = Checkpoints(place, key)
    asked, tested_data = (as_published_by(labels, tested.dataset), tested) if tested else (labels, prepared)
    watched = _TestFold.open(tested_data, asked, scaling, device, inputs) if experiment.watch_test else None
    own_bar = contextlib.nullcontext(bar) if bar else progress(total=n_steps(experiment, len(rows)), desc=name_of(experiment), unit="step")
    with own_bar as told:
        at = fit(model, experiment, Feed(prepared, rows, targets, scaling, device, inputs), validation, device=device,
                 checkpoints=checkpoints, bar=told, deadline=deadline, watched=watched and watched.feed)
    load_weights(checkpoints.best_path(at.best_epoch), model)

    logits = predict(model, validation, experiment, device)
    thresholds = fit_thresholds(probabilities(logits, True), targets[parts.validation]) if labels.multilabel else None
    data = {"digest": data_digest(prepared, tested), "settings": prepared.settings}
    test = watched or _TestFold.open(tested_data, asked, scaling, device, inputs)       # the only look at a test fold
    predictions = Predictions(logits, targets[parts.validation], _column(prepared, "record_id", parts.validation),
                              predict(model, test.feed, experiment, device), test.targets, test.records, test.patients,
                              torch.stack(at.watched).numpy() if watched else None)
    content = predictions.to_bytes()
    files.write_atomically(place / "predictions.npz", lambda file: file.write(content))
    result = _describe(experiment, data, key, device, model, at, len(rows), predictions)
    result |= {"thresholds": None if thresholds is None else thresholds.tolist(), "scores": {},
               "predictions": {"file": "predictions.npz", "sha256": files.sha256(place / "predictions.npz")}}
    result["scores"] = ledger.recompute(Run(result, place / "predictions.npz"))
    result["training"] |= {"scaling": asdict(scaling)}
    save_weights(place / "weights.safetensors", model)
    files.write_json(place / "result.json", result)
    checkpoints.clear()
    return ledger.read_run(place / "result.json")


@dataclass(frozen=True)
class _TestFold:
    """The test fold of a run, opened: its feed, targets [R, K], record ids and patient ids [R]."""

    feed: Feed
    targets: np.ndarray
    records: np.ndarray
    patients: np.ndarray

    @classmethod
    def open(cls, tested: Prepared, labels: LabelSet, scaling: Scaling, device: torch.device, inputs: Sequence[str]) -> _TestFold:
        rows, targets = open_test(split(tested, labels)), labels.encode(tested.statements())
        return cls(Feed(tested, rows, targets, scaling, device, inputs), targets[rows], _column(tested, "record_id", rows),
                   _column(tested, "patient_id", rows))


def _column(prepared: Prepared, name: str, rows: np.ndarray) -> np.ndarray:
    return prepared.table[name].to_numpy(str)[rows]


def _describe(experiment: Experiment, data: dict, key: str, device: torch.device, model: torch.nn.Module, at: Progress,
              n_training: int, predictions: Predictions) -> dict:
    """Everything of a result but its scores: what was run, on what, where, by which code, and how training went."""
    return {
        "schema": RESULT_SCHEMA, "key": key, "experiment": experiment.to_json(),
        "data": data | {"classes": list(experiment.labels.classes),
                 "n_training": n_training, "n_validation": len(predictions.validation_records), "n_test": len(predictions.test_records)},
        "environment": describe(device) | code_version() | {
            "ecgstudy": __version__, "numpy": np.__version__, "precision": resolve_precision(experiment.precision, device),
            "finished": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime())},
        "training": {"n_parameters": count_parameters(model), "best_epoch": at.best_epoch + 1, "seconds": round(at.seconds, 1),
                     "history": at.history},
    }


def code_version() -> dict[str, str | bool]:
    """The commit of the checkout and whether the package differs from it; "unknown" outside a repository."""
    def git(*words: str) -> str | None:
        try:
            return subprocess.run(["git", *words], cwd=files.repository(), capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None
    commit = os.environ.get("ECGSTUDY_COMMIT") or git("rev-parse", "HEAD")
    return {"commit": commit or "unknown", "edited": bool(git("status", "--porcelain", "--", "ecgstudy"))}
