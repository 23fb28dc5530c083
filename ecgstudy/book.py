"""Run the notebooks that are out of date, then build the book.

    python -m ecgstudy.book                     run what is out of date, assemble, build _build/src/_build/html
    python -m ecgstudy.book --check             run nothing; exit 1 when a page is out of date
    python -m ecgstudy.book --only 04           run that page only, also where a committed copy stands, and do not build
    python -m ecgstudy.book --only 04 -p dataset ptbxl -p profile full
    python -m ecgstudy.book --keep 04           commit-ready copy of the last run of that page under book/executed/

A page is out of date when its code cells, its parameters, the versions of the libraries that make numbers, or any file of
the repository that its kernel read have changed; nothing is declared. A page that takes long, or that was run on another
machine, stands on a committed executed copy as long as its code cells are today's. The site is built without a network.
"""

from __future__ import annotations

import argparse
import base64
import concurrent.futures
import datetime
import importlib.metadata
import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgstudy import files
from ecgstudy.errors import ConfigurationError, StudyError
from ecgstudy.progress import progress
from ecgstudy.study.notebooks import declared_parameters, find_notebook, has_tag, read_notebook, run_notebook, source

VERSIONED = ("numpy", "scipy", "pandas", "scikit-learn", "torch", "matplotlib")    # libraries that change a number or a figure
WIDGET = "application/vnd.jupyter.widget-view+json"     # a live progress bar; shown, it would ask the network for its script
FIGURE_BYTES = 100_000                                  # a kept figure above this is stored with 256 colours
KEPT_BYTES = 3_000_000                                  # all kept copies together


@dataclass(frozen=True)
class Book:
    """Where things lie under one root."""

    root: Path

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def text(self) -> Path:
        return self.root / "book"

    @property
    def assembled(self) -> Path:
        return self.root / "_build" / "src"

    @property
    def html(self) -> Path:
        return self.assembled / "_build" / "html"

    def pages(self, only: str = "", parameters: Mapping[str, Any] | None = None) -> list[Page]:
        """One page for each notebook whose name contains `only`, to be run with `parameters` over its defaults."""
        found = [path for path in sorted(self.notebooks.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
        return [Page(self, path, dict(parameters or {})) for path in found if only in path.stem]


@dataclass(frozen=True)
class Page:
    """A notebook as the book shows it, and the two places where an executed copy of it may stand."""

    book: Book
    notebook: Path
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.notebook.relative_to(self.book.notebooks).with_suffix(""))

    @property
    def run(self) -> Path:
        return self.book.root / "_build" / "runs" / f"{self.name}.ipynb"

    @property
    def committed(self) -> Path:
        return self.book.text / "executed" / f"{self.name}.ipynb"


# -- what is out of date ------------------------------------------------------------------------------------------------

def code_cells(notebook: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The code cells that the page's author wrote: papermill's injected one is left out."""
    return [c for c in notebook["cells"] if c["cell_type"] == "code" and not has_tag(c, "injected-parameters")]


def code_of(notebook: Mapping[str, Any]) -> list[str]:
    """What a notebook computes. Prose, ids, outputs and tags do not decide that."""
    return [source(cell) for cell in code_cells(notebook)]


def code_key(notebook: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Digest of code, parameters and the versions that change a number or a figure."""
    versions = {"python": list(sys.version_info[:2])}
    for library in VERSIONED:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            versions[library] = "absent"
    return files.digest([code_of(notebook), dict(parameters), versions])


def digest_of(name: str, root: Path) -> str:
    """Digest of one recorded read: a file's bytes, or the names in a folder (its name ends with a slash)."""
    path = root / name
    if name.endswith("/"):
        return files.digest(sorted(p.name for p in path.iterdir() if not p.name.startswith("."))) if path.is_dir() else "absent"
    return files.sha256(path) if path.is_file() else "absent"


def changed_reads(executed: Mapping[str, Any], root: Path) -> list[str]:
    """The recorded reads of an executed notebook that are no longer what they were."""
    return [name for name, was in executed["metadata"]["ecgstudy"]["reads"].items() if digest_of(name, root) != was]


def why_stale(page: Page) -> str:
    """Why the page's own run cannot be shown, in words; empty when it can."""
    if not page.run.is_file():
        return "never run"
    executed = read_notebook(page.run)
    if executed["metadata"]["ecgstudy"]["key"] != code_key(read_notebook(page.notebook), page.parameters):
        return "code, parameters or library versions changed"
    return ", ".join(changed_reads(executed, page.book.root))


def stands(page: Page) -> Path | None:
    """The executed copy to show: the fresh run, else the committed copy whose code cells are today's, else none."""
    if not why_stale(page):
        return page.run
    if page.committed.is_file() and code_of(read_notebook(page.committed)) == code_of(read_notebook(page.notebook)):
        return page.committed
    return None


# -- running ------------------------------------------------------------------------------------------------------------

def commit(root: Path) -> str:
    """The short id of the checked-out commit, marked where tracked files differ from it; empty outside git."""
    def git(*words: str) -> str:
        try:
            return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True).stdout.strip()
        except FileNotFoundError:
            return ""

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "ecgstudy", "notebooks")
    return git("rev-parse", "--short=10", "HEAD") + (" with uncommitted changes" if changed else "")


def run_page(page: Page, position: int = 0, threads: int = 1) -> Path:
    """Run one page and store its executed copy with what it read. Raises as `run_notebook`; an old copy then stays unused.

    position: row of its progress bar. threads: how many the kernel's libraries may use.
    """
    log = page.run.with_suffix(".reads")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    notebook, state = read_notebook(page.notebook), commit(page.book.root)
    finished = run_notebook(page.notebook, page.run.with_suffix(".finished.ipynb"), page.parameters,
                            environment={"ECGSTUDY_TRACE": str(log), "OMP_NUM_THREADS": str(threads)},
                            progress_bar={"desc": page.name, "position": position, "leave": False})
    names = sorted(set(log.read_text(encoding="utf-8").splitlines())) if log.is_file() else []
    executed = read_notebook(finished)
    executed["metadata"].pop("papermill", None)
    executed["metadata"]["ecgstudy"] = {
        "key": code_key(notebook, page.parameters), "parameters": declared_parameters(page.notebook) | page.parameters,
        "date": datetime.date.today().isoformat(), "commit": state,
        "reads": {name: digest_of(name, page.book.root) for name in names}}
    files.write_text(page.run, json.dumps(executed, indent=1, ensure_ascii=False) + "\n")
    finished.unlink()
    log.unlink(missing_ok=True)
    return page.run


def run_pages(pages: Sequence[Page], jobs: int) -> list[str]:
    """Run pages, `jobs` at a time in threads (kernels started by several processes race for ports); return the failures."""
    logging.getLogger("papermill").setLevel(logging.ERROR)
    import papermill  # noqa: F401  imported once here, before threads would do it twice at once

    rows, guard, failures = list(range(jobs, 0, -1)), threading.Lock(), []

    def one(page: Page) -> None:
        with guard:
            row = rows.pop()
        try:
            run_page(page, row, max(1, (os.cpu_count() or 1) // jobs))
        finally:
            with guard:
                rows.append(row)

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool, progress(total=len(pages), unit="page", desc="pages") as bar:
        running = {pool.submit(one, page): page for page in pages}
        for done in concurrent.futures.as_completed(running):
            bar.update()
            if error := done.exception():
                kind = "" if isinstance(error, StudyError) else f"{type(error).__name__}: "
                failures.append(f"{running[done].name}: {kind}{error}")
    return failures


# -- what is shown ------------------------------------------------------------------------------------------------------

def clean(outputs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Outputs as a page shows them: no progress bars, no warnings, and none of this machine's paths."""
    named = {str(files.repository()) + os.sep: "", os.environ.get("ECGSTUDY_DATA", ""): "$ECGSTUDY_DATA",
             str(files.home()): "$ECGSTUDY_HOME", str(Path.home()): "~"}

    def anonymous(value: Any) -> Any:
        if isinstance(value, str):
            for path, word in named.items():
                value = value.replace(path, word) if len(path) > 1 else value
            return value
        if isinstance(value, list):
            return [anonymous(item) for item in value]
        if isinstance(value, dict):
            return {key: item if key.startswith("image/") else anonymous(item) for key, item in value.items()}
        return value

    return [anonymous(dict(output)) for output in outputs
            if output.get("name") != "stderr" and WIDGET not in output.get("data", {})]


def ran_with(executed: Mapping[str, Any]) -> str:
    """The line under a page's title that says with which parameters, when and at which commit it was run."""
    note = executed["metadata"]["ecgstudy"]
    values = ", ".join(f"`{name} = {value!r}`" for name, value in note["parameters"].items()) or "no parameters"
    at = f", at commit {note['commit']}" if note.get("commit") else ""
    return f"```{{admonition}} This page was run\n:class: note run-line\nwith {values}, on {note['date']}{at}.\n```"


def with_outputs(notebook: dict[str, Any], executed: Mapping[str, Any]) -> dict[str, Any]:
    """Today's notebook, so that its prose is always current, carrying an executed copy's outputs and `ran_with`."""
    for cell, ran in zip(code_cells(notebook), code_cells(executed), strict=True):
        cell["outputs"], cell["execution_count"] = clean(ran["outputs"]), ran["execution_count"]
    first = notebook["cells"][0]
    title, _, rest = source(first).partition("\n")
    if first["cell_type"] != "markdown" or not title.startswith("# "):
        raise ConfigurationError(f"the first cell of a notebook must be Markdown that starts with its title, got {title!r}")
    first["source"] = f"{title}\n\n{ran_with(executed)}\n{rest}"
    return notebook


def write_changed(path: Path, data: bytes) -> Path:
    """Write a file unless it holds just that already: the builder reads a page again when its time moves."""
    if not path.is_file() or path.read_bytes() != data:
        files.write_atomically(path, lambda file: file.write(data))
    return path


def assemble(pages: Sequence[Page], book: Book) -> Path:
    """Fill `_build/src` with the book's prose and every page that stands, and remove what is no longer part of it."""
    prose = [path for path in book.text.rglob("*") if path.is_file() and "executed" not in path.relative_to(book.text).parts]
    written = {write_changed(book.assembled / path.relative_to(book.text), path.read_bytes()) for path in prose}
    for page in pages:
        if executed := stands(page):
            shown = with_outputs(read_notebook(page.notebook), read_notebook(executed))
            text = json.dumps(shown, indent=1, ensure_ascii=False) + "\n"
            written.add(write_changed(book.assembled / "notebooks" / f"{page.name}.ipynb", text.encode()))
    for path in list(book.assembled.rglob("*")):
        if path.is_file() and path not in written and "_build" not in path.relative_to(book.assembled).parts:
            path.unlink()
    return book.assembled


def build(assembled: Path) -> int:
    """Build the site; a warning or a broken reference is an error. Returns the builder's exit status."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(assembled),
               "-W", "-n", "--keep-going", "-q"]
    return subprocess.run(command).returncode


# -- committed executed copies ------------------------------------------------------------------------------------------

def smaller_png(encoded: str) -> str:
    """A base64 PNG, stored with 256 colours where it is larger than FIGURE_BYTES."""
    data = base64.b64decode(encoded)
    if len(data) <= FIGURE_BYTES:
        return encoded
    from PIL import Image

    image, packed = Image.open(io.BytesIO(data)).convert("RGB"), io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return base64.b64encode(min(data, packed.getvalue(), key=len)).decode()


def origin(executed: Mapping[str, Any], page: Page) -> dict[str, Any]:
    """What a kept copy says about its run; of one that papermill itself made, the commit and the reads are not known."""
    metadata = executed["metadata"]
    if "ecgstudy" in metadata:
        return {key: metadata["ecgstudy"][key] for key in ("parameters", "date", "commit", "reads")}
    ran = metadata.get("papermill", {})
    if not ran.get("start_time"):
        raise ConfigurationError(f"{page.name}: the copy to keep was not run by papermill or by the book")
    return {"parameters": declared_parameters(page.notebook) | ran.get("parameters", {}), "date": ran["start_time"][:10],
            "commit": "", "reads": {}}


def keep(executed: Path, page: Page) -> Path:
    """Store an executed copy of `page` in book/executed/, without machine paths and times and with small figures.

    Raises ConfigurationError where the copy is not of today's code cells, did not run to its end, or would make the kept
    copies together larger than KEPT_BYTES.
    """
    notebook = read_notebook(executed)
    if code_of(notebook) != code_of(read_notebook(page.notebook)):
        raise ConfigurationError(f"{executed} is not a run of today's {page.name}: the code cells differ; run the page again")
    for number, cell in enumerate(code_cells(notebook), 1):
        if cell["execution_count"] is None or any(output["output_type"] == "error" for output in cell["outputs"]):
            raise ConfigurationError(f"{executed} stopped at code cell {number}; only a page that ran to its end is kept")
    cells = [cell for cell in notebook["cells"] if not has_tag(cell, "injected-parameters")]
    for cell in cells:
        cell["metadata"] = {key: value for key, value in cell["metadata"].items() if key in ("tags", "mystnb") and value}
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = smaller_png("".join(output["data"]["image/png"]))
        if cell["cell_type"] == "code":
            cell["outputs"] = clean(cell["outputs"])
    kept = {"cells": cells, "metadata": {"kernelspec": notebook["metadata"]["kernelspec"], "ecgstudy": origin(notebook, page)},
            "nbformat": notebook["nbformat"], "nbformat_minor": notebook["nbformat_minor"]}
    text = json.dumps(kept, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    others = sum(p.stat().st_size for p in page.committed.parent.rglob("*.ipynb") if p != page.committed)
    if others + len(text.encode()) > KEPT_BYTES:
        raise ConfigurationError(f"{page.name} takes {len(text.encode()):,} bytes and the other kept pages {others:,}; at most "
                                 f"{KEPT_BYTES:,} together: draw fewer or plainer figures")
    return files.write_text(page.committed, text)


# -- command line -------------------------------------------------------------------------------------------------------

def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    import yaml

    parser = argparse.ArgumentParser(prog="python -m ecgstudy.book", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="run nothing; exit 1 when a page is out of date")
    parser.add_argument("--only", default="", metavar="NAME", help="only pages whose name contains this; the book is not built")
    parser.add_argument("--jobs", type=int, default=2, help="how many notebooks run at a time (default: 2)")
    parser.add_argument("--keep", default="", metavar="NAME", help="store the last run of a page in book/executed/")
    parser.add_argument("-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                        help="a parameter for the pages of --only; the value is read as YAML")
    options = parser.parse_args(words)
    options.parameters = {name: yaml.safe_load(value) for name, value in options.parameters}
    if options.parameters and not (options.only or options.keep):
        parser.error("-p needs --only: the book's pages run with their defaults")
    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1, got {options.jobs}")
    return options


def report(pages: Sequence[Page], always_run: bool) -> list[Page]:
    """Say where each page stands and return those to run."""
    waiting = []
    for page in pages:
        reason, shown = why_stale(page), stands(page)
        if shown == page.run:
            continue
        if shown and not always_run:
            executed = read_notebook(shown)
            changed = changed_reads(executed, page.book.root)
            since = f"; {len(changed)} of the files that it read have changed since" if changed else ""
            print(f"  {page.name}: shows its committed run of {executed['metadata']['ecgstudy']['date']}{since}")
            continue
        print(f"  {page.name}: {reason}")
        waiting.append(page)
    print(f"{len(pages) - len(waiting)} up to date, {len(waiting)} to run")
    return waiting


def main(words: Sequence[str] | None = None, root: Path | None = None) -> int:
    """The command line; returns its exit status."""
    options, book = arguments(words), Book(root or files.repository())
    try:
        if options.keep:
            page = Page(book, find_notebook(options.keep))
            kept = keep(page.run, page)
            print(f"kept {kept.relative_to(book.root)}, {kept.stat().st_size:,} bytes")
            return 0
        pages = book.pages(options.only, options.parameters)
        if options.only and not pages:
            raise ConfigurationError(f"no notebook has {options.only!r} in its name; there are "
                                     f"{', '.join(page.name for page in book.pages()) or 'none'}")
        waiting = report(pages, always_run=bool(options.only))
        if options.check:
            return int(bool(waiting))
        for failure in (failures := run_pages(waiting, options.jobs) if waiting else []):
            print(f"FAILED {failure}", file=sys.stderr)
        if failures or options.only:
            return int(bool(failures))       # a book never shows new prose over a failed run's old outputs
        if status := build(assemble(pages, book)):
            return status
        print(f"the book is at {book.html / 'index.html'}")
        return 0
    except StudyError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
