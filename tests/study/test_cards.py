"""A data card is sound Markdown and says what the manifest says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecgstudy.data.labels import CHAPMAN_SNOMED, CPSC_SNOMED
from ecgstudy.data.manifest import FOLDS, NAN, PATIENTS, manifest, source
from ecgstudy.study.cards import card

NAMES = ("cpsc", "ptbxl", "chapman", "ludb")


def tables(markdown: str) -> list[list[list[str]]]:
    """The tables of a Markdown text as rows of cells, by an independent parser."""
    MarkdownIt = pytest.importorskip("markdown_it", reason="the Markdown parser comes with the extra `book`").MarkdownIt
    found = []
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    for before, token in zip(tokens, tokens[1:], strict=False):
        if token.type == "table_open" or (before is tokens[0] and before.type == "table_open"):
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif before.type in ("td_open", "th_open"):
            found[-1][-1].append(token.content)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_facts_and_policies_stand_on_it(name):
    entry = source(name)
    text = card(entry)
    for said in (entry.title, entry.version, f"{entry.recordings:,}", entry.population, entry.resolution, entry.labels, entry.layout,
                 entry.citation, f"https://doi.org/{entry.doi}", entry.license, FOLDS[entry.folds], PATIENTS[entry.patients],
                 NAN[entry.nan], f"data fetch {name}", entry.device or "not published"):
        assert said in text
    assert text.endswith("\n") and "\n\n\n" not in text


@pytest.mark.parametrize("name", NAMES)
def test_every_table_is_read_whole(name):
    entry = source(name)
    found = tables(card(entry))
    assert len(found) == 2 + len(entry.tasks)
    for table in found:
        assert len({len(row) for row in table}) == 1
    for table, counts in zip(found[1:-1], entry.tasks.values(), strict=True):
        assert {row[0]: int(row[1].replace(",", "")) for row in table[1:]} == counts


def test_codes_are_those_of_the_one_table():
    nine = tables(card(source("cpsc")))[1]
    assert nine[0][-1] == "codes (CPSC_SNOMED)"
    assert {row[3]: row[0] for row in nine[1:]} == CPSC_SNOMED
    groups = {row[0]: row for row in tables(card(source("chapman")))[1][1:]}
    assert groups["AFIB"][2] == "AFIB, AF"
    assert [CHAPMAN_SNOMED[code] for code in groups["AFIB"][3].split(", ")] == ["AFIB", "AF"]


def test_statements_that_are_their_own_code_are_not_said_twice():
    for table in tables(card(source("ptbxl")))[1:-1]:
        assert table[0] == ["class", "recordings", "published as"]


def test_left_out_recordings_are_named():
    text = card(source("ptbxl"))
    assert "**Left out.** 38 recordings (withdrawn by the publisher" in text and "137, 139, 140" in text
    assert "Left out" not in card(source("cpsc"))


def test_only_what_is_there_is_said():
    entry = source("ludb")
    assert "Counted in" not in card(entry) and "By hand" not in card(entry)
    assert "By hand" in card(source("chapman"))
    assert "100 and 500 Hz; 100 Hz is fetched" in card(source("ptbxl")) and "is fetched" not in card(entry)
    assert "6 to 144 s" in card(source("cpsc")) and "| 10 s |" in card(entry)


def test_a_bar_or_a_line_end_does_not_break_a_table():
    entry = replace(source("cpsc"), device="a | b\nc")
    facts = dict(tables(card(entry))[0][1:])
    assert facts["device"] == "a | b c" and facts["length"] == "6 to 144 s"


def test_every_data_set_of_the_manifest_has_a_card():
    assert all(card(entry) for entry in manifest().values())
