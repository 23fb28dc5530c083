"""A progress bar where a person waits: tqdm where it is installed, else one log line every few seconds.

A bare GPU machine has no tqdm, and the training floors must run there. Away from a terminal (a notebook's kernel, a log file) a bar
is redrawn every few seconds only, because each drawing stays as a line.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterable
from typing import Any

try:
    from tqdm import tqdm
except ImportError:
    tqdm = None

LINE_SECONDS = 10.0     # between two lines of a bar that is not on a terminal

logger = logging.getLogger(__name__)


class LineProgress:
    """The part of tqdm's interface that the study uses, as log lines at most every `every` seconds. `bar_format` is tqdm's, and unused."""

    def __init__(self, iterable: Iterable | None = None, *, total: int | None = None, initial: int = 0, desc: str = "",
                 unit: str = "it", every: float = LINE_SECONDS, bar_format: str = "") -> None:
        self.iterable, self.desc, self.unit, self.every = iterable, desc, unit, every
        self.total = total if total is not None else (len(iterable) if hasattr(iterable, "__len__") else None)
        self.n, self.postfix, self.began = initial, "", time.monotonic()
        self.said = self.began

    def __iter__(self):
        for item in self.iterable:
            yield item
            self.update()

    def update(self, n: int = 1) -> None:
        self.n += n
        if time.monotonic() - self.said >= self.every:
            self.said = time.monotonic()
            logger.info("%s: %s/%s %s, %.0f s %s", self.desc, self.n, self.total, self.unit, self.said - self.began, self.postfix)

    def set_postfix_str(self, text: str) -> None:
        self.postfix = text

    def close(self) -> None: ...

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def progress(iterable: Iterable | None = None, *, silent: bool = False, **settings: Any) -> Any:
    """A bar over `iterable`, or one that is moved by `update`; settings as tqdm's (total, initial, desc, unit). silent: it says nothing."""
    if silent:
        return LineProgress(iterable, every=math.inf, **settings)
    if tqdm is None:
        return LineProgress(iterable, **settings)
    return tqdm(iterable, mininterval=0.2 if sys.stderr.isatty() else LINE_SECONDS, dynamic_ncols=True, **settings)
