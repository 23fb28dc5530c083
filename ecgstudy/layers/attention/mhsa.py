"""Multi-head self-attention, the reference for all others."""

from __future__ import annotations

from torch import Tensor, nn

from ecgstudy.layers.attention.base import Attention


class MHSA(Attention):
    r"""Every token sees every token: $W_o\,\mathrm{softmax}(QK^\top/\sqrt{d})\,V$, cost $2N^2D$.

    Vaswani et al. 2017; as in ViT, with bias in all maps and no positional term.
    """

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__(dim, n_heads)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self.split_heads(part) for part in self.qkv(x).chunk(3, dim=-1))   # [B, H, N, d]
        return self.project(self.attend(q, k, v))
