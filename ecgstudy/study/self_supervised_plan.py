"""Page 12: pretrained without labels, then judged with 1, 10 and 100 % of them, against the same network from scratch.

A run's name is `METHOD_way_percent`: `cpc_probe_10` is CPC's encoder left as it was pretrained, with a head trained on a tenth of the
labels. From scratch the name begins with the network: `cpc_ssl_scratch_10`.

Pretraining sees all records of the training folds that belong to the task; labels are those of the profile's training records, of
which fewer than all are the first of the same draw. Fewer labels make shorter epochs, so there are more of them, up to `MOST_EPOCHS`
times as many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ecgstudy.errors import require_known
from ecgstudy.study.profiles import Profile
from ecgstudy.train.experiment import Experiment, Setting, freeze_settings

PERCENTS = (1, 10, 100)
WAYS = ("scratch", "probe", "tuned")
MOST_EPOCHS = {1: 10, 10: 3, 100: 1}        # percent of the labels -> how many times the profile's epochs
PRETRAINING_EPOCHS = {"smoke": 1, "quick": 5, "full": 50}
PRETRAINING_RATE = 1e-3
TUNING_RATE = 0.25          # of the rate from scratch: an encoder that has learnt is moved with care; the share is this study's


@dataclass(frozen=True)
class Method:
    """One way to learn without labels: a network, an objective and its settings; quick, quick_rate: further ones of the short profiles and
    their learning rate."""

    model: str
    objective: str
    settings: tuple[tuple[str, Setting], ...] = ()
    quick: tuple[tuple[str, Setting], ...] = ()
    quick_rate: float = PRETRAINING_RATE


METHODS = {
    "cpc": Method("cpc_ssl", "cpc", quick=freeze_settings({"crop": 250, "anchors": 64, "distractors": 64})),
    "cmsc": Method("clocs", "clocs", freeze_settings({"scheme": "cmsc"})),
    "cmlc": Method("clocs", "clocs", freeze_settings({"scheme": "cmlc"})),
    "cmsmlc": Method("clocs", "clocs", freeze_settings({"scheme": "cmsmlc"})),
    "st_mem": Method("st_mem", "masked", quick_rate=3e-3),      # by the validation loss: 1e-3 had hardly left its start of 1 in 2,700 steps
}

Change = Callable[[Experiment, Profile], Experiment]


def pretraining(experiment: Experiment, size: Profile, method: Method) -> Experiment:
    """The run without labels that comes before a labelled one of the same network and seed."""
    epochs = PRETRAINING_EPOCHS[size.name]
    settings, rate = method.settings, PRETRAINING_RATE
    if size.name != "full":
        settings, rate = settings + method.quick, method.quick_rate
    return replace(experiment, objective=method.objective, objective_settings=settings, epochs=epochs, patience=epochs,
                   learning_rate=rate, schedule="cosine",
                   n_training=size.n_training if size.name == "smoke" else 0)


def changed(experiment: Experiment, size: Profile, *, way: str, percent: int, method: Method | None = None) -> Experiment:
    """An ordinary labelled run, made one of this page's."""
    times = MOST_EPOCHS[percent] if size.name != "smoke" else 1
    fewer = replace(experiment, percent=percent, epochs=times * experiment.epochs, patience=times * experiment.patience)
    if way == "scratch":
        return fewer
    begun = replace(fewer, begins_with=pretraining(experiment, size, method))
    return replace(begun, trains="head") if way == "probe" else replace(begun, learning_rate=TUNING_RATE * experiment.learning_rate)


def _rows() -> dict[str, tuple[str, Change]]:
    found = {}
    for percent in PERCENTS:
        for model in dict.fromkeys(method.model for method in METHODS.values()):
            found[f"{model}_scratch_{percent}"] = (model, partial(changed, way="scratch", percent=percent))
        for name, method in METHODS.items():
            for way in WAYS[1:]:
                found[f"{name}_{way}_{percent}"] = (method.model, partial(changed, way=way, percent=percent, method=method))
    return found


ROWS = _rows()              # name -> (model, what makes an ordinary run this one); few labels first


def rows_of(methods: Sequence[str], percents: Sequence[int] = PERCENTS) -> list[str]:
    """The names of the runs of some methods, and of their networks from scratch."""
    networks = {METHODS[require_known("method", name, METHODS)].model for name in methods}
    return [name for name in ROWS if _percent(name) in percents
            and (name.split("_scratch_")[0] in networks if "_scratch_" in name else name.rsplit("_", 2)[0] in methods)]


def _percent(name: str) -> int:
    return int(name.rsplit("_", 1)[1])
