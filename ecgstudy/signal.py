"""What a network is fed, and pure array signal processing."""

from __future__ import annotations

from dataclasses import dataclass

from ecgstudy.errors import ConfigurationError


@dataclass(frozen=True)
class SignalSpec:
    """The shape of one input: `n_leads` leads, `n_samples` time samples at `fs` hertz."""

    n_leads: int
    n_samples: int
    fs: int

    def __post_init__(self) -> None:
        for name in ("n_leads", "n_samples", "fs"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"SignalSpec.{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def seconds(self) -> float:
        """Duration of one input in seconds."""
        return self.n_samples / self.fs
