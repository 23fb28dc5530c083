"""The page of MRTNet runs under plain papermill in the smoke profile."""

import json
import subprocess
import sys

from ecgstudy import files


def test_the_smoke_profile_trains_and_draws(tmp_path):
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "notebooks/papers/multi_res_trans.ipynb", str(tmp_path / "out.ipynb"),
               "-p", "profile", "smoke", "-p", "networks", "multi_res_trans"]
    ran = subprocess.run(command, cwd=files.repository(), capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert "1,537,489" in shown and "trained on synthetic, smoke profile" in shown and "0.77" in shown
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 3
