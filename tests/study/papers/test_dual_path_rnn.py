"""What the dual-path page measures, each against a case whose answer is known."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ecgstudy.data.synthetic import simulate
from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.segments import Segmentation
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study.papers import dual_path_rnn
from ecgstudy.study.papers.simulated import Subject

HALVES = Segmentation(4, 2)


@pytest.fixture(scope="module")
def seen():
    torch.manual_seed(0)
    model = build_model("dual_path_rnn", SignalSpec(12, 1000, 100), 9, width=8, hidden=4, blocks=2).eval()
    simulation = simulate(dual_path_rnn.SEED, range(24))
    return Subject(model, model, None, simulation, torch.from_numpy(simulation.signals), simulation.classes)


def test_records_of_one_label_alone(seen):
    rows = seen.with_label("AF")
    assert rows and all(seen.simulation.labels[row].sum() == 1 for row in rows)
    with pytest.raises(ConfigurationError, match="unknown label"):
        seen.with_label("Afib")


def test_cut_and_joined_is_exactly_doubled(seen):
    found = dual_path_rnn.cut(seen, 0)
    assert found.error == 0 and found.segments.shape == (8, 24, 23)
    assert found.seconds[1] == pytest.approx(0.04) and found.seconds[-1] == pytest.approx(10)


def test_norms_over_time_stand_where_their_frames_are():
    n_frames = 12
    frames = torch.arange(n_frames, dtype=torch.float32)
    norms = HALVES.cut(frames.view(1, 1, -1))[:, 0]
    np.testing.assert_allclose(dual_path_rnn.over_time(norms, HALVES, n_frames)[0], frames.numpy())


@pytest.mark.parametrize(("walks", "share"), [(1, 0.0), (2, 1.0)])
def test_variance_inside_and_between_segments(walks, share):
    """Norms that change along the positions alone, or from segment to segment alone."""
    shape = (1, 4, HALVES.count(12))
    values = torch.arange(shape[walks], dtype=torch.float32)
    norms = (values.view(1, -1, 1) if walks == 1 else values.view(1, 1, -1)).expand(shape)
    assert dual_path_rnn.share_between(norms, HALVES, 12)[0] == pytest.approx(share)


def test_frames_near_beats(seen):
    near = dual_path_rnn.near_beats(seen, [0], 251)[0]
    for time in seen.r_peaks(0):
        assert near[min(250, round(time / 0.04))]
    assert near.sum() <= 4 * len(seen.r_peaks(0))


def test_the_norms_are_those_of_the_states(seen):
    with torch.no_grad():
        cut = seen.model.segmentation.cut(seen.model.encoder(seen.x[:2]))
        first = seen.model.paths[0]
        second = seen.model.paths[1].states(first(cut)).norm(dim=-1)
    found = dual_path_rnn.state_norms(seen.model, seen.x[:2])
    assert [direction for direction, _ in found] == ["intra", "inter"] * 2
    torch.testing.assert_close(found[0][1][0, :, 5], first.states(cut)[0, 5].norm(dim=-1))
    torch.testing.assert_close(found[1][1], second)


def test_pictures_and_words(seen):
    for draw, axes in ((dual_path_rnn.segment_figure, 6), (dual_path_rnn.state_figure, 6)):
        figure = draw(seen)
        assert len(figure.get_axes()) == axes
        plt.close(figure)
    words = dual_path_rnn.in_words(seen)
    assert "departure is 0." in words and "lies in 2 or 3" in words and "nothing was learned" in words and "nan" not in words
    assert words.count("across segments") == 2 * len(dual_path_rnn.SHOWN)
