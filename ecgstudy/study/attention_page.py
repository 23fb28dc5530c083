"""Page 10, attention maps: whose maps are shown, over which records, and what each layer's heads do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecgstudy.data.dataset import MILLIVOLT
from ecgstudy.data.labels import NINE_IN_PTBXL, SIMULATED, label_set
from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.explain import attention
from ecgstudy.explain.attention import Layer
from ecgstudy.explain.attribution import attribute
from ecgstudy.layers.attention import ATTENTIONS
from ecgstudy.models import build_model
from ecgstudy.progress import progress
from ecgstudy.study import attention_records, chosen, runs
from ecgstudy.study.attention_records import Bed, Shown
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.names import readable
from ecgstudy.study.request import Request, read_request
from ecgstudy.train.feed import Scaling
from ecgstudy.train.seeds import scoped_seed

BATCH = 16
NETWORKS = (*ATTENTIONS, "class_token")         # the last: the first one's attention, read by a class token in place of a mean


@dataclass(frozen=True, eq=False)
class Network:
    """One mechanism's network. untrained: the same before its training, None where `model` is fresh itself. told: whose weights.

    scaling: of its training records, in microvolts; None: by the records' own deviation. thresholds: of its classes, from training.
    """

    name: str
    model: nn.Module
    untrained: nn.Module | None
    told: str
    scaling: Scaling | None = None
    classes: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()

    def inputs(self, millivolts: np.ndarray) -> Tensor:
        """[R, L, T] in mV -> what the network reads."""
        mean, deviation = (self.scaling.mean, self.scaling.deviation) if self.scaling else (0.0, MILLIVOLT * float(millivolts.std()))
        return torch.from_numpy(((MILLIVOLT * millivolts - mean) / deviation).astype(np.float32))

    def observe(self, millivolts: np.ndarray, fresh: bool = False) -> Iterator[list[Layer]]:
        """Its attention layers over R records, a batch at a time. fresh: those of the untrained network."""
        for x in self.inputs(millivolts).split(BATCH):
            yield attention.observe(self.untrained if fresh else self.model, x, SIGNAL.fs)

    def place(self, label: str) -> int | None:
        """Which of its classes a label of the nine is, by whatever name; None where it has no such class."""
        name = label if label in self.classes else NINE_IN_PTBXL.get(label, label)
        return self.classes.index(name) if name in self.classes else None

    def recognises(self, millivolts: np.ndarray, label: str) -> float:
        """The share of records that it gives the label at its own threshold; NaN where it is untrained or lacks the class."""
        k = self.place(label)
        if self.untrained is None or k is None:
            return float("nan")
        with torch.inference_mode():
            logits = torch.cat([self.model(x) for x in self.inputs(millivolts).split(BATCH)])
        return float((torch.sigmoid(logits[:, k]) >= self.thresholds[k]).float().mean())


@dataclass(frozen=True, eq=False)
class Part:
    """Records of one source, the network that they are shown with, and its layers over them."""

    network: Network
    records: list[Shown]
    layers: list[Layer]


    def attributed(self, method: str) -> list[np.ndarray]:
        """A map of each record's own class by `explain.attribution`, over time [T]; empty where the network has none or lacks the class."""
        found = []
        for record, x in zip(self.records, self.network.inputs(np.stack([each.millivolts for each in self.records])), strict=True):
            k = self.network.place(record.label)
            try:
                found.append(np.empty(0) if k is None else attribute(self.network.model, x, k, method, fs=SIGNAL.fs).over_time()[0])
            except ConfigurationError:
                found.append(np.empty(0))
        return found


@dataclass(frozen=True, eq=False)
class Page:
    """What the page was asked for. real: the data set whose recordings are shown beside; empty: none."""

    request: Request
    real: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        return self.request.axes["records"]

    @cached_property
    def networks(self) -> list[Network]:
        return [network(name, self.request) for name in self.request.axes["networks"]]

    @cached_property
    def shown(self) -> list[Shown]:
        return attention_records.shown(self.request.dataset, self.labels, self.request.size)

    @cached_property
    def recorded(self) -> list[Shown]:
        """The recordings shown beside; none where they are what the page shows anyway, or where they are not on this machine."""
        wanted = self.real and self.real != self.request.dataset
        return attention_records.recorded(self.real, self.labels, self.request.size) if wanted else []

    @cached_property
    def reader(self) -> Network:
        """The network that recordings are shown with: of the first mechanism, trained on such recordings where one ships."""
        if not self.real or self.real == self.request.dataset:
            return self.networks[0]
        return network(self.networks[0].name, replace(self.request, dataset=self.real, task=""))

    @cached_property
    def parts(self) -> list[Part]:
        """The shown records with the first network, and the recordings beside them with theirs."""
        first = self.networks[0]
        found = [Part(first, self.shown, self.maps[first.name])]
        if self.recorded:
            signals = np.stack([each.millivolts for each in self.recorded])
            found.append(Part(self.reader, self.recorded, next(self.reader.observe(signals))))
        return found

    @property
    def example(self) -> int:
        """Which of the shown records a picture of one record takes: the first with premature beats, else the first."""
        marked = attention_records.listed()["marked"]
        return next((row for row, each in enumerate(self.shown) if each.label in marked), 0)

    @cached_property
    def maps(self) -> dict[str, list[Layer]]:
        """Every network's layers over the shown records."""
        signals = np.stack([each.millivolts for each in self.shown])
        return {each.name: next(each.observe(signals)) for each in self.networks}

    @cached_property
    def beds(self) -> list[Bed]:
        """The scored records, one bed for each asked label whose evidence is single beats; the first such label where none was asked."""
        marked = attention_records.listed()["marked"]
        return [attention_records.bed(label, self.request.size) for label in self.labels if label in marked] or [
            attention_records.bed(marked[0], self.request.size)]

    @cached_property
    def observed(self) -> dict[tuple[str, str], list[Observed]]:
        """(network, "shown" or "fresh") -> what it does on each bed. A network whose weights are fresh has no second entry."""
        found = {}
        for each in progress(self.networks, desc="attention maps", unit="network"):
            for whose in ("shown", "fresh")[:1 + (each.untrained is not None)]:
                found[each.name, whose] = [observed(each, one.simulation.signals, whose == "fresh") for one in self.beds]
        return found

    @property
    def mixed(self) -> bool:
        """Some networks are trained and some are not."""
        return len({each.untrained is None for each in self.networks}) == 2

    def called(self, each: Network) -> str:
        """A network's name in a picture; a star where its weights are fresh beside trained ones."""
        return readable(each.name) + " *" * (self.mixed and each.untrained is None)

    @property
    def whose(self) -> str:
        """Whose weights a picture of all networks shows."""
        return "; ".join(dict.fromkeys("* " * (self.mixed and each.untrained is None) + each.told for each in self.networks))

    def what_is_shown(self) -> str:
        """Networks, records and rule, as Markdown."""
        told = attention_records.listed()
        names = {each.told for each in self.networks if each.untrained is not None}
        trained = [f"`{each.name}`" for each in self.networks if each.untrained is not None]
        fresh = [f"`{each.name}`" for each in self.networks if each.untrained is None]
        parts = [f"{', '.join(trained)} ({'; '.join(sorted(names))})"] * bool(trained)
        parts += [f"{', '.join(fresh)} with fresh weights, because no trained ones are at hand for this page"] * bool(fresh)
        source = "synthetic" if all("simulated" in each.name for each in self.shown) else self.request.dataset
        absent = source != self.request.dataset
        stand_in = f" {self.request.dataset} is not on this machine, so simulated records stand in." * absent
        records = ", ".join(f"{each.label} ({each.name})" for each in self.shown)
        return (f"**Networks:** {'; '.join(parts)}. **Records:** {records}; {told[source]['why'].strip()}. A still picture shows "
                f"{told['seconds']} s, {told[source]['window'].strip()}.{stand_in} **Scored:** "
                f"{len(self.beds[0].inside)} simulated records with {' and as many with '.join(each.label for each in self.beds)}, and no "
                f"other label.{self._beside()}")

    def _beside(self) -> str:
        """The recordings, and what cannot be measured on them."""
        unscored = ("Nobody marked where in these recordings the premature beat begins and ends, so they are looked at only: AUROC, "
                    "pointing and ceiling need that truth.")
        if self.real and self.real != self.request.dataset and not self.recorded:
            return f" **Recordings:** {self.real} is not on this machine, so none are shown."
        if not self.recorded:
            return "" if all("simulated" in each.name for each in self.shown) else f" {unscored}"
        records = ", ".join(f"{each.label} ({each.name})" for each in self.recorded)
        rule = attention_records.listed()[self.real]["why"].strip()
        return f" **Recordings:** {records}; {rule}; seen by `{self.reader.name}` ({self.reader.told}). {unscored}"


def ask(namespace: Mapping[str, Any]) -> Page:
    """The page with its parameters checked; `namespace` is the notebook's globals()."""
    told = attention_records.listed()
    request = read_request(namespace, "10_attention_maps", {"networks": NETWORKS, "records": tuple(told["labels"])})
    listed = [name for name in told if isinstance(told[name], dict)]
    require_known("dataset that this page lists records of", request.dataset, listed)
    real = require_known("real", namespace.get("real", ""), ["", *(name for name in listed if name not in SIMULATED)])
    return Page(request, real)


def network(name: str, request: Request) -> Network:
    """The network that ships for this mechanism and data set; a small fresh one in the smoke profile, or where none ships."""
    shipped = f"{name}_{request.dataset}"
    if request.size.name != "smoke" and shipped in chosen.names():
        found = chosen.load(shipped)
        with scoped_seed(found.experiment.seed):            # the weights that this very run began with
            untrained = runs.build(found.experiment, SIGNAL).eval()
        return Network(name, found.model, untrained, found.told, found.scaling, found.classes, tuple(found.card["thresholds"]))
    classes = label_set(request.dataset, request.task).classes
    own = {"attention": name} if name in ATTENTIONS else {"attention": NETWORKS[0], "pooling": name}
    with scoped_seed(0):
        model = build_model("inception_former", SIGNAL, len(classes), **own, **dict(request.size.network)).eval()
    return Network(name, model, None, "fresh weights", classes=classes)


# -- what a network does on the scored records --------------------------------------------------------------------------

MAPS = ("last layer", "stage 3", "rollout")     # the first is the one that the page's question is answered with


@dataclass(frozen=True, eq=False)
class Observed:
    """One network over R records.

    layers: (stage, number within it, seconds of a token) of each. distance: seconds, spread: share of ln N, each [layers][R, H];
    even: seconds [layers][H], the distance of an even spread over what each query sees. curves: the maps of `MAPS`, as multiples of what an
    even spread gives a token, with the seconds of their tokens: {name: ([R, N], seconds)}.
    """

    layers: tuple[tuple[int, int, float], ...]
    distance: list[np.ndarray]
    spread: list[np.ndarray]
    even: list[np.ndarray]
    curves: dict[str, tuple[np.ndarray, float]]


def observed(seen: Network, millivolts: np.ndarray, fresh: bool) -> Observed:
    """Go through the records in batches and keep what the page needs; whole maps would take gigabytes."""
    parts: list[tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]] = []
    for layers in seen.observe(millivolts, fresh):
        parts.append(([attention.distance(each) for each in layers], [attention.spread(each) for each in layers],
                      [curve for curve, _ in summary_curves(layers).values()]))
    distance, spread, curves = ([np.concatenate(which) for which in zip(*(part[i] for part in parts), strict=True)] for i in range(3))
    steps = [step for _, step in summary_curves(layers).values()]
    even = [attention.distance(attention.even(each, "seen")).mean(axis=0) for each in layers]
    return Observed(numbered(layers), distance, spread, even,
                    {name: (curve, step) for name, curve, step in zip(MAPS, curves, steps, strict=True)})


def numbered(layers: Sequence[Layer]) -> tuple[tuple[int, int, float], ...]:
    """(stage, number within it from 1, seconds of a token) of each layer."""
    stages = [each.stage for each in layers]
    return tuple((stage, stages[:i + 1].count(stage), layers[i].seconds_per_token) for i, stage in enumerate(stages))


def summary_curves(layers: Sequence[Layer]) -> dict[str, tuple[np.ndarray, float]]:
    """The curves of `MAPS`: attention received in the last layer, in the last layer of stage 3, and the rollout over all."""
    third = [each for each in layers if each.stage == 3] or layers[:1]
    reads = attention.head_reads(layers)
    return {"last layer": (times_even(layers[-1]).mean(axis=1), layers[-1].seconds_per_token),
            "stage 3": (times_even(third[-1]).mean(axis=1), third[-1].seconds_per_token),
            "rollout": (reads * reads.shape[-1], layers[0].seconds_per_token)}


def times_even(layer: Layer) -> np.ndarray:
    """What places get, as a multiple of what an even spread gives: [B, H, N], 1 on average.

    The mean over queries; where the head reads a class token alone, what that token gives them.
    """
    got = attention.read_by_class_token(layer) if layer.class_token else attention.received(layer)
    return got * layer.n_places
