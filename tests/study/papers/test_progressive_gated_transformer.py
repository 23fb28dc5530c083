"""MPGT's page: the parts of each sum, a gate's variance, its course around a beat, and gates held constant."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from ecgstudy.data.synthetic import simulate
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.progressive_gated_transformer import gates
from ecgstudy.study.papers import progressive_gated_transformer as page
from ecgstudy.study.papers.simulated import SEED, Subject

SIGNAL = SignalSpec(12, 320, 100)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model("progressive_gated_transformer", SIGNAL, 9, width=16, stem_width=8).eval()


def records(n=3):
    return torch.randn(n, 12, SIGNAL.n_samples, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_the_two_parts_of_each_sum(model):
    x = records()
    found = page.contributions(model, x)
    fine = model.levels[0].fine(model.fine(x))
    weighed = fine * model.levels[0].merge.gate(fine)
    np.testing.assert_allclose(found[1][0], weighed.square().mean(-1).sqrt(), rtol=1e-3)
    np.testing.assert_allclose(found[1][1], model.levels[0].coarse(model.coarse(x)).square().mean(-1).sqrt(), rtol=1e-4)
    assert list(found) == [1, 2, 3] and found[3][0].shape == (3, 40)


def test_the_variance_divides_into_channels_records_and_time():
    channels, people, times = np.arange(4.0), np.arange(3.0) * 10, np.arange(5.0) * 100
    shape = np.zeros((3, 5, 4))
    assert page.variance_shares(shape + channels).tolist() == [1, 0, 0]
    assert page.variance_shares(shape + people[:, None, None]).tolist() == [0, 1, 0]
    assert page.variance_shares(shape + times[:, None]).tolist() == [0, 0, 1]
    mixed = np.random.default_rng(0).normal(size=(3, 5, 4))
    assert page.variance_shares(mixed).sum() == pytest.approx(1)
    assert page.variance_shares(shape).tolist() == [0, 0, 0]


def test_gates_held_constant(model):
    x = records()
    with torch.no_grad():
        logits = model(x).numpy()
    assert np.abs(page.logits_with_constant_gates(model, x) - logits).max() > 0
    for gate in gates(model).values():
        torch.nn.init.zeros_(gate.weigh.weight)                     # now they are constant by themselves
    with torch.no_grad():
        logits = model(x).numpy()
    np.testing.assert_allclose(page.logits_with_constant_gates(model, x), logits, atol=1e-5)
    assert page.moved_by_constant_gates(model, x).max() < 1e-3
    assert not any(gate._forward_hooks for gate in gates(model).values())


def test_the_course_around_a_beat_keeps_what_is_tied_to_it():
    """A gate that rises in the token 0.2 s after each beat, in one of two channels; a rise anywhere else cancels or is not seen."""
    r = np.array([2.0, 4.0, 6.0])
    simulation = simulate(0, [0])
    object.__setattr__(simulation, "beats", pd.DataFrame({"record": 0, "r": r}))
    given = np.full((1, 125, 2), 0.5)
    given[0, [int((each + 0.2) * 100) // 8 for each in r], 0] = 0.6
    lag, found = page.around_beats(given, simulation)
    peak = lag[np.nanargmax(found)]
    assert 0.12 <= peak <= 0.28 and np.nanmax(found) == pytest.approx((0.1 - 3 * 0.1 / 125) / np.sqrt(2), abs=1e-6)
    assert np.nanmin(found) < 0.005 and page.AROUND[0] < lag[0] < lag[-1] < page.AROUND[1]


def test_the_pictures_and_the_words(model, monkeypatch):
    simulation = simulate(SEED, range(3))
    seen = Subject(model, model, None, simulation, torch.from_numpy(simulation.signals), simulation.classes)
    monkeypatch.setattr(page, "SHOWN", 2)
    monkeypatch.setattr(page, "save_picture", lambda figure, request: None)
    drawn = page.gate_figure(seen, type("Found", (), {"page": type("Page", (), {"request": None})})())
    assert len(drawn.axes) == 2 * 4 + 1 and drawn.axes[2].get_ylabel() == "level 1\nchannel"
    assert [tick.get_text() for tick in page.constancy_figure(seen).axes[2].get_yticklabels()] == list(simulation.classes)
    told = page.in_words(seen)
    assert "On 3 simulated records" in told and "of the possible 0.269 to 0.731" in told
    plt.close("all")
