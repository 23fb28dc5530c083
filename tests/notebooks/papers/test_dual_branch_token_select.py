"""The page of the dual-branch network runs under plain papermill in the smoke profile."""

import json
import subprocess
import sys

from ecgstudy import files


def test_the_smoke_profile_trains_and_draws(tmp_path):
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "notebooks/papers/dual_branch_token_select.ipynb",
               str(tmp_path / "out.ipynb"), "-p", "profile", "smoke", "-p", "networks", "dual_branch_token_select"]
    ran = subprocess.run(command, cwd=files.repository(), capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert "2,312,361" in shown and "trained on synthetic, smoke profile" in shown and "half kept at random" in shown
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 4
