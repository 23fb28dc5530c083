"""What settings are called where a person reads them."""

from __future__ import annotations

NAMES = {"mhsa": "MHSA (full)", "bi_level_routing": "bi-level routing", "hilo": "HiLo"}


def readable(name: str) -> str:
    """A setting's value as a person writes it."""
    return NAMES.get(name, name.replace("_", " "))
