"""IM-ECG's page: Grad-CAM against plain CAM, its place in time, shares of leads, and how far a kernel sees."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from ecgstudy.layers.map_gate import MapSqueezeExcite
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study.papers import im_ecg
from ecgstudy.study.papers.validation import ValidationRecords

SIGNAL = SignalSpec(12, 320, 100)
CLASSES = ("Normal", "PVC", "STE")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model("im_ecg", SIGNAL, len(CLASSES), width=4, pairs=(1, 1, 1)).eval()


def inputs(n=2):
    return torch.randn(n, 12, SIGNAL.n_samples, generator=torch.Generator().manual_seed(3))


def records(x, targets):
    return ValidationRecords(x.numpy(), x, np.array(targets), [f"R{i}" for i in range(len(x))], CLASSES, SIGNAL.fs)


@pytest.mark.parametrize("k", range(len(CLASSES)))
def test_grad_cam_is_plain_cam(model, k):
    """Behind the last map stand only a mean and a linear map, so that alpha is its weight over the map's size."""
    x = inputs()
    with torch.no_grad():
        features = model.forward_features(x)
        linear = model.head[-1]
        cam = torch.einsum("c,bcln->bln", linear.weight[k], features) / features[0, 0].numel()
        torch.testing.assert_close(cam.sum(dim=(1, 2)), model(x)[:, k] - linear.bias[k])
    torch.testing.assert_close(im_ecg.grad_cam(model, x, k), cam.relu(), atol=1e-7, rtol=1e-4)


def test_a_column_stands_at_the_middle_of_what_it_sees():
    """With constant kernels and gates the slope of one column is symmetric around its place."""
    model = build_model("im_ecg", SignalSpec(12, 1600, 100), 3, width=1, pairs=(1, 1, 1)).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            nn.init.zeros_(module.bias)
        if isinstance(module, MapSqueezeExcite):
            nn.init.zeros_(module.excite.weight)
    x = torch.ones(1, 12, 1600, requires_grad=True)
    model.forward_features(x)[0, :, 5, 50].sum().backward()
    slope = x.grad[0].sum(dim=0).numpy()
    centre = im_ecg.column_centres(model, 100)[50]
    assert (slope * np.arange(1600)).sum() / slope.sum() == pytest.approx(centre, abs=0.01)
    assert centre == 16 * 50 + 0.5


def test_maps_are_stretched_along_time_alone(model):
    maps = np.zeros((12, 20))
    maps[3, 10] = 1
    heat = im_ecg.to_samples(maps, model, SIGNAL.n_samples)
    assert heat.shape == (12, SIGNAL.n_samples) and np.flatnonzero(heat.any(axis=1)).tolist() == [3]
    assert heat[3].argmax() in (160, 161) and heat[3].max() > 0.95


def test_shares_are_of_the_records_with_and_without_the_class(model):
    x = inputs(3)
    seen = im_ecg.Evidence(model, None, records(x, [[1, 0, 0], [0, 1, 0], [1, 0, 0]]))
    nn.init.constant_(model.head[-1].bias, 0)
    for with_class, without in [im_ecg.lead_shares(seen)]:
        assert with_class.shape == without.shape == (3, 12) and np.isnan(with_class[2]).all()
        maps = im_ecg.grad_cam(model, x, 0).sum(dim=-1).numpy()
        shares = [row / row.sum() for row in maps[[0, 2]] if row.sum() > 0]
        if shares:
            np.testing.assert_allclose(with_class[0], np.mean(shares, axis=0), rtol=1e-5)
            assert with_class[0].sum() == pytest.approx(1)
        else:
            assert np.isnan(with_class[0]).all()
    plt.close(im_ecg.lead_figure(seen))


def test_a_row_scan_stays_in_its_lead_and_an_area_scan_reaches_one_more(model):
    found = im_ecg.reach(model, inputs(1), lead=7)
    assert np.flatnonzero(found.row.max(axis=1) > 0).tolist() == [7]
    assert np.flatnonzero(found.area.max(axis=1) > 0).tolist() == [6, 7, 8]
    near = found.last[4:11].max()
    assert found.last[:4].max() < 0.1 * near and found.last[11].max() < 0.1 * near
    assert found.row_kernel.shape == (1, 15) and found.area_kernel.shape == (3, 15)


def test_the_example_is_the_surest_record_of_the_first_class_that_there_is(model):
    x = inputs(4)
    shown = records(x, [[1, 0, 0], [0, 0, 1], [0, 0, 1], [1, 0, 0]])
    row, k = shown.example(model, ("PVC", "STE"))
    logits = shown.logits(model)
    assert k == 2 and row == 1 + logits[1:3, 2].argmax()
    assert shown.example(model, ("PVC",))[1] == 0           # no such record: the first class that the fold has
    assert records(x, np.zeros((4, 3))).example(model, ())[0] == 0


def test_an_empty_map_is_said_to_be_empty(model):
    seen = im_ecg.Evidence(model, None, records(inputs(1), [[0, 1, 0]]))
    heat = np.zeros((12, SIGNAL.n_samples))
    assert "The map is empty" in im_ecg.Explained(seen, 0, 1, heat, 0.25).words()
    heat[6:8] = 1
    told = im_ecg.Explained(seen, 0, 1, heat, 0.25).words()
    assert "carries PVC, and the network gives it 0.25" in told and "V1 50 %, V2 50 %" in told.replace("V2 50 %, V1", "V1 50 %, V2")
