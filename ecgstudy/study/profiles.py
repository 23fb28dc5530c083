"""How large a study is run: the three profiles, and one labelled run in a profile's recipe.

`smoke` shows that a page works (seconds), `quick` fits two CPU cores (minutes), `full` is the study itself and wants a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ecgstudy.data.labels import label_set
from ecgstudy.errors import require_known
from ecgstudy.train.experiment import PROFILES, Experiment, Setting, freeze_settings


@dataclass(frozen=True)
class Profile:
    """How large a study is run.

    n_synthetic: records of the simulator. n_training: training records used (0 = all). network: settings that size the own
    network. seeds: the profile's default. The rest as in Experiment.
    """

    name: str
    n_synthetic: int
    n_training: int
    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    schedule: str
    network: tuple[tuple[str, Setting], ...]
    seeds: tuple[int, ...]


_PROFILES = {
    "smoke": Profile("smoke", n_synthetic=200, n_training=64, epochs=1, patience=1, batch_size=32, learning_rate=2e-3, schedule="cosine",
                     network=freeze_settings({"widths": (8, 16, 16, 16), "depths": (1, 1, 2, 2), "heads": 4}), seeds=(0,)),
    "quick": Profile("quick", n_synthetic=4000, n_training=2000, epochs=4, patience=4, batch_size=32, learning_rate=2e-3, schedule="cosine",
                     network=freeze_settings({"widths": (16, 32, 64, 128), "depths": (1, 1, 4, 2), "heads": 4}), seeds=(0,)),
    "full": Profile("full", n_synthetic=20000, n_training=0, epochs=30, patience=10, batch_size=64, learning_rate=1e-3, schedule="step",
                    network=(), seeds=(0, 1, 2, 3, 4)),
}


def profile(name: str = "auto") -> Profile:
    """The profile of that name; "auto" is full where there is a GPU, else quick."""
    require_known("profile", name, ("auto", *PROFILES))
    return _PROFILES[name if name != "auto" else "full" if torch.cuda.is_available() else "quick"]


def supervised(dataset: str, task: str, size: Profile, model: str, settings: dict[str, Setting], seed: int) -> Experiment:
    """One labelled run in its profile's recipe. `full` is the notes': AdamW at 1e-3, the rate divided by ten after 20 epochs; the short
    profiles, whose few hundred steps end before that, use 2e-3 and a cosine."""
    return Experiment(dataset=dataset, task=label_set(dataset, task).name, profile=size.name, model=model,
                      settings=freeze_settings(settings), seed=seed, n_training=size.n_training, epochs=size.epochs,
                      patience=size.patience, batch_size=size.batch_size, learning_rate=size.learning_rate,
                      weight_decay=1e-3, schedule=size.schedule)
