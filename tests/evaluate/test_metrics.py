"""Scores against scikit-learn and by hand; absent classes stay NaN."""

import numpy as np
import pytest
from sklearn import metrics as sk

from ecgstudy.errors import DataError
from ecgstudy.evaluate.metrics import probabilities, score
from ecgstudy.evaluate.thresholds import DEFAULT, best_f1_threshold, fit_thresholds


@pytest.fixture
def case():
    generator = np.random.default_rng(0)
    targets = (generator.random((300, 4)) < [0.3, 0.1, 0.5, 0.05]).astype(np.uint8)
    logits = targets * 1.5 + generator.normal(size=targets.shape)
    return np.round(logits, 1), targets             # rounded: ties must be handled


def test_scores_equal_scikit_learn(case):
    logits, targets = case
    thresholds = np.array([0.5, 0.4, 0.6, 0.7])
    scores = score(logits, targets, ("a", "b", "c", "d"), True, thresholds)
    probability = probabilities(logits, True)
    decided = probability > thresholds
    assert scores.macro_auroc == pytest.approx(sk.roc_auc_score(targets, probability, average="macro"), abs=1e-12)
    assert scores.macro_average_precision == pytest.approx(sk.average_precision_score(targets, probability, average="macro"), abs=1e-12)
    assert scores.macro_f1 == pytest.approx(sk.f1_score(targets, decided, average="macro"), abs=1e-12)
    assert scores.subset_accuracy == pytest.approx(sk.accuracy_score(targets, decided), abs=1e-12)
    assert scores.label_accuracy == pytest.approx(1 - sk.hamming_loss(targets, decided), abs=1e-12)


def test_an_absent_class_is_nan_and_leaves_the_mean(case):
    logits, targets = case
    targets = targets.copy()
    targets[:, 3] = 0
    scores = score(logits, targets, ("a", "b", "c", "d"), True, np.full(4, 0.5))
    assert np.isnan(scores.auroc[3]) and np.isnan(scores.f1[3]) and scores.n_scored_classes == 3
    assert scores.macro_f1 == pytest.approx(np.mean(scores.f1[:3]))


def test_single_label_decides_by_the_largest_probability():
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.0, 1.0, 2.0], [2.0, 0.0, 1.0]])
    targets = np.eye(3, dtype=np.uint8)[[0, 1, 2, 1]]
    scores = score(logits, targets, ("a", "b", "c"), False, None)
    assert scores.subset_accuracy == 0.75 and scores.f1 == pytest.approx((2 / 3, 2 / 3, 1.0))


def test_logits_that_are_not_finite_are_refused(case):
    logits, targets = case
    logits[5, 1] = np.nan
    with pytest.raises(DataError, match="1 of 300 records"):
        score(logits, targets, ("a", "b", "c", "d"), True, np.full(4, 0.5))


def test_threshold_is_the_best_of_every_possible_cut(case):
    logits, targets = case
    probability = probabilities(logits, True)
    for p, t in zip(probability.T, targets.T, strict=True):
        found = best_f1_threshold(p, t)
        candidates = np.concatenate([[0.0], np.unique(p), (np.unique(p)[1:] + np.unique(p)[:-1]) / 2])
        best = max(sk.f1_score(t, p > c, zero_division=0) for c in candidates)
        assert sk.f1_score(t, p > found) == pytest.approx(best, abs=1e-12)


def test_threshold_of_an_absent_class_is_the_stated_default():
    assert best_f1_threshold(np.linspace(0, 1, 5), np.zeros(5)) == DEFAULT
    assert fit_thresholds(np.ones((4, 2)) * 0.3, np.array([[1, 0]] * 4))[1] == DEFAULT


def test_threshold_separates_neighbours_as_close_as_floats_allow():
    low = 0.3
    high = np.nextafter(low, 1)
    threshold = best_f1_threshold(np.array([low, high]), np.array([0, 1]))
    assert high > threshold >= low
