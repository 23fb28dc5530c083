"""Window attention whose windows straddle the borders of the unshifted ones."""

from __future__ import annotations

from torch import Tensor

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.attention.window import WindowAttention
from ecgstudy.layers.checks import require_count


class ShiftedWindowAttention(WindowAttention):
    """Windows that begin `shift` tokens late, by rolling the tokens and masking what wraps round.

    Swin (Liu et al., ICCV 2021). Alternate blocks with shift 0 and window // 2, so that neighbours in different windows meet.
    As there, tokens that fill no more than one window are not shifted.
    """

    def __init__(self, dim: int, n_heads: int, *, window: int = 25, shift: int = 12) -> None:
        super().__init__(dim, n_heads, window=window)
        self.shift = require_count("shift", shift, least=0)
        if shift >= window:
            raise ConfigurationError(f"shift is {shift}; it must be smaller than the window of {window} tokens")

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.attend_windows(self.qkv(x), shift=self.shift if x.shape[1] > self.window else 0))
