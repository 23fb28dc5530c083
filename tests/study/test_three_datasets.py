"""Page 14: single-label measures against scikit-learn, gaps named, and whose network may be asked about whose records."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_score, recall_score

from ecgstudy.data.labels import TASKS, as_published_by, label_set
from ecgstudy.errors import ConfigurationError
from ecgstudy.evaluate.bootstrap import patient_weights, replicate_decisions
from ecgstudy.study import three_datasets
from ecgstudy.study.axis_page import AxisPage, Comparison
from ecgstudy.study.comparison import compare
from ecgstudy.study.names import readable
from ecgstudy.study.plans import TRANSFERS, transfer
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request
from ecgstudy.study.sweep import Outcome
from ecgstudy.study.variants import axis


def test_single_label_measures_are_scikit_learns():
    rng = np.random.default_rng(0)
    truth, called = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    weights = np.vstack([np.ones(300), patient_weights(np.arange(300), 1, rng)])
    found = replicate_decisions(np.eye(4)[called] > 0, np.eye(4, dtype=int)[truth], weights)
    for i, each in enumerate(weights):
        assert found["accuracy"][i] == pytest.approx(accuracy_score(truth, called, sample_weight=each))
        assert found["macro_recall"][i] == pytest.approx(recall_score(truth, called, average="macro", sample_weight=each))
        assert found["macro_precision"][i] == pytest.approx(precision_score(truth, called, average="macro", sample_weight=each))


def test_a_draw_that_lost_a_class_is_no_number_and_one_never_called_has_precision_zero():
    targets = np.eye(3, dtype=int)[[0, 0, 1, 2]]
    decided = np.eye(3)[[0, 0, 1, 1]] > 0
    found = replicate_decisions(decided, targets, np.array([[1, 1, 1, 1], [2, 2, 1, 0]]))
    assert found["macro_precision"][0] == pytest.approx((1 + 0.5 + 0) / 3)
    assert np.isnan(found["macro_recall"][1]) and np.isnan(found["macro_precision"][1]) and found["accuracy"][1] == 1


@pytest.mark.parametrize(("dataset", "task", "target"), [(d, t, name) for (d, t), names in TRANSFERS.items() for name in names])
def test_every_transfer_has_statements_for_all_its_classes(dataset, task, target):
    asked = as_published_by(label_set(dataset, task), target)
    published = {s for labels in TASKS[target].values() for name in labels.classes for s in labels.members.get(name, (name,))}
    assert all(set(asked.members[name]) <= published for name in asked.classes)
    e = transfer(dataset, task, "smoke", [target])[0]
    assert (e.dataset, e.tested_on) == (dataset, target)


def test_ptbxl_records_fall_into_chapmans_groups():
    asked = as_published_by(label_set("chapman"), "ptbxl")
    targets = asked.encode([["AFLT"], ["SARRH"], ["SVTAC"], ["SBRAD", "1AVB"], ["SVARR"], ["SR", "AFIB"]])
    assert [asked.classes[int(row.argmax())] for row in targets[:4]] == ["AFIB", "SR", "GSVT", "SB"]
    assert targets[4].sum() == 0 and targets[5].sum() == 2


def test_a_data_set_that_shares_no_class_is_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'chapman'"):
        transfer("synthetic_rhythm", "", "smoke", ["chapma"])
    with pytest.raises(ConfigurationError, match="is tested on its own data set alone"):
        as_published_by(label_set("ptbxl", "rhythm"), "chapman")


def test_what_is_missing_is_named_with_the_notes_numbers_alone():
    request = Request("14_three_datasets", "chapman", "rhythm", profile("quick"), (0,),
                      {"networks": ("crossed_shunted", "resnet18")}, missing="name")
    found = three_datasets.gather(AxisPage(axis("three_datasets"), request))
    said, table = three_datasets.result_tables(found, [("chapman", "rhythm")])
    assert "No run of it is in the ledger" in said.data and "--dataset chapman --task rhythm --profile quick" in said.data
    assert "0.9660" in table.to_html() and "0.9966" in table.to_html() and "#8a8a8a" in table.to_html()
    assert "chapman (`rhythm`)" in three_datasets.reading(found, [])
    assert three_datasets.transfer_table(found, []).to_html().count("not run") == sum(map(len, TRANSFERS.values()))


def test_a_partly_run_table_names_its_gaps(made_run):
    run = made_run("shunted", 0, 2.0)
    request = Request("14_three_datasets", "synthetic", "nine", profile("smoke"), (0,), {"networks": ("crossed_shunted", "resnet18")})
    page = AxisPage(axis("three_datasets"), request)
    asked = dataclasses.replace(next(iter(page.plan)))
    page.__dict__["plan"] = {run.experiment: "crossed_shunted"} | {e: name for e, name in page.plan.items() if e != asked}
    gone = [e for e, name in page.plan.items() if name == "resnet18"]
    found = Comparison(page, Outcome([run], missing=gone), compare([run], page.plan, "crossed_shunted", 100))
    said, table = three_datasets.result_tables({("synthetic", "nine"): found}, [("synthetic", "nine")])
    assert "Missing: `resnet18`" in said.data and readable("crossed_shunted") in table.to_html()


def test_the_picture_has_a_panel_for_each_data_set_with_runs_and_a_row_for_each_network():
    from ecgstudy.evaluate.bootstrap import Interval
    from ecgstudy.study.comparison import Measured, Row

    def rows(*names):
        found = {"macro_auroc": Measured(Interval(0.8, 0.7, 0.9, 10), 0.1, {0: 0.75, 1: 0.85})}
        return Comparison(None, Outcome(), [Row(name, (), found, {"macro_auroc": None}) for name in names])

    figure = three_datasets.picture({("ptbxl", "nine"): rows("crossed_shunted", "resnet18"), ("cpsc", "nine"): rows(),
                                     ("chapman", "rhythm"): rows("resnet18")})
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["ptbxl, nine", "chapman, rhythm"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["ResNet18", "InceptionNeXt + Shunted"]
    assert [len(axis.lines) for axis in figure.axes] == [6, 3]
    assert [[text.get_text() for text in axis.texts] for axis in figure.axes] == [[], ["not run"]]
