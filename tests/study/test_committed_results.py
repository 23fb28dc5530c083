"""The ledger that the book shows: every entry agrees with its own predictions, was made by committed code, and none is a smoke run."""

import json
import re

import pytest

from ecgstudy import files
from ecgstudy.study import ledger, plans, probed
from ecgstudy.study.notebooks import read_notebook
from ecgstudy.study.pages import Book, code_of

RESULTS = files.repository() / "book" / "results"
EXECUTED = files.repository() / "book" / "executed"


@pytest.fixture(scope="module")
def runs():
    return ledger.read_all(RESULTS)         # recomputes every score from the stored logits


def test_every_entry_holds_what_it_states(runs):
    assert runs, "book/results/ is empty"
    for run in runs:
        assert run.experiment.profile != "smoke" and run.result["environment"]["edited"] is False
        assert run.result["training"]["n_parameters"] > 0 and run.result["environment"]["commit"] != "unknown"


def test_every_result_has_its_predictions_and_no_file_is_left_over():
    names = {path.stem for path in RESULTS.glob("*.json")}
    assert {path.stem for path in RESULTS.glob("*.npz")} == names == {path.stem for path in RESULTS.iterdir() if path.is_file()}
    assert {path.name for path in RESULTS.iterdir() if path.is_dir()} <= {"probes"}


def test_every_probe_belongs_to_a_committed_run_and_no_file_is_left_over(runs):
    by_key, folder = {run.key: run for run in runs}, RESULTS / "probes"
    for path in folder.glob("*.json"):
        entry = probed.read(path)
        probed.require_of(by_key[entry.key], entry)
        assert entry.result["environment"]["edited"] is False
    assert {path.name for path in folder.glob("*")} == {f"{path.stem}{end}" for path in folder.glob("*.json") for end in (".json", ".npz")}


def test_the_runs_of_a_table_are_comparable(runs):
    """One data set, task and profile: one preparation of the data, one set of test records, test labels included."""
    groups = {}
    for run in runs:
        e = run.experiment
        groups.setdefault((e.dataset, e.task, e.profile, e.tested_on), []).append(run)
    for group in groups.values():
        assert len({run.result["data"]["digest"] for run in group}) == 1
        assert len({run.predictions.test_records.tobytes() + run.predictions.test_targets.tobytes() for run in group}) == 1


@pytest.mark.parametrize("path", sorted(EXECUTED.rglob("*.ipynb")), ids=lambda path: path.stem)
def test_a_kept_page_is_todays_and_stands_on_the_ledger(path, runs):
    """Its code cells are those of its notebook; every run that it names is in the ledger, and every run of its plan there is named."""
    executed, name = read_notebook(path), str(path.relative_to(EXECUTED).with_suffix(""))
    page = next(page for page in Book(files.repository()).pages() if page.name == name)
    assert code_of(executed) == code_of(read_notebook(page.notebook)), "run the page again and keep it: its code cells have changed"
    shown, known = json.dumps(executed), {run.key[:12] for run in runs}
    named = set(re.findall(r"\| ([0-9a-f]{12}) \|", shown))
    assert named <= known
    told, plan = executed["metadata"]["ecgstudy"]["parameters"], plans.PLANS.get(re.sub(r"^(.*/)?(\d+_)?", "", name))
    if plan is None:
        return
    wanted = plan(told["dataset"], told["task"], told["profile"], seeds=[int(seed) for seed in str(told["seeds"]).split(",")])
    made = {run.key[:12] for run in runs if run.experiment in wanted}
    assert made and made <= named
