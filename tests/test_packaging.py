"""pyproject.toml, constraints.txt, environment.yml, the Makefile and the README say the same."""

from __future__ import annotations

import importlib.metadata
import os
import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from ecgstudy.files import repository

ROOT = repository()
# Libraries of the graphics card: torch pins them itself, and only on systems that have them.
BY_HAND = {"ray"}       # extras that `make` leaves out: for clusters, and large
TORCH_S_OWN = re.compile(r"nvidia-|cuda-|triton")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict:
    return tomllib.loads(text("pyproject.toml"))["project"]


def requirements() -> list[Requirement]:
    groups = [project()["dependencies"], *project()["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


def pin_lines() -> list[str]:
    return [line for line in text("constraints.txt").splitlines() if line and not line.startswith("#")]


def pins() -> dict[str, Version]:
    return {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in pin_lines())}


def makefile_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))


def test_every_pin_is_an_exact_version_from_any_index():
    wrong = [line for line in pin_lines() if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)]
    assert wrong == []
    assert len(pins()) == len(pin_lines())


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_has_a_lower_bound_and_a_pin_that_meets_it(requirement):
    assert any(bound.operator == ">=" for bound in requirement.specifier)
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_what_the_dependencies_bring_is_pinned_too():
    """Followed through what is installed here, so that a new dependency cannot come in unpinned."""
    waiting, seen, unpinned = requirements(), set(), set()
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen or TORCH_S_OWN.match(key[0]):
            continue
        seen.add(key)
        try:
            brought = importlib.metadata.requires(requirement.name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        if key[0] not in pins():
            unpinned.add(key[0])
        for further in map(Requirement, brought):
            extras = requirement.extras or {""}
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(further)
    assert unpinned == set()


def test_torch_is_the_version_that_the_study_is_run_with():
    assert "torch==2.13.0" in pin_lines()


def test_jupyter_book_2_stays_out():
    book = {r.name: r for r in map(Requirement, project()["optional-dependencies"]["book"])}
    assert not book["jupyter-book"].specifier.contains("2.0.0")
    assert all(any(bound.operator == "<" for bound in r.specifier) for r in book.values())


def test_conda_and_make_install_the_same():
    environment = yaml.safe_load(text("environment.yml"))
    python = next(entry for entry in environment["dependencies"] if str(entry).startswith("python="))
    assert SpecifierSet(project()["requires-python"]).contains(python.removeprefix("python="))
    by_pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    extras = ",".join(extra for extra in project()["optional-dependencies"] if extra not in BY_HAND)
    assert by_pip == ["-c constraints.txt", f"-e .[{extras}]"]
    assert f"EXTRAS   := {extras}\n" in text("Makefile")
    assert "pip install -c constraints.txt -e '.[$(EXTRAS)]'" in text("Makefile")


def test_the_least_python_is_the_same_everywhere():
    assert project()["requires-python"] == ">=3.11"
    assert "version_info < (3, 11)" in text("Makefile")
    assert steps("test", "test")["strategy"]["matrix"]["python-version"][0] == "3.11"
    for workflow, job in (("test", "proof"), ("book", "book"), ("release", "release")):
        asked = [step["with"] for step in steps(workflow, job)["steps"] if step.get("uses", "").startswith("actions/setup-python@")]
        assert [each["python-version"] for each in asked] == ["3.11"]


def steps(workflow: str, job: str) -> dict:
    return yaml.safe_load(text(f".github/workflows/{workflow}.yml"))["jobs"][job]


def test_workflows_are_whole():
    """Each runs on something, limits its time and its rights, and uses one major version of an action everywhere."""
    used = set()
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert told[True] and told["permissions"] and told["jobs"], path.name      # YAML reads the word `on` as true
        for job in told["jobs"].values():
            assert job["timeout-minutes"] and all(("uses" in step) != ("run" in step) for step in job["steps"]), path.name
            used |= {step["uses"] for step in job["steps"] if "uses" in step}
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)
    assert len({action.split("@")[0] for action in used}) == len(used)


def test_the_citation_has_what_the_format_asks():
    citation = yaml.safe_load(text("CITATION.cff"))
    assert set(citation) <= {"cff-version", "message", "type", "title", "abstract", "version", "license", "authors", "keywords",
                             "date-released", "doi", "repository-code", "url", "identifiers", "references", "preferred-citation"}
    assert citation["cff-version"] == "1.2.0" and citation["type"] in ("software", "dataset")
    assert citation["message"] and citation["title"] and citation["license"] == project()["license"]
    assert citation["authors"] and all(set(author) & {"name", "family-names"} for author in citation["authors"])
    assert all(isinstance(word, str) for word in citation["keywords"]) and len(set(citation["keywords"])) == len(citation["keywords"])


@pytest.mark.parametrize("name", ["README.md", ".ci/run", ".github/workflows/test.yml", ".github/workflows/book.yml",
                                  ".github/workflows/release.yml"])
def test_every_make_command_that_is_named_exists(name):
    named = set(re.findall(r"\bmake ([a-z]+)\b", text(name)))
    assert named and named <= makefile_targets()


def test_the_readme_names_the_two_commands():
    assert {"make study", "make test"} <= set(re.findall(r"^make [a-z]+", text("README.md"), re.MULTILINE))


def test_the_command_line_is_installed():
    assert project()["scripts"] == {"ecgstudy": "ecgstudy.cli:main"}


def test_the_checks_can_be_run():
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_versions_agree():
    import ecgstudy

    assert yaml.safe_load(text("CITATION.cff"))["version"] == ecgstudy.__version__
