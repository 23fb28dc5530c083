"""A trace as an image of its own sums of angles."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgstudy.layers.checks import require_count

FLAT = 1e-6         # below this range a lead is flat, and its image is that of zeros


class GramianField(nn.Module):
    r"""Gramian angular summation field of every lead: [B, L, T] -> [B, L, size, size], from -1 to 1. Nothing is learned.

    The lead is averaged down to `size` points and stretched to [-1, 1]; each point is the cosine of an angle, and the image holds the
    cosine of every sum of two angles:

    $$\tilde x = \frac{2x - \max x - \min x}{\max x - \min x},\quad \phi_i = \arccos \tilde x_i,\quad
    G_{ij} = \cos(\phi_i + \phi_j) = \tilde x_i \tilde x_j - \sqrt{1 - \tilde x_i^2}\,\sqrt{1 - \tilde x_j^2}$$

    Wang & Oates, AAAI workshops 2015. Time runs along both axes, so the diagonal is the trace itself; each lead is
    stretched by its own range, so its amplitude is lost.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = require_count("size", size)

    def forward(self, x: Tensor) -> Tensor:
        points = F.adaptive_avg_pool1d(x, self.size)                                            # [B, L, size]
        low, high = points.amin(dim=-1, keepdim=True), points.amax(dim=-1, keepdim=True)
        cosine = ((2 * points - high - low) / (high - low).clamp(min=FLAT)).clamp(-1.0, 1.0)
        sine = (1 - cosine**2).clamp(min=1e-12).sqrt()                  # clamped, so that the slope at its zeros stays finite
        return cosine[..., :, None] * cosine[..., None, :] - sine[..., :, None] * sine[..., None, :]


def patches(image: Tensor, side: int) -> Tensor:
    """An image [B, C, H, W] in squares of `side`, row by row: [B, H W / side^2, C, side, side]."""
    cut = image.unfold(2, side, side).unfold(3, side, side)                                     # [B, C, rows, columns, side, side]
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)


def patch_places(size: int, side: int) -> Tensor:
    """First row and first column of each patch, in the order of `patches`: int64 [P, 2]."""
    edges = torch.arange(0, size, side)
    return torch.cartesian_prod(edges, edges)
