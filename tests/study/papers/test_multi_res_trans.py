"""What the page of MRTNet measures, each against a case whose answer is known."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ecgstudy.data.synthetic import simulate
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study.papers import multi_res_trans as page
from ecgstudy.study.papers.simulated import SEED, Subject, named, wave_masks


@pytest.fixture(scope="module")
def seen():
    torch.manual_seed(0)
    model = build_model("multi_res_trans", SignalSpec(12, 1000, 100), 9, widths=(8, 16), dim=8).eval()
    simulation = simulate(SEED, range(48))
    return Subject(model, model, None, simulation, torch.from_numpy(simulation.signals), simulation.classes)


def test_summaries_are_the_map_s_and_the_moments_lie_in_their_units(seen):
    found = page.summaries(seen.model, seen.x[:2])
    assert [(rate.factor, rate.n_places) for rate in found] == [(1, 50), (2, 25), (4, 13)]
    with torch.no_grad():
        maps = seen.model.rates[1].maps(seen.model.units(seen.x[:2])[:, 4])               # [R, C, N]
    np.testing.assert_allclose(found[1].mean[:, 4], maps.mean(-1).numpy(), atol=1e-5)
    np.testing.assert_allclose(found[1].maximum[:, 4], maps.amax(-1).numpy(), atol=1e-5)
    np.testing.assert_allclose(found[1].moment[:, 4], 400 + (maps.argmax(-1).numpy() + 0.5) * 8)


def test_kept_is_the_least_of_the_marked_stretches():
    unit, mask = np.zeros(16), np.zeros(16, bool)
    unit[4], unit[8:12], mask[3:6], mask[7:13] = 1.0, 1.0, True, True
    assert page.kept(unit, 1, mask) == 1.0
    assert page.kept(unit, 4, mask) == pytest.approx(0.25)


def test_maxima_at_random_moments_stand_in_a_wave_as_often_as_chance(seen):
    masks, generator = wave_masks(seen.simulation), np.random.default_rng(0)
    even = [page.Summaries(1, 50, None, None, generator.uniform(0, 1000, (48, 9, 200)))]
    assert all(share == pytest.approx(1, abs=0.1) for share in page.moments_in_waves(even, masks).values())
    row, column = np.nonzero(masks["QRS"])
    marked = np.array([generator.choice(column[row == record], (9, 5)) for record in range(48)])
    found = page.moments_in_waves([page.Summaries(1, 50, None, None, marked)], masks)
    assert found["QRS"] == pytest.approx(1 / masks["QRS"].mean()) and found["rest"] == 0


def test_separation_is_the_auroc_on_its_better_side():
    generator = np.random.default_rng(0)
    positive, features = generator.integers(0, 2, 60), generator.normal(size=(60, 3))
    features[:, 1] = 0
    features[:, 2] = -positive
    found = page.separation(features, positive)
    auroc = roc_auc_score(positive, features[:, 0])
    assert found[0] == pytest.approx(max(auroc, 1 - auroc))
    assert found[1:].tolist() == [0.5, 1.0]


def test_classes_with_few_records_are_left_out(seen):
    by_class = page.separations(page.summaries(seen.model, seen.x), seen.simulation.labels, seen.simulation.classes)
    counts = dict(zip(seen.simulation.classes, seen.simulation.labels.sum(0), strict=True))
    assert set(by_class) == {name for name, count in counts.items() if count >= page.FEWEST}
    assert all(mean.shape == maximum.shape == (16,) for rates in by_class.values() for mean, maximum in rates)


def test_weight_on_the_maximum_is_a_share_of_the_linear_map(seen):
    torch.manual_seed(0)
    model = build_model("multi_res_trans", SignalSpec(12, 1000, 100), 9, widths=(8, 16), dim=8)
    with torch.no_grad():
        model.rates[0].project.weight[:, :16] = 0
    assert page.weight_on_maximum(model)[0] == 1.0
    assert all(0.3 < share < 0.7 for share in page.weight_on_maximum(seen.model))


def test_pictures_are_drawn_and_words_have_numbers(seen):
    rates, pooling = page.rate_figure(seen), page.pooling_figure(seen)
    assert len(rates.get_axes()) == 7 and len(pooling.get_axes()) % 4 == 0
    assert named(seen.simulation, page.SHOWN) in rates.get_suptitle() and "PVC" in rates.get_suptitle()
    for figure in (rates, pooling):
        page.plt.close(figure)
    words = page.in_words(seen)
    assert "nan" not in words and "QRS" in words


def test_the_paper_is_quoted_from_the_reported_numbers():
    assert "0.77" in page.reported() and "PTB-XL" in page.reported()
