"""The ledger that the book shows: every entry agrees with its own predictions, was made by committed code, and none is a smoke run."""

import json

import pytest

from ecgstudy import files
from ecgstudy.study import ledger, plans, probed
from ecgstudy.study.notebooks import read_notebook
from ecgstudy.study.pages import Book, code_of

RESULTS = files.repository() / "book" / "results"


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
        groups.setdefault((run.experiment.dataset, run.experiment.task, run.experiment.profile), []).append(run)
    for group in groups.values():
        assert len({run.result["data"]["digest"] for run in group}) == 1
        assert len({run.predictions.test_records.tobytes() + run.predictions.test_targets.tobytes() for run in group}) == 1


def test_page_04_stands_on_the_ledger(runs):
    executed = read_notebook(files.repository() / "book" / "executed" / "04_attention_ablation.ipynb")
    page = next(page for page in Book(files.repository()).pages("04"))
    assert code_of(executed) == code_of(read_notebook(page.notebook)), "run the page again and keep it: its code cells have changed"
    told = executed["metadata"]["ecgstudy"]["parameters"]
    seeds = [int(seed) for seed in str(told["seeds"]).split(",")]
    wanted = plans.PLANS["attention_ablation"](told["dataset"], told["task"], told["profile"], seeds=seeds)
    assert all(ledger.find(runs, experiment) for experiment in wanted)
    shown = json.dumps(executed)
    for run in runs:
        if run.experiment in wanted:
            assert run.key[:12] in shown
