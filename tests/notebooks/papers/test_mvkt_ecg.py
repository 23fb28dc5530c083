"""The page of MVKT-ECG runs under plain papermill in the smoke profile: teacher, and one lead with and without its lesson."""

import json
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/papers/mvkt_ecg.ipynb"


def test_the_smoke_profile_teaches_and_draws(tmp_path):
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb"), "-p", "profile", "smoke",
               "-p", "networks", "mvkt_ecg,lead_I_bce,lead_I_both"]
    ran = subprocess.run(command, cwd=files.repository(), capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    for part in ("3,872,457", "28,316,841", "trained on synthetic, smoke profile", "**Features**", "labels alone", "lead_I_both"):
        assert part in shown, part
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 4
    assert (tmp_path / "runs" / "papers" / "mvkt_ecg-synthetic-smoke.png").stat().st_size > 10_000
