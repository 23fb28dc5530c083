"""Multi-head self-attention, the reference for all others."""

from __future__ import annotations

from torch import Tensor, nn

from ecgstudy.layers.attention.base import Attention
from ecgstudy.layers.convs import DepthwiseConv
from ecgstudy.layers.positions import RelativeBias


class MHSA(Attention):
    r"""Every token sees every token: $W_o\,\mathrm{softmax}(QK^\top/\sqrt{d})\,V$, cost $2N^2D$.

    Vaswani et al. 2017; as in ViT, with bias in all maps. Without settings it has no positional term. With them:

    | setting | output | source |
    | --- | --- | --- |
    | relative_tokens: length of the table, in tokens | $W_o\,\mathrm{softmax}(QK^\top/\sqrt{d} + B)\,V$ | `RelativeBias` |
    | value_kernel, in tokens | $W_o\,\mathrm{softmax}(\cdot)\,(V + \mathrm{DW}(V))$ | Shunted's code (Ren et al., CVPR 2022) |
    | output_kernel, in tokens | $W_o(\mathrm{softmax}(\cdot)\,V + \mathrm{DW}(V))$ | LePE, CSWin (Dong et al., arXiv 2107.00652) |
    """

    def __init__(self, dim: int, n_heads: int, *, relative_tokens: int | None = None, value_kernel: int | None = None,
                 output_kernel: int | None = None) -> None:
        super().__init__(dim, n_heads)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.relative = RelativeBias(relative_tokens, n_heads) if relative_tokens else None
        self.local_value = DepthwiseConv(dim, value_kernel) if value_kernel else None
        self.local_output = DepthwiseConv(dim, output_kernel) if output_kernel else None

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)                                         # [B, N, D]
        seen = v if self.local_value is None else v + self.local_value(v)
        bias = None if self.relative is None else self.relative(x.shape[1])            # [H, N, N]
        mixed = self.attend(*(self.split_heads(part) for part in (q, k, seen)), mask=bias)
        if self.local_output is not None:
            mixed = mixed + self.local_output(v)
        return self.project(mixed)
