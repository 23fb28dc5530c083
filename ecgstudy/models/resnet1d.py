"""ResNet18 and ResNet34 in one dimension, the study notes' baselines."""

from __future__ import annotations

from torch import Tensor, nn

from ecgstudy.layers.checks import require_count
from ecgstudy.models.registry import register
from ecgstudy.signal import SignalSpec

PAPER = "K. He, X. Zhang, S. Ren, J. Sun, Deep Residual Learning for Image Recognition, CVPR 2016, arXiv 1512.03385"


class BasicBlock(nn.Module):
    """Two convolutions of width 3 and a shortcut: [B, dim, N] -> [B, out_dim, ceil(N / stride)]."""

    def __init__(self, dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv1d(dim, out_dim, 3, stride=stride, padding=1, bias=False), nn.BatchNorm1d(out_dim), nn.ReLU(),
            nn.Conv1d(out_dim, out_dim, 3, padding=1, bias=False), nn.BatchNorm1d(out_dim))
        self.shortcut = nn.Identity() if stride == 1 and dim == out_dim else nn.Sequential(
            nn.Conv1d(dim, out_dim, 1, stride=stride, bias=False), nn.BatchNorm1d(out_dim))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.residual(x) + self.shortcut(x))


class ResNet1d(nn.Module):
    """The image network with every kernel replaced by the one-dimensional kernel of the same width.

    | part | layers | output at width 64 and T = 1000 |
    | --- | --- | --- |
    | stem | Conv7 stride 2, BN, ReLU, MaxPool3 stride 2 | [B, 64, 250] |
    | stage 1 | basic blocks | [B, 64, 250] |
    | stages 2–4 | basic blocks, the first of stride 2 and twice as wide | [B, 128, 125], [B, 256, 63], [B, 512, 32] |
    | head | mean over time, Linear | [B, K] |

    Meets the notes' printed counts (3.85M and 7.23M parameters). Kernels do not scale with the sampling rate: the notes' baseline
    takes over the image network's kernels, which mean no time.
    """

    def __init__(self, n_leads: int, n_classes: int, depths: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(n_leads, width, 7, stride=2, padding=3, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
                                  nn.MaxPool1d(3, stride=2, padding=1))
        stages, dim = [], width
        for stage, depth in enumerate(depths):
            out_dim = width * 2**stage
            strides = [1 if stage == 0 else 2] + [1] * (depth - 1)
            dims = [dim] + [out_dim] * (depth - 1)
            stages.append(nn.Sequential(*(BasicBlock(d, out_dim, stride) for d, stride in zip(dims, strides, strict=True))))
            dim = out_dim
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(dim, n_classes))

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> [B, C, ceil(T / 32)]"""
        return self.stages(self.stem(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


@register(paper=PAPER)
def resnet18(signal: SignalSpec, n_classes: int, *, width: int = 64) -> nn.Module:
    """ResNet18-1D: depths 2, 2, 2, 2. width: channels of the stem and the first stage."""
    return ResNet1d(signal.n_leads, n_classes, (2, 2, 2, 2), require_count("width", width))


@register(paper=PAPER)
def resnet34(signal: SignalSpec, n_classes: int, *, width: int = 64) -> nn.Module:
    """ResNet34-1D: depths 3, 4, 6, 3. width: channels of the stem and the first stage."""
    return ResNet1d(signal.n_leads, n_classes, (3, 4, 6, 3), require_count("width", width))
