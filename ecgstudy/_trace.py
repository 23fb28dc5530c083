"""Record what a notebook reads of the repository, so that the book knows when its page is out of date.

Switched on by ECGSTUDY_TRACE (see `ecgstudy/__init__.py`), which names the log. One line a read, relative to the root: a file
that was opened for reading, whether it exists or not; a module that was imported; and, with a slash at its end, a folder that
was listed, because a result added to it changes the page too. Products (`_build/`, `runs/`), hidden files, byte code and
installed packages are left out. A file opened by a C library past Python's `open` is not seen.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PRODUCTS = ("_build", "runs")
FOREIGN = ("__pycache__", "site-packages")


def source_of(path: str, root: Path = ROOT) -> str | None:
    """The repository path that a read of `path` stands for (a module for its byte code), or None when it is no source."""
    if path.endswith(".pyc"):
        try:
            path = importlib.util.source_from_cache(path)
        except ValueError:
            return None
    relative = os.path.relpath(path, root)
    parts = relative.split(os.sep)
    if parts[0] in (os.pardir, *PRODUCTS) or any(part.startswith(".") or part in FOREIGN for part in parts):
        return None
    return relative


def folder_of(path: str, root: Path = ROOT) -> str | None:
    """Like `source_of` for a listed folder; packages are left out, because the import system lists them."""
    relative = source_of(path, root)
    if relative is None or relative == os.curdir or os.path.exists(os.path.join(root, relative, "__init__.py")):
        return None
    return relative + "/"


def is_reading(mode: str | None, flags: int | None) -> bool:
    """Whether an `open` audit event (its mode, or its flags where there is none) only reads."""
    if isinstance(mode, str):
        return not set(mode) & set("wax+")
    return not (flags or 0) & (os.O_WRONLY | os.O_RDWR)


def start(log: str | os.PathLike[str]) -> None:
    """Append every read from now on, and every module of the repository imported so far, to `log`."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    seen: set[str] = set()

    def note(name: str | None) -> None:
        if name is not None and name not in seen:
            seen.add(name)
            os.write(file, (name + "\n").encode())

    def hook(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], (str, os.PathLike)) and is_reading(*arguments[1:3]):
            note(source_of(os.path.abspath(arguments[0])))
        elif event in ("os.listdir", "os.scandir") and isinstance(arguments[0], (str, os.PathLike)):
            note(folder_of(os.path.abspath(arguments[0])))

    for module in list(sys.modules.values()):
        if path := getattr(module, "__file__", None):
            note(source_of(os.path.abspath(path)))
    sys.addaudithook(hook)
