"""What every registered model must do, the counts that the study notes print, and refusals."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from safetensors.torch import load, save

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.attention import ATTENTIONS, capture_attention
from ecgstudy.models import SignalSpec, build_model, list_models
from ecgstudy.models.registry import model_entry, register
from ecgstudy.models.sampling import at_rate, odd_at_rate
from ecgstudy.study.complexity import notes_macs, notes_parameters
from ecgstudy.train.feed import Batch
from ecgstudy.train.objectives import multilabel

SIGNAL = SignalSpec(12, 1000, 100)
SHORT = 320             # samples for any network: a bag of heartbeats needs three seconds of them
NARROW = {"widths": (16, 32, 64, 128), "depths": (1, 1, 2, 2), "heads": 4}
CASES = [pytest.param(name, {}, id=name) for name in list_models()]
CASES += [pytest.param("inception_former", {**NARROW, "attention": name}, id=f"narrow {name}") for name in ATTENTIONS]
CASES += [pytest.param("inception_former", {**NARROW, **settings}, id=" ".join(map(str, settings.values()))) for settings in (
    *({"position": name} for name in ("learned", "sinusoidal", "relative", "cpe", "lepe", "value")),
    {"gate": "squeeze_excite"}, {"gate": "coordinate"}, {"mixer": "dw_mlp"}, {"mixer": "glu"}, {"mixer": "conv_glu"},
    {"pattern": ("L", "L", "L", "L")}, {"pattern": ("L", "LM", "MG", "G")}, {"pattern": ("R", "R", "RG", "G")},
    {"pattern": ("L", "L", "S", "S"), "position": "cpe"}, {"pattern": ("R", "R", "P", "P"), "attention": "hilo"},
    {"stem_kernels": (11, 7, 3)}, {"pooling": "class_token"}, {"pooling": "class_token", "pattern": ("L", "L", "MG", "G")},
    {"semantic_tokens": True}, {"semantic_tokens": True, "pooling": "class_token", "position": "learned"},
    {"keep_tokens": 0.5}, {"keep_heads": 0.5}, {"keep_tokens": 0.4, "keep_heads": 0.25, "depths": (1, 1, 2, 4)})]
CASES += [pytest.param("resnet18", {"width": 8}, id="narrow resnet18"),
          pytest.param("mobilenetv2", {"width": 0.25}, id="narrow mobilenetv2")]


def records(n_records: int, n_samples: int = 250) -> torch.Tensor:
    return torch.randn(n_records, 12, n_samples, generator=torch.Generator().manual_seed(n_samples))


def built(name: str, settings: dict, n_samples: int = 250, n_classes: int = 5, start: int = 0) -> torch.nn.Module:
    torch.manual_seed(start)
    return build_model(name, SignalSpec(12, n_samples, 100), n_classes, **settings)


@pytest.mark.parametrize(("name", "settings"), CASES)
class TestEveryModel:
    def test_gradient_reaches_every_parameter(self, name, settings):
        """Of the objective that trains it, auxiliary losses with it. Two starts: a narrow gate may stand closed in one of them."""
        batch, missed = Batch(records(3, SHORT), (torch.arange(15).view(3, 5) % 3 == 0).float()), []
        for start in range(2):
            model = built(name, settings, SHORT, start=start)
            multilabel(model, batch, torch.Generator())["loss"].backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
            missed.append({key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()})
        assert set.intersection(*missed) == set()

    def test_evaluation_is_deterministic_and_records_independent(self, name, settings):
        model, x = built(name, settings, SHORT).eval(), records(3, SHORT)
        with torch.no_grad():
            logits = model(x)
            assert logits.shape == (3, 5) and logits.dtype == torch.float32 and logits.isfinite().all()
            assert torch.equal(model(x), logits)
            torch.testing.assert_close(model(x[1:2]), logits[1:2], atol=1e-4, rtol=1e-4)    # also a batch of one
            torch.testing.assert_close(model(x.flip(0)), logits.flip(0), atol=1e-4, rtol=1e-4)

    def test_head_reads_the_feature_map(self, name, settings):
        if not model_entry(name).head_on_features:
            pytest.skip(f"{name} says that its head reads more than the feature map")
        model, x = built(name, settings, SHORT).eval(), records(2, SHORT)
        with torch.no_grad():
            features = model.forward_features(x)
            assert features.ndim in (3, 4) and features.shape[0] == 2
            torch.testing.assert_close(model.head(features), model(x))

    def test_weights_survive_safetensors(self, name, settings):
        model, x = built(name, settings, SHORT).eval(), records(2, SHORT)
        stored = save(model.state_dict())
        torch.manual_seed(1)
        other = build_model(name, SignalSpec(12, SHORT, 100), 5, **settings).eval()
        other.load_state_dict(load(stored))
        with torch.no_grad():
            assert torch.equal(other(x), model(x))

    @pytest.mark.parametrize("n_samples", [SHORT, 333, 999])
    def test_any_length(self, name, settings, n_samples):
        model = built(name, settings, n_samples).eval()
        with torch.no_grad():
            assert model(records(1, n_samples)).shape == (1, 5)

    def test_settings_may_come_from_json(self, name, settings):
        stored = json.loads(json.dumps({**model_entry(name).settings, **settings}))
        reference, model = built(name, settings, SHORT), built(name, stored, SHORT)
        assert all(torch.equal(a, b) for a, b in zip(reference.state_dict().values(), model.state_dict().values(), strict=True))


SANDWICH_PRO = {"pattern": ("R", "R", "P", "P"), "depths": (2, 4, 4, 2), "attention": "hilo"}


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
    ("inception_former", {"attention": "shunted", "rates": (1, 4)}, 17_715_705),
    ("inception_former", {"gate": "squeeze_excite"}, 12_495_073),
    ("inception_former", {"gate": "coordinate"}, 12_519_497),
    ("inception_former", {"pattern": ("L", "LM", "MG", "G")}, 13_341_177),
    ("inception_former", {"position": "learned"}, 12_515_321),
    ("inception_former", {"position": "sinusoidal"}, 12_451_321),
    ("inception_former", {"position": "relative"}, 12_475_257),
    ("inception_former", {"position": "cpe"}, 12_463_609),
    ("inception_former", {"position": "value"}, 12_463_609),
    ("inception_former", {"position": "lepe"}, 12_463_609),
    ("inception_former", {"position": "lepe", "position_kernel": 5}, 12_469_753),
    ("inception_former", {"position": "value", "position_kernel": 5}, 12_469_753),
    ("inception_former", {"pattern": ("L", "L", "L", "L")}, 7_229_945),
    ("inception_former", {"pattern": ("L", "L", "LLLLGGGG", "G")}, 12_451_321),
    ("inception_former", {"pattern": ("L", "L", "S", "S"), "depths": (2, 4, 4, 2)}, 10_387_961),
    ("inception_former", {"pattern": ("L", "L", "S", "S"), "depths": (2, 4, 4, 3)}, 13_555_193),
    ("inception_former", {"pattern": ("R", "R", "RG", "G")}, 12_482_937),
    ("inception_former", SANDWICH_PRO, 10_019_193),
    ("inception_former", {**SANDWICH_PRO, "mixer": "dw_mlp"}, 10_035_577),
    ("inception_former", {**SANDWICH_PRO, "mixer": "glu"}, 10_017_481),
    ("inception_former", {**SANDWICH_PRO, "mixer": "conv_glu"}, 10_028_393),
    ("inception_former", {"mixer": "dw_mlp"}, 12_489_209),
    ("inception_former", {"mixer": "glu"}, 12_447_165),
    ("inception_former", {"mixer": "conv_glu"}, 12_472_389),
    ("inception_former", {"widths": (32, 64, 128, 256), "stem_kernels": (11, 7, 3)}, 3_128_001),
    ("inception_former", {"widths": (32, 64, 128, 256)}, 3_130_945),
    ("inception_former", {"pooling": "class_token"}, 12_451_833),
    ("inception_former", {"semantic_tokens": True}, 17_204_217),
    ("inception_former", {"keep_tokens": 0.5, "keep_heads": 0.5}, 12_451_321),
    ("resnet18", {}, 3_853_449),
    ("resnet34", {}, 7_227_785),
    ("mobilenetv2", {}, 2_192_873),
])
def test_parameter_counts_of_the_notes(name, settings, count):
    with torch.device("meta"):
        model = build_model(name, SIGNAL, 9, **settings)
    assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize(("settings", "printed"), [
    ({"gate": "squeeze_excite"}, "2.138G"), ({"gate": "coordinate"}, "2.152G"), ({"pattern": ("L", "LM", "MG", "G")}, "2.383G"),
    ({"pattern": ("L", "L", "L", "L")}, "1.356G"), ({"attention": "shunted", "rates": (1, 2)}, "2.236G"),
    ({"attention": "shunted", "rates": (1, 4)}, "2.186G"), ({"pattern": ("L", "L", "S", "S"), "depths": (2, 4, 4, 2)}, "1.882G"),
    ({"pattern": ("L", "L", "S", "S"), "depths": (2, 4, 4, 3)}, "2.278G"), ({"pattern": ("R", "R", "RG", "G")}, "2.154G"),
    (SANDWICH_PRO, "1.726G"), ({"widths": (32, 64, 128, 256), "stem_kernels": (11, 7, 3)}, "536.07M"),
    ({"widths": (32, 64, 128, 256)}, "539.01M"), ({"semantic_tokens": True}, "1.534G"),
])
def test_macs_by_the_rule_of_the_notes(settings, printed):
    with torch.device("meta"):
        model = build_model("inception_former", SIGNAL, 9, **settings)
    counted = notes_macs(model, torch.empty(1, 12, 1000, device="meta"))
    assert printed in (f"{counted / 1e9:.3f}G", f"{counted / 1e6:.2f}M")


def test_semantic_tokens_as_the_notes_print_them():
    with torch.device("meta"):
        model = build_model("inception_former", SIGNAL, 9, semantic_tokens=True)
    (block,) = model.entries[3]
    assert notes_parameters(model) == 17_191_417                                 # their tool does not see the learned tokens
    assert notes_parameters(block) == 4_740_096 == sum(p.numel() for p in block.parameters()) - 25 * 512
    assert notes_macs(block, torch.empty(1, 125, 512, device="meta")) == 236_953_600


def test_parts_of_the_base():
    with torch.device("meta"):
        model = build_model("inception_former", SIGNAL, 9)
    counts = [sum(p.numel() for p in part.parameters()) for part in (model.stem, *model.stages, *model.fusions, model.head)]
    assert counts == [36_720, 35_072, 271_360, 3_175_424, 8_411_136, 24_704, 98_560, 393_728, 4_617]


def test_settings_of_the_variants_leave_the_base_as_it_was():
    """Stored weights and scores belong to these names, these initial weights and these outputs; figures from before the variants."""
    model = built("inception_former", NARROW).eval()
    weights = model.state_dict()
    assert hashlib.sha256(" ".join(weights).encode()).hexdigest()[:16] == "290dc9f559485b9f"
    assert sum(w.double().sum().item() for w in weights.values()) == pytest.approx(1168.33640176385, rel=1e-7)
    assert sum(w.double().abs().sum().item() for w in weights.values()) == pytest.approx(16934.66783659303, rel=1e-7)
    with torch.no_grad():
        assert model(records(3)).sum().item() == pytest.approx(2.8217473, abs=1e-4)


def letters(model: torch.nn.Module) -> list[list[str]]:
    """What each block of each stage mixes tokens with, in a word."""
    kinds = {"MultiScaleDepthwiseConv": "L", "MHSA": "G", "ConvModulation": "M"}
    return [[kinds[type(block.token_mixer).__name__] for block in stage] for stage in model.stages]


@pytest.mark.parametrize(("pattern", "depths", "spelled"), [
    (("L", "L", "LG", "G"), (1, 1, 4, 2), ["L", "L", "LGLG", "GG"]),
    (("L", "LM", "MG", "G"), (2, 4, 8, 4), ["LL", "LMLM", "MGMGMGMG", "GGGG"]),
    (("L", "LM", "MG", "G"), (1, 1, 4, 2), ["L", "L", "MGMG", "GG"]),
    (("L", "L", "LLLLGGGG", "G"), (1, 1, 8, 1), ["L", "L", "LLLLGGGG", "G"]),
    (("L", "L", "LLLLGGGG", "G"), (1, 1, 4, 1), ["L", "L", "LLGG", "G"]),
    (("L", "L", "GGL", "G"), (1, 1, 5), ["L", "L", "GGLGG"]),
])
def test_a_pattern_spells_the_stages(pattern, depths, spelled):
    model = build_model("inception_former", SIGNAL, 5, widths=(16, 32, 64, 128)[:len(depths)], depths=depths, heads=4, pattern=pattern)
    assert ["".join(stage) for stage in letters(model)] == spelled


def test_shifts_alternate_over_the_attention_layers_of_sandwiches_too():
    model = build_model("inception_former", SIGNAL, 5, **NARROW, attention="shifted_window", window=10, pattern=("L", "L", "S", "P"))
    layers = [[m.shift for m in stage.modules() if hasattr(m, "shift")] for stage in model.stages]
    assert layers == [[], [], [0, 5], [0, 5]]


@pytest.mark.parametrize("settings", [*({"position": name} for name in ("learned", "sinusoidal", "relative", "cpe", "lepe", "value")),
                                      {"semantic_tokens": True}, {"pooling": "class_token"}, {"keep_tokens": 0.5}], ids=str)
def test_records_shorter_and_longer_than_the_network_was_built_for(settings):
    model = built("inception_former", {**NARROW, **settings}).eval()
    with torch.no_grad():
        assert model(records(1, 100)).isfinite().all() and model(records(1, 999)).isfinite().all()


def test_class_token_stands_first_and_answers_alone():
    model, x = built("inception_former", {**NARROW, "pooling": "class_token"}).eval(), records(2)
    with capture_attention(model) as maps, torch.no_grad():
        features = model.forward_features(x)
        others_changed = torch.cat([features[..., :1], features[..., 1:] + 1], dim=-1)
        assert torch.equal(model.head(features), model.head(others_changed))
    assert features.shape == (2, 128, 33)
    assert [m.shape[-2:] for m in maps.values()] == [(63, 63), (33, 33), (33, 33)]


def test_trained_weights_go_into_a_pruned_network():
    base = built("inception_former", NARROW).eval()
    pruned = built("inception_former", {**NARROW, "keep_tokens": 0.4, "keep_heads": 0.5}).eval()
    full = built("inception_former", {**NARROW, "keep_tokens": 1 - 1e-9}).eval()         # the cascade's path, and nothing dropped
    for model in (pruned, full):
        model.load_state_dict(base.state_dict())
    x = records(3)
    with torch.no_grad():
        torch.testing.assert_close(full(x), base(x), atol=1e-5, rtol=1e-5)
        assert (pruned(x) - base(x)).abs().max() > 1e-4
        features, kept = pruned.forward_features(x), pruned.kept_tokens(x)
    assert base.kept_tokens(x).all() and full.kept_tokens(x).shape == (3, 32)
    assert kept.dtype == torch.bool and kept.sum(1).tolist() == [13, 13, 13] == [features.shape[-1]] * 3
    assert torch.equal(pruned.kept_tokens(x[1:2]), kept[1:2])


def test_pruned_queries_leave_empty_rows_in_the_captured_maps():
    model, x = built("inception_former", {**NARROW, "keep_tokens": 0.5}).eval(), records(2)
    with capture_attention(model) as maps, torch.no_grad():
        model(x)
    kept = model.kept_tokens(x)
    rows = maps["stages.3.1.token_mixer"].sum(dim=-1)
    torch.testing.assert_close(rows, kept[:, None].expand(-1, 4, -1).float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(maps["stages.3.0.token_mixer"].sum(dim=-1), torch.ones(2, 4, 32), atol=1e-5, rtol=0)


def test_kernels_of_the_variants_grow_with_the_sampling_rate():
    model = build_model("inception_former", SignalSpec(12, 5000, 500), 9, **NARROW, pattern=("L", "M", "LG", "G"), mixer="dw_mlp",
                        position="lepe", stem_kernels=(11, 7, 3))
    attention, modulation = model.stages[3][0].token_mixer, model.stages[1][0].token_mixer
    assert attention.local_output.conv.kernel_size == (1, 15) and modulation.weigh[2].conv.kernel_size == (1, 55)
    assert model.stages[0][0].channel_mixer.local.conv.kernel_size == (1, 15)
    assert [branch.kernel_size[0] for branch in model.stem.branches] == [55, 35, 15]
    sparse = build_model("inception_former", SignalSpec(12, 5000, 500), 9, **NARROW, semantic_tokens=True).entries[3][0]
    assert [pool.convolve.kernel_size for pool in sparse.pools] == [(25,), (35,)] and sparse.shared.shape == (25, 128)


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
    ("inception_former", {"pattern": "LLGG"}, "pattern is 'LLGG'; it must be a list of letters"),
    ("inception_former", {"pattern": ("L", "G")}, "one entry for each of the 4 stages"),
    ("inception_former", {"pattern": ("L", "L", "LX", "G")}, r"unknown block letter in pattern\[2\] 'X'.*Accepted: L, G, M, R, S, P"),
    ("inception_former", {"pattern": ("L", "L", "", "G")}, r"pattern\[2\] is ''"),
    ("inception_former", {"pattern": ("L", "L", "LG", "LGLG"), "depths": (1, 1, 2, 2)}, "without losing a letter; write out 2 letters"),
    ("inception_former", {"position": "relativ"}, "unknown position 'relativ'; did you mean 'relative'"),
    ("inception_former", {"position": "lepe", "attention": "hilo"}, "position 'lepe' changes attention 'mhsa' from within"),
    ("inception_former", {"position": "learned", "position_kernel": 5}, "position_kernel does not apply to position 'learned'"),
    ("inception_former", {"position": "cpe", "position_kernel": 4}, "position_kernel is 4; it must be odd"),
    ("inception_former", {"position": "cpe", "pattern": ("L", "L", "L", "L")}, "no block of pattern .* has a place for it"),
    ("inception_former", {"gate": "se"}, "unknown gate 'se'"),
    ("inception_former", {"gate": "coordinate", "pattern": ("R", "R", "RG", "G")}, "gate is 'coordinate', and no block"),
    ("inception_former", {"mixer": "glue"}, "unknown mixer 'glue'; did you mean 'glu'"),
    ("inception_former", {"mixer": "glu", "pattern": ("R", "R", "R", "R")}, "mixer is 'glu', and no block"),
    ("inception_former", {"pooling": "max"}, "unknown pooling 'max'"),
    ("inception_former", {"pooling": "class_token", "pattern": ("L", "L", "LG", "LG")}, "pooling class_token needs a last stage of G"),
    ("inception_former", {"pooling": "class_token", "attention": "hilo"}, "it is GGGG with hilo"),
    ("inception_former", {"pooling": "class_token", "position": "relative"}, "does not go with position 'relative'"),
    ("inception_former", {"semantic_tokens": True, "position": "cpe"}, "semantic_tokens does not go with position 'cpe'"),
    ("inception_former", {"semantic_tokens": 1}, "semantic_tokens is 1; it must be true or false"),
    ("inception_former", {"keep_tokens": 0}, "keep_tokens is 0; it is the share that is kept"),
    ("inception_former", {"keep_tokens": 0.5, "keep_draw": -1}, "keep_draw is -1; give a whole number from 0"),
    ("inception_former", {"keep_draw": 0}, "keep_draw is 0; give a whole number from 0 together with a kept share below 1"),
    ("inception_former", {"keep_tokens": 0.5, "keep_heads": 1.5}, "keep_heads is 1.5; it is the share that is kept"),
    ("inception_former", {"keep_tokens": 0.5, "depths": (2, 4, 8, 1)}, "it has only one; give it two"),
    ("inception_former", {"keep_tokens": 0.5, "pooling": "class_token"}, "keep_tokens and keep_heads need pooling mean"),
    ("inception_former", {"keep_heads": 0.5, "attention": "window"}, "keep_tokens or keep_heads needs a last stage of G"),
    ("inception_former", {"stem_kernels": (11, 7, 4)}, "stem_kernels is 4; it must be odd"),
    ("inception_former", {"stem_kernels": (11, 7)}, r"widths\[0\] is 64, which the stem's number of branches 3 does not divide"),
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
