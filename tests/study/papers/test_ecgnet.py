"""What the page of ECGNet measures, each against a case whose answer is known."""

import numpy as np
import pytest
import torch

from ecgstudy.data.synthetic import simulate
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study.papers import ecgnet
from ecgstudy.study.papers.simulated import SEED, Subject, wave_masks

SIGNAL = SignalSpec(12, 1000, 100)


@pytest.fixture(scope="module")
def simulation():
    return simulate(SEED, range(39))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model("ecgnet", SIGNAL, 9, maps=2, widen=2, hidden=6).eval()


@pytest.fixture(scope="module")
def seen(simulation, model):
    torch.manual_seed(1)
    other = build_model("ecgnet", SIGNAL, 9, maps=2, widen=2, hidden=6).eval()
    return Subject(model, other, None, simulation, torch.from_numpy(simulation.signals), simulation.classes)


def test_gain_of_a_kernel_is_its_scale_of_a_sine():
    weights = np.random.default_rng(0).normal(size=(1, 1, 15))
    frequencies, found = ecgnet.gain(weights)
    time = np.arange(1000) / 100
    filtered = np.convolve(np.sin(2 * np.pi * 12.5 * time), weights[0, 0], "valid")
    assert found[0, np.flatnonzero(frequencies == 12.5)[0]] == pytest.approx(filtered.std() * np.sqrt(2), rel=0.01)


def test_gain_adds_the_power_of_the_leads():
    weights = np.random.default_rng(0).normal(size=(1, 3, 15))
    alone = [ecgnet.gain(weights[:, [lead]])[1] for lead in range(3)]
    np.testing.assert_allclose(ecgnet.gain(weights)[1] ** 2, sum(each ** 2 for each in alone))


def test_every_sample_is_in_a_wave_or_in_the_rest(simulation):
    masks = wave_masks(simulation)
    assert (masks["rest"] == ~(masks["P"] | masks["QRS"] | masks["T"])).all()
    beat = simulation.beats.iloc[3]
    assert masks["QRS"][int(beat.record), round(beat.r * 100)] and not masks["rest"][int(beat.record), round(beat.t_peak * 100)]


def test_wave_power_is_one_for_a_map_that_does_not_care_and_high_for_one_that_marks_the_wave(simulation):
    masks = wave_masks(simulation)
    found = np.stack([np.ones_like(masks["QRS"], float), masks["QRS"].astype(float)], axis=1)
    power = ecgnet.wave_power(found, masks)
    assert all(power[wave][0] == pytest.approx(1) for wave in power)
    assert power["QRS"][1] == pytest.approx(1 / masks["QRS"].mean()) and power["rest"][1] == 0


def test_strongest_names_one_map_of_each_size(model):
    found = np.zeros((1, 8, 10))
    found[0, [1, 2, 4, 7]] = 1
    assert ecgnet.strongest(found, model.trunk.first) == [1, 2, 4, 7]


def test_sensitivity_agrees_with_moving_a_sample(model, simulation):
    x = torch.from_numpy(simulation.signals[:1]).double()
    precise = build_model("ecgnet", SIGNAL, 9, maps=2, widen=2, hidden=6).double().eval()
    precise.load_state_dict({name: value.double() for name, value in model.state_dict().items()})
    slopes = []
    for lead in range(12):
        moved = x.clone()
        moved[0, lead, 997] += 1e-6
        with torch.no_grad():
            slopes.append((precise.recurrence(moved) - precise.recurrence(x))[0, :, -1] / 1e-6)
    assert ecgnet.sensitivity(precise, x)[997] == pytest.approx(torch.stack(slopes).norm().item(), rel=1e-4)


def test_memory_of_an_even_sensitivity_is_its_share_of_the_record():
    assert ecgnet.memory(np.ones(1000), 0.9) == pytest.approx(9.0, abs=0.02)
    assert ecgnet.memory(np.eye(1000)[999]) == pytest.approx(0.01)


def test_contributions_add_up_to_the_logits(seen):
    maps, states = seen.model.branches(seen.x)
    alone = [seen.model.head(maps, torch.zeros_like(states)), seen.model.head(torch.zeros_like(maps), states)]
    for found, logits in zip(ecgnet.contributions(seen.model, seen.x), alone, strict=True):
        np.testing.assert_allclose(found, logits.detach().std(dim=0).numpy(), rtol=1e-3, atol=1e-6)


def test_fresh_weights_are_called_fresh_and_moved_ones_measured(seen):
    assert "nothing was learned" in ecgnet._moved(seen, [0.0] * 4)
    assert "30 % (15)" in ecgnet._moved(seen, [0.3, 0.1, 0.1, 0.1])
    words = ecgnet.in_words(seen)
    assert "QRS" in words and "nan" not in words


def test_pictures_are_drawn(seen):
    for draw, axes in ((ecgnet.kernel_figure, 9), (ecgnet.response_figure, 6), (ecgnet.memory_figure, 2)):
        figure = draw(seen)
        assert len(figure.get_axes()) == axes
        ecgnet.plt.close(figure)


def test_the_paper_is_quoted_from_the_reported_numbers():
    assert "0.976" in ecgnet.reported() and "MIT-BIH" in ecgnet.reported()
