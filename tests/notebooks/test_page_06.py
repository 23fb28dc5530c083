"""Page 06 runs in the smoke profile, and shows its tables, its figures and every part of its reading."""

import json
import os
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/06_local_blocks.ipynb"


def test_the_smoke_profile_shows_every_part(tmp_path):
    words = ("-p", "profile", "smoke", "-p", "blocks", "plain,coordinate")
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb"), *words],
                         cwd=files.repository(), capture_output=True, text=True, timeout=300, env=dict(os.environ))
    assert ran.returncode == 0, ran.stderr[-3000:]
    cells = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    told = "\n".join("".join(data.get("text/markdown", "")) for data in outputs)
    for part in ("| coordinate |", "Of the plain block's MACs", "Question by question", "Does a gate behind the convolution help?",
                 "What can be concluded", "What cannot", "What would settle it", "Provenance of the 2 runs"):
        assert part in told
    assert "squeeze_excite" not in told
    assert sum("class=\"dataframe study\"" in "".join(data.get("text/html", "")) for data in outputs) == 3
    drawn = [cell for cell in cells if any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))]
    assert len(drawn) == 4
    assert all(len(cell["metadata"]["mystnb"]["image"]["alt"]) > 50 for cell in drawn)
    assert (tmp_path / "runs" / "06_local_blocks-synthetic-smoke.png").stat().st_size > 10_000
