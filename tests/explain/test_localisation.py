"""Curves over time against spans: by hand, by loops, and where the answer is known."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecgstudy.errors import DataError
from ecgstudy.explain import localisation

FS = 100


def spans(*where, n=400):
    inside = np.zeros((len(where), n), bool)
    for row, (begin, end) in enumerate(where):
        inside[row, begin:end] = True
    return inside


def test_ranking_against_the_library_without_edges_and_borders():
    inside, curve = spans((100, 150), (200, 210)), np.random.default_rng(0).normal(size=(2, 400)).round(1)
    used = [[i for i in range(40, 360) if not (begin - 2 <= i < begin or end <= i < end + 2)] for begin, end in ((100, 150), (200, 210))]
    expected = [roc_auc_score(inside[row, which], curve[row, which]) for row, which in enumerate(used)]
    np.testing.assert_allclose(localisation.auroc(curve, inside, FS), expected)


def test_the_truth_ranks_first_and_a_flat_curve_is_even():
    inside = spans((100, 150))
    assert localisation.auroc(inside.astype(float), inside, FS) == 1
    assert localisation.auroc(np.zeros((1, 400)), inside, FS) == 0.5


@pytest.mark.parametrize(("place", "hit"), [(97, 0), (98, 1), (120, 1), (151, 1), (152, 0), (20, 0)])
def test_pointing_allows_twenty_milliseconds(place, hit):
    curve = np.zeros((1, 400))
    curve[0, place] = 1.0
    found = localisation.pointing(curve, spans((100, 150)), FS)
    if place == 20:             # in the edge: the rest is level, and the hit is the share of what can be hit
        np.testing.assert_allclose(found, localisation.chance_of_pointing(spans((100, 150)), FS))
        assert found == pytest.approx(54 / 320)
    else:
        assert found == hit


def test_a_record_without_spans_has_no_score():
    nothing = np.zeros((1, 400), bool)
    curve = np.ones((1, 400))
    assert np.isnan(localisation.auroc(curve, nothing, FS)) and np.isnan(localisation.pointing(curve, nothing, FS))
    assert np.isnan(localisation.pointing(curve, spans((0, 30)), FS))       # only in the edge
    with pytest.raises(DataError, match=r"\[R, T\]"):
        localisation.auroc(curve, nothing[:, :-1], FS)


def test_coarser_tokens_can_say_less():
    inside = spans((100, 127), (203, 214))
    ceilings = [localisation.auroc(localisation.best_at(inside, step, FS, round(4 / step)), inside, FS) for step in (0.01, 0.08, 0.32, 0.8)]
    np.testing.assert_allclose(ceilings[0], 1)
    assert (np.diff([each.mean() for each in ceilings]) < 1e-12).all() and ceilings[-1].mean() < 0.99


def test_the_control_pairs_no_record_with_itself():
    curves = np.arange(3.0)[:, None] * np.ones((3, 5))
    np.testing.assert_allclose(localisation.of_another(curves)[:, 0], [2, 0, 1])
