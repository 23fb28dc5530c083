"""What the atria do in fibrillation: f-waves, a saw-tooth along each axis, slowly modulated in rate and size.

    f(t) = a(t) sum_h 2/(h pi) sin(h theta(t)),  theta(t) = 2 pi F t + depth sin(2 pi F_f t)

Source: Stridh & Sornmo 2001; rates and sizes as published for patients (near 6 Hz; 0.06 to 0.35 mV from peak to peak).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgstudy.data.synthetic.labels import COLUMN
from ecgstudy.data.synthetic.streams import log_normal, sometimes, truncated_normal

HARMONICS = (1, 2, 3)
MODULATION = 0.35       # depth of the amplitude's modulation


@dataclass(frozen=True)
class Fibrillation:
    """f-waves along X, Y, Z. Zero amplitude where the atria do not fibrillate.

    amplitude [R, 3] mV; rate [R, 3] Hz; phase [R, 3]. Of their modulations, all [R, 3]: frequency_depth in radians, the two
    rates in Hz, the two phases in radians.
    """

    amplitude: np.ndarray
    rate: np.ndarray
    phase: np.ndarray
    frequency_depth: np.ndarray
    frequency_rate: np.ndarray
    frequency_phase: np.ndarray
    amplitude_rate: np.ndarray
    amplitude_phase: np.ndarray


def draw_fibrillation(rng: np.random.Generator, labels: np.ndarray, hard: float) -> Fibrillation:
    """Rate near 6 Hz (4.5 to 8), a quarter of the records fine; the three axes beat slightly apart."""
    n = len(labels)
    coarseness = sometimes(rng, 0.25 * hard, np.full(n, 1.2), np.full(n, 0.5)) * log_normal(rng, 0.1, n)
    amplitude = rng.uniform((0.015, 0.020, 0.030), (0.040, 0.050, 0.075), (n, 3)) * coarseness[:, None]
    rate = truncated_normal(rng, 6.0, 0.7, 4.5, 8.0, (n, 1)) * np.array([0.96, 1.0, 1.04])
    frequency_rate, amplitude_rate = rng.uniform(0.1, 0.3, (n, 3)), rng.uniform(0.1, 0.4, (n, 3))
    phase, frequency_phase, amplitude_phase = rng.uniform(0, 2 * np.pi, (3, n, 3))
    return Fibrillation(amplitude * labels[:, [COLUMN["AF"]]], rate, phase, rng.uniform(0.15, 0.35, (n, 3)) / frequency_rate,
                        frequency_rate, frequency_phase, amplitude_rate, amplitude_phase)


def render_f_waves(f: Fibrillation, t: np.ndarray) -> np.ndarray:
    """Saw-tooth of three harmonics, slowly modulated in rate and size: float32 [R, 3, T]; Y points against X and Z."""
    t = t.astype(np.float32)

    def turning(rate: np.ndarray, phase: np.ndarray) -> np.ndarray:
        return (2 * np.pi * rate).astype(np.float32)[..., None] * t + phase.astype(np.float32)[..., None]

    angle = turning(f.rate, f.phase)
    angle += f.frequency_depth.astype(np.float32)[..., None] * np.sin(turning(f.frequency_rate, f.frequency_phase))
    size = (f.amplitude * (1, -1, 1)).astype(np.float32)[..., None]
    size = size * (1 + np.float32(MODULATION) * np.sin(turning(f.amplitude_rate, f.amplitude_phase)))
    return size * sum(np.float32(2 / (h * np.pi)) * np.sin(h * angle) for h in HARMONICS)


def f_wave_power(f: Fibrillation) -> np.ndarray:
    """Mean square of the f-waves along each axis [R, 3], mV squared."""
    return f.amplitude ** 2 * (1 + MODULATION ** 2 / 2) * sum((2 / (h * np.pi)) ** 2 / 2 for h in HARMONICS)
