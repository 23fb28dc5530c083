"""Page 05 runs under plain papermill: every encoding, drawn, scored, and measured on moved and longer records."""

import json
import os
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/05_position_encoding.ipynb"


def test_the_smoke_profile_runs_every_encoding(tmp_path):
    out = tmp_path / "out.ipynb"
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(out), "-p", "profile", "smoke"],
                         cwd=files.repository(), capture_output=True, text=True, timeout=900, env=dict(os.environ))
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = out.read_text()
    for name in ("none", "learned", "sinusoidal", "relative", "CPE", "LePE, 3 tokens", "LePE, 5 tokens", "V + DWConv(V)"):
        assert name in shown
    cells = json.loads(shown)["cells"]
    pictures = [cell for cell in cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == 3 and all(cell["metadata"]["mystnb"]["image"]["alt"] for cell in pictures)
    tables = [o for cell in cells for o in cell.get("outputs", []) if "text/html" in o.get("data", {})]
    assert len(tables) == 4                     # scores, classes, moved and longer, cost
    for part in ("Moved and longer records", "What can be concluded", "recorded for 20 s", "Provenance of the 8 runs"):
        assert part in shown
    kept = list((tmp_path / "runs").glob("*/*-05_position_encoding.npz"))
    assert len(kept) == 8                       # one entry of probes a run, beside its weights
