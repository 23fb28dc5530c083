"""Channel mixers: what happens to one token's channels, the same for every token."""

from __future__ import annotations

from torch import Tensor, nn


class MLP(nn.Module):
    r"""$W_2\,\mathrm{GELU}(W_1 x)$ with `ratio` times as many hidden channels: [B, N, dim] -> [B, N, dim]."""

    def __init__(self, dim: int, *, ratio: int = 2) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, ratio * dim)
        self.activation = nn.GELU()
        self.reduce = nn.Linear(ratio * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduce(self.activation(self.expand(x)))
