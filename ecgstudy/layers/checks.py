"""Refusing a bad size where it is given, before it turns into a shape error deep inside a forward pass."""

from __future__ import annotations

from collections.abc import Sequence

from ecgstudy.errors import ConfigurationError


def require_count(name: str, value: object, least: int = 1) -> int:
    """Return `value` when it is a whole number of at least `least`, else raise ConfigurationError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    return value


def require_counts(name: str, values: object, least: int = 1) -> tuple[int, ...]:
    """Return a non-empty list or tuple of counts as a tuple, else raise ConfigurationError naming the bad entry."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ConfigurationError(f"{name} is {values!r}; it must be a list of whole numbers of at least {least}")
    return tuple(require_count(f"{name}[{i}]", value, least) for i, value in enumerate(values))


def require_odd(name: str, value: object) -> int:
    """Return a kernel size that keeps the length under symmetric padding, else raise ConfigurationError."""
    if require_count(name, value) % 2 == 0:
        raise ConfigurationError(f"{name} is {value}; it must be odd, so that equal padding on both sides keeps the length")
    return value


def require_divisible(name: str, value: int, by_name: str, by: int) -> int:
    """Return `value` when `by` divides it, else raise ConfigurationError with the nearest values that would do."""
    if value % by:
        below = value - value % by
        near = f"{below} or {below + by}" if below else f"{by}"
        raise ConfigurationError(f"{name} is {value}, which {by_name} {by} does not divide; use {near}")
    return value
