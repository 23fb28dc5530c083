"""Keys that stand for several tokens: shortening the sequence, and reading such keys' weights at full resolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TokenReduction(nn.Module):
    """Convolution with kernel = stride = `rate`, then LayerNorm: [B, N, dim] -> [B, max(1, N // rate), dim].

    Written as one linear map of `rate` concatenated tokens, which is the same thing. A last incomplete group is dropped, as the
    published convolution drops it; only a sequence shorter than one group is padded with zeros to fill it.
    """

    def __init__(self, dim: int, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.merge = nn.Linear(rate * dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] < self.rate:
            x = F.pad(x, (0, 0, 0, self.rate - x.shape[1]))
        n_groups = x.shape[1] // self.rate
        groups = x[:, :n_groups * self.rate].unflatten(1, (n_groups, self.rate)).flatten(2)   # [B, M, rate * dim]
        return self.norm(self.merge(groups))


def spread_keys(weights: Tensor, rate: int) -> Tensor:
    """Weights on keys that each cover `rate` neighbouring tokens, spread evenly over those tokens.

    weights: [B, H, N, M] -> [B, H, N, N], each row with the same sum. Tokens that no key covers get 0.
    """
    n_tokens, n_keys = weights.shape[-2:]
    covering = torch.arange(n_tokens, device=weights.device) // rate
    cover = (covering == torch.arange(n_keys, device=weights.device)[:, None]).to(weights.dtype)   # [M, N]
    return weights @ (cover / cover.sum(dim=1, keepdim=True))
