"""MRTNet against a slow recomputation of its parts; its shapes, what is shared, its refusals."""

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.attention.capture import capture_attention
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.multi_res_trans import PoolingPair, SqueezeExciteBlock, Units

SIGNAL = SignalSpec(12, 1000, 100)
NARROW = {"widths": (8, 16), "dim": 8}


def built(signal=SIGNAL, **settings):
    torch.manual_seed(0)
    return build_model("multi_res_trans", signal, 9, **settings).eval()


def records(n_samples=1000, n_records=2):
    return torch.randn(n_records, 12, n_samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("n_samples", "n_units"), [(1000, 9), (200, 1), (201, 2), (999, 9), (333, 3)])
def test_units_are_windows_and_nothing_is_lost(n_samples, n_units):
    x = records(n_samples)
    found, padded = Units(200, 100)(x), torch.nn.functional.pad(x, (0, 200))
    assert found.shape == (2, n_units, 12, 200)
    for unit in range(n_units):
        assert torch.equal(found[:, unit], padded[..., 100 * unit:100 * unit + 200])
    assert 100 * (n_units - 1) + 200 >= n_samples


def test_a_block_is_squeeze_and_excitation_before_the_shortcut():
    torch.manual_seed(0)
    block, x = SqueezeExciteBlock(8, 16, 5, stride=2).eval(), torch.randn(2, 8, 21)
    with torch.no_grad():
        u = block.residual(x)
        gate = block.gate
        hidden = np.maximum(gate.squeeze.weight.numpy() @ u.mean(-1).numpy().T + gate.squeeze.bias.numpy()[:, None], 0)
        weights = 1 / (1 + np.exp(-(gate.excite.weight.numpy() @ hidden + gate.excite.bias.numpy()[:, None])))     # [C, B]
        expected = np.maximum(u.numpy() * weights.T[..., None] + block.shortcut(x).numpy(), 0)
        np.testing.assert_allclose(block(x).numpy(), expected, atol=1e-5)
    assert block.gate.squeeze.out_features == 4 and SqueezeExciteBlock(128, 128, 5).gate.squeeze.out_features == 8


@pytest.mark.parametrize(("pooling", "expected"), [("both", [2.0, 5.0]), ("mean", [2.0]), ("max", [5.0])])
def test_the_pooling_pair(pooling, expected):
    assert PoolingPair(pooling)(torch.tensor([[[0.0, 1.0, 5.0]]])).tolist() == [expected]


def test_rates_are_means_of_the_same_unit():
    model, x = built(**NARROW), records(n_records=1)
    units = model.units(x)[0]
    for factor, rate in zip((1, 2, 4), model.rates, strict=True):
        sampled = rate.sample(units)
        expected = np.stack([units[..., start:start + factor].mean(-1).numpy() for start in range(0, 200, factor)], axis=-1)
        np.testing.assert_allclose(sampled.numpy(), expected, atol=1e-6)


def test_shapes_at_each_stage_of_the_study_configuration():
    model, x = built(), records(n_records=1)
    units = model.units(x).flatten(0, 1)
    assert [tuple(rate.stem(rate.sample(units)).shape) for rate in model.rates] == [(9, 64, 100), (9, 64, 50), (9, 64, 25)]
    assert [tuple(rate.maps(units).shape) for rate in model.rates] == [(9, 128, 50), (9, 128, 25), (9, 128, 13)]
    assert [tuple(vectors.shape) for vectors in model.unit_vectors(x)] == [(1, 9, 128)] * 3
    assert model.forward_features(x).shape == (1, 384, 9)


def test_one_encoder_serves_every_rate_and_sees_the_order_of_the_units():
    model, x = built(**NARROW), records()
    first, second, third = model.unit_vectors(x)
    joined = torch.cat([model.encoder(vectors).mean(dim=1) for vectors in (first, second, third)], dim=-1)
    torch.testing.assert_close(model(x), model.head[-1](joined))
    moved = model.encoder(first.flip(1)).flip(1)
    assert not torch.allclose(model.encoder(first), moved, atol=1e-3)
    with capture_attention(model) as maps:
        model(x)
    assert len(maps) == 2 and all(found.shape == (2, 4, 9, 9) for found in maps.values())


def test_windows_and_kernels_keep_their_seconds_at_another_rate():
    model = built(SignalSpec(12, 2500, 250), **NARROW)
    assert (model.units.window, model.units.hop) == (500, 250)
    assert model.rates[0].stem[0].kernel_size == (19,) and model.rates[0].stages[0].residual[0].kernel_size == (13,)


def test_one_rate_is_a_network():
    assert built(rates=(2,), **NARROW)(records()).shape == (2, 9)


@pytest.mark.parametrize(("signal", "settings", "words"), [
    (SignalSpec(12, 199, 100), {}, ("199 samples", "200 (2 s)", "longer")),
    (SIGNAL, {"pooling": "mean_max"}, ("unknown pooling 'mean_max'", "both")),
    (SIGNAL, {"widths": (64,)}, ("1 widths", "two")),
    (SIGNAL, {"rates": (1, 0)}, ("rates[1] is 0",)),
    (SIGNAL, {"dim": 30}, ("dim is 30", "heads 4")),
])
def test_refusals_name_the_value_and_the_fix(signal, settings, words):
    with pytest.raises(ConfigurationError) as refused:
        built(signal, **settings)
    assert all(word in str(refused.value) for word in words)
