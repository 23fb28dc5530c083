"""What the page of MAMIL measures, against cases whose answer is known."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.multimodal_mil import N_PATCHES, Fused
from ecgstudy.study.papers import multimodal_mil as page
from ecgstudy.study.papers.simulated_beats import simulated_beats


@pytest.fixture(scope="module")
def seen():
    torch.manual_seed(0)
    model = build_model("multimodal_mil", SignalSpec(12, 1000, 100), 9, width=8).eval()
    return page.Subject(model, "fresh weights", simulated_beats(None, 8, 24))


def told(seen, top, weights):
    """The same subject with another answer of the network."""
    other = dataclasses.replace(seen)
    other.__dict__["fused"] = Fused(seen.fused.scores, top, weights, seen.fused.vectors)
    return other


def test_a_network_that_points_at_early_beats_is_found_out(seen):
    early = np.isin(seen.beats.kinds.astype(str), page.ECTOPIC)
    top = torch.from_numpy(np.stack([early.argmax(axis=1), np.full(len(early), seen.n_slots)], axis=1))
    n_mixed, hits, lot = page.chosen_early(told(seen, top, seen.fused.weights))
    assert n_mixed == hits == early.any(axis=1).sum() > 0 and 0 < lot < hits
    late = torch.from_numpy(np.stack([(~early & seen.beats.held).argmax(axis=1), np.full(len(early), seen.n_slots)], axis=1))
    assert page.chosen_early(told(seen, late, seen.fused.weights))[1] == 0


def test_even_weights_gather_by_number(seen):
    held = torch.cat([seen.beats.peaks >= 0, torch.ones(8, N_PATCHES, dtype=torch.bool)], dim=1).float()
    even = (held / held.sum(dim=1, keepdim=True))[:, None].expand(-1, 2, -1)
    shares = page.gathered(told(seen, seen.fused.top, even))
    np.testing.assert_allclose(shares, [[page.by_number(seen), 1 - page.by_number(seen)]] * 2, rtol=1e-5)


def test_empty_slots_get_nothing(seen):
    weights = seen.fused.weights[..., :seen.n_slots].numpy()
    assert (weights.transpose(1, 0, 2)[:, ~seen.beats.held] == 0).all()


def test_pictures_and_words_agree_with_the_numbers(seen):
    n_mixed, hits, lot = page.chosen_early(seen)
    words = page.in_words(seen)
    assert f"early one in {hits} of them; drawn by lot it would be in {lot:.1f}" in words
    figure = page.choice_figure(seen)
    assert figure.axes[0].get_xlabel() == f"of {n_mixed} records with early beats"
    plt.close(figure)
