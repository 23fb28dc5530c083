"""Page 08: gains over token frequency against filters whose response is known."""

import numpy as np
import pytest
import torch

from ecgstudy.layers.convs import MultiScaleDepthwiseConv
from ecgstudy.models import build_model
from ecgstudy.study import token_filter
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.token_filter import Response
from ecgstudy.train.seeds import scoped_seed

N = 250


def test_the_gain_of_a_map_is_that_of_its_filter():
    np.testing.assert_allclose(token_filter.map_gain(np.eye(N)), 1)
    np.testing.assert_allclose(token_filter.map_gain(np.full((2, 3, N, N), 1 / N)), [1, *[0] * (N // 2)], atol=1e-9)
    halves = (np.eye(N) + np.roll(np.eye(N), 1, axis=1)) / 2                # the mean of two neighbours: cos(pi f / rate)
    np.testing.assert_allclose(token_filter.map_gain(halves), np.cos(np.pi * np.arange(N // 2 + 1) / N), atol=1e-9)


def test_the_gain_of_kernels_is_their_frequency_response():
    layer = MultiScaleDepthwiseConv(8, kernels=(3, 5))
    for scale in layer.scales:
        torch.nn.init.zeros_(scale.conv.weight)
        scale.conv.weight.data[..., 1] = 2
    np.testing.assert_allclose(token_filter.kernel_gain(layer, N), 2)
    layer.scales[0].conv.weight.data[..., 2] = -2                           # half of the channels take differences
    gain = token_filter.kernel_gain(layer, N)
    assert gain[0] == pytest.approx(np.sqrt(2)) and gain[-1] == pytest.approx(np.sqrt((16 + 4) / 2))


def test_the_share_of_the_upper_half():
    assert token_filter.upper_share(np.full(126, 3.0)) == pytest.approx(0.5)
    assert token_filter.upper_share(np.repeat([1.0, 2.0], 63)) == pytest.approx(0.8)
    text = token_filter.told([Response("hilo_sa", "attention", "A", np.repeat([1.0, 0.0], 63))])
    assert "above 6.25 Hz" in text and "attention: A 0%" in text and "kernels" not in text and token_filter.told([]) == ""


def test_relative_gain_has_a_mean_square_of_one():
    assert (token_filter.relative(np.array([1.0, 2.0, 5.0])) ** 2).mean() == pytest.approx(1)


def test_fresh_attention_favours_the_mean_and_hilos_means_are_blind_to_their_window():
    with scoped_seed(0):
        full, hilo, none = (build_model("inception_former", SIGNAL, 9, widths=(8, 16, 16, 16), depths=(1, 1, 2, 1), heads=4, **settings)
                            .eval() for settings in ({}, {"attention": "hilo"}, {"pattern": ("L",) * 4}))
    x = torch.randn(2, 12, 1000, generator=torch.Generator().manual_seed(0))
    assert token_filter.attention_maps(none, x) == {}
    gain = token_filter.map_gain(token_filter.attention_maps(full, x)[""])
    assert gain[0] == pytest.approx(1) and gain[1:].max() < 0.2
    parts = token_filter.attention_maps(hilo, x)
    assert {name: maps.shape for name, maps in parts.items()} == {" windows": (2, 2, N, N), " means": (2, 2, N, N)}
    assert token_filter.map_gain(parts[" means"])[50] < 1e-6 < token_filter.map_gain(parts[" windows"])[50]      # 5 Hz: one window


def test_the_figure_shows_each_layer_on_its_side():
    flat = np.ones(N // 2 + 1)
    made = [Response("inception_next", "convolution", "A", flat), Response("hilo_sa", "convolution", "B", flat),
            Response("hilo_sa", "attention", "B, windows", flat), Response("hilo_sa", "attention", "B, means", flat)]
    attention, convolution = token_filter.figure(made, "title").axes
    assert [line.get_label() for line in attention.get_lines()[1:]] == ["B, windows", "B, means"]
    assert [line.get_label() for line in convolution.get_lines()[1:]] == ["A", "B"]
    assert len({line.get_linestyle() for line in attention.get_lines()[1:]}) == 2
    token_filter.figure([], "title")
