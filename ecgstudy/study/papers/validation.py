"""Records of the validation fold as a paper's network gets them, for its pictures. The test fold is opened for scores alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ecgstudy.data.labels import CPSC_CLASSES, LabelSet, label_set
from ecgstudy.data.splits import split
from ecgstudy.data.synthetic import simulate
from ecgstudy.errors import AbsentError
from ecgstudy.study.axis_page import Comparison
from ecgstudy.study.ledger import Run
from ecgstudy.study.request import at_hand
from ecgstudy.train.feed import Feed, Scaling, fit_scaling

MOST = 256              # records that a picture looks at
BATCH = 32
STAND_IN_SEED = 4       # of the simulated records that stand in where the page's own data are not here


@dataclass(frozen=True, eq=False)
class ValidationRecords:
    """R records. millivolts: [R, L, T]. scaled: float32 [R, L, T], the network's input. targets: [R, K] in {0, 1}. names: [R].

    patients: [R], whose each is; None where nobody asked for them.
    """

    millivolts: np.ndarray
    scaled: Tensor
    targets: np.ndarray
    names: Sequence[str]
    classes: tuple[str, ...]
    fs: int
    patients: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scaled)

    def batches(self) -> Iterator[Tensor]:
        """The inputs in their order, [b, L, T] with b of at most BATCH."""
        yield from self.scaled.split(BATCH)

    def logits(self, model: nn.Module) -> np.ndarray:
        """[R, K]"""
        with torch.no_grad():
            return torch.cat([model(x) for x in self.batches()]).numpy()

    def example(self, model: nn.Module, wanted: Sequence[str]) -> tuple[int, int]:
        """Row and class of a picture's record: of the first class in `wanted`, else of any, that the fold has, the record with that class
        on which the network is surest of it."""
        logits = self.logits(model)
        order = [*(self.classes.index(name) for name in wanted if name in self.classes), *range(len(self.classes))]
        for k in order:
            rows = np.flatnonzero(self.targets[:, k])
            if len(rows):
                return int(rows[logits[rows, k].argmax()]), k
        return 0, int(logits[0].argmax())


def evenly(patients: np.ndarray, most: int) -> np.ndarray:
    """Places of at most `most` of the fold's records, evenly spread."""
    return np.unique(np.linspace(0, len(patients) - 1, min(most, len(patients))).round().astype(int))


def validation_records(found: Comparison, run: Run | None, most: int = MOST,
                       pick: Callable[[np.ndarray, int], np.ndarray] = evenly) -> ValidationRecords:
    """Records of the page's validation fold, at most `most`, scaled as for `run`, or as a run of the page would be.

    pick: from the patients [R] of the fold and `most` to the places of the records that are taken. Where the page's data are not here,
    simulated records stand in.
    """
    asked = found.page.request
    labels = label_set(asked.dataset, asked.task)
    try:
        prepared = at_hand(asked.dataset, asked.size)
    except AbsentError:
        return _stand_in(labels)
    parts = split(prepared, labels)
    patients = prepared.table["patient_id"].to_numpy(str)[parts.validation]
    chosen = pick(patients, most)
    rows = parts.validation[chosen]
    scaling = Scaling(**run.result["training"]["scaling"]) if run else fit_scaling(prepared, parts.training)
    feed = Feed(prepared, rows, labels.encode(prepared.statements()), scaling, torch.device("cpu"))
    batch = feed.batch(torch.arange(len(feed)))
    return ValidationRecords(prepared.signals[rows] / 1000, batch.signals, batch.targets.numpy().astype(int), list(feed.record_ids),
                             labels.classes, prepared.fs, patients[chosen])


def _stand_in(labels: LabelSet, n_records: int = 64) -> ValidationRecords:
    made = simulate(seed=STAND_IN_SEED, indices=range(n_records))
    targets = made.labels if len(labels.classes) == len(CPSC_CLASSES) else np.zeros((n_records, len(labels.classes)), int)
    scaled = torch.from_numpy(((made.signals - made.signals.mean()) / made.signals.std()).astype(np.float32))
    names = [f"simulated {i}" for i in range(n_records)]
    return ValidationRecords(made.signals, scaled, targets, names, labels.classes, made.fs, np.array(names))
