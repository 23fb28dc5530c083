"""Reading a network's attention maps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ecgstudy.layers.attention.base import Attention


@contextlib.contextmanager
def capture_attention(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Inside the block, each forward pass of `model` leaves its attention maps in the yielded dict: module name -> [B, H, N, N].

    Every row holds the share of each token in one query's output and sums to 1, whatever the mechanism: weights of merged keys
    are spread evenly over the tokens that they cover; weights inside windows or routed windows stand at their true places. Two
    exceptions: rows and heads that a cascade has dropped are zero, and a cross-attention's map is [B, H, queries, keys]. A class token
    is a token like any other and stands first: `ecgstudy.explain.attention` keeps it apart from those that have a place. Maps
    carry no gradient; a second pass replaces the first one's maps. A layer under capture computes its weights explicitly, so it
    takes more memory, and agrees with the usual path to rounding.
    """
    maps: dict[str, Tensor] = {}
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Attention)}
    handles = []

    def begin(layer: Attention, _inputs: tuple) -> None:
        layer.captured = []

    def end(name: str):
        def collect(layer: Attention, _inputs: tuple, _output: Tensor) -> None:
            maps[name] = torch.cat(layer.captured, dim=1)
            layer.captured = None
        return collect

    for name, layer in layers.items():
        handles += [layer.register_forward_pre_hook(begin), layer.register_forward_hook(end(name))]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()
        for layer in layers.values():
            layer.captured = None
