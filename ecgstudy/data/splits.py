"""Folds that patients never cross, and the only door to the test fold.

Folds 1 to 8 train, 9 validates, 10 tests. PTB-XL publishes its folds; for the other data sets they are made here by iterative
stratification (Sechidis, Tsoumakas, Vlahavas: On the stratification of multi-label data, ECML 2011), which deals out the
records of the rarest class first.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ecgstudy.data.dataset import Prepared
from ecgstudy.data.labels import LabelSet
from ecgstudy.data.record import abridge
from ecgstudy.errors import ConfigurationError, DataError

logger = logging.getLogger(__name__)

N_FOLDS = 10
VALIDATION_FOLD, TEST_FOLD = 9, 10
FOLD_SEED = 2018        # of the folds the study makes; part of the prepared data, so it never changes


@dataclass(frozen=True)
class Split:
    """Row indices of a prepared table. The test rows are had through `open_test` alone.

    n_excluded counts the records that the task cannot use.
    """

    training: np.ndarray
    validation: np.ndarray
    n_excluded: int
    _test: np.ndarray = field(repr=False)


def split(prepared: Prepared, label_set: LabelSet) -> Split:
    """Rows for training, validation and test that carry at least one class of the task (exactly one where it is multi-class).

    Raises DataError where the folds are not sound (`audit`) or a part is empty.
    """
    audit(prepared.table)
    n_classes = label_set.encode(prepared.statements()).sum(axis=1)
    usable = n_classes >= 1 if label_set.multilabel else n_classes == 1
    if excluded := int((~usable).sum()):
        logger.info("%s: %d of %d records have %s of task %s and are left out", prepared.dataset, excluded, len(usable),
                    "no class" if label_set.multilabel else "not exactly one class", label_set.name)
    fold = prepared.table["fold"].to_numpy()
    parts = [np.flatnonzero(usable & chosen) for chosen in (fold < VALIDATION_FOLD, fold == VALIDATION_FOLD, fold == TEST_FOLD)]
    if empty := [name for name, rows in zip(("training", "validation", "test"), parts, strict=True) if not len(rows)]:
        raise DataError(f"{prepared.folder}: no {' and no '.join(empty)} records for task {label_set.name} of {prepared.dataset} "
                        f"among {len(usable)}; fetch the whole data set with `python -m ecgstudy data fetch {prepared.dataset}`")
    training, validation, test = parts
    return Split(training, validation, excluded, test)


def open_test(split: Split) -> np.ndarray:
    """The test rows. A run opens them once, after its weights and thresholds are chosen (a watched run, for page 02's oracle rows,
    before, without letting them choose anything); each opening is logged."""
    logger.info("the test fold is opened: %d records", len(split._test))
    return split._test


def audit(table: pd.DataFrame) -> None:
    """Refuse a table with a record twice, a patient in two folds or without a name, or a fold outside 1 to 10."""
    ids, patients, folds = table["record_id"], table["patient_id"], table["fold"]
    if (twice := ids[ids.duplicated()].unique()).size:
        raise DataError(f"{len(twice)} records stand twice in the table: {abridge(twice)}; each may stand once")
    if (nameless := ids[patients.isna() | (patients == "")]).size:
        raise DataError(f"{len(nameless)} records have no patient: {abridge(nameless)}; folds cannot keep patients apart")
    if (outside := ids[~folds.isin(range(1, N_FOLDS + 1))]).size:
        raise DataError(f"{len(outside)} records have a fold outside 1 to {N_FOLDS}: {abridge(outside)}")
    n_folds = folds.groupby(patients).nunique()
    if len(crossing := n_folds.index[n_folds > 1]):
        where = [f"{patient} (folds {', '.join(map(str, sorted(folds[patients == patient].unique())))})" for patient in crossing]
        raise DataError(f"{len(crossing)} patients are in more than one fold: {abridge(where)}; keep each patient in one fold")


def stratified_folds(targets: np.ndarray, groups: Sequence[str], n_folds: int = N_FOLDS, seed: int = FOLD_SEED) -> np.ndarray:
    """Folds 1 to n_folds that hold each class in equal shares and never part a group.

    targets: [R, K], 1 where record r has class k. groups: [R], the patient of each record. Returns int64 [R]. The same
    arguments give the same folds.
    """
    targets = np.asarray(targets, dtype=np.int64)
    if targets.ndim != 2 or len(targets) != len(groups) or n_folds < 2:
        raise ConfigurationError(f"stratified_folds: targets {targets.shape}, {len(groups)} groups, {n_folds} folds; expected "
                                 "targets [R, K] with one group a record and at least 2 folds")
    _, group_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    n_groups = int(group_of.max(initial=-1)) + 1
    counts = np.zeros((n_groups, targets.shape[1]), np.int64)           # [G, K] records of each class
    np.add.at(counts, group_of, targets)
    sizes = np.bincount(group_of, minlength=n_groups)
    order = np.random.default_rng(seed).permutation(n_groups)
    order = order[np.argsort(-sizes[order], kind="stable")]             # large patients first: they are the hardest to place
    wanted = np.tile(counts.sum(axis=0) / n_folds, (n_folds, 1))        # [folds, K] records still wanted
    room = np.full(n_folds, len(targets) / n_folds)
    fold_of = np.full(n_groups, -1)

    def place(group: int, need: np.ndarray) -> None:
        fold = max(range(n_folds), key=lambda f: (need[f], room[f], -f))
        fold_of[group] = fold
        wanted[fold] -= counts[group]
        room[fold] -= sizes[group]

    while True:
        free = fold_of < 0
        left = counts[free].sum(axis=0)
        if not left.any():
            break
        rarest = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
        for group in order[free[order] & (counts[order, rarest] > 0)]:
            place(group, wanted[:, rarest])
    for group in order[fold_of[order] < 0]:
        place(group, room)
    return fold_of[group_of] + 1


def folds_by_record(statements: Mapping[str, Sequence[str]], label_set: LabelSet) -> dict[str, int]:
    """Stratified folds of records that are each their own patient, in the order of their ids."""
    names = sorted(statements)
    folds = stratified_folds(label_set.encode(statements[name] for name in names), names)
    return dict(zip(names, folds.tolist(), strict=True))
