"""The spectrogram against a transform by hand: its axes, its scale, its precision, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.spectrogram import Spectrogram
from ecgstudy.signal import SignalSpec

SIGNAL = SignalSpec(12, 1000, 100)


def noise(n_records: int = 2, signal: SignalSpec = SIGNAL) -> torch.Tensor:
    return torch.randn(n_records, signal.n_leads, signal.n_samples, generator=torch.Generator().manual_seed(3))


def tone(frequency: float, signal: SignalSpec) -> torch.Tensor:
    time = torch.arange(signal.n_samples, dtype=torch.float64) / signal.fs
    return torch.sin(2 * torch.pi * frequency * time).float().expand(1, signal.n_leads, -1)


def test_shape_of_the_notes():
    assert Spectrogram(SIGNAL)(noise()).shape == (2, 12, 51, 41)


@pytest.mark.parametrize("frame", [2, 7, 38])
def test_a_frame_is_the_transform_of_its_own_samples(frame):
    x = noise()
    centre = 25 * frame
    samples = x[1, 4, centre - 50:centre + 50].double().numpy()
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(100) / 100)                # zero at the start, periodic
    expected = np.log1p(np.abs(np.fft.rfft(hann * samples)))
    np.testing.assert_allclose(Spectrogram(SIGNAL).log_magnitude(x)[1, 4, :, frame], expected, atol=1e-4)


@pytest.mark.parametrize("fs", [100, 250, 500])
def test_a_bin_is_one_hertz_at_every_sampling_rate(fs):
    signal = SignalSpec(1, 10 * fs, fs)
    image = Spectrogram(signal).log_magnitude(tone(7, signal))
    assert image.shape == (1, 1, fs // 2 + 1, 41)
    assert set(image[0, 0, :, 2:-2].argmax(dim=0).tolist()) == {7}


def test_half_a_second_has_bins_of_two_hertz():
    image = Spectrogram(SIGNAL, window=0.5, hop=0.1).log_magnitude(tone(8, SIGNAL))
    assert image.shape == (1, 12, 26, 101) and image[0, 0, :, 50].argmax() == 4


def test_training_standardises_each_lead_and_evaluation_remembers():
    layer, x = Spectrogram(SIGNAL), noise(8) * torch.arange(1, 13).reshape(12, 1)
    image = layer(x)
    torch.testing.assert_close(image.mean(dim=(0, 2, 3)), torch.zeros(12), atol=1e-4, rtol=0)
    torch.testing.assert_close(image.std(dim=(0, 2, 3)), torch.ones(12), atol=1e-3, rtol=0)
    for _ in range(100):
        layer(x)
    torch.testing.assert_close(layer.eval()(x), image, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(layer(x[:1]), layer(x)[:1])                     # no batch statistics any more


def test_half_precision_around_it_does_not_reach_the_transform():
    layer, x = Spectrogram(SIGNAL).eval(), 1e-4 * noise()
    with torch.autocast("cpu", torch.bfloat16):
        image = layer(x)
    assert image.dtype == torch.float32 and torch.equal(image, layer(x))
    assert layer.log_magnitude(x.bfloat16()).dtype == torch.float32


def test_gradient_reaches_the_signal_also_through_silence():
    x = torch.zeros(2, 12, 1000, requires_grad=True)
    Spectrogram(SIGNAL)(x).square().sum().backward()
    assert x.grad.isfinite().all()


def test_the_window_follows_from_the_settings_and_is_not_stored():
    assert set(Spectrogram(SIGNAL).state_dict()) == {"running_mean", "running_variance"}


@pytest.mark.parametrize(("signal", "settings", "says"), [
    (SignalSpec(12, 99, 100), {}, "the signal lasts 0.99 s, less than one window of 1.0 s"),
    (SIGNAL, {"window": 11}, "the signal lasts 10 s, less than one window of 11 s; .* at most 10"),
    (SIGNAL, {"hop": 2.0}, "hop is 2.0 s, longer than the window of 1.0 s"),
    (SIGNAL, {"window": 0}, "window is 0; it must be a number of seconds above 0"),
    (SIGNAL, {"window": "1"}, "window is '1'"),
    (SIGNAL, {"hop": float("nan")}, "hop is nan"),
    (SIGNAL, {"hop": 0.004}, "hop is 0.004 s, 0 samples at 100 Hz; it must be at least 0.01 s"),
    (SIGNAL, {"window": 0.01, "hop": 0.01}, "window is 0.01 s, 1 samples at 100 Hz"),
])
def test_refusals(signal, settings, says):
    with pytest.raises(ConfigurationError, match=says):
        Spectrogram(signal, **settings)


def test_one_window_is_enough():
    assert Spectrogram(SignalSpec(1, 100, 100))(noise(2, SignalSpec(1, 100, 100))).shape == (2, 1, 51, 5)
