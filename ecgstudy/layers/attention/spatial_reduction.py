"""Spatial-reduction attention: all queries, fewer keys."""

from __future__ import annotations

from torch import Tensor, nn

from ecgstudy.layers.attention.base import Attention
from ecgstudy.layers.attention.reduction import TokenReduction, spread_keys
from ecgstudy.layers.checks import require_count


class SpatialReductionAttention(Attention):
    r"""Keys and values come from groups of `rate` tokens merged into one, cost $2N^2D/\mathrm{rate}$.

    $$Q = XW_q,\quad [K, V] = \mathrm{LN}(\mathrm{Conv}_{r,r}(X))\,W_{kv}$$

    PVT (Wang et al., ICCV 2021, arXiv 2102.12122), in one dimension: the number of keys falls by r, not by r².
    """

    def __init__(self, dim: int, n_heads: int, *, rate: int = 2) -> None:
        super().__init__(dim, n_heads)
        self.rate = require_count("rate", rate)
        self.query = nn.Linear(dim, dim)
        self.reduction = TokenReduction(dim, rate)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q = self.split_heads(self.query(x))                                                              # [B, H, N, d]
        k, v = (self.split_heads(part) for part in self.key_value(self.reduction(x)).chunk(2, dim=-1))   # [B, H, N / r, d]
        return self.project(self.attend(q, k, v, to_map=lambda weights: spread_keys(weights, self.rate)))
