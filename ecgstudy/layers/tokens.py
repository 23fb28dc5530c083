"""From samples to tokens, and from finer to coarser tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ecgstudy.layers.checks import require_divisible, require_odd
from ecgstudy.layers.convs import TokenConv


class InceptionStem(nn.Module):
    r"""Signal [B, L, T] -> tokens [B, N = T, dim], seen at several time scales at once.

    | step | layers | output |
    | --- | --- | --- |
    | lead mixing | Conv L → dim/2, Conv dim/2 → dim | [B, dim, T] |
    | bottleneck | Conv1 dim → p | [B, p, T] |
    | branches | one Conv p → p a kernel, on the bottleneck; MaxPool3 → Conv1 dim → p, beside it | [B, dim, T] |
    | output | ReLU(BN(branches) + BN(Conv1 dim → dim)) | [B, N, dim] |

    An InceptionTime module (Ismail Fawaz et al. 2020) in the form of the CNN block of S. Zhang et al., Knowledge-Based Systems
    2023, doi 10.1016/j.knosys.2023.111006, reduced until it meets the 36,720 parameters that the study notes print for 12 leads
    and dim 64. The notes do not describe it: these layers are inferred from that count.

    lead_kernels: two kernels in samples; branch_kernels: as many as there are branches beside the pooled one. All odd. The parts are
    equal: with the published three kernels p = dim/4.
    """

    def __init__(self, n_leads: int, dim: int, *, lead_kernels: Sequence[int] = (7, 5),
                 branch_kernels: Sequence[int] = (39, 19, 9)) -> None:
        super().__init__()
        branches = len(branch_kernels) + 1
        require_divisible("the stem's width", dim, "its number of branches", branches)
        part = dim // branches
        first, second = (require_odd("lead_kernels", kernel) for kernel in lead_kernels)
        self.mix_leads = nn.Sequential(nn.Conv1d(n_leads, dim // 2, first, padding=first // 2),
                                       nn.Conv1d(dim // 2, dim, second, padding=second // 2))
        self.bottleneck = nn.Conv1d(dim, part, 1)
        self.branches = nn.ModuleList(nn.Conv1d(part, part, require_odd("branch_kernels", kernel), padding=kernel // 2)
                                      for kernel in branch_kernels)
        self.pooled = nn.Sequential(nn.MaxPool1d(3, stride=1, padding=1), nn.Conv1d(dim, part, 1))
        self.branch_norm = nn.BatchNorm1d(dim)
        self.residual = nn.Sequential(nn.Conv1d(dim, dim, 1), nn.BatchNorm1d(dim))

    def forward(self, x: Tensor) -> Tensor:
        x = self.mix_leads(x)                                                             # [B, dim, T]
        narrow = self.bottleneck(x)                                                       # [B, p, T]
        scales = torch.cat([self.pooled(x), *(branch(narrow) for branch in self.branches)], dim=1)
        x = torch.relu(self.branch_norm(scales) + self.residual(x))                       # [B, dim, T]
        return x.transpose(1, 2).contiguous()                                             # [B, N, dim]


class PatchFusion(TokenConv):
    """Neighbouring tokens fused, half as many and wider: [B, N, dim] -> [B, ceil(N / 2), out_dim]; overlapping kernel of 3."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__(dim, out_dim, 3, stride=2)


class ClassToken(nn.Module):
    """A learned token put before the others: [B, N, dim] -> [B, 1 + N, dim].

    It belongs to no place and gathers what attention brings it (ViT, Dosovitskiy et al. 2021, arXiv 2010.11929).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(1, 1, dim))
        nn.init.trunc_normal_(self.token, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
