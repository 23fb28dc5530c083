"""The end of every page, made when the book is put together: how to run it again, what to download, where its code lives.

Nothing of it is typed. The command carries the parameters that the shown copy ran with; the code is what that run read.
"""

from __future__ import annotations

import ast
import shlex
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ecgstudy.study.notebooks import declared_parameters, source
from ecgstudy.study.pages import Page, code_cells
from ecgstudy.study.reference import Module, imported, source_link

WORTH_NAMING = ("data", "layers", "models", "train", "evaluate", "explain")      # the parts of the package below a page's own module
LINE = 74           # of the command, before it goes on in another line


def closing(page: Page, executed: Mapping[str, Any], known: Mapping[str, Module], documented: Collection[str]) -> dict[str, Any]:
    """The last cell of a page as the book shows it.

    executed: the copy whose outputs are shown. known: the package's modules by name; documented: those that the reference has a
    section on.
    """
    parts = ["## Run it yourself", again(page, executed["metadata"]["ecgstudy"]), downloads(page)]
    if code := lives_in(page, executed, known, documented):
        parts += ["## Where it lives in the code", code]
    return {"cell_type": "markdown", "id": "run-it-yourself", "metadata": {}, "source": "\n\n".join(parts)}


def up(page: Page) -> str:
    """From a page to the top of the site."""
    return "../" * (page.name.count("/") + 1)


def command(page: Page, parameters: Mapping[str, Any]) -> str:
    """The papermill command that runs today's notebook with these parameters; those that equal its defaults are left out."""
    declared = declared_parameters(page.notebook)
    given = [f"-p {name} {shlex.quote(str(value))}" for name, value in parameters.items() if value != declared.get(name)]
    text, width = f"papermill notebooks/{page.name}.ipynb out.ipynb", 0
    for word in given:
        width = width or len(text)
        text, width = (f"{text} {word}", width + len(word) + 1) if width + len(word) < LINE else (f"{text} \\\n    {word}", len(word) + 4)
    return text


def again(page: Page, note: Mapping[str, Any]) -> str:
    """The command with what it needs, in words."""
    at = f"The shown copy was made at commit `{note['commit']}`, on {note['date']}; " if note.get("commit") else ""
    left = "parameters that are not named keep their defaults" if note["parameters"] else "the page has no parameters"
    return (f"With the parameters of the copy that is shown here:\n\n```bash\n{command(page, note['parameters'])}\n```\n\n"
            f"{at}{left}. [How to run it]({up(page)}how_to_run.md) lists other values and says where recordings come from.")


def downloads(page: Page) -> str:
    """Links to the notebook as it is run, its script, and the copy with results."""
    top, stem = up(page), page.name.rpartition("/")[2]
    plain = [f'<a href="{top}download/notebooks/{page.name}{suffix}" download="{stem}{suffix}">{word}</a>'
             for suffix, word in ((".ipynb", "the notebook without results"), (".py", "its script"))]
    shown = f'<a href="{top}_sources/notebooks/{page.name}.ipynb" download="{stem}.ipynb">as it is shown</a>'
    return f"**Download.** {', '.join([*plain, shown])}."


def lives_in(page: Page, executed: Mapping[str, Any], known: Mapping[str, Module], documented: Collection[str]) -> str:
    """The page's own modules, what those build on, and everything that its run read, as Markdown; empty where it used none."""
    own = own_modules(page, executed, known)
    if not own:
        return ""
    below = [name for name in dict.fromkeys(each for mine in own for each in known[mine].imports())
             if name in known and name not in own and name.split(".")[1:2] and name.split(".")[1] in WORTH_NAMING and "." in name[9:]]
    read = [name for name in read_modules(page, executed, known) if name not in own]

    def link(name: str) -> str:
        shown = name.removeprefix("ecgstudy.")
        if name in documented:
            return f"{{ref}}`{shown} <{known[name].anchor}>`"
        return source_link(known[name], up(page)).replace(">source<", f">{shown}<").replace(' class="source"', "")

    parts = ["\n".join(f"- {link(name)}: {known[name].first_line}" for name in own)]
    if below:
        parts.append(f"They build on {', '.join(map(link, below))}.")
    if read:
        parts.append(f":::{{dropdown}} Every other module that the shown run read ({len(read)})\n{', '.join(map(link, read))}.\n:::")
    return "\n\n".join(parts)


def own_modules(page: Page, executed: Mapping[str, Any], known: Mapping[str, Module]) -> list[str]:
    """What the page's code cells import, then the networks that it compares, as modules of the package."""
    found = [name for cell in code_cells(executed) for name in imported(ast.parse(_without_magic(source(cell))))]
    named = [name for name in dict.fromkeys(found) if name in known and known[name].path.stem != "__init__"]
    stem = page.name.rpartition("/")[2]
    papers = [name for name in (f"ecgstudy.models.{stem}",) if name in known]
    return list(dict.fromkeys([*named, *_networks(page, known), *papers]))


def _without_magic(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("%", "!")))


def _networks(page: Page, known: Mapping[str, Module]) -> Iterable[str]:
    """The modules of the networks that the page's axis compares; none where it has no axis, or compares more than a few."""
    from ecgstudy.models.registry import model_entry
    from ecgstudy.study.variants import AXES

    for axis in AXES.values():
        if axis.page == page.name:
            networks = dict.fromkeys(model_entry(variant.model).builder.__module__ for variant in axis.variants.values())
            return [name for name in networks if name in known] if len(networks) <= 4 else []
    return []


def read_modules(page: Page, executed: Mapping[str, Any], known: Mapping[str, Module]) -> list[str]:
    """The modules among the files that a run read, those that still exist; empty for a copy whose reads are not known."""
    read, root = executed["metadata"]["ecgstudy"].get("reads", {}), page.book.root
    return [name for name, module in known.items()
            if module.path.stem != "__init__" and module.path.relative_to(root).as_posix() in read]
