"""Channel mixers: what happens to one token's channels. Two of them also look at the token's neighbours."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from ecgstudy.layers.blocks import Layer
from ecgstudy.layers.convs import DepthwiseConv


class MLP(nn.Module):
    r"""$W_2\,\mathrm{GELU}(W_1 x)$ with `ratio` times as many hidden channels: [B, N, dim] -> [B, N, dim]."""

    def __init__(self, dim: int, *, ratio: int = 2) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, ratio * dim)
        self.activation = nn.GELU()
        self.reduce = nn.Linear(ratio * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduce(self.activation(self.expand(x)))


class DepthwiseMLP(MLP):
    r"""$W_2\,\mathrm{GELU}(u + \mathrm{DW}(u)),\ u = W_1 x$: [B, N, dim] -> [B, N, dim].

    In the form of Shunted (Ren et al., CVPR 2022) and SMT (Lin et al., ICCV 2023), where the convolution has a residual.
    """

    def __init__(self, dim: int, *, ratio: int = 2, kernel: int = 3) -> None:
        super().__init__(dim, ratio=ratio)
        self.local = DepthwiseConv(ratio * dim, kernel)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.expand(x)                                            # [B, N, ratio * dim]
        return self.reduce(self.activation(hidden + self.local(hidden)))


class GLU(nn.Module):
    r"""One half of the hidden channels opens or closes the other: [B, N, dim] -> [B, N, dim].

    $$W_2\big(\mathrm{GELU}(W_a x) \odot W_b x\big)$$

    GEGLU (Shazeer 2020, arXiv 2002.05202). Two thirds of `ratio` times as many hidden channels keep the cost of an MLP.
    """

    def __init__(self, dim: int, *, ratio: int = 2) -> None:
        super().__init__()
        self.hidden = 2 * ratio * dim // 3
        self.expand = nn.Linear(dim, 2 * self.hidden)                      # both halves, W_a first
        self.activation = nn.GELU()
        self.reduce = nn.Linear(self.hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.expand(x).chunk(2, dim=-1)
        return self.reduce(self.activation(gate) * value)


class ConvGLU(GLU):
    r"""The gate sees its neighbours, $W_2(\mathrm{GELU}(\mathrm{DW}(W_a x)) \odot W_b x)$: [B, N, dim] -> [B, N, dim].

    TransNeXt (Shi, CVPR 2024, arXiv 2311.17132).
    """

    def __init__(self, dim: int, *, ratio: int = 2, kernel: int = 3) -> None:
        super().__init__(dim, ratio=ratio)
        self.local = DepthwiseConv(self.hidden, kernel)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.expand(x).chunk(2, dim=-1)                      # [B, N, hidden]
        return self.reduce(self.activation(self.local(gate)) * value)


MIXERS: dict[str, type[nn.Module]] = {"mlp": MLP, "dw_mlp": DepthwiseMLP, "glu": GLU, "conv_glu": ConvGLU}


def channel_mixer(name: str, kernel: int) -> Layer:
    """The mixer of that name in `MIXERS`; `kernel` is for those that convolve, in tokens."""
    mixer = MIXERS[name]
    return partial(mixer, kernel=kernel) if mixer in (DepthwiseMLP, ConvGLU) else mixer
