"""The frequency network and the two streams: the counts, the shapes, and that each stream sees what it should."""

from __future__ import annotations

import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study import complexity

SIGNAL = SignalSpec(12, 1000, 100)


def records(n_records: int = 2, n_samples: int = 1000) -> torch.Tensor:
    return torch.randn(n_records, 12, n_samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "parameters", "macs"), [
    ("stft_resnet34", 21_317_513, "233.96M"), ("two_stream", 28_545_289, "591.71M")])
def test_counts(name, parameters, macs):
    model = build_model(name, SIGNAL, 9)
    assert complexity.count_parameters(model) == complexity.notes_parameters(model) == parameters
    assert complexity.notes_print(complexity.notes_macs(model, SIGNAL)) == macs


def test_the_streams_cost_what_their_networks_cost():
    counted = [complexity.macs(build_model(name, SIGNAL, 9, width=8), SIGNAL) for name in ("resnet34", "stft_resnet34", "two_stream")]
    assert counted[2] == counted[0] + counted[1]


def test_stage_shapes():
    model, x = build_model("stft_resnet34", SIGNAL, 9, width=8).eval(), records()
    with torch.no_grad():
        x = model.stem(model.spectrogram(x))
        shapes = [x.shape]
        for stage in model.stages:
            x = stage(x)
            shapes.append(x.shape)
        assert torch.equal(model.forward_features(records()), x)
    assert [tuple(shape[1:]) for shape in shapes] == [(8, 13, 11), (8, 13, 11), (16, 7, 6), (32, 4, 3), (64, 2, 2)]


def test_the_head_of_two_streams_reads_the_time_features_first():
    model, x = build_model("two_stream", SIGNAL, 9, width=8).eval(), records()
    with torch.no_grad():
        maps, features = model.feature_maps(x), model.forward_features(x)
    assert maps["time"].shape == (2, 64, 32) and maps["frequency"].shape == (2, 64, 2, 2) and features.shape == (2, 128, 1)
    torch.testing.assert_close(features[:, :64, 0], maps["time"].mean(dim=-1))
    torch.testing.assert_close(features[:, 64:, 0], maps["frequency"].mean(dim=(-2, -1)))


def test_the_time_stream_is_resnet34():
    torch.manual_seed(0)
    alone = build_model("resnet34", SIGNAL, 9, width=8).eval()
    torch.manual_seed(0)
    beside = build_model("two_stream", SIGNAL, 9, width=8).eval()
    with torch.no_grad():
        assert torch.equal(beside.feature_maps(records())["time"], alone.forward_features(records()))


def test_the_image_does_not_know_the_sign_of_the_trace():
    """Magnitudes lose polarity, so an inverted record is the same image and another trace."""
    model = build_model("two_stream", SIGNAL, 9, width=8).eval()
    with torch.no_grad():
        upright, inverted = model.feature_maps(records()), model.feature_maps(-records())
    torch.testing.assert_close(upright["frequency"], inverted["frequency"])
    assert not torch.allclose(upright["time"], inverted["time"])


@pytest.mark.parametrize("name", ["stft_resnet34", "two_stream"])
@pytest.mark.parametrize(("n_samples", "fs"), [(100, 100), (333, 100), (5000, 500), (2500, 250)])
def test_lengths_and_rates(name, n_samples, fs):
    model = build_model(name, SignalSpec(12, n_samples, fs), 5, width=8).eval()
    with torch.no_grad():
        assert model(records(1, n_samples)).shape == (1, 5)


@pytest.mark.parametrize("name", ["stft_resnet34", "two_stream"])
def test_half_precision_training_step(name):
    model = build_model(name, SIGNAL, 9, width=8)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(records(4)).square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(("settings", "says"), [
    ({"width": 0}, "width is 0"), ({"window": -1.0}, "window is -1.0"), ({"hop": 5.0}, "hop is 5.0 s, longer than the window")])
@pytest.mark.parametrize("name", ["stft_resnet34", "two_stream"])
def test_refusals(name, settings, says):
    with pytest.raises(ConfigurationError, match=says):
        build_model(name, SIGNAL, 9, **settings)


def test_a_record_shorter_than_a_window_is_refused_at_construction():
    with pytest.raises(ConfigurationError, match="the signal lasts 0.5 s"):
        build_model("two_stream", SignalSpec(12, 50, 100), 9)
