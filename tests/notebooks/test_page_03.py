"""Page 03 runs under plain papermill, shows every printed count, and finds each of them met."""

import json
import subprocess
import sys

from ecgstudy import files
from ecgstudy.study.counts_page import COUNTED
from ecgstudy.study.tables import reported

NOTEBOOK = "notebooks/03_inceptionformer.ipynb"


def shown(cell, kind):
    return ["".join(output["data"][kind]) for output in cell["outputs"] if kind in output.get("data", {})]


def test_the_smoke_profile_shows_every_count_and_every_part(tmp_path):
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(tmp_path / "out.ipynb"), "-p", "profile",
                          "smoke"], cwd=files.repository(), capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-3000:]
    cells = [cell for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"] if cell["cell_type"] == "code"]

    drawn = [cell for cell in cells if shown(cell, "image/png")]
    assert len(drawn) == 3
    assert all(cell["metadata"]["mystnb"]["figure"]["caption"] and cell["metadata"]["mystnb"]["image"]["alt"] for cell in drawn)
    assert (tmp_path / "runs" / "03_inceptionformer-synthetic-smoke.png").stat().st_size > 10_000

    told = reported("counts")
    table = next(text for cell in cells for text in shown(cell, "text/html") if "notes' rule</th>" in text and "Tiny" in text)
    for name, row in told.items():
        line = next(line for line in table.split("<tr>") if f">{COUNTED[name].words}<" in line)
        assert line.count(f">{row['params']}<") == line.count(f">{row['macs']}<") == 2 and ">yes<" in line
    assert table.count(">yes<") == len(told) and ">no<" not in table

    words = "\n".join(text for cell in cells for kind in ("text/markdown", "text/html") for text in shown(cell, kind))
    for part in (f"All {2 * len(told)} printed figures of the {len(told)} rows are met", "4C² + 18C", "LGLGLGLG", "sets of 4",
                 "InceptionFormer", "ResNet18", "ResNet34", "MobileNetV2", "What can be concluded", "What cannot", "equal counts show",
                 "What would settle it", "Provenance of the 4 runs"):
        assert part in words, part
