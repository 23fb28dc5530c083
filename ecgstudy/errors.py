"""The study's own exceptions. Each says what was found, what was expected, and what helps.

Every exception a person can cause derives from `StudyError` and carries the exit code of the command line:
2 usage or configuration, 3 data, 4 a run failed (it can be resumed), 5 locked by another process.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StudyError(Exception):
    """Base of all errors a person can cause and mend."""

    exit_code = 2


class ConfigurationError(StudyError):
    """A name, value or combination of settings that the study does not know."""

    exit_code = 2


class DataError(StudyError):
    """A recording, table, label or prepared array that is missing, damaged or inconsistent."""

    exit_code = 3


class AbsentError(DataError):
    """A data set that is not on this machine. It can be fetched; nothing is wrong with it."""


class RunError(StudyError):
    """A training run that stopped: not finite, out of memory, or killed. It can be resumed."""

    exit_code = 4


class LockedError(StudyError):
    """Another process holds what this one needs."""

    exit_code = 5


def unknown(kind: str, value: object, accepted: Iterable[str]) -> ConfigurationError:
    """The error for a misspelt name: the value, the nearest valid one, and everything that is accepted.

    >>> print(unknown("attention", "hlio", ["hilo", "mhsa"]))
    unknown attention 'hlio'; did you mean 'hilo'? Accepted: hilo, mhsa
    """
    names = [str(name) for name in accepted]
    near = difflib.get_close_matches(str(value), names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return ConfigurationError(f"unknown {kind} {str(value)!r}{hint} Accepted: {', '.join(names)}")


def require_known(kind: str, value: str, accepted: Iterable[str]) -> str:
    """Return `value` when it is one of `accepted`, else raise `unknown(...)`."""
    names = list(accepted)
    if value not in names:
        raise unknown(kind, value, names)
    return value
