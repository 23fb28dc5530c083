"""Each study as a function that returns its experiments: `plan(dataset, task, profile_name, names, seeds)`.

The pages that compare variants have one plan each, named after the page; see `ecgstudy.study.variants`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from ecgstudy.data.labels import label_set
from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.study.profiles import profile, supervised
from ecgstudy.study.protocol_plan import protocol
from ecgstudy.study.variants import AXES, Axis
from ecgstudy.train.experiment import Experiment

Plan = Callable[..., list[Experiment]]


def compared(axis: Axis, dataset: str, task: str = "", profile_name: str = "auto", names: Sequence[str] = (),
             seeds: Sequence[int] = ()) -> list[Experiment]:
    """Every variant of an axis, or those named, everything else equal."""
    return list(axis.experiments(dataset, task, profile(profile_name), names, seeds))


def simulated_to_real(dataset: str = "synthetic", task: str = "", profile_name: str = "auto", names: Sequence[str] = (),
                      seeds: Sequence[int] = ()) -> list[Experiment]:
    """Page 01: trained on simulated records alone, tested on PTB-XL's test fold, on the nine classes that the two share.

    Thresholds and the epoch are chosen on simulated records too, so nothing of PTB-XL is looked at before the test. Two
    networks, so that the answer is not one network's. All simulated training records are used, twice as long as elsewhere.
    """
    if names:
        raise ConfigurationError(f"the plan simulated_to_real has no variants to choose among; leave {', '.join(names)} out")
    size = profile(profile_name)
    networks = [("inception_former", dict(size.network) | {"attention": "mhsa"}),
                ("resnet18", {"width": 64 if size.name == "full" else 32})]
    return [replace(supervised(dataset, task, size, model, settings, seed), n_training=0 if size.name != "smoke" else size.n_training,
                    epochs=2 * size.epochs, patience=2 * size.epochs, tested_on="ptbxl")
            for seed in (seeds or size.seeds) for model, settings in networks]


# Whose network is asked about whose records: (trained on, task) -> tested on
TRANSFERS = {("synthetic", "nine"): ("ptbxl", "cpsc"), ("ptbxl", "nine"): ("cpsc", "synthetic"), ("cpsc", "nine"): ("ptbxl", "synthetic"),
             ("synthetic_rhythm", "rhythm"): ("ptbxl", "chapman"), ("chapman", "rhythm"): ("ptbxl", "synthetic_rhythm")}


def transfer(dataset: str, task: str = "", profile_name: str = "auto", names: Sequence[str] = (),
             seeds: Sequence[int] = ()) -> list[Experiment]:
    """Page 14: the base network trained on one data set in the ordinary recipe, tested on the shared classes of others.

    names: the data sets to test on, by default all that share classes with this one. Nothing of them is looked at before the test.
    """
    size, task = profile(profile_name), label_set(dataset, task).name
    targets = TRANSFERS.get((dataset, task), ())
    for name in names:
        require_known(f"data set that shares classes with {dataset} ({task})", name, targets)
    base = AXES["three_datasets"].variants["inception_former"]
    return [replace(supervised(dataset, task, size, base.model, base.all_settings(size), seed), tested_on=name)
            for seed in (seeds or size.seeds) for name in (names or targets)]


PLANS: dict[str, Plan] = {name: partial(compared, axis) for name, axis in AXES.items()} | {
    "protocol": protocol, "simulated_to_real": simulated_to_real, "transfer": transfer}
