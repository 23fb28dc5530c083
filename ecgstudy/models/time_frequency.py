"""A network that sees the ECG as an image of time and frequency, and one that sees both the trace and the image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecgstudy.layers.checks import require_count
from ecgstudy.layers.spectrogram import Spectrogram
from ecgstudy.models.registry import register
from ecgstudy.models.resnet1d import PAPER, resnet34
from ecgstudy.signal import SignalSpec

DEPTHS = (3, 4, 6, 3)       # basic blocks of the four stages of a ResNet34


class BasicBlock2d(nn.Module):
    """Two 3 x 3 convolutions and a shortcut: [B, dim, F, N] -> [B, out_dim, ceil(F / stride), ceil(N / stride)]."""

    def __init__(self, dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(dim, out_dim, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(out_dim), nn.ReLU(),
            nn.Conv2d(out_dim, out_dim, 3, padding=1, bias=False), nn.BatchNorm2d(out_dim))
        self.shortcut = nn.Identity() if stride == 1 and dim == out_dim else nn.Sequential(
            nn.Conv2d(dim, out_dim, 1, stride=stride, bias=False), nn.BatchNorm2d(out_dim))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.residual(x) + self.shortcut(x))


class SpectrogramResNet34(nn.Module):
    """The image network ResNet34, whose image is the spectrogram of the twelve leads.

    | part | layers | output at width 64, T = 1000 and 100 Hz |
    | --- | --- | --- |
    | spectrogram | STFT, logarithm, one scale a lead | [B, 12, 51, 41] |
    | stem | Conv7 stride 2, BN, ReLU, MaxPool3 stride 2 | [B, 64, 13, 11] |
    | stage 1 | 3 basic blocks | [B, 64, 13, 11] |
    | stages 2–4 | 4, 6 and 3 basic blocks, the first of stride 2 and twice as wide | [B, 128, 7, 6], [B, 256, 4, 3], [B, 512, 2, 2] |
    | head | mean over frequency and time, Linear | [B, K] |
    """

    def __init__(self, signal: SignalSpec, n_classes: int, width: int, window: float, hop: float) -> None:
        super().__init__()
        self.spectrogram = Spectrogram(signal, window=window, hop=hop)
        self.stem = nn.Sequential(nn.Conv2d(signal.n_leads, width, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                                  nn.MaxPool2d(3, stride=2, padding=1))
        stages, dim = [], width
        for stage, depth in enumerate(DEPTHS):
            out_dim = width * 2**stage
            first = BasicBlock2d(dim, out_dim, stride=1 if stage == 0 else 2)
            stages.append(nn.Sequential(first, *(BasicBlock2d(out_dim, out_dim, stride=1) for _ in range(depth - 1))))
            dim = out_dim
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(dim, n_classes))

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> [B, C, F, N], a map over frequency and time"""
        return self.stages(self.stem(self.spectrogram(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


class TwoStream(nn.Module):
    """ResNet34 on the trace beside ResNet34 on its spectrogram; the pooled features of both are joined before one linear map.

    | part | layers | output at width 64 and T = 1000 |
    | --- | --- | --- |
    | time | ResNet34-1D, mean over time | [B, 512, 1] |
    | frequency | ResNet34-2D on the spectrogram, mean over frequency and time | [B, 512, 1] |
    | head | Linear 1024 -> K | [B, K] |

    The streams share no axis, so `forward_features` gives what the head reads, the joined pooled features. `feature_maps` gives the
    last map of each stream, before pooling.
    """

    def __init__(self, signal: SignalSpec, n_classes: int, width: int, window: float, hop: float) -> None:
        super().__init__()
        time, frequency = resnet34(signal, n_classes, width=width), SpectrogramResNet34(signal, n_classes, width, window, hop)
        self.time = nn.Sequential(time.stem, time.stages)                                             # without their heads
        self.frequency = nn.Sequential(frequency.spectrogram, frequency.stem, frequency.stages)
        self.pool_time = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten())
        self.pool_frequency = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(2 * 8 * width, n_classes))

    def feature_maps(self, x: Tensor) -> dict[str, Tensor]:
        """x: [B, L, T] -> {"time": [B, C, ceil(T / 32)], "frequency": [B, C, F, N]}"""
        return {"time": self.time(x), "frequency": self.frequency(x)}

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> [B, 2 C, 1], the time stream's features first"""
        maps = self.feature_maps(x)
        pooled = (self.pool_time(maps["time"]), self.pool_frequency(maps["frequency"]))               # two of [B, C]
        return torch.cat(pooled, dim=1).unsqueeze(-1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


@register(paper=PAPER)
def stft_resnet34(signal: SignalSpec, n_classes: int, *, width: int = 64, window: float = 1.0, hop: float = 0.25) -> nn.Module:
    """ResNet34-2D on the spectrogram, the notes' frequency network.

    width: channels of the stem and the first stage. window, hop: seconds of the Fourier transform's window and of its step.

    The window is the notes' own, Hann over 100 samples at 100 Hz. The notes do not say the hop, the logarithm, the scaling or the
    padding; these are choices of the study.
    """
    return SpectrogramResNet34(signal, n_classes, require_count("width", width), window, hop)


@register(paper=PAPER)
def two_stream(signal: SignalSpec, n_classes: int, *, width: int = 64, window: float = 1.0, hop: float = 0.25) -> nn.Module:
    """`resnet34` beside `stft_resnet34`, joined before the last linear map; the settings are those of `stft_resnet34`.

    The notes name two streams without saying where they meet. Joining features is a choice of the study.
    """
    return TwoStream(signal, n_classes, require_count("width", width), window, hop)
