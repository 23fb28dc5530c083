"""LightConv: a short convolution whose few kernels are averages, in the place of self-attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgstudy.layers.checks import require_divisible, require_odd


class LightConv(nn.Module):
    r"""Every channel averaged along time with the kernel of its head: [B, N, dim] -> [B, N, dim].

    $$\mathrm{LConv}(X)_{t,c} = \sum_{j=1}^{k} \mathrm{softmax}(w_{h(c)})_j\; X_{t+j-(k+1)/2,\,c},\quad h(c) = \lceil cH/C \rceil$$

    Wu et al., ICLR 2019, arXiv 1901.10430: depth-wise, shared by the C / H channels of a head, softmax over the k taps. So a kernel
    holds H k numbers whatever `dim` is, and can smooth and shift but not take a difference. Beyond the ends there are zeros.
    """

    def __init__(self, dim: int, kernel: int, n_heads: int) -> None:
        super().__init__()
        self.repeats = require_divisible("dim", dim, "n_heads", n_heads) // n_heads
        self.weight = nn.Parameter(torch.empty(n_heads, require_odd("kernel", kernel)))
        nn.init.xavier_uniform_(self.weight)

    def kernels(self) -> Tensor:
        """What each head averages with: [H, k], rows that sum to one."""
        return self.weight.softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        taps = self.kernels().repeat_interleave(self.repeats, dim=0)                            # [C, k]
        x = x.unsqueeze(1).permute(0, 3, 1, 2)                                                  # [B, C, 1, N], channels-last in memory
        mixed = F.conv2d(x, taps[:, None, None], padding=(0, taps.shape[-1] // 2), groups=len(taps))
        return mixed.permute(0, 2, 3, 1).squeeze(1)                                             # [B, N, C]


class LightConvAttention(nn.Module):
    r"""What stands for self-attention: a gated linear unit, LightConv, a linear map: [B, N, dim] -> [B, N, dim].

    $$\mathrm{LCA}(X) = \mathrm{LConv}\big(\mathrm{GLU}(X W_i + b_i)\big) W_o + b_o,\qquad \mathrm{GLU}([A, B]) = A \odot \sigma(B)$$

    The gate decides at each token what may be passed on, the convolution where to; unlike attention's, its weights do not depend on
    the tokens. Cost grows with N, not with its square.
    """

    def __init__(self, dim: int, kernel: int, n_heads: int) -> None:
        super().__init__()
        self.widen = nn.Linear(dim, 2 * dim)
        self.mix = LightConv(dim, kernel, n_heads)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.mix(F.glu(self.widen(x))))
