"""The worked examples of the book's chapter on extending it: each runs, and does what the text around it says."""

from __future__ import annotations

import re

import pytest

from ecgstudy import files
from ecgstudy.models import registry

CHAPTER = files.repository() / "book" / "extending.md"
EXAMPLES = {title: "\n".join(re.findall(r"```python\n(.*?)```", body, re.DOTALL))
            for title, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", CHAPTER.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)}


@pytest.fixture
def namespace(tmp_path, monkeypatch):
    """What an example leaves behind, run away from the checkout's runs, data and shelf of models."""
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("ECGSTUDY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    return {"__name__": "example"}


def test_there_is_one_example_for_each_section():
    assert list(EXAMPLES) == ["A model", "An experiment", "A data set"]
    assert all(EXAMPLES.values())


def test_a_model(namespace, capsys):
    exec(EXAMPLES["A model"], namespace)
    entry = registry.model_entry("two_convs")
    _, count = entry.sizes["study"]
    built = registry.build_model("two_convs", namespace["SignalSpec"](12, 1000, 100), 9)
    assert sum(parameter.numel() for parameter in built.parameters()) == count
    assert "'widht'" in capsys.readouterr().out


def test_an_experiment(namespace, capsys):
    exec(EXAMPLES["An experiment"], namespace)
    assert [row.value for row in namespace["rows"]] == ["as_is", "wide"]
    assert not namespace["outcome"].failed and not namespace["outcome"].missing
    assert capsys.readouterr().out.count("Interval(") == 2


def test_a_data_set(namespace, capsys):
    exec(EXAMPLES["A data set"], namespace)
    assert 0 < namespace["is_af"].sum() < 120
    assert len(namespace["parts"].training) + len(namespace["parts"].validation) < 120
    assert "SignalSpec" in capsys.readouterr().out


def test_files_that_the_chapter_names_exist():
    text = CHAPTER.read_text(encoding="utf-8")
    root = files.repository()
    named = set(re.findall(r"`((?:ecgstudy|study|data|tests)/[\w/]+(?:\.py)?/?)`", text)) - {"data/clinic.py"}
    assert named and [name for name in named if not any((base / name).exists() for base in (root, root / "ecgstudy"))] == []
