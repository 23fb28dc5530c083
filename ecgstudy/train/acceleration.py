"""How the training steps of a GPU are carried out: kernel by kernel, compiled, or compiled and replayed as CUDA graphs.

What pays depends on the network, on the card and on how long the run is: a small network waits for the host to launch its kernels, a
large one does not, and compiling takes a minute that a short run never earns back. So it is measured, on copies of the network, when a
run begins; a way that fails is left out with a word in the log. On a CPU nothing of this pays, and a run there ends in the same bytes
however often it was killed, so there the steps are always eager unless the environment asks for another way.
"""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from ecgstudy.errors import require_known
from ecgstudy.train import parallel
from ecgstudy.train.experiment import Experiment
from ecgstudy.train.feed import Batch, Feed
from ecgstudy.train.objectives import Objective
from ecgstudy.train.optim import make_optimizer
from ecgstudy.train.seeds import torch_generator
from ecgstudy.train.step import update

logger = logging.getLogger(__name__)

Network = Callable[..., Tensor]
WAYS: dict[str, Callable[[nn.Module], Network]] = {
    "eager": lambda model: model,
    "compiled": partial(torch.compile, dynamic=False),
    "graphed": partial(torch.compile, dynamic=False, mode="reduce-overhead"),
}
VARIABLE = "ECGSTUDY_ACCELERATION"
WORTH_A_TRIAL = 120.0       # seconds of eager steps still ahead; below them compiling is not even tried
WARM, TIMED = 3, 10         # steps of a trial
TRIAL = 4                   # purpose of the trial's random stream


class WholeBatches:
    """A network as an objective calls it: whole batches through its fast form, a last, shorter one through the network itself, because
    another shape would be compiled anew."""

    def __init__(self, model: nn.Module, way: str, batch_size: int) -> None:
        self.model, self.fast, self.batch_size = model, WAYS[way](model), batch_size

    def __call__(self, signals: Tensor) -> Tensor:
        return (self.fast if len(signals) == self.batch_size else self.model)(signals)


def accelerated(model: nn.Module, experiment: Experiment, objective: Objective, training: Feed, device: torch.device,
                n_left: int) -> Network:
    """The network, or a faster form of it, for the `n_left` steps that a run has still to take; its weights stay as they are.

    Which form is measured on CUDA and eager on a CPU; ECGSTUDY_ACCELERATION names one of `WAYS` instead. Only a plain call of the
    network under labels has a fast form: objectives that call a model's parts, models with further inputs or auxiliary losses, feeds
    shorter than a batch, and runs that several processes share are carried out eagerly.
    """
    way = require_known(VARIABLE, os.environ.get(VARIABLE, "auto"), ("auto", *WAYS))
    plain = experiment.objective == "supervised" and not training.inputs and not hasattr(model, "training_outputs")
    shared = parallel.size() > 1
    if way == "eager" or not plain or shared or len(training) < experiment.batch_size or (way == "auto" and device.type != "cuda"):
        return model
    if way == "auto":
        batch = training.batch(torch.arange(experiment.batch_size))
        way = fastest(lambda each: trial(each, model, experiment, objective, batch, device), n_left)
    return model if way == "eager" else WholeBatches(model, way, experiment.batch_size)


def fastest(tried: Callable[[str], tuple[float, float]], n_left: int) -> str:
    """The way whose preparation and `n_left` steps take the least time.

    tried(way): seconds until it is under way, and seconds a step from then on; a way for which it raises is left out.
    """
    expected = {"eager": n_left * tried("eager")[1]}
    for way in WAYS if expected["eager"] >= WORTH_A_TRIAL else ():
        if way != "eager":
            try:
                preparation, pace = tried(way)
                expected[way] = preparation + n_left * pace
            except Exception as error:      # whatever a compiler may raise: the eager way is still there
                logger.warning("%s training does not work here and is left out: %.200s", way, str(error).partition("\n")[0])
    way = min(expected, key=expected.__getitem__)
    logger.info("training is %s; expected: %s", way, ", ".join(f"{name} {seconds:.0f} s" for name, seconds in expected.items()))
    return way


def trial(way: str, model: nn.Module, experiment: Experiment, objective: Objective, batch: Batch,
          device: torch.device) -> tuple[float, float]:
    """Seconds to get a copy of the network under way, and seconds a step from then on."""
    own = copy.deepcopy(model)
    network, optimizer = WholeBatches(own, way, experiment.batch_size), make_optimizer(own, experiment)
    generator = torch_generator(experiment.seed, TRIAL)

    def steps(n: int) -> float:
        began = time.perf_counter()
        for _ in range(n):
            update(network, optimizer, objective, batch, generator, experiment, device)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    return steps(WARM), steps(TIMED) / TIMED
