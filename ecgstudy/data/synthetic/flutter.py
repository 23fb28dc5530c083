"""What the atria do in flutter: one circuit, the same wave some 300 times a minute, and no rest between.

The wave is a saw-tooth, flat, then steeply down and up again in II, III and aVF, upright in V1. Its ventricular answer is one
beat to two, three or four waves, or changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgstudy.data.synthetic.events import LONGEST_LAG, LONGEST_LEAD, Trace
from ecgstudy.data.synthetic.leadfield import to_twelve
from ecgstudy.data.synthetic.rhythm import FLUTTER
from ecgstudy.data.synthetic.streams import log_normal

RATE = (292, 20, 240, 340)          # waves a minute: mean, SD, limits
CONDUCTION, CONDUCTION_SHARE = (2, 4, 3, 0), (0.45, 0.25, 0.10, 0.20)       # waves a beat; 0: it changes
DELAY = (0.14, 0.22)                # s from a wave's start to the R wave it brings
SHORTEST_ANSWER = 0.33              # s

# Cosine and sine parts of the harmonics 1 to 6. Frontal: a slow descent, then a deep notch. Sagittal: one deflection a cycle.
FRONTAL = np.array([[0.155, 0.381], [0.217, 0.085], [0.109, -0.089], [-0.014, -0.068], [-0.028, -0.009], [-0.010, 0.008]])
SAGITTAL = np.array([[-0.094, 0.259], [0.153, 0.112], [0.104, -0.077], [-0.022, -0.079], [-0.047, -0.005], [-0.010, 0.022]])
HARMONICS = np.arange(1, len(FRONTAL) + 1)


@dataclass(frozen=True)
class Flutter:
    """amplitude [R, 3] mV along X, Y, Z, zero where the atria do not flutter; rate [R] Hz; phase [R] in cycles."""

    amplitude: np.ndarray
    rate: np.ndarray
    phase: np.ndarray


def no_flutter(n: int) -> Flutter:
    return Flutter(np.zeros((n, 3)), np.full(n, 5.0), np.zeros(n))


def draw_flutter(rng: np.random.Generator, traces: list[Trace]) -> Flutter:
    """Sizes of the flutter waves of those traces that flutter: 0.2 to 0.5 mV in II from peak to peak."""
    n = len(traces)
    y = 0.22 * log_normal(rng, 0.20, n)
    size = np.stack([y * rng.uniform(0.6, 0.95, n), y, y * rng.uniform(0.7, 1.2, n)], 1)
    flutters = np.array([trace.flutter is not None for trace in traces])
    rate, phase = np.array([trace.flutter or (5.0, 0.0) for trace in traces]).T
    return Flutter(size * flutters[:, None], rate, phase)


def trace_flutter(rng: np.random.Generator, waves_a_minute: float, seconds: float) -> Trace:
    """Beats locked to the flutter waves."""
    rate, phase = waves_a_minute / 60, rng.random()
    ratio = rng.choice(CONDUCTION, p=CONDUCTION_SHARE)
    delay = rng.uniform(*DELAY)
    trace = Trace((ratio or 3) / rate, (rng.uniform(0.15, 0.4), rng.uniform(0, 2 * np.pi)), flutter=(rate, phase))
    wave = -int(LONGEST_LEAD * rate) - rng.integers(0, 4)
    smallest = int(np.ceil(SHORTEST_ANSWER * rate))
    while not trace.r or trace.now < seconds + LONGEST_LAG:
        trace.r.append((wave - phase) / rate + delay)
        trace.kind.append(FLUTTER)
        wave += ratio or max(rng.choice([2, 3, 4], p=[0.45, 0.15, 0.40]), smallest)
    return trace


def _components() -> np.ndarray:
    """Cosine and sine parts of each axis [3, H, 2]."""
    return np.stack([FRONTAL, FRONTAL, SAGITTAL])


def render_flutter(flutter: Flutter, t: np.ndarray) -> np.ndarray:
    """float32 [R, 3, T] at the times t [T]."""
    angle = 2 * np.pi * HARMONICS[:, None] * (flutter.rate[:, None, None] * t + flutter.phase[:, None, None])       # [R, H, T]
    parts = _components()
    wave = np.einsum("ah,rht->rat", parts[..., 0], np.cos(angle)) + np.einsum("ah,rht->rat", parts[..., 1], np.sin(angle))
    return (flutter.amplitude[..., None] * wave).astype(np.float32)


def flutter_size(flutter: Flutter, atrial: np.ndarray) -> np.ndarray:
    """Root mean square of the flutter waves in each lead [R, 12], mV; atrial: the lead vectors [R, 8, 3]."""
    parts = np.einsum("rla,ra,ahp->rlhp", to_twelve(atrial), flutter.amplitude, _components())
    return np.sqrt((parts ** 2).sum((2, 3)) / 2)
