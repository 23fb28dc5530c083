"""Strict parameters, and what a person sees when a notebook fails."""

from __future__ import annotations

import json

import pytest

from ecgstudy.errors import ConfigurationError, RunError
from ecgstudy.study.notebooks import declared_parameters, find_notebook, refuse_unknown, run_notebook

CHECK = ("from ecgstudy.errors import require_known; from ecgstudy.study.notebooks import refuse_unknown\n"
         "refuse_unknown(globals(), ['dataset', 'seeds']); require_known('dataset', dataset, ['synthetic', 'cpsc'])")


@pytest.fixture
def notebook(tmp_path):
    def make(*last_cells: str):
        path = tmp_path / "04_toy.ipynb"
        cells = [("dataset = 'synthetic'\nseeds = [0]", ["parameters"]), (CHECK, []), *((c, []) for c in last_cells)]
        path.write_text(json.dumps({
            "nbformat": 4, "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "cells": [{"cell_type": "code", "id": f"c{i}", "source": text, "metadata": {"tags": tags}, "outputs": [],
                       "execution_count": None} for i, (text, tags) in enumerate(cells)]}))
        return path
    return make


def test_declared_parameters_in_order(notebook):
    assert list(declared_parameters(notebook()).items()) == [("dataset", "synthetic"), ("seeds", [0])]


def test_a_misspelt_name_is_refused():
    with pytest.raises(ConfigurationError, match="unknown parameter 'datset'; did you mean 'dataset'"):
        refuse_unknown({"dataset": "cpsc", "datset": "cpsc", "_i": "x", "In": []}, ["dataset", "seeds"])


def test_modules_functions_and_private_names_are_no_parameters():
    refuse_unknown({"json": json, "check": find_notebook, "_private": 1, "Out": {}, "seed": 0}, ["seed"])
    with pytest.raises(ConfigurationError):
        refuse_unknown({"sed": None}, ["seed"])


def test_unknown_notebook_is_refused():
    with pytest.raises(ConfigurationError, match="unknown notebook '99'"):
        find_notebook("99")


def test_unknown_name_is_refused_before_a_kernel_starts(notebook, tmp_path, monkeypatch):
    import papermill
    monkeypatch.setattr(papermill, "execute_notebook", lambda *_, **__: pytest.fail("a kernel was started"))
    with pytest.raises(ConfigurationError, match="'datset'; did you mean 'dataset'"):
        run_notebook(notebook(), tmp_path / "out.ipynb", {"datset": "cpsc"})


def test_run_injects_parameters_and_writes_out_only_when_complete(notebook, tmp_path):
    out = run_notebook(notebook("print(dataset, seeds)"), tmp_path / "with space" / "out.ipynb", {"seeds": [1, 2]},
                       progress_bar=False)
    assert "synthetic [1, 2]" in out.read_text(encoding="utf-8")
    assert not list(out.parent.glob("*.partial.ipynb"))


@pytest.mark.parametrize("cell, parameters, kind, message", [
    ("1 / 0", {}, RunError, r"`1 / 0`: ZeroDivisionError"),
    ("import os; os._exit(9)", {}, RunError, r"kernel died in code cell 3 `import os; os\._exit\(9\)`"),
    ("1", {"dataset": "cpcs"}, ConfigurationError, "did you mean 'cpsc'"),
])
def test_failure_names_the_cell_and_keeps_the_partial_notebook(notebook, tmp_path, cell, parameters, kind, message):
    with pytest.raises(kind, match=message):
        run_notebook(notebook(cell), tmp_path / "out.ipynb", parameters, progress_bar=False)
    assert (tmp_path / "out.partial.ipynb").is_file() and not (tmp_path / "out.ipynb").exists()
