"""What every notebook owes its reader, checked without running one."""

from __future__ import annotations

import ast
import json

import pytest

from ecgstudy import files
from ecgstudy.errors import ConfigurationError
from ecgstudy.study.notebooks import declared_parameters, has_tag, source

FOLDER = files.repository() / "notebooks"
NOTEBOOKS = [path for path in sorted(FOLDER.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
CODE_CELLS, CELL_LINES, FUNCTION_LINES = 9, 30, 12      # the parameters cell and eight more


def complaints(notebook: dict) -> list[str]:
    """What a notebook does that a page must not."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    found = []
    if any(cell["outputs"] or cell["execution_count"] is not None for cell in code):
        found.append("stored with outputs")
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        found.append("kernelspec is not python3")
    if len({cell["id"] for cell in notebook["cells"]}) != len(notebook["cells"]):
        found.append("two cells of one id")
    if [has_tag(cell, "parameters") for cell in code] != [True] + [False] * (len(code) - 1):
        found.append("the parameters cell is not the first code cell, or not the only one")
    if len(code) > CODE_CELLS:
        found.append(f"{len(code)} code cells")
    for cell in code:
        if cell["metadata"].get("mystnb", {}).get("figure") and "display(" in source(cell):
            found.append("a named figure's cell that shows more than the figure")
        if len(source(cell).splitlines()) > CELL_LINES:
            found.append("a cell that is too long")
        for node in ast.walk(ast.parse(source(cell))):
            if isinstance(node, ast.ClassDef):
                found.append(f"class {node.name}")
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno - node.lineno >= FUNCTION_LINES:
                found.append(f"long function {node.name}")
    return found


def essence(notebook: dict) -> list[tuple]:
    return [(cell["cell_type"], source(cell), cell["metadata"].get("tags", []), cell["metadata"].get("mystnb", {}))
            for cell in notebook["cells"]]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: str(path.relative_to(FOLDER)))
def path(request):
    return request.param


def test_page_is_thin(path):
    assert complaints(json.loads(path.read_text(encoding="utf-8"))) == []


def test_agrees_with_its_script(path):
    jupytext = pytest.importorskip("jupytext")
    script = path.with_suffix(".py")
    assert script.is_file(), f"{path.name} has no percent script beside it"
    assert essence(json.loads(path.read_text(encoding="utf-8"))) == essence(jupytext.read(script)), (
        f"run: jupytext --to ipynb --update {script.relative_to(files.repository())}")


def test_parameters_are_literal_and_seen_by_papermill(path):
    papermill = pytest.importorskip("papermill")
    declared = declared_parameters(path)
    assert declared
    assert set(papermill.inspect_notebook(str(path))) == set(declared)


def test_every_script_has_its_notebook():
    assert [script for script in FOLDER.rglob("*.py") if not script.with_suffix(".ipynb").is_file()] == []


def notebook_of(*cells: tuple[str, list[str]]) -> dict:
    """A notebook of code cells (text, tags), for trying the rules above."""
    return {"metadata": {"kernelspec": {"name": "python3"}}, "cells": [
        {"cell_type": "code", "source": text, "id": str(i), "outputs": [], "execution_count": None, "metadata": {"tags": tags}}
        for i, (text, tags) in enumerate(cells)]}


GOOD = ("dataset = 'synthetic'", ["parameters"])


@pytest.mark.parametrize("cells, complaint", [
    ([GOOD, ("x = 1", [])], None),
    ([("x = 1", []), GOOD], "the parameters cell is not the first"),
    ([GOOD, GOOD], "the parameters cell is not the first"),
    ([GOOD] + [("x = 1", [])] * 9, "10 code cells"),
    ([GOOD, ("x = 1\n" * 31, [])], "a cell that is too long"),
    ([GOOD, ("class A: ...", [])], "class A"),
    ([GOOD, ("def f():\n" + "    x = 1\n" * 12, [])], "long function f"),
])
def test_rules_can_fail(cells, complaint):
    found = complaints(notebook_of(*cells))
    assert found == [] if complaint is None else complaint in " ".join(found)


def test_computed_default_is_refused(tmp_path):
    path = tmp_path / "page.ipynb"
    path.write_text(json.dumps(notebook_of(("seeds = list(range(3))", ["parameters"]))))
    with pytest.raises(ConfigurationError, match="name = literal"):
        declared_parameters(path)
