"""The reference of the package, as Markdown made from its docstrings, and links from a page to the code behind it.

The source is parsed, never imported: what a reader sees is the signature as it is written, and a chapter costs milliseconds. Public
means without a leading underscore and with a docstring. Docstrings are Markdown with formulas, so they are set as they stand.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ecgstudy.errors import ConfigurationError

WIDTH = 88          # of a signature, before each argument gets a line of its own
LITERAL = re.compile(r"(`[^`]*`|\$\$.*?\$\$|\$[^$]*\$)", re.DOTALL)      # where a docstring's < is not the beginning of a tag
Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Module:
    """One file of the package. name: as it is imported."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @property
    def anchor(self) -> str:
        """What its section in the reference is called."""
        return f"api-{self.name.replace('.', '-').replace('_', '-')}"

    @property
    def first_line(self) -> str:
        """What it is, in its docstring's own first line."""
        return (ast.get_docstring(self.tree) or "").partition("\n")[0]

    def public(self) -> list[Definition]:
        """Its functions and classes that have a docstring and no leading underscore, as they stand."""
        return [node for node in self.tree.body if isinstance(node, Definition)
                and not node.name.startswith("_") and ast.get_docstring(node)]

    def imports(self) -> list[str]:
        """The names of the modules of the package that it imports, in order; one that is imported from a package counts as itself."""
        return imported(self.tree)


def imported(tree: ast.AST) -> list[str]:
    """Every module or name of the package that an import in `tree` can mean: `from ecgstudy.a import b` gives both ecgstudy.a and
    ecgstudy.a.b."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in dict.fromkeys(found) if name.split(".")[0] == "ecgstudy"]


def modules(root: Path) -> dict[str, Module]:
    """Every module of the package under a repository's root, by name."""
    found = {}
    for path in sorted((root / "ecgstudy").rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        found[name] = Module(name, path)
    return found


def chosen(patterns: Sequence[str], root: Path) -> list[Module]:
    """The modules that patterns name, in order: a module's name, or `ecgstudy.layers.*` for what lies in that folder itself.

    Raises ConfigurationError for a pattern that names nothing.
    """
    known, found = modules(root), []
    for pattern in patterns:
        folder = pattern.removesuffix(".*")
        names = [pattern] if pattern in known else [] if folder == pattern else [
            name for name in known if name.rpartition(".")[0] == folder and known[name].path.stem != "__init__"]
        if not names:
            raise ConfigurationError(f"the reference asks for {pattern!r}, which the package does not have; name a module, or a folder as "
                                     "in ecgstudy.layers.*")
        found += [known[name] for name in names]
    return list(dict.fromkeys(found))


def api(patterns: Sequence[str], root: Path, up: str) -> str:
    """The reference of the chosen modules: for each its docstring, and every public name with signature, docstring and source.

    patterns: as for `chosen`. up: from the chapter to the top of the site, such as "../".
    """
    parts = []
    for module in chosen(patterns, root):
        parts += [f"({module.anchor})=\n## `{module.name.removeprefix('ecgstudy.')}`",
                  prose(ast.get_docstring(module.tree) or ""), source_link(module, up)]
        parts += [part for node in module.public() for part in _entry(node, module, up)]
    return "\n\n".join(parts)


def _entry(node: Definition, module: Module, up: str) -> Iterator[str]:
    kind = "class " if isinstance(node, ast.ClassDef) else ""
    yield f"### `{node.name}`"
    yield f"```python\n{kind}{signature(node)}\n```"
    yield prose(ast.get_docstring(node) or "")
    methods = [child for child in getattr(node, "body", []) if isinstance(child, ast.FunctionDef) and kind
               and not child.name.startswith("_") and ast.get_docstring(child)]
    for method in methods:
        told = prose(ast.get_docstring(method) or "").replace("\n", "\n  ")
        shown = node_name(method) if _is_property(method) else signature(method, "")
        yield f"`{' '.join(shown.split())}`\n: {told}"
    yield source_link(module, up, node.lineno)


def node_name(method: ast.FunctionDef) -> str:
    """A property as a reader uses it: its name and type."""
    return method.name + (f": {ast.unparse(method.returns)}" if method.returns else "")


def _is_property(method: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in method.decorator_list)


def signature(node: Definition, indent: str = "    ") -> str:
    """A definition as it is called, without self; on several lines where it is longer than WIDTH and `indent` is not empty."""
    if isinstance(node, ast.ClassDef):
        init = next((child for child in node.body if isinstance(child, ast.FunctionDef) and child.name == "__init__"), None)
        words = _words(init.args) if init else _fields(node)
        returns = ""
    else:
        words, returns = _words(node.args), f" -> {ast.unparse(node.returns)}" if node.returns else ""
    flat = f"{node.name}({', '.join(words)}){returns}"
    if len(flat) <= WIDTH or not indent:
        return flat
    return f"{node.name}(\n" + "".join(f"{indent}{word},\n" for word in words) + f"){returns}"


def _words(arguments: ast.arguments) -> list[str]:
    """Each argument with its type and default; the stars stand as words of their own."""
    first = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(first) - len(arguments.defaults)) + list(arguments.defaults)
    words = [_word(argument, default) for argument, default in zip(first, defaults, strict=True) if argument.arg not in ("self", "cls")]
    if arguments.vararg:
        words.append("*" + ast.unparse(arguments.vararg))
    elif arguments.kwonlyargs:
        words.append("*")
    words += [_word(argument, default) for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return words + (["**" + ast.unparse(arguments.kwarg)] if arguments.kwarg else [])


def _word(argument: ast.arg, default: ast.expr | None) -> str:
    equals = " = " if argument.annotation else "="
    return ast.unparse(argument) + (equals + ast.unparse(default) if default else "")


def _fields(node: ast.ClassDef) -> list[str]:
    """The fields of a dataclass, which are what it is called with; nothing for another class."""
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return []
    return [ast.unparse(child) for child in node.body if isinstance(child, ast.AnnAssign) and not ast.unparse(child.target).startswith("_")]


def prose(docstring: str) -> str:
    """A docstring as a page can show it: examples fenced, and no `<` that would begin a tag."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(docstring))
    return "\n\n".join(f"```pycon\n{block}\n```" if block.startswith(">>> ") else
                       "".join(part if LITERAL.fullmatch(part) else part.replace("<", "&lt;") for part in LITERAL.split(block))
                       for block in blocks)


def source_link(module: Module, up: str, line: int = 0) -> str:
    """A link to the page that shows the module's source (`source_pages`), at a line where one is given."""
    where = f"{up}code/{module.name}.html" + (f"#L-{line}" if line else "")
    return f'<a class="source" href="{where}" aria-label="Source of {module.name}">source</a>'


def command_line(parser: argparse.ArgumentParser) -> str:
    """Every verb of a command line: what it does, its usage, its arguments and options."""
    nested = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    parts = []
    for action in nested:
        parts += [command_line(below) for below in action.choices.values()]
    return "\n\n".join(parts) if nested else _verb(parser)


def _verb(parser: argparse.ArgumentParser) -> str:
    shown = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    rows = []
    for action in shown:
        called = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        value = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar or ())
        takes = f" {value or action.dest.upper()}" if action.option_strings and action.nargs != 0 else ""
        accepted = f"{'; ' if action.help else ''}one of {', '.join(f'`{each}`' for each in action.choices)}" if action.choices else ""
        rows.append(f"`{called}{takes}`\n: {action.help or ''}{accepted}")
    about = (parser.description or "").strip().partition("\n")[0].rstrip(".")
    return "\n\n".join([f"## `{parser.prog}`", about[:1].upper() + about[1:] + ".", *rows])
