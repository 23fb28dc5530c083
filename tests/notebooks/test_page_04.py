"""Page 04 runs under plain papermill, and stops before any work on a name or value that it does not know."""

import json
import os
import subprocess
import sys
import time

import pytest

from ecgstudy import files

NOTEBOOK = "notebooks/04_attention_ablation.ipynb"


def papermill(out, *words, **environment):
    began = time.monotonic()
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(out), *words], cwd=files.repository(),
                         capture_output=True, text=True, timeout=300, env={**os.environ, **environment})
    return ran, time.monotonic() - began


def test_the_smoke_profile_runs_every_mechanism(tmp_path):
    ran, _ = papermill(tmp_path / "out.ipynb", "-p", "profile", "smoke")
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text()
    for name in ("mhsa", "spatial_reduction", "bi_level_routing", "window", "shifted_window", "shunted", "hilo"):
        assert name in shown
    assert (tmp_path / "runs" / "04_attention_ablation-synthetic-smoke.png").stat().st_size > 10_000
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 3


@pytest.mark.parametrize(("words", "message"), [
    (("-p", "datset", "cpsc"), "did you mean 'dataset'"),
    (("-p", "dataset", "cspc"), "did you mean 'cpsc'"),
    (("-p", "attentions", "mhsa,windw"), "did you mean 'window'"),
    (("-p", "profile", "smok"), "did you mean 'smoke'"),
    (("-p", "seeds", "a"), "give whole numbers"),
    (("-p", "dataset", "ptbxl", "-p", "task", "rythm"), "did you mean 'rhythm'"),
])
def test_misspelt_names_and_values_fail_before_any_work(tmp_path, words, message):
    ran, _ = papermill(tmp_path / "out.ipynb", *words)
    assert ran.returncode != 0 and message in ran.stderr
    assert not (tmp_path / "runs").exists()


def test_cpsc_without_data_or_network_says_what_to_do_within_seconds(tmp_path):
    """The proxy of the environment is one that refuses at once, as a machine without a network does."""
    nowhere = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
    ran, seconds = papermill(tmp_path / "out.ipynb", "-p", "dataset", "cpsc", ECGSTUDY_DATA=str(tmp_path / "none"), **nowhere)
    assert ran.returncode != 0 and seconds < 60
    for part in (str(tmp_path / "none"), "python -m ecgstudy data fetch cpsc", "-p dataset synthetic"):
        assert part in ran.stderr
