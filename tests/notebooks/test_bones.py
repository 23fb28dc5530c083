"""The bones of every page: question, formula, table, figure with alternative text, a reading that names its limits, a copy to show."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from ecgstudy import files
from ecgstudy.study.pages import Book, code_cells

# The landing page asks no question of its own: it shows what the others found.
LANDING = yaml.safe_load((files.repository() / "book" / "_toc.yml").read_text(encoding="utf-8"))["root"]
PAGES = [page for page in Book(files.repository()).pages() if f"notebooks/{page.name}" != LANDING]


def bones(notebook: dict, shown: dict) -> set[str]:
    """The bones that a page has; shown: its executed copy, of which the outputs count."""
    prose = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    outputs = [output.get("data", {}) for cell in code_cells(shown) for output in cell["outputs"]]
    last = "\n".join("".join(output.get("data", {}).get("text/markdown", "")) for output in code_cells(shown)[-1]["outputs"])
    closing = "".join(notebook["cells"][-1]["source"]) if notebook["cells"][-1]["cell_type"] == "markdown" else ""
    figures = [cell["metadata"]["mystnb"] for cell in code_cells(notebook) if "figure" in cell["metadata"].get("mystnb", {})]
    tables = [data for data in outputs if "<table" in "".join(data.get("text/html", ""))
              or re.search(r"^\|[ :|-]+\|$", "".join(data.get("text/markdown", "")), re.MULTILINE)]
    has = {
        "question": re.search(r"\*\*Questions?\b", prose), "formula": "$$" in prose, "table": tables,
        "figure": figures and all(len(each["image"]["alt"]) > 40 and each["figure"]["caption"] for each in figures),
        "reading": re.search(r"\*\*[^*]+\.\*\*", last), "limits": re.search(r"\bcannot\b|\*\*Limits|\bnot thereby\b|nothing about", last + closing),
    }
    return {bone for bone, found in has.items() if found}


ALL = {"question", "formula", "table", "figure", "reading", "limits"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_its_bones(page):
    if not page.committed.is_file():
        pytest.skip("no copy of this page is kept")
    found = bones(files.read_json(page.notebook), files.read_json(page.committed))
    assert ALL - found == set()


def test_a_page_without_bones_is_seen():
    cell = {"cell_type": "code", "source": "1", "metadata": {"mystnb": {"figure": {"name": "f", "caption": "c"}, "image": {"alt": "short"}}},
            "outputs": [{"output_type": "display_data", "data": {"text/markdown": "Nothing is said."}}], "execution_count": 1}
    bare = {"cells": [{"cell_type": "markdown", "source": "# Bare", "metadata": {}}, cell]}
    assert bones(bare, bare) == set()
    full = json.loads(json.dumps(bare))
    full["cells"][0]["source"] = "# Full\n\n**Question.** Is $$x$$ so?"
    full["cells"][1]["metadata"]["mystnb"]["image"]["alt"] = "A dot plot with one row for each of the seven networks."
    full["cells"][1]["outputs"] = [{"output_type": "display_data", "data": {
        "text/markdown": "| a |\n|:---|\n| 1 |\n\n**What cannot.** It cannot be concluded."}}]
    assert bones(full, full) == ALL
