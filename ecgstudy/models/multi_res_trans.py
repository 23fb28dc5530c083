r"""MRTNet: units of a beat's length at several sampling rates, two poolings of each, and a transformer over the units.

**Idea.** Infarction is read beat by beat, and a network that sees the strip as a whole loses the beats' order. So the strip is cut into
overlapping units, every unit is looked at in several sampling rates, each by its own residual network with squeeze-and-excitation, and
a transformer relates the units to each other. What the transformer reads of a unit is two summaries side by side: the mean of the map
(the unit as a whole) and its maximum (its most telling moment).

**Formulas**, for the units $u_1 \dots u_S \in \mathbb{R}^{L \times W}$ of a record, at each rate r:

$$F_s = \mathrm{ResNet}_r\big(\mathrm{AvgPool}_r(u_s)\big) \in \mathbb{R}^{C \times N},\qquad
p_s = W_p\,\big[\mathrm{mean}_n F_s\,;\ \max_n F_s\big] + b_p$$

$$z^{(r)} = \mathrm{Encoder}(p_1 + e_1, \dots, p_S + e_S),\qquad \ell = W\,\big[\mathrm{mean}_s z^{(r)}_s\big]_{r} + b$$

e are learned positions; encoder and positions are the same for every rate.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.attention.mhsa import MHSA
from ecgstudy.layers.blocks import Block
from ecgstudy.layers.channel import SqueezeExcite
from ecgstudy.layers.checks import require_count, require_counts, require_divisible
from ecgstudy.layers.mixers import MLP
from ecgstudy.layers.positions import LearnedPosition
from ecgstudy.models.registry import register
from ecgstudy.models.sampling import at_rate, odd_at_rate
from ecgstudy.signal import SignalSpec

POOLINGS = ("both", "mean", "max")
WINDOW, HOP = 200, 100              # samples at 100 Hz: a unit of 2 s, half of it shared with the next
STEM_KERNEL, KERNEL = 7, 5          # samples at 100 Hz, in the samples of each rate
LEAST_SQUEEZED, REDUCTION = 4, 16
DROPOUT, HEAD_DROPOUT = 0.1, 0.3


class Units(nn.Module):
    """Overlapping units of a record: [B, L, T] -> [B, S, L, W], S = 1 + ceil((T - W) / hop). The last one is filled up with zeros."""

    def __init__(self, window: int, hop: int) -> None:
        super().__init__()
        self.window, self.hop = window, hop

    def count(self, n_samples: int) -> int:
        """How many units a record of `n_samples` has."""
        return 1 + -(-max(0, n_samples - self.window) // self.hop)

    def forward(self, x: Tensor) -> Tensor:
        missing = (self.count(x.shape[-1]) - 1) * self.hop + self.window - x.shape[-1]
        return F.pad(x, (0, missing)).unfold(-1, self.window, self.hop).transpose(1, 2)


class SqueezeExciteBlock(nn.Module):
    """Conv, BN, ReLU, Conv, BN, squeeze-and-excitation, shortcut, ReLU: [B, dim, N] -> [B, out_dim, ceil(N / stride)]."""

    def __init__(self, dim: int, out_dim: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv1d(dim, out_dim, kernel, stride=stride, padding=kernel // 2, bias=False), nn.BatchNorm1d(out_dim), nn.ReLU(),
            nn.Conv1d(out_dim, out_dim, kernel, padding=kernel // 2, bias=False), nn.BatchNorm1d(out_dim))
        self.gate = SqueezeExcite(out_dim, reduction=max(1, out_dim // max(LEAST_SQUEEZED, out_dim // REDUCTION)))
        self.shortcut = nn.Identity() if stride == 1 and dim == out_dim else nn.Sequential(
            nn.Conv1d(dim, out_dim, 1, stride=stride, bias=False), nn.BatchNorm1d(out_dim))

    def forward(self, x: Tensor) -> Tensor:
        weighed = self.gate(self.residual(x).transpose(1, 2)).transpose(1, 2)             # the gate works on [B, N, dim]
        return torch.relu(weighed + self.shortcut(x))


class PoolingPair(nn.Module):
    r"""$[\mathrm{mean}_n F\,;\ \max_n F]$, or one of the two: [B, C, N] -> [B, 2C] or [B, C]. The paper's custom pooling component."""

    def __init__(self, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, x: Tensor) -> Tensor:
        parts = [x.mean(dim=-1)] if self.pooling != "max" else []
        parts += [x.amax(dim=-1)] if self.pooling != "mean" else []
        return torch.cat(parts, dim=-1)


class Rate(nn.Module):
    """One sampling rate: units [U, L, W] -> one vector each, [U, dim].

    The averages of every `factor` samples, a stem of stride 2, two stages of two blocks (the second halves the length), the pair of
    poolings, and a linear map.
    """

    def __init__(self, factor: int, n_leads: int, widths: tuple[int, int], dim: int, pooling: str, kernels: tuple[int, int]) -> None:
        super().__init__()
        (first, second), (wide, kernel) = widths, kernels
        self.factor = factor
        self.sample = nn.AvgPool1d(factor)
        self.stem = nn.Sequential(nn.Conv1d(n_leads, first, wide, stride=2, padding=wide // 2, bias=False), nn.BatchNorm1d(first),
                                  nn.ReLU())
        self.stages = nn.Sequential(SqueezeExciteBlock(first, first, kernel), SqueezeExciteBlock(first, first, kernel),
                                    SqueezeExciteBlock(first, second, kernel, stride=2), SqueezeExciteBlock(second, second, kernel))
        self.pool = PoolingPair(pooling)
        self.project = nn.Linear(second * (1 + (pooling == "both")), dim)

    def maps(self, units: Tensor) -> Tensor:
        """units: [U, L, W] -> the last map, [U, C, N]."""
        return self.stages(self.stem(self.sample(units)))

    def forward(self, units: Tensor) -> Tensor:
        return self.project(self.pool(self.maps(units)))


class Encoder(nn.Module):
    """Positions, then pre-norm transformer blocks over the units, then a LayerNorm: [B, S, dim] -> [B, S, dim]."""

    def __init__(self, n_units: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.position = LearnedPosition(n_units, dim)
        self.blocks = nn.Sequential(*(Block(
            dim, norm=nn.LayerNorm, token_mixer=lambda d: nn.Sequential(MHSA(d, heads), nn.Dropout(DROPOUT)),
            channel_mixer=lambda d: nn.Sequential(MLP(d), nn.Dropout(DROPOUT))) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.blocks(self.position(x)))


class MultiResTrans(nn.Module):
    """Units, a network for each rate, one encoder for all, and a linear head on the mean over units."""

    def __init__(self, units: Units, rates: Sequence[Rate], encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.units, self.rates, self.encoder, self.head = units, nn.ModuleList(rates), encoder, head

    def unit_vectors(self, x: Tensor) -> list[Tensor]:
        """x: [B, L, T] -> for each rate what the encoder reads, [B, S, dim]."""
        units = self.units(x)                                                             # [B, S, L, W]
        return [rate(units.flatten(0, 1)).unflatten(0, units.shape[:2]) for rate in self.rates]

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> the encoder's outputs of all rates side by side, [B, rates * dim, S]."""
        encoded = [self.encoder(vectors) for vectors in self.unit_vectors(x)]
        return torch.cat(encoded, dim=-1).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


@register(
    paper="Multi-scale SE-residual network with transformer encoder for myocardial infarction classification (MRTNet), Applied Soft "
          "Computing, 2023 (authors, volume and DOI are not established; journal and year from the study notes)",
    fidelity="Built from the abstract and the study notes alone: they name the units, the scales, the blocks, the two poolings, the "
             "encoder and the fusion. Every kernel, width, stride, window, rate and depth, and the whole recipe, are open; no official "
             "code is known.",
    choices=("Units of 2 s that begin every second, so that any event of up to a second lies whole in one of them; no R-peaks are sought.",
             "A scale is a sampling rate: means of 1, 2 and 4 samples, without parameters, so that the units of all rates stand at "
             "the same time. Parallel kernels or windows of several lengths would be other readings.",
             "Stem of kernel 7, blocks of kernel 5, 64 and 128 channels, two blocks each; squeezed to a sixteenth, to no fewer than 4.",
             "The two poolings are joined and mapped to 128 numbers; of the paper only the two are known.",
             "One encoder for all rates: two pre-norm layers of four heads, learned positions, dropout 0.1.",
             "Rates are fused by joining their means over units; dropout 0.3 before the last layer.",
             "Nine labels of a strip; the paper classifies infarction on PTB-XL."),
    sizes={"study": ({}, 1_537_489), "mean": ({"pooling": "mean"}, 1_488_337), "max": ({"pooling": "max"}, 1_488_337)},
    quick={"widths": (32, 64), "dim": 64})
def multi_res_trans(signal: SignalSpec, n_classes: int, *, rates: Sequence[int] = (1, 2, 4), widths: Sequence[int] = (64, 128),
                    dim: int = 128, depth: int = 2, heads: int = 4, pooling: str = "both") -> nn.Module:
    r"""MRTNet at the study's size; at 12 x 1000 and the defaults:

    | stage | layers | output |
    | --- | --- | --- |
    | units | windows of 2 s, every second | [B, 9, 12, 200] |
    | sampling, for each rate | means of 1, 2 or 4 samples | [9B, 12, 200 / 100 / 50] |
    | stem | Conv7 stride 2, BN, ReLU | [9B, 64, 100 / 50 / 25] |
    | stage 1 | two SE blocks | the same |
    | stage 2 | two SE blocks, the first of stride 2 | [9B, 128, 50 / 25 / 13] |
    | poolings | mean and maximum joined, Linear | [B, 9, 128] |
    | encoder, shared | positions, 2 blocks, LayerNorm | [B, 9, 128] |
    | fusion | rates joined (the feature map) | [B, 384, 9] |
    | head | mean over units, dropout 0.3, Linear | [B, K] |

    rates: samples averaged, one network each. widths: channels of the two stages. dim, depth, heads: of the encoder. pooling: "both",
    "mean" or "max". Windows and kernels are in samples at 100 Hz and grow with the sampling rate.

    Raises ConfigurationError for a record shorter than one unit.
    """
    require_known("pooling", pooling, POOLINGS)
    rates, widths = require_counts("rates", rates), require_counts("widths", widths)
    if len(widths) != 2:
        raise ConfigurationError(f"{len(widths)} widths; give two, one for each stage")
    require_count("depth", depth)
    require_divisible("dim", require_count("dim", dim), "heads", require_count("heads", heads))
    units = Units(at_rate(WINDOW, signal), at_rate(HOP, signal))
    if signal.n_samples < units.window:
        raise ConfigurationError(f"a record of {signal.n_samples} samples is shorter than one unit of {units.window} (2 s); give longer "
                                 "records")
    kernels = odd_at_rate(STEM_KERNEL, signal), odd_at_rate(KERNEL, signal)
    networks = [Rate(factor, signal.n_leads, widths, dim, pooling, kernels) for factor in rates]
    head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Dropout(HEAD_DROPOUT), nn.Linear(len(rates) * dim, n_classes))
    return MultiResTrans(units, networks, Encoder(units.count(signal.n_samples), dim, depth, heads), head)
