"""Every attention mechanism: identities with full attention, fused against explicit, captured maps, awkward lengths."""

from __future__ import annotations

import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.attention import (
    ATTENTIONS,
    MHSA,
    BiLevelRoutingAttention,
    HiLoAttention,
    ShiftedWindowAttention,
    ShuntedAttention,
    SpatialReductionAttention,
    WindowAttention,
    attention_class,
    capture_attention,
)
from ecgstudy.layers.attention.base import explicit_weights

DIM, HEADS = 32, 4
LENGTHS = (1, 7, 63, 251)


@pytest.fixture(autouse=True)
def weights_seeded():
    torch.manual_seed(0)


def tokens(n_tokens: int, n_records: int = 2) -> torch.Tensor:
    return torch.randn(n_records, n_tokens, DIM, generator=torch.Generator().manual_seed(n_tokens))


def with_weights_of(full: MHSA, layer: torch.nn.Module) -> torch.nn.Module:
    """Copy a full attention's maps into another mechanism, whatever it calls them."""
    state, own = full.state_dict(), {}
    for kind in ("weight", "bias"):
        q, kv = state[f"qkv.{kind}"].split((DIM, 2 * DIM))
        project = state[f"project.{kind}"]
        own |= {f"qkv.{kind}": state[f"qkv.{kind}"], f"query.{kind}": q, f"low_query.{kind}": q,
                f"groups.0.key_value.{kind}": kv, f"low_key_value.{kind}": kv,
                f"project.{kind}": project, f"low_project.{kind}": project}
    mine = layer.state_dict()
    layer.load_state_dict({name: own.get(name, torch.zeros_like(value)) for name, value in mine.items()})
    return layer


@pytest.mark.parametrize("n_tokens", LENGTHS)
@pytest.mark.parametrize("layer", [
    pytest.param(lambda n: WindowAttention(DIM, HEADS, window=n), id="one window, no bias"),
    pytest.param(lambda n: WindowAttention(DIM, HEADS, window=n + 5), id="fewer tokens than a window"),
    pytest.param(lambda n: ShiftedWindowAttention(DIM, HEADS, window=n + 5, shift=3), id="no shift inside one window"),
    pytest.param(lambda n: BiLevelRoutingAttention(DIM, HEADS, n_windows=6, top_k=6, local_kernel=0), id="all windows routed"),
    pytest.param(lambda n: ShuntedAttention(DIM, HEADS, rates=(1, 1), local_kernel=0), id="nothing merged"),
    pytest.param(lambda n: HiLoAttention(DIM, HEADS, alpha=1.0, window=1), id="all heads low, windows of one"),
])
def test_equals_full_attention_where_it_should(layer, n_tokens):
    full, x = MHSA(DIM, HEADS), tokens(n_tokens)
    torch.testing.assert_close(with_weights_of(full, layer(n_tokens))(x), full(x), atol=1e-5, rtol=1e-5)


def test_window_of_some_tokens_differs_from_full_attention():
    full = MHSA(DIM, HEADS)
    windowed = with_weights_of(full, WindowAttention(DIM, HEADS, window=10))
    assert (windowed(tokens(63)) - full(tokens(63))).abs().max() > 1e-3


@pytest.mark.parametrize("n_tokens", LENGTHS)
@pytest.mark.parametrize("name", ATTENTIONS)
def test_captured_path_agrees_and_rows_sum_to_one(name, n_tokens):
    model, x = torch.nn.Sequential(ATTENTIONS[name](DIM, HEADS)), tokens(n_tokens)
    with torch.no_grad():
        fused = model(x)
        with capture_attention(model) as maps:
            explicit = model(x)
    assert fused.shape == x.shape
    torch.testing.assert_close(explicit, fused, atol=1e-5, rtol=1e-5)
    assert list(maps) == ["0"] and maps["0"].shape == (2, HEADS, n_tokens, n_tokens)
    assert maps["0"].min() >= 0
    torch.testing.assert_close(maps["0"].sum(-1), torch.ones(2, HEADS, n_tokens), atol=1e-5, rtol=0)


@pytest.mark.parametrize("n_tokens", LENGTHS)
@pytest.mark.parametrize(("mechanism", "settings"), [
    (MHSA, {}), (WindowAttention, {}), (ShiftedWindowAttention, {}),
    (BiLevelRoutingAttention, {"n_windows": 8, "top_k": 3, "local_kernel": 0})])
def test_full_map_times_values_is_the_output(mechanism, settings, n_tokens):
    layer, x = mechanism(DIM, HEADS, **settings), tokens(n_tokens)
    with torch.no_grad(), capture_attention(layer) as maps:
        output = layer(x)
        values = layer.split_heads(layer.qkv(x)[..., 2 * DIM:])
        rebuilt = layer.project((maps[""] @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(rebuilt, output, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("n_tokens", "window", "shift"),
                         [(63, 25, 0), (63, 25, 12), (50, 25, 12), (26, 25, 24), (251, 25, 12), (7, 3, 1)])
def test_windows_are_full_attention_masked_by_hand(n_tokens, window, shift):
    layer, x = ShiftedWindowAttention(DIM, HEADS, window=window, shift=shift), tokens(n_tokens)
    place = torch.arange(n_tokens)
    block = (place - shift + window) // window               # windows begin at `shift`; what lies before is one of its own
    offset = (place[:, None] - place[None, :]).clamp(1 - window, window - 1) + window - 1
    mask = layer.relative_bias[offset].permute(2, 0, 1).masked_fill(block[:, None] != block[None, :], float("-inf"))
    q, k, v = (layer.split_heads(part) for part in layer.qkv(x).chunk(3, dim=-1))
    by_hand = layer.project((explicit_weights(q, k, mask) @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer(x), by_hand, atol=1e-5, rtol=1e-5)


def test_routing_attends_to_the_chosen_windows_only():
    layer, x = BiLevelRoutingAttention(DIM, HEADS, n_windows=10, top_k=3), tokens(98)        # windows of 10, the last of 8
    with torch.no_grad(), capture_attention(layer) as maps:
        layer(x)
    q, k, _ = layer.qkv(x).chunk(3, dim=-1)
    windows = [slice(10 * i, min(10 * i + 10, 98)) for i in range(10)]
    mean_q, mean_k = (torch.stack([part[:, w].mean(1) for w in windows], 1) for part in (q, k))
    best = (mean_q @ mean_k.transpose(1, 2)).topk(3, dim=-1).indices
    for record in range(2):
        for i, rows in enumerate(windows):
            used = {j for j, columns in enumerate(windows) if maps[""][record, :, rows, columns].sum() > 0}
            assert used == set(best[record, i].tolist())


def test_merged_keys_spread_evenly_and_the_dropped_token_gets_nothing():
    layer = SpatialReductionAttention(DIM, HEADS, rate=2)
    with capture_attention(layer) as maps:
        layer(tokens(7))
    torch.testing.assert_close(maps[""][..., 0:6:2], maps[""][..., 1:6:2])
    assert maps[""][..., 6].abs().max() == 0


def test_shunted_heads_see_their_own_rates():
    layer = ShuntedAttention(DIM, HEADS, rates=(1, 1, 2, 4))
    with capture_attention(layer) as maps:
        layer(tokens(16))
    for head, rate in enumerate((1, 1, 2, 4)):
        steps = maps[""][:, head].diff(dim=-1).abs() > 1e-9                                  # where neighbours differ
        assert steps.any(0).any(0).nonzero().flatten().add(1).tolist() == list(range(rate, 16, rate))


def test_hilo_heads_split_into_windows_and_pooled_windows():
    layer = HiLoAttention(DIM, HEADS, alpha=0.5, window=5)
    with capture_attention(layer) as maps:
        layer(tokens(12))
    window = torch.arange(12) // 5
    outside = window[:, None] != window[None, :]
    assert maps[""][:, :2, outside].abs().max() == 0
    assert maps[""][:, 2:, outside].min() > 0
    torch.testing.assert_close(maps[""][..., 2:, :, 10], maps[""][..., 2:, :, 11])           # the last pooled window holds two


@pytest.mark.parametrize("name", ATTENTIONS)
def test_padding_leaves_gradients_finite_and_records_independent(name):
    layer, x = ATTENTIONS[name](DIM, HEADS), tokens(63, n_records=3).requires_grad_()
    output = layer(x)
    torch.testing.assert_close(layer(x[1:2]), output[1:2], atol=1e-5, rtol=1e-5)
    output[0].square().sum().backward()
    assert x.grad[0].isfinite().all() and x.grad[0].any() and not x.grad[1:].any()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in layer.parameters())


def test_capture_ends_with_its_block_even_on_an_error():
    model = torch.nn.Sequential(MHSA(DIM, HEADS))
    with pytest.raises(RuntimeError, match="shape"), capture_attention(model):
        model(torch.zeros(1, 3, DIM + 1))
    with capture_attention(model) as maps:
        pass
    model(tokens(5))
    assert maps == {} and model[0].captured is None


def test_capture_keeps_the_last_pass_without_gradient():
    model = torch.nn.Sequential(MHSA(DIM, HEADS), HiLoAttention(DIM, HEADS))
    with capture_attention(model) as maps:
        model(tokens(9))
        model(tokens(5))
    assert {name: m.shape[-1] for name, m in maps.items()} == {"0": 5, "1": 5}
    assert not any(m.requires_grad for m in maps.values())


def test_order_of_the_table():
    assert list(ATTENTIONS) == ["mhsa", "spatial_reduction", "bi_level_routing", "window", "shifted_window", "shunted", "hilo"]


@pytest.mark.parametrize(("build", "says"), [
    (lambda: attention_class("shuntd"), "did you mean 'shunted'"),
    (lambda: MHSA(30, 4), "dim is 30, which n_heads 4 does not divide; use 28 or 32"),
    (lambda: MHSA(32, 0), "n_heads is 0"),
    (lambda: SpatialReductionAttention(DIM, HEADS, rate=0), "rate is 0"),
    (lambda: WindowAttention(DIM, HEADS, window=2.5), "window is 2.5; it must be a whole number"),
    (lambda: ShiftedWindowAttention(DIM, HEADS, window=5, shift=5), "shift is 5; it must be smaller than the window of 5"),
    (lambda: BiLevelRoutingAttention(DIM, HEADS, n_windows=5, top_k=6), "top_k is 6; it must not exceed the 5 windows"),
    (lambda: BiLevelRoutingAttention(DIM, HEADS, local_kernel=4), "kernel is 4; it must be odd"),
    (lambda: ShuntedAttention(DIM, HEADS, rates=(1, 2, 4)), "n_heads is 4, which the number of rates 3 does not divide"),
    (lambda: ShuntedAttention(DIM, HEADS, rates=2), "rates is 2; it must be a list"),
    (lambda: HiLoAttention(DIM, HEADS, alpha=1.5), "alpha is 1.5; it is a share of the heads, from 0 to 1"),
])
def test_refuses_bad_settings_by_name(build, says):
    with pytest.raises(ConfigurationError, match=says.replace("(", r"\(")):
        build()
