"""XResNet in one dimension: the residual network after three small repairs, the strongest plain network of PTB-XL's own benchmark.

The repairs are those of He et al., *Bag of Tricks* (2019). The stem is three convolutions of width 3 instead of one of width 7. A
bottleneck strides in its middle convolution, not in its first, which would skip every other sample. And a shortcut that has to be halved is
averaged before its convolution, for the same reason. The head reads the mean and the maximum of each channel side by side.
"""

from __future__ import annotations

from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.checks import require_count
from ecgstudy.layers.pooling import MeanMaxHead
from ecgstudy.models.registry import register
from ecgstudy.signal import SignalSpec

PAPER = ("T. He, Z. Zhang, H. Zhang, Z. Zhang, J. Xie, M. Li, Bag of Tricks for Image Classification with Convolutional Neural Networks, "
         "CVPR 2019, arXiv 1812.01187; in one dimension: N. Strodthoff, P. Wagner, T. Schaeffter, W. Samek, Deep Learning for ECG "
         "Analysis, IEEE Journal of Biomedical and Health Informatics 25 (2021), arXiv 2004.13701")
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}     # blocks in each of the four stages
EXPANSION = {18: 1, 34: 1, 50: 4, 101: 4}       # how much wider a block's output is than its middle; 4: bottlenecks


def conv(dim: int, out_dim: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """A convolution without bias and its norm, [B, dim, N] -> [B, out_dim, ceil(N / stride)]."""
    return [nn.Conv1d(dim, out_dim, kernel, stride=stride, padding=kernel // 2, bias=False), nn.BatchNorm1d(out_dim)]


class XBlock(nn.Module):
    """Two convolutions of width 3, or a bottleneck of widths 1, 3, 1, and a shortcut.

    [B, dim, N] -> [B, width x expansion, ceil(N / stride)]. The shortcut: mean of two samples where the block strides, then a
    convolution of width 1 where the number of channels changes.
    """

    def __init__(self, dim: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        out_dim = width * expansion
        layers = ([*conv(dim, width, 3, stride), nn.ReLU(), *conv(width, out_dim, 3)] if expansion == 1 else
                  [*conv(dim, width, 1), nn.ReLU(), *conv(width, width, 3, stride), nn.ReLU(), *conv(width, out_dim, 1)])
        self.residual = nn.Sequential(*layers)
        halved = [] if stride == 1 else [nn.AvgPool1d(stride, ceil_mode=True)]
        self.shortcut = nn.Sequential(*halved, *([] if dim == out_dim else conv(dim, out_dim, 1)))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.residual(x) + self.shortcut(x))


class XResNet1d(nn.Module):
    """Stem, four stages, and a head on mean and maximum.

    | part | layers | output at depth 18, width 64, T = 1000 |
    | --- | --- | --- |
    | stem | Conv3 stride 2, Conv3, Conv3, each BN and ReLU | [B, 64, 500] |
    | pool | MaxPool3 stride 2 | [B, 64, 250] |
    | stages 1–4 | blocks, twice as wide each, all but stage 1 halve | [B, 64, 250], [B, 128, 125], [B, 256, 63], [B, 512, 32] |
    | head | mean and maximum over time side by side, Linear | [B, K] |

    Bottlenecks (depth 50 and more) make every stage's output four times as wide. Convolutions start from Kaiming's normal in fan-out mode
    and every norm from scale 1. Kernels mean no time and do not grow with the sampling rate.
    """

    def __init__(self, n_leads: int, n_classes: int, depth: int, width: int) -> None:
        super().__init__()
        expansion = EXPANSION[depth]
        layers: list[nn.Module] = []
        dim = n_leads
        for i, out_dim in enumerate((width // 2, width, width)):
            layers += [*conv(dim, out_dim, 3, 2 if i == 0 else 1), nn.ReLU()]
            dim = out_dim
        self.stem = nn.Sequential(*layers)
        self.pool = nn.MaxPool1d(3, stride=2, padding=1)
        stages = []
        for stage, n_blocks in enumerate(DEPTHS[depth]):
            blocks = []
            for place in range(n_blocks):
                blocks.append(XBlock(dim, width * 2**stage, 2 if stage and not place else 1, expansion))
                dim = width * 2**stage * expansion
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.head = MeanMaxHead(dim, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> [B, C, ceil(T / 32)]"""
        return self.stages(self.pool(self.stem(x)))

    def embed(self, x: Tensor) -> Tensor:
        """What the last linear map reads: x [B, L, T] -> [B, 2C]"""
        return self.head.embed(self.forward_features(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


def xresnet(signal: SignalSpec, n_classes: int, depth: int, width: int) -> XResNet1d:
    """Settings checked, then the network; any number of leads."""
    if depth not in tuple(DEPTHS) or isinstance(depth, bool):
        raise ConfigurationError(f"depth is {depth!r}; it must be one of {', '.join(map(str, DEPTHS))}")
    return XResNet1d(signal.n_leads, n_classes, depth, require_count("width", width, least=2))


@register(paper=PAPER, quick={"width": 8})
def xresnet1d(signal: SignalSpec, n_classes: int, *, depth: int = 50, width: int = 64) -> nn.Module:
    """XResNet1d. depth: 18, 34, 50 or 101. width: channels of the first stage; the stem begins with half of them."""
    return xresnet(signal, n_classes, depth, width)
