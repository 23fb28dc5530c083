"""Page 13 runs under plain papermill on the simulated rhythms, whose classes exclude each other; what was not asked for is named."""

import json
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/13_distillation.ipynb"


def test_the_smoke_profile_teaches_on_a_single_label_task(tmp_path):
    words = ["-p", "profile", "smoke", "-p", "dataset", "synthetic_rhythm",
             "-p", "networks", "teacher,lead_I_bce,lead_I_both,view_V1_V2_bce,view_V1_V2_published"]
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb"), *words],
                         cwd=files.repository(), capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr[-3000:]
    cells = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    shown = [output for cell in cells for output in cell.get("outputs", []) if "data" in output]
    text = "\n".join("".join(output["data"].get(kind, "")) for output in shown for kind in ("text/markdown", "text/html"))
    for part in ("data set `synthetic_rhythm`", "Students of lead I", "Not run: `lead_II_bce`", "the teacher, twelve leads", "soft-max form",
                 "`view_aVR_bce`", "**Views.**", "**What cannot.**"):
        assert part in text, part
    assert sum("image/png" in output["data"] for output in shown) == 3
