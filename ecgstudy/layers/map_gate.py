"""Squeeze and excitation on feature maps that keep their channels first: [B, C, N] or [B, C, leads, N]."""

from __future__ import annotations

from torch import Tensor, nn


class MapSqueezeExcite(nn.Module):
    r"""Each channel of a map scaled by what the whole record says of it; the shape stays.

    $$x \odot \sigma\big(W_2\,\mathrm{ReLU}(W_1\,\bar x)\big),\quad W_1: C \to C/r,\ W_2: C/r \to C$$

    SE (Hu et al., CVPR 2018, arXiv 1709.01507). The mean runs over every axis behind the channels, so that one layer serves maps over
    time and maps over leads and time. For tokens [B, N, C] there is `ecgstudy.layers.channel.SqueezeExcite`.
    """

    def __init__(self, dim: int, *, reduction: int = 16) -> None:
        super().__init__()
        narrow = max(1, dim // reduction)
        self.squeeze = nn.Linear(dim, narrow)
        self.excite = nn.Linear(narrow, dim)

    def weights(self, x: Tensor) -> Tensor:
        """The factors, [B, C] between 0 and 1."""
        return self.excite(self.squeeze(x.flatten(2).mean(dim=-1)).relu()).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
