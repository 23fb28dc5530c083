"""Numbers in prose: a result is computed where it is shown and never typed, because a typed one goes stale.

The rule for every chapter, every text cell and every caption: outside formulas and code, a number with a decimal point, a percentage, and a
count of what is measured (parameters, points, records ...) may stand only

- with a unit of the signal (s, ms, Hz, mV, mm): then it says what is drawn or set;
- as the level of the book's intervals, "95 % interval", which is part of the protocol;
- in a sentence that cites the source which reports it; or
- in ALLOWED below, with the reason.
"""

from __future__ import annotations

import json
import re

import pytest

from ecgstudy import files

ROOT = files.repository()
UNITS = r"(?:seconds?|s|ms|hertz|Hz|kHz|mV|µV|mm|bpm)\b"
MEASURED = r"(?:points?|parameters|weights|MACs|records?|recordings|patients|times|percent|per cent)\b"
NUMBER = re.compile(rf"(?<![\w.,])[+−-]?(?:\d+\.\d+(?:\.\d+)*(?:\s?%)?|\d+(?:,\d{{3}})*(?:\s?%|\s+(?={MEASURED})))")
HIDDEN = re.compile(r"```\{?(?:code|bibliography)?.*?```|\$\$.*?\$\$|``[^`]*``|`[^`]*`|\$[^$\n]+\$|\]\([^)]*\)|<[^>]*>|https?://\S+", re.S)
LEVEL = re.compile(r"95 % (?:intervals?\b|over patients)")
CITED = re.compile(r"\{cite(?::[pt])?\}")

# (page, the number with the words after it): why it may stand.
ALLOWED = {
    ("README", "3.11 or"): "a version of Python",
    ("README", "2.0."): "the name of a licence",
    ("changelog", "0.1 (not"): "a version of the book",
    ("extending", "120 records,"): "how many records the example simulates, a setting",
    ("08_stacking", "0.5 to"): "where the lowest band begins; its unit stands after the other end",
    ("12_self_supervised", "100 per"): "the shares of labels that the page sets",
    ("cpc_ssl", "100 per"): "the shares of labels that the page sets",
    ("13_distillation", "0.7 RBBB"): "a made-up output, to say what a soft label is",
    ("13_distillation", "0.2 LBBB"): "a made-up output, to say what a soft label is",
    ("clocs", "0.5),"): "luck between two classes, by definition",
    ("clocs", "276 times"): "24 views make so many pairs: the divisor in the loss",
    ("dual_branch_token_select", "2,208 parameters"): "two counts that the docstring of the model states",
    ("im_ecg", "256 records,"): "how many records the page asks, a setting",
    ("se_ecgnet", "256 records"): "how many records the page asks, a setting",
    ("se_ecgnet", "0.5th"): "where a scale of colours ends, a setting",
    ("se_ecgnet", "99.5th"): "where a scale of colours ends, a setting",
    ("mvkt_ecg", "15.9,"): "the loss of even scores, which the formula above it gives",
    ("mvkt_ecg", "0.7."): "the cross-entropy of even scores, log 2",
    ("progressive_gated_transformer", "2.7 at"): "e, the largest ratio of two gates",
    ("progressive_gated_transformer", "0.269 (blue)"): "the least that the gate can be, the logistic function at -1",
    ("progressive_gated_transformer", "0.731 (red)."): "the most that the gate can be, the logistic function at 1",
    ("how_to_run", "3.11 or"): "a version of Python",
}


def texts() -> list[tuple[str, str]]:
    """Every chapter, text cell and caption, with its page's name."""
    found = [(path.stem, path.read_text(encoding="utf-8")) for path in [ROOT / "README.md", *sorted((ROOT / "book").glob("*.md"))]]
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            told = cell["metadata"].get("mystnb", {})
            told = [told.get("figure", {}).get("caption", ""), told.get("image", {}).get("alt", "")]
            found += [(path.stem, text) for text in (["".join(cell["source"])] if cell["cell_type"] == "markdown" else told) if text]
    return found


def sentences(text: str) -> list[str]:
    """The sentences of a Markdown text, rows of tables and items of lists each one; formulas and code are taken out, citations stay."""
    marked = re.sub(r"\{[a-z:]+\}`", "`", CITED.sub(" CITED ", text))
    plain = HIDDEN.sub(" ", marked)
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*|#]|\d+\.)\s)", plain)
    return [re.sub(r"\s+", " ", part) for block in blocks for part in re.split(r"(?<=[.!?:])\s+(?=[A-Z*])", block)]


def typed(text: str) -> list[str]:
    """Numbers of a text that claim a result, each with the word after it."""
    found = []
    for sentence in sentences(text):
        if "CITED" in sentence:
            continue
        for match in NUMBER.finditer(sentence):
            rest = sentence[match.end():].lstrip()
            if not re.match(UNITS, rest) and not LEVEL.match(sentence[match.start():]):
                found.append(re.match(r"\S*(?:\s%)?(?:(?<=[\d%])\s\S+)?", sentence[match.start():]).group())
    return found


def test_no_result_is_typed_into_prose():
    wrong = [f"{page}: {number}" for page, text in texts() for number in typed(text) if (page, number) not in ALLOWED]
    assert wrong == []


def test_nothing_is_allowed_that_no_longer_stands():
    standing = {(page, number) for page, text in texts() for number in typed(text)}
    assert set(ALLOWED) - standing == set()


@pytest.mark.parametrize("text, found", [
    ("The network reaches 0.912 on the test fold.", ["0.912 on"]),
    ("It gains +0.03, which is little.", ["+0.03,"]),
    ("It is right in 87 % of the cases.", ["87 % of"]),
    ("It has 1,234,567 parameters.", ["1,234,567 parameters."]),
    ("A gain of 3 points in F1", ["3 points"]),
    ("A window of 0.6 s at 100 Hz, and 12.5 Hz", []),
    ("The paper reports 0.83 {cite:p}`smith2020`. Here it is 0.84.", ["0.84."]),
    ("Set `rate = 0.5`, so that $p = 0.5$ and\n\n$$x = 0.25$$\n\nholds.", []),
    ("| macro-F1 | 0.84 |", ["0.84 |"]),
    ("Folds 1 to 8 train, 12 leads", []),
    ("See [the page](https://a.b/v1.25/x) of 2024.", []),
])
def test_the_rule_finds_results_and_spares_settings(text, found):
    assert typed(text) == found
