"""CPC: counts in pretraining, the encoder and the LSTM against their weights, what a context may know, pooling, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.registry import build_pretrainer, model_entry
from ecgstudy.study.complexity import count_parameters

SIGNAL = SignalSpec(12, 60, 100)


def built(**settings):
    torch.manual_seed(0)
    model = build_model("cpc_ssl", SIGNAL, 5, **({"width": 8, "context": 6} | settings))
    model(records(16))                                                              # norms that do something
    return model.eval()


def records(n: int = 2) -> torch.Tensor:
    return torch.randn(n, 12, 60, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("settings", "count"), [
    ({}, 5_261_312), ({"head": "hidden"}, 5_261_312), ({"width": 256, "context": 256}, 1_319_936)])
def test_parameters_of_pretraining(settings, count):
    with torch.device("meta"):
        model = build_pretrainer("cpc_ssl", SignalSpec(12, 1000, 100), **settings)
    assert count_parameters(model) == count


def test_parameters_of_the_parts():
    with torch.device("meta"):
        model = build_pretrainer("cpc_ssl", SignalSpec(12, 1000, 100))
        hidden = build_model("cpc_ssl", SignalSpec(12, 1000, 100), 71, head="hidden")
    parts = (model.encoder.latents, model.encoder.context, model.predictor)
    assert [count_parameters(part) for part in parts] == [796_672, 4_202_496, 262_144]
    assert count_parameters(hidden) == 5_826_631                                    # the paper's 71 statements


@pytest.mark.parametrize("settings", [{}, {"width": 8, "context": 6}, {"width": 8, "context": 6, "depth": 1, "head": "hidden"}])
def test_what_is_pretrained_fits_the_classifier(settings):
    pretrained, model = build_pretrainer("cpc_ssl", SIGNAL, **settings), build_model("cpc_ssl", SIGNAL, 5, **settings)
    model.encoder.load_state_dict(pretrained.encoder.state_dict())
    assert model_entry("cpc_ssl").pretrainer is not None
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"encoder", "head"}
    x = records()
    with torch.no_grad():
        z = pretrained.eval().latents(x)
        torch.testing.assert_close(pretrained(x), pretrained.predictor(pretrained.context(z)))
        torch.testing.assert_close(model.eval().forward_features(x).transpose(1, 2), pretrained.context(z))
        assert z.shape == pretrained(x).shape == (2, 60, settings.get("width", 512))


# -- the encoder, from its weights --------------------------------------------------------------------------------------

def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def latent(w, sample):
    """One sample of all leads through the four layers: [L] -> [D]"""
    for i in range(4):
        mean, var, scale, shift = (w[f"latents.{3 * i + 1}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        sample = np.maximum((w[f"latents.{3 * i}.weight"][:, :, 0] @ sample - mean) / np.sqrt(var + 1e-5) * scale + shift, 0)
    return sample


def lstm(w, steps, layer):
    """One layer, step by step: a list of [D] -> a list of [C]"""
    h = c = np.zeros(w[f"context.lstm.weight_hh_l{layer}"].shape[1])
    states = []
    for step in steps:
        gates = sum(w[f"context.lstm.{kind}_l{layer}"] for kind in ("bias_ih", "bias_hh"))
        gates = gates + w[f"context.lstm.weight_ih_l{layer}"] @ step + w[f"context.lstm.weight_hh_l{layer}"] @ h
        enter, forget, new, leave = np.split(gates, 4)
        c = sigmoid(forget) * c + sigmoid(enter) * np.tanh(new)
        h = sigmoid(leave) * np.tanh(c)
        states.append(h)
    return states


@torch.no_grad()
def test_the_encoder_is_the_one_of_the_formulas():
    model, x = built(), records(1)
    w = {name: value.double().numpy() for name, value in model.encoder.state_dict().items()}
    z = [latent(w, sample) for sample in x[0].T.double().numpy()]
    c = np.stack(lstm(w, lstm(w, z, 0), 1))
    np.testing.assert_allclose(model.encoder.latents(x)[0].numpy(), np.stack(z), atol=2e-5)
    np.testing.assert_allclose(model.encoder(x)[0].numpy(), c, atol=2e-5)
    pooled = np.concatenate([c.mean(axis=0), c.max(axis=0), c[-1]])
    head = model.head[-1]
    np.testing.assert_allclose(model(x)[0].numpy(), head.weight.double().numpy() @ pooled + head.bias.double().numpy(), atol=2e-5)


@torch.no_grad()
def test_a_latent_sees_its_own_sample_and_a_context_the_past():
    model, x = built(), records(1)
    changed = x.clone()
    changed[..., 30] += 1
    moved = [(part(changed) - part(x)).abs().amax(dim=(0, 2)).nonzero().flatten().tolist()
             for part in (model.encoder.latents, model.encoder)]
    assert moved[0] == [30]
    assert moved[1][0] == 30 and len(moved[1]) > 5                                  # and it is remembered


@torch.no_grad()
def test_the_hidden_head_is_the_one_of_the_table():
    model, x = built(head="hidden"), records()
    pool, *layers = model.head
    assert [type(layer).__name__ for layer in layers] == ["BatchNorm1d", "Dropout", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear"]
    assert [layer.p for layer in layers if isinstance(layer, torch.nn.Dropout)] == [0.25, 0.5]
    y = pool(model.forward_features(x))
    assert y.shape == (2, 18)
    torch.testing.assert_close(model(x), layers[6](layers[4](layers[2](layers[0](y)).relu())))


def test_the_quick_size_is_one_that_two_cores_can_train():
    with torch.device("meta"):
        model = build_model("cpc_ssl", SignalSpec(12, 1000, 100), 9, **model_entry("cpc_ssl").quick)
    assert count_parameters(model) < 50_000


@pytest.mark.parametrize(("settings", "says"), [
    ({"width": 0}, "width is 0; it must be a whole number of at least 1"),
    ({"context": 1.5}, "context is 1.5"),
    ({"depth": -1}, "depth is -1"),
    ({"head": "hiden"}, "unknown head 'hiden'; did you mean 'hidden'"),
])
def test_refuses_what_the_design_cannot_take(settings, says):
    with pytest.raises(ConfigurationError, match=says):
        build_model("cpc_ssl", SIGNAL, 5, **settings)
    with pytest.raises(ConfigurationError, match=says):
        build_pretrainer("cpc_ssl", SIGNAL, **settings)
