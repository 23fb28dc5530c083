r"""MPGT: the record embedded twice, finely and coarsely, and the fine branch let into the coarse one through a gate, level by level.

Short kernels see the shape of one deflection, long ones the course of a beat. A network with one embedding has to choose. This one
has both, as two rows of tokens of equal number, so that token $n$ of either row stands for the same stretch of the record. In each
level $\ell$ both rows pass a block of attention and convolution, $B_\ell$, and then the fine row $f$ is added to the coarse row $c$,
weighed token by token and channel by channel:

$$f_\ell = B^f_\ell(f_{\ell-1}),\qquad
g_\ell = \sigma\big(\tanh(W_\ell f_\ell + b_\ell)\big),\qquad
c_\ell = f_\ell \odot g_\ell + B^c_\ell(c_{\ell-1}).$$

Since $\tanh$ stays within $\pm 1$, the gate stays within $\sigma(\pm 1) = (0.269, 0.731)$: it weighs, and can neither shut nor open.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.attention import MHSA
from ecgstudy.layers.blocks import Layer, Residual
from ecgstudy.layers.checks import require_count, require_divisible, require_odd
from ecgstudy.layers.convs import TokenConv
from ecgstudy.layers.mixers import MLP
from ecgstudy.layers.positions import LearnedPosition
from ecgstudy.models.registry import register
from ecgstudy.models.sampling import at_rate, odd_at_rate
from ecgstudy.signal import SignalSpec

PAPER = ("W. Zhou, H. Wang, Y. Zhang, C. Long, Y. Yang, D. Wang (authors from memory, to be checked), Multi-scale Progressive Gated "
         "Transformer for Physiological Signal Classification, Asian Conference on Machine Learning 2022, PMLR 189")
FUSIONS = ("progressive", "last", "sum", "fine", "coarse")
STRIDE = 4              # samples between two columns of either extractor before its mean
POOLED = 2              # columns that one token is the mean of


# -- two embeddings -----------------------------------------------------------------------------------------------------

def extractor(n_leads: int, stem: int, dim: int, kernels: tuple[int, int], *, fine: bool) -> nn.Sequential:
    """Conv, MaxPool, Conv, AvgPool: [B, L, T] -> [B, dim, N], one token for eight samples.

    fine: a stride of 2 in the first convolution and in the pool behind it; else all of it in the convolution. Both rows are equally long
    for every T.
    """
    first, second = kernels
    stride = 2 if fine else STRIDE
    pool = nn.MaxPool1d(2, ceil_mode=True) if fine else nn.MaxPool1d(3, stride=1, padding=1)
    return nn.Sequential(
        nn.Conv1d(n_leads, stem, first, stride=stride, padding=first // 2), nn.BatchNorm1d(stem), nn.GELU(), pool,
        nn.Conv1d(stem, dim, second, padding=second // 2), nn.BatchNorm1d(dim), nn.GELU(), nn.AvgPool1d(POOLED))


def n_tokens_of(n_samples: int) -> int:
    """Tokens that either extractor makes of a record."""
    return -(-n_samples // STRIDE) // POOLED


class Branch(nn.Module):
    """An extractor and the place of each token: [B, L, T] -> [B, N, dim]."""

    def __init__(self, extract: nn.Module, n_tokens: int, dim: int) -> None:
        super().__init__()
        self.extract, self.place = extract, LearnedPosition(n_tokens, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.place(self.extract(x).transpose(1, 2))


# -- a block: attention and convolution, a feed-forward layer behind each -----------------------------------------------

class TemporalConvolution(nn.Sequential):
    """Two dilated convolutions of width 3, a ReLU behind each: [B, N, dim] -> [B, N, dim]. Both directions of time are seen."""

    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__(TokenConv(dim, dim, 3, dilation=dilation), nn.ReLU(), TokenConv(dim, dim, 3, dilation=dilation), nn.ReLU())


def block(dim: int, heads: int, dilation: int, dropout: float) -> nn.Sequential:
    """MHSA, FFN, TCN, FFN, each behind a LayerNorm and before a residual: [B, N, dim] -> [B, N, dim]."""
    def residual(layer: Layer) -> Residual:
        return Residual(dim, norm=nn.LayerNorm, layer=lambda width: nn.Sequential(layer(width), nn.Dropout(dropout)))

    return nn.Sequential(residual(lambda width: MHSA(width, heads)), residual(MLP),
                         residual(lambda width: TemporalConvolution(width, dilation)), residual(MLP))


# -- what the fine row gives to the coarse one --------------------------------------------------------------------------

class Gate(nn.Module):
    r"""$\sigma(\tanh(W x + b))$, one weight a token and channel, within (0.269, 0.731): [B, N, dim] -> [B, N, dim]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.weigh(x).tanh().sigmoid()


class GatedSum(nn.Module):
    r"""$f \odot g(f) + c$ of fine and coarse tokens [B, N, dim]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gate = Gate(dim)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        return fine * self.gate(fine) + coarse


class PlainSum(nn.Module):
    """Fine and coarse tokens [B, N, dim] added as they are."""

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        return fine + coarse


class Level(nn.Module):
    """A block for each row, then the fine row into the coarse one, where `merge` is given."""

    def __init__(self, fine: nn.Module, coarse: nn.Module, merge: nn.Module | None) -> None:
        super().__init__()
        self.fine, self.coarse, self.merge = fine, coarse, merge

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        fine, coarse = self.fine(fine), self.coarse(coarse)
        return fine, coarse if self.merge is None else self.merge(fine, coarse)


# -- the network --------------------------------------------------------------------------------------------------------

class NormMeanHead(nn.Module):
    """LayerNorm of every token, their mean, one linear map: features [B, C, N] -> logits [B, K]."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.norm, self.classify = nn.LayerNorm(dim), nn.Linear(dim, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(self.norm(features.transpose(1, 2)).mean(dim=1))


class ProgressiveGatedTransformer(nn.Module):
    """Two branches, levels that run side by side, and a head on the coarse row, into which the fine one has flown."""

    def __init__(self, fine: Branch, coarse: Branch, levels: list[Level], head: nn.Module) -> None:
        super().__init__()
        self.fine, self.coarse = fine, coarse
        self.levels = nn.ModuleList(levels)
        self.head = head

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> the last coarse row [B, C, N]"""
        fine, coarse = self.fine(x), self.coarse(x)
        for level in self.levels:
            fine, coarse = level(fine, coarse)
        return coarse.transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


class OneBranch(nn.Module):
    """One of the two branches without the other: the control of the fusion."""

    def __init__(self, branch: Branch, blocks: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.branch, self.blocks, self.head = branch, nn.Sequential(*blocks), head

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> the last row of tokens [B, C, N]"""
        return self.blocks(self.branch(x)).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


@register(
    paper=PAPER,
    fidelity="An unofficial network in the manner of MPGT: no official code was found and the paper's text was not at hand, so only the "
             "order of the extractor's and the block's layers, the two granularities and the formula of the gate are known to be its own.",
    choices=("All kernels, strides, widths, heads, levels and dilations.",
             "Both rows have equally many tokens, so that a gate weighs what stands at the same time.",
             "One gate a level is how \"progressive\" is read; one gate behind the last level is the setting fusion last.",
             "A LayerNorm before each layer of a block and a residual around it; dropout of 0.1 behind each layer.",
             "A learned position for each token, a table a branch.",
             "The temporal convolution looks both ways, because a whole record is at hand.",
             "The head: LayerNorm, mean over tokens, one linear map; a sigmoid a label with binary cross-entropy.",
             "The study's own recipe and records; the paper's data and recipe are not known to this study."),
    sizes={"study": ({}, 2_028_169), "four levels": ({"levels": 4}, 2_639_625), "narrow": ({"width": 64}, 581_897),
           "one gate": ({"fusion": "last"}, 1_995_145), "no gate": ({"fusion": "sum"}, 1_978_633),
           "fine alone": ({"fusion": "fine"}, 956_745), "coarse alone": ({"fusion": "coarse"}, 1_023_305)},
    quick={"width": 64},
)
def progressive_gated_transformer(signal: SignalSpec, n_classes: int, *, width: int = 128, stem_width: int = 64, levels: int = 3,
                                  heads: int = 4, fusion: str = "progressive", fine_kernels: tuple[int, int] = (7, 5),
                                  coarse_kernels: tuple[int, int] = (51, 9), dropout: float = 0.1) -> nn.Module:
    """Two rows of tokens, three levels, a gate in each.

    | part | layers | output at 12 x 1000 and width 128 |
    | --- | --- | --- |
    | fine branch | Conv7 stride 2, BN, GELU, MaxPool2; Conv5, BN, GELU, AvgPool2; + position | [B, 125, 128] |
    | coarse branch | Conv51 stride 4, BN, GELU, MaxPool3 stride 1; Conv9, BN, GELU, AvgPool2; + position | [B, 125, 128] |
    | level 1, 2, 3 | for each row MHSA, FFN, TCN of dilation 1, 2, 4, FFN; then the gated sum | twice [B, 125, 128] |
    | head | LayerNorm, mean over tokens, Linear | [B, K] |

    fusion: "progressive", a gate a level; "last", one gate behind the last level; "sum", no gate, the rows are added in every level;
    "fine" or "coarse", that branch alone. fine_kernels, coarse_kernels: of the two convolutions of an extractor, the first in samples
    at 100 Hz, the second in columns of 40 ms. stem_width: channels between them. dropout: behind each layer of a block.

    Kernels and dilations grow with the sampling rate; strides do not, so that a token is always eight samples. Raises
    ConfigurationError for a record of fewer samples than one token.
    """
    require_known("fusion", fusion, FUSIONS)
    require_divisible("width", require_count("width", width), "heads", require_count("heads", heads))
    require_count("stem_width", stem_width)
    require_count("levels", levels)
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ConfigurationError(f"dropout is {dropout!r}; it must be at least 0 and below 1")
    n_tokens = n_tokens_of(signal.n_samples)
    if n_tokens < 1:
        least = STRIDE * (POOLED - 1) + 1
        raise ConfigurationError(f"the signal has {signal.n_samples} samples, too few for one token; give at least {least}")

    def branch(name: str) -> Branch:
        kernels = tuple(odd_at_rate(require_odd(f"{name}_kernels", kernel), signal)
                        for kernel in require_pair(f"{name}_kernels", {"fine": fine_kernels, "coarse": coarse_kernels}[name]))
        return Branch(extractor(signal.n_leads, stem_width, width, kernels, fine=name == "fine"), n_tokens, width)

    def row() -> list[nn.Module]:
        return [block(width, heads, at_rate(2**level, signal), dropout) for level in range(levels)]

    head = NormMeanHead(width, n_classes)
    if fusion in ("fine", "coarse"):
        return OneBranch(branch(fusion), row(), head)
    merges = {"progressive": [GatedSum(width) for _ in range(levels)], "sum": [PlainSum() for _ in range(levels)],
              "last": [None] * (levels - 1) + [GatedSum(width)]}[fusion]
    stacked = [Level(*parts) for parts in zip(row(), row(), merges, strict=True)]
    return ProgressiveGatedTransformer(branch("fine"), branch("coarse"), stacked, head)


def require_pair(name: str, values: object) -> tuple[int, int]:
    """Return two kernels as a tuple, else raise ConfigurationError."""
    if not isinstance(values, list | tuple) or len(values) != 2:
        raise ConfigurationError(f"{name} is {values!r}; give two kernels, those of the extractor's first and second convolution")
    return tuple(values)


def gates(model: nn.Module) -> dict[int, Gate]:
    """The gates of a network, by their level from 1; none for a network of one branch or of plain sums."""
    levels = getattr(model, "levels", ())
    return {i: level.merge.gate for i, level in enumerate(levels, 1) if isinstance(getattr(level, "merge", None), GatedSum)}


def gate_values(model: nn.Module, x: Tensor) -> dict[int, Tensor]:
    """x: [B, L, T] -> by level what each gate gives [B, N, C], without gradient and in the mode that the network is in."""
    found: dict[int, Tensor] = {}
    handles = [gate.register_forward_hook(lambda _, __, output, level=level: found.__setitem__(level, output))
               for level, gate in gates(model).items()]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return found
