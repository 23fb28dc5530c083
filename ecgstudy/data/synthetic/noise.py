"""What the recorder adds: noise of each electrode, so that the twelve leads keep their identities.

Baseline wander, muscle noise, mains hum (from 200 Hz sampling on) and the occasional moving electrode. Levels follow resting
records: median 30 microvolts below 0.5 Hz and 5 microvolts between 25 and 45 Hz in a lead.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ecgstudy.data.synthetic.leadfield import to_twelve
from ecgstudy.data.synthetic.streams import BLOCK, log_normal, stream

N_ELECTRODES = 9        # RA, LA, LL, C1 … C6
BASELINE_LIMIT = 0.6    # Hz
MAINS_FROM = 200        # Hz sampling; slower recorders have filtered it out


@dataclass(frozen=True)
class NoiseLevels:
    """Amplitudes in mV: baseline, muscle, mains [R, 9], motion [R] (0: none); mains_rate [R] Hz, mains_phase [R];
    motion_electrode [R]; motion_time [R] as a share of the record; motion_rise, motion_fall [R] s."""

    baseline: np.ndarray
    muscle: np.ndarray
    mains: np.ndarray
    mains_rate: np.ndarray
    mains_phase: np.ndarray
    motion: np.ndarray
    motion_electrode: np.ndarray
    motion_time: np.ndarray
    motion_rise: np.ndarray
    motion_fall: np.ndarray


def draw_noise_levels(rng: np.random.Generator, n: int, factor: float) -> NoiseLevels:
    """Levels of `n` records, each record's own and each electrode's own, times `factor`."""
    baseline = 0.022 * log_normal(rng, 0.75, (n, 1)) * log_normal(rng, 0.35, (n, N_ELECTRODES))
    muscle = 0.0050 * log_normal(rng, 0.60, (n, 1)) * log_normal(rng, 0.25, (n, N_ELECTRODES))
    mains = (rng.random((n, 1)) < 0.20) * np.abs(rng.normal(0, 0.010, (n, N_ELECTRODES)))
    motion = (rng.random(n) < 0.12) * rng.normal(0, 0.25, n)
    return NoiseLevels(
        factor * baseline, factor * muscle, factor * mains, mains_rate=np.where(rng.random(n) < 0.8, 50.0, 60.0),
        mains_phase=rng.uniform(0, 2 * np.pi, n), motion=factor * motion, motion_electrode=rng.integers(0, N_ELECTRODES, n),
        motion_time=rng.uniform(0.05, 0.95, n), motion_rise=rng.uniform(0.08, 0.30, n), motion_fall=rng.uniform(0.3, 1.2, n))


def render_noise(seed: int, index: np.ndarray, levels: NoiseLevels, fs: int, n_samples: int) -> np.ndarray:
    """Noise of I, II, V1 … V6, float32 [R, 8, T], of the records `index` [R], which lie in one block."""
    block, rows = index[0] // BLOCK, index % BLOCK
    seconds = n_samples / fs
    order = np.repeat(np.arange(1, round(2 * seconds * BASELINE_LIMIT) + 1), 2)     # steps of 1/(2 seconds), cosine and sine
    quarter = np.tile([0.0, np.pi / 2], len(order) // 2)
    slow = np.cos(np.pi * order[:, None] * np.arange(n_samples) / n_samples - quarter[:, None]).astype(np.float32)
    rng = stream(seed, block, "baseline")
    weight = rng.standard_normal((BLOCK, N_ELECTRODES, len(order)))[rows] / order ** 0.9
    electrodes = np.matmul((weight * levels.baseline[..., None]).astype(np.float32), slow)

    envelope = np.exp(np.matmul((0.2 * rng.standard_normal((BLOCK, 1, 12))[rows]).astype(np.float32), slow[:12]))
    white = stream(seed, block, "muscle").standard_normal((BLOCK, N_ELECTRODES, n_samples), dtype=np.float32)[rows]
    if fs >= 400:                                                               # the recorder's low-pass near 100 Hz
        white[..., 1:-1] = 0.25 * white[..., :-2] + 0.5 * white[..., 1:-1] + 0.25 * white[..., 2:]
    density = np.sqrt(fs / 100) * levels.muscle[..., None]                      # the same power in each hertz at any rate
    white *= density.astype(np.float32)
    white *= envelope
    electrodes += white
    t = np.arange(n_samples) / fs
    if fs >= MAINS_FROM:
        hum = np.nonzero(levels.mains.any(1))[0]
        wave = np.sin(2 * np.pi * levels.mains_rate[hum, None] * t + levels.mains_phase[hum, None])
        electrodes[hum] += levels.mains[hum, :, None] * wave[:, None]
    moved = np.nonzero(levels.motion)[0]
    electrodes[moved, levels.motion_electrode[moved]] += _motion(levels, moved, t, seconds)
    return _electrodes_to_leads(electrodes)


def added_noise(seed: int, n: int, fs: int, n_samples: int, factor: float) -> np.ndarray:
    """Noise for `n` records of other origin, float32 [n, 12, T] in mV: `factor` times that of resting records, each record its own."""
    levels = draw_noise_levels(stream(seed, 0, "levels"), n, factor)
    parts = []
    for start in range(0, n, BLOCK):
        rows = np.arange(start, min(start + BLOCK, n))
        of_rows = NoiseLevels(*(getattr(levels, field.name)[rows] for field in fields(NoiseLevels)))
        parts.append(to_twelve(render_noise(seed, rows, of_rows, fs, n_samples)))
    return np.concatenate(parts)


def _motion(levels: NoiseLevels, rows: np.ndarray, t: np.ndarray, seconds: float) -> np.ndarray:
    """One asymmetric transient [r, T] for each of `rows`."""
    after = t - (levels.motion_time[rows] * seconds)[:, None]
    rise, fall = levels.motion_rise[rows, None], levels.motion_fall[rows, None]
    shape = np.where(after < 0, np.exp(-(after / rise) ** 2), np.exp(-np.maximum(after, 0) / fall))
    return levels.motion[rows, None] * shape


def _electrodes_to_leads(electrodes: np.ndarray) -> np.ndarray:
    """[R, 9, T] → [R, 8, T]: I = LA - RA, II = LL - RA, Vi = Ci minus the mean of the limb electrodes."""
    right, left, foot = electrodes[:, 0], electrodes[:, 1], electrodes[:, 2]
    leads = electrodes[:, 1:].copy()
    leads[:, 0], leads[:, 1] = left - right, foot - right
    leads[:, 2:] -= ((right + left + foot) / 3)[:, None]
    return leads
