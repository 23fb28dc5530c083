"""A run's life: found finished, or resumed, or trained; scored once on test; written last.

runs/<key>/ holds checkpoints while it trains, then weights.safetensors, predictions.npz and result.json. A run without labels has
no scores: it leaves pretraining.json and, written last, weights.safetensors; what begins with it tells of it in its own result.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ecgstudy import __version__, files
from ecgstudy.data.dataset import Prepared
from ecgstudy.data.labels import LabelSet, as_published_by
from ecgstudy.data.splits import open_test, split
from ecgstudy.errors import ConfigurationError, RunError
from ecgstudy.evaluate.metrics import probabilities
from ecgstudy.evaluate.thresholds import fit_thresholds
from ecgstudy.layers.leads import OnLeads
from ecgstudy.layers.pooling import embedding
from ecgstudy.leads import LEADS
from ecgstudy.models import build_model
from ecgstudy.models.registry import build_pretrainer, model_entry
from ecgstudy.progress import progress
from ecgstudy.signal import SignalSpec
from ecgstudy.study import ledger
from ecgstudy.study.complexity import count_parameters
from ecgstudy.study.ledger import Predictions, Run
from ecgstudy.train import parallel
from ecgstudy.train.checkpoint import Checkpoints, load_weights, save_weights
from ecgstudy.train.device import describe, resolve_device, resolve_precision
from ecgstudy.train.experiment import RESULT_SCHEMA, Experiment
from ecgstudy.train.feed import Feed, Scaling, fit_scaling
from ecgstudy.train.loop import Bar, Progress, fit, n_steps, name_of, predict
from ecgstudy.train.objectives.clocs import Whole
from ecgstudy.train.objectives.contrast import Contrast
from ecgstudy.train.objectives.distil import Pupil
from ecgstudy.train.seeds import scoped_seed

logger = logging.getLogger(__name__)


def folder() -> Path:
    """Where runs in progress live: ECGSTUDY_RUNS, else runs/ of the checkout, outside git."""
    return Path(os.environ.get("ECGSTUDY_RUNS", files.repository() / "runs"))


def n_training(experiment: Experiment, n_rows: int) -> int:
    """How many of the training fold's rows an experiment uses."""
    return max(1, round(min(experiment.n_training or n_rows, n_rows) * experiment.percent / 100))


def training_rows(experiment: Experiment, rows: np.ndarray) -> np.ndarray:
    """The training rows that an experiment uses: all, or `n_training` drawn from `subset_seed`, the same for every model; of a smaller
    percentage, the first of that draw."""
    n = n_training(experiment, len(rows))
    if n == len(rows):
        return rows
    return np.sort(rows[np.random.default_rng(experiment.subset_seed).permutation(len(rows))[:n]])


def finished(experiment: Experiment, data_digest: str) -> Run | None:
    """The finished run of an experiment, from the ledger or from runs/; None where there is none."""
    return parallel.first_only(partial(_finished, experiment, data_digest))


def _finished(experiment: Experiment, data_digest: str) -> Run | None:
    key = experiment.key(data_digest)
    for path in (ledger.folder() / f"{ledger.entry_name(experiment, key)}.json", folder() / key / "result.json"):
        if path.is_file():
            return ledger.read_run(path)
    return None


def build(experiment: Experiment, signal: SignalSpec) -> nn.Module:
    """The experiment's model for such records, initialised from its seed: the classifier, or without labels the network that is
    pretrained."""
    settings = dict(experiment.settings)
    with scoped_seed(experiment.seed):
        if not experiment.labelled:
            own = model_entry(experiment.model).pretrainer
            return build_pretrainer(experiment.model, signal, **settings) if own else Whole(
                build_model(experiment.model, signal, len(experiment.labels.classes), **settings))
        if not experiment.leads:
            return build_model(experiment.model, signal, len(experiment.labels.classes), **settings)
        few = replace(signal, n_leads=len(experiment.leads))
        rows = [LEADS.index(lead) for lead in experiment.leads]
        return OnLeads(build_model(experiment.model, few, len(experiment.labels.classes), **settings), rows)


def data_digest(prepared: Prepared, tested: Prepared | None = None) -> str:
    """The digest of the data behind a run: of the one data set, or of both where another one is tested."""
    return prepared.digest if tested is None else files.digest([prepared.digest, tested.digest])


def weights_path(experiment: Experiment, data_digest: str) -> Path:
    """Where the weights of a run lie, if they are at hand: outside the ledger, in runs/."""
    return folder() / experiment.key(data_digest) / "weights.safetensors"


def weights(experiment: Experiment, prepared: Prepared, *, device: str = "auto", deadline: float | None = None,
            bar: Bar | None = None) -> Path:
    """The weights of a run, trained first where they are not at hand, even if the ledger holds its result.

    Raises as `run` does.
    """
    _require_data(experiment, prepared, None)
    path = weights_path(experiment, prepared.digest)
    if not parallel.first_only(path.is_file):
        with _at_work(experiment, prepared.digest) as place:
            if not parallel.first_only(path.is_file):
                make = _train if experiment.labelled else _train_unlabelled
                make(experiment, prepared, None, place, resolve_device(device), deadline, bar)
    return path


def run(experiment: Experiment, prepared: Prepared, *, tested: Prepared | None = None, device: str = "auto",
        deadline: float | None = None, bar: Bar | None = None) -> Run:
    """Return the finished run of `experiment`, resuming or training it first where there is none, and what it begins with or learns
    from before it.

    tested: the data of `experiment.tested_on`. bar: told of each step, in place of a progress bar of this run's own. deadline:
    `time.monotonic()` at which training stops, saved, with OutOfTime. Raises RunError where training failed, LockedError where
    another process trains the same run, and ConfigurationError for other data and for an experiment without labels.
    """
    _require_data(experiment, prepared, tested)
    if not experiment.labelled:
        raise ConfigurationError(f"objective {experiment.objective} gives no scores; ask for its weights, or for a run that begins with it")
    data = data_digest(prepared, tested)
    if done := finished(experiment, data):
        return done
    for earlier in needed(experiment):
        weights(earlier, prepared, device=device, deadline=deadline)
    with _at_work(experiment, data) as place:
        return finished(experiment, data) or _train(experiment, prepared, tested, place, resolve_device(device), deadline, bar)


def needed(experiment: Experiment) -> list[Experiment]:
    """The runs whose weights this one needs before it can train."""
    return [earlier for earlier in (experiment.begins_with, experiment.teacher) if earlier]


def _require_data(experiment: Experiment, prepared: Prepared, tested: Prepared | None) -> None:
    for given, wanted in ((prepared.dataset, experiment.dataset), (tested.dataset if tested else "", experiment.tested_on)):
        if given != wanted:
            raise ConfigurationError(f"the experiment is on {wanted!r}, the prepared data are {given!r}")


@contextlib.contextmanager
def _at_work(experiment: Experiment, data: str) -> Iterator[Path]:
    """The run's folder, locked; its description is written first, and what stops it is logged."""
    place = folder() / experiment.key(data)
    with contextlib.ExitStack() as held:
        parallel.first_only(lambda: held.enter_context(files.lock(place / "lock")))
        _write_json(place / "experiment.json", experiment.to_json())
        try:
            yield place
        except RunError as error:
            logger.error("run %s stopped: %s", place.name[:12], error)
            raise


def _write_json(path: Path, value: object) -> None:
    """Written by the first of the processes that train a run; the others go on when it stands."""
    parallel.first_only(lambda: files.write_json(path, value))


def scaling_of(experiment: Experiment, prepared: Prepared) -> Scaling:
    """The scaling that a run's network is fed with: that of the run it begins with; without one, of its training records, labels unused."""
    first = replace(experiment.begins_with or experiment, percent=100)
    return fit_scaling(prepared, training_rows(first, split(prepared, first.labels).training))


def _train(experiment: Experiment, prepared: Prepared, tested: Prepared | None, place: Path, device: torch.device,
           deadline: float | None, bar: Bar | None) -> Run:
    labels = experiment.labels
    parts = split(prepared, labels)
    targets = labels.encode(prepared.statements())
    rows = training_rows(experiment, parts.training)
    scaling = scaling_of(experiment, prepared)
    learner = _learner(experiment, prepared, targets[rows])
    inputs = model_entry(experiment.model).inputs
    validation = Feed(prepared, parts.validation, targets, scaling, device, inputs)
    asked, tested_data = (as_published_by(labels, tested.dataset), tested) if tested else (labels, prepared)
    watched = _TestFold.open(tested_data, asked, scaling, device, inputs) if experiment.watch_test else None
    at = _fit(learner, experiment, Feed(prepared, rows, targets, scaling, device, inputs), validation, place, device, deadline, bar,
              watched and watched.feed)

    logits = predict(learner, validation, experiment, device)
    thresholds = fit_thresholds(probabilities(logits, True), targets[parts.validation]) if labels.multilabel else None
    data = {"digest": data_digest(prepared, tested), "settings": prepared.settings}
    test = watched or _TestFold.open(tested_data, asked, scaling, device, inputs)       # the only look at a test fold
    predictions = Predictions(logits, targets[parts.validation], _column(prepared, "record_id", parts.validation),
                              predict(learner, test.feed, experiment, device), test.targets, test.records, test.patients,
                              torch.stack(at.watched).numpy() if watched else None)
    content = predictions.to_bytes()
    parallel.first_only(lambda: files.write_atomically(place / "predictions.npz", lambda file: file.write(content)))
    result = _describe(experiment, prepared, data, device, at, len(rows), predictions)
    result |= {"thresholds": None if thresholds is None else thresholds.tolist(), "scores": {},
               "predictions": {"file": "predictions.npz", "sha256": files.sha256(place / "predictions.npz")}}
    result["scores"] = ledger.recompute(Run(result, place / "predictions.npz"))
    result["training"] |= {"scaling": asdict(scaling)}
    if experiment.begins_with:
        result["pretraining"] = files.read_json(weights_path(experiment.begins_with, prepared.digest).with_name("pretraining.json"))
    save_weights(place / "weights.safetensors", learner.student if isinstance(learner, Pupil) else learner)
    _write_json(place / "result.json", result)
    Checkpoints(place, place.name).clear()
    return ledger.read_run(place / "result.json")


def _train_unlabelled(experiment: Experiment, prepared: Prepared, _tested: None, place: Path, device: torch.device,
                      deadline: float | None, bar: Bar | None) -> None:
    """Weights without labels: training folds to learn from, the validation fold to choose the epoch, the test fold closed."""
    parts = split(prepared, experiment.labels)
    targets = np.zeros((len(prepared.table), 0))                    # none to be seen
    rows, scaling = training_rows(experiment, parts.training), scaling_of(experiment, prepared)
    model = build(experiment, prepared.spec)
    feeds = (Feed(prepared, each, targets, scaling, device) for each in (rows, parts.validation))
    at = _fit(model, experiment, *feeds, place, device, deadline, bar)
    _write_json(place / "pretraining.json", {
        "key": place.name, "environment": _environment(experiment, device), "n_training": len(rows),
        "training": _describe_training(experiment, prepared, at) | {"scaling": asdict(scaling)}})
    save_weights(place / "weights.safetensors", model)              # last: it means that both are there
    Checkpoints(place, place.name).clear()


def _fit(learner: nn.Module, experiment: Experiment, training: Feed, validation: Feed, place: Path, device: torch.device,
         deadline: float | None, bar: Bar | None, watched: Feed | None = None) -> Progress:
    """Train under the run's own bar, or the one that is given, and leave the best epoch's weights in the learner."""
    checkpoints = Checkpoints(place, place.name)
    n = n_steps(experiment, len(training))
    with contextlib.nullcontext(bar) if bar else progress(total=n, desc=name_of(experiment), unit="step") as told:
        at = fit(learner, experiment, training, validation, device=device, checkpoints=checkpoints, bar=told, deadline=deadline,
                 watched=watched)
    load_weights(checkpoints.best_path(at.best_epoch), learner)
    return at


def _learner(experiment: Experiment, prepared: Prepared, targets: np.ndarray) -> nn.Module:
    """What is trained: the model, its encoder taken over or frozen as the experiment says; a pupil with its teacher.

    targets: of the training records [R, K].
    """
    model = build(experiment, prepared.spec)
    if experiment.begins_with:
        take_encoder(model, build_with_weights(experiment.begins_with, prepared))
        if experiment.trains == "head":
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(name.startswith("head."))
    if not experiment.teacher:
        return model
    teacher, contrast = build_with_weights(experiment.teacher, prepared).eval(), None
    if dict(experiment.objective_settings).get("transfer"):
        x = torch.zeros(1, prepared.spec.n_leads, prepared.spec.n_samples)
        with torch.no_grad(), scoped_seed(experiment.seed):
            widths = [embedding(each, each.forward_features(x)).shape[1] for each in (model.eval(), teacher)]
            contrast = Contrast(*widths, torch.from_numpy(targets))
    return Pupil(model, teacher, contrast)


def build_with_weights(experiment: Experiment, prepared: Prepared) -> nn.Module:
    """The network of a run with its weights; RunError where they are not in runs/ or are damaged."""
    model = build(experiment, prepared.spec)
    load_weights(weights_path(experiment, prepared.digest), model)
    return model


def take_encoder(model: nn.Module, pretrained: nn.Module) -> None:
    """Give a model, in place, the encoder of the network that was pretrained for it: everything but its head where neither names one."""
    if isinstance(pretrained, Whole):
        handed = {name: value for name, value in pretrained.encoder.state_dict().items() if not name.startswith("head.")}
        model.load_state_dict(model.state_dict() | handed)
    else:
        model.encoder.load_state_dict(pretrained.encoder.state_dict())


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


def _describe(experiment: Experiment, prepared: Prepared, data: dict, device: torch.device, at: Progress, n_training: int,
              predictions: Predictions) -> dict:
    """Everything of a result but its scores: what was run, on what, where, by which code, and how training went."""
    return {
        "schema": RESULT_SCHEMA, "key": experiment.key(data["digest"]), "experiment": experiment.to_json(),
        "data": data | {"classes": list(experiment.labels.classes),
                 "n_training": n_training, "n_validation": len(predictions.validation_records), "n_test": len(predictions.test_records)},
        "environment": _environment(experiment, device), "training": _describe_training(experiment, prepared, at),
    }


def _environment(experiment: Experiment, device: torch.device) -> dict:
    return describe(device) | code_version() | {
        "ecgstudy": __version__, "numpy": np.__version__, "precision": resolve_precision(experiment.precision, device),
        "finished": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime())} | ({"processes": parallel.size()} if parallel.size() > 1 else {})


def _describe_training(experiment: Experiment, prepared: Prepared, at: Progress) -> dict:
    n_parameters = count_parameters(build(experiment, prepared.spec))         # of the network, also where only its head was trained
    return {"n_parameters": n_parameters, "best_epoch": at.best_epoch + 1, "seconds": round(at.seconds, 1),
            "history": at.history}


def code_version() -> dict[str, str | bool]:
    """The commit of the checkout and whether the package differs from it; "unknown" outside a repository."""
    def git(*words: str) -> str | None:
        try:
            return subprocess.run(["git", *words], cwd=files.repository(), capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None
    commit = os.environ.get("ECGSTUDY_COMMIT") or git("rev-parse", "HEAD")
    return {"commit": commit or "unknown", "edited": bool(git("status", "--porcelain", "--", "ecgstudy"))}
