"""IM-ECG: its two kernels against plain sums, the rows that stay apart, its blocks in their order, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.map_gate import MapSqueezeExcite
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.im_ecg import Scan, ScanBlock

SIGNAL = SignalSpec(12, 320, 100)
SMALL = {"width": 4, "pairs": (1, 1, 1)}


def built(**settings) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model("im_ecg", SIGNAL, 5, **(SMALL | settings)).eval()


def records(n: int = 2, signal: SignalSpec = SIGNAL) -> torch.Tensor:
    return torch.randn(n, signal.n_leads, signal.n_samples, generator=torch.Generator().manual_seed(1))


def without_gates(model: torch.nn.Module) -> torch.nn.Module:
    """Gates that give one half to every channel, whatever the record."""
    for module in model.modules():
        if isinstance(module, MapSqueezeExcite):
            torch.nn.init.zeros_(module.excite.weight)
            torch.nn.init.zeros_(module.excite.bias)
    return model


@pytest.mark.parametrize(("kernel", "stride"), [((1, 5), 1), ((3, 5), 2), ((3, 7), 1)])
@torch.no_grad()
def test_a_scan_is_the_sum_of_the_formula(kernel, stride):
    torch.manual_seed(0)
    scan, x = Scan(2, 3, kernel, stride=stride).eval(), torch.randn(1, 2, 4, 11)
    weights, bias = scan[-1].weight.numpy(), scan[-1].bias.numpy()
    image = np.maximum(x[0].numpy() / np.sqrt(1 + scan[0].eps), 0)                      # a fresh norm, then ReLU
    expected = np.zeros((3, 4, -(-11 // stride)))
    for out, lead, column in np.ndindex(expected.shape):
        total = bias[out]
        for dim, i, j in np.ndindex(2, *kernel):
            row, sample = lead + i - kernel[0] // 2, stride * column + j - kernel[1] // 2
            if 0 <= row < 4 and 0 <= sample < 11:
                total += weights[out, dim, i, j] * image[dim, row, sample]
        expected[out, lead, column] = total
    np.testing.assert_allclose(scan(x)[0].numpy(), expected, atol=1e-5)


@torch.no_grad()
def test_the_gate_stands_on_the_scans_or_on_the_sum():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 3, 10)
    for gate_the_sum in (False, True):
        block = ScanBlock(4, 4, [Scan(4, 4, (1, 3))], reduction=2, gate_the_sum=gate_the_sum).eval()
        scanned, passed, gate = block.scans(x), block.project(x), block.gate
        gated = scanned + passed if gate_the_sum else scanned
        mean = gated.mean(dim=(2, 3))
        weights = torch.sigmoid(torch.relu(mean @ gate.squeeze.weight.T + gate.squeeze.bias) @ gate.excite.weight.T + gate.excite.bias)
        expected = gated * weights[:, :, None, None] + (0 if gate_the_sum else passed)
        torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(("area_leads", "reach"), [(1, 0), (3, 3), (5, 6)])
@torch.no_grad()
def test_a_row_of_the_last_map_sees_as_many_neighbours_as_the_area_scans_reach(area_leads, reach):
    model, x = without_gates(built(area_leads=area_leads)), records(1)
    silenced = x.clone()
    silenced[:, 6] = 0
    changed = (model.forward_features(x) - model.forward_features(silenced)).abs().amax(dim=(0, 1, 3)) > 1e-7
    assert np.flatnonzero(changed.numpy()).tolist() == list(range(max(0, 6 - reach), min(12, 6 + reach + 1)))


@torch.no_grad()
def test_the_last_map_keeps_a_row_for_each_lead():
    for n_leads in (12, 8, 1):
        signal = SignalSpec(n_leads, 1000, 100)
        model = build_model("im_ecg", signal, 5, **SMALL).eval()
        assert model.forward_features(records(1, signal)).shape == (1, 96, n_leads, 63)


@torch.no_grad()
def test_the_tails_are_joined_in_order_and_differ_in_their_kernels():
    model, x = built(), records()
    shared = model.trunk(model.stem(x.unsqueeze(1)))
    joined = torch.cat([tail(shared) for tail in model.tails], dim=1)
    torch.testing.assert_close(model.merge(joined), model.forward_features(x))
    assert [tail[0].scans[0][-1].kernel_size for tail in model.tails] == [(3, 5), (3, 7), (3, 15)]


def test_kernels_keep_their_seconds():
    model = build_model("im_ecg", SignalSpec(12, 2500, 250), 5, **SMALL)
    assert model.stem[0].kernel_size == (1, 125)
    assert [tail[1].scans[0][-1].kernel_size for tail in model.tails] == [(1, 13), (1, 19), (1, 39)]


@pytest.mark.parametrize(("settings", "says"), [
    ({"width": 0}, "width is 0"), ({"pairs": (1, 3)}, "give three numbers"), ({"area_leads": 2}, "area_leads is 2; it must be odd"),
    ({"row_leads": 2}, "row_leads is 2"), ({"tails": (5, 6)}, "tails is 6"), ({"kernel": 4}, "kernel is 4"),
    ({"dropout": 1.0}, "dropout is 1.0; it must be at least 0 and below 1"), ({"reduction": 0}, "reduction is 0")])
def test_refusals(settings, says):
    with pytest.raises(ConfigurationError, match=says):
        build_model("im_ecg", SIGNAL, 5, **settings)


def test_a_record_shorter_than_the_stem_is_refused_at_construction():
    with pytest.raises(ConfigurationError, match=r"40 samples, fewer than the stem's kernel of 50; give at least 0.5 s"):
        build_model("im_ecg", SignalSpec(12, 40, 100), 5)
