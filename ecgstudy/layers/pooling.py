"""From a feature map to logits."""

from __future__ import annotations

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


POOLINGS: dict[str, type[nn.Module]] = {"mean": MeanHead, "class_token": ClassTokenHead}
