"""The time-frequency image of each lead, computed on the device that the network runs on."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecgstudy.errors import ConfigurationError
from ecgstudy.signal import SignalSpec


class Spectrogram(nn.Module):
    r"""Logarithmic magnitude of the short-time Fourier transform: [B, L, T] -> [B, L, F, N], standardised.

    $$S_{f,n} = \log\Big(1 + \Big|\sum_{t=0}^{w-1} h_t\, x_{nH + t - w/2}\, e^{-2\pi i f t / w}\Big|\Big)$$

    with a periodic Hann window $h$ of $w$ samples, moved by $H$ samples. Window and hop are given in seconds, so that bin $f$ is
    centred on $f$ / `window` hertz at every sampling rate. $F = \lfloor w/2 \rfloor + 1$ bins reach up to half of the rate, and the
    $N = \lfloor T/H \rfloor + 1$ frames are centred on multiples of $H$; the record is mirrored at its ends. Twelve leads of 1000
    samples at 100 Hz become 12 x 51 x 41 with the default sizes.

    One mean and one deviation a lead standardise all cells of that lead (batch statistics in training, running ones in evaluation,
    nothing learned). They are shared by all frequencies on purpose: a mean of its own for each bin would lift the empty bins near
    half of the sampling rate to the size of the QRS complex.

    The transform runs in float32 also under autocast: half precision would round the small bins away beside the large ones.
    """

    def __init__(self, signal: SignalSpec, *, window: float = 1.0, hop: float = 0.25) -> None:
        super().__init__()
        self.window_samples = in_samples("window", window, signal, least=2)
        self.hop_samples = in_samples("hop", hop, signal, least=1)
        if self.hop_samples > self.window_samples:
            raise ConfigurationError(f"hop is {hop} s, longer than the window of {window} s, so that samples between two windows would be "
                                     f"lost; use at most {window}")
        if signal.n_samples < self.window_samples:
            raise ConfigurationError(f"the signal lasts {signal.seconds:g} s, less than one window of {window} s; give a longer signal, or "
                                     f"a window of at most {signal.seconds:g}")
        self.register_buffer("window", torch.hann_window(self.window_samples, periodic=True), persistent=False)
        self.register_buffer("running_mean", torch.zeros(signal.n_leads))
        self.register_buffer("running_variance", torch.ones(signal.n_leads))

    def log_magnitude(self, x: Tensor) -> Tensor:
        """The image before it is standardised: [B, L, T] -> float32 [B, L, F, N]."""
        with torch.autocast(x.device.type, enabled=False):
            transform = torch.stft(x.float().flatten(0, 1), self.window_samples, self.hop_samples, window=self.window.float(),
                                   center=True, pad_mode="reflect", return_complex=True)      # [B L, F, N]
            return transform.abs().log1p().unflatten(0, x.shape[:2])

    def forward(self, x: Tensor) -> Tensor:
        # a function and not a layer: this prepares the input, and the notes' counts are those of layers
        return functional.batch_norm(self.log_magnitude(x), self.running_mean, self.running_variance, training=self.training)


def in_samples(name: str, seconds: object, signal: SignalSpec, least: int) -> int:
    """`seconds` as a number of samples of `signal`; ConfigurationError where that is not a number or gives fewer than `least`."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise ConfigurationError(f"{name} is {seconds!r}; it must be a number of seconds above 0, such as 0.5")
    samples = round(seconds * signal.fs)
    if samples < least:
        raise ConfigurationError(f"{name} is {seconds} s, {samples} samples at {signal.fs} Hz; it must be at least {least / signal.fs:g} s")
    return samples
