"""Batch normalisation for tokens."""

from __future__ import annotations

from torch import Tensor, nn


class TokenBatchNorm(nn.BatchNorm1d):
    """BatchNorm1d over every token of every record: [B, N, C] -> [B, N, C], the same statistics as on [B, C, N]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1)).view_as(x)
