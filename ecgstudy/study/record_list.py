"""The records that pages show or score, fixed in book/records.yaml by a rule before anyone saw what a network makes of them."""

from __future__ import annotations

from typing import Any

from ecgstudy import files
from ecgstudy.errors import DataError


def record_list(name: str) -> dict[str, Any]:
    """One list of book/records.yaml; DataError where the file or the list is missing."""
    import yaml

    path = files.repository() / "book" / "records.yaml"
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))[name]
    except (OSError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no list {name!r} ({error!r}); it is part of the repository, check it out again") from None
