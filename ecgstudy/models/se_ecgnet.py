r"""SE-ECGNet: first every lead for itself, in an image, with shared weights; then all leads together, along time.

The record is a grey image of one row a lead. Two-dimensional convolutions whose kernels are one row high apply the same weights to
every lead and mix none; each block ends in a squeeze-and-excitation gate, which reads the mean over *all* leads and times. Then the
channels and the leads become one axis, and one-dimensional convolutions mix them:

$$[B, C, L, N] \to [B, C L, N].$$

Kernels are long at first, for context, and short later. Three branches with kernels 3, 5 and 7 run side by side through the second
half of the image part and through all of the one-dimensional part, and meet in the last linear map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.checks import require_count, require_counts, require_odd
from ecgstudy.layers.map_gate import MapSqueezeExcite
from ecgstudy.models.registry import register
from ecgstudy.models.sampling import at_rate, odd_at_rate
from ecgstudy.signal import SignalSpec

PAPER = ("H. Zhang, W. Zhao, S. Liu, SE-ECGNet: A Multi-scale Deep Residual Network with Squeeze-and-Excitation Module for ECG Signal "
         "Classification, BIBM 2020, arXiv 2012.05510")
CONVS = 3                   # in a chain


class LeadConv(nn.Sequential):
    """Norm, ReLU, dropout, then a kernel along time on every lead alike: [B, dim, L, N] -> [B, out_dim, L, ceil(N / stride)]."""

    def __init__(self, dim: int, out_dim: int, kernel: int, *, stride: int = 1, dropout: float = 0.0) -> None:
        super().__init__(nn.BatchNorm2d(dim), nn.ReLU(), nn.Dropout(dropout),
                         nn.Conv2d(dim, out_dim, (1, kernel), stride=(1, stride), padding=(0, kernel // 2), bias=False))


class MixedConv(nn.Sequential):
    """The same with the leads among the channels: [B, dim, N] -> [B, out_dim, ceil(N / stride)]."""

    def __init__(self, dim: int, out_dim: int, kernel: int, *, stride: int = 1, dropout: float = 0.0) -> None:
        super().__init__(nn.BatchNorm1d(dim), nn.ReLU(), nn.Dropout(dropout),
                         nn.Conv1d(dim, out_dim, kernel, stride=stride, padding=kernel // 2, bias=False))


class ShrinkBlock(nn.Module):
    r"""A long kernel of stride 2 on every lead, gated, beside a projection: [B, C, L, N] -> [B, C, L, ceil(N / 2)].

    $$\mathrm{ReLU}\big(\mathrm{SE}(F(x)) + P(x)\big),\qquad P = \mathrm{Conv}_{1 \times 1}(\mathrm{ReLU}(\mathrm{BN}(x)))$$
    """

    def __init__(self, dim: int, kernel: int, reduction: int) -> None:
        super().__init__()
        self.scan = LeadConv(dim, dim, kernel, stride=2)
        self.gate = MapSqueezeExcite(dim, reduction=reduction)
        self.project = nn.Sequential(nn.BatchNorm2d(dim), nn.ReLU(), nn.Conv2d(dim, dim, 1, stride=(1, 2)))

    def forward(self, x: Tensor) -> Tensor:
        return (self.gate(self.scan(x)) + self.project(x)).relu()


class LeadBlock(nn.Module):
    """A chain of convolutions on every lead, gated, beside the identity, then ReLU: [B, C, L, N] -> [B, C, L, N]."""

    def __init__(self, dim: int, kernel: int, reduction: int, dropout: float) -> None:
        super().__init__()
        self.chain = nn.Sequential(*(LeadConv(dim, dim, kernel, dropout=dropout if i else 0.0) for i in range(CONVS)))
        self.gate = MapSqueezeExcite(dim, reduction=reduction)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.gate(self.chain(x))).relu()


class MixedBlock(nn.Module):
    r"""Half the length beside a projection, then a chain beside the identity, both gated: [B, dim, N] -> [B, out_dim, ceil(N / 2)].

    $$y = \mathrm{SE}(F(x)) + P(x),\qquad \mathrm{ReLU}\big(y + \mathrm{SE}(G(y))\big)$$
    """

    def __init__(self, dim: int, out_dim: int, kernel: int, reduction: int, dropout: float) -> None:
        super().__init__()
        self.shrink = MixedConv(dim, out_dim, kernel, stride=2)
        self.shrink_gate = MapSqueezeExcite(out_dim, reduction=reduction)
        self.project = nn.Sequential(nn.BatchNorm1d(dim), nn.ReLU(), nn.Conv1d(dim, out_dim, 1, stride=2))
        self.chain = nn.Sequential(*(MixedConv(out_dim, out_dim, kernel, dropout=dropout) for _ in range(CONVS)))
        self.gate = MapSqueezeExcite(out_dim, reduction=reduction)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shrink_gate(self.shrink(x)) + self.project(x)
        return (x + self.gate(self.chain(x))).relu()


class Branch(nn.Module):
    """One scale: blocks on every lead, the leads moved among the channels, blocks along time: [B, C, L, N] -> [B, mixed, N']."""

    def __init__(self, by_lead: Sequence[nn.Module], mixed: Sequence[nn.Module]) -> None:
        super().__init__()
        self.by_lead, self.mixed = nn.Sequential(*by_lead), nn.Sequential(*mixed)

    def forward(self, x: Tensor) -> Tensor:
        return self.mixed(self.by_lead(x).flatten(1, 2))                                # [B, C, L, N] -> [B, C L, N]


class SeEcgNet(nn.Module):
    """Stem and shrinking blocks on the image, branches of different kernels, and a linear map of the means of all of them."""

    def __init__(self, stem: nn.Module, shrink: nn.Module, branches: Sequence[Branch], mixed_width: int, n_classes: int) -> None:
        super().__init__()
        self.stem, self.shrink = stem, shrink
        self.branches = nn.ModuleList(branches)
        self.head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(mixed_width * len(branches), n_classes))

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> the branches' last maps, joined: [B, 3 x mixed, N]"""
        x = self.shrink(self.stem(x.unsqueeze(1)))                                      # [B, C, L, T / 16]
        return torch.cat([branch(x) for branch in self.branches], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


@register(
    paper=PAPER,
    fidelity="Built from the official code, whose parameter count is met when every block has its own projection; the published file "
             "shares one projection among the blocks of a stage, which is taken for a slip here. How the paper cut the MIT-BIH records is "
             "open.",
    choices=("Half of the width, with a reduction of 8 in the gates, since 16 would leave a single hidden unit.",
             "A padded stem, so that ten seconds at 100 Hz become 500 columns; the official stem has no padding, and gets 2048 samples.",
             "Each block has its own projection.",
             "Twelve leads; the official code has eight, and fixes its widths for them.",
             "Binary cross-entropy, the study's recipe, records and signal processing; the official code has a focal loss, summed, and no "
             "scaling of the signal."),
    sizes={"study": ({}, 4_460_935), "paper": ({"width": 32, "mixed_width": 256, "reduction": 16}, 17_590_631)},
    quick={"width": 8, "mixed_width": 64},
)
def se_ecgnet(signal: SignalSpec, n_classes: int, *, width: int = 16, mixed_width: int = 128, depths: Sequence[int] = (3, 4, 4),
              stem_kernel: int = 50, kernel: int = 15, kernels: Sequence[int] = (3, 5, 7), reduction: int = 8,
              dropout: float = 0.2) -> nn.Module:
    """Every lead for itself in two dimensions, then all leads together in one, at three scales.

    | part | layers | output at 12 x 1000 |
    | --- | --- | --- |
    | stem | 1 x 50 stride 2, BN, ReLU | [B, 16, 12, 500] |
    | block 1, three times | 1 x 15 stride 2, SE; + projection | [B, 16, 12, 250], 125, 63 |
    | block 2, four times a branch | three 1 x k, SE; + identity | [B, 16, 12, 63] |
    | flatten | leads among the channels | [B, 192, 63] |
    | block 3, four times a branch | k stride 2, SE; + projection; three k, SE; + identity | [B, 128, 32], 16, 8, 4 |
    | joined | branches k = 3, 5, 7 | [B, 384, 4] |
    | head | mean over time, Linear | [B, K] |

    width: channels of the image part. mixed_width: of the one-dimensional part. depths: blocks 1, 2 and 3. stem_kernel, kernel, kernels:
    of the stem, of block 1, and one branch each; in samples at 100 Hz. reduction: of the gates. dropout: before the convolutions of a
    chain, but not before the first of block 2.

    Raises ConfigurationError for a record shorter than the stem's kernel.
    """
    width, mixed_width = require_count("width", width), require_count("mixed_width", mixed_width)
    depths, kernels = require_counts("depths", depths), require_counts("kernels", kernels)
    reduction = require_count("reduction", reduction)
    if len(depths) != 3:
        raise ConfigurationError(f"depths is {depths}; give three numbers, for the blocks 1, 2 and 3")
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ConfigurationError(f"dropout is {dropout!r}; it must be at least 0 and below 1")
    samples = at_rate(require_count("stem_kernel", stem_kernel, least=2), signal)
    if signal.n_samples < samples:
        raise ConfigurationError(f"the signal has {signal.n_samples} samples, fewer than the stem's kernel of {samples}; give at least "
                                 f"{samples / signal.fs:g} s, or a smaller stem_kernel")
    long = odd_at_rate(require_odd("kernel", kernel), signal)

    stem = nn.Sequential(nn.Conv2d(1, width, (1, samples), stride=(1, 2), padding=(0, (samples - 1) // 2), bias=False),
                         nn.BatchNorm2d(width), nn.ReLU())
    shrink = nn.Sequential(*(ShrinkBlock(width, long, reduction) for _ in range(depths[0])))
    branches = []
    for short in (odd_at_rate(require_odd("kernels", size), signal) for size in kernels):
        dims = [width * signal.n_leads] + [mixed_width] * (depths[2] - 1)
        branches.append(Branch([LeadBlock(width, short, reduction, dropout) for _ in range(depths[1])],
                               [MixedBlock(dim, mixed_width, short, reduction, dropout) for dim in dims]))
    return SeEcgNet(stem, shrink, branches, mixed_width, n_classes)
