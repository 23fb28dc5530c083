r"""IM-ECG: the record as an image of leads and time, whose lead axis stays until the last map.

A one-dimensional network mixes the leads in its first layer, and from then on no part of it belongs to a lead. Here the record is
an image with one colour, twelve rows and $T$ columns. Nothing shrinks its rows: strides act on time alone, and the last
feature map still has a row for each lead. What a class's logit draws from that map can therefore be read lead by lead.

Two kernels scan the image. A *row* kernel, 1 x n, moves along one lead and knows no other; an *area* kernel, k x n with $k = 3$,
sees a lead together with the rows above and below it:

$$y_{l,t} = \sum_{j} w_j\, x_{l,\,t+j}
\qquad\text{and}\qquad
y_{l,t} = \sum_{i=-1}^{1} \sum_{j} w_{ij}\, x_{l+i,\,t+j}.$$
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

PAPER = ("R. Tao, L. Wang, Y. Xiong, Y.-R. Zeng, IM-ECG: An interpretable framework for arrhythmia detection using multi-lead ECG, "
         "Expert Systems with Applications 237, 2024, doi 10.1016/j.eswa.2023.121497")


class Scan(nn.Sequential):
    """One convolution over the image, its norm and activation before it: [B, dim, L, N] -> [B, out_dim, L, ceil(N / stride)].

    kernel: (leads, samples), both odd. The padding keeps every lead, and the stride acts on time alone.
    """

    def __init__(self, dim: int, out_dim: int, kernel: tuple[int, int], *, stride: int = 1, dropout: float = 0.0) -> None:
        super().__init__(nn.BatchNorm2d(dim), nn.ReLU(), nn.Dropout(dropout),
                         nn.Conv2d(dim, out_dim, kernel, stride=(1, stride), padding=(kernel[0] // 2, kernel[1] // 2)))


class ScanBlock(nn.Module):
    r"""Scans in a row, a projection past them, and a squeeze-and-excitation gate on the scans or on the sum.

    $$\mathrm{SE}(F(x)) + P(x) \qquad\text{or}\qquad \mathrm{SE}\big(F(x) + P(x)\big),\qquad
    P = \mathrm{BN}(\mathrm{Conv}_{1 \times 1}(x))$$
    """

    def __init__(self, dim: int, out_dim: int, scans: Sequence[Scan], *, stride: int = 1, reduction: int,
                 gate_the_sum: bool = False) -> None:
        super().__init__()
        self.scans = nn.Sequential(*scans)
        self.project = nn.Sequential(nn.Conv2d(dim, out_dim, 1, stride=(1, stride)), nn.BatchNorm2d(out_dim))
        self.gate = MapSqueezeExcite(out_dim, reduction=reduction)
        self.gate_the_sum = gate_the_sum

    def forward(self, x: Tensor) -> Tensor:
        if self.gate_the_sum:
            return self.gate(self.scans(x) + self.project(x))
        return self.gate(self.scans(x)) + self.project(x)


def dual_kernel_block(dim: int, out_dim: int, area: tuple[int, int], row: tuple[int, int], *, reduction: int,
                      dropout: float = 0.0) -> ScanBlock:
    """The dual-kernel residual block (DKR): an area scan of stride 2, then a row scan, gated on the sum."""
    scans = (Scan(dim, out_dim, area, stride=2), Scan(out_dim, out_dim, row, dropout=dropout))
    return ScanBlock(dim, out_dim, scans, stride=2, reduction=reduction, gate_the_sum=True)


def row_block(dim: int, row: tuple[int, int], pairs: int, *, reduction: int, dropout: float = 0.0) -> ScanBlock:
    """Pairs of row scans in one chain under one shortcut; the second scan of each pair drops out."""
    scans = [Scan(dim, dim, row, dropout=rate) for _ in range(pairs) for rate in (0.0, dropout)]
    return ScanBlock(dim, dim, scans, reduction=reduction)


class ImEcg(nn.Module):
    """Stem, trunk, three tails of different kernels side by side, a merging 1 x 1 convolution, and a linear map of its mean.

    stem: on [B, 1, L, T]. merge: its output is the last feature map, and the head reads nothing but that map's mean.
    """

    def __init__(self, stem: nn.Module, trunk: nn.Module, tails: Sequence[nn.Module], dim: int, n_classes: int) -> None:
        super().__init__()
        self.stem, self.trunk = stem, trunk
        self.tails = nn.ModuleList(tails)
        self.merge = nn.Conv2d(dim * len(tails), dim * len(tails), 1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(dim * len(tails), n_classes))

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> the merged map [B, C, L, N], a row for each lead"""
        x = self.trunk(self.stem(x.unsqueeze(1)))                                       # [B, C', L, T / 8]
        return self.merge(torch.cat([tail(x) for tail in self.tails], dim=1))           # [B, C, L, N = T / 16]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


@register(
    paper=PAPER,
    fidelity="Built from an unofficial re-implementation whose parameter count is met at full width; neither the paper's text nor official "
             "code was at hand, so its figure may differ, and its data, loss, recipe and results are not known to this study.",
    choices=("A quarter of the width: 8 channels where the re-implementation has 32.",
             "The area kernels pad the lead axis, so that all twelve rows reach the last map; whether the paper lets it shrink is open.",
             "A sigmoid a label with binary cross-entropy; the paper's loss is not established.",
             "The study's own recipe, records and signal processing, and no added noise.",
             "Grad-CAM is read at the output of the merging convolution.",
             "Kernels are given at 100 Hz and grow with the sampling rate; strides do not."),
    sizes={"study": ({}, 1_609_161), "half": ({"width": 16}, 6_412_681), "paper": ({"width": 32}, 25_602_825)},
    quick={"width": 4, "pairs": (1, 1, 1)},
)
def im_ecg(signal: SignalSpec, n_classes: int, *, width: int = 8, pairs: Sequence[int] = (1, 3, 5), stem_kernel: int = 50, kernel: int = 15,
           tails: Sequence[int] = (5, 7, 15), area_leads: int = 3, row_leads: int = 1, reduction: int = 4,
           dropout: float = 0.5) -> nn.Module:
    """The record scanned as an image, from a stem of half a second to a map of leads and time.

    | part | layers | output at 12 x 1000 and width 8 |
    | --- | --- | --- |
    | stem | 1 x 50 stride 2, BN, ReLU | [B, 8, 12, 500] |
    | block 1a | area 3 x 15 stride 2, SE; + projection | [B, 16, 12, 250] |
    | block 1b | 1 pair of row scans 1 x 15, SE; + projection | [B, 16, 12, 250] |
    | block 2a | dual kernel: area 3 x 15 stride 2, row 1 x 15; + projection; SE | [B, 32, 12, 125] |
    | block 2b | 3 pairs of row scans 1 x 15, SE; + projection | [B, 32, 12, 125] |
    | block 3a, three times | dual kernel, n = 5, 7 and 15 | [B, 64, 12, 63] |
    | block 3b, three times | 5 pairs of row scans 1 x n, SE; + projection | [B, 64, 12, 63] |
    | merge | joined, 1 x 1 | [B, 192, 12, 63] |
    | head | mean over leads and time, Linear | [B, K] |

    width: channels of the stem; the blocks have 2, 4 and 8 times as many. pairs: row scans of blocks 1b, 2b and 3b, in pairs. tails: one
    branch for each kernel. kernel: samples of the scans before them. area_leads, row_leads: leads that an area and a row kernel see;
    area_leads 1 leaves the leads apart until the mean, row_leads 3 makes every scan an area scan. reduction: of the gates. dropout:
    before the second scan of each pair from block 2b on, and in 3a.

    All kernels are in samples at 100 Hz. Raises ConfigurationError for a record shorter than the stem's kernel.
    """
    w, reduction = require_count("width", width), require_count("reduction", reduction)
    pairs, tails = require_counts("pairs", pairs), require_counts("tails", tails)
    if len(pairs) != 3:
        raise ConfigurationError(f"pairs is {pairs}; give three numbers, for the blocks 1b, 2b and 3b")
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ConfigurationError(f"dropout is {dropout!r}; it must be at least 0 and below 1")
    samples = at_rate(require_count("stem_kernel", stem_kernel, least=2), signal)
    if signal.n_samples < samples:
        raise ConfigurationError(f"the signal has {signal.n_samples} samples, fewer than the stem's kernel of {samples}; give at least "
                                 f"{samples / signal.fs:g} s, or a smaller stem_kernel")
    area_leads, row_leads = require_odd("area_leads", area_leads), require_odd("row_leads", row_leads)
    n, *tails = (odd_at_rate(require_odd(name, size), signal) for name, size in [("kernel", kernel), *(("tails", tail) for tail in tails)])

    stem = nn.Sequential(nn.Conv2d(1, w, (1, samples), stride=(1, 2), padding=(0, (samples - 1) // 2)), nn.BatchNorm2d(w), nn.ReLU())
    trunk = nn.Sequential(
        ScanBlock(w, 2 * w, [Scan(w, 2 * w, (area_leads, n), stride=2)], stride=2, reduction=reduction),
        row_block(2 * w, (row_leads, n), pairs[0], reduction=reduction),
        dual_kernel_block(2 * w, 4 * w, (area_leads, n), (row_leads, n), reduction=reduction),
        row_block(4 * w, (row_leads, n), pairs[1], reduction=reduction, dropout=dropout))
    branches = [nn.Sequential(
        dual_kernel_block(4 * w, 8 * w, (area_leads, tail), (row_leads, tail), reduction=reduction, dropout=dropout),
        row_block(8 * w, (row_leads, tail), pairs[2], reduction=reduction, dropout=dropout)) for tail in tails]
    return ImEcg(stem, trunk, branches, 8 * w, n_classes)
