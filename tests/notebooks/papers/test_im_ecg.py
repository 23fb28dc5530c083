"""The page of IM-ECG runs under plain papermill in the smoke profile."""

import json
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/papers/im_ecg.ipynb"


def test_the_smoke_profile_runs(tmp_path):
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb"), "-p", "profile",
                          "smoke"], cwd=files.repository(), capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert "25,602,825" in shown and "| im_ecg | 0 |" in shown and "**The picture.**" in shown
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 3
    assert (tmp_path / "runs" / "papers" / "im_ecg-synthetic-smoke.png").stat().st_size > 10_000
