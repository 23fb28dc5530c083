"""Looking at a finished page again: how long a rerun takes that has nothing to train.

The page is run once, its runs stay, and then it is asked for again in two ways: by papermill, which starts a kernel and goes through every
cell; and by the book's runner, which finds that nothing changed. Both are whole processes, from the command to its end.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgstudy import files
from ecgstudy.bench.rounds import Effort, Spread
from ecgstudy.bench.rows import Row
from ecgstudy.errors import RunError

PAGE, PARAMETERS = "08_stacking", {"profile": "smoke", "dataset": "synthetic", "networks": "inception_next,hilo_sa"}
MOST_SECONDS = 10.0
BOOK = "import sys; from pathlib import Path; from ecgstudy.book import main; sys.exit(main(sys.argv[2:], Path(sys.argv[1])))"


def measure(effort: Effort, folder: Path) -> list[Row]:
    """Both reruns; `folder` takes the page's runs and data, so that the reader's own are left alone."""
    if importlib.util.find_spec("papermill") is None:
        return [Row("notebook", "a finished page again", "s", skipped="papermill is not installed; it is part of the extra `study`")]
    root, environment = _small_book(folder), os.environ | {"ECGSTUDY_RUNS": str(folder / "runs"), "ECGSTUDY_HOME": str(folder / "home")}
    given = [word for name, value in PARAMETERS.items() for word in ("-p", name, value)]
    page = str(root / "notebooks" / f"{PAGE}.ipynb")
    ways = {"papermill": ["-m", "papermill", "--no-progress-bar", page, str(folder / "out.ipynb"), *given],
            "the book's runner": ["-c", BOOK, str(root), "--only", PAGE, *given]}
    rounds = 1 if effort.quick else min(effort.rounds, 3)
    rows, wall = [], effort.clock == "wall"
    for name, words in ways.items():
        first, *again = [_seconds(words, environment, wall) for _ in range(rounds + 1)]
        spread = Spread.of(np.array(again) / MOST_SECONDS)
        rows.append(Row("notebook", f"a finished page again, by {name}", "s", float(np.median(again)), "the limit", MOST_SECONDS, spread,
                        "share of the limit", 1.0, True, profile=_parts(environment),
                        note=f"page {PAGE}, profile smoke, two networks; the first time this way took {first:.0f} s"))
    return rows


def _small_book(folder: Path) -> Path:
    """A root with this one page, which reads the repository's own package and book."""
    root, repository = folder / "book", files.repository()
    (root / "notebooks").mkdir(parents=True)
    for name in ("ecgstudy", "book"):
        (root / name).symlink_to(repository / name)
    shutil.copy(repository / "notebooks" / f"{PAGE}.ipynb", root / "notebooks")
    return root


def _seconds(words: Sequence[str], environment: dict[str, str], wall: bool) -> float:
    """Seconds of one command: by the wall, or the processor time of it and of all that it started."""
    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.perf_counter() if wall else used.ru_utime + used.ru_stime

    began = spent()
    ran = subprocess.run([sys.executable, *words], cwd=files.repository(), env=environment | ({} if wall else {"OMP_NUM_THREADS": "1"}),
                         capture_output=True, text=True)
    if ran.returncode:
        raise RunError(f"page {PAGE} did not run: {ran.stderr.strip()[-600:]}")
    return spent() - began


def _parts(environment: dict[str, str]) -> tuple[tuple[str, float], ...]:
    """Which imports a page's kernel waits for, as shares of all its imports."""
    from ecgstudy.bench.profiling import shares

    told = subprocess.run([sys.executable, "-X", "importtime", "-c", "from ecgstudy.study import axis_page, figures"],
                          cwd=files.repository(), env=environment, capture_output=True, text=True).stderr
    times: dict[str, float] = {}
    for line in told.splitlines():
        own, _, name = (line.removeprefix("import time:").split("|") + ["", ""])[:3]
        if own.strip().isdigit():
            top = f"importing {name.strip().split('.')[0]}"
            times[top] = times.get(top, 0.0) + float(own)
    return shares(times)
