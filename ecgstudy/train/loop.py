"""Fit and predict: the one loop behind every number of the study.

An epoch walks a permutation that depends on the seed and the epoch alone. After it, the validation fold is scored (without
labels: by the objective itself), the best weights are copied to disk, and the run stops when `patience` epochs brought nothing
better. A checkpoint holds all that the next step depends on, so a run killed anywhere goes on where it was.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ecgstudy.errors import RunError
from ecgstudy.evaluate.metrics import score
from ecgstudy.train import parallel
from ecgstudy.train.acceleration import Network, accelerated
from ecgstudy.train.checkpoint import Checkpoints, save_weights
from ecgstudy.train.device import resolve_precision
from ecgstudy.train.experiment import Experiment
from ecgstudy.train.feed import Feed
from ecgstudy.train.objectives import Objective, objective_of
from ecgstudy.train.optim import learning_rate, make_optimizer
from ecgstudy.train.seeds import scoped_seed, torch_generator
from ecgstudy.train.step import Losses, update

CHECKPOINT_SECONDS = 60.0       # how much work a kill may cost
SHUFFLE, STEP, JUDGE = 1, 2, 3      # purposes of the run's random streams


class OutOfTime(RunError):
    """The time budget ended first; everything is kept, and the same command goes on."""


@dataclass
class Progress:
    """Where a run stands: the next step to take, and what was seen so far."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_epoch: int | None = None
    best_score: float = -math.inf
    seconds: float = 0.0
    history: list[dict[str, float | None]] = field(default_factory=list)
    watched: list[Tensor] = field(default_factory=list)     # logits float16 [R, K] of a watched fold after each epoch; read by nothing here

    def finished(self, experiment: Experiment) -> bool:
        stale = self.best_epoch is not None and self.epoch - 1 - self.best_epoch >= experiment.patience
        return self.step == 0 and (self.epoch >= experiment.epochs or stale)


class Bar(Protocol):
    """What the loop tells of its progress; tqdm is one."""

    def update(self, n: int = 1) -> object: ...

    def set_postfix_str(self, text: str) -> object: ...


def n_steps(experiment: Experiment, n_training: int) -> int:
    """Steps of a run that is not stopped early."""
    return experiment.epochs * math.ceil(n_training / experiment.batch_size)


def fit(model: nn.Module, experiment: Experiment, training: Feed, validation: Feed, *, device: torch.device,
        checkpoints: Checkpoints, bar: Bar, deadline: float | None = None, watched: Feed | None = None) -> Progress:
    """Train `model` in place and leave the best epoch's weights at `checkpoints.best_path(progress.best_epoch)`.

    deadline: `time.monotonic()` at which to stop with OutOfTime after saving. watched: a fold whose logits are kept after each epoch and
    decide nothing. Raises RunError, with record ids, within
    LOOK_EVERY steps (twice as many on a GPU) of a loss that is not finite.
    """
    parallel.require_divisible(experiment.objective)
    parallel.synchronise(model.to(device))
    optimizer = make_optimizer(model, experiment)
    at = Progress()
    with scoped_seed(experiment.seed):
        state = checkpoints.load()
        if state is not None:
            at = _restore(state, model, optimizer)
        done = at.epoch * math.ceil(len(training) / experiment.batch_size) + at.step
        bar.update(done)
        objective = objective_of(experiment)
        _training_mode(model)
        network = accelerated(model, experiment, objective, training, device, n_steps(experiment, len(training)) - done)
        while not at.finished(experiment):
            _train_epoch(model, network, optimizer, objective, experiment, training, at, device, checkpoints, deadline, bar)
            _close_epoch(model, experiment, training, validation, at, device, checkpoints)
            if watched is not None:
                at.watched.append(torch.from_numpy(predict(model, watched, experiment, device)).half())
            checkpoints.save(_state(at, model, optimizer))
            bar.set_postfix_str(f"{name_of(experiment)}: best validation {_best(experiment, at)}")
    return at


def name_of(experiment: Experiment) -> str:
    """A run's name for people: the model or its attention, what its batches go through, and the seed."""
    chosen = dict(experiment.settings).get("attention", experiment.model)
    told = [experiment.objective] * (experiment.objective != "supervised")
    return f"{' + '.join([str(chosen), *told, *experiment.augmentation])} seed {experiment.seed}"


def _best(experiment: Experiment, at: Progress) -> str:
    return f"macro-AUROC {at.best_score:.3f}" if experiment.labelled else f"loss {-at.best_score:.3f}"


def _train_epoch(model: nn.Module, network: Network, optimizer: torch.optim.Optimizer, objective: Objective, experiment: Experiment,
                 training: Feed, at: Progress, device: torch.device, checkpoints: Checkpoints, deadline: float | None, bar: Bar) -> None:
    order = torch.randperm(len(training), generator=torch_generator(experiment.seed, SHUFFLE, at.epoch))
    batches = order.split(experiment.batch_size)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(experiment, at.epoch)
    _training_mode(model)
    losses = Losses()
    saved = began = time.monotonic()
    while at.step < len(batches):
        generator = torch_generator(experiment.seed, STEP, at.epoch, at.step)
        losses.add(at.step, update(network, optimizer, objective, training.batch(batches[at.step]), generator, experiment, device))
        at.step += 1
        bar.update()
        now = time.monotonic()
        late, due = parallel.agreed((deadline is not None and now >= deadline, now - saved >= CHECKPOINT_SECONDS))
        for step, loss in losses.arrived(everything=late or due or at.step == len(batches)):
            _require_finite(loss, step, batches[step], training, at)
            at.loss_sum += loss             # one by one: the sum must not depend on where a kill fell
        if late or due:
            at.seconds += now - began
            saved = began = now
            checkpoints.save(_state(at, model, optimizer))
        if late:
            raise OutOfTime(f"the time budget ended in epoch {at.epoch + 1}, step {at.step} of {len(batches)}; the run is saved, "
                            "and the same command goes on from there")
    at.seconds += time.monotonic() - began


def _training_mode(model: nn.Module) -> None:
    """Training mode, but for the parts that learn nothing: a frozen normalisation must not take up new statistics."""
    model.train()
    for part in model.modules():
        parameters = list(part.parameters())
        if parameters and not any(each.requires_grad for each in parameters):
            part.eval()


def _require_finite(loss: float, step: int, index: Tensor, training: Feed, at: Progress) -> None:
    if not math.isfinite(loss):
        records = ", ".join(training.record_ids[index.numpy()][:8])
        raise RunError(f"the loss is not finite at epoch {at.epoch + 1}, step {step + 1}; its batch begins with the records {records}. "
                       "Try a lower learning rate, or check those records")


def _close_epoch(model: nn.Module, experiment: Experiment, training: Feed, validation: Feed, at: Progress, device: torch.device,
                 checkpoints: Checkpoints) -> None:
    """Score the validation fold, keep the best weights, and move on to the next epoch."""
    began = time.monotonic()
    found, told = _judge(model, experiment, validation, device)
    if at.best_epoch is None or found > at.best_score:
        at.best_epoch, at.best_score = at.epoch, found
        save_weights(checkpoints.best_path(at.epoch), model)
    at.seconds += time.monotonic() - began
    at.history.append({"epoch": at.epoch + 1, "learning_rate": learning_rate(experiment, at.epoch),
                       "training_loss": at.loss_sum / len(training), **told, "seconds": round(at.seconds, 1)})
    at.epoch, at.step, at.loss_sum = at.epoch + 1, 0, 0.0


def _judge(model: nn.Module, experiment: Experiment, validation: Feed, device: torch.device) -> tuple[float, dict[str, float | None]]:
    """What the validation fold says, the higher the better, and the same for the history."""
    if not experiment.labelled:
        told = unlabelled_losses(model, objective_of(experiment), validation, experiment, device)
        return -told["loss"], {f"validation_{name}": value for name, value in told.items()}
    labels = experiment.labels
    scores = score(predict(model, validation, experiment, device), validation.targets.cpu().numpy(), labels.classes, labels.multilabel,
                   np.full(len(labels.classes), 0.5) if labels.multilabel else None)
    found = scores.macro_auroc if not math.isnan(scores.macro_auroc) else -math.inf
    return found, {"validation_macro_auroc": found if math.isfinite(found) else None}


@torch.no_grad()
def unlabelled_losses(model: nn.Module, objective: Objective, feed: Feed, experiment: Experiment, device: torch.device) -> dict[str, float]:
    """The mean over records of everything that an objective without labels returns, in one drawn order and under the same draws after
    each epoch. In the order of the data the records of a patient would stand together, as in training they do not.

    Raises RunError where the loss is not finite.
    """
    model.eval()
    bf16 = resolve_precision(experiment.precision, device) == "bf16"
    sums: dict[str, float] = {}
    order = torch.randperm(len(feed), generator=torch_generator(experiment.seed, JUDGE))
    for n, index in enumerate(order.split(experiment.batch_size)):
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            found = objective(model, feed.batch(index), torch_generator(experiment.seed, JUDGE, n))
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(index)
    if not math.isfinite(sums["loss"]):
        raise RunError("the loss of the validation fold is not finite; try a lower learning rate")
    return {name: total / len(feed) for name, total in sums.items()}


@torch.inference_mode()
def predict(model: nn.Module, feed: Feed, experiment: Experiment, device: torch.device) -> np.ndarray:
    """Logits float32 [R, K] of every record, in order. Raises RunError where one is not finite."""
    model.eval()
    bf16 = resolve_precision(experiment.precision, device) == "bf16"
    parts = []
    for index in parallel.own(len(feed)).split(max(experiment.batch_size, 64)):
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            batch = feed.batch(index)
            parts.append(model(batch.signals, **batch.inputs).float())
    logits = parallel.gathered(torch.cat(parts).cpu().numpy(), len(feed))
    if not np.isfinite(logits).all():
        bad = feed.record_ids[~np.isfinite(logits).all(axis=1)]
        raise RunError(f"{len(bad)} records have predictions that are not finite, the first {bad[0]}; try a lower learning rate")
    return logits


def _state(at: Progress, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return asdict(at) | {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state(), "cuda_rng": cuda}


def _restore(state: dict, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["rng"])
    if state["cuda_rng"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    return Progress(**{name: state[name] for name in Progress.__dataclass_fields__ if name in state})
