"""Page 10 runs under plain papermill: maps, heads, distances, the view to play with, and the scores."""

import json
import os
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/10_attention_maps.ipynb"


def test_the_smoke_profile_shows_every_mechanism(tmp_path):
    out = tmp_path / "out.ipynb"
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(out), "-p", "profile", "smoke"],
                         cwd=files.repository(), capture_output=True, text=True, timeout=900, env=dict(os.environ))
    assert ran.returncode == 0, ran.stderr[-3000:]
    cells = json.loads(out.read_text())["cells"]
    outputs = [(cell, o.get("data", {})) for cell in cells for o in cell.get("outputs", [])]
    pictures = [cell for cell, data in outputs if "image/png" in data]
    assert len(pictures) == 5 and all(cell["metadata"]["mystnb"]["image"]["alt"] for cell in pictures)
    pages = ["".join(data["text/html"]) for _, data in outputs if "text/html" in data]
    view, table, *_ = sorted(pages, key=lambda text: ("attention-view" not in text, "bi-level routing" not in text))
    assert "attention-view" in view and len(view) < 500_000
    for name in ("MHSA (full)", "spatial reduction", "bi-level routing", "window", "shifted window", "shunted", "HiLo", "class token"):
        assert name in table
    shown = out.read_text()
    for part in ("**Networks:**", "**Heads.**", "**PVC.**", "**PAC.**", "What cannot be concluded", "fresh weights"):
        assert part in shown
