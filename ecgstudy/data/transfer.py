"""Receive one file over HTTP: resumed where it broke off, checked by SHA-256, given up where trying again cannot help.

Nothing that a server says is trusted: not a status of 200 (an error page in HTML is refused), not that it resumed where it
was asked to, not that the body is whole.
"""

from __future__ import annotations

import errno
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ecgstudy import __version__, files

if TYPE_CHECKING:
    import requests

FIRST_ANSWER = 4.0              # seconds for the very first answer of each address: without a network, say so soon
TIMEOUT = (10.0, 30.0)          # seconds to connect, and between two blocks, once an address has answered
ATTEMPTS = 4                    # for each file at each address
BACK_OFF = 0.5                  # seconds before the second attempt; doubled before each further one
BLOCK = 1 << 14                 # bytes; at most this much is lost where a download breaks off


class Again(Exception):
    """This attempt failed in a way that another one may not."""


class Refused(Exception):
    """This address does not deliver the file; the next one may."""


class Stopped(Exception):
    """Another file failed, or the person pressed Ctrl-C."""


class Client:
    """One HTTP session for each thread, and one flag that ends them all."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._local = threading.local()

    def open(self, url: str, offset: int = 0, timeout: tuple[float, float] = TIMEOUT) -> requests.Response:
        """Ask for the bytes from `offset` on; the body is not read yet. Raises requests.RequestException."""
        import requests

        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.headers.update({"User-Agent": f"ecgstudy/{__version__}", "Accept-Encoding": "identity"})
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        return self._local.session.get(url, headers=headers, stream=True, timeout=timeout)

    def first(self, url: str) -> requests.Response:
        """`open` that gives up after FIRST_ANSWER seconds in all. Raises Refused.

        A time-out alone does not bound it: a name server may be slow, and each address of a host is tried in turn.
        """
        import requests

        answers: queue.SimpleQueue = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self.open(url, timeout=(FIRST_ANSWER, TIMEOUT[1])))
            except requests.RequestException as error:
                answers.put(error)

        threading.Thread(target=ask, daemon=True, name="fetch-first").start()
        try:
            answer = answers.get(timeout=FIRST_ANSWER)
        except queue.Empty:
            raise Refused(f"{url} did not answer within {FIRST_ANSWER:g} s") from None
        if isinstance(answer, Exception):
            raise Refused(f"{url} cannot be reached ({reason_of(answer)})")
        return answer

    def pause(self, seconds: float) -> None:
        self.stop.wait(seconds)
        self.check()

    def check(self) -> None:
        if self.stop.is_set():
            raise Stopped


def receive(client: Client, url: str, part: Path, expected: str) -> None:
    """Fill `part` with the file that has the expected SHA-256, resuming what is there. Raises Refused."""
    import requests

    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            client.pause(BACK_OFF * 2 ** (attempt - 1))
        try:
            resumed = _stream(client, url, part)
        except Again as failure:
            reason = str(failure)
            continue
        except requests.RequestException as error:
            reason = reason_of(error)
            continue
        found = files.sha256(part)
        if found == expected:
            return
        part.unlink()
        reason = f"has SHA-256 {found[:12]}…, but the list says {expected[:12]}…"
        if not resumed:                 # a fresh copy that is wrong stays wrong; a resumed one may have begun with other bytes
            raise Refused(f"{url} {reason}")
    raise Refused(f"{url} failed {ATTEMPTS} times, last: {reason}")


def _stream(client: Client, url: str, part: Path) -> bool:
    """Receive into `part` from where it ends; returns whether the server resumed there. Raises Again, Refused."""
    offset = part.stat().st_size if part.is_file() else 0
    with client.open(url, offset) as response:
        status = response.status_code
        if status in (408, 429) or status >= 500:
            raise Again(f"status {status} {response.reason}")
        resumed = status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
        if status == 416 or (status == 206 and not resumed):
            part.unlink(missing_ok=True)
            raise Again(f"cannot resume at byte {offset}")
        if status not in (200, 206):
            raise Refused(f"{url} answers {status} {response.reason}")
        try:
            with open(part, "ab" if resumed else "wb") as file:     # a server that ignores the range sends it all again
                for block in blocks(response, url, start=not resumed):
                    client.check()
                    file.write(block)
        except Refused:
            part.unlink(missing_ok=True)
            raise
        except OSError as error:
            if error.errno == errno.ENOSPC:
                part.unlink(missing_ok=True)
            raise
    return resumed


def blocks(response: requests.Response, url: str, start: bool = True) -> Iterator[bytes]:
    """The body in blocks. Raises Refused where it starts as a web page: none of the data sets holds one."""
    for block in response.iter_content(BLOCK):
        head = block[:200].lstrip().lower()
        if start and head.startswith((b"<!doctype", b"<html", b"<?xml")):
            raise Refused(f"{url} answers {response.status_code} but sends a web page, not the file: {block[:60]!r}")
        start = False
        yield block


def reason_of(error: Exception) -> str:
    """The innermost cause of a failed request, without the library's long preamble."""
    inner = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    return f"{type(error).__name__}: {str(inner).rsplit(': ', 1)[-1]}"
