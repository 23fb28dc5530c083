"""The page of MVMS-Net runs under plain papermill in the smoke profile."""

import json
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/papers/mvms_ecg.ipynb"


def test_the_smoke_profile_trains_and_draws(tmp_path):
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb"), "-p", "profile", "smoke",
               "-p", "networks", "mvms_ecg"]
    ran = subprocess.run(command, cwd=files.repository(), capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert "2,245,263" in shown and "391,049" in shown and "trained on synthetic, smoke profile" in shown and "**Views.**" in shown
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 3
    assert (tmp_path / "runs" / "papers" / "mvms_ecg-synthetic-smoke.png").stat().st_size > 10_000
