"""The re-weighted bootstrap gives, draw by draw, what scikit-learn gives on the resampled records."""

import numpy as np
import pytest
from sklearn import metrics as sk

from ecgstudy.evaluate import bootstrap


@pytest.fixture
def case():
    generator = np.random.default_rng(1)
    targets = (generator.random((120, 3)) < [0.4, 0.2, 0.0]).astype(np.uint8)
    targets[[5, 60], 2] = 1                                     # so rare that some draws lose it
    probability = np.round(np.clip(0.3 * targets + 0.7 * generator.random(targets.shape), 0, 1), 2)
    patients = generator.integers(0, 80, 120).astype(str)
    return probability, targets, patients


def test_weights_draw_whole_patients(case):
    _, _, patients = case
    weights = bootstrap.patient_weights(patients, 50, np.random.default_rng(0))
    for patient in np.unique(patients):
        mine = weights[:, patients == patient]
        assert (mine == mine[:, :1]).all()
    first = [np.flatnonzero(patients == p)[0] for p in np.unique(patients)]
    assert (weights[:, first].sum(axis=1) == len(first)).all()


def test_each_replicate_equals_scikit_learn_on_the_repeated_records(case):
    probability, targets, patients = case
    weights = bootstrap.patient_weights(patients, 40, np.random.default_rng(0))
    thresholds = np.array([0.5, 0.4, 0.5])
    found = bootstrap.replicate_scores(probability, targets, thresholds, weights)
    for b, w in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(len(w)), w)
        t, p = targets[rows], probability[rows]
        auroc = [sk.roc_auc_score(t[:, k], p[:, k]) if 0 < t[:, k].sum() < len(t) else np.nan for k in range(3)]
        f1 = [sk.f1_score(t[:, k], p[:, k] > thresholds[k], zero_division=0) if t[:, k].any() else np.nan for k in range(3)]
        assert found["macro_auroc"][b] == pytest.approx(np.mean(auroc), abs=1e-12, nan_ok=True)
        assert found["macro_f1"][b] == pytest.approx(np.mean(f1), abs=1e-12, nan_ok=True)
    assert 0 < np.isnan(found["macro_auroc"]).sum() < 40         # some draws lost the rare class, and are not scored on the others


def test_a_class_that_the_fold_lacks_leaves_every_draw(case):
    probability, targets, patients = case
    targets = targets.copy()
    targets[:, 2] = 0
    weights = bootstrap.patient_weights(patients, 20, np.random.default_rng(0))
    with_it = bootstrap.replicate_scores(probability, targets, np.full(3, 0.5), weights)
    without = bootstrap.replicate_scores(probability[:, :2], targets[:, :2], np.full(2, 0.5), weights)
    np.testing.assert_allclose(with_it["macro_auroc"], without["macro_auroc"])
    np.testing.assert_allclose(with_it["macro_f1"], without["macro_f1"])


def test_interval_covers_a_known_mean():
    covered = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        sample = generator.normal(size=100)
        weights = bootstrap.patient_weights(np.arange(100), 400, generator)
        found = bootstrap.interval(sample.mean(), weights @ sample / 100)
        covered += found.low <= 0 <= found.high
    assert 50 <= covered <= 60


def test_p_value_and_holm():
    assert bootstrap.difference_p_value(np.linspace(-1, 1, 1000)) > 0.9
    assert bootstrap.difference_p_value(np.linspace(0.1, 1, 999)) == pytest.approx(2 / 1000)
    assert bootstrap.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(bootstrap.holm([float("nan"), 0.5])[0]) and bootstrap.holm([float("nan"), 0.5])[1] == 0.5


class TestToldApart:
    def test_two_estimates_are_apart_beyond_the_quantile_of_their_own_difference(self):
        draws = np.random.default_rng(0).normal(size=(2, 4000)) * [[1.0], [2.0]]
        difference = draws[0] - draws[1]
        limit = np.quantile(np.abs(difference - difference.mean()), 0.95)
        for d in (0.99 * limit, 1.01 * limit):
            found = bootstrap.told_apart(np.array([d, 0.0]), draws)
            assert found.tolist() == [[False, d > limit], [d > limit, False]]

    def test_a_wrong_pair_anywhere_is_about_as_rare_as_the_level_says(self):
        rng, n_records = np.random.default_rng(1), 60
        wrong = 0
        for _ in range(300):
            values = rng.normal(size=(6, n_records))                                        # six methods, all alike
            index = rng.integers(n_records, size=(300, n_records))
            wrong += bootstrap.told_apart(values.mean(axis=1), values[:, index].mean(axis=2)).any()
        assert 0.01 <= wrong / 300 <= 0.10

    def test_draws_that_lost_a_class_are_left_out_and_what_never_varies_is_compared_as_it_is(self):
        draws = np.array([[0.5, 0.5, np.nan], [0.5, 0.5, 0.5], [0.7, 0.7, 0.7]])
        found = bootstrap.told_apart(np.array([0.5, 0.5, 0.7]), draws)
        assert found.tolist() == [[False, False, True], [False, False, True], [True, True, False]]
        assert not bootstrap.told_apart(np.array([0.5, 0.6]), np.full((2, 3), np.nan)).any()
