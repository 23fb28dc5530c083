"""The base network and its data as one would write them first: the peer of this study's own code.

Channels first with `Conv1d` throughout, softmax written out, one record at a time from a `Dataset` through a `DataLoader`. The weights of
the study's network fit in, and then both compute the same function.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ecgstudy.layers.tokens import InceptionStem
from ecgstudy.models.inception_blocks import spell
from ecgstudy.train.feed import Scaling

PATTERN = ("L", "L", "LG", "G")


class PlainStem(InceptionStem):
    """The stem, whose layers are `Conv1d` anyway, with channels first to its end: [B, L, T] -> [B, dim, T]."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.mix_leads(x)
        narrow = self.bottleneck(x)
        scales = [self.pooled(x)] + [branch(narrow) for branch in self.branches]
        return torch.relu(self.branch_norm(torch.cat(scales, dim=1)) + self.residual(x))


class PlainConvolution(nn.Module):
    """The multi-scale convolution as four grouped `Conv1d`: [B, dim, N] -> [B, dim, N]."""

    def __init__(self, dim: int, kernels: Sequence[int]) -> None:
        super().__init__()
        part = dim // len(kernels)
        self.scales = nn.ModuleList(nn.Conv1d(part, part, kernel, padding=kernel // 2, groups=part) for kernel in kernels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([scale(part) for scale, part in zip(self.scales, x.chunk(len(self.scales), dim=1), strict=True)], dim=1)


class PlainAttention(nn.Module):
    """Self-attention with its weights [B, H, N, N] in memory: [B, dim, N] -> [B, dim, N]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Conv1d(dim, 3 * dim, 1)
        self.project = nn.Conv1d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(1, (3, self.heads, -1)).unbind(1)                   # [B, H, d, N]
        weights = (q.transpose(-2, -1) @ k / q.shape[-2] ** 0.5).softmax(dim=-1)            # [B, H, N, N]
        return self.project((v @ weights.transpose(-2, -1)).flatten(1, 2))


class PlainLayerNorm(nn.LayerNorm):
    """LayerNorm over channels that stand first: [B, dim, N] -> [B, dim, N]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class PlainBlock(nn.Module):
    """Token mixer, then an MLP of 1 x 1 convolutions, each before a residual: [B, dim, N] -> [B, dim, N]."""

    def __init__(self, dim: int, norm: type[nn.Module], mixer: nn.Module) -> None:
        super().__init__()
        self.token_norm, self.token_mixer, self.channel_norm = norm(dim), mixer, norm(dim)
        self.channel_mixer = nn.Sequential(nn.Conv1d(dim, 2 * dim, 1), nn.GELU(), nn.Conv1d(2 * dim, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.token_mixer(self.token_norm(x))
        return x + self.channel_mixer(self.channel_norm(x))


class PlainFormer(nn.Module):
    """The base InceptionFormer: [B, L, T] -> [B, K]. Its parameters are registered in the order of the study's network."""

    def __init__(self, n_leads: int, n_classes: int, *, widths: Sequence[int] = (64, 128, 256, 512), depths: Sequence[int] = (2, 4, 8, 4),
                 heads: int = 8, kernels: Sequence[int] = (3, 7, 11, 19)) -> None:
        super().__init__()
        self.stem = PlainStem(n_leads, widths[0])
        self.stages = nn.ModuleList(nn.Sequential(*(
            PlainBlock(width, nn.BatchNorm1d, PlainConvolution(width, kernels)) if letter == "L" else
            PlainBlock(width, PlainLayerNorm, PlainAttention(width, heads)) for letter in letters))
            for letters, width in zip(spell(PATTERN, depths), widths, strict=True))
        self.fusions = nn.ModuleList(nn.Conv1d(dim, out_dim, 3, stride=2, padding=1)
                                     for dim, out_dim in zip(widths, widths[1:], strict=False))
        self.classify = nn.Linear(widths[-1], n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages[0](self.stem(x))
        for fuse, stage in zip(self.fusions, self.stages[1:], strict=True):
            x = stage(fuse(x))
        return self.classify(x.mean(dim=-1))


def with_weights_of(plain: PlainFormer, model: nn.Module) -> PlainFormer:
    """`plain` with the weights of the study's network of the same size: a linear map is a convolution of width one."""
    theirs = model.state_dict()
    with torch.no_grad():
        for own, other in zip(plain.state_dict().values(), theirs.values(), strict=True):
            own.copy_(other.reshape(own.shape))
    return plain


class RecordDataset(Dataset):
    """One record an item, scaled when it is asked for: (signal float32 [L, T], target float32 [K]).

    signals: int16 [R, L, T] in memory, the friendliest case for a loader.
    """

    def __init__(self, signals: np.ndarray, targets: np.ndarray, scaling: Scaling) -> None:
        self.signals, self.targets, self.scaling = signals, targets, scaling

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        signal = (self.signals[row].astype(np.float32) - self.scaling.mean) / self.scaling.deviation
        return torch.from_numpy(signal.astype(np.float32)), torch.from_numpy(self.targets[row].astype(np.float32))


def batches(dataset: Dataset, batch_size: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of a shuffling `DataLoader` without end."""
    loader = DataLoader(dataset, batch_size, shuffle=True, drop_last=True, generator=torch.Generator().manual_seed(seed))
    while True:
        yield from loader
