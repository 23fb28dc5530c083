"""Bi-level routing attention: first choose windows, then attend to their tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.attention.base import Attention
from ecgstudy.layers.attention.windows import from_windows, to_windows
from ecgstudy.layers.checks import require_count
from ecgstudy.layers.convs import DepthwiseConv


class BiLevelRoutingAttention(Attention):
    r"""Each of `n_windows` windows attends to the tokens of the `top_k` windows whose mean key fits its mean query best.

    $$I = \mathrm{topk}(\bar Q \bar K^\top),\quad Y = W_o\big(\mathrm{softmax}(Q K_I^\top/\sqrt{d})\,V_I + \mathrm{DW}_5(V)\big)$$

    BiFormer (Zhu et al., CVPR 2023, arXiv 2303.08810). No gradient flows through the choice. Departures: scores are scaled by the
    head's width, not the layer's; chosen windows are indexed, not gathered from an expanded copy. Tokens that do not fill
    `n_windows` equal windows are cut into as many windows of ceil(N / n_windows) as they need, and top_k falls with them.

    local_kernel: the kernel of the depth-wise convolution of V that is added to the output (LePE); 0 leaves it out.
    """

    def __init__(self, dim: int, n_heads: int, *, n_windows: int = 25, top_k: int = 10, local_kernel: int = 5) -> None:
        super().__init__(dim, n_heads)
        self.n_windows = require_count("n_windows", n_windows)
        self.top_k = require_count("top_k", top_k)
        if top_k > n_windows:
            raise ConfigurationError(f"top_k is {top_k}; it must not exceed the {n_windows} windows")
        self.qkv = nn.Linear(dim, 3 * dim)
        self.local = DepthwiseConv(dim, local_kernel) if local_kernel else None
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        n_records, n_tokens = x.shape[:2]
        window = -(-n_tokens // self.n_windows)
        qkv = self.qkv(x)                                                                  # [B, N, 3 * dim]
        q, k, v = to_windows(qkv, window).chunk(3, dim=-1)                                 # [B, W, w, dim]
        n_windows = q.shape[1]
        real = (torch.arange(n_windows * window, device=x.device) < n_tokens).view(-1, window)
        chosen = self.route(q, k, real.sum(dim=1, keepdim=True))                           # [B, W, K]

        first = torch.arange(n_records, device=x.device)[:, None, None] * n_windows
        rows = (chosen + first).flatten()                                                  # [B * W * K], places in [B * W]
        keys, values = (part.flatten(0, 1).index_select(0, rows).view(n_records * n_windows, -1, self.dim) for part in (k, v))
        q, keys, values = (self.split_heads(part) for part in (q.flatten(0, 1), keys, values))   # [B * W, H, w or K * w, d]
        mask = real[chosen].flatten(0, 1).flatten(1)[:, None, None] if n_tokens % window else None   # [B * W, 1, 1, K * w]

        def to_map(weights: Tensor) -> Tensor:
            return routed_map(weights.unflatten(0, (n_records, n_windows)), chosen, window)[..., :n_tokens, :n_tokens]

        mixed = self.attend(q, keys, values, mask=mask, to_map=to_map)                     # [B * W, w, dim]
        mixed = from_windows(mixed.unflatten(0, (n_records, n_windows)), n_tokens)         # [B, N, dim]
        if self.local is not None:
            mixed = mixed + self.local(qkv[..., 2 * self.dim:])
        return self.project(mixed)

    @torch.no_grad()
    def route(self, q: Tensor, k: Tensor, counts: Tensor) -> Tensor:
        """The windows [B, W, K] that each looks at. q, k: [B, W, w, dim], zero where filled; counts: tokens in each [W, 1]."""
        mean_q, mean_k = (part.sum(dim=2) / counts for part in (q, k))                     # [B, W, dim]
        return (mean_q @ mean_k.transpose(1, 2)).topk(min(self.top_k, q.shape[1]), dim=-1).indices


def routed_map(weights: Tensor, chosen: Tensor, window: int) -> Tensor:
    """Weights on the chosen windows' tokens at their true places.

    weights: [B, W, H, w, K * w]; chosen: [B, W, K] -> [B, H, W * w, W * w].
    """
    n_records, n_windows, n_heads = weights.shape[:3]
    places = (chosen[..., None] * window + torch.arange(window, device=chosen.device)).flatten(2)   # [B, W, K * w]
    full = weights.new_zeros(n_records, n_windows, n_heads, window, n_windows * window)
    full.scatter_(-1, places[:, :, None, None].expand_as(weights), weights)
    return full.transpose(1, 2).flatten(2, 3)
