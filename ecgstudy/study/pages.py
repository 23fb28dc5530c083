"""The book's pages: notebooks, their executed copies, and whether a copy may still be shown.

A page is out of date when its code cells, its parameters, the versions of the libraries that make numbers, or any file of
the repository that its kernel read have changed; nothing is declared. A page that takes long, or that was run on another
machine, stands on a committed executed copy as long as its code cells are today's.

An executed copy carries in its metadata, under "ecgstudy": key (`code_key`), parameters, date, commit, and reads (path ->
digest).
"""

from __future__ import annotations

import base64
import importlib.metadata
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgstudy import files
from ecgstudy.errors import ConfigurationError
from ecgstudy.study.notebooks import declared_parameters, has_tag, read_notebook, source

VERSIONED = ("numpy", "scipy", "pandas", "scikit-learn", "torch", "matplotlib")    # libraries that change a number or a figure
WIDGET = "application/vnd.jupyter.widget-view+json"     # a live progress bar; shown, it would ask the network for its script
FIGURE_BYTES = 100_000                                  # a kept figure above this is stored with 256 colours
FRONT = "00_found"                                      # the landing page; its picture is the README's
KEPT_BYTES = 14_000_000                                 # all kept copies together; a page is a few hundred kilobytes


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
    def picture(self) -> Path:
        """The landing page's picture, which the README shows."""
        return self.text / "figures" / "found.png"

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
    if "ecgstudy" not in executed["metadata"]:
        return "its last run was interrupted"
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


# -- what is shown ------------------------------------------------------------------------------------------------------

def clean(outputs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Outputs as a page shows them: no progress bars, no warnings, nothing empty, and none of this machine's paths."""
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
            if output.get("name") != "stderr" and WIDGET not in output.get("data", {}) and not _shows_nothing(output)]


def _shows_nothing(output: Mapping[str, Any]) -> bool:
    """Whether an output is empty Markdown or HTML, beside which a notebook stores the object's name alone."""
    data = output.get("data", {})
    told = any("".join(value).strip() for kind, value in data.items() if kind != "text/plain")
    return not told and "".join(data.get("text/plain", "")).startswith("<IPython.core.display.")


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


def picture_of(executed: Mapping[str, Any]) -> bytes:
    """The first PNG that an executed page shows; ConfigurationError where it shows none."""
    for cell in executed["cells"]:
        for output in cell.get("outputs", []):
            if encoded := "".join(output.get("data", {}).get("image/png", "")):
                return base64.b64decode(encoded)
    raise ConfigurationError("the executed page shows no picture; run it again")


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
    text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
    others = sum(p.stat().st_size for p in page.committed.parent.rglob("*.ipynb") if p != page.committed)
    if others + len(text.encode()) > KEPT_BYTES:
        raise ConfigurationError(f"{page.name} takes {len(text.encode()):,} bytes and the other kept pages {others:,}; at most "
                                 f"{KEPT_BYTES:,} together: draw fewer or plainer figures")
    return files.write_text(page.committed, text)
