"""What MINA's page measures, each against a case whose answer is known."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ecgstudy.data.synthetic import simulate
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.mina import GuidedAttention
from ecgstudy.study.papers import mina
from ecgstudy.study.papers.simulated import Subject

SIGNAL = SignalSpec(12, 1000, 100)


@pytest.fixture(scope="module")
def seen():
    torch.manual_seed(0)
    simulation = simulate(mina.SEED, range(mina.N_RECORDS))
    model = build_model("mina", SIGNAL, 9).eval()
    return Subject(model, model, None, simulation, torch.from_numpy(simulation.signals), simulation.classes)


def test_looks_are_the_readings_on_the_record_s_time(seen):
    found = mina.looks(seen.model, seen.x[:2])
    with torch.no_grad():
        reading = seen.model.read(seen.x[:2])[0][3]
    np.testing.assert_array_equal(found.rhythm[:, 3], reading.rhythm.numpy())
    np.testing.assert_array_equal(found.sharpness[:, 3], reading.beat_knowledge.numpy())
    assert found.positions[0, 0] == pytest.approx(0.05) and found.positions[-1, -1] == pytest.approx(9.94) and found.segment == 0.2
    np.testing.assert_allclose(found.frequency.sum(axis=-1), 1, rtol=1e-5)


def test_the_spread_is_highest_where_a_beat_is(seen):
    row = seen.with_label("Normal")[0]
    spread = mina.looks(seen.model, seen.x[row:row + 1]).spread[0, mina.BAND]
    middle = (spread.argmax() + 0.5) * 0.2
    assert np.abs(seen.r_peaks(row) - middle).min() < 0.15          # in the segment, or just past its edge


@pytest.mark.parametrize("level", ["beat", "rhythm", "frequency"])
def test_taking_a_hint_away_is_building_without_it(seen, level):
    rest = tuple(each for each in mina.LEVELS if each != level)
    other = build_model("mina", SIGNAL, 9, knowledge=rest).eval()
    other.load_state_dict(seen.model.state_dict())
    with torch.no_grad():
        before = seen.model(seen.x[:2])
        with mina.without_hint(seen.model, level):
            assert torch.equal(seen.model(seen.x[:2]), other(seen.x[:2]))
        assert torch.equal(seen.model(seen.x[:2]), before)


def test_rank_correlation():
    rising, falling = np.array([[1.0, 2.0, 5.0]]), np.array([[9.0, 3.0, 1.0]])
    assert mina.rank_correlation(rising, rising ** 3) == pytest.approx(1)
    assert mina.rank_correlation(np.concatenate([rising, rising]), np.concatenate([falling, np.ones((1, 3))])) == pytest.approx(-1)
    assert np.isnan(mina.rank_correlation(rising, np.zeros((1, 3))))


def test_weights_that_do_not_choose_have_a_peak_of_one(seen):
    even = build_model("mina", SIGNAL, 9).eval()
    for module in even.modules():
        if isinstance(module, GuidedAttention):
            torch.nn.init.zeros_(module.score.weight)
    found = mina.heeds(Subject(even, even, None, seen.simulation, seen.x[:8], seen.classes))
    assert [each.level for each in found] == list(mina.LEVELS)
    assert all(each.peak == pytest.approx(1, rel=1e-4) and each.moved == pytest.approx(0, abs=1e-4) for each in found)


def test_picture_and_words(seen):
    figure = mina.attention_figure(seen)
    assert len(figure.get_axes()) == 7
    plt.close(figure)
    words = mina.in_words(seen)
    assert "beat: positions in a segment" in words and "0.5–40 Hz" in words and "nothing was learned" in words and "nan" not in words


def test_the_paper_is_quoted_from_the_reported_numbers():
    assert "0.9488" in mina.reported() and "AF against all else" in mina.reported()
