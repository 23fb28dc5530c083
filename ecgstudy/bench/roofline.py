"""What the machine itself can do, measured: matrix products per second, and bytes copied per second.

A network is mostly matrix products, so a training step can come near the rate of a plain product and never beyond it; supplying batches is
moving bytes, so it can come near a plain copy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SQUARE = {"cpu": 1024, "cuda": 8192}        # of the large product: beyond the caches, and far above the cost of starting it


@dataclass(frozen=True)
class Work:
    """A call and how much it does: multiply-accumulates of a product, bytes read and written of a copy."""

    call: Callable[[], object]
    amount: float


def square_product(device: torch.device, dtype: torch.dtype = torch.float32, size: int = 0) -> Work:
    """The product of two square matrices of random numbers; zeros would run faster on some hardware. size 0: the device's own."""
    n = size or SQUARE[device.type]
    a, b = (_noise((n, n), seed).to(device, dtype) for seed in (0, 1))
    out = torch.empty_like(a)
    return Work(lambda: torch.mm(a, b, out=out), n**3)


def linear_shapes(model: nn.Module, example: Tensor) -> Counter[tuple[int, int, int]]:
    """(rows, inputs, outputs) of every linear map that a forward pass of `example` goes through, and how often."""
    found: Counter[tuple[int, int, int]] = Counter()

    def note(module: nn.Linear, received: tuple[Tensor, ...], _output: Tensor) -> None:
        found[received[0].numel() // module.in_features, module.in_features, module.out_features] += 1

    handles = [module.register_forward_hook(note) for module in model.modules() if isinstance(module, nn.Linear)]
    try:
        with torch.inference_mode():
            model(example)
    finally:
        for handle in handles:
            handle.remove()
    return found


def own_products(shapes: Counter[tuple[int, int, int]], device: torch.device, dtype: torch.dtype = torch.float32) -> Work:
    """The three products of a training step for each linear map, and nothing else: X W, dY W' and X' dY."""
    operands = []
    for (rows, inputs, outputs), count in shapes.items():
        x, weight, gradient = (_noise(shape, seed).to(device, dtype) for seed, shape in
                               enumerate(((rows, inputs), (inputs, outputs), (rows, outputs))))
        operands += [(x, weight, gradient)] * count

    def call() -> None:
        for x, weight, gradient in operands:
            x @ weight
            gradient @ weight.T
            x.T @ gradient

    return Work(call, 3.0 * sum(rows * inputs * outputs * count for (rows, inputs, outputs), count in shapes.items()))


def copy(device: torch.device, megabytes: int = 256) -> Work:
    """A copy of one large array into another; every byte is read once and written once."""
    source = _noise((megabytes * 2**18,), 0).to(device)
    target = torch.empty_like(source)
    return Work(lambda: target.copy_(source), 2.0 * megabytes * 2**20)


def _noise(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.empty(shape).normal_(generator=torch.Generator().manual_seed(seed))
