"""The page of the LightConv transformer runs under plain papermill in the smoke profile."""

import json
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/papers/lightweight_transformer.ipynb"


def test_the_smoke_profile_runs(tmp_path):
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb"), "-p", "profile",
                          "smoke"], cwd=files.repository(), capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    for told in ("530,565", "596,293", "trained on synthetic, smoke profile", "- `lightweight_transformer` (136,615", "0.9962"):
        assert told in shown
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 4
    assert (tmp_path / "runs" / "papers" / "lightweight_transformer-synthetic-smoke.png").stat().st_size > 10_000
