"""Which labels a record carries, and in what sort of person.

The counts are those of the 6,877 public CPSC2018 records (the challenge's REFERENCE.csv); one record there lists a label
twice and counts once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ecgstudy.data.labels import CPSC_CLASSES
from ecgstudy.data.synthetic.streams import truncated_normal

COLUMN = {name: k for k, name in enumerate(CPSC_CLASSES)}

LABEL_SETS = {
    ("Normal",): 918, ("AF",): 976, ("I-AVB",): 686, ("LBBB",): 179, ("RBBB",): 1533, ("PAC",): 533, ("PVC",): 607,
    ("STD",): 784, ("STE",): 185,
    ("AF", "RBBB"): 172, ("RBBB", "PAC"): 52, ("RBBB", "PVC"): 51, ("AF", "STD"): 30, ("AF", "LBBB"): 26, ("RBBB", "STD"): 20,
    ("PVC", "STD"): 18, ("RBBB", "STE"): 16, ("I-AVB", "RBBB"): 10, ("LBBB", "PAC"): 10, ("I-AVB", "LBBB"): 8, ("AF", "PVC"): 8,
    ("LBBB", "PVC"): 6, ("PAC", "STD"): 6, ("I-AVB", "STD"): 6, ("I-AVB", "PVC"): 5, ("I-AVB", "STE"): 4, ("AF", "PAC"): 4,
    ("LBBB", "STE"): 4, ("RBBB", "PAC", "STE"): 3, ("PAC", "PVC"): 3, ("I-AVB", "PAC"): 3, ("AF", "LBBB", "STD"): 3,
    ("AF", "STE"): 2, ("PAC", "STE"): 2, ("STD", "STE"): 2, ("PVC", "STE"): 2,
}
NOT_DRAWN = {("AF", "PAC")}         # no premature P wave can be shown while the atria fibrillate: 4 records of 6,877

# The first of these that a record carries decides its demographics: mean age, SD, share of men (CPSC2018's tables).
PEOPLE = {
    "Normal": (42, 18, 0.40), "AF": (71, 12, 0.57), "LBBB": (70, 12, 0.50), "I-AVB": (67, 16, 0.68), "STE": (52, 20, 0.82),
    "STD": (55, 18, 0.29), "PAC": (67, 18, 0.53), "PVC": (58, 18, 0.51), "RBBB": (63, 17, 0.65),
}


@dataclass(frozen=True)
class Person:
    """age [R] in years; male [R] bool."""

    age: np.ndarray
    male: np.ndarray


def encode(names: Iterable[str]) -> np.ndarray:
    """bool [9] from class names."""
    row = np.zeros(len(CPSC_CLASSES), bool)
    row[[COLUMN[name] for name in names]] = True
    return row


def draw_labels(rng: np.random.Generator, indices: np.ndarray, scheme: str) -> np.ndarray:
    """True labels, bool [R, 9]; see Settings.scheme."""
    if scheme == "balanced":
        return np.eye(len(CPSC_CLASSES), dtype=bool)[indices % len(CPSC_CLASSES)]
    drawn = {names: count for names, count in LABEL_SETS.items() if names not in NOT_DRAWN}
    share = np.array(list(drawn.values()), float)
    return np.stack([encode(names) for names in drawn])[rng.choice(len(drawn), len(indices), p=share / share.sum())]


def add_label_noise(rng: np.random.Generator, labels: np.ndarray, share: float) -> np.ndarray:
    """The label sets [R, K], in a `share` of records replaced by one class drawn at random."""
    classes = labels.shape[1]
    single = np.eye(classes, dtype=bool)[rng.integers(0, classes, len(labels))]
    return np.where((rng.random(len(labels)) < share)[:, None], single, labels)


def draw_person(rng: np.random.Generator, labels: np.ndarray) -> Person:
    """Age and sex given the labels [R, 9]."""
    deciding = labels[:, [COLUMN[name] for name in PEOPLE]].argmax(1)
    return draw_person_like(rng, np.array(list(PEOPLE.values()))[deciding])


def draw_person_like(rng: np.random.Generator, people: np.ndarray) -> Person:
    """Age and sex of people [R, 3]: mean age, its SD, share of men."""
    mean, sd, male = people.T
    return Person(truncated_normal(rng, mean, sd, 16, 95, len(people)), rng.random(len(people)) < male)
