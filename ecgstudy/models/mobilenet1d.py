"""MobileNetV2 in one dimension, the study notes' small baseline."""

from __future__ import annotations

from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.pooling import MeanHead
from ecgstudy.models.registry import register
from ecgstudy.signal import SignalSpec

# expansion, channels, blocks, stride of the first block (the paper's table 2)
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def conv_norm(dim: int, out_dim: int, kernel: int, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution without bias and its batch norm."""
    conv = nn.Conv1d(dim, out_dim, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm1d(out_dim)]


class InvertedResidual(nn.Module):
    """Widen, convolve each channel, narrow: [B, dim, N] -> [B, out_dim, ceil(N / stride)]."""

    def __init__(self, dim: int, out_dim: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = dim * expansion
        widen = [*conv_norm(dim, hidden, 1), nn.ReLU6()] if expansion > 1 else []
        self.layers = nn.Sequential(*widen, *conv_norm(hidden, hidden, 3, stride=stride, groups=hidden), nn.ReLU6(),
                                    *conv_norm(hidden, out_dim, 1))
        self.residual = stride == 1 and dim == out_dim

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class MobileNet1d(nn.Module):
    """Stem Conv3 stride 2 to 32 channels, the seven stages of STAGES, Conv1 to 1280, mean over time, Linear.

    Lengths at T = 1000: 500, 500, 250, 125, 63, 63, 32, 32. Meets the notes' printed 2.19M parameters. Like the
    ResNets', its kernels are the image network's and do not scale with the sampling rate.
    """

    def __init__(self, n_leads: int, n_classes: int, width: float) -> None:
        super().__init__()

        def widened(channels: int) -> int:
            return whole_channels(channels * width)

        dim = widened(32)
        layers: list[nn.Module] = [*conv_norm(n_leads, dim, 3, stride=2), nn.ReLU6()]
        for expansion, channels, depth, stride in STAGES:
            for block in range(depth):
                layers.append(InvertedResidual(dim, widened(channels), stride if block == 0 else 1, expansion))
                dim = widened(channels)
        last = whole_channels(1280 * max(1.0, width))
        self.features = nn.Sequential(*layers, *conv_norm(dim, last, 1), nn.ReLU6())
        self.head = MeanHead(last, n_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> [B, C, ceil(T / 32)]"""
        return self.features(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


def whole_channels(channels: float) -> int:
    """The nearest multiple of 8, at least 8 and never more than a tenth below `channels`, as the paper's code rounds widths."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


@register(paper="M. Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018, arXiv 1801.04381")
def mobilenetv2(signal: SignalSpec, n_classes: int, *, width: float = 1.0) -> nn.Module:
    """MobileNetV2-1D. width: multiplies every channel count, rounded to multiples of 8; the last layer keeps at least 1280."""
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width < float("inf"):
        raise ConfigurationError(f"width is {width!r}; it must be a number above 0, such as 0.5 or 1.0")
    return MobileNet1d(signal.n_leads, n_classes, width)
