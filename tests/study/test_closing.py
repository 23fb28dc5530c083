"""The end of a page: its command runs what is shown, its links lead somewhere, its modules are the page's own."""

from __future__ import annotations

import re
import shlex

import pytest

from ecgstudy import files
from ecgstudy.study import closing, reference
from ecgstudy.study.pages import Book

MODULE = '"""{first}"""\n\n{imports}\n\ndef used() -> int:\n    """One."""\n    return 1\n'


@pytest.fixture
def page(tmp_path):
    """A page of a toy repository whose cells import one module of it, which imports another."""
    cells = [{"cell_type": "markdown", "id": "t", "source": "# Toy", "metadata": {}},
             {"cell_type": "code", "id": "p", "source": 'dataset = "synthetic"\nseeds = "auto"\ntask = ""',
              "metadata": {"tags": ["parameters"]}, "outputs": [], "execution_count": 1},
             {"cell_type": "code", "id": "c", "source": "%matplotlib inline\nfrom ecgstudy.study import toy, gone", "metadata": {},
              "outputs": [], "execution_count": 2}]
    files.write_json(tmp_path / "notebooks" / "papers" / "toy.ipynb", {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    for name, first, imports in (("__init__", "Root.", ""), ("study/__init__", "Study.", ""), ("layers/__init__", "Layers.", ""),
                                 ("study/toy", "What the page draws.", "from ecgstudy.layers.bricks import used"),
                                 ("layers/bricks", "Bricks.", ""), ("files", "Files.", "")):
        files.write_text(tmp_path / "ecgstudy" / f"{name}.py", MODULE.format(first=first, imports=imports))
    return Book(tmp_path).pages()[0]


def ran(page, parameters, **note) -> dict:
    """An executed copy of the page with these parameters."""
    return files.read_json(page.notebook) | {"metadata": {"ecgstudy": {"parameters": parameters, "date": "2026-01-31", "commit": "abc",
                                                                      "reads": {}} | note}}


def text(page, executed, documented=()) -> str:
    return closing.closing(page, executed, reference.modules(page.book.root), documented)["source"]


@pytest.mark.parametrize("parameters", [
    {"dataset": "ptbxl", "seeds": "0,1,2", "task": ""}, {"dataset": "ptbxl", "seeds": 0, "task": "rhythm"},
    {"dataset": "synthetic", "seeds": "auto", "task": ""}, {"dataset": "a b'c", "seeds": "x" * 90, "task": "nine"}])
def test_papermill_reads_the_command_as_the_parameters_of_the_copy(page, parameters):
    papermill = pytest.importorskip("papermill.cli")
    words = shlex.split(closing.command(page, parameters))
    assert words[:3] == ["papermill", "notebooks/papers/toy.ipynb", "out.ipynb"]
    given = {words[i + 1]: papermill._resolve_type(words[i + 2]) for i, word in enumerate(words) if word == "-p"}
    assert {"dataset": "synthetic", "seeds": "auto", "task": ""} | given == parameters


def test_every_line_of_the_command_is_short_and_goes_on(page):
    lines = closing.command(page, {f"parameter_{i}": "value" for i in range(12)}).split("\n")
    assert len(lines) > 2 and all(len(line) <= closing.LINE + 2 for line in lines)
    assert all(line.endswith(" \\") for line in lines[:-1]) and not lines[-1].endswith("\\")


def test_links_go_up_as_far_as_the_page_lies_deep(page):
    shown = text(page, ran(page, {}))
    assert 'href="../../download/notebooks/papers/toy.ipynb"' in shown and 'href="../../download/notebooks/papers/toy.py"' in shown
    assert "](../../how_to_run.md)" in shown and 'href="../../code/ecgstudy.study.toy.html"' in shown


def test_own_modules_come_first_then_what_they_build_on_then_what_was_read(page):
    reads = dict.fromkeys(("ecgstudy/files.py", "ecgstudy/study/toy.py", "ecgstudy/lost.py", "data.txt"), "0")
    shown = text(page, ran(page, {}, reads=reads))
    own, below = shown.index("study.toy</a>: What the page draws."), shown.index("They build on")
    read = shown.index("that the shown run read (1)")
    assert own < below < read
    assert "layers.bricks" in shown[below:read] and "ecgstudy.files.html" in shown[read:]
    assert "gone" not in shown and "lost" not in shown


def test_a_documented_module_is_linked_to_its_section(page):
    shown = text(page, ran(page, {}), documented={"ecgstudy.layers.bricks"})
    assert "{ref}`layers.bricks <api-ecgstudy-layers-bricks>`" in shown


def test_a_copy_whose_reads_are_not_known_names_its_imports_alone(page):
    executed = ran(page, {})
    assert "that the shown run read" not in text(page, executed) and "study.toy" in text(page, executed)


def test_the_networks_that_a_page_compares_are_its_own():
    book = Book(files.repository())
    known = reference.modules(book.root)
    page = next(each for each in book.pages("09_time_frequency"))
    own = closing.own_modules(page, files.read_json(page.notebook), known)
    assert {"ecgstudy.study.time_frequency", "ecgstudy.models.time_frequency", "ecgstudy.models.resnet1d"} <= set(own)
    assert "ecgstudy.study" not in own and re.match(r"ecgstudy\.study\.", own[0])
