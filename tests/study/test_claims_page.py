"""Page 16 counts, draws and tells the verdicts that it was given; page 00 says what the pages say."""

import base64
import json
import re

import pytest

from ecgstudy import files
from ecgstudy.errors import ConfigurationError, DataError, StudyError
from ecgstudy.study import claims_page, found
from ecgstudy.study.claim_verdicts import MET, NOT_COMPARABLE, NOT_MET, NOT_RUN, UNTOLD, Evidence, Place, Verdict
from ecgstudy.study.claims import Better, Claim, Number, claims
from ecgstudy.study.notebooks import read_notebook
from ecgstudy.study.pages import FRONT, Book, picture_of
from ecgstudy.study.profiles import profile
from ecgstudy.study.variants import axis
from ecgstudy.train.experiment import Experiment

ROOT = files.repository()
QUICK, FULL = Place("ptbxl", "nine", "quick"), Place("cpsc", "nine", "full")
PARAMETERS = {"dataset": "auto", "task": "", "profile": "auto", "sources": "all"}


def told(word, place=QUICK, source="notes", seeds=3, text="A < B."):
    test = Better("attention_ablation", "macro_f1", "mhsa", ("window",)) if word != NOT_COMPARABLE else None
    claim = Claim(word, source, "04_attention_ablation", text, (("window", 0.841),), (), ("cpsc", "nine"), test, "")
    return Verdict(claim, word, "see `make it`", ("MHSA (full) − window: +0.1",) if place else (), place, seeds)


@pytest.fixture
def shown():
    return claims_page.Found([told(MET, FULL), told(MET), told(NOT_MET), told(UNTOLD, seeds=1), told(UNTOLD, source="mina"),
                              told(NOT_COMPARABLE, None, "mina", 0), told(NOT_RUN, None, "ecgnet", 0)], Evidence([]))


def test_the_counts_keep_what_holds_as_claimed_apart(shown):
    table = shown.summary().data.set_index(("", "source"))
    everything = table.loc["all"]
    assert everything[("as claimed", MET)] == "1" and everything[("short runs or other recordings", MET)] == "1"
    assert everything[("as claimed", NOT_MET)] == "0" and everything[("short runs or other recordings", NOT_MET)] == "1"
    assert [int(table.loc[who][("", "claims")]) for who in ("the notes", "the papers", "all")] == [4, 3, 7]
    for who in table.index:
        assert sum(int(value) for column, value in table.loc[who].items() if column[0]) == int(table.loc[who][("", "claims")])


def test_a_row_shows_verdict_numbers_place_and_page(shown):
    html = shown.table(shown.notes).to_html()
    for part in ("A &lt; B.", "✓ met", "✕ not met", "<code>make it</code>", "window 0.8410", "macro-F1: MHSA (full)", "quick<br>3 seeds",
                 'href="04_attention_ablation.html"', 'class="dataframe study claims"'):
        assert part in html, part
    assert "MINA" in shown.table(shown.papers, whose=True).to_html()


def test_every_claim_is_one_square_of_the_picture(shown):
    drawn = shown.figure().axes[0]
    assert len(drawn.patches) == 7 and sorted(text.get_text() for text in drawn.texts) == sorted("✓✓✕??–…")
    assert [label.get_text() for label in drawn.get_yticklabels()] == ["attention ablation (notes)", "MINA", "ECGNet"]


def test_the_reading_follows_the_verdicts(shown):
    text = shown.reading()
    assert "Of 7 claims 1 are met as they were made and 0 are not; in short runs or on other recordings 1 more are met, 1 are" in text
    assert "Of 2 claims that cannot be told, 1 have fewer than 3 seeds" in text
    assert "4 verdicts are of the quick profile" in text and "`attention_ablation` (5 claims)" in text
    settled = claims_page.Found([told(MET, FULL)], Evidence([])).reading()
    assert "cannot be told, " not in settled and "What would settle it" not in settled


@pytest.mark.parametrize("change, complaint", [({"dataset": "ptb"}, "ptbxl"), ({"profile": "fulll"}, "full"),
                                               ({"sources": "notes,minna"}, "mina"), ({"task": "nein", "dataset": "ptbxl"}, "nein")])
def test_a_wrong_parameter_is_refused_with_the_nearest(change, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        claims_page.ask(PARAMETERS | change)


def test_parameters_choose_claims_and_place():
    page = claims_page.ask(PARAMETERS | {"sources": "mina, ecgnet", "dataset": "synthetic", "profile": "smoke"})
    assert {claim.source for claim in page.claims.claims} == {"mina", "ecgnet"} and page.dataset == ("synthetic", "nine")
    assert "`synthetic`" in page.what() and "`smoke`" in page.what()
    assert len(claims_page.ask(PARAMETERS).claims.claims) == len(claims().claims)
    assert all(isinstance(claim.test, Number) for claim in claims().claims if claim.id.startswith("three") and claim.id.endswith("auroc"))


# -- the landing page ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("paragraph, n, expected", [
    ("**Lead I.** It gains +0.012 [−0.005, +0.027]. It is open. More.", 2, "It gains +0.012 [−0.005, +0.027]. It is open."),
    ("**All 28 figures are met.**", 1, "All 28 figures are met."),
    ("**The claim: undecided.** The test asks. More.", 2, "The claim: undecided. The test asks."),
    ("Of 5 pairs 2. `a` leads.", 1, "Of 5 pairs 2."),
])
def test_an_answer_is_the_first_sentences(paragraph, n, expected):
    assert found.first_sentences(paragraph, n) == expected


def test_an_answer_is_found_by_how_it_begins():
    page = {"cells": [{"outputs": [{"data": {"text/markdown": "**First.** No.\n\n**Second.** Yes,\nit is. More."}}]}]}
    assert found.answer(found.Asked("x", "?", r"\*\*Second"), page) == "Yes, it is."
    with pytest.raises(DataError, match="no paragraph that begins"):
        found.answer(found.Asked("x", "?", r"\*\*Third"), page)


@pytest.mark.parametrize("change, complaint", [({"profile": "smoke"}, "holds no run of page 15 for ptbxl"), ({"dataset": "ptb"}, "ptbxl"),
                                               ({"profil": "quick"}, "profile")])
def test_the_landing_page_refuses_what_it_cannot_show(change, complaint):
    with pytest.raises(StudyError, match=complaint):
        found.ask({"dataset": "ptbxl", "task": "", "profile": "auto"} | change)


def kept_front() -> dict:
    return read_notebook(found.kept(FRONT))


def shown_html(executed: dict) -> str:
    return "".join("".join(output.get("data", {}).get("text/html", "")) for cell in executed["cells"] for output in cell.get("outputs", []))


AGAIN = "run `python -m ecgstudy.book --only 00_found`, then `python -m ecgstudy.book --keep 00_found`"


@pytest.mark.parametrize("asked", found.LINES, ids=lambda asked: asked.page)
def test_the_kept_landing_page_says_what_the_kept_pages_say(asked):
    assert found._marked(found.answer(asked, read_notebook(found.kept(asked.page)))) in shown_html(kept_front()), AGAIN


def test_the_kept_picture_stands_on_the_ledgers_runs():
    """Of every network that has three seeds or more, and of no other."""
    executed = kept_front()
    text = "\n".join("".join(output.get("data", {}).get("text/markdown", "")) for cell in executed["cells"]
                     for output in cell.get("outputs", []))
    shown = set(re.findall(r"^\| ([0-9a-f]{12}) \|", text, re.M))
    size = "full" if ", full profile" in text else "quick"
    plan = axis("benchmark").experiments("ptbxl", "nine", profile(size), (), profile("full").seeds)
    held: dict[str, set[str]] = {}
    for path in (ROOT / "book" / "results").glob("ptbxl-nine-*.json"):
        stated = json.loads(path.read_text(encoding="utf-8"))
        experiment = Experiment.from_json(stated["experiment"])
        if experiment in plan:
            held.setdefault(plan[experiment], set()).add(stated["key"][:12])
    assert shown == set().union(*(keys for keys in held.values() if len(keys) >= 3)), AGAIN


def test_the_readme_shows_the_kept_picture():
    picture = Book(ROOT).picture.read_bytes()
    assert picture == picture_of(kept_front()), AGAIN
    assert len(picture) < 150_000 and "book/figures/found.png" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_picture_is_taken():
    assert picture_of({"cells": [{}, {"outputs": [{"data": {"image/png": base64.b64encode(b"one").decode()}}]}]}) == b"one"
    with pytest.raises(ConfigurationError, match="no picture"):
        picture_of({"cells": []})
