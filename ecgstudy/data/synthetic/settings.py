"""What a simulated data set is asked to be."""

from __future__ import annotations

from dataclasses import dataclass

from ecgstudy.errors import ConfigurationError, require_known

NINE_SCHEMES = ("natural", "balanced")
SCHEMES = (*NINE_SCHEMES, "rhythms", "balanced_rhythms", "chapman", "balanced_chapman")


@dataclass(frozen=True)
class Settings:
    """How records are drawn. The same settings, seed and index always give the same record.

    scheme: "natural" draws the label sets of the public CPSC2018 records in their published frequency, "balanced" gives
    record i the one class i mod 9. "rhythms" draws PTB-XL's twelve rhythm statements and "chapman" the eleven rhythms of
    Chapman-Shaoxing, in their published frequency but none below 1 %; "balanced_rhythms" and "balanced_chapman" give them in
    turn. hard: prevalence of borderline findings (1 as recommended, 0 none). look_alikes:
    prevalence of unlabelled findings that resemble a label. label_noise: share of records whose noisy label set is one
    class drawn at random. noise: factor on every noise amplitude.
    """

    scheme: str = "natural"
    hard: float = 1.0
    look_alikes: float = 1.0
    label_noise: float = 0.05
    noise: float = 1.0

    def __post_init__(self) -> None:
        require_known("scheme", self.scheme, SCHEMES)
        for name in ("hard", "look_alikes", "label_noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"Settings.{name} is {getattr(self, name)}; it must lie between 0 and 1")
        if not 0 <= self.noise < float("inf"):
            raise ConfigurationError(f"Settings.noise is {self.noise}; it must be a finite number, 0 or more")
