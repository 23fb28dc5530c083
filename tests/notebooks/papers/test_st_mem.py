"""The page of ST-MEM runs under plain papermill in the smoke profile."""

import json
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/papers/st_mem.ipynb"


def test_the_smoke_profile_pretrains_and_draws(tmp_path):
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb"), "-p", "profile", "smoke",
               "-p", "networks", "st_mem_tuned_100"]
    ran = subprocess.run(command, cwd=files.repository(), capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert "3,114,202" in shown and "88,534,753" in shown and "**Filling in**" in shown
    assert "In the pictures: pretrained on synthetic, smoke profile" in shown and "Over 1 epoch the loss" in shown
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 4
    assert (tmp_path / "runs" / "papers" / "st_mem-synthetic-smoke.png").stat().st_size > 10_000
