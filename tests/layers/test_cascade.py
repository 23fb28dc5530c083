"""Cascade pruning: what is dropped, on what grounds, and that it stays dropped."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.attention import MHSA, capture_attention
from ecgstudy.layers.attention.cascade import CascadeAttention, CascadeStage, require_share, share, strongest
from ecgstudy.layers.blocks import Block
from ecgstudy.layers.mixers import MLP

DIM, HEADS, TOKENS = 32, 4, 64


def blocks(attention: type[MHSA], depth: int) -> list[Block]:
    torch.manual_seed(0)
    return [Block(DIM, norm=nn.LayerNorm, token_mixer=partial(attention, n_heads=HEADS), channel_mixer=MLP) for _ in range(depth)]


def cascade(depth: int = 4, *, tokens: float = 1.0, heads: float = 1.0, draw: int | None = None) -> CascadeStage:
    return CascadeStage(blocks(CascadeAttention, depth), keep_tokens=tokens, keep_heads=heads, draw=draw)


def records(n_records: int = 2) -> torch.Tensor:
    return 3 * torch.randn(n_records, TOKENS, DIM, generator=torch.Generator().manual_seed(1))


def test_everything_kept_is_the_stage_without_pruning():
    plain, pruned = nn.Sequential(*blocks(MHSA, 4)), cascade()
    assert list(plain.state_dict()) == list(pruned.state_dict())
    pruned.load_state_dict(plain.state_dict())
    torch.testing.assert_close(pruned(records()), plain(records()), atol=1e-5, rtol=1e-5)


def test_share_falls_in_equal_ratios():
    with capture_attention(stage := cascade(tokens=1 / 8, heads=1 / 4)) as maps, torch.no_grad():
        out = stage(records())
    rows = [[(m[record].sum(dim=(0, 2)) > 0).sum().item() for record in range(2)] for m in maps.values()]
    heads = [[(m[record].sum(dim=(1, 2)) > 0).sum().item() for record in range(2)] for m in maps.values()]
    assert rows == [[64, 64], [32, 32], [16, 16], [8, 8]] and out.shape == (2, 8, DIM)
    assert heads == [[4, 4], [3, 3], [2, 2], [1, 1]]                # 4, 2.52, 1.59, 1
    assert share(5, 0.01) == 1 and share(10, 0.26) == 3


def test_tokens_stay_by_the_attention_that_they_have_received_and_nothing_comes_back():
    with capture_attention(stage := cascade(tokens=0.2)) as maps, torch.no_grad():
        out, places = stage.prune(records())
    left = torch.ones(2, TOKENS, dtype=torch.bool)
    received = torch.zeros(2, TOKENS)
    for attention in maps.values():
        seen = attention.sum(dim=(1, 3)) > 0                                           # tokens that still ask
        assert not (seen & ~left).any()
        threshold = torch.stack([received[r][seen[r]].min() for r in range(2)])
        assert (received.masked_fill(seen | ~left, -1).amax(dim=1) <= threshold).all()
        torch.testing.assert_close(attention.sum(-1), seen[:, None].expand(-1, HEADS, -1).float(), atol=1e-5, rtol=0)
        assert not attention.sum(dim=(1, 2))[~seen].any()                              # nor are they seen
        left, received = seen, received + attention.sum(dim=(1, 2))
    assert left.sum(1).tolist() == [13, 13] == [out.shape[1]] * 2
    assert [left[r].nonzero().flatten().tolist() for r in range(2)] == places.tolist()
    assert not torch.equal(left[0], left[1])


def test_heads_stay_by_the_absolute_sum_of_their_output():
    stage, x = cascade(2, heads=0.5), records()
    with capture_attention(stage) as maps, torch.no_grad():
        stage(x)
        first = stage[0]
        values = first.token_mixer.split_heads(first.token_mixer.qkv(first.token_norm(x))[..., 2 * DIM:])
    output = (maps["0.token_mixer"] @ values).abs().sum(dim=(2, 3))
    alive = maps["1.token_mixer"].sum(dim=(2, 3)) > 0
    assert [alive[r].nonzero().flatten().tolist() for r in range(2)] == strongest(output, 2).tolist()


def test_a_pruned_block_is_full_attention_over_what_is_left():
    stage, x = cascade(2, tokens=0.5, heads=0.5), records(1)
    with torch.no_grad(), capture_attention(stage) as maps:
        out, places = stage.prune(x)
    plain = blocks(MHSA, 2)
    alive = (maps["1.token_mixer"].sum(dim=(0, 2, 3)) > 0).repeat_interleave(DIM // HEADS)
    with torch.no_grad():
        plain[1].token_mixer.project.weight *= alive                    # the heads that are gone have no way out
        expected = plain[1](plain[0](x)[:, places[0]])
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_records_are_independent_and_gradients_finite():
    stage, x = cascade(tokens=0.3, heads=0.5), records(3).requires_grad_()
    out = stage(x)
    torch.testing.assert_close(stage(x[1:2]), out[1:2], atol=1e-5, rtol=1e-5)
    out[0].square().sum().backward()
    assert x.grad[0].isfinite().all() and x.grad[0].any() and not x.grad[1:].any()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in stage.parameters())


def test_strongest_in_ascending_order():
    assert strongest(torch.tensor([[3.0, 1.0, 2.0, 5.0]]), 2).tolist() == [[0, 3]]


@pytest.mark.parametrize("value", [0, 1.2, -0.5, "half", True, None])
def test_refuses_what_is_no_share(value):
    with pytest.raises(ConfigurationError, match=f"keep_tokens is {value!r}; it is the share that is kept"):
        require_share("keep_tokens", value)


def test_a_draw_keeps_as_many_whatever_the_record_holds():
    x = records()
    with torch.no_grad():
        chosen, drawn, again, other = (cascade(tokens=0.25, heads=0.5, draw=draw).prune(x)[1] for draw in (None, 0, 0, 1))
        with capture_attention(stage := cascade(2, heads=0.5, draw=0)) as maps:
            stage(x)
    assert chosen.shape == drawn.shape and torch.equal(drawn, again) and not torch.equal(drawn, other)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(chosen[0], chosen[1])
    alive = maps["1.token_mixer"].sum(dim=(2, 3)) > 0
    assert alive.sum(1).tolist() == [2, 2] and torch.equal(alive[0], alive[1])


def test_what_is_drawn_at_a_smaller_share_was_drawn_at_a_larger_one():
    few, many = (set(cascade(2, tokens=share, draw=3).prune(records(1))[1][0].tolist()) for share in (0.1, 0.5))
    assert few < many
