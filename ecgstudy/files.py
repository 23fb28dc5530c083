"""One way to write a file: into a temporary beside it, flushed, then renamed over it; nothing half-written stays.

Also where the study keeps things outside git, digests, and a lock between processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ecgstudy.errors import DataError, LockedError


def repository() -> Path:
    """The root of the checkout, where notebooks/, book/ and data_manifest.yaml lie."""
    return Path(__file__).resolve().parents[1]


def home() -> Path:
    """Where prepared data and downloads live: ECGSTUDY_HOME, else the user's cache directory."""
    if "ECGSTUDY_HOME" in os.environ:
        return Path(os.environ["ECGSTUDY_HOME"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "ecgstudy"


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> Path:
    """Call `write(file)` on a temporary in the same folder, then rename it to `path`.

    The old file stays intact until the new one is complete on disk. Raises DataError, naming the file, where the folder
    cannot be written or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path} could not be written ({error.strerror or error}); free some space or choose another folder "
                        "with ECGSTUDY_HOME") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write `text` as UTF-8, atomically."""
    return write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as indented JSON with sorted keys, atomically; not-a-number is refused."""
    return write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; DataError names it where it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON ({error}); remove it and make it again") from None


def sha256(path: Path) -> str:
    """The SHA-256 of a file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """The one JSON text of a value, for digests: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@contextlib.contextmanager
def lock(path: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock on `path` (an empty file) for the block.

    The operating system drops the lock when its holder dies, so no lock of this machine can be stale. On a folder that machines share,
    the lock of a machine that died lasts until the file server gives it up: NFS 4 does after a minute and a half. Raises LockedError,
    naming the holder, its machine and since when, after `wait_seconds`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_seconds
    with open(path, "a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    file.seek(0)
                    holder = file.read().strip() or "another process"
                    raise LockedError(f"{path} is held by {holder}; wait for it to finish or stop it") from None
                time.sleep(0.1)
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}")
        file.flush()
        yield
