"""Run the notebooks that are out of date, then build the book.

    python -m ecgstudy.book                     run what is out of date, assemble, build _build/src/_build/html
    python -m ecgstudy.book --check             run nothing; exit 1 when a page is out of date
    python -m ecgstudy.book --only 04           run that page only, also where a committed copy stands, and do not build
    python -m ecgstudy.book --only 04 -p dataset ptbxl -p profile full
    python -m ecgstudy.book --keep 04           store that page's last run under book/executed/, to be committed
    python -m ecgstudy.book --keep 00           the same, and the README's picture with it
    python -m ecgstudy.book --pdf 04            print that page of the built book to _build/pdf/

What "out of date" means stands in `ecgstudy.study.pages`. The site is built without a network.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import datetime
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from ecgstudy import cli, files
from ecgstudy.errors import ConfigurationError, StudyError
from ecgstudy.progress import progress
from ecgstudy.study import chapters, glossary, reference, site, source_pages
from ecgstudy.study.closing import closing
from ecgstudy.study.notebooks import declared_parameters, find_notebook, read_notebook, run_notebook, source
from ecgstudy.study.pages import FRONT, Book, Page, changed_reads, code_key, digest_of, keep, picture_of, stands, why_stale, with_outputs

NOT_SHOWN = ("executed", "results", "weights")       # parts of book/ that pages read and the site does not carry


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
    """Run one page and store its executed copy with what it read. Raises as `run_notebook`; the old copy then stays out of date.

    position: row of its progress bar. threads: how many the kernel's libraries may use.
    """
    log = page.run.with_suffix(".reads")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    notebook, state = read_notebook(page.notebook), commit(page.book.root)
    run_notebook(page.notebook, page.run, page.parameters,
                 environment={"ECGSTUDY_TRACE": str(log), "OMP_NUM_THREADS": str(threads)},
                 progress_bar={"desc": page.name, "position": position, "leave": False})
    names = sorted(set(log.read_text(encoding="utf-8").splitlines())) if log.is_file() else []
    executed = read_notebook(page.run)
    executed["metadata"].pop("papermill", None)
    executed["metadata"]["ecgstudy"] = {
        "key": code_key(notebook, page.parameters), "parameters": declared_parameters(page.notebook) | page.parameters,
        "date": datetime.date.today().isoformat(), "commit": state,
        "reads": {name: digest_of(name, page.book.root) for name in names}}
    files.write_text(page.run, json.dumps(executed, indent=1, ensure_ascii=False) + "\n")
    log.unlink(missing_ok=True)
    return page.run


def run_pages(pages: Sequence[Page], jobs: int) -> list[str]:
    """Run pages, `jobs` at a time in threads (kernels started by several processes race for ports); return the failures."""
    logging.getLogger("papermill").setLevel(logging.ERROR)
    import papermill  # noqa: F401  imported once here, before threads would do it twice at once

    jobs = min(jobs, len(pages))
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
                study = isinstance(error, StudyError)       # then the message names the page itself
                failures.append(str(error) if study else f"{running[done].name}: {type(error).__name__}: {error}")
    return failures


def write_changed(path: Path, data: bytes) -> Path:
    """Write a file unless it holds just that already: the builder reads a page again when its time moves."""
    if not path.is_file() or path.read_bytes() != data:
        files.write_atomically(path, lambda file: file.write(data))
    return path


def prose(book: Book) -> dict[Path, bytes]:
    """The chapters, with their generated parts, and the files that belong to them: path under the assembled book -> content."""
    writers = chapters.WRITERS | {"command_line": lambda words, root, up: chapters.command_lines([cli.parser(), parser()])}
    found = {}
    for path in book.text.rglob("*"):
        name = path.relative_to(book.text)
        if not path.is_file() or name.parts[0] in NOT_SHOWN:
            continue
        data = path.read_bytes()
        found[name] = chapters.filled(data.decode(), name.as_posix(), book.root, writers).encode() if path.suffix == ".md" else data
    return found


def beside(book: Book, documented: Mapping[str, str]) -> dict[Path, bytes]:
    """What lies beside the site as it is, for links to lead to: the package's source, and notebooks and scripts to download."""
    code = source_pages.pages(book.root, documented, book.assembled / "beside" / source_pages.FOLDER)
    found = {Path(source_pages.FOLDER) / name: data for name, data in code.items()}
    for page in book.pages():
        found |= {Path("download/notebooks") / f"{page.name}{suffix}": page.notebook.with_suffix(suffix).read_bytes()
                  for suffix in (".ipynb", ".py") if page.notebook.with_suffix(suffix).is_file()}
    return {Path("beside") / name: data for name, data in found.items()}


def assemble(pages: Sequence[Page], book: Book) -> Path:
    """Fill `_build/src` with the book's prose, every page that stands and what both link to; remove what is no longer part of it."""
    documented = chapters.documented(book.text, book.root)
    content = prose(book) | beside(book, documented) | shown_pages(pages, book, documented)
    written = {write_changed(book.assembled / name, data) for name, data in content.items()}
    for path in list(book.assembled.rglob("*")):
        if path.is_file() and path not in written and "_build" not in path.relative_to(book.assembled).parts:
            path.unlink()
    return book.assembled


def shown_pages(pages: Sequence[Page], book: Book, documented: Mapping[str, str]) -> dict[Path, bytes]:
    """Every page that stands, as a notebook: today's prose with its links to the glossary, the copy's outputs, and the closing part."""
    explained, known = book.text / "glossary.md", reference.modules(book.root)
    terms = glossary.terms(explained.read_text(encoding="utf-8")) if explained.is_file() else []
    found = {}
    for page in pages:
        if not (executed := stands(page)):
            continue
        ran = read_notebook(executed)
        shown = with_outputs(read_notebook(page.notebook), ran)
        told = [cell for cell in shown["cells"] if cell["cell_type"] == "markdown"]
        for cell, text in zip(told, glossary.linked([source(cell) for cell in told], terms), strict=True):
            cell["source"] = text
        shown["cells"].append(closing(page, ran, known, documented))
        found[Path("notebooks") / f"{page.name}.ipynb"] = (json.dumps(shown, indent=1, ensure_ascii=False) + "\n").encode()
    return found


def missing_pages(assembled: Path) -> list[str]:
    """Pages that the table of contents names and the assembled book does not have."""
    import yaml

    toc = yaml.safe_load((assembled / "_toc.yml").read_text(encoding="utf-8"))
    chapters_of = [chapter for part in toc.get("parts", []) for chapter in part["chapters"]]
    named = [toc["root"], *(each["file"] for chapter in chapters_of for each in (chapter, *chapter.get("sections", [])))]
    return [name for name in named if not any((assembled / f"{name}{suffix}").is_file() for suffix in (".md", ".ipynb"))]


def build(assembled: Path) -> int:
    """Build the site; a warning or a broken reference is an error. Returns the builder's exit status."""
    if missing := missing_pages(assembled):
        raise ConfigurationError(f"book/_toc.yml names {', '.join(missing)}, which the book does not have; add the page "
                                 "or remove the name")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(assembled),
               "-W", "-n", "--keep-going", "-q"]
    status = subprocess.run(command).returncode
    for path in (assembled / "vendor").rglob("*"):          # where no page changed, the builder leaves styles and scripts as they were
        if status == 0 and path.is_file():
            write_changed(assembled / "_build" / "html" / "_static" / path.relative_to(assembled / "vendor"), path.read_bytes())
    return status


def parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m ecgstudy.book", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="run nothing; exit 1 when a page is out of date")
    parser.add_argument("--only", default="", metavar="NAME", help="only pages whose name contains this; the book is not built")
    parser.add_argument("--jobs", type=int, default=2, help="how many notebooks run at a time (default: 2)")
    parser.add_argument("--keep", default="", metavar="NAME", help="store the last run of a page in book/executed/")
    parser.add_argument("--executed", type=Path, metavar="FILE", help="with --keep: this executed copy instead of the last run")
    parser.add_argument("--pdf", default="", metavar="NAME", help="print one page of the built book to _build/pdf/, by Chromium")
    parser.add_argument("-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                        help="a parameter for the pages of --only; the value is read as YAML")
    return parser


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The options that were given, checked."""
    import yaml

    options = (options_of := parser()).parse_args(words)
    options.parameters = {name: yaml.safe_load(value) for name, value in options.parameters}
    if options.parameters and not (options.only or options.keep):
        options_of.error("-p needs --only: the book's pages run with their defaults")
    if options.jobs < 1:
        options_of.error(f"--jobs must be at least 1, got {options.jobs}")
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
            kept = keep(options.executed or page.run, page)
            if page.name == FRONT:
                write_changed(book.picture, picture_of(read_notebook(kept)))
            print(f"kept {kept.relative_to(book.root)}, {kept.stat().st_size:,} bytes")
            return 0
        if options.pdf:
            name = options.pdf.replace("/", "_")
            print(f"printed {site.print_page(book.html, options.pdf, book.root / '_build' / 'pdf' / f'{name}.pdf')}")
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
        site.finish(book.html)
        print(f"book: {site.weight(book.html)}")
        print(f"the book is at {book.html / 'index.html'}")
        return 0
    except StudyError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
