"""Gates: a layer's own output, weighed channel by channel or token by token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecgstudy.layers.norms import TokenBatchNorm


class SqueezeExcite(nn.Module):
    r"""Each channel scaled by what the whole record says of it: [B, N, dim] -> [B, N, dim].

    $$x \odot \sigma\big(W_2\,\mathrm{ReLU}(W_1\,\bar x)\big),\quad W_1: C \to C/r,\ W_2: C/r \to C$$

    SE (Hu et al., CVPR 2018, arXiv 1709.01507); the mean is taken over time, by a module that the notes' count of MACs sees.
    """

    def __init__(self, dim: int, *, reduction: int = 16) -> None:
        super().__init__()
        narrow = max(1, dim // reduction)
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.squeeze = nn.Linear(dim, narrow)
        self.excite = nn.Linear(narrow, dim)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.pool(x.transpose(1, 2)).transpose(1, 2)                     # [B, 1, dim]
        return x * self.excite(self.squeeze(mean).relu()).sigmoid()


class CoordinateAttention(nn.Module):
    r"""A gate that knows where: one factor for every token and channel, one for the channel alone: [B, N, dim] -> [B, N, dim].

    $$y = \delta\big(\mathrm{BN}(W\,[x\,; \bar x])\big) \in \mathbb{R}^{(N+1) \times m},\quad
    x \odot \sigma(W_t\,y_{1 \dots N}) \odot \sigma(W_c\,y_{N+1})$$

    Coordinate attention (Hou et al., CVPR 2021, arXiv 2103.02907) in one dimension: the axis of time keeps its resolution, the
    other one is the mean. δ is the hard swish, m = max(8, C / reduction). The original has 32 for the reduction.
    """

    def __init__(self, dim: int, *, reduction: int = 16) -> None:
        super().__init__()
        narrow = max(8, dim // reduction)
        self.squeeze = nn.Linear(dim, narrow)
        self.norm = TokenBatchNorm(narrow)
        self.activation = nn.Hardswish()
        self.token_gate = nn.Linear(narrow, dim)
        self.channel_gate = nn.Linear(narrow, dim)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=1, keepdim=True)                                              # [B, 1, dim]
        narrow = torch.cat([self.squeeze(x), self.squeeze(mean)], dim=1)                # the narrow parts joined, not x copied
        narrow = self.activation(self.norm(narrow))                                     # [B, N + 1, m]
        return x * self.token_gate(narrow[:, :-1]).sigmoid() * self.channel_gate(narrow[:, -1:]).sigmoid()


GATES: dict[str, type[nn.Module] | None] = {"none": None, "squeeze_excite": SqueezeExcite, "coordinate": CoordinateAttention}
