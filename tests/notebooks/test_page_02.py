"""Page 02 runs under plain papermill, and stops before any work on a name that it does not know."""

import json
import os
import subprocess
import sys

import pytest

from ecgstudy import files

NOTEBOOK = "notebooks/02_protocol.ipynb"


def papermill(out, *words):
    return subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(out), *words], cwd=files.repository(),
                          capture_output=True, text=True, timeout=300, env=dict(os.environ))


def test_the_smoke_profile_shows_every_rule_and_recipe(tmp_path):
    ran = papermill(tmp_path / "out.ipynb", "-p", "profile", "smoke")
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text()
    for name in ("oracle_epoch_one", "oracle_per_class", "all three", "lead mask", "Provenance of the 7 runs"):
        assert name in shown
    assert (tmp_path / "runs" / "02_protocol-synthetic-smoke.png").stat().st_size > 10_000
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 3


def test_runs_that_were_not_made_leave_named_gaps(tmp_path):
    """Under `missing name` without any run in the ledger for this data set and profile the page still runs."""
    ran = papermill(tmp_path / "out.ipynb", "-p", "profile", "smoke", "-p", "missing", "name", "-p", "recipes", "noise")
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "have not been made" in (tmp_path / "out.ipynb").read_text()


@pytest.mark.parametrize(("words", "message"), [
    (("-p", "recipes", "noise,cosin"), "did you mean 'cosine'"), (("-p", "recipe", "noise"), "did you mean 'recipes'"),
])
def test_misspelt_names_fail_before_any_work(tmp_path, words, message):
    ran = papermill(tmp_path / "out.ipynb", *words)
    assert ran.returncode != 0 and message in ran.stderr
    assert not (tmp_path / "runs").exists()
