"""CLOCS' page: returning patients, pairs in a batch, the views of the picture, likeness and its kinds, and what is drawn and said."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ecgstudy.data.labels import label_set
from ecgstudy.data.splits import split
from ecgstudy.errors import AbsentError
from ecgstudy.leads import LEADS
from ecgstudy.models import SignalSpec
from ecgstudy.models.registry import build_pretrainer
from ecgstudy.study import axis_page, tables
from ecgstudy.study.papers import clocs as page
from ecgstudy.study.papers import clocs_views as views
from ecgstudy.study.papers import validation
from ecgstudy.study.papers.validation import ValidationRecords, evenly, validation_records
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request

SIGNAL = SignalSpec(12, 1000, 100)
PATIENTS = np.array(["b", "a", "b", "c", "d", "c", "c"])


@pytest.fixture
def seen():
    torch.manual_seed(0)
    networks = {name: build_pretrainer("clocs", SIGNAL).eval() for name in (page.FRESH, "CMSC")}
    x = torch.randn(7, 12, 1000, generator=torch.Generator().manual_seed(1))
    records = ValidationRecords(x.numpy(), x, np.ones((7, 1), int), list("0123456"), ("Normal",), 100, PATIENTS)
    return page.Subject(networks, records, "pretrained somewhere")


@pytest.fixture
def found():
    """A page of three networks, none of them trained."""
    names = ("clocs", "cmlc_tuned_100", "cmsc_probe_100", "cmsc_tuned_100")
    request = Request("papers/clocs", "synthetic", "nine", profile("smoke"), (0,), {"networks": names}, "name")
    return SimpleNamespace(page=axis_page.AxisPage(axis_page.axis("clocs"), request), rows=[])


# -- patients -----------------------------------------------------------------------------------------------------------

def test_returning_patients_come_first_and_side_by_side():
    assert PATIENTS[page.returning_first(PATIENTS, 100)].tolist() == ["b", "b", "c", "c", "c", "a", "d"]
    assert PATIENTS[page.returning_first(PATIENTS, 4)].tolist() == ["b", "b", "a", "d"]
    alone = np.arange(50).astype(str)
    np.testing.assert_array_equal(page.returning_first(alone, 7), evenly(alone, 7))
    assert page.returning_first(np.array(["a", "a"]), 8).tolist() == [0, 1]


@pytest.mark.parametrize("size", [2, 3, 5, 7, 30])
def test_pairs_in_a_batch_are_those_of_many_shuffles(size):
    generator, counted = np.random.default_rng(0), []
    for _ in range(20_000):
        drawn = PATIENTS[generator.permutation(len(PATIENTS))[:size]]
        counted.append(sum(drawn[i] == drawn[j] for i in range(len(drawn)) for j in range(i)))
    assert page.pairs_in_a_batch(PATIENTS, size) == pytest.approx(np.mean(counted), abs=0.03)


def test_nobody_returns_where_each_record_is_a_patient():
    assert page.pairs_in_a_batch(np.arange(100), 128) == 0 and len(page.of_returning(np.arange(100))) == 0
    assert page.pairs_in_a_batch(np.array([1]), 32) == 0


def test_the_records_of_the_matrices():
    assert PATIENTS[page.of_returning(PATIENTS)].tolist() == ["b", "b", "c", "c", "c"]
    assert PATIENTS[page.of_returning(PATIENTS, 4)].tolist() == ["b", "b"]                  # no patient is cut in two
    assert page.one_a_patient(PATIENTS).tolist() == [0, 1, 3, 4] and page.one_a_patient(PATIENTS, 2).tolist() == [3, 4]


def test_the_table_counts_the_training_fold(found, tiny, monkeypatch):
    monkeypatch.setattr(page, "at_hand", lambda *_: tiny)
    lines = page.patients_table(found).data.set_index("records")
    rows = split(tiny, label_set("synthetic", "nine")).training
    patients = tiny.table["patient_id"].to_numpy()[rows]
    assert lines.loc["all training records", "number"] == f"{len(rows):,}"
    assert lines.loc["all training records", "with several"] == str(sum((patients == each).sum() > 1 for each in set(patients)))
    assert lines.loc["those with labels on this page", "number"] == "64"
    assert float(lines.loc["all training records", "pairs in 128"]) > float(lines.loc["all training records", "pairs in 32"]) > 0

    def absent(*_):
        raise AbsentError("not here")
    monkeypatch.setattr(page, "at_hand", absent)
    assert "not on this machine" in page.patients_table(found)


def test_validation_records_know_their_patients_and_may_be_picked(found, tiny, monkeypatch):
    monkeypatch.setattr(validation, "at_hand", lambda *_: tiny)
    rows = split(tiny, label_set("synthetic", "nine")).validation
    whose = dict(zip(tiny.table["record_id"], tiny.table["patient_id"], strict=True))
    for pick in (evenly, page.returning_first):
        records = validation_records(found, None, most=10, pick=pick)
        assert [whose[name] for name in records.names] == list(records.patients) and len(records) <= 10
        place = {name: i for i, name in enumerate(tiny.table["record_id"])}
        np.testing.assert_allclose(records.millivolts[3], tiny.signals[place[records.names[3]]] / 1000)
    assert set(validation_records(found, None, most=10 ** 6).names) == set(tiny.table["record_id"].to_numpy()[rows])


# -- the views ----------------------------------------------------------------------------------------------------------

def test_the_picture_has_the_views_of_the_objective():
    (lead, start, end), (other, from_half, to) = views.stretches("cmsc", 1000)
    assert lead == other and (start, end, from_half, to) == (0, 500, 500, 1000)
    cmlc = views.stretches("cmlc", 1000)
    assert [view[0] for view in cmlc] == list(range(12)) and len({view[1:] for view in cmlc}) == 1 and cmlc[0][2] - cmlc[0][1] == 500
    cmsmlc = views.stretches("cmsmlc", 1000)
    assert cmsmlc[-2:] == [(11, 0, 500), (11, 500, 1000)] and len(cmsmlc) == 24
    assert views.kind_of(cmsmlc[22], cmsmlc[23]) == "one lead, two times" and views.kind_of(cmlc[0], cmlc[1]) == "two leads, one time"
    assert views.kind_of(cmsmlc[0], cmsmlc[3]) == "both differ"


def test_the_grids_have_all_pairs_and_mark_the_last(seen, found, monkeypatch):
    kept = []
    monkeypatch.setattr(axis_page, "save_picture", lambda figure, request: kept.append(request))
    drawn = page.views_figure(seen, found)
    grids = [axis for axis in drawn.axes if axis.images]
    cells = [np.ma.filled(axis.images[0].get_array().astype(float), np.nan) for axis in grids]
    assert [int(np.isfinite(each).sum()) for each in cells] == [1, 66, 276] and kept == [found.page.request]
    assert [int((cells[2] == kind).sum()) for kind in range(3)] == [12, 132, 132]
    for axis, each in zip(grids, cells, strict=True):
        (mark,) = axis.patches
        column, row = round(mark.get_x() + 0.5), round(mark.get_y() + 0.5)
        assert (row, column) == (len(each) - 2, len(each) - 1)
    assert [axis.get_title() for axis in grids] == ["1 pair", "66 pairs; as published 1 of 66", "276 pairs; as published 1 of 276"]


# -- likeness -----------------------------------------------------------------------------------------------------------

@torch.no_grad()
def test_cosines_are_of_the_views_that_are_named(seen):
    network, x = seen.networks["CMSC"], seen.records.scaled
    found = page.cosines(network, x, ((page.LEAD, 0.0), (page.OTHER_LEAD, 0.04)))
    for i, j in ((0, 0), (2, 5), (6, 1)):
        a = network.embed(x[i:i + 1, LEADS.index("II"), None, :500])[0].double().numpy()
        b = network.embed(x[j:j + 1, LEADS.index("V5"), None, 40:540])[0].double().numpy()
        assert found[i, j] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-5)
    assert page.shifted(0.4) == (("II", 0.0), ("V5", 0.04)) and page.shifted(0) == page.ACROSS["leads"]


def test_groups_part_the_cells():
    marks = page.groups(PATIENTS)
    assert sum(cells.astype(int) for cells in marks.values()).tolist() == np.ones((7, 7), int).tolist()
    assert marks["same record"].sum() == 7 and marks["same patient"].sum() == 2 + 6
    assert marks["same patient"][0, 2] and not marks["others"][3, 6]


def test_told_apart_is_the_area_under_the_curve():
    values = np.random.default_rng(0).integers(0, 5, (7, 7)).astype(float)                  # with ties
    marks = page.groups(PATIENTS)
    labels = np.r_[np.ones(8), np.zeros(marks["others"].sum())]
    expected = roc_auc_score(labels, np.r_[values[marks["same patient"]], values[marks["others"]]])
    assert page.told_apart(values, marks["same patient"], marks["others"]) == pytest.approx(expected)
    assert np.isnan(page.told_apart(values, np.zeros((7, 7), bool), marks["others"]))


def test_the_matrices_box_the_returning_and_leave_them_out_where_there_are_none(seen):
    drawn = page.matrix_figure(seen)
    panels = [axis for axis in drawn.axes if axis.images and axis.get_label() != "<colorbar>"]
    assert len(panels) == 6 and [len(axis.patches) for axis in panels] == [0, 0, 2, 0, 0, 2]
    shown = page.cosines(seen.networks["CMSC"], seen.records.scaled[page.of_returning(PATIENTS)], page.ACROSS["time"])
    np.testing.assert_allclose(panels[5].images[0].get_array(), shown)
    alone = ValidationRecords(seen.records.millivolts, seen.records.scaled, seen.records.targets, seen.records.names, ("Normal",), 100,
                              np.arange(7).astype(str))
    drawn = page.matrix_figure(page.Subject(seen.networks, alone, "fresh"))
    assert len([axis for axis in drawn.axes if axis.images and axis.get_label() != "<colorbar>"]) == 4


def test_the_spreads_and_the_words_tell_the_same(seen, found):
    drawn = page.spread_figure(seen)
    marks = page.groups(PATIENTS)
    values = page.cosines(seen.networks["CMSC"], seen.records.scaled, page.ACROSS["time"])
    told = f"{page.told_apart(values, marks['same record'], marks['others']):.2f}"
    assert told in {text.get_text() for text in drawn.axes[0].texts}
    lower = drawn.axes[2].lines[1]
    assert lower.get_ydata()[8] == page.recognised(seen, seen.networks["CMSC"], page.shifted(0.4)) and lower.get_xdata()[8] == 0.4
    words = page.in_words(seen, found)
    assert f"CMSC: a record's halves {told}" in words and "2 of the 4 patients" in words and "two recordings of one patient" in words
    assert "pretrained somewhere" in words and "**Pretraining.**" not in words


def test_pretraining_is_told_from_the_history(seen, found, monkeypatch):
    history = ({"validation_loss": 3.0, "validation_accuracy": 0.1}, {"validation_loss": 2.0, "validation_accuracy": 0.4})
    monkeypatch.setattr(page.pretraining, "history_of", lambda _, name: history if name == "cmsc_probe_100" else ())
    found.rows.append(SimpleNamespace(runs=[SimpleNamespace(result={"data": {"n_validation": 20}})]))
    assert page.schemes_of(found) == {"cmsc": "cmsc_probe_100", "cmlc": "cmlc_tuned_100"}
    assert "40 % for CMSC (by luck 5 %; loss 2.00, of equal similarities 3.00)" in page.in_words(seen, found)
    assert "CMLC" not in page.in_words(seen, found) and page.limits(found)[0] == "pretraining took 2 epochs, officially up to 400"


def test_without_weights_the_pictures_are_of_fresh_ones(found, monkeypatch):
    def absent(*_):
        raise AbsentError("not here")

    monkeypatch.setattr(validation, "at_hand", absent)
    without = page.subject(found)               # of no run
    assert list(without.networks) == [page.FRESH] and without.weights == page.FRESH and not without.networks[page.FRESH].training
    assert len(set(without.patients)) == len(without.records)


def test_what_others_report_is_grey_and_complete():
    lines = page.reported_table().data
    assert len(lines) == len(tables.reported("papers")["clocs"]["rows"]) and (lines[(tables.NOTES, "told by")].str.len() > 0).all()
