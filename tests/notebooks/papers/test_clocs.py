"""The page of CLOCS runs under plain papermill in the smoke profile."""

import json
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/papers/clocs.ipynb"


def test_the_smoke_profile_pretrains_trains_and_draws(tmp_path):
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb"), "-p", "profile", "smoke",
               "-p", "networks", "clocs,cmsc_tuned_100"]
    ran = subprocess.run(command, cwd=files.repository(), capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert "63,233" in shown and "266,761" in shown and "pretrained on synthetic, smoke profile" in shown and "- CMSC: a record" in shown
    assert "**Pretraining.**" in shown and "nothing here shows likeness over patients" in shown
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 4
    assert (tmp_path / "runs" / "papers" / "clocs-synthetic-smoke.png").stat().st_size > 10_000
