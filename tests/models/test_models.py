"""What every registered model must do, the counts that the study notes print, and refusals."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load, save

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.attention import ATTENTIONS, capture_attention
from ecgstudy.models import SignalSpec, build_model, list_models
from ecgstudy.models.registry import model_entry, register
from ecgstudy.models.sampling import at_rate, odd_at_rate

SIGNAL = SignalSpec(12, 1000, 100)
NARROW = {"widths": (16, 32, 64, 128), "depths": (1, 1, 2, 2), "heads": 4}
CASES = [pytest.param(name, {}, id=name) for name in list_models()]
CASES += [pytest.param("inception_former", {**NARROW, "attention": name}, id=f"narrow {name}") for name in ATTENTIONS]
CASES += [pytest.param("resnet18", {"width": 8}, id="narrow resnet18"),
          pytest.param("mobilenetv2", {"width": 0.25}, id="narrow mobilenetv2")]


def records(n_records: int, n_samples: int = 250) -> torch.Tensor:
    return torch.randn(n_records, 12, n_samples, generator=torch.Generator().manual_seed(n_samples))


def built(name: str, settings: dict, n_samples: int = 250, n_classes: int = 5) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(name, SignalSpec(12, n_samples, 100), n_classes, **settings)


@pytest.mark.parametrize(("name", "settings"), CASES)
class TestEveryModel:
    def test_gradient_reaches_every_parameter(self, name, settings):
        model = built(name, settings)
        model(records(3)).square().sum().backward()
        missed = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any() or not p.grad.isfinite().all()]
        assert missed == []

    def test_evaluation_is_deterministic_and_records_independent(self, name, settings):
        model, x = built(name, settings).eval(), records(3)
        with torch.no_grad():
            logits = model(x)
            assert logits.shape == (3, 5) and logits.dtype == torch.float32 and logits.isfinite().all()
            assert torch.equal(model(x), logits)
            torch.testing.assert_close(model(x[1:2]), logits[1:2], atol=1e-4, rtol=1e-4)    # also a batch of one
            torch.testing.assert_close(model(x.flip(0)), logits.flip(0), atol=1e-4, rtol=1e-4)

    def test_head_reads_the_feature_map(self, name, settings):
        model, x = built(name, settings).eval(), records(2)
        with torch.no_grad():
            features = model.forward_features(x)
            assert features.ndim in (3, 4) and features.shape[0] == 2
            torch.testing.assert_close(model.head(features), model(x))

    def test_weights_survive_safetensors(self, name, settings):
        model, x = built(name, settings).eval(), records(2)
        stored = save(model.state_dict())
        torch.manual_seed(1)
        other = build_model(name, SignalSpec(12, 250, 100), 5, **settings).eval()
        other.load_state_dict(load(stored))
        with torch.no_grad():
            assert torch.equal(other(x), model(x))

    @pytest.mark.parametrize("n_samples", [250, 333, 999])
    def test_any_length(self, name, settings, n_samples):
        model = built(name, settings, n_samples).eval()
        with torch.no_grad():
            assert model(records(1, n_samples)).shape == (1, 5)

    def test_settings_may_come_from_json(self, name, settings):
        stored = json.loads(json.dumps({**model_entry(name).settings, **settings}))
        reference, model = built(name, settings), built(name, stored)
        assert all(torch.equal(a, b) for a, b in zip(reference.state_dict().values(), model.state_dict().values(), strict=True))


@pytest.mark.parametrize(("name", "settings", "count"), [
    ("inception_former", {}, 12_451_321),
    ("inception_former", {"attention": "spatial_reduction"}, 15_081_977),
    ("inception_former", {"attention": "bi_level_routing"}, 12_469_753),
    ("inception_former", {"attention": "window"}, 12_454_457),
    ("inception_former", {"attention": "shifted_window"}, 12_454_457),
    ("inception_former", {"attention": "shunted"}, 20_346_361),
    ("inception_former", {"attention": "shunted", "rates": (1, 2)}, 15_094_265),
    ("inception_former", {"attention": "hilo"}, 11_795_961),
    ("inception_former", {"widths": (64, 128, 256), "depths": (2, 4, 8)}, 3_644_153),
    ("inception_former", {"depths": (2, 4, 8, 2)}, 8_245_753),
    ("resnet18", {}, 3_853_449),
    ("resnet34", {}, 7_227_785),
    ("mobilenetv2", {}, 2_192_873),
])
def test_parameter_counts_of_the_notes(name, settings, count):
    model = build_model(name, SIGNAL, 9, **settings)
    assert sum(p.numel() for p in model.parameters()) == count


def test_stage_shapes_of_the_base():
    model = build_model("inception_former", SIGNAL, 9, **NARROW).eval()
    with torch.no_grad():
        x = model.stem(records(1, 1000))
        shapes = [x.shape]
        for fuse, stage in zip([torch.nn.Identity(), *model.fusions], model.stages, strict=True):
            x = stage(fuse(x))
            shapes.append(x.shape)
    assert [tuple(shape) for shape in shapes] == [(1, 1000, 16), (1, 1000, 16), (1, 500, 32), (1, 250, 64), (1, 125, 128)]


def test_stage_three_alternates_and_stage_four_attends():
    model = build_model("inception_former", SIGNAL, 9)
    with capture_attention(model) as maps, torch.no_grad():
        model(records(1, 1000))
    assert list(maps) == [f"stages.2.{i}.token_mixer" for i in (1, 3, 5, 7)] + [f"stages.3.{i}.token_mixer" for i in range(4)]
    assert {m.shape for m in maps.values()} == {(1, 8, 250, 250), (1, 8, 125, 125)}


def test_shifted_windows_alternate():
    model = build_model("inception_former", SIGNAL, 9, attention="shifted_window", window=10)
    shifts = [[block.token_mixer.shift for block in stage if hasattr(block.token_mixer, "shift")] for stage in model.stages[2:]]
    assert shifts == [[0, 5, 0, 5], [0, 5, 0, 5]]


def test_sizes_that_mean_time_grow_with_the_sampling_rate():
    fast = SignalSpec(12, 5000, 500)
    model = build_model("inception_former", fast, 9, **NARROW, attention="shifted_window")
    assert [scale.conv.kernel_size[1] for scale in model.stages[0][0].token_mixer.scales] == [15, 35, 55, 95]
    assert [branch.kernel_size[0] for branch in model.stem.branches] == [195, 95, 45]
    assert model.stages[3][1].token_mixer.window == 125 and model.stages[3][1].token_mixer.shift == 62
    assert at_rate(25, fast) == 125 and at_rate(1, SignalSpec(12, 100, 10)) == 1
    assert odd_at_rate(19, SIGNAL) == 19 and odd_at_rate(19, SignalSpec(12, 2000, 200)) == 39


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_long_records(attention):
    model = build_model("inception_former", SignalSpec(12, 5000, 500), 9, **NARROW, attention=attention).eval()
    with torch.no_grad():
        assert model(records(1, 5000)).isfinite().all()


@pytest.mark.parametrize(("name", "settings", "says"), [
    ("resnet81", {}, "unknown model 'resnet81'; did you mean 'resnet18'"),
    ("inception_former", {"atention": "mhsa"}, "unknown setting of inception_former 'atention'; did you mean 'attention'"),
    ("inception_former", {"attention": "hlio"}, "unknown attention 'hlio'; did you mean 'hilo'"),
    ("inception_former", {"window": 10}, "window does not apply to attention 'mhsa'; it takes no settings"),
    ("inception_former", {"attention": "hilo", "top_k": 3}, "top_k does not apply to attention 'hilo'; it takes alpha, window"),
    ("inception_former", {"heads": 7}, r"widths\[2\] is 256, which heads 7 does not divide"),
    ("inception_former", {"heads": "8"}, "heads is '8'; it must be a whole number"),
    ("inception_former", {"widths": (64, 128)}, "2 widths and 4 depths"),
    ("inception_former", {"widths": (64, 0, 256, 512)}, r"widths\[1\] is 0"),
    ("inception_former", {"widths": (66, 128, 256, 512)}, r"widths\[0\] is 66, which .* 4 does not divide; use 64 or 68"),
    ("inception_former", {"kernels": (3, 7, 11)}, r"widths\[0\] is 64, which the number of kernels 3 does not divide"),
    ("inception_former", {"kernels": (3, 7, 11, 18)}, "kernels is 18; it must be odd"),
    ("inception_former", {"depths": 4}, "depths is 4; it must be a list"),
    ("inception_former", {"attention": "window", "window": 0}, "window is 0"),
    ("resnet18", {"width": 0}, "width is 0; it must be a whole number of at least 1"),
    ("mobilenetv2", {"width": -1}, "width is -1; it must be a number above 0"),
])
def test_refuses_bad_settings_by_name(name, settings, says):
    with pytest.raises(ConfigurationError, match=says):
        build_model(name, SIGNAL, 9, **settings)


def test_refuses_no_classes():
    with pytest.raises(ConfigurationError, match="n_classes is 0"):
        build_model("resnet18", SIGNAL, 0)


def test_every_model_names_its_paper_and_documents_itself():
    for name in list_models():
        entry = model_entry(name)
        assert entry.paper and entry.builder.__doc__, name


def test_registration_refuses_what_the_registry_could_not_keep():
    def resnet18(signal, n_classes): ...
    def swapped(n_classes, signal): ...
    def loose(signal, n_classes, *, width): ...
    for builder, says in ((resnet18, "registered twice"), (swapped, "must be signal, n_classes"), (loose, "width must be")):
        with pytest.raises(ConfigurationError, match=says):
            register(paper="none")(builder)
    assert "swapped" not in list_models() and "loose" not in list_models()
