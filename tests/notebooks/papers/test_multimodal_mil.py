"""The page of MAMIL runs under plain papermill in the smoke profile."""

import json
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/papers/multimodal_mil.ipynb"


def test_the_smoke_profile_runs(tmp_path):
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb"), "-p", "profile",
                          "smoke"], cwd=files.repository(), capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    for told in ("690,667", "trained on synthetic, smoke profile", "- `multimodal_mil` (", "**Across the bags.**"):
        assert told in shown
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 3
    assert (tmp_path / "runs" / "papers" / "multimodal_mil-synthetic-smoke.png").stat().st_size > 10_000
