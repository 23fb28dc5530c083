"""Deletion and insertion against a plain loop, and weights drawn anew from the head down."""

import numpy as np
import pytest
import torch
from torch import nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.explain.perturbation import deletion_and_insertion, randomised
from ecgstudy.models import SignalSpec, build_model


class Sum(nn.Module):
    """Two logits: the sum of lead I, and its negative."""

    def forward(self, x):
        total = x[:, 0].sum(dim=-1)
        return torch.stack([total, -total], dim=1)


def test_the_curves_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    x, curves = torch.from_numpy(0.1 * rng.normal(size=(2, 3, 100))).float(), rng.random((2, 100))
    found = deletion_and_insertion(Sum(), x, torch.tensor([0, 1]), curves, fs=100, cell=0.1, steps=5)
    for row in range(2):
        order = sorted(range(10), key=lambda c: -curves[row, 10 * c:10 * c + 10].mean())
        for step in range(6):
            gone = np.zeros(100, bool)
            for c in order[:2 * step]:
                gone[10 * c:10 * c + 10] = True
            for kept, told in ((~gone, found.deletion), (gone, found.insertion)):
                logit = (-1) ** row * float(x[row, 0].numpy()[kept].sum())
                assert told[row, step] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)


def test_the_order_by_what_counts_has_the_smallest_area_under_deletion():
    x = torch.zeros(1, 12, 1000)
    x[0, 0, 300:400] = 0.1
    good, bad = np.zeros((1, 1000)), np.ones((1, 1000))
    good[0, 300:400], bad[0, 300:400] = 1, 0
    areas = [deletion_and_insertion(Sum(), x, torch.tensor([0]), curve).areas() for curve in (good, bad)]
    assert areas[0][0] < areas[1][0] and areas[0][1] > areas[1][1]


def test_too_few_cells_are_refused():
    with pytest.raises(ConfigurationError, match="fewer than"):
        deletion_and_insertion(Sum(), torch.zeros(1, 12, 50), torch.tensor([0]), np.zeros((1, 50)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model("resnet18", SignalSpec(12, 400, 100), 5, width=4).eval()


def changed(model, other):
    return {name for (name, a), (_, b) in zip(model.named_parameters(), other.named_parameters(), strict=True) if not torch.equal(a, b)}


def test_layers_lose_their_weights_from_the_head_down(model):
    before, x = {name: value.clone() for name, value in model.state_dict().items()}, torch.randn(1, 12, 400)
    first, half, full = (randomised(model, share, x, torch.Generator().manual_seed(1)) for share in (0.01, 0.5, 1.0))
    assert changed(model, first) == {"head.2.weight", "head.2.bias"}
    assert changed(model, first) < changed(model, half) < changed(model, full)
    assert any(name.startswith("stages.3") for name in changed(model, half))
    assert not any(name.startswith("stem") for name in changed(model, half)) and "stem.0.weight" in changed(model, full)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())        # the model itself keeps its own
    assert not changed(model, randomised(model, 0.0, x, torch.Generator()))


def test_the_draw_is_the_generators_and_the_global_stream_is_left_alone(model):
    x = torch.randn(1, 12, 400)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a, b, c = (randomised(model, 1.0, x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.rand(1) == expected
    assert not changed(a, b) and changed(a, c)


def test_running_statistics_are_forgotten_too(model):
    model.stem[1].running_mean.fill_(3.0)
    assert randomised(model, 1.0, torch.randn(1, 12, 400), torch.Generator()).stem[1].running_mean.abs().max() == 0


def test_a_share_is_a_share(model):
    with pytest.raises(ConfigurationError, match="0 to 1"):
        randomised(model, 2.0, torch.zeros(1, 12, 400), torch.Generator())
