"""Terms become links on first use, in prose alone; every entry of the book's glossary is used."""

from __future__ import annotations

import json
import re

import pytest

from ecgstudy import files
from ecgstudy.study import glossary

BOOK = files.repository() / "book"
KNOWN = ("epoch", "fold", "validation fold", "PAC", "Grad-CAM", "QRS complex", "lead")


@pytest.mark.parametrize("text, expected", [
    ("An epoch and an epoch", "An {term}`epoch` and an epoch"),
    ("Epochs pass", "{term}`Epochs <epoch>` pass"),
    ("the validation fold", "the {term}`validation fold`"),
    ("PAC, pac", "{term}`PAC`, pac"),
    ("pac", "pac"),
    ("epoch-wise, epochal", "epoch-wise, epochal"),
    ("`epoch` $epoch$ [epoch](x) {term}`epoch` <b title='epoch'>", "`epoch` $epoch$ [epoch](x) {term}`epoch` <b title='epoch'>"),
    ("# An epoch\n\n| epoch |\n\n```bash\nepoch\n```\n\n$$epoch$$ (eq-epoch)\n\nepoch",
     "# An epoch\n\n| epoch |\n\n```bash\nepoch\n```\n\n$$epoch$$ (eq-epoch)\n\n{term}`epoch`"),
    ("a lead", "a lead"),                                       # left to the author: it is a verb too
    ("(Grad-CAM)", "({term}`Grad-CAM`)"),
])
def test_first_use_in_prose_is_linked(text, expected):
    assert glossary.linked([text], KNOWN) == [expected]


def test_a_term_is_linked_once_on_a_page_and_texts_stay_apart():
    assert glossary.linked(["no words", "an epoch", "an epoch"], KNOWN) == ["no words", "an {term}`epoch`", "an epoch"]


def test_without_a_glossary_nothing_changes():
    assert glossary.linked(["an epoch"], []) == ["an epoch"]


def entries() -> list[list[str]]:
    """The entries of the book's glossary, each with all its words."""
    found = []
    for block in glossary.ENTRY.findall((BOOK / "glossary.md").read_text(encoding="utf-8")):
        words: list[str] = []
        for line in block.splitlines():
            if line.startswith("  "):
                if words:
                    found.append(words)
                words = []
            elif line:
                words.append(line)
    return found


def test_every_entry_is_used_somewhere():
    known = glossary.terms((BOOK / "glossary.md").read_text(encoding="utf-8"))
    texts = [path.read_text(encoding="utf-8") for path in BOOK.rglob("*.md")]
    for path in (files.repository() / "notebooks").rglob("*.ipynb"):
        cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "markdown"]
        texts += glossary.linked(["".join(cell["source"]) for cell in cells], known)
    used = {word for text in texts for word in re.findall(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`", text)}
    assert len(entries()) >= 60 and sum(map(len, entries())) == len(known) == len(set(known))
    assert used <= set(known)
    assert [words for words in entries() if not used & set(words)] == []


def test_words_left_to_the_author_are_in_the_glossary():
    assert glossary.LEFT_TO_THE_AUTHOR <= set(glossary.terms((BOOK / "glossary.md").read_text(encoding="utf-8")))
