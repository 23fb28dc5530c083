"""The reference says what the source says: signatures, docstrings, links; and every chapter of it names modules that exist."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect

import pytest

from ecgstudy import files
from ecgstudy.errors import ConfigurationError
from ecgstudy.study import chapters, reference

ROOT = files.repository()
SOURCE = '''"""A module.

>>> 1 + 1
2
"""
from dataclasses import dataclass

@dataclass(frozen=True)
class Point:
    """A point. x < y; `a < b`; $c < d$."""

    x: float
    y: float = 0.0

    @property
    def norm(self) -> float:
        """Its length."""

    def _hidden(self):
        """Not shown."""

class Layer:
    """A layer."""

    def __init__(self, dim: int, *, heads: int = 4, **more: int) -> None: ...

    def forward(self, x):
        """[B, N, D] -> [B, N, D]"""

def long(first_argument: dict[str, int], second_argument: tuple[float, ...] = (1.0, 2.0), *rest: int, third=None) -> list[int]:
    """Long."""

def undocumented(): ...
'''


@pytest.fixture
def toy(tmp_path):
    files.write_text(tmp_path / "ecgstudy" / "__init__.py", '"""Root."""\n')
    files.write_text(tmp_path / "ecgstudy" / "layers" / "__init__.py", '"""Layers."""\n')
    files.write_text(tmp_path / "ecgstudy" / "layers" / "toy.py", SOURCE)
    return tmp_path


def test_signatures_and_docstrings_stand_as_they_are_written(toy):
    text = reference.api(["ecgstudy.layers.*"], toy, "../")
    assert text.startswith("(api-ecgstudy-layers-toy)=\n## `layers.toy`\n\nA module.")
    assert "```pycon\n>>> 1 + 1\n2\n```" in text
    assert "class Point(x: float, y: float = 0.0)" in text
    assert "`norm: float`\n: Its length." in text
    assert "class Layer(dim: int, *, heads: int = 4, **more: int)" in text
    assert "`forward(x)`\n: [B, N, D] -> [B, N, D]" in text
    assert "    *rest: int,\n    third=None,\n) -> list[int]" in text
    assert "undocumented" not in text and "_hidden" not in text
    assert 'href="../code/ecgstudy.layers.toy.html#L-9"' in text


def test_a_less_than_sign_begins_no_tag():
    assert reference.prose("x < y; `a < b`; $c < d$.") == "x &lt; y; `a < b`; $c < d$."


@pytest.mark.parametrize("name", ["models.registry", "evaluate.bootstrap", "study.sweep", "data.record"])
def test_functions_have_the_arguments_that_python_sees(name):
    module = reference.modules(ROOT)[f"ecgstudy.{name}"]
    live = importlib.import_module(module.name)
    functions = [node for node in module.public() if isinstance(node, ast.FunctionDef)]
    assert functions
    for node in functions:
        shown = ast.parse(f"def {reference.signature(node)}: ...").body[0].args
        names = [argument.arg for argument in (*shown.posonlyargs, *shown.args, *shown.kwonlyargs)]
        plain = [p.name for p in inspect.signature(getattr(live, node.name)).parameters.values() if "VAR" not in p.kind.name]
        assert names == plain


def test_a_pattern_without_modules_is_refused(toy):
    for pattern in ("ecgstudy.nothing", "ecgstudy.nothing.*"):
        with pytest.raises(ConfigurationError, match="does not have"):
            reference.chosen([pattern], toy)


def test_every_model_layer_and_measure_is_documented():
    documented = chapters.documented(ROOT / "book", ROOT)
    owed = [name for name in reference.modules(ROOT) if name.split(".")[1:2] and name.split(".")[1] in
            ("models", "layers", "train", "evaluate", "explain", "data") and not name.endswith(".checks")]
    packages = {name for name in owed if reference.modules(ROOT)[name].path.stem == "__init__"}
    assert [name for name in owed if name not in documented and name not in packages] == []


def test_every_public_name_of_the_documented_modules_has_a_heading():
    known = reference.modules(ROOT)
    module = known["ecgstudy.layers.attention.hilo"]
    text = reference.api([module.name], ROOT, "")
    assert all(f"### `{node.name}`" in text for node in module.public())


def test_command_lines_are_told_verb_by_verb():
    top = argparse.ArgumentParser(prog="tool")
    verbs = top.add_subparsers()
    below = verbs.add_parser("data").add_subparsers()
    fetch = below.add_parser("fetch", description="get it")
    fetch.add_argument("name", choices=("a", "b"))
    fetch.add_argument("--budget", metavar="GB", help="at most")
    fetch.add_argument("--repair", action="store_true", help="mend")
    text = reference.command_line(top)
    assert text == ("## `tool data fetch`\n\nGet it.\n\n`name`\n: one of `a`, `b`\n\n`--budget GB`\n: at most\n\n`--repair`\n: mend")


def test_every_verb_of_the_study_is_in_it():
    from ecgstudy import book, cli
    text = chapters.command_lines([cli.parser(), book.parser()])
    for verb in ("ecgstudy run", "ecgstudy sweep", "ecgstudy data fetch", "ecgstudy models", "python -m ecgstudy.book"):
        assert f"## `{verb}`" in text
    assert "`--time-budget SECONDS`" in text and "`--keep NAME`" in text
