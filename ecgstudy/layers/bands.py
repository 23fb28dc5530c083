"""Fixed filters inside a network: a signal as it is and in bands of frequency, none of them delayed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.signal import SignalSpec


def butterworth_gain(frequency: np.ndarray, fs: float, low: float, high: float, order: int) -> np.ndarray:
    r"""The gain $|H(f)|^2$ of a digital Butterworth filter that is run forwards and backwards, at each frequency in hertz.

    low 0 is a low-pass up to `high`, high at fs / 2 a high-pass from `low`, else a band-pass. With $w = \tan(\pi f / f_s)$, the
    frequency warped as the bilinear transform does, $|H|^2 = 1 / (1 + r^{2n})$ where

    $$r = \frac{w}{w_{high}}, \qquad r = \frac{w_{low}}{w}, \qquad r = \frac{w^2 - w_{low} w_{high}}{(w_{high} - w_{low})\,w}$$

    for the three kinds. It is the square of the magnitude of `scipy.signal.butter(order, …)`.
    """
    warped = np.tan(np.pi * np.minimum(frequency, fs / 2) / fs)
    below, above = np.tan(np.pi * low / fs), np.tan(np.pi * high / fs)
    with np.errstate(divide="ignore", over="ignore"):       # w is 0 at the mean and endless at fs / 2
        if low == 0:
            ratio = warped / above
        elif high >= fs / 2:
            ratio = below / warped
        else:
            ratio = np.abs(warped - below * above / warped) / (above - below)
        return 1 / (1 + ratio ** (2 * order))


class BandFilters(nn.Module):
    """The signal and its bands below the first edge, between edges, and above the last: [B, L, T] -> [B, F, L, T].

    edges: hertz, ascending. A band's gain is that of a Butterworth filter run forwards and backwards (`butterworth_gain`), applied to the
    spectrum of the record mirrored at its end. So nothing is delayed, CPU and GPU agree, and no filter state has to be started.
    Against `scipy.signal.sosfiltfilt` the inside of a record is the same; the ends differ, because that function continues a
    record by turning it upside down about its last sample, this one by mirroring it. There is nothing to train.

    Raises ConfigurationError where the edges do not ascend between 0 and half the sampling rate.
    """

    def __init__(self, signal: SignalSpec, edges: Sequence[float], order: int = 2) -> None:
        super().__init__()
        bounds = (0.0, *edges, signal.fs / 2)
        if not edges or any(a >= b for a, b in zip(bounds[:-1], bounds[1:], strict=True)):
            raise ConfigurationError(f"edges are {tuple(edges)} Hz; they must ascend between 0 and {signal.fs / 2:g} Hz, half of the "
                                     f"sampling rate of {signal.fs:g} Hz; give lower edges or a faster signal")
        self.bounds = tuple(zip(bounds[:-1], bounds[1:], strict=True))
        frequency = np.fft.rfftfreq(2 * signal.n_samples, 1 / signal.fs)
        gains = [np.ones_like(frequency), *(butterworth_gain(frequency, signal.fs, *bound, order) for bound in self.bounds)]
        self.register_buffer("gains", torch.from_numpy(np.stack(gains).astype(np.float32)), persistent=False)     # [F, T + 1]

    @property
    def names(self) -> tuple[str, ...]:
        """What each band is called."""
        (_, first), *middle, (last, _) = self.bounds
        return ("unfiltered", f"below {first:g} Hz", *(f"{a:g}–{b:g} Hz" for a, b in middle), f"above {last:g} Hz")

    def forward(self, x: Tensor) -> Tensor:
        n_samples = x.shape[-1]
        mirrored = torch.cat([x, x.flip(-1)], dim=-1).float()                       # [B, L, 2 T], periodic without a jump
        spectrum = torch.fft.rfft(mirrored).unsqueeze(1)                            # [B, 1, L, T + 1]
        filtered = torch.fft.irfft(spectrum * self.gains.unsqueeze(1), n=2 * n_samples)
        return filtered[..., :n_samples]
