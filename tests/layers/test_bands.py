"""The fixed filters: their gain is SciPy's, squared; inside a record they are its zero-phase filter; nothing is delayed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal as scipy_signal

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.bands import BandFilters, butterworth_gain
from ecgstudy.models import SignalSpec

SIGNAL = SignalSpec(2, 1000, 100)
KINDS = [(0.0, 0.5, "lowpass", 0.5), (0.5, 40.0, "bandpass", (0.5, 40.0)), (40.0, 50.0, "highpass", 40.0)]


@pytest.mark.parametrize(("low", "high", "kind", "cut"), KINDS)
@pytest.mark.parametrize("order", [1, 2])
def test_the_gain_is_that_of_scipy_run_twice(low, high, kind, cut, order):
    sections = scipy_signal.butter(order, cut, kind, fs=100, output="sos")
    frequency, response = scipy_signal.sosfreqz(sections, worN=np.linspace(0, 49.9, 400), fs=100)
    np.testing.assert_allclose(butterworth_gain(frequency, 100, low, high, order), np.abs(response) ** 2, atol=1e-8)


@pytest.mark.parametrize(("band", "kind", "cut"), [(2, "bandpass", (0.5, 40.0)), (3, "highpass", 40.0)])
def test_inside_a_record_it_is_the_zero_phase_filter(band, kind, cut):
    x = np.random.default_rng(0).normal(size=(1, 2, 1000)).astype(np.float32)
    found = BandFilters(SIGNAL, (0.5, 40.0))(torch.from_numpy(x))[0, band].numpy()
    expected = scipy_signal.sosfiltfilt(scipy_signal.butter(2, cut, kind, fs=100, output="sos"), x[0], padlen=900)
    np.testing.assert_allclose(found[:, 300:-300], expected[:, 300:-300], atol=2e-3)


def test_a_wave_keeps_its_place_and_a_mean_is_wander():
    x = torch.zeros(1, 2, 1000)
    x[..., 400:403] = 1
    filters = BandFilters(SIGNAL, (0.5, 40.0))
    assert filters(x)[0, 2, 0].argmax() == 401
    flat = filters(torch.ones(1, 2, 1000))[0, :, 0, 500]
    torch.testing.assert_close(flat, torch.tensor([1.0, 1.0, 0.0, 0.0]), atol=1e-5, rtol=0)


def test_names_shapes_and_no_parameters():
    filters = BandFilters(SIGNAL, (0.5, 10.0, 40.0))
    assert filters.names == ("unfiltered", "below 0.5 Hz", "0.5–10 Hz", "10–40 Hz", "above 40 Hz")
    assert filters(torch.zeros(3, 2, 1000)).shape == (3, 5, 2, 1000)
    assert not list(filters.parameters()) and not filters.state_dict()


@pytest.mark.parametrize("edges", [(), (0.5, 50.0), (40.0, 0.5), (0.0, 40.0)])
def test_refusals(edges):
    with pytest.raises(ConfigurationError, match="must ascend between 0 and 50 Hz"):
        BandFilters(SIGNAL, edges)
