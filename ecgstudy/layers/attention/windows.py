"""Cutting tokens into windows of equal length and putting them back, for any number of tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def to_windows(x: Tensor, window: int) -> Tensor:
    """[B, N, C] -> [B, W = ceil(N / window), window, C]; the last window is filled with zeros."""
    missing = -x.shape[1] % window
    if missing:
        x = F.pad(x, (0, 0, 0, missing))
    return x.unflatten(1, (-1, window))


def from_windows(x: Tensor, n_tokens: int) -> Tensor:
    """[B, W, window, C] -> [B, N, C], without the filling."""
    return x.flatten(1, 2)[:, :n_tokens]


def visible_pairs(n_tokens: int, window: int, device: torch.device, shift: int = 0) -> Tensor | None:
    """Which tokens of a window may see each other: bool [W, 1, window, window], or None where all may.

    The filling is a region of its own: invisible to the tokens, and still no row is empty. With windows that begin `shift` tokens
    late, what wraps round from the beginning lies beside the end without being its neighbour: another region.
    """
    n_places = n_tokens + -n_tokens % window
    if n_places == n_tokens and not shift:
        return None
    regions = (torch.arange(n_places, device=device) >= n_tokens).long()
    regions[:shift] = 2
    regions = regions.roll(-shift, 0).view(-1, window)                           # [W, window]
    return (regions[:, :, None] == regions[:, None, :]).unsqueeze(1)


def block_diagonal(weights: Tensor) -> Tensor:
    """Weights inside windows at their true places: [B, W, H, window, window] -> [B, H, W * window, W * window]."""
    blocks = torch.diag_embed(weights.permute(0, 2, 3, 4, 1), dim1=2, dim2=4)    # [B, H, W, window, W, window]
    return blocks.flatten(4, 5).flatten(2, 3)
