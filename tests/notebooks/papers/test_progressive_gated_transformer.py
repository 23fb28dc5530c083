"""The page of MPGT runs under plain papermill in the smoke profile."""

import json
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/papers/progressive_gated_transformer.ipynb"


def test_the_smoke_profile_trains_and_draws(tmp_path):
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb"), "-p", "profile", "smoke",
               "-p", "networks", "progressive_gated_transformer"]
    ran = subprocess.run(command, cwd=files.repository(), capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert "2,028,169" in shown and "trained on synthetic, smoke profile" in shown and "**Constant gates.**" in shown
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 3
    assert (tmp_path / "runs" / "papers" / "progressive_gated_transformer-synthetic-smoke.png").stat().st_size > 10_000
