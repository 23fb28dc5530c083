"""What every attention layer shares: heads, and the two ways to compute softmax(QK')V."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgstudy.layers.checks import require_count, require_divisible


class Attention(nn.Module):
    """Base of the attention layers: [B, N, dim] -> [B, N, dim]. Whatever else a layer needs, it takes as a second input.

    A layer normally runs torch's fused attention, which never holds the weights. Inside `capture_attention` the attribute
    `captured` is a list, the weights are computed one by one, and each call of `attend` appends its map.
    """

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        require_divisible("dim", require_count("dim", dim), "n_heads", require_count("n_heads", n_heads))
        self.dim, self.n_heads, self.head_dim = dim, n_heads, dim // n_heads
        self.captured: list[Tensor] | None = None

    def split_heads(self, x: Tensor) -> Tensor:
        """[..., N, h * head_dim] -> [..., h, N, head_dim]"""
        return x.unflatten(-1, (-1, self.head_dim)).transpose(-3, -2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None,
               to_map: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        r"""$\mathrm{softmax}(QK^\top/\sqrt{d} + \mathrm{mask})\,V$ with the heads joined again.

        q: [..., h, N, d]; k, v: [..., h, M, d]; mask: added to the scores (float) or where to look (bool), broadcast to
        [..., h, N, M]; to_map: turns the weights [..., h, N, M] into a full map [B, h, N, N], needed wherever that is not what
        they are. Returns [..., N, h * d].
        """
        if self.captured is None:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        else:
            weights = explicit_weights(q, k, mask)
            self.captured.append((to_map(weights) if to_map else weights).detach())
            mixed = weights @ v
        return mixed.transpose(-3, -2).flatten(-2)


def explicit_weights(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    """The attention weights [..., h, N, M] that the fused path keeps to itself."""
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, float("-inf"))
    elif mask is not None:
        scores = scores + mask
    return scores.softmax(dim=-1)
