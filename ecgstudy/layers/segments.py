"""A sequence cut into overlapping segments, and put together again."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.checks import require_count


class Segmentation:
    r"""Segments of `length` frames K, each `hop` frames P after the one before: [B, C, N] <-> [B, C, K, S].

    With K zeros on both sides of the sequence, segment s holds the frames from $sP - K$ to $sP - 1$:

    $$T_{c,k,s} = u_{c,\,sP + k - K},\qquad u_{c,n} = 0 \text{ outside } 0 \le n < N$$

    `join` adds every frame up where it came from and does not divide, so that `join(cut(u))` is $u$ times the number of segments
    that hold each frame (`coverage`). With P = K / 2 that is exactly two everywhere: the pair doubles a sequence, without rounding.

    Raises ConfigurationError where the hop is longer than a segment, which would lose frames between two.
    """

    def __init__(self, length: int, hop: int) -> None:
        self.length, self.hop = require_count("length", length), require_count("hop", hop)
        if hop > length:
            raise ConfigurationError(f"hop is {hop}, longer than a segment of {length}, so frames would be lost; use at most {length}")

    def count(self, n_frames: int) -> int:
        """How many segments a sequence of `n_frames` gives, S."""
        return (n_frames + self.length) // self.hop + 1

    def cut(self, u: Tensor) -> Tensor:
        """u: [B, C, N] -> [B, C, K, S]"""
        padded = F.pad(u, (self.length, self.length))                           # [B, C, N + 2 K]
        return padded.unfold(-1, self.length, self.hop).transpose(-1, -2)       # [B, C, S, K] -> [B, C, K, S]

    def join(self, segments: Tensor, n_frames: int) -> Tensor:
        """segments: [B, C, K, S] -> [B, C, n_frames], the sum over the segments that hold each frame"""
        columns = segments.flatten(1, 2)                                        # [B, C K, S]
        padded = F.fold(columns, (n_frames + 2 * self.length, 1), (self.length, 1), stride=(self.hop, 1))
        return padded[:, :, self.length:-self.length, 0]

    def coverage(self, n_frames: int) -> Tensor:
        """In how many segments each frame lies: [n_frames]."""
        return self.join(self.cut(torch.ones(1, 1, n_frames)), n_frames)[0, 0]

    def starts(self, n_frames: int) -> Tensor:
        """The first frame of each segment [S]; below 0 where the segment begins in the padding."""
        return torch.arange(self.count(n_frames)) * self.hop - self.length
