"""Page 07 runs under plain papermill and shows its tables, its figures and every part of its reading."""

import json
import os
import subprocess
import sys

import pytest

from ecgstudy import files

NOTEBOOK = "notebooks/07_size_and_tokens.ipynb"
SIZES = "base,semantic_tokens,heads_50"


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The outputs of the page's code cells in the smoke profile, as MIME bundles."""
    place = tmp_path_factory.mktemp("page")
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(place / "out.ipynb"), "-p", "profile", "smoke", "-p", "sizes", SIZES],
                         cwd=files.repository(), capture_output=True, text=True, timeout=300,
                         env={**os.environ, "ECGSTUDY_RUNS": str(place / "runs"), "ECGSTUDY_HOME": str(place / "home")})
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert (place / "runs" / "07_size_and_tokens-synthetic-smoke.png").stat().st_size > 10_000
    return json.loads((place / "out.ipynb").read_text(encoding="utf-8"))["cells"]


def bundles(cells):
    return [output["data"] for cell in cells for output in cell.get("outputs", []) if "data" in output]


def test_figures_stand_with_caption_and_alternative_text(shown):
    drawn = [cell for cell in shown if any("image/png" in data for data in bundles([cell]))]
    assert len(drawn) == 4
    for cell in drawn:
        assert len(bundles([cell])) == 1
        told = cell["metadata"]["mystnb"]
        assert len(told["figure"]["caption"]) > 60 and len(told["image"]["alt"]) > 60


def test_every_variant_stands_in_the_tables(shown):
    tables = ["".join(data["text/html"]) for data in bundles(shown) if "text/html" in data]
    assert len(tables) == 3                                     # scores, classes, costs
    for table in tables:
        assert all(name.replace("_", " ") in table for name in SIZES.split(","))


def test_reading_answers_what_the_page_asks(shown):
    reading = "".join(bundles(shown)[-1]["text/markdown"])
    for part in ("What deletion costs the trained base", "Importance against chance", "Is deletion a saving here?",
                 "Do the kept tokens hold the evidence?", "What do semantic tokens read?", "What can be concluded", "What cannot",
                 "What would settle it", "Provenance of the 3 runs"):
        assert part in reading
    assert "Not probed" not in reading and "fresh weights" not in reading
