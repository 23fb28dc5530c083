"""The scores against slow loops and against cases whose answer is known."""

import itertools

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from ecgstudy.errors import DataError
from ecgstudy.explain import faithfulness as f

FS = 100


def mask_of(*spans, n=1000):
    mask = np.zeros(n, bool)
    for begin, end in spans:
        mask[begin:end] = True
    return mask


def peak(at, n=1000):
    curve = np.zeros(n)
    curve[at] = 1
    return curve


def test_a_maximum_at_the_ends_is_counted():
    assert f.at_edge(peak(10) + 0.5 * peak(505), FS) == 1 and f.at_edge(peak(505), FS) == 0
    assert f.at_edge(np.ones(1000), FS) == pytest.approx(0.08)


def test_an_even_or_empty_map_scores_chance():
    mask = mask_of((100, 180), (500, 560))
    for curve in (np.zeros(1000), np.full(1000, 0.3)):
        assert f.energy_inside(curve, mask) == pytest.approx(mask.mean())
        assert f.precision_over_time(curve, mask) == pytest.approx(mask.mean())
        area = mask.sum()
        expected = area * mask.mean()
        assert f.iou_at_area(curve, mask) == pytest.approx(expected / (2 * area - expected))


def test_the_scores_are_those_of_slow_loops():
    rng = np.random.default_rng(0)
    curve, mask = rng.random(1000), mask_of((90, 210), (640, 700))
    order = sorted(range(1000), key=lambda i: -curve[i])
    chosen, true = set(order[:mask.sum()]), set(np.flatnonzero(mask))
    assert f.iou_at_area(curve, mask) == pytest.approx(len(chosen & true) / len(chosen | true))
    assert f.energy_inside(curve, mask) == pytest.approx(sum(curve[i] for i in true) / sum(curve))
    hits, precisions = 0, []
    for rank, i in enumerate(order, 1):
        if i in true:
            hits += 1
            precisions.append(hits / rank)
    assert f.precision_over_time(curve, mask) == pytest.approx(np.mean(precisions)) == pytest.approx(average_precision_score(mask, curve))


def test_a_perfect_map_is_perfect():
    mask = mask_of((90, 210), (640, 700))
    curve = mask.astype(float)
    assert f.iou_at_area(curve, mask) == f.energy_inside(curve, mask) == f.precision_over_time(curve, mask) == f.iou_ceiling(mask, 1) == 1


@pytest.mark.parametrize("cell", [1, 2, 3, 5])
def test_the_ceiling_is_the_best_of_all_sets_of_cells(cell):
    rng = np.random.default_rng(cell)
    mask = rng.random(17) < 0.4
    cells = [np.arange(17) // cell == c for c in range(-(-17 // cell))]
    sets = itertools.chain.from_iterable(itertools.combinations(cells, n) for n in range(1, len(cells) + 1)) if cell > 1 else [[mask]]
    best = max((np.logical_or.reduce(chosen) & mask).sum() / (np.logical_or.reduce(chosen) | mask).sum() for chosen in sets)
    assert f.iou_ceiling(mask, cell) == pytest.approx(best)


def test_lead_scores():
    shares, leads = np.full(12, 1 / 12), np.arange(12) < 3
    assert f.lead_score(shares, leads) == (pytest.approx(0.25), 0.25)
    assert f.lead_score(np.eye(12)[1], leads) == (1, 0.25)
    assert np.isnan(f.lead_score(shares, np.ones(12, bool))).all()


def test_folding_is_a_mean_over_beats():
    rng = np.random.default_rng(1)
    peaks = np.array([0.7, 1.6, 2.4, 3.4, 4.3, 5.1, 6.2, 7.0, 7.9, 8.8, 9.6])
    curve, mask = rng.random(1000), mask_of(*((round(100 * r) - 30, round(100 * r) - 10) for r in peaks))
    folded = f.fold(curve, mask, peaks, FS)
    for offset in (-0.3, -0.1, 0.0, 0.25):
        at = int(np.flatnonzero(np.isclose(folded.offset, offset))[0])
        seen = [curve[round(100 * r) + round(100 * offset)] for before, r, after in zip(peaks, peaks[1:], peaks[2:], strict=False)
                if 40 <= round(100 * r) + round(100 * offset) < 960]
        assert folded.curve[at] == pytest.approx(np.mean(seen))
    np.testing.assert_allclose(folded.offset[folded.share >= 0.5], np.arange(-30, -10) / 100)


def test_a_wide_cell_beside_the_wave_is_mended_by_folding():
    peaks = np.arange(0.5, 9.9, 0.83)
    mask = mask_of(*((round(100 * r) - 5, round(100 * r) + 5) for r in peaks))
    centres = np.arange(0, 1000, 32)                               # cells of 0.32 s that see a triangle around themselves
    cells = np.array([sum(max(0, 1 - abs(c - 100 * r) / 32) for r in peaks) for c in centres])
    curve = np.interp(np.arange(1000), centres, cells)
    hit, chance = f.phase_pointing(f.fold(curve, mask, peaks, FS), FS)
    assert hit == 1 and 0.1 < chance < 0.25
    early = np.roll(curve, -20)                                    # the same map 0.2 s too early
    assert f.phase_pointing(f.fold(early, mask, peaks, FS), FS)[0] == 0


@pytest.mark.parametrize(("at", "hit"), [(-0.30, 1), (-0.32, 1), (-0.33, 0), (-0.09, 1), (-0.08, 0), (0.0, 0)])
def test_the_folded_maximum_has_a_tolerance_of_twenty_milliseconds(at, hit):
    offset = np.arange(-40, 40) / 100
    folded = f.Folded(offset, np.isclose(offset, at).astype(float), ((offset > -0.305) & (offset < -0.105)).astype(float))
    found, chance = f.phase_pointing(folded, FS)
    assert found == hit and chance == pytest.approx(24 / 80)


def test_rank_correlation_is_spearman_s():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 3, 40)).round(1)
    assert f.rank_correlation(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert np.isnan(f.rank_correlation(a, np.ones((3, 40))))


def test_the_map_that_is_the_change_correlates_fully():
    rng = np.random.default_rng(3)
    record = rng.normal(size=(12, 1000))
    without = record + rng.normal(size=(12, 1000))
    change = np.abs(record - without).mean(axis=0)
    curve = change ** 2
    curve[:40] = 9                                                 # the ends are not scored
    assert f.intervention_correlation(curve, record, without, FS) == pytest.approx(1)


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="mask as bool"):
        f.iou_at_area(np.ones(10), np.ones(10))
    with pytest.raises(DataError, match="negative"):
        f.energy_inside(-np.ones(10), np.ones(10, bool))
    with pytest.raises(DataError, match="at least three"):
        f.fold(np.ones(1000), np.ones(1000, bool), np.array([1.0, 2.0]), FS)
