"""Page 01 runs under plain papermill, without a download, and refuses what it does not know."""

import base64
import json
import subprocess
import sys

import pytest

from ecgstudy import files
from ecgstudy.errors import ConfigurationError
from ecgstudy.study.notebooks import declared_parameters
from ecgstudy.study.request import read_request

NOTEBOOK = "notebooks/01_data.ipynb"


def papermill(out, *words):
    return subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(out), *words], cwd=files.repository(),
                          capture_output=True, text=True, timeout=300)


def outputs(path):
    return [output for cell in json.loads(path.read_text())["cells"] for output in cell.get("outputs", [])]


def test_the_smoke_profile_shows_every_part(tmp_path):
    ran = papermill(tmp_path / "out.ipynb", "-p", "profile", "smoke")
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = outputs(tmp_path / "out.ipynb")
    pictures = [base64.b64decode(output["data"]["image/png"]) for output in shown if "image/png" in output.get("data", {})]
    assert len(pictures) == 10 and max(map(len, pictures)) < 250_000          # people, eight of nine classes, the truth
    text = "\n".join("".join(output["data"].get(kind, "")) for output in shown for kind in ("text/markdown", "text/html")
                     if "data" in output)
    for part in ("200 records", "folds 1–8", "No patient has records in two folds", "nothing to check", "**AF** — record S000008",
                 "no record of fold 9 carries this class alone", "measures inside the range", "What can be trusted", "PVC (record 6)"):
        assert part in text


def test_an_unknown_parameter_stops_papermill_before_any_work(tmp_path):
    ran = papermill(tmp_path / "out.ipynb", "-p", "datset", "ptbxl")
    assert ran.returncode != 0 and "did you mean 'dataset'" in ran.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(("given", "message"), [
    ({"dataset": "ptbx"}, "did you mean 'ptbxl'"), ({"profile": "smok"}, "did you mean 'smoke'"),
    ({"dataset": "ptbxl", "task": "rythm"}, "did you mean 'rhythm'"), ({"seeds": "0"}, "unknown parameter 'seeds'")])
def test_misspelt_names_and_values_are_refused(given, message):
    """The page trains nothing, so it has no seeds either."""
    defaults = declared_parameters(files.repository() / NOTEBOOK)
    assert read_request(defaults, "01_data", {}).task == "nine"
    with pytest.raises(ConfigurationError, match=message):
        read_request(defaults | given, "01_data", {})
