"""The methods against what can be worked out by hand, and against plain loops; what a method cannot give is refused or said."""

import numpy as np
import pytest
import torch
from torch import nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.explain.attribution import METHODS, attribute, beat_cells
from ecgstudy.explain.grid import Grid, trace_grid
from ecgstudy.layers.pooling import MeanMaxHead
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study.papers import im_ecg as im_ecg_page

SIGNAL = SignalSpec(12, 400, 100)
SMALL = {"inception_former": {"widths": (8, 16, 16, 16), "depths": (1, 1, 2, 2), "heads": 4}, "resnet18": {"width": 4},
         "im_ecg": {"width": 2, "pairs": (1, 1, 1)}, "stft_resnet34": {"width": 4}}


def network(name, **settings):
    torch.manual_seed(0)
    return build_model(name, SIGNAL, 5, **SMALL.get(name, {}) | settings).eval()


def records(n=3):
    return torch.randn(n, 12, 400, generator=torch.Generator().manual_seed(1))


class Linear(nn.Module):
    """z = sum(w * x): every method's answer is known."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(2, 12, 400, generator=torch.Generator().manual_seed(2)))

    def forward(self, x):
        return torch.einsum("blt,klt->bk", x, self.w)


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients"])
def test_on_a_linear_model_both_are_weight_times_input(method):
    model, x = Linear().eval(), records()
    found = attribute(model, x, torch.tensor([0, 1, 1]), method)
    np.testing.assert_allclose(found.values, (x * model.w[[0, 1, 1]]).detach(), rtol=1e-4, atol=1e-5)
    assert found.has_leads and found.has_time and found.resolution_s == 0.01


def test_integrated_gradients_add_up_to_the_change_of_the_logit():
    model, x = network("resnet18"), records()
    found = attribute(model, x, 2, "integrated_gradients").values.sum(axis=(1, 2))
    with torch.no_grad():
        change = (model(x) - model(0 * x))[:, 2].numpy()
    np.testing.assert_allclose(found, change, atol=0.15 * np.abs(change).max())


def cam_by_hand(model, x, k):
    """The class's row of the linear head times the last map, ReLU: what Grad-CAM is behind a mean, up to the number of places."""
    with torch.no_grad():
        features = model.forward_features(x)
        weight = [part for part in model.head.modules() if isinstance(part, nn.Linear)][0].weight[k]
        return torch.einsum("bc...,c->b...", features, weight).relu(), features


@pytest.mark.parametrize("name", ["resnet18", "inception_former", "im_ecg"])
def test_behind_a_mean_grad_cam_is_hires_cam_is_the_class_activation_map(name):
    model, x = network(name), records()
    by_hand, features = cam_by_hand(model, x, 3)
    places = features[0, 0].numel()
    grad_cam, hires_cam = (attribute(model, x, 3, method) for method in ("grad_cam", "hires_cam"))
    np.testing.assert_allclose(grad_cam.values, hires_cam.values, rtol=1e-3, atol=1e-8)
    grid = trace_grid(model, x, features)
    rows = by_hand if by_hand.ndim == 3 else by_hand.unsqueeze(1).expand(-1, 12, -1)
    np.testing.assert_allclose(grad_cam.values * places, grid.to_samples(rows.numpy(), 400), rtol=1e-3, atol=1e-6)
    assert grad_cam.has_leads == (name == "im_ecg")


def test_behind_a_maximum_the_two_differ():
    model = network("resnet18")
    model.head = MeanMaxHead(32, 5)
    assert not np.allclose(attribute(model, records(), 1, "grad_cam").values, attribute(model, records(), 1, "hires_cam").values)


def test_columns_stand_where_the_convolutions_are_centred():
    resnet, x = network("resnet18"), records()
    assert trace_grid(resnet, x, resnet.forward_features(x)) == Grid(0.0, 32.0, 13)
    image = network("im_ecg")
    features = image.forward_features(x)
    grid = trace_grid(image, x, features)
    np.testing.assert_allclose(grid.centres, im_ecg_page.column_centres(image, features.shape[-1]))
    spectrum = network("stft_resnet34")
    assert trace_grid(spectrum, x, spectrum.forward_features(x)).step == 25 * 32
    own = network("inception_former")
    assert trace_grid(own, x, own.forward_features(x)) == Grid(0.0, 8.0, 50)


def test_an_impulse_lights_the_column_that_is_said_to_stand_there():
    torch.manual_seed(0)
    model = nn.Module()
    model.head = nn.Linear(1, 1)
    model.layers = nn.Sequential(nn.Conv1d(12, 4, 7, stride=2, padding=3, bias=False), nn.AvgPool1d(2),
                                 nn.Conv1d(4, 4, 3, stride=2, padding=1, bias=False))
    for layer in (model.layers[0], model.layers[2]):
        nn.init.constant_(layer.weight, 1.0)
    model.forward_features = model.layers
    x = torch.zeros(1, 12, 400)
    grid = trace_grid(model, x, model.layers(x))
    for column in (10, 20):
        x = torch.zeros(1, 12, 400, requires_grad=True)
        gradient, = torch.autograd.grad(model.layers(x)[0, 0, column], x)
        seen = gradient[0, 0].numpy()
        assert (seen * np.arange(400)).sum() / seen.sum() == pytest.approx(grid.centres[column])


def test_a_spectrogram_map_and_a_one_dimensional_map_have_no_leads():
    for name in ("stft_resnet34", "resnet18"):
        found = attribute(network(name), records(), 0, "grad_cam")
        assert not found.has_leads and np.isnan(found.by_lead()).all()
        assert (found.values == found.values[:, :1]).all()


def test_occlusion_by_lead_is_the_fall_of_the_logit():
    model, x = network("resnet18"), records(2)
    found = attribute(model, x, 1, "occlusion_lead")
    assert found.has_leads and not found.has_time
    for lead in (0, 7):
        silent = x.clone()
        silent[:, lead] = 0
        with torch.no_grad():
            fall = (model(x) - model(silent))[:, 1].numpy()
        np.testing.assert_allclose(found.values[:, lead], np.repeat(fall[:, None], 400, axis=1), atol=1e-5)


def test_occlusion_by_beat_is_the_fall_of_the_logit():
    model, x = network("resnet18"), records(2)
    beats = torch.tensor([[50, 150, 251, -1], [100, 200, 300, 380]])
    cells = beat_cells(beats, 400)
    assert cells[0, 99] == 0 and cells[0, 100] == 1 and cells[0, 200] == 1 and cells[0, 201] == 2 and cells[1].max() == 3
    found = attribute(model, x, 1, "occlusion_beat", beats=beats)
    assert not found.has_leads and 1.0 <= found.resolution_s <= 1.34
    gone = x.clone()
    gone[0, :, 100:201] = 0
    with torch.no_grad():
        fall = (model(x) - model(gone))[0, 1].item()
    np.testing.assert_allclose(found.values[0, :, 100:201], fall, atol=1e-5)


def test_the_baselines_do_not_see_the_network():
    x = records()
    for method in ("magnitude", "random"):
        a, b = (attribute(network(name), x, 0, method, generator=torch.Generator().manual_seed(3)) for name in ("resnet18", "im_ecg"))
        np.testing.assert_array_equal(a.values, b.values)
    np.testing.assert_array_equal(attribute(network("resnet18"), x, 0, "magnitude").values, x.abs())


@pytest.mark.parametrize(("name", "reason"), [("ecgnet", "not a function of its last map"), ("mina", "places in time"),
                                              ("multimodal_mil", "not a function of its last map")])
@pytest.mark.parametrize("method", ["grad_cam", "hires_cam"])
def test_a_map_that_would_be_invented_is_refused_with_the_reason(name, reason, method):
    torch.manual_seed(0)
    model = build_model(name, SignalSpec(12, 1000, 100), 5).eval()
    with pytest.raises(ConfigurationError, match=reason):
        attribute(model, torch.randn(1, 12, 1000), 0, method, beats=torch.arange(50, 950, 90))


def test_a_class_token_has_no_place():
    with pytest.raises(ConfigurationError, match="class token"):
        attribute(network("inception_former", pooling="class_token"), records(), 0, "grad_cam")


@pytest.mark.parametrize(("change", "reason"), [
    ({"method": "gradcam"}, "did you mean 'grad_cam'"), ({"target": 5}, "0 to 4"), ({"target": torch.tensor([0])}, "one for each"),
    ({"record": torch.zeros(400)}, "give"), ({"method": "random"}, "generator"), ({"method": "occlusion_beat"}, "give beats")])
def test_bad_input_names_the_fix(change, reason):
    asked = {"model": network("resnet18"), "record": records(), "target": 0, "method": "grad_cam"} | change
    with pytest.raises(ConfigurationError, match=reason):
        attribute(**asked)
    with pytest.raises(ConfigurationError, match="eval"):
        attribute(network("resnet18").train(), records(), 0, "grad_cam")


def test_every_method_answers_a_single_record():
    for method in METHODS:
        found = attribute(network("im_ecg"), records()[0], 0, method, beats=torch.tensor([100, 200, 300]), generator=torch.Generator())
        assert found.values.shape == (1, 12, 400) and found.values.dtype == np.float32 and found.over_time().min() >= 0
