"""Attention inside windows, with a learned bias for each relative position."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecgstudy.layers.attention.base import Attention
from ecgstudy.layers.attention.windows import block_diagonal, from_windows, to_windows, visible_pairs
from ecgstudy.layers.checks import require_count


class WindowAttention(Attention):
    r"""A token sees the `window` tokens of its own window, cost $2N\,\mathrm{window}\,D$.

    $$\mathrm{softmax}(QK^\top/\sqrt{d} + B)\,V,\quad B_{ij} = \hat B_{i-j+w-1},\quad \hat B \in \mathbb{R}^{(2w-1) \times H}$$

    Swin (Liu et al., ICCV 2021, arXiv 2103.14030), in one dimension. Fewer tokens than one window form a single, shorter window.
    """

    def __init__(self, dim: int, n_heads: int, *, window: int = 25) -> None:
        super().__init__(dim, n_heads)
        self.window = require_count("window", window)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.relative_bias = nn.Parameter(torch.empty(2 * window - 1, n_heads))
        nn.init.trunc_normal_(self.relative_bias, std=0.02)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.attend_windows(self.qkv(x), shift=0))

    def attend_windows(self, qkv: Tensor, shift: int) -> Tensor:
        """qkv: [B, N, 3 * dim] -> [B, N, dim], with windows that begin `shift` tokens late."""
        n_tokens, window = qkv.shape[1], min(self.window, qkv.shape[1])
        visible = visible_pairs(n_tokens, window, qkv.device, shift)
        qkv = roll_tokens(to_windows(qkv, window), -shift)                               # [B, W, w, 3 * dim]
        q, k, v = (self.split_heads(part) for part in qkv.chunk(3, dim=-1))              # [B, W, H, w, d]

        def to_map(weights: Tensor) -> Tensor:
            return block_diagonal(weights).roll((shift, shift), dims=(-2, -1))[..., :n_tokens, :n_tokens]

        mixed = self.attend(q, k, v, mask=self.bias(window, visible), to_map=to_map)                # [B, W, w, dim]
        return from_windows(roll_tokens(mixed, shift), n_tokens)

    def bias(self, window: int, visible: Tensor | None) -> Tensor:
        """Relative bias [H, w, w], and minus infinity where a token must not look: then [W, H, w, w]."""
        place = torch.arange(window, device=self.relative_bias.device)
        offsets = place[:, None] - place[None, :] + self.window - 1
        bias = self.relative_bias[offsets].permute(2, 0, 1)
        return bias if visible is None else bias.masked_fill(~visible, float("-inf"))


def roll_tokens(x: Tensor, by: int) -> Tensor:
    """[B, W, w, C] with every token moved `by` places on, across windows."""
    return x.flatten(1, 2).roll(by, dims=1).view_as(x) if by else x
