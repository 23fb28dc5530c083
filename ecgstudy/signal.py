"""What a network is fed, and pure array signal processing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ecgstudy.errors import ConfigurationError


@dataclass(frozen=True)
class SignalSpec:
    """The shape of one input: `n_leads` leads, `n_samples` time samples at `fs` hertz."""

    n_leads: int
    n_samples: int
    fs: int

    def __post_init__(self) -> None:
        for name in ("n_leads", "n_samples", "fs"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"SignalSpec.{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def seconds(self) -> float:
        """Duration of one input in seconds."""
        return self.n_samples / self.fs


def resample(signal: np.ndarray, fs_from: int, fs_to: int, n_samples: int | None = None) -> np.ndarray:
    """Change the sampling rate through an anti-alias filter: the Kaiser-windowed FIR of `scipy.signal.resample_poly`.

    signal: [L, T], zero beyond its ends, as in resample_poly. Returns float32 [L, ceil(T * fs_to / fs_from)], or the first
    `n_samples` of it, for which only the samples that they depend on are filtered.
    """
    for name, fs in (("fs_from", fs_from), ("fs_to", fs_to)):
        if fs < 1:
            raise ConfigurationError(f"resample: {name} is {fs}; it must be at least 1 Hz")
    if n_samples is not None:
        signal = signal[:, :_inputs(fs_from, fs_to, n_samples)]
    return _resampled(np.asarray(signal, dtype=np.float32), fs_from, fs_to)[:, :n_samples]


def _inputs(fs_from: int, fs_to: int, n_outputs: int) -> int:
    """How many input samples the first outputs depend on: those before the last, and half of the filter beyond."""
    return -(-(n_outputs * fs_from + 10 * max(fs_from, fs_to)) // fs_to) + 1


def _resampled(signal: np.ndarray, fs_from: int, fs_to: int) -> np.ndarray:
    if fs_from == fs_to:
        return signal
    if fs_from % fs_to == 0:
        return _decimate(signal, fs_from // fs_to)
    from scipy.signal import resample_poly

    return resample_poly(signal, fs_to, fs_from, axis=1).astype(np.float32, copy=False)


def fit_length(signal: np.ndarray, n_samples: int) -> tuple[np.ndarray, int]:
    """The first `n_samples` of [L, T], zero-padded at the end, and how many of them were recorded."""
    recorded = min(signal.shape[1], n_samples)
    fitted = np.zeros((signal.shape[0], n_samples), signal.dtype)
    fitted[:, :recorded] = signal[:, :recorded]
    return fitted, recorded


STOP_EDGE = 0.5         # Hz from full gain to none, centred on each end of a stopped band


def band_stop(signals: np.ndarray, fs: int, low: float, high: float) -> np.ndarray:
    """Remove the frequencies from `low` to `high` hertz: float32, of the shape of signals [..., T].

    The signal is mirrored at both ends, split into cosines (DCT-II), weighed by `stop_gain` and put together again. So the phase is
    not changed, an end is no jump, and the parts that touching bands remove add up to what one wide band removes. Low 0 removes all
    below `high`, the mean with it; high at fs / 2 or above all over `low`. Give recorded samples only: padding is not a signal.
    """
    if not 0 <= low < high or low >= fs / 2 or (low == 0 and high >= fs / 2):
        raise ConfigurationError(f"band_stop is ({low}, {high}) Hz; give (low, high) with 0 <= low < high that leaves something of 0 to "
                                 f"{fs / 2:g} Hz")
    from scipy.fft import dct, idct

    frequency = np.arange(signals.shape[-1]) * fs / (2 * signals.shape[-1])
    gain = stop_gain(frequency, low, high if high < fs / 2 else np.inf)
    return idct(dct(np.asarray(signals, np.float64), norm="ortho") * gain, norm="ortho").astype(np.float32)


def stop_gain(frequency: np.ndarray, low: float, high: float) -> np.ndarray:
    """The gain at each frequency: 1 outside the band, 0 inside, a half at its ends, and half a cosine `STOP_EDGE` wide between."""
    def above(edge: float) -> np.ndarray:
        return 0.5 - 0.5 * np.cos(np.pi * np.clip((frequency - edge) / STOP_EDGE + 0.5, 0, 1))

    return 1 - (above(low) if low else 1.0) + above(high)


OUTPUTS_PER_BLOCK = 20


@cache
def _decimation_matrix(factor: int) -> np.ndarray:
    """The filter, once for each of a block's outputs, each `factor` inputs further on: [inputs, outputs].

    It reaches over two blocks of inputs; the rows of the second stand beside those of the first: [block, 2 * outputs].
    """
    from scipy.signal import firwin

    half, block = 10 * factor, factor * OUTPUTS_PER_BLOCK       # resample_poly's default: 20 x factor + 1 taps, Kaiser window of beta 5
    taps = firwin(2 * half + 1, 1 / factor, window=("kaiser", 5.0)).astype(np.float32)
    matrix = np.zeros((2 * block, OUTPUTS_PER_BLOCK), np.float32)
    for k in range(OUTPUTS_PER_BLOCK):
        matrix[k * factor:k * factor + len(taps), k] = taps
    return np.hstack([matrix[:block], matrix[block:]])


def _decimate(signal: np.ndarray, factor: int) -> np.ndarray:
    """Filter and keep each `factor`-th sample, as one matrix product over blocks of inputs: many times resample_poly's pace."""
    block = factor * OUTPUTS_PER_BLOCK
    n_leads, n_inputs = signal.shape
    n_outputs = -(-n_inputs // factor)
    n_blocks = -(-n_outputs // OUTPUTS_PER_BLOCK)
    padded = np.zeros((n_leads, (n_blocks + 1) * block), np.float32)
    padded[:, 10 * factor:10 * factor + n_inputs] = signal[:, :padded.shape[1] - 10 * factor]
    parts = (padded.reshape(-1, block) @ _decimation_matrix(factor)).reshape(n_leads, n_blocks + 1, 2 * OUTPUTS_PER_BLOCK)
    outputs = parts[:, :-1, :OUTPUTS_PER_BLOCK] + parts[:, 1:, OUTPUTS_PER_BLOCK:]      # what each block gives, and the next adds
    return outputs.reshape(n_leads, -1)[:, :n_outputs]
