"""Page 08 runs under plain papermill, from the drawing of the networks to the verdict on the claim."""

import json
import os
import subprocess
import sys

from ecgstudy import files
from ecgstudy.study.frequency_claim import NETWORKS


def test_the_smoke_profile_compares_draws_and_probes(tmp_path):
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "notebooks/08_stacking.ipynb", str(tmp_path / "out.ipynb"),
               "-p", "profile", "smoke", "-p", "networks", ",".join(NETWORKS)]
    ran = subprocess.run(command, cwd=files.repository(), capture_output=True, text=True, timeout=300, env=os.environ)
    assert ran.returncode == 0, ran.stderr[-3000:]
    cells = json.loads((tmp_path / "out.ipynb").read_text())["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    drawn = [cell for cell in cells if any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))]
    assert len(drawn) == 4
    assert all(cell["metadata"]["mystnb"]["image"]["alt"] and cell["metadata"]["mystnb"]["figure"]["caption"] for cell in drawn)
    tables = ["".join(data["text/html"]) for data in outputs if "text/html" in data]
    assert len(tables) == 2 and all(name in table for table in tables for name in ("InceptionNext", "InceptionHiLoSA"))
    reading = ["".join(data["text/markdown"]) for data in outputs if "text/markdown" in data][-1]
    for part in ("claim about frequencies: undecided", "With 1 seed", "What can be concluded", "What cannot", "Provenance of the 4 runs"):
        assert part in reading
    assert "Not probed" not in reading
    assert (tmp_path / "runs" / "08_stacking-synthetic-smoke.png").stat().st_size > 10_000
    assert len(list((tmp_path / "runs").glob("*/*-08_stacking.npz"))) == len(NETWORKS)
