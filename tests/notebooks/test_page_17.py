"""Page 17 runs under plain papermill on the kept benchmarks alone, and measures nothing."""

import json
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/17_speed.ipynb"


def test_the_page_draws_what_is_kept(tmp_path):
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb")],
                         cwd=files.repository(), capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = [output for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"] for output in cell.get("outputs", [])]
    text = "\n".join("".join(output["data"].get(kind, "")) for output in shown for kind in ("text/markdown", "text/html")
                     if "data" in output)
    for part in ("**This page:** measured on", "**Targets.**", "at least 1.3", "wfdb + resample_poly", "interleaved rounds"):
        assert part in text, part
    assert sum("image/png" in output.get("data", {}) for output in shown) == 4
