"""Convolutions along time on tokens [B, N, C].

They run as two-dimensional convolutions on a [B, C, 1, N] view of the tokens. That view is already channels-last, so nothing
is copied, and on a CPU a depth-wise convolution is several times faster in this form than as four `Conv1d` on [B, C, N].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ecgstudy.layers.checks import require_divisible, require_odd
from ecgstudy.layers.norms import TokenBatchNorm


class TokenConv(nn.Module):
    """Convolution along time with bias and "same" padding.

    x: [B, N, dim] -> [B, ceil(N / stride), out_dim]; the kernel is odd, in tokens. dilation: tokens from one weight to the next.
    """

    def __init__(self, dim: int, out_dim: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1) -> None:
        super().__init__()
        require_odd("kernel", kernel)
        self.conv = nn.Conv2d(dim, out_dim, (1, kernel), stride=(1, stride), padding=(0, dilation * (kernel // 2)),
                              dilation=(1, dilation), groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(1).permute(0, 3, 1, 2)              # [B, C, 1, N], channels-last in memory
        return self.conv(x).permute(0, 2, 3, 1).squeeze(1)  # [B, N, C]


class DepthwiseConv(TokenConv):
    """Each channel convolved along time with its own kernel: [B, N, dim] -> [B, N, dim]."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__(dim, dim, kernel, groups=dim)


class MultiScaleDepthwiseConv(nn.Module):
    r"""Equal groups of channels, each seen at its own time scale: [B, N, dim] -> [B, N, dim].

    $$\mathrm{MSDW}(x) = \mathrm{Concat}(\mathrm{DW}_{k_1} x_1, \dots, \mathrm{DW}_{k_G} x_G),\quad
    x_g \in \mathbb{R}^{N \times C/G}$$

    After InceptionNeXt (Yu et al., CVPR 2024, arXiv 2303.16900). Departure, as in the study notes: every channel is convolved,
    no group is passed through unchanged.
    """

    def __init__(self, dim: int, kernels: Sequence[int] = (3, 7, 11, 19)) -> None:
        super().__init__()
        require_divisible("dim", dim, "the number of kernels", len(kernels))
        self.group = dim // len(kernels)
        self.scales = nn.ModuleList(DepthwiseConv(self.group, kernel) for kernel in kernels)

    def forward(self, x: Tensor) -> Tensor:
        groups = x.split(self.group, dim=-1)
        return torch.cat([scale(group) for scale, group in zip(self.scales, groups, strict=True)], dim=-1)


class InvertedBottleneck(nn.Module):
    r"""Widen, convolve at several scales, narrow again: [B, N, dim] -> [B, N, dim].

    $$\mathrm{BN}\big(W_2\,\mathrm{GELU}(\mathrm{BN}(\mathrm{MSDW}(\mathrm{GELU}(\mathrm{BN}(W_1 x)))))\big),\quad
    W_1: C \to 2C,\ W_2: 2C \to C$$

    MobileNetV2's block (Sandler et al., CVPR 2018, arXiv 1801.04381) with the kernels in groups, as in MixConv (Tan & Le 2019).
    It mixes tokens and channels at once.
    """

    def __init__(self, dim: int, kernels: Sequence[int] = (3, 7, 11, 19), *, ratio: int = 2) -> None:
        super().__init__()
        wide = ratio * dim
        self.expand = nn.Sequential(nn.Linear(dim, wide), TokenBatchNorm(wide), nn.GELU())
        self.convolve = nn.Sequential(MultiScaleDepthwiseConv(wide, kernels), TokenBatchNorm(wide), nn.GELU())
        self.reduce = nn.Sequential(nn.Linear(wide, dim), TokenBatchNorm(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.reduce(self.convolve(self.expand(x)))


class ConvModulation(nn.Module):
    r"""A convolution in the place of attention weights: [B, N, dim] -> [B, N, dim].

    $$W_p\big(\mathrm{DW}_k(\mathrm{GELU}(W_a x)) \odot W_v x\big)$$

    Conv2Former (Hou et al., arXiv 2211.11943) in one dimension, where k is 11 as there.
    """

    def __init__(self, dim: int, kernel: int = 11) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), DepthwiseConv(dim, kernel))
        self.value = nn.Linear(dim, dim)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.weigh(x) * self.value(x))
