"""Page 14 runs under plain papermill on the simulated rhythms: the single-label half trained, every other data set named as missing."""

import json
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/14_three_datasets.ipynb"


def test_the_smoke_profile_runs_the_single_label_task(tmp_path):
    words = ["-p", "profile", "smoke", "-p", "dataset", "synthetic_rhythm", "-p", "networks", "crossed_shunted,resnet18"]
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb"), *words],
                         cwd=files.repository(), capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = [output for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"] for output in cell.get("outputs", [])]
    text = "\n".join("".join(output["data"].get(kind, "")) for output in shown for kind in ("text/markdown", "text/html")
                     if "data" in output)
    for part in ("data set `synthetic_rhythm`", "recall", "precision", "**cpsc, `nine`**", "0.8547", "No run of it is in the ledger",
                 "synthetic_rhythm (rhythm, 4 classes)", "own fold", "Not reproduced yet"):
        assert part in text, part
