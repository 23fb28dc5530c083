"""Page 16 runs under plain papermill, and where nothing was run it says so."""

import json
import subprocess
import sys

from ecgstudy import files


def papermill(notebook, out, *words):
    return subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", f"notebooks/{notebook}.ipynb", str(out),
                           *(part for word in words for part in ("-p", *word))],
                          cwd=files.repository(), capture_output=True, text=True, timeout=300)


def shown(path):
    outputs = [output for cell in json.loads(path.read_text())["cells"] for output in cell.get("outputs", []) if "data" in output]
    return "\n".join("".join(output["data"].get(kind, "")) for output in outputs for kind in ("text/markdown", "text/html"))


def test_page_16_runs_where_the_ledger_is_empty(tmp_path):
    ran = papermill("16_reproduced", tmp_path / "out.ipynb", ("profile", "smoke"), ("sources", "mina,lightweight_transformer"))
    assert ran.returncode == 0, ran.stderr[-3000:]
    text = shown(tmp_path / "out.ipynb")
    for part in ("4 claims of 2 sources", "… not yet run", "– not comparable", "sweep mina", "0 are met as they were made", "No claim of this kind"):
        assert part in text, part
