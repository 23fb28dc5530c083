"""Page 18 runs under plain papermill, its parameters reach the tables, and a price that is none is refused."""

import json
import subprocess
import sys

import pytest

from ecgstudy import files
from ecgstudy.study.streaming import stored

NOTEBOOK = "notebooks/18_scale.ipynb"


def papermill(out, *words):
    return subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(out), *words], cwd=files.repository(),
                          capture_output=True, text=True, timeout=300)


def shown(cell, kind):
    return ["".join(output["data"][kind]) for output in cell["outputs"] if kind in output.get("data", {})]


@pytest.mark.skipif(not stored().is_file(), reason="the measurements were removed")
def test_parameters_reach_tables_figures_and_words(tmp_path):
    ran = papermill(tmp_path / "out.ipynb", "-p", "n_records", "2000000", "-p", "holter_hours", "48.0")
    assert ran.returncode == 0, ran.stderr[-3000:]
    cells = [cell for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"] if cell["cell_type"] == "code"]
    drawn = [cell for cell in cells if shown(cell, "image/png")]
    assert len(drawn) == 2 and all(cell["metadata"]["mystnb"]["image"]["alt"] for cell in drawn)
    words = "\n".join(text for cell in cells for kind in ("text/markdown", "text/html") for text in shown(cell, kind))
    for part in ("2,000,000", "48 hours", "218,000", "assumed", "measured", "counted", "peak memory", "attention over all of it", "1,000 runs"):
        assert part in words, part
