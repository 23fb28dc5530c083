"""The one shape that all waves are made of: a bump that rises, holds, falls and is exactly zero elsewhere.

    u(t) = min((t - t0)/(t1 - t0), (t3 - t)/(t3 - t2), 1),    k(t) = (1 - c) sin²(pi u / 2) + c u

with corner c: 0 is smooth, 1 a trapezium, whose corners carry the high frequencies of a QRS. So wave boundaries are known,
not estimated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bump:
    """One wave of every beat: times [R, B] in s, vector [R, B, C] in mV, present [R, B], corner c."""

    t0: np.ndarray
    t1: np.ndarray
    t2: np.ndarray
    t3: np.ndarray
    vector: np.ndarray
    present: np.ndarray
    corner: float = 0.0

    def area(self) -> np.ndarray:
        """Time integral of the wave's vector [R, B, C], mV s."""
        return ((self.t2 - self.t1) + (self.t1 - self.t0 + self.t3 - self.t2) / 2)[..., None] * self.vector


def render_bumps(bumps: list[Bump], fs: int, n_samples: int) -> np.ndarray:
    """The sum of the bumps sampled at fs: float32 [R, C, T]."""
    n, _, channels = bumps[0].vector.shape
    places, values = zip(*(_samples(bump, fs, n_samples) for bump in bumps), strict=True)
    place, value = np.concatenate(places), np.concatenate(values, 1)            # [S], [C, S]
    sums = [np.bincount(place, value[c], minlength=n * n_samples) for c in range(channels)]
    return np.stack(sums, 0).reshape(channels, n, n_samples).transpose(1, 0, 2).astype(np.float32)


def _samples(bump: Bump, fs: int, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the bump is not zero: places [S] in the flattened [R, T], and values [C, S]."""
    row, beat = np.nonzero(bump.present & (bump.t3 > 0) & (bump.t0 < n_samples / fs) & bump.vector.any(2))
    t0, t1, t2, t3 = ((t[row, beat] * fs)[:, None] for t in (bump.t0, bump.t1, bump.t2, bump.t3))      # in samples
    first = np.ceil(t0)
    width = int(np.ceil((t3 - t0).max(initial=0))) + 1
    t = first + np.arange(width)                                                                        # [N, W]
    u = np.minimum(np.minimum((t - t0) / np.maximum(t1 - t0, 1e-3), (t3 - t) / np.maximum(t3 - t2, 1e-3)), 1)
    inside = (u > 0) & (t >= 0) & (t < n_samples)
    u = u[inside].astype(np.float32)
    shape = np.square(np.sin(np.float32(np.pi / 2) * u))
    if bump.corner:
        shape += np.float32(bump.corner) * (u - shape)
    place = (row[:, None] * n_samples + t)[inside].astype(np.int64)
    vector = np.repeat(bump.vector[row, beat].astype(np.float32), inside.sum(1), axis=0)                # [S, C]
    return place, vector.T * shape
