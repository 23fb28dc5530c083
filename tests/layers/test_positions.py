"""Positions: what they add, that attention sees them, and lengths other than the one built for."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from ecgstudy.layers.attention import MHSA
from ecgstudy.layers.attention.base import explicit_weights
from ecgstudy.layers.positions import ConditionalPosition, LearnedPosition, RelativeBias, SinusoidalPosition, fit_table

DIM, HEADS, TOKENS = 32, 4, 21


@pytest.fixture(autouse=True)
def weights_seeded():
    torch.manual_seed(0)


def tokens(n_tokens: int = TOKENS) -> torch.Tensor:
    return torch.randn(2, n_tokens, DIM, generator=torch.Generator().manual_seed(n_tokens))


def attention_after(position: torch.nn.Module) -> torch.nn.Module:
    return torch.nn.Sequential(position, MHSA(DIM, HEADS))


@pytest.mark.parametrize(("build", "sees_order"), [
    (lambda: MHSA(DIM, HEADS), False),
    (lambda: MHSA(DIM, HEADS, relative_tokens=TOKENS), True),
    (lambda: MHSA(DIM, HEADS, value_kernel=3), True),
    (lambda: MHSA(DIM, HEADS, output_kernel=5), True),
    (lambda: attention_after(LearnedPosition(TOKENS, DIM)), True),
    (lambda: attention_after(SinusoidalPosition()), True),
    (lambda: attention_after(ConditionalPosition(DIM)), True),
], ids=["none", "relative", "value", "lepe", "learned", "sinusoidal", "cpe"])
def test_only_a_position_tells_attention_the_order(build, sees_order):
    layer, x = build(), tokens()
    with torch.no_grad():
        gap = (layer(x).flip(1) - layer(x.flip(1))).abs().max()
    assert gap > 1e-4 if sees_order else gap < 1e-5


def test_settings_of_mhsa_by_hand():
    x, relative, value = tokens(), MHSA(DIM, HEADS, relative_tokens=TOKENS), MHSA(DIM, HEADS, value_kernel=3)
    lepe = MHSA(DIM, HEADS, output_kernel=3)
    lepe.load_state_dict({name.replace("local_value", "local_output"): w for name, w in value.state_dict().items()})
    with torch.no_grad():
        relative.relative.table.mul_(50)
        q, k, v = (relative.split_heads(part) for part in relative.qkv(x).chunk(3, dim=-1))
        bias = torch.stack([torch.stack([relative.relative.table[i - j + TOKENS - 1] for j in range(TOKENS)]) for i in range(TOKENS)])
        by_hand = relative.project((explicit_weights(q, k, bias.permute(2, 0, 1)) @ v).transpose(1, 2).flatten(2))
        torch.testing.assert_close(relative(x), by_hand, atol=1e-5, rtol=1e-5)

        q, k, v = value.qkv(x).chunk(3, dim=-1)
        conv = value.local_value.conv
        local = F.conv1d(v.transpose(1, 2), conv.weight[:, :, 0], conv.bias, padding=1, groups=DIM).transpose(1, 2)
        weights = explicit_weights(value.split_heads(q), value.split_heads(k), None)

        def weighed(values: torch.Tensor) -> torch.Tensor:
            return (weights @ value.split_heads(values)).transpose(1, 2).flatten(2)

        torch.testing.assert_close(value(x), value.project(weighed(v + local)), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(lepe(x), value.project(weighed(v) + local), atol=1e-5, rtol=1e-5)


def test_sinusoidal_table_by_hand():
    table = SinusoidalPosition()(torch.zeros(1, 300, 7))[0]
    for n, i in ((0, 0), (1, 0), (17, 2), (299, 3)):
        angle = n / 10000 ** (2 * i / 7)
        assert table[n, 2 * i] == pytest.approx(math.sin(angle), abs=1e-4)
        if 2 * i + 1 < 7:
            assert table[n, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-4)


def test_a_table_on_other_lengths():
    table = torch.arange(5.0)[:, None] * torch.tensor([1.0, -2.0])
    assert torch.equal(fit_table(table, 3), table[:3]) and torch.equal(fit_table(table, 5), table)
    torch.testing.assert_close(fit_table(table, 9), torch.arange(0, 4.5, 0.5)[:, None] * torch.tensor([1.0, -2.0]))
    assert fit_table(table[:1], 4).tolist() == table[:1].expand(4, -1).tolist()


def test_relative_bias_clamps_to_its_largest_distance():
    relative = RelativeBias(4, HEADS)
    short, longer = relative(3), relative(7)
    assert short.shape == (HEADS, 3, 3) and torch.equal(short, longer[:, :3, :3])
    assert torch.equal(longer[:, 0, 3], longer[:, 0, 6]) and torch.equal(longer[:, 6, 0], relative.table[-1])
    assert not torch.equal(longer[:, 0, 2], longer[:, 0, 3])
