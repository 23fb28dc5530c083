"""Where in time the columns of a network's last map stand.

A map of 32 columns is not 32 equal slices of the record: a convolution of stride 2 that pads both ends alike puts its columns over every
second sample, from the first. Spread evenly, such columns would stand half a stride too late, which in a network of stride 32 at 100 Hz
is longer than a QRS complex.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.spectrogram import Spectrogram

STRIDING = (nn.Conv1d, nn.Conv2d, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)


@dataclass(frozen=True)
class Grid:
    """Column n of N stands at sample first + step * n."""

    first: float
    step: float
    n_columns: int

    @property
    def centres(self) -> np.ndarray:
        """Sample at the middle of what each column sees without its context, [N]."""
        return self.first + self.step * np.arange(self.n_columns)

    def to_samples(self, maps: np.ndarray, n_samples: int) -> np.ndarray:
        """Maps [..., N] on the record's samples [..., T]: linear between columns, constant beyond the outer two."""
        flat = maps.reshape(-1, self.n_columns)
        stretched = np.stack([np.interp(np.arange(n_samples), self.centres, row) for row in flat])
        return stretched.reshape(*maps.shape[:-1], n_samples)                                           # [..., T]


@torch.no_grad()
def trace_grid(model: nn.Module, x: Tensor, features: Tensor) -> Grid:
    """The grid of the last axis of `features`, by following kernels, strides and padding through one pass of x [B, L, T].

    Each length of the time axis is placed once, by the first layer that makes it; layers that keep a length keep its grid, so branches
    and shortcuts do not count twice. Raises ConfigurationError where the last map's columns come from no convolution, pooling or
    spectrogram (tokens that were selected, bands, recurrent states): such columns have no place that could be drawn.
    """
    grids: dict[int, tuple[float, float]] = {x.shape[-1]: (0.0, 1.0)}

    def place(module: nn.Module, received: tuple, output: Tensor) -> None:
        n_in, n_out = received[0].shape[-1], output.shape[-1]
        if n_in not in grids or n_out in grids:
            return
        first, step = grids[n_in]
        if isinstance(module, Spectrogram):
            grids[n_out] = (first, step * module.hop_samples)                       # frame n is centred on sample n * hop
        else:
            kernel, stride, padding, dilation = (_last(getattr(module, name, 1)) for name in
                                                 ("kernel_size", "stride", "padding", "dilation"))
            grids[n_out] = (first + step * (dilation * (kernel - 1) / 2 - padding), step * stride)

    hooks = [module.register_forward_hook(place) for module in model.modules() if isinstance(module, (*STRIDING, Spectrogram))]
    try:
        model.forward_features(x[:1])
    finally:
        for hook in hooks:
            hook.remove()
    n_columns = features.shape[-1]
    if n_columns not in grids:
        raise ConfigurationError(f"the last axis of {type(model).__name__}'s last map has the length {n_columns}, which no convolution, "
                                 "pooling or spectrogram places in time; choose a method that works on the input, such as "
                                 "integrated_gradients")
    return Grid(*grids[n_columns], n_columns)


def _last(value: int | tuple[int, ...]) -> int:
    """What a layer's setting says of the time axis, its last."""
    return value[-1] if isinstance(value, tuple) else value
