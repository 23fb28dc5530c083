"""Generated parts of chapters: what they say, and that the book's chapters ask only for what can be written."""

from __future__ import annotations

import re

import pytest
import yaml

from ecgstudy import files
from ecgstudy.data.manifest import manifest
from ecgstudy.errors import ConfigurationError
from ecgstudy.models import list_models
from ecgstudy.study import chapters, reference

ROOT = files.repository()


def test_a_place_is_filled_with_its_words_and_its_depth():
    writers = {"told": lambda words, root, up: f"{words} {up}"}
    text = "before\n\n<!-- generated: told a b -->\n\nafter <!-- generated: told --> inside\n"
    assert chapters.filled(text, "x/y.md", ROOT, writers) == "before\n\n['a', 'b'] ../\n\nafter <!-- generated: told --> inside\n"
    with pytest.raises(ConfigurationError, match="told"):
        chapters.filled("<!-- generated: tolt -->", "y.md", ROOT, writers)


def test_chapters_ask_for_known_writers():
    asked = {name for path in (ROOT / "book").rglob("*.md") for name, _ in chapters.PLACE.findall(path.read_text(encoding="utf-8"))}
    assert asked == set(chapters.WRITERS) | {"command_line"}


def test_every_data_set_has_a_row_a_card_and_a_citation():
    for name, entry in manifest().items():
        assert f"[`{name}`](card-{name})" in chapters.data_sets_at_a_glance([], ROOT, "")
        assert f"(card-{name})=\n## `{name}`" in chapters.data_cards([], ROOT, "")
        assert f"`{name}`\n: {entry.citation}" in chapters.data_citations([], ROOT, "")


def test_the_citation_is_that_of_the_file(tmp_path):
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    text = chapters.citation([], ROOT, "")
    assert f"title = {{{told['title']}}}" in text and f"version = {{{told['version']}}}" in text
    told |= {"authors": [{"family-names": "Doe", "given-names": "Jo"}], "date-released": "2027-02-03", "doi": "10.1/x"}
    (tmp_path / "CITATION.cff").write_text(yaml.safe_dump(told))
    text = chapters.citation([], tmp_path, "")
    assert "author = {Doe, Jo}" in text and "year = {2027}" in text and "doi = {10.1/x}" in text


def test_every_registered_network_is_in_the_table_and_leads_to_its_section():
    text, documented = chapters.networks([], ROOT, ""), chapters.documented(ROOT / "book", ROOT)
    anchors = {address.partition("#")[2] for address in documented.values()}
    rows = re.findall(r"^\| \[`(\w+)`\]\(#([\w-]+)\)", text, re.MULTILINE)
    assert [name for name, _ in rows] == list_models()
    assert {anchor for _, anchor in rows} <= anchors


def test_documented_modules_have_one_section_each():
    asked = [module.name for path in sorted((ROOT / "book").rglob("*.md"))
             for name, words in chapters.PLACE.findall(path.read_text(encoding="utf-8")) if name == "api"
             for module in reference.chosen(words.split(), ROOT)]
    assert len(asked) == len(set(asked)) == len(chapters.documented(ROOT / "book", ROOT))
