"""Where randomness comes from: one generator for each fixed block of records and each component.

Every component draws for a whole block, always in the same shapes, and rows are selected afterwards. So a record depends
on the seed and its index alone, and a component that is switched off moves no other one.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator
from typing import TypeVar

import numpy as np

BLOCK = 64              # records that share their generators; another value makes other records
_TRIES = 4
T = TypeVar("T")


def stream(seed: int, block: int, component: str) -> np.random.Generator:
    """The generator of one component ("rhythm", "noise", …) for the records block * BLOCK … (block + 1) * BLOCK - 1."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(block, zlib.crc32(component.encode()))))


def truncated_normal(rng: np.random.Generator, mean, sd, low, high, size: int | tuple[int, ...]) -> np.ndarray:
    """Normal draws inside [low, high]: the first of four tries that lies inside, else the nearest bound."""
    tries = mean + sd * rng.standard_normal((_TRIES, *np.atleast_1d(size)))
    result = tries[-1]
    for attempt in tries[-2::-1]:
        result = np.where((attempt >= low) & (attempt <= high), attempt, result)
    return np.clip(result, low, high)


def log_normal(rng: np.random.Generator, sd, size: int | tuple[int, ...]) -> np.ndarray:
    """exp N(0, sd): a factor with median 1."""
    return np.exp(sd * rng.standard_normal(size))


def sometimes(rng: np.random.Generator, share, usual: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`other` with probability `share`, else `usual`; all [R]."""
    return np.where(rng.random(len(usual)) < share, other, usual)


def take_rows(value: T, rows: np.ndarray) -> T:
    """A dataclass of arrays [R, …] (nested ones too) with the given rows of each array."""
    if isinstance(value, np.ndarray):
        return value[rows]
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(value, **{f.name: take_rows(getattr(value, f.name), rows) for f in dataclasses.fields(value)})
    return value


def join_rows(parts: list[T]) -> T:
    """The rows of several dataclasses of arrays, one after the other; what is no array is taken from the first."""
    first = parts[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    if dataclasses.is_dataclass(first):
        return dataclasses.replace(first, **{f.name: join_rows([getattr(part, f.name) for part in parts])
                                             for f in dataclasses.fields(first)})
    return first


def by_block(index: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each block that the records `index` [R] lie in, with the positions of its records."""
    for block in np.unique(index // BLOCK):
        yield int(block), np.nonzero(index // BLOCK == block)[0]
