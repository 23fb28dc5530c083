"""Gates, channel mixers, modulation, inverted bottleneck and semantic tokens against their formulas."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ecgstudy.layers.attention import capture_attention
from ecgstudy.layers.channel import CoordinateAttention, SqueezeExcite
from ecgstudy.layers.convs import ConvModulation, InvertedBottleneck
from ecgstudy.layers.mixers import GLU, MLP, ConvGLU, DepthwiseMLP, channel_mixer
from ecgstudy.layers.pooling import ClassTokenHead
from ecgstudy.layers.semantic_tokens import SemanticTokens
from ecgstudy.layers.tokens import ClassToken

DIM = 32


@pytest.fixture(autouse=True)
def weights_seeded():
    torch.manual_seed(0)


def tokens(n_tokens: int = 20, n_records: int = 2) -> torch.Tensor:
    return torch.randn(n_records, n_tokens, DIM, generator=torch.Generator().manual_seed(n_tokens))


def reach(layer: nn.Module, n_tokens: int = 81) -> int:
    """How many output tokens one input token changes."""
    x, changed = tokens(n_tokens, 1), tokens(n_tokens, 1)
    changed[0, n_tokens // 2] += 1
    with torch.no_grad():
        return int(((layer(x) - layer(changed)).abs().amax(dim=-1) > 1e-7).sum())


def test_squeeze_excite_is_one_factor_a_channel_over_the_whole_record():
    gate, x = SqueezeExcite(DIM, reduction=4), tokens()
    factor = torch.sigmoid(gate.excite(F.relu(gate.squeeze(x.mean(dim=1)))))
    torch.testing.assert_close(gate(x), x * factor[:, None])
    assert gate.squeeze.out_features == 8 and SqueezeExcite(8).squeeze.out_features == 1


def test_coordinate_attention_by_hand():
    gate, x = CoordinateAttention(DIM).eval(), tokens()
    joined = torch.cat([x, x.mean(dim=1, keepdim=True)], dim=1)
    narrow = F.hardswish(gate.norm(gate.squeeze(joined)))
    by_hand = x * torch.sigmoid(gate.token_gate(narrow[:, :20])) * torch.sigmoid(gate.channel_gate(narrow[:, 20:]))
    torch.testing.assert_close(gate(x), by_hand)
    assert gate.squeeze.out_features == 8 and CoordinateAttention(256).squeeze.out_features == 16


def test_mixers_that_convolve_are_those_that_do_not_when_the_convolution_does_nothing():
    plain, local = MLP(DIM), DepthwiseMLP(DIM)
    nn.init.zeros_(local.local.conv.weight)
    nn.init.zeros_(local.local.conv.bias)
    local.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(local(tokens()), plain(tokens()))

    gated, local_gated = GLU(DIM), ConvGLU(DIM)
    local_gated.load_state_dict(gated.state_dict(), strict=False)
    nn.init.zeros_(local_gated.local.conv.bias)
    nn.init.zeros_(local_gated.local.conv.weight)
    local_gated.local.conv.weight.data[..., 1] = 1                       # the middle of three: the token itself
    torch.testing.assert_close(local_gated(tokens()), gated(tokens()))


def test_glu_by_hand():
    gated, x = GLU(DIM), tokens()
    first, second = gated.expand(x).split(42, dim=-1)                     # floor(4 * 32 / 3)
    torch.testing.assert_close(gated(x), gated.reduce(F.gelu(first) * second))


@pytest.mark.parametrize(("name", "tokens_changed"), [("mlp", 1), ("glu", 1), ("dw_mlp", 5), ("conv_glu", 5)])
def test_reach_of_the_channel_mixers(name, tokens_changed):
    assert reach(channel_mixer(name, 5)(DIM)) == tokens_changed


def test_modulation_by_hand():
    layer, x = ConvModulation(DIM), tokens()
    first, _, conv = layer.weigh
    weights = F.conv1d(F.gelu(first(x)).transpose(1, 2), conv.conv.weight[:, :, 0], conv.conv.bias, padding=5, groups=DIM)
    torch.testing.assert_close(layer(x), layer.project(weights.transpose(1, 2) * layer.value(x)), atol=1e-5, rtol=1e-5)
    assert reach(layer) == 11


def test_inverted_bottleneck_sees_as_far_as_its_largest_kernel_and_ends_in_a_norm():
    layer, x = InvertedBottleneck(DIM), tokens()
    assert reach(layer.eval()) == 19
    out = layer.train()(x)
    torch.testing.assert_close(out.mean(dim=(0, 1)), torch.zeros(DIM), atol=1e-5, rtol=0)
    assert layer.expand[0].out_features == 2 * DIM


def test_class_token_comes_first_and_the_head_reads_it_alone():
    x = ClassToken(DIM)(tokens())
    assert x.shape == (2, 21, DIM) and torch.equal(x[0, 0], x[1, 0]) and torch.equal(x[:, 1:], tokens())
    head, features = ClassTokenHead(DIM, 3), x.transpose(1, 2)
    torch.testing.assert_close(head(features), head.classify(x[:, 0]))


@pytest.mark.parametrize(("n_tokens", "kept"), [(125, 25), (124, 24), (9, 1), (3, 1), (250, 50)])
def test_semantic_tokens_of_any_length(n_tokens, kept):
    layer, x = SemanticTokens(DIM, 4, n_tokens=125), tokens(n_tokens)
    with torch.no_grad(), capture_attention(layer) as maps:
        out = layer(x)
    seen = max(n_tokens, 5)
    assert out.shape == (2, kept, DIM) and out.isfinite().all()
    assert [m.shape for m in maps.values()] == [(2, 4, kept, seen), (2, 4, kept, kept + seen)]
    for attention in maps.values():
        torch.testing.assert_close(attention.sum(-1), torch.ones(2, 4, kept), atol=1e-5, rtol=0)
    torch.testing.assert_close(layer(x[1:]), out[1:], atol=1e-5, rtol=1e-5)


def test_pools_of_the_semantic_tokens_overlap_or_do_not():
    layer, x = SemanticTokens(DIM, 4, n_tokens=25), tokens(25, 1)
    windows = []
    for pool in layer.pools:
        for place in (12, 14):                                             # inside the third window of five, and at its end
            changed = x.clone()
            changed[0, place] += 1
            windows.append((pool(x) - pool(changed)).abs().amax(dim=-1)[0].gt(1e-6).nonzero().flatten().tolist())
    assert windows == [[2], [2], [2], [2, 3]]


def test_learned_tokens_enter_the_second_layer():
    layer, x = SemanticTokens(DIM, 4, n_tokens=20), tokens()
    before = layer(x)
    layer.shared.data += torch.randn(4, DIM)
    assert (layer(x) - before).abs().max() > 1e-4
