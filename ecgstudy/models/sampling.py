"""Sizes that mean time, at another sampling rate than the one they were chosen for."""

from __future__ import annotations

from ecgstudy.signal import SignalSpec

REFERENCE_FS = 100      # hertz; the rate of every size that a model declares


def at_rate(size: int, signal: SignalSpec) -> int:
    """A size of `size` samples or tokens at 100 Hz, in those of `signal`; never below 1.

    >>> at_rate(25, SignalSpec(12, 5000, 500))
    125
    """
    return max(1, round(size * signal.fs / REFERENCE_FS))


def odd_at_rate(size: int, signal: SignalSpec) -> int:
    """The same for a kernel, which stays odd so that equal padding keeps the length.

    >>> odd_at_rate(19, SignalSpec(12, 2000, 200))
    39
    """
    return at_rate(size, signal) // 2 * 2 + 1
