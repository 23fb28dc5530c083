"""SE-ECGNet: leads that stay apart until they are mixed, gates that see all of them, the official counts, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.map_gate import MapSqueezeExcite
from ecgstudy.models import SignalSpec, build_model

SIGNAL = SignalSpec(12, 320, 100)
SMALL = {"width": 4, "mixed_width": 8, "depths": (3, 1, 2), "reduction": 2}


def built(**settings) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model("se_ecgnet", SIGNAL, 5, **(SMALL | settings)).eval()


def records(n: int = 2) -> torch.Tensor:
    return torch.randn(n, SIGNAL.n_leads, SIGNAL.n_samples, generator=torch.Generator().manual_seed(1))


def test_the_official_size_is_met_with_its_leads_and_labels():
    """Counted for the official code with a projection of its own in each block."""
    with torch.device("meta"):
        model = build_model("se_ecgnet", SignalSpec(8, 5000, 500), 34, width=32, mixed_width=256, reduction=16, stem_kernel=10, kernel=3,
                            kernels=(1, 1, 1))
        official = build_model("se_ecgnet", SignalSpec(8, 1000, 100), 34, width=32, mixed_width=256, reduction=16)
    assert sum(p.numel() for p in official.parameters()) == 17_018_496
    assert model.stem[0].kernel_size == (1, 50) and model.shrink[0].scan[-1].kernel_size == (1, 15)     # the rate scales the kernels


@torch.no_grad()
def test_the_gate_is_the_formula_on_maps_of_one_and_of_two_axes():
    torch.manual_seed(0)
    gate = MapSqueezeExcite(6, reduction=3)
    for x in (torch.randn(2, 6, 9), torch.randn(2, 6, 4, 9)):
        means = x.numpy().reshape(2, 6, -1).mean(axis=2)
        hidden = np.maximum(means @ gate.squeeze.weight.numpy().T + gate.squeeze.bias.numpy(), 0)
        expected = 1 / (1 + np.exp(-(hidden @ gate.excite.weight.numpy().T + gate.excite.bias.numpy())))
        np.testing.assert_allclose(gate.weights(x).numpy(), expected, rtol=1e-5)
        torch.testing.assert_close(gate(x), x * torch.tensor(expected).float().reshape(2, 6, *[1] * (x.ndim - 2)))


@torch.no_grad()
def test_in_the_image_part_leads_meet_in_the_gates_alone():
    model, x = built(), records(1)
    silenced = x.clone()
    silenced[:, 6] = 0

    def changed() -> list[int]:
        maps = [branch.by_lead(model.shrink(model.stem(image.unsqueeze(1)))) for image in (x, silenced) for branch in model.branches[:1]]
        return np.flatnonzero((maps[0] - maps[1]).abs().amax(dim=(0, 1, 3)).numpy() > 1e-9).tolist()

    assert changed() == list(range(12))
    for module in model.modules():
        if isinstance(module, MapSqueezeExcite):
            torch.nn.init.zeros_(module.excite.weight)
    assert changed() == [6]


@torch.no_grad()
def test_every_lead_is_treated_alike_until_they_are_mixed():
    model, x, order = built(), records(1), torch.randperm(12, generator=torch.Generator().manual_seed(2))
    image = model.branches[0].by_lead(model.shrink(model.stem(x.unsqueeze(1))))
    moved = model.branches[0].by_lead(model.shrink(model.stem(x[:, order].unsqueeze(1))))
    torch.testing.assert_close(moved, image[:, :, order], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(model(x), model(x[:, order]))


@torch.no_grad()
def test_channels_come_before_leads_when_the_two_become_one_axis():
    model, x = built(), records(1)
    branch, image = model.branches[1], model.shrink(model.stem(x.unsqueeze(1)))
    maps = branch.by_lead(image)                                            # [1, C, L, N]
    rows = torch.stack([maps[:, c, lead] for c in range(4) for lead in range(12)], dim=1)
    torch.testing.assert_close(branch(image), branch.mixed(rows))
    assert [b.by_lead[0].chain[0][-1].kernel_size[1] for b in model.branches] == [3, 5, 7]


@torch.no_grad()
def test_shapes_of_the_study_configuration():
    model = build_model("se_ecgnet", SignalSpec(12, 1000, 100), 9).eval()
    image = model.shrink(model.stem(torch.randn(1, 1, 12, 1000)))
    assert image.shape == (1, 16, 12, 63)
    assert model.branches[0](image).shape == (1, 128, 4)


@pytest.mark.parametrize(("settings", "says"), [
    ({"width": 0}, "width is 0"), ({"mixed_width": 0}, "mixed_width is 0"), ({"depths": (3, 4)}, "give three numbers"),
    ({"kernels": (3, 4)}, "kernels is 4"), ({"kernel": 4}, "kernel is 4"), ({"reduction": 0}, "reduction is 0"),
    ({"dropout": -0.1}, "dropout is -0.1")])
def test_refusals(settings, says):
    with pytest.raises(ConfigurationError, match=says):
        build_model("se_ecgnet", SIGNAL, 5, **settings)


def test_a_record_shorter_than_the_stem_is_refused_at_construction():
    with pytest.raises(ConfigurationError, match="40 samples, fewer than the stem's kernel of 50"):
        build_model("se_ecgnet", SignalSpec(12, 40, 100), 5)
