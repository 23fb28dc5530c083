"""HiLo attention: some heads for fast detail, the others for the slow course."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.attention.base import Attention
from ecgstudy.layers.attention.reduction import spread_keys
from ecgstudy.layers.attention.windows import block_diagonal, from_windows, to_windows, visible_pairs
from ecgstudy.layers.checks import require_count


class HiLoAttention(Attention):
    r"""A share `alpha` of the heads sees the means of all windows, the rest see the tokens of their own window.

    High: attention inside windows of `window` tokens. Low: each query sees $[K, V] = \mathrm{AvgPool}_{w,w}(X)\,W_{kv}$. Each
    part has its own projection; the outputs are joined, high first, without a common one.

    LITv2 (Pan et al., NeurIPS 2022, arXiv 2205.13213). A last incomplete window counts with the tokens it has.
    """

    def __init__(self, dim: int, n_heads: int, *, alpha: float = 0.5, window: int = 5) -> None:
        super().__init__(dim, n_heads)
        if not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
            raise ConfigurationError(f"alpha is {alpha!r}; it is a share of the heads, from 0 to 1")
        self.window = require_count("window", window)
        low = int(alpha * n_heads) * self.head_dim
        high = dim - low
        self.high_qkv = nn.Linear(dim, 3 * high) if high else None
        self.high_project = nn.Linear(high, high) if high else None
        self.pool = nn.AvgPool1d(window, window, ceil_mode=True) if low else None
        self.low_query = nn.Linear(dim, low) if low else None
        self.low_key_value = nn.Linear(dim, 2 * low) if low else None
        self.low_project = nn.Linear(low, low) if low else None

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        if self.high_qkv is not None:
            parts.append(self.high(x))
        if self.low_query is not None:
            parts.append(self.low(x))
        return torch.cat(parts, dim=-1)

    def high(self, x: Tensor) -> Tensor:
        """[B, N, dim] -> [B, N, width of the high heads]"""
        n_tokens, window = x.shape[1], min(self.window, x.shape[1])
        qkv = to_windows(self.high_qkv(x), window)                                         # [B, W, w, 3 * high]
        q, k, v = (self.split_heads(part) for part in qkv.chunk(3, dim=-1))                # [B, W, h, w, d]
        mixed = self.attend(q, k, v, mask=visible_pairs(n_tokens, window, x.device),
                            to_map=lambda weights: block_diagonal(weights)[..., :n_tokens, :n_tokens])
        return self.high_project(from_windows(mixed, n_tokens))

    def low(self, x: Tensor) -> Tensor:
        """[B, N, dim] -> [B, N, width of the low heads]"""
        q = self.split_heads(self.low_query(x))                                            # [B, h, N, d]
        means = self.pool(x.transpose(1, 2)).transpose(1, 2)                               # [B, ceil(N / w), dim]
        k, v = (self.split_heads(part) for part in self.low_key_value(means).chunk(2, dim=-1))
        return self.low_project(self.attend(q, k, v, to_map=lambda weights: spread_keys(weights, self.window)))
