"""The simulator as a data set: the prepared folder that training reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from ecgstudy.data.dataset import MILLIVOLT, Prepared, write_prepared
from ecgstudy.data.synthetic import Parameters, classes_of, draw_parameters, render
from ecgstudy.data.synthetic.settings import Settings
from ecgstudy.data.synthetic.streams import BLOCK
from ecgstudy.errors import ConfigurationError
from ecgstudy.progress import progress

SCHEMES = {"synthetic": "natural", "synthetic_rhythm": "chapman"}      # data set -> the scheme that it draws
SECONDS = 10.0
N_FOLDS, CLEAN_FOLDS = 10, (9, 10)      # validation and test carry the true labels
SIMULATOR = 1                           # raised when the same settings would give other records


def prepare_synthetic(folder: Path, n_records: int, seed: int = 0, settings: Settings = Settings(), fs: int = 100) -> Prepared:
    """Simulate records 0 … n_records - 1 of 10 s into a prepared folder and open it.

    Record i lies in fold 1 + i mod 10; each is its own patient. Folds 1 to 8 carry noisy labels, 9 and 10 the true ones.
    """
    if n_records < 1:
        raise ConfigurationError(f"n_records is {n_records}; at least one record must be simulated")

    def parts() -> Iterator[Parameters]:
        for start in range(0, n_records, BLOCK):
            yield draw_parameters(seed, np.arange(start, min(start + BLOCK, n_records)), settings, SECONDS)

    # Drawing is cheap beside rendering: once for the table, once more for the signals, and nothing is kept.
    table = pd.concat([_rows(parameters, fs) for parameters in parts()], ignore_index=True)
    bar = progress(parts(), total=-(-n_records // BLOCK), desc="simulating", unit="block")
    blocks = (to_microvolts(render(parameters, fs)) for parameters in bar)
    stated = asdict(settings) | {"seed": seed, "fs": fs, "simulator": SIMULATOR}
    dataset = next((name for name, scheme in SCHEMES.items() if scheme == settings.scheme), "synthetic")
    return write_prepared(folder, dataset, fs, blocks, table, round(SECONDS * fs), stated)


def _rows(parameters: Parameters, fs: int) -> pd.DataFrame:
    """The prepared table's rows of these records."""
    index = parameters.index
    fold = 1 + index % N_FOLDS
    labels = np.where(np.isin(fold, CLEAN_FOLDS)[:, None], parameters.labels, parameters.noisy_labels)
    name, classes = [f"S{i:06d}" for i in index], np.array(classes_of(parameters.scheme))
    return pd.DataFrame({
        "record_id": name, "patient_id": name, "fold": fold, "age": parameters.person.age.round().astype(int),
        "sex": np.where(parameters.person.male, "male", "female"), "n_samples": round(SECONDS * fs),
        "statements": [";".join(classes[row]) for row in labels],
    })


def to_microvolts(signals: np.ndarray) -> np.ndarray:
    """mV → int16 microvolts, rounded to the nearest and clipped."""
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(signals * MILLIVOLT), limits.min, limits.max).astype(np.int16)
