"""Page 01: its counts, its choice of records, the truth that it draws, and its answers, on data whose answer is known."""

import dataclasses
import types

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ecgstudy.data.dataset import COLUMNS, Prepared
from ecgstudy.data.labels import CPSC_CLASSES, label_set
from ecgstudy.data.manifest import source
from ecgstudy.data.synthetic import Settings, realism, simulate
from ecgstudy.data.synthetic.prepared import prepare_synthetic
from ecgstudy.errors import DataError
from ecgstudy.leads import LEADS
from ecgstudy.study import class_pages, data_page, tables
from ecgstudy.study.cards import card
from ecgstudy.study.data_page import Data
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request


def data_of(prepared, task=""):
    labels = label_set(prepared.dataset, task)
    page = Request("01_data", prepared.dataset, labels.name, profile("smoke"), (), {})
    return Data(page, prepared, labels, labels.encode(prepared.statements()), prepared.table["fold"].to_numpy())


def made_up(dataset, statements, fold, tmp_path, **columns):
    """Records of zeros with these statements and folds."""
    n = len(statements)
    table = pd.DataFrame({"record_id": [str(i) for i in range(n)], "patient_id": [str(i) for i in range(n)], "fold": fold, "age": 60.0,
                          "sex": "female", "n_samples": 1000, "statements": statements} | columns)[list(COLUMNS)]
    return Prepared(dataset, 100, np.zeros((n, 12, 1000), np.int16), table, "d" * 64, {}, tmp_path)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return data_of(prepare_synthetic(tmp_path_factory.mktemp("data") / "synthetic", 400, 0, Settings()))


@pytest.fixture
def as_noted(tmp_path):
    """PTB-XL with exactly the notes' rhythm counts, one class a record, and enough records of two classes to meet their totals."""
    notes = tables.reported("dataset_counts")["ptbxl"]
    statements, fold = [], []
    for part, total, where in (("train", notes["n_train"], 1), ("test", notes["n_test"], 10)):
        ones = [name for name, n in zip(notes["classes"], notes[part], strict=True) for _ in range(n)]
        twice = len(ones) - total           # so many records carry two classes: the first of the list and the last
        ones = [f"{one};{other}" for one, other in zip(ones[:twice], ones[-twice:], strict=True)] + ones[twice:-twice]
        statements += ones
        fold += [where] * len(ones)
    return data_of(made_up("ptbxl", statements, fold, tmp_path), "rhythm")


@pytest.fixture(autouse=True)
def close_all():
    yield
    plt.close("all")


# -- counts

def test_counts_equal_to_the_notes_are_called_equal(as_noted):
    assert data_page.verdict(as_noted).startswith("**All 12 classes and the number of usable records equal the notes'")
    table = data_page.count_table(as_noted).data
    rhythm = table[table[("", "task")] == "rhythm"]
    assert (rhythm[("", "equal")] == "yes").all() and len(rhythm) == 13
    assert (table[table[("", "task")] == "nine"][("", "equal")] == "–").all()


def test_one_record_less_is_seen(as_noted):
    table = as_noted.table.copy()
    row = int(np.flatnonzero((table["statements"] == "SVARR") & (table["fold"] == 10))[0])
    table.loc[row, "statements"] = "SR"
    changed = dataclasses.replace(as_noted, prepared=dataclasses.replace(as_noted.prepared, table=table))
    text = data_page.verdict(changed)
    assert "**11 of 13 counts equal" in text and "SVARR 143 + 13 here, 143 + 14 in the notes" in text and "SR 15,074 + 1,675" in text


def test_simulated_records_have_no_counts_to_compare_with(simulated):
    assert "nothing to compare" in data_page.verdict(simulated)
    table = data_page.count_table(simulated).data
    assert [name for _, name in table.columns] == ["task", "class", "folds 1–8", "fold 9", "fold 10"]
    assert table.iloc[-1].tolist() == ["nine", "records", "320", "40", "40"]


def test_cpsc_counts_are_matched_by_class_not_by_place(tmp_path):
    notes = tables.reported("dataset_counts")["cpsc"]
    data = data_of(made_up("cpsc", ["Normal"], [1], tmp_path))
    told = {name: pair for name, _, pair in data_page._counts(data, "nine")}
    for name in CPSC_CLASSES:
        place = notes["classes"].index("NORM" if name == "Normal" else name)
        assert told[name] == (notes["train"][place], notes["test"][place])
    assert "Only 1 of the 6,877 published recordings" in data_page.verdict(data)


# -- people, lengths and folds

def test_folds_in_percent(simulated):
    table = data_page.fold_table(simulated).data
    assert table.iloc[0].tolist() == ["records"] + ["40"] * 10 + ["400"]
    shares = table[table[""] == "AF"].iloc[0]
    expected = 100 * simulated.targets[simulated.fold == 3, CPSC_CLASSES.index("AF")].mean()
    assert shares["3"] == f"{expected:.1f}"


def test_short_records_and_unknown_people_are_counted(tmp_path):
    data = data_of(made_up("cpsc", ["AF", "AF", "PVC"], [1, 9, 10], tmp_path, n_samples=[1000, 640, 1000], sex=["male", "", "female"],
                           age=[50, np.nan, np.nan]))
    text = data_page.lengths(data)
    for part in ("1 of 3 records are shorter than 10 s (shortest 6.4 s)", "6 to 144 s",
                 "2 records without an age and 1 records without a sex"):
        assert part in text


def test_a_patient_in_two_folds_is_refused(tmp_path):
    data = data_of(made_up("cpsc", ["AF", "AF"], [1, 9], tmp_path, patient_id=["1", "1"]))
    with pytest.raises(DataError):
        data_page.lengths(data)


def test_a_fold_full_of_one_class_is_named(tmp_path):
    statements = ["AF"] * 40 + ["PVC"] * 360
    even = data_of(made_up("cpsc", statements, [1 + i % 10 for i in range(400)], tmp_path))
    assert data_page.farthest_fold(even)[0] < 0.1
    piled = data_of(made_up("cpsc", statements, [1 + i // 40 for i in range(400)], tmp_path))
    z, name, fold = data_page.farthest_fold(piled)
    assert z > 10 and name in ("AF", "PVC") and fold == 1
    assert "fold 1 holds an unusual share" in data_page.reading(piled, []).lower()


def test_people_are_drawn_by_class(simulated):
    figure = data_page.people(simulated)
    left, middle, right = figure.axes
    assert [label.get_text() for label in middle.get_yticklabels()] == list(CPSC_CLASSES)
    medians = [line.get_xdata()[0] for line in middle.lines if line.get_marker() == "o"]
    age = simulated.table["age"].to_numpy()
    np.testing.assert_allclose(medians, [np.median(age[column.astype(bool)]) for column in simulated.targets.T])


# -- quality and card

def test_without_a_report_the_page_says_how_to_make_one(simulated, tmp_path):
    assert "data check cpsc`" in data_page.quality(data_of(made_up("cpsc", ["AF"], [1], tmp_path))).data
    assert "nothing to check" in data_page.quality(simulated).data


def test_a_report_becomes_a_table(tmp_path, monkeypatch):
    table = pd.DataFrame({"kind": ["flat"], "records": [1234], "share": [0.0617], "examples": ["12, 77"]})
    monkeypatch.setattr(data_page, "read_report", lambda dataset: types.SimpleNamespace(table=table))
    data = data_of(made_up("cpsc", ["AF"], [1], tmp_path))
    assert data_page.quality(data).data.iloc[0].tolist() == [data_page.KINDS["flat"], "1,234", "6.17 %", "12, 77"]
    assert table["records"][0] == 1234          # the report itself is left alone


def test_the_card_stands_on_the_page_of_recorded_data(tmp_path):
    shown = data_page.what_is_here(data_of(made_up("cpsc", ["AF"], [1], tmp_path)))
    assert card(source("cpsc")) in shown.split("<details>")[0] and card(source("ludb")) in shown and shown.count("<details>") == 3


# -- one record of every class

def test_the_chosen_record_is_alone_in_its_class_and_not_of_the_test_fold(tmp_path):
    statements = ["AFIB", "AFIB;PVC", "AFIB;SR;LVH", "AFIB;SR", "AFIB;LVH", "AFIB", "PVC"]
    data = data_of(made_up("ptbxl", statements, [1, 9, 9, 9, 9, 10, 10], tmp_path))
    assert class_pages.chosen_rows(data) == {"AFIB": 3}
    pages = dict(zip(class_pages.shown_classes(data), class_pages.class_pages(data), strict=True))
    words, figure = pages["AFIB"]
    assert "record 3 of fold 9, female, 60 years; also stated: SR. PTB-XL 1.0.3, CC-BY-4.0." in words and figure is not None
    assert "no record of fold 9" in pages["PVC"][0] and pages["PVC"][1] is None


def test_at_most_nine_classes_are_drawn_and_the_rare_are_left_out(as_noted):
    shown = class_pages.shown_classes(as_noted)
    assert len(shown) == 9 and not {"TRIGU", "PSVT", "SVTAC"} & set(shown)
    assert list(shown) == [name for name in as_noted.labels.classes if name in shown]


def test_zero_padding_is_not_drawn(tmp_path):
    data = data_of(made_up("cpsc", ["AF"], [9], tmp_path, n_samples=[600]))
    figure, = [figure for _, figure in class_pages.class_pages(data) if figure]
    assert any("columns from 0, 2.5, 3.5, 3.5 s" in text.get_text() for text in figure.axes[0].texts)


def test_the_truth_drawn_is_that_of_the_record(simulated):
    row = class_pages.chosen_rows(simulated)["PVC"]
    spans, leads = class_pages.truth_of_row(simulated, row)
    again = simulate(0, [row])
    np.testing.assert_array_equal(np.rint(again.signals[0] * 1000), simulated.prepared.signals[row])
    assert list(spans) == ["PVC"] and leads == {"PVC": list(LEADS)}
    np.testing.assert_allclose(spans["PVC"], again.spans[["start", "end"]])
    mask = again.masks()[0, CPSC_CLASSES.index("PVC")]
    inside = np.zeros(1000, bool)
    for start, end in spans["PVC"]:
        inside[int(np.ceil(start * 100)):int(np.floor(end * 100)) + 1] = True
    np.testing.assert_array_equal(mask, inside)


def test_recordings_have_no_truth(tmp_path):
    assert class_pages.truth_of_row(data_of(made_up("cpsc", ["AF"], [9], tmp_path)), 0) == ({}, {})


def test_the_simulated_example_carries_both_labels():
    words = [text.get_text() for text in class_pages.simulated_truth().axes[0].texts]
    assert set(class_pages.TRUTH) <= set(words)


# -- the answer

def test_the_realism_table_counts_what_lies_outside():
    checks = [realism.Check("R peak", "II", "mV", 0.5, 0.3, 1.3), realism.Check("T peak", "V2", "mV", -0.5, 0.1, 0.4)]
    shown = data_page.realism_table(checks).data
    assert "1 of 2 measures" in shown and "−0.5" in shown and "0.3 to 1.3" in shown


def test_the_answer_follows_the_numbers(as_noted, simulated):
    checks = [realism.Check("R peak", "II", "mV", 5.0, 0.3, 1.3)]
    noted, small = data_page.reading(as_noted, checks), data_page.reading(simulated, checks)
    assert "every count is the notes' own" in noted and "TRIGU (2)" in noted and "SR (" not in noted
    assert "notes'" not in small and "classes differ in age" in small
    assert "0 of 1 measures; outside: R peak (II)" in small
