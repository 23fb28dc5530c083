"""Page 11 runs under plain papermill in the smoke profile."""

import json
import os
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/11_grad_cam.ipynb"


def test_the_smoke_profile_measures_every_method(tmp_path):
    out = tmp_path / "out.ipynb"
    environment = {name: value for name, value in os.environ.items() if name != "ECGSTUDY_DATA"}
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(out), "-p", "profile", "smoke"],
                         cwd=files.repository(), capture_output=True, text=True, timeout=600, env=environment)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = out.read_text(encoding="utf-8")
    for part in ("fresh weights", "LUDB is not on this machine", "What can be concluded"):
        assert part in shown
    cells = json.loads(shown)["cells"]
    pictures = [cell for cell in cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == 4 and all(cell["metadata"]["mystnb"]["image"]["alt"] for cell in pictures)
    assert sum("text/html" in o.get("data", {}) for cell in cells for o in cell.get("outputs", [])) == 4
