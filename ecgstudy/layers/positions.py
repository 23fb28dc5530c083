"""Where a token stands: added to the tokens, or to the attention scores.

Tables are as long as the signal that the network is built for. On a shorter signal the first places are read. On a longer one a
table of tokens is stretched by linear interpolation, and a table of distances answers with its largest distance.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgstudy.layers.convs import DepthwiseConv


class LearnedPosition(nn.Module):
    """A learned vector for every place, added: [B, N, dim] -> [B, N, dim]. ViT (Dosovitskiy et al. 2021, arXiv 2010.11929)."""

    def __init__(self, n_tokens: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(n_tokens, dim))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + fit_table(self.table, x.shape[1])


class SinusoidalPosition(nn.Module):
    r"""Sines and cosines of the place n, added, nothing learned: [B, N, dim] -> [B, N, dim].

    $$p_{n,2i} = \sin(n / 10000^{2i/D}),\quad p_{n,2i+1} = \cos(n / 10000^{2i/D})$$

    Vaswani et al. 2017, arXiv 1706.03762. Any length.
    """

    def forward(self, x: Tensor) -> Tensor:
        n_tokens, dim = x.shape[1:]
        place = torch.arange(n_tokens, device=x.device)[:, None]
        angle = place * 10000.0 ** (-torch.arange(0, dim, 2, device=x.device) / dim)               # [N, ceil(dim / 2)]
        table = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :dim]
        return x + table.to(x.dtype)


class ConditionalPosition(nn.Module):
    r"""$x + \mathrm{DW}(x)$, a position read off the neighbours: [B, N, dim] -> [B, N, dim]. The ends show through the padding.

    CPE (Chu et al., ICLR 2023, arXiv 2102.10882).
    """

    def __init__(self, dim: int, kernel: int = 3) -> None:
        super().__init__()
        self.local = DepthwiseConv(dim, kernel)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.local(x)


class RelativeBias(nn.Module):
    r"""A learned number for each head and distance, $B_{ij} = \hat B_{i-j}$: a number of tokens N -> [H, N, N].

    As in Swin (Liu et al., ICCV 2021, arXiv 2103.14030), here over the full length. Each row is a window on the table, which makes
    the backward pass several times cheaper than looking every pair up.
    """

    def __init__(self, n_tokens: int, n_heads: int) -> None:
        super().__init__()
        self.largest = n_tokens - 1
        self.table = nn.Parameter(torch.empty(2 * n_tokens - 1, n_heads))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, n_tokens: int) -> Tensor:
        backwards = self.table.flip(0).T                                             # [H, distances], the largest first
        beyond = n_tokens - 1 - self.largest
        if beyond > 0:
            distances = F.pad(backwards[None], (beyond, beyond), mode="replicate")[0]
        else:
            distances = backwards[:, -beyond:len(self.table) + beyond]
        return distances.unfold(1, n_tokens, 1).flip(1)                              # row i begins at distance i


def fit_table(table: Tensor, n_tokens: int) -> Tensor:
    """A table [M, dim] at `n_tokens` places [N, dim]: its beginning where that is enough, else stretched linearly."""
    if n_tokens <= len(table):
        return table[:n_tokens]
    return F.interpolate(table.T[None], size=n_tokens, mode="linear", align_corners=True)[0].T
