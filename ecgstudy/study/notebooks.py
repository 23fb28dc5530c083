"""The strict side of running a notebook: unknown names and values are refused before any work, failures name their cell.

papermill itself only warns about a parameter that a page does not have, and then runs with the defaults. So a page checks
for itself, in the first code cell after its `parameters` cell, and the check holds under plain papermill too (`request`).
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ecgstudy import errors, files
from ecgstudy.errors import ConfigurationError, RunError, unknown

PLAIN = (bool, int, float, str, list, dict, type(None))     # what papermill can inject
IPYTHON = {"In", "Out"}                                     # plain values that a kernel keeps in its own namespace


def find_notebook(name: str | Path) -> Path:
    """The notebook of that path, stem, or number ("04"); ConfigurationError with the nearest one where there is none."""
    path = Path(name)
    if path.suffix == ".ipynb" and path.is_file():
        return path
    folder = files.repository() / "notebooks"
    known = {str(found.relative_to(folder).with_suffix("")): found for found in sorted(folder.rglob("*.ipynb"))
             if ".ipynb_checkpoints" not in found.parts}
    stem = str(name).removesuffix(".ipynb").removeprefix("notebooks/")
    matches = [found for key, found in known.items() if stem in (key, key.split("/")[-1], key.split("_")[0])]
    if len(matches) != 1:
        raise unknown("notebook", name, known)
    return matches[0]


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook's JSON; DataError where it is missing or damaged."""
    return files.read_json(path)


def source(cell: Mapping[str, Any]) -> str:
    """A cell's text."""
    return "".join(cell["source"])


def has_tag(cell: Mapping[str, Any], tag: str) -> bool:
    return tag in cell["metadata"].get("tags", [])


def declared_parameters(notebook: Path) -> dict[str, Any]:
    """Names and defaults of the page's `parameters` cell, in its order, read without running it.

    Raises ConfigurationError where there is not exactly one such cell, or where it holds more than literal assignments.
    """
    tagged = [cell for cell in read_notebook(notebook)["cells"] if has_tag(cell, "parameters")]
    if len(tagged) != 1:
        raise ConfigurationError(f"{Path(notebook).name} has {len(tagged)} cells tagged 'parameters'; it needs exactly one")
    declared = {}
    for statement in ast.parse(source(tagged[0])).body:
        try:
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            declared[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError):
            raise ConfigurationError(f"the parameters cell of {Path(notebook).name} holds {ast.unparse(statement)!r}; only "
                                     "`name = literal` lines may stand there") from None
    return declared


def refuse_unknown(namespace: Mapping[str, Any], declared: Iterable[str]) -> None:
    """Raise ConfigurationError, with the nearest declared name, for a plain value in `namespace` that is not declared.

    namespace: a notebook's globals(), before it has made variables of its own. What starts with an underscore, what is not
    plain (modules, functions, classes) and what IPython keeps there does not count.
    """
    declared = list(declared)
    for name, value in namespace.items():
        if isinstance(value, PLAIN) and not name.startswith("_") and name not in IPYTHON and name not in declared:
            raise unknown("parameter", name, declared)


def kernel_manager(environment: Mapping[str, str]) -> type:
    """A kernel manager class whose kernels run at the repository's root, with `environment` over this process's own.

    The folder is given to the kernel instead of changed here: two threads may each have a notebook running.
    """
    from jupyter_client import AsyncKernelManager

    class RootedKernelManager(AsyncKernelManager):
        transport_encryption = "auto"       # else every kernel warns that others on this machine could read along

        async def start_kernel(self, **settings: Any) -> None:
            await super().start_kernel(**settings | {
                "cwd": str(files.repository()), "env": {**os.environ, **(settings.get("env") or {}), **environment}})

    return RootedKernelManager


def run_notebook(name: str | Path, out: Path, parameters: Mapping[str, Any], *, environment: Mapping[str, str] | None = None,
                 progress_bar: bool | dict[str, Any] = True) -> Path:
    """Run a notebook with `parameters` into `out` and return `out`, which is written only when every cell has run.

    name: as for `find_notebook`. environment: more variables for its kernel. progress_bar: as in papermill.
    Names are checked before a kernel starts. When a cell fails or the kernel dies, the partial notebook stands beside `out` as
    `<stem>.partial.ipynb`, and the error names it and the cell: the page's own ConfigurationError or DataError where it
    raised one, else RunError.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    notebook, out = find_notebook(name), Path(out).resolve()
    declared = declared_parameters(notebook)
    for parameter in parameters:
        if parameter not in declared:
            raise unknown(f"parameter of {notebook.stem}", parameter, declared)
    partial = out.with_suffix(".partial.ipynb")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(str(notebook), str(partial), parameters=dict(parameters), progress_bar=progress_bar,
                                   kernel_manager_class=kernel_manager(environment or {}))
    except PapermillExecutionError as error:
        kind = getattr(errors, error.ename, None)
        raised = kind if isinstance(kind, type) and issubclass(kind, errors.StudyError) else RunError
        raise raised(f"{notebook.stem}, cell [{error.exec_count}] `{first_line(error.source)}`: {error.ename}: {error.evalue} "
                   f"(run so far: {partial})") from None
    except DeadKernelError:
        raise RunError(f"{notebook.stem}: the kernel died in {last_started(partial)} (out of memory, or killed); "
                       f"run so far: {partial}") from None
    os.replace(partial, out)
    return out


def first_line(text: str) -> str:
    """The first line of a cell that is neither empty nor a comment, to name the cell by."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return lines[0][:80] if lines else ""


def last_started(partial: Path) -> str:
    """Which code cell of a partly executed notebook was started last."""
    cells = [cell for cell in json.loads(partial.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    started = [number for number, cell in enumerate(cells, 1) if cell["metadata"].get("papermill", {}).get("start_time")]
    return f"code cell {started[-1]} `{first_line(source(cells[started[-1] - 1]))}`" if started else "no cell: it never started"
