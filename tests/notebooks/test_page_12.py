"""Page 12 runs under plain papermill in the smoke profile, and refuses a misspelt method before it works."""

import json
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/12_self_supervised.ipynb"


def page(tmp_path, *words):
    return subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb"), "-p", "profile",
                           "smoke", *words], cwd=files.repository(), capture_output=True, text=True, timeout=600)


def test_the_smoke_profile_pretrains_probes_and_tunes(tmp_path):
    ran = page(tmp_path, "-p", "methods", "cmsc", "-p", "percents", "10,100")
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = [output for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"] for output in cell.get("outputs", [])]
    text = "\n".join("".join(output["data"].get(kind, "")) for output in shown for kind in ("text/markdown", "text/html")
                     if "data" in output)
    for part in ("CMSC, pretrained on the training folds", "6 labelled runs", "head alone trained", "**With 10 % of the labels.**", "**In noise.**",
                 "no verdict is given", "0.934", "Provenance of the 6 runs"):
        assert part in text, part
    assert sum("image/png" in output.get("data", {}) for output in shown) == 2
    assert (tmp_path / "runs" / "12_self_supervised-synthetic-smoke.png").stat().st_size > 10_000


def test_a_misspelt_method_is_refused_with_the_nearest(tmp_path):
    ran = page(tmp_path, "-p", "methods", "cmcs")
    assert ran.returncode != 0 and "did you mean 'cmsc'" in ran.stderr
