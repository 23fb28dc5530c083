"""MINA: shapes, every level against loops that follow the formulas, what the hints do, and refusals."""

from __future__ import annotations

import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.mina import GuidedAttention
from ecgstudy.study.complexity import count_parameters

SIGNAL = SignalSpec(12, 1000, 100)


def built(signal: SignalSpec = SIGNAL, n_classes: int = 9, **settings):
    torch.manual_seed(0)
    return build_model("mina", signal, n_classes, **settings).eval()


def records(n_records: int = 2, signal: SignalSpec = SIGNAL) -> torch.Tensor:
    return torch.randn(n_records, signal.n_leads, signal.n_samples, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_shapes_and_weights_that_sum_to_one():
    model, x = built(), records()
    readings, power = model.read(x)
    assert len(readings) == 4 and power.shape == (2, 4)
    for reading in readings:
        assert reading.beat.shape == reading.beat_knowledge.shape == (2, 50, 10)
        assert reading.rhythm.shape == reading.rhythm_knowledge.shape == (2, 50) and reading.feature.shape == (2, 32)
        torch.testing.assert_close(reading.beat.sum(dim=-1), torch.ones(2, 50))
        torch.testing.assert_close(reading.rhythm.sum(dim=-1), torch.ones(2))
    features = model.forward_features(x)
    assert features.shape == (2, 33, 4) and torch.equal(features[:, -1], power)
    assert torch.equal(model.head(features), model(x))


def test_the_published_size_has_the_published_count():
    """One lead, two classes, sizes in samples as the code has them."""
    published = {"segment": 50, "kernel": 32, "stride": 2, "width": 8, "band_attention": 2}
    assert count_parameters(built(SignalSpec(1, 3000, 100), 2, **published)) == 115_274


def attend_by_hand(attention: GuidedAttention, values: torch.Tensor, knowledge: torch.Tensor) -> torch.Tensor:
    """values [N, D], knowledge [N]: one score at a time."""
    w, v = attention.into.weight, attention.score.weight[0]
    scores = torch.stack([v @ torch.tanh(w @ torch.cat([value, hint.view(1)])) for value, hint in zip(values, knowledge, strict=True)])
    weights = scores.exp() / scores.exp().sum()
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


@torch.no_grad()
def test_the_logits_are_the_formulas_followed_step_by_step():
    """One short record, segment by segment and position by position: no batch of segments, no convolution operator."""
    signal = SignalSpec(2, 80, 100)
    model, x = built(signal), records(1, signal)
    bands = model.bands(x)[0]                                                           # [F, L, T]
    features, power = [], []
    for network, band in zip(model.networks, bands, strict=True):
        conv, sharp = network.conv[0], network.sharpness[0]
        change = torch.zeros_like(band)
        change[:, 1:] = (band[:, 1:] - band[:, :-1]).abs()
        waves, spreads = [], []
        for m in range(4):
            piece, sharper = band[:, 20 * m:20 * m + 20], change[:, 20 * m:20 * m + 20]
            found = torch.stack([(conv.weight * piece[:, p:p + 11]).sum(dim=(1, 2)) + conv.bias for p in range(10)]).relu()
            hints = torch.stack([(sharp.weight * sharper[:, p:p + 11]).sum() + sharp.bias[0] for p in range(10)]).relu()
            waves.append(attend_by_hand(network.beat, found, hints))
            spreads.append(((piece - piece.mean(dim=1, keepdim=True)).square().mean(dim=1)).sqrt().mean())
        states = network.lstm(torch.stack(waves).unsqueeze(0))[0][0]
        summary = attend_by_hand(network.rhythm, states, torch.stack(spreads))
        features.append((network.project[0].weight @ summary + network.project[0].bias).relu())
        power.append(torch.log(1 + band.square().mean()))
    pooled = attend_by_hand(model.head.attention, torch.stack(features), torch.stack(power))
    expected = model.head.classify.weight @ pooled + model.head.classify.bias
    torch.testing.assert_close(model(x)[0], expected, atol=1e-5, rtol=1e-4)


def test_knowledge_steers_the_weights_and_is_not_summed():
    torch.manual_seed(0)
    attention, values = GuidedAttention(6, 4), torch.randn(1, 5, 6)
    low, high = torch.zeros(1, 5, 1), torch.zeros(1, 5, 1)
    high[0, 2] = 5.0
    (_, before), (_, after) = attention(values, low), attention(values, high)
    assert not torch.allclose(before, after)
    same = torch.ones(1, 5, 6)
    torch.testing.assert_close(attention(same, low)[0], attention(same, high)[0])


@pytest.mark.parametrize("level", ["beat", "rhythm", "frequency"])
def test_each_hint_moves_the_logits_and_none_does_when_left_out(level):
    """The same weights with one hint, and without any: only what is given can change the answer."""
    given, without, x = built(knowledge=(level,)), built(knowledge=()), records()
    with torch.no_grad():
        assert not torch.equal(given(x), without(x))
        for network in without.networks:
            torch.nn.init.normal_(network.sharpness[0].weight)
        assert torch.equal(without(x), built(knowledge=())(x))


def test_power_is_that_of_the_periodogram():
    """Parseval: of a record without a mean, the mean square is the sum of the one-sided periodogram times fs / T."""
    from scipy.signal import periodogram

    x = records(1, SignalSpec(1, 1000, 100))
    x = x - x.mean(dim=-1, keepdim=True)
    _, density = periodogram(x[0, 0].double().numpy(), fs=100)
    _, power = built(SignalSpec(1, 1000, 100)).read(x)
    assert power[0, 0].expm1().item() == pytest.approx(density.sum() * 100 / 1000, rel=1e-4)


def test_a_flat_record_has_finite_slopes():
    model, x = built(), torch.zeros(1, 12, 1000, requires_grad=True)
    model(x).sum().backward()
    assert x.grad.isfinite().all() and all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("signal", [SignalSpec(1, 1250, 250), SignalSpec(8, 333, 100), SignalSpec(2, 5000, 500)])
def test_a_segment_is_a_fifth_of_a_second_at_every_rate(signal):
    model, x = built(signal), records(1, signal)
    with torch.no_grad():
        assert model.read(x)[0][0].rhythm.shape == (1, int(signal.seconds / 0.2)) and model(x).shape == (1, 9)


def test_half_precision_training_step():
    model = built()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(records()).square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(("settings", "says"), [
    ({"knowledge": ("beats",)}, "did you mean 'beat'"), ({"kernel": 21}, "kernel is 21"), ({"edges": (0.5, 60.0)}, "half of the sampling"),
    ({"segment": 1200, "kernel": 5}, "a record of 1000 samples is shorter"), ({"width": 0}, "width is 0")])
def test_refusals(settings, says):
    with pytest.raises(ConfigurationError, match=says):
        built(**settings)
