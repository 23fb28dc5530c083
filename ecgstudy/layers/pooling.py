"""From a feature map to logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MeanHead(nn.Module):
    """Mean over time, then one linear map: features [B, C, N] -> logits [B, K]."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(dim, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(features.mean(dim=-1))


class ClassTokenHead(nn.Module):
    """The class token alone, then one linear map: features [B, C, 1 + N], that token first -> logits [B, K]."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(dim, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(features[..., 0])


class MeanMaxHead(nn.Module):
    """Mean and maximum over time side by side, then one linear map: features [B, C, N] -> logits [B, K]."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(2 * dim, n_classes)

    def embed(self, features: Tensor) -> Tensor:
        """What the linear map reads: features [B, C, N] -> [B, 2C], means first"""
        return torch.cat([features.mean(dim=-1), features.amax(dim=-1)], dim=-1)                # [B, 2C]

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(self.embed(features))


def embedding(model: nn.Module, features: Tensor) -> Tensor:
    """One vector a record from a model's last map: features [B, C, N] or [B, C, F, N] -> [B, E].

    What the last linear map of its head reads, where the head says so by a method `embed`; else the mean over all positions.
    """
    if hasattr(model.head, "embed"):
        return model.head.embed(features)
    return features.flatten(2).mean(dim=-1)                                                     # [B, C]


POOLINGS: dict[str, type[nn.Module]] = {"mean": MeanHead, "class_token": ClassTokenHead}
