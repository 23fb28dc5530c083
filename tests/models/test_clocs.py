"""CLOCS' encoder and classifier: counts, shapes, views, a plain re-computation, flat views, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.clocs import Contrasted, steps_left, unit_range
from ecgstudy.models.registry import build_pretrainer
from ecgstudy.study.complexity import count_parameters

SIGNAL = SignalSpec(12, 320, 100)
OFFICIAL = SignalSpec(12, 5000, 500)        # two views of 2,500 samples


def built(signal=SIGNAL, n_classes=5, **settings) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model("clocs", signal, n_classes, **settings).eval()


def records(n: int = 2, signal: SignalSpec = SIGNAL) -> torch.Tensor:
    return torch.randn(n, signal.n_leads, signal.n_samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("embedding", "count"), [(320, 106_936), (256, 86_392), (128, 45_304), (64, 24_760), (32, 14_488)])
def test_the_official_encoder_has_its_parameters(embedding, count):
    assert count_parameters(build_pretrainer("clocs", OFFICIAL, strides=(3, 3, 3), embedding=embedding)) == count


@pytest.mark.parametrize(("settings", "encoder", "whole"), [
    ({}, 49_400, 63_233), ({"channels": (32, 64, 128)}, 252_928, 266_761), ({"reads": "views"}, 49_400, 50_561)])
def test_the_studys_sizes(settings, encoder, whole):
    signal = SignalSpec(12, 1000, 100)
    model, trained_alone = build_model("clocs", signal, 9, **settings), build_pretrainer("clocs", signal, **settings)
    assert count_parameters(model.encoder) == count_parameters(trained_alone) == encoder and count_parameters(model) == whole


@pytest.mark.parametrize(("n_samples", "kernel", "strides"), [
    (500, 7, (2, 2, 1)), (2500, 7, (3, 3, 3)), (153, 7, (2, 2, 1)), (150, 5, (1, 2, 3))])
def test_steps_left_are_those_of_the_layers(n_samples, kernel, strides):
    x = torch.zeros(1, 1, n_samples)
    for stride in strides:
        x = torch.nn.functional.max_pool1d(torch.nn.functional.conv1d(x, torch.zeros(1, 1, kernel), stride=stride), 2)
    assert steps_left(n_samples, kernel, strides) == x.shape[-1] > 0


# -- the encoder and both heads, in loops -------------------------------------------------------------------------------

def plain_embedding(encoder, view, strides=(2, 2, 1)):
    """One view [t] to [E] by sums."""
    x = ((view - view.min()) / (view.max() - view.min()))[None]
    for stage, stride in zip(encoder.stages, strides, strict=True):
        w = {name: value.double().numpy() for name, value in stage.state_dict().items()}
        kernel = w["0.weight"]                                                      # [out, in, k]
        n = (x.shape[1] - kernel.shape[2]) // stride + 1
        y = np.stack([(kernel * x[:, stride * i:stride * i + kernel.shape[2]]).sum(axis=(1, 2)) + w["0.bias"] for i in range(n)], axis=1)
        y = (y - w["1.running_mean"][:, None]) / np.sqrt(w["1.running_var"] + 1e-5)[:, None] * w["1.weight"][:, None] + w["1.bias"][:, None]
        y = np.maximum(y, 0)
        x = np.stack([y[:, 2 * i:2 * i + 2].max(axis=1) for i in range(n // 2)], axis=1)
    return encoder.project.weight.double().numpy() @ x.reshape(-1) + encoder.project.bias.double().numpy()


@pytest.mark.parametrize("reads", ["leads", "views"])
@torch.no_grad()
def test_the_classifier_is_the_one_of_the_formulas(reads):
    model, x = built(reads=reads), records(3)
    model.train()(records(8))                                                       # norms that do something
    model.eval()
    weight, bias = model.head.classify.weight.double().numpy(), model.head.classify.bias.double().numpy()
    for record, logits in zip(x.double().numpy(), model(x).numpy(), strict=True):
        first, second = ([plain_embedding(model.encoder, lead[part]) for lead in record] for part in (slice(0, 160), slice(160, 320)))
        if reads == "leads":
            expected = weight @ np.concatenate([(a + b) / 2 for a, b in zip(first, second, strict=True)]) + bias
        else:
            p = np.mean([1 / (1 + np.exp(-(weight @ v + bias))) for v in (*first, *second)], axis=0)
            expected = np.log(p / (1 - p))
        np.testing.assert_allclose(logits, expected, atol=2e-4)


@torch.no_grad()
def test_a_lead_and_a_segment_move_their_own_embedding_alone():
    model, x = built(), records(1)
    assert model.forward_features(x).shape == (1, 128, 12, 2)
    changed = x.clone()
    changed[0, 3, 200] += 5
    moved = (model.forward_features(changed) - model.forward_features(x)).abs().amax(dim=1)[0]          # [L, S]
    assert moved.nonzero().tolist() == [[3, 1]]


@torch.no_grad()
def test_an_odd_sample_is_not_read():
    model = built(SignalSpec(12, 321, 100))
    x = records(2, SignalSpec(12, 321, 100))
    last = x.clone()
    last[..., -1] = 9
    assert torch.equal(model(x), model(last))


@torch.no_grad()
def test_the_encoder_is_blind_to_scale_and_offset_of_a_view():
    encoder, views = built().encoder, records(2).reshape(-1, 1, 160)
    torch.testing.assert_close(encoder(3 * views - 7), encoder(views), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(encoder(-views), encoder(views), atol=1e-2)


def test_a_flat_view_is_zero_and_has_a_gradient():
    x = records(2)
    x[0, :, 160:], x[1] = 0.25, -3.0
    assert unit_range(x)[1].abs().max() == 0
    assert unit_range(x[0, :, :160]).amin() == 0 and unit_range(x[0, :, :160]).amax() == 1
    x.requires_grad_()
    model = built()
    model(x).sum().backward()
    assert x.grad.isfinite().all() and all(p.grad.isfinite().all() for p in model.parameters())


def test_the_pretrained_encoder_goes_into_the_classifier():
    model, alone = built(), build_pretrainer("clocs", SIGNAL)
    assert isinstance(alone, Contrasted) and not alone.leads_together
    assert {name for name, _ in alone.named_children()} == {"encoder"}
    model.encoder.load_state_dict(alone.encoder.state_dict())
    alone.eval()
    views = records(1)[0].unflatten(1, (2, 160)).flatten(0, 1)[:, None]             # lead by lead, [24, 1, 160]
    with torch.no_grad():
        embedded = alone.embed(views)
        assert embedded.shape == (24, 128) and torch.equal(alone(views), embedded)
        torch.testing.assert_close(model.forward_features(records(1))[0, :, 2, 1], embedded[5])


@pytest.mark.parametrize(("signal", "settings", "says"), [
    (SignalSpec(12, 200, 100), {}, "200 samples, so a segment has 100, of which kernels of 7 and strides .* give at least 306 samples"),
    (SignalSpec(12, 300, 100), {"strides": (3, 3, 3)}, "300 samples, so a segment has 150"),
    (SIGNAL, {"channels": (4, 16)}, "channels is .4, 16.; give 3, one a stage"),
    (SIGNAL, {"strides": (2, 2, 1, 1)}, "strides is .2, 2, 1, 1.; give 3"),
    (SIGNAL, {"strides": (2, 0, 1)}, r"strides\[1\] is 0"),
    (SIGNAL, {"kernel": 0}, "kernel is 0"),
    (SIGNAL, {"embedding": 1.5}, "embedding is 1.5"),
    (SIGNAL, {"dropout": 1}, "dropout is 1; it must be from 0"),
    (SIGNAL, {"reads": "lead"}, "unknown reads 'lead'; did you mean 'leads'"),
])
def test_refuses_what_the_design_cannot_take(signal, settings, says):
    for build in (lambda: build_model("clocs", signal, 5, **settings), lambda: build_pretrainer("clocs", signal, **settings)):
        with pytest.raises(ConfigurationError, match=says):
            build()


def test_the_shortest_signal_named_in_the_refusal_is_taken():
    assert built(SignalSpec(12, 306, 100))(records(1, SignalSpec(12, 306, 100))).shape == (1, 5)
