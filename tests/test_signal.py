"""Resampling equals the reference filter; length is fitted without touching what was recorded."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import resample_poly

from ecgstudy.errors import ConfigurationError
from ecgstudy.signal import SignalSpec, band_stop, fit_length, resample


@pytest.mark.parametrize(("fs_from", "fs_to"), [(500, 100), (1000, 100), (200, 100), (257, 100), (360, 100), (100, 250)])
@pytest.mark.parametrize("n_samples", [1, 7, 100, 1003, 5000])
def test_resample_is_the_reference_filter(fs_from, fs_to, n_samples):
    signal = np.random.default_rng(0).standard_normal((12, n_samples))
    ours = resample(signal, fs_from, fs_to)
    theirs = resample_poly(signal, fs_to, fs_from, axis=1)
    assert ours.shape == theirs.shape and ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=5e-6)


@pytest.mark.parametrize("fs", [1, 7, 99, 100, 257, 360, 500, 1000, 9973])
def test_the_first_samples_are_those_of_the_whole(fs):
    signal = np.random.default_rng(0).standard_normal((2, 12 * fs))
    np.testing.assert_allclose(resample(signal, fs, 100, 300), resample(signal, fs, 100)[:, :300], atol=5e-6)
    assert resample(signal, fs, 100, 5000).shape == (2, 1200)


def test_what_would_alias_is_removed_and_the_rest_kept():
    t = np.arange(5000) / 500
    kept = resample(np.sin(2 * np.pi * 10 * t)[None], 500, 100)[0, 100:-100]
    np.testing.assert_allclose(kept, np.sin(2 * np.pi * 10 * t[::5])[100:-100], atol=0.01)
    assert np.abs(resample(np.sin(2 * np.pi * 80 * t)[None], 500, 100))[0, 100:-100].max() < 0.01     # would fold to 20 Hz


def test_same_rate_changes_nothing():
    signal = np.random.default_rng(0).standard_normal((12, 50)).astype(np.float32)
    np.testing.assert_array_equal(resample(signal, 100, 100), signal)


def test_impossible_rates_are_refused():
    with pytest.raises(ConfigurationError, match="fs_from is 0"):
        resample(np.zeros((1, 5)), 0, 100)


@pytest.mark.parametrize(("n", "recorded"), [(4, 4), (10, 6), (6, 6)])
def test_fit_length(n, recorded):
    signal = np.arange(1, 13).reshape(2, 6)
    fitted, count = fit_length(signal, n)
    assert count == recorded and fitted.shape == (2, n) and fitted.dtype == signal.dtype
    np.testing.assert_array_equal(fitted[:, :recorded], signal[:, :recorded])
    assert not fitted[:, recorded:].any()


def test_signal_spec():
    assert SignalSpec(12, 1000, 100).seconds == 10
    with pytest.raises(ConfigurationError, match="n_samples is 0"):
        SignalSpec(12, 0, 100)


def tone(hertz, n=1000, fs=100, phase=0.7):
    return np.sin(2 * np.pi * hertz * np.arange(n) / fs + phase)


@pytest.mark.parametrize(("hertz", "gain"), [(1, 1), (4, 1), (5, 0.5), (6, 0), (9, 0), (10, 0.5), (11, 1), (30, 1)])
def test_band_stop_has_its_gain_and_keeps_the_phase(hertz, gain):
    inner = slice(200, 800)                                                 # away from the kink where a tone is mirrored
    np.testing.assert_allclose(band_stop(tone(hertz), 100, 5, 10)[inner], gain * tone(hertz)[inner], atol=0.03)


def test_touching_bands_remove_what_one_wide_band_removes():
    signal = np.random.default_rng(0).standard_normal((3, 12, 700))
    parts = [signal - band_stop(signal, 100, low, high) for low, high in ((2, 5), (5, 10), (10, 50))]
    np.testing.assert_allclose(sum(parts), signal - band_stop(signal, 100, 2, 50), atol=1e-5)


def test_band_stop_leaves_offset_and_shape():
    signal = np.full((2, 12, 333), 7)
    np.testing.assert_allclose(band_stop(signal, 100, 0.5, 2), signal, atol=1e-5)


def test_a_band_open_at_one_end_takes_that_end_whole():
    signal = 5 + tone(1) + tone(30)
    inner = slice(200, 800)
    np.testing.assert_allclose(band_stop(signal, 100, 0, 10)[inner], tone(30)[inner], atol=0.03)
    np.testing.assert_allclose(band_stop(signal, 100, 10, 50)[inner], 5 + tone(1)[inner], atol=0.03)


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (5, 5), (10, 5), (50, 60), (0, 50)])
def test_a_band_that_is_none_or_all_is_refused(low, high):
    with pytest.raises(ConfigurationError, match="low < high that leaves something of 0 to 50 Hz"):
        band_stop(np.zeros((1, 100)), 100, low, high)
