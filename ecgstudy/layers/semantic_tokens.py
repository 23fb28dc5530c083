"""Few tokens that stand for many."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgstudy.layers.attention.base import Attention
from ecgstudy.layers.mixers import MLP
from ecgstudy.layers.positions import fit_table


class SemanticTokens(nn.Module):
    r"""A token for every `window` tokens, first pooled, then asked of all of them twice: [B, N, dim] -> [B, max(1, N // window), dim].

    $$P = \mathrm{Pool}_0(X) + \mathrm{Pool}_1(X)$$
    $$\bar S^1 = \mathrm{MHA}(P, X, X) + P,\quad S^1 = \mathrm{MLP}(\bar S^1) + \bar S^1$$
    $$\bar S^2 = \mathrm{MHA}(S^1 + G, [S^1; X], [S^1; X]) + P,\quad S = \mathrm{MLP}(\bar S^2) + \bar S^2$$

    G are learned tokens, the same for all records: as many as the signal that the network is built for has windows. Fewer windows
    take the first of them; for more, G is stretched by linear interpolation.

    STViT (Chang et al., CVPR 2023, arXiv 2303.08685) in the form that meets the study notes' counts: 4,740,096 parameters without
    G at dim 512. The notes do not describe it. Departures: depth-wise separable pools in the place of adaptive max pooling, no
    layer scale; the sum of the pools' kernels (5 + 7) follows from the counts, the split and the sum P are inferred.

    overlap: how far the windows of the second pool reach into their neighbours, in tokens.
    """

    def __init__(self, dim: int, n_heads: int, n_tokens: int, *, window: int = 5, overlap: int = 1) -> None:
        super().__init__()
        self.window = window
        self.pools = nn.ModuleList(SemanticPool(dim, window, reach) for reach in (0, overlap))
        self.layers = nn.ModuleList(SemanticLayer(dim, n_heads) for _ in range(2))
        self.shared = nn.Parameter(torch.empty(max(1, n_tokens // window), dim))
        nn.init.trunc_normal_(self.shared, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] < self.window:
            x = F.pad(x, (0, 0, 0, self.window - x.shape[1]))
        intra, inter = self.pools
        first, second = self.layers
        pooled = intra(x) + inter(x)                                                     # [B, S, dim]
        tokens = first(pooled, x, residual=pooled)
        return second(tokens + fit_table(self.shared, tokens.shape[1]), torch.cat([tokens, x], dim=1), residual=pooled)


class SemanticPool(nn.Module):
    r"""$W\,\mathrm{GELU}(\mathrm{LN}(\mathrm{DW}(x)))$ with a stride of one window: [B, N, dim] -> [B, N // window, dim].

    The kernel is the window and `reach` tokens on either side of it.
    """

    def __init__(self, dim: int, window: int, reach: int) -> None:
        super().__init__()
        self.convolve = nn.Conv1d(dim, dim, window + 2 * reach, stride=window, padding=reach, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(F.gelu(self.norm(self.convolve(x.transpose(1, 2)).transpose(1, 2))))


class SemanticLayer(nn.Module):
    """Semantic tokens [B, S, dim] ask tokens [B, M, dim]; then an MLP: -> [B, S, dim]. One norm serves queries and keys."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.token_norm, self.token_mixer = nn.LayerNorm(dim), CrossAttention(dim, n_heads)
        self.channel_norm, self.channel_mixer = nn.LayerNorm(dim), MLP(dim)

    def forward(self, queries: Tensor, tokens: Tensor, *, residual: Tensor) -> Tensor:
        x = self.token_mixer(self.token_norm(queries), self.token_norm(tokens)) + residual
        return x + self.channel_mixer(self.channel_norm(x))


class CrossAttention(Attention):
    """Queries [B, S, dim] attend to other tokens [B, M, dim]: -> [B, S, dim]. Its captured map is [B, H, S, M]."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__(dim, n_heads)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.project = nn.Linear(dim, dim)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        parts = (self.query(queries), *self.key_value(tokens).chunk(2, dim=-1))
        return self.project(self.attend(*(self.split_heads(part) for part in parts)))
