"""The floors of the house: what may import what, read from the source without importing anything."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "ecgstudy"
MODULES = {".".join(("ecgstudy", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
           for path in sorted(PACKAGE.rglob("*.py"))}
FLOORS = {
    "": 0, "_trace": 0, "errors": 0, "files": 0, "leads": 0, "signal": 0, "progress": 0,
    "data": 1, "layers": 1, "models": 2, "train": 3, "evaluate": 3, "explain": 4, "study": 4, "bench": 4,
    "cli": 5, "book": 5, "__main__": 5,
}
TRAINING_FLOOR = 3
TRAINING_LIBRARIES = {"torch", "numpy", "scipy", "sklearn", "pandas", "safetensors"}
SPEAKING = {"ecgstudy.cli", "ecgstudy.book", "ecgstudy.__main__"}       # where a person reads what is printed
SHAPELESS = {"utils", "helpers", "misc", "common", "util", "helper"}


def floor(module: str) -> int:
    """The floor of ecgstudy.<part>...; a KeyError is a part that the house does not know."""
    return FLOORS[module.split(".")[1] if "." in module else ""]


def imported(node: ast.stmt, module: str) -> Iterator[str]:
    """The modules that an import statement in `module` names, with those of the package in full."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            here = module.split(".") if MODULES.get(module, Path()).name == "__init__.py" else module.split(".")[:-1]
            base = ".".join([*here[:len(here) - node.level + 1], *([base] if base else [])])
        if base == "ecgstudy":
            parts = {alias.name for alias in node.names}
            yield from (f"ecgstudy.{part}" if part in FLOORS else "ecgstudy" for part in parts)
        else:
            yield base


def upward(text: str, module: str) -> list[str]:
    """Imports of a higher floor, anywhere in the file."""
    names = [name for node in ast.walk(ast.parse(text)) for name in imported(node, module)]
    return [name for name in names if name.split(".")[0] == "ecgstudy" and floor(name) > floor(module)]


def foreign_at_import(text: str, module: str) -> set[str]:
    """Third-party libraries that importing the module needs; one inside a function, or in a try, is not needed."""
    tops = {name.split(".")[0] for node in ast.parse(text).body for name in imported(node, module)}
    return tops - set(sys.stdlib_module_names) - {"ecgstudy"}


def prints(text: str) -> list[int]:
    return [node.lineno for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"]


@pytest.fixture(params=MODULES, ids=str)
def module(request):
    return request.param


def test_nothing_imports_upward(module):
    assert upward(MODULES[module].read_text(encoding="utf-8"), module) == []


def test_training_floors_need_few_libraries(module):
    if floor(module) <= TRAINING_FLOOR:
        assert foreign_at_import(MODULES[module].read_text(encoding="utf-8"), module) <= TRAINING_LIBRARIES


def test_evaluation_needs_no_torch(module):
    if module.startswith("ecgstudy.evaluate"):
        assert "torch" not in foreign_at_import(MODULES[module].read_text(encoding="utf-8"), module)


def test_package_does_not_print(module):
    if module not in SPEAKING:
        assert prints(MODULES[module].read_text(encoding="utf-8")) == []


def test_module_names_say_what_is_inside(module):
    assert not SHAPELESS & set(module.split("."))


@pytest.mark.parametrize("text, module, found", [
    ("from ecgstudy.train import loop", "ecgstudy.models.resnet", ["ecgstudy.train"]),
    ("from ecgstudy import study", "ecgstudy.data.record", ["ecgstudy.study"]),
    ("def f():\n    import ecgstudy.cli", "ecgstudy.study.plans", ["ecgstudy.cli"]),
    ("from ..study import tables", "ecgstudy.train.loop", ["ecgstudy.study"]),
    ("from ecgstudy import files, __version__\nfrom ecgstudy.layers import attention", "ecgstudy.models.x", []),
])
def test_an_upward_import_is_seen(text, module, found):
    assert upward(text, module) == found


def test_a_heavy_library_is_seen_only_where_importing_needs_it():
    text = "import wfdb\nimport json\nimport numpy.fft\ntry:\n    import tqdm\nexcept ImportError: ...\ndef f():\n    import yaml"
    assert foreign_at_import(text, "ecgstudy.data.record") == {"wfdb", "numpy"}


def test_a_print_is_seen():
    assert prints("'''>>> print(1)'''\nlogger.info('x')\nprint(2)") == [3]
