r"""Two transformers over one ECG, on coarse and on fine tokens, each of which drops the tokens that its class token ignores.

**Idea.** Twelve leads repeat each other, and one patch size suits the waves or the rhythm and not both. Convolutions read the signal at
full length; two embeddings cut the result into coarse and into fine tokens. Each branch runs its encoder twice: the first pass shows
which tokens the class token attends to, the second works on those alone. A loss on the correlation of the two class tokens ties the
branches together, and both tokens feed the classifier.

**Formulas.** With $A_k$ [H, N+1, N+1] the attention of layer k, the class token at 0, and $k \ge k_0$ the collected layers:

$$a_k = \tfrac1H \sum_j A_k^{(j)}[0, 1{:}N],\qquad g \leftarrow \beta g + (1-\beta)\,a_k,\quad g_0 = 0$$

$$\mathcal K = \mathrm{top}_{\lceil \eta N \rceil}(g),\qquad (u, z) = \mathrm{LN}\,E\big(E(\mathrm{tokens})_{\{0\} \cup \mathcal K}\big)$$

$$\ell = W\,[u\,;\,v] + b,\qquad \mathcal L = \mathcal L_{labels} + \lambda\,\tfrac1B\sum_b\big(1 - \rho(u_b, v_b)\big)$$

u and v are the class tokens of the two branches, ρ is Pearson's correlation over their components. The choice of $\mathcal K$ passes no
gradient: what is kept learns, what is dropped learns through the first pass, in which the kept tokens looked at it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.attention.base import explicit_weights
from ecgstudy.layers.attention.cascade import require_draw, require_share, strongest
from ecgstudy.layers.attention.mhsa import MHSA
from ecgstudy.layers.checks import require_count, require_counts, require_divisible
from ecgstudy.layers.positions import LearnedPosition
from ecgstudy.layers.tokens import ClassToken
from ecgstudy.models.registry import register
from ecgstudy.models.sampling import at_rate, odd_at_rate
from ecgstudy.signal import SignalSpec

BRANCHES = ("coarse", "fine")
STRIDES = {"coarse": 20, "fine": 5}                         # samples at 100 Hz from one token to the next
KERNELS = {"coarse": (20, 40), "fine": (5, 100)}            # samples at 100 Hz that a token is made of
ENTRY_KERNELS, SCALE_KERNELS = (7, 5, 3), (39, 19, 9)
DROPOUT = 0.1
BETA = 0.99                                                 # over the few layers collected, g is all but a plain mean
REDUNDANCY = 5e-3                                           # weight of what is off the diagonal, in the second reading of the loss


class MultiScaleBlock(nn.Module):
    """Three convolutions, then several scales side by side plus a plain path: [B, C, T] -> [B, width, T].

    InceptionTime's module (Ismail Fawaz et al. 2020) behind an entry that is twice as wide in its middle.
    """

    def __init__(self, n_channels: int, width: int, entry: Sequence[int], scales: Sequence[int]) -> None:
        super().__init__()
        dims = (n_channels, width, 2 * width, width)
        part = width // (len(scales) + 1)
        self.entry = nn.Sequential(*(layer for dim, out_dim, kernel in zip(dims, dims[1:], entry, strict=False)
                                     for layer in (nn.Conv1d(dim, out_dim, kernel, padding=kernel // 2), nn.ReLU())))
        self.narrow = nn.Conv1d(width, part, 1)
        self.scales = nn.ModuleList(nn.Conv1d(part, part, kernel, padding=kernel // 2) for kernel in scales)
        self.pooled = nn.Sequential(nn.MaxPool1d(3, stride=1, padding=1), nn.Conv1d(width, part, 1))
        self.scale_norm = nn.BatchNorm1d(width)
        self.plain = nn.Sequential(nn.Conv1d(width, width, 1), nn.BatchNorm1d(width))

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        narrow = self.narrow(x)
        scales = torch.cat([*(scale(narrow) for scale in self.scales), self.pooled(x)], dim=1)
        return torch.relu(self.scale_norm(scales) + self.plain(x))


class Embedding(nn.Module):
    """Two convolutions of one stride, joined: [B, C, T] -> tokens [B, ceil(T / stride), dim]; zeros beyond the end of the record."""

    def __init__(self, n_channels: int, dim: int, stride: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.stride = stride
        self.convs = nn.ModuleList(nn.Conv1d(n_channels, dim // len(kernels), kernel, stride=stride) for kernel in kernels)

    def forward(self, x: Tensor) -> Tensor:
        last = (math.ceil(x.shape[-1] / self.stride) - 1) * self.stride                             # where the last token begins
        maps = [conv(F.pad(x, (0, max(0, last + conv.kernel_size[0] - x.shape[-1])))) for conv in self.convs]
        n_tokens = min(found.shape[-1] for found in maps)
        return torch.cat([found[..., :n_tokens] for found in maps], dim=1).transpose(1, 2)


class EncoderLayer(nn.Module):
    """A pre-norm transformer layer that also tells what its class token attends to: [B, 1 + N, dim] -> the same, and a_k [B, N]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(dim), ClassScoringAttention(dim, heads)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(4 * dim, dim))
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mixed, attended = self.attention(self.attention_norm(x))
        x = x + self.dropout(mixed)
        return x + self.dropout(self.mlp(self.mlp_norm(x))), attended


class ClassScoringAttention(MHSA):
    """Full self-attention, and the first token's weights on the others, mean over heads, without gradient: a_k [B, N]."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__(dim, n_heads)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = (self.split_heads(part) for part in self.qkv(x).chunk(3, dim=-1))                 # [B, H, 1 + N, d]
        attended = explicit_weights(q[..., :1, :].detach(), k.detach(), None)[..., 0, 1:].mean(dim=1)
        return self.project(self.attend(q, k, v)), attended


class SelectingBranch(nn.Module):
    """Tokens of one scale, an encoder that is run twice, and the selection between: [B, C, T] -> [B, 1 + kept, dim]."""

    def __init__(self, embed: Embedding, layers: Sequence[EncoderLayer], dim: int, n_tokens: int, collect_from: int, keep: float,
                 draw: int | None) -> None:
        super().__init__()
        self.embed, self.join_class = embed, ClassToken(dim)
        self.position = LearnedPosition(1 + n_tokens, dim)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(dim)
        self.collect_from, self.keep, self.draw = collect_from, keep, draw

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: [B, 1 + N, dim] -> the same, encoded, and the score g [B, N] of every token behind the class token."""
        score = x.new_zeros(x.shape[0], x.shape[1] - 1)
        for number, layer in enumerate(self.layers, start=1):
            x, attended = layer(x)
            if number >= self.collect_from:
                score = BETA * score + (1 - BETA) * attended
        return x, score

    def select(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x: [B, C, T] -> the second pass's tokens [B, 1 + kept, dim], the places kept [B, kept], ascending, and g [B, N]."""
        encoded, score = self.encode(self.position(self.join_class(self.embed(x))))
        n_tokens = score.shape[1]
        ranked = score
        if self.draw is not None:       # as many at random, the same places in every record: a control for the score
            ranked = torch.rand(n_tokens, generator=torch.Generator().manual_seed(self.draw)).to(score.device).expand_as(score)
        places = strongest(ranked, math.ceil(self.keep * n_tokens))
        kept = encoded[:, 1:].gather(1, places[..., None].expand(-1, -1, encoded.shape[-1]))
        again, _ = self.encode(torch.cat([encoded[:, :1], kept], dim=1))
        return self.norm(again), places, score

    def forward(self, x: Tensor) -> Tensor:
        return self.select(x)[0]


class ClassTokensHead(nn.Module):
    """The first two columns joined, then one linear map: features [B, dim, 2 + ...] -> logits [B, K]."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(2 * dim, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(features[..., :2].transpose(1, 2).flatten(1))


class DualBranch(nn.Module):
    """The convolutions, the two branches, and the head that reads both class tokens."""

    def __init__(self, stem: nn.Module, coarse: SelectingBranch, fine: SelectingBranch, dim: int, n_classes: int, *, relation: str,
                 relation_weight: float) -> None:
        super().__init__()
        self.stem, self.coarse, self.fine = stem, coarse, fine
        self.head = ClassTokensHead(dim, n_classes)
        self.relation, self.relation_weight = relation, relation_weight

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> [B, dim, 2 + kept]: both class tokens, then the coarse and the fine tokens that were kept."""
        x = self.stem(x)
        coarse, fine = self.coarse(x), self.fine(x)
        return torch.cat([coarse[:, :1], fine[:, :1], coarse[:, 1:], fine[:, 1:]], dim=1).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))

    def training_outputs(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """x: [B, L, T] -> logits [B, K] and the weighted loss on the two class tokens."""
        features = self.forward_features(x)
        with torch.autocast(x.device.type, enabled=False):
            loss = RELATIONS[self.relation](features[..., 0].float(), features[..., 1].float())
        return self.head(features), {"relation": self.relation_weight * loss}

    @torch.no_grad()
    def selection(self, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """x: [B, L, T] -> for each branch which tokens were kept, bool [B, N], and their scores g [B, N]; in the network's own mode."""
        x, found = self.stem(x), {}
        for name in BRANCHES:
            _, places, score = getattr(self, name).select(x)
            found[name] = torch.zeros_like(score, dtype=torch.bool).scatter(1, places, True), score
        return found


def correlation(u: Tensor, v: Tensor) -> Tensor:
    r"""$\rho_b$ of two sets of vectors [B, dim] over their components: [B]."""
    u, v = u - u.mean(dim=1, keepdim=True), v - v.mean(dim=1, keepdim=True)
    return (u * v).sum(dim=1) / (u.norm(dim=1) * v.norm(dim=1) + 1e-8)


def decorrelation(u: Tensor, v: Tensor) -> Tensor:
    r"""The loss where RR means "redundancy reduction" (Barlow Twins, Zbontar et al., ICML 2021): u, v [B, dim] -> a number.

    $\sum_i (1 - C_{ii})^2 + 5\cdot 10^{-3} \sum_{i \ne j} C_{ij}^2$ with C the correlations of components over the batch.
    """
    u, v = ((each - each.mean(dim=0)) / (each.std(dim=0, correction=0) + 1e-5) for each in (u, v))
    matrix = u.T @ v / len(u)                                                                       # [dim, dim]
    own = matrix.diagonal()
    return ((1 - own) ** 2).sum() + REDUNDANCY * (matrix.square().sum() - own.square().sum())


RELATIONS = {"correlation": lambda u, v: (1 - correlation(u, v)).mean(), "decorrelation": decorrelation}


@register(
    paper="S. Zhang, C. Lian, B. Xu, J. Zang, Z. Zeng, A token selection-based multi-scale dual-branch CNN-transformer network for 12-lead "
          "ECG signal classification, Knowledge-Based Systems 280 (2023) 111006, doi 10.1016/j.knosys.2023.111006 (volume from memory, to "
          "be checked)",
    fidelity="Built from the abstract, an unofficial re-implementation without a licence, which gave the geometry, and CF-ViT's rule for "
             "the selection, to which that re-implementation points; no official code is known. Left open: whether the published network "
             "selects in exactly this way, the form and weight of its RR loss, its data sets and its recipe.",
    choices=("Half of the re-implementation's widths: about 34 million parameters are too many for a few thousand records.",
             "ReLU after each entry convolution, where the re-implementation has none, and separate norms for the two paths that it sends "
             "through one.",
             "RR is read as the correlation of the two class tokens of one record, to be raised, with weight 0.1; the other reading, "
             "redundancy reduction over the batch, is a setting.",
             "Selection is on in training and in evaluation; half of the tokens are kept, and the second pass reads encoded tokens.",
             "A last LayerNorm, dropout 0.1 and the depths of four and three layers.",
             "A record whose length is no multiple of a stride is filled up with zeros, so that no sample is lost."),
    sizes={"study": ({}, 2_312_361),
           "paper": ({"stem_width": 128, "dim": 424, "depths": (8, 5), "collect_from": (4, 3), "heads": 8}, 33_550_753)},
    quick={"stem_width": 16, "dim": 48, "depths": (1, 1), "collect_from": (1, 1)})
def dual_branch_token_select(signal: SignalSpec, n_classes: int, *, stem_width: int = 64, dim: int = 128, depths: Sequence[int] = (4, 3),
                             collect_from: Sequence[int] = (3, 2), heads: int = 4, keep: float = 0.5, keep_draw: int | None = None,
                             relation: str = "correlation", relation_weight: float = 0.1) -> nn.Module:
    """The dual-branch network; at 12 x 1000 and the defaults:

    | stage | layers | output |
    | --- | --- | --- |
    | stem | two blocks: Conv7, Conv5, Conv3; Conv39, 19, 9 and a pooled path beside a plain one | [B, 64, 1000] |
    | coarse tokens | Conv20 and Conv40, stride 20, joined; class token; learned positions | [B, 51, 128] |
    | fine tokens | Conv5 and Conv100, stride 5, joined; class token; learned positions | [B, 201, 128] |
    | first pass | encoder of 4 layers (coarse), 3 layers (fine), 4 heads | as before |
    | selection | the half that the class token attends to most, in their order | [B, 26, 128], [B, 101, 128] |
    | second pass | the same encoder again, LayerNorm | as before |
    | head | both class tokens, Linear | [B, K] |

    stem_width: channels of the stem. dim: width of a token. depths: layers of the coarse and of the fine branch; collect_from: the layer,
    counted from 1, from which each branch scores. keep: share of tokens kept; 1 keeps all and still runs twice. keep_draw: a number from
    0 keeps as many at random instead, from that seed. relation: "correlation" or "decorrelation"; relation_weight: its weight.

    Kernels and strides are in samples at 100 Hz and grow with the sampling rate. A longer record than the network was built for gets
    its positions stretched. The paper's size as the re-implementation has it counts 33,548,545; ours has 2,208 more, the separate norms
    of the two paths and the last norms.

    Raises ConfigurationError for a record of fewer than two coarse tokens.
    """
    depths, collect_from = require_counts("depths", depths), require_counts("collect_from", collect_from)
    check_depths(depths, collect_from)
    require_divisible("stem_width", require_count("stem_width", stem_width), "the number of the stem's paths", len(SCALE_KERNELS) + 1)
    require_divisible("dim", require_count("dim", dim), "heads", require_count("heads", heads))
    require_divisible("dim", dim, "the kernels of an embedding", len(KERNELS["coarse"]))
    require_draw("keep_draw", keep_draw, require_share("keep", keep) < 1)
    require_known("relation", relation, RELATIONS)
    strides = {name: at_rate(stride, signal) for name, stride in STRIDES.items()}
    if signal.n_samples < 2 * strides["coarse"]:
        raise ConfigurationError(f"a record of {signal.n_samples} samples holds fewer than two coarse tokens of {strides['coarse']}; give "
                                 f"at least {2 * strides['coarse']} samples")

    def branch(name: str, depth: int, first: int) -> SelectingBranch:
        embed = Embedding(stem_width, dim, strides[name], [at_rate(kernel, signal) for kernel in KERNELS[name]])
        layers = [EncoderLayer(dim, heads) for _ in range(depth)]
        return SelectingBranch(embed, layers, dim, math.ceil(signal.n_samples / strides[name]), first, keep, keep_draw)

    kernels = [[odd_at_rate(kernel, signal) for kernel in group] for group in (ENTRY_KERNELS, SCALE_KERNELS)]
    stem = nn.Sequential(*(MultiScaleBlock(n_channels, stem_width, *kernels) for n_channels in (signal.n_leads, stem_width)))
    branches = [branch(*each) for each in zip(BRANCHES, depths, collect_from, strict=True)]
    return DualBranch(stem, *branches, dim, n_classes, relation=relation, relation_weight=relation_weight)


def check_depths(depths: Sequence[int], collect_from: Sequence[int]) -> None:
    """Refuse other than one depth and one first scoring layer for each branch, and a branch that would score in no layer."""
    for name, values in (("depths", depths), ("collect_from", collect_from)):
        if len(values) != len(BRANCHES):
            raise ConfigurationError(f"{name} has {len(values)} entries; give two, for the {' and the '.join(BRANCHES)} branch")
    for name, depth, first in zip(BRANCHES, depths, collect_from, strict=True):
        if first > depth:
            raise ConfigurationError(f"collect_from is {first} for the {name} branch, which has {depth} layers; give at most {depth}")
