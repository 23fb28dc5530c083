"""Shunted self-attention: heads of one layer look at different granularities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgstudy.layers.attention.base import Attention
from ecgstudy.layers.attention.reduction import TokenReduction, spread_keys
from ecgstudy.layers.checks import require_counts, require_divisible
from ecgstudy.layers.convs import DepthwiseConv


class ShuntedAttention(Attention):
    r"""Groups of heads, each with keys and values from tokens merged at its own rate $r_g$.

    $$Z_g = \mathrm{GELU}(\mathrm{LN}(\mathrm{Conv}_{r_g,r_g}(X))),\quad [K_g, V_g] = Z_g W_g,\quad
    V_g \leftarrow V_g + \mathrm{DW}_3(V_g)$$

    Ren et al., CVPR 2022, arXiv 2111.15193. `rates` deals the heads out in equal shares, and equal rates form one group:
    (1, 1, 2, 4) gives half of the heads every token, a quarter merged pairs, a quarter merged fours, as the study notes describe.
    Rate 1 merges nothing (Z = X).

    local_kernel: the kernel of the depth-wise convolution that enhances V; 0 leaves it out.
    """

    def __init__(self, dim: int, n_heads: int, *, rates: Sequence[int] = (1, 1, 2, 4), local_kernel: int = 3) -> None:
        super().__init__(dim, n_heads)
        rates = require_counts("rates", rates)
        share = require_divisible("n_heads", n_heads, "the number of rates", len(rates)) // len(rates)
        self.query = nn.Linear(dim, dim)
        self.groups = nn.ModuleList(ShuntedGroup(dim, rates.count(rate) * share * self.head_dim, rate, local_kernel)
                                    for rate in sorted(set(rates)))
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        queries = self.query(x).split([group.width for group in self.groups], dim=-1)
        mixed = []
        for group, query in zip(self.groups, queries, strict=True):
            q, k, v = (self.split_heads(part) for part in (query, *group(x)))               # [B, h, N, d], [B, h, N / r, d]
            mixed.append(self.attend(q, k, v, to_map=lambda weights, rate=group.rate: spread_keys(weights, rate)))
        return self.project(torch.cat(mixed, dim=-1))


class ShuntedGroup(nn.Module):
    """Keys and values of one group of heads: [B, N, dim] -> two of [B, N // rate, width]."""

    def __init__(self, dim: int, width: int, rate: int, local_kernel: int) -> None:
        super().__init__()
        self.width, self.rate = width, rate
        self.reduction = TokenReduction(dim, rate) if rate > 1 else None
        self.key_value = nn.Linear(dim, 2 * width)
        self.local = DepthwiseConv(width, local_kernel) if local_kernel else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.reduction is not None:
            x = F.gelu(self.reduction(x))
        k, v = self.key_value(x).chunk(2, dim=-1)
        return (k, v) if self.local is None else (k, v + self.local(v))
