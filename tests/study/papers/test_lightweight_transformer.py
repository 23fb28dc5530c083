"""What the page of the LightConv transformer measures, against cases whose answer is known."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.heartbeats import cut
from ecgstudy.study.papers import lightweight_transformer as page
from ecgstudy.study.papers.simulated_beats import simulated_beats

SIGNAL = SignalSpec(12, 1000, 100)


@pytest.fixture(scope="module")
def seen():
    torch.manual_seed(0)
    models = [build_model("lightweight_transformer", SIGNAL, 9, widths=(8, 8, 16)).eval() for _ in range(2)]
    return page.Subject(*models, "fresh weights", simulated_beats(None, 16, 24))


def test_a_gate_is_what_the_layer_multiplies_by(seen):
    x, peaks = seen.beats.x[:2], seen.beats.peaks[:2]
    first = seen.model.embed[0]
    with torch.no_grad():
        beats = cut(x, peaks, 36, 100)
        before = first.norm(first.conv(beats.transpose(1, 2))).relu().transpose(1, 2)
        opened = torch.from_numpy(page.gates(seen.model, x, peaks)[0])
        torch.testing.assert_close(first(beats), before * opened[:, None])


def test_gate_means_are_over_the_beats_of_a_kind(seen):
    opened = page.gates(seen.model, seen.beats.x, seen.beats.peaks)[2]
    kinds = seen.beats.kinds[seen.beats.held]
    np.testing.assert_allclose(page.gate_means(seen)[2][0], opened[kinds == "sinus"].mean(axis=0), rtol=1e-5)
    assert seen.kinds[0] == "sinus" and len(page.gate_means(seen)[0]) == len(seen.kinds)


def test_taps_in_use_count_equal_ones():
    kernel = np.array([[0.25] * 4, [1, 0, 0, 0], [0.5, 0.5, 0, 0]])
    np.testing.assert_allclose(page.taps_in_use(kernel), [4, 1, 2], rtol=1e-6)


def test_kernels_are_those_of_the_layers(seen):
    found = page.kernels(seen.model)
    assert [kernel.shape for kernel in found] == [(8, 3), (8, 7), (8, 15), (8, 15)]
    np.testing.assert_allclose(found[3], np.exp(w := seen.model.encoder[3].token_mixer[0].mix.weight.detach().numpy())
                               / np.exp(w).sum(axis=1, keepdims=True), rtol=1e-5)


def test_pictures_and_words_agree_with_the_numbers(seen):
    true, found, _ = seen.beats.detected()
    told = page.in_words(seen)
    assert f"Of {true:,} true beats" in told and f"found {found:,};" in told and "of 15 (" in told
    assert "0.9962" in page.reported()
    for figure in (page.gate_figure(seen), page.kernel_figure(seen)):
        plt.close(figure)
