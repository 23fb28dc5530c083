"""Blocks: what stands between one residual and the next, on tokens [B, N, dim]."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Layer = Callable[[int], nn.Module]      # dim -> a module [B, N, dim] -> [B, N, dim]


class Block(nn.Module):
    r"""Mix over tokens, then over channels, each before a residual: [B, N, dim] -> [B, N, dim].

    $$x \leftarrow x + \mathrm{TokenMixer}(\mathrm{Norm}_1 x),\quad x \leftarrow x + \mathrm{ChannelMixer}(\mathrm{Norm}_2 x)$$

    The MetaFormer pair (Yu et al., CVPR 2022, arXiv 2111.11418).
    """

    def __init__(self, dim: int, *, norm: Layer, token_mixer: Layer, channel_mixer: Layer) -> None:
        super().__init__()
        self.token_norm, self.token_mixer = norm(dim), token_mixer(dim)
        self.channel_norm, self.channel_mixer = norm(dim), channel_mixer(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.token_mixer(self.token_norm(x))
        return x + self.channel_mixer(self.channel_norm(x))


class Residual(nn.Module):
    r"""One layer before a residual, $x \leftarrow x + \mathrm{Layer}(\mathrm{Norm}\,x)$: [B, N, dim] -> [B, N, dim]."""

    def __init__(self, dim: int, *, norm: Layer, layer: Layer) -> None:
        super().__init__()
        self.norm, self.layer = norm(dim), layer(dim)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(self.norm(x))
