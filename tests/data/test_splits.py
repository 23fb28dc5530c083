"""Folds: balanced, repeatable, never parting a patient; the test fold behind its door."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgstudy.data.dataset import Prepared
from ecgstudy.data.labels import LabelSet
from ecgstudy.data.splits import audit, folds_by_record, open_test, split, stratified_folds
from ecgstudy.errors import ConfigurationError, DataError

TWO = LabelSet("two", ("A", "B"), multilabel=True)


def table(n: int = 40, **columns) -> pd.DataFrame:
    rows = {"record_id": [f"r{i}" for i in range(n)], "patient_id": [f"p{i}" for i in range(n)],
            "fold": [i % 10 + 1 for i in range(n)], "statements": ["A"] * n}
    return pd.DataFrame(rows | columns)


def prepared(frame: pd.DataFrame) -> Prepared:
    return Prepared("cpsc", 100, np.zeros((len(frame), 12, 1000), np.int16), frame, "digest", {}, Path("folder"))


def test_split_follows_the_folds():
    parts = split(prepared(table()), TWO)
    assert (len(parts.training), len(parts.validation), len(open_test(parts)), parts.n_excluded) == (32, 4, 4, 0)
    assert parts.validation.tolist() == [8, 18, 28, 38] and open_test(parts).tolist() == [9, 19, 29, 39]


def test_test_rows_stay_behind_the_door(caplog):
    parts = split(prepared(table()), TWO)
    assert not hasattr(parts, "test") and "39" not in repr(parts)
    with caplog.at_level(logging.INFO):
        open_test(parts)
    assert "test fold is opened: 4 records" in caplog.text


def test_records_without_a_class_are_excluded_and_counted(caplog):
    statements = ["A;B", "", "C", "B"] * 10
    with caplog.at_level(logging.INFO):
        parts = split(prepared(table(statements=statements)), TWO)
    assert parts.n_excluded == 20 and "20 of 40 records have no class of task two" in caplog.text
    kept = np.concatenate([parts.training, parts.validation, open_test(parts)])
    assert sorted(kept) == [i for i in range(40) if i % 4 in (0, 3)]


def test_multi_class_tasks_keep_exactly_one_class():
    statements = (["A;B"] * 10 + ["A"] * 10) * 2
    one_of = LabelSet("one", ("A", "B"), multilabel=False, members={"A": ("A", "a")})
    assert split(prepared(table(statements=statements)), one_of).n_excluded == 20
    assert split(prepared(table(statements=["A;a"] * 40)), one_of).n_excluded == 0


def test_an_empty_part_is_refused():
    with pytest.raises(DataError, match="no validation and no test records.*data fetch cpsc"):
        split(prepared(table(fold=[1 + i % 8 for i in range(40)])), TWO)


@pytest.mark.parametrize(("columns", "said"), [
    ({"record_id": ["r7", *(f"r{i}" for i in range(1, 40))]}, "1 records stand twice in the table: r7"),
    ({"patient_id": [f"p{i % 39}" for i in range(40)]}, r"1 patients are in more than one fold: p0 \(folds 1, 10\)"),
    ({"patient_id": ["", *(f"p{i}" for i in range(1, 40))]}, "1 records have no patient: r0"),
    ({"fold": [0, 11, *(1,) * 38]}, "2 records have a fold outside 1 to 10: r0, r1"),
])
def test_audit_names_what_is_unsound(columns, said):
    with pytest.raises(DataError, match=said):
        audit(table(**columns))
    with pytest.raises(DataError, match=said):
        split(prepared(table(**columns)), TWO)      # cannot be switched off


def many(n: int = 3000, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, 5)) < [0.5, 0.2, 0.05, 0.02, 0.01]).astype(np.uint8)
    return targets, [f"p{k}" for k in rng.integers(0, 2 * n // 3, n)]


def test_folds_are_balanced_and_keep_patients_together():
    targets, groups = many()
    folds = stratified_folds(targets, groups)
    audit(pd.DataFrame({"record_id": np.arange(len(folds)).astype(str), "patient_id": groups, "fold": folds}))
    per_fold = np.stack([targets[folds == k].sum(axis=0) for k in range(1, 11)])
    wanted = targets.sum(axis=0) / 10
    assert (np.abs(per_fold - wanted) <= np.maximum(2.0, 0.05 * wanted)).all()
    assert np.bincount(folds, minlength=11)[1:].min() > 0.9 * len(folds) / 10


def test_a_rare_class_is_dealt_out_one_a_fold():
    targets = np.zeros((500, 2), np.uint8)
    targets[:, 0] = 1
    targets[[3, 4, 5, 100, 101, 200, 201, 300, 301, 499], 1] = 1
    folds = stratified_folds(targets, [str(i) for i in range(500)])
    assert sorted(folds[targets[:, 1] == 1]) == list(range(1, 11))
    assert np.bincount(folds)[1:].tolist() == [50] * 10


def test_folds_repeat_and_depend_on_the_seed():
    targets, groups = many(400)
    first = stratified_folds(targets, groups, seed=1)
    np.testing.assert_array_equal(first, stratified_folds(targets, groups, seed=1))
    assert (first != stratified_folds(targets, groups, seed=2)).any()


def test_folds_by_record_do_not_depend_on_the_order_given():
    statements = {f"A{i:03d}": ["A"] if i % 3 else ["B"] for i in range(100)}
    assert folds_by_record(statements, TWO) == folds_by_record(dict(reversed(statements.items())), TWO)


def test_ill_formed_arguments_are_refused():
    with pytest.raises(ConfigurationError, match="expected targets"):
        stratified_folds(np.zeros((3, 2)), ["a", "b"])
    with pytest.raises(ConfigurationError, match="at least 2 folds"):
        stratified_folds(np.zeros((2, 2)), ["a", "b"], n_folds=1)
