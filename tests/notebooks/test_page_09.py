"""Page 09 runs under plain papermill, and stops before any work on a stream that it does not know."""

import json
import subprocess
import sys

from ecgstudy import files

NOTEBOOK = "notebooks/09_time_frequency.ipynb"


def papermill(out, *words):
    return subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOK, str(out), *words], cwd=files.repository(),
                          capture_output=True, text=True, timeout=300)


def test_the_smoke_profile_runs_every_stream(tmp_path):
    ran = papermill(tmp_path / "out.ipynb", "-p", "profile", "smoke")
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert "| frequency | 0 |" in shown and "| two_stream | 0 |" in shown and "0.8319" in shown
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == 3
    assert (tmp_path / "runs" / "09_time_frequency-synthetic-smoke.png").stat().st_size > 10_000


def test_a_misspelt_stream_fails_before_any_work(tmp_path):
    ran = papermill(tmp_path / "out.ipynb", "-p", "streams", "time,frequancy")
    assert ran.returncode != 0 and "did you mean 'frequency'" in ran.stderr
    assert not (tmp_path / "runs").exists()
