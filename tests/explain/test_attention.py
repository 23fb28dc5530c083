"""Numbers of attention maps against plain loops, and against maps whose numbers are known."""

import math

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.explain import attention
from ecgstudy.explain.attention import Layer
from ecgstudy.layers.attention import ATTENTIONS
from ecgstudy.models import SignalSpec, build_model

SMALL = {"widths": (8, 16, 16, 16), "depths": (1, 1, 2, 2), "heads": 4}


def random_maps(*shape, seed=0):
    maps = np.random.default_rng(seed).random(shape) ** 4
    return maps / maps.sum(axis=-1, keepdims=True)


def layer(n=9, heads=3, records=2, step=0.04, class_token=False, seed=0):
    n += class_token
    return Layer("stages.2.1.token_mixer", 3, random_maps(records, heads, n, n, seed=seed), step, class_token)


def slow(found, b, h):
    """received, distance and entropy of one head, by double loops over the places."""
    first = int(found.class_token)
    n = found.maps.shape[-1] - first
    got, far, wide = [0.0] * n, 0.0, 0.0
    for q in range(n):
        row = [float(found.maps[b, h, q + first, k + first]) for k in range(n)]
        total = sum(row)
        for k in range(n):
            share = row[k] / total
            got[k] += share / n
            far += share * abs(q - k) * found.seconds_per_token / n
            wide -= share * math.log(share) / n
    return got, far, wide


@pytest.mark.parametrize("class_token", [False, True])
def test_against_double_loops(class_token):
    found = layer(class_token=class_token)
    got, far, wide = attention.received(found), attention.distance(found), attention.entropy(found)
    assert got.shape == (2, 3, 9) and far.shape == wide.shape == (2, 3)
    for b in range(2):
        for h in range(3):
            expected = slow(found, b, h)
            np.testing.assert_allclose(got[b, h], expected[0], rtol=1e-10)
            assert far[b, h] == pytest.approx(expected[1]) and wide[b, h] == pytest.approx(expected[2])


def test_an_even_spread_has_the_known_numbers():
    n, step = 25, 0.08
    flat = attention.even(layer(n, step=step))
    np.testing.assert_allclose(attention.received(flat), 1 / n)
    np.testing.assert_allclose(attention.distance(flat), step * (n * n - 1) / (3 * n))
    np.testing.assert_allclose(attention.entropy(flat), math.log(n))
    np.testing.assert_allclose(attention.spread(flat), 1)


def test_each_token_on_itself_looks_nowhere():
    own = Layer("", 3, np.broadcast_to(np.eye(6), (1, 2, 6, 6)).copy(), 0.04)
    assert not attention.distance(own).any() and not attention.entropy(own).any()


def test_even_over_what_is_seen_keeps_the_windows():
    maps = np.zeros((1, 1, 6, 6))
    maps[..., :3, :3], maps[..., 3:, 3:] = random_maps(3, 3), random_maps(3, 3, seed=1)
    seen = attention.even(Layer("", 3, maps, 0.04), "seen")
    np.testing.assert_allclose(seen.maps, np.kron(np.eye(2), np.full((3, 3), 1 / 3))[None, None])
    with pytest.raises(ConfigurationError, match="reach"):
        attention.even(seen, "windows")


def test_dropped_queries_and_heads_do_not_count():
    maps = random_maps(1, 2, 5, 5)
    maps[:, 0, 3], maps[:, 1] = 0, 0
    found = attention.received(Layer("", 4, maps, 0.08))
    np.testing.assert_allclose(found[0, 0], maps[0, 0, [0, 1, 2, 4]].mean(axis=0))
    assert np.isnan(found[0, 1]).all()


def test_the_class_token_is_kept_apart():
    found = layer(class_token=True)
    read = attention.read_by_class_token(found)
    np.testing.assert_allclose(read, found.maps[..., 0, 1:] / (1 - found.maps[..., 0, :1]))
    with pytest.raises(ConfigurationError, match="class_token"):
        attention.read_by_class_token(layer())


def test_rollout_within_a_stage_against_loops():
    first, second = layer(5, seed=0), layer(5, seed=1)
    found = attention.rollout([first, second])
    for b in range(2):
        for q in range(5):
            for k in range(5):
                way = 0.0
                for via in range(5):
                    late = (second.maps[b, :, q, via].mean() + (q == via)) / 2
                    way += late * (first.maps[b, :, via, k].mean() + (via == k)) / 2
                assert found[b, q, k] == pytest.approx(way)


@pytest.mark.parametrize(("coarse", "fine"), [(5, 9), (5, 10), (3, 9)])
def test_joins_read_three_neighbours_as_the_patch_fusion_does(coarse, fine):
    found = attention.joined(coarse, fine)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    steps = [fine] if -(-fine // 2) == coarse else [fine, -(-fine // 2)]
    reads = np.eye(fine)
    for n in steps:
        fused = torch.nn.functional.conv1d(torch.from_numpy(reads.T[:, None]), torch.ones(1, 1, 3, dtype=torch.float64), stride=2,
                                           padding=1)[:, 0].numpy().T
        inside = torch.nn.functional.conv1d(torch.ones(1, 1, n, dtype=torch.float64), torch.ones(1, 1, 3, dtype=torch.float64), stride=2,
                                            padding=1)[0, 0].numpy()
        reads = fused / inside[:, None]
    np.testing.assert_allclose(found, reads)
    with pytest.raises(ConfigurationError, match="fewer"):
        attention.joined(fine + 1, fine)


def test_rollout_across_stages_and_with_a_late_class_token():
    early, late = layer(9, step=0.04), layer(5, step=0.08, seed=3)
    found = attention.rollout([early, late])
    assert found.shape == (2, 5, 9)
    half = [(each.maps.mean(axis=1) + np.eye(each.maps.shape[-1])) / 2 for each in (early, late)]
    np.testing.assert_allclose(found, half[1] @ attention.joined(5, 9) @ half[0])
    np.testing.assert_allclose(attention.head_reads([early, late]), found.mean(axis=1))

    token = layer(5, step=0.08, class_token=True, seed=4)
    found, mixed = attention.rollout([early, token]), (token.maps.mean(axis=1) + np.eye(6)) / 2
    expected = mixed[:, :, 1:] @ attention.joined(5, 9) @ half[0]
    np.testing.assert_allclose(found, expected / expected.sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(attention.head_reads([early, token]), found[:, 0])


def test_rollout_of_one_even_layer_is_even_but_for_the_residual():
    flat = attention.even(layer(8))
    np.testing.assert_allclose(attention.rollout([flat], kept=0.0), np.full((2, 8, 8), 1 / 8))
    np.testing.assert_allclose(attention.rollout([flat]), np.broadcast_to(np.full((8, 8), 1 / 16) + np.eye(8) / 2, (2, 8, 8)))
    with pytest.raises(ConfigurationError, match="kept"):
        attention.rollout([flat], kept=1.0)


def test_samples_between_tokens():
    values = np.array([[0.0, 4.0, 0.0]])
    np.testing.assert_allclose(attention.to_samples(values, 0.04, 100, 12)[0], [0, 1, 2, 3, 4, 3, 2, 1, 0, 0, 0, 0])
    step = np.zeros((1, 12))
    step[0, 4] = 1.0
    np.testing.assert_allclose(attention.to_tokens(step, 0.04, 100, 3)[0], [0, 1 / 4, 0])
    np.testing.assert_allclose(attention.to_tokens(np.ones((2, 12)), 0.04, 100, 3), 1)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_layers_of_every_mechanism_stand_where_their_tokens_do(name):
    torch.manual_seed(0)
    model = build_model("inception_former", SignalSpec(12, 500, 100), 9, attention=name, **SMALL).eval()
    found = attention.observe(model, torch.randn(2, 12, 500), 100)
    assert [(each.stage, each.n_places, each.seconds_per_token) for each in found] == [(3, 125, 0.04), (4, 63, 0.08), (4, 63, 0.08)]
    for each in found:
        np.testing.assert_allclose(each.maps.sum(axis=-1), 1, atol=1e-5)
    assert attention.head_reads(found).shape == (2, 125)


def test_a_class_token_model_is_known_for_one():
    torch.manual_seed(0)
    model = build_model("inception_former", SignalSpec(12, 500, 100), 9, pooling="class_token", **SMALL).eval()
    early, *late = attention.observe(model, torch.randn(2, 12, 500), 100)
    assert not early.class_token and all(each.class_token and each.maps.shape[-1] == 64 and each.n_places == 63 for each in late)
    np.testing.assert_allclose(attention.head_reads([early, *late]).sum(axis=-1), 1)


def test_a_bump_moves_the_attention_of_its_own_place():
    """Token n stands at n steps: what changes when one sample does is centred there, within the stem's and stages' reach."""
    torch.manual_seed(0)
    model = build_model("inception_former", SignalSpec(12, 800, 100), 9, stem_kernels=(3, 3, 3), kernels=(1, 1, 1, 1), **SMALL).eval()
    x = torch.zeros(1, 12, 800)
    bumped = x.clone()
    bumped[..., 400] = 5.0
    with torch.no_grad():
        moved = (model.last_tokens(bumped) - model.last_tokens(x))[0].abs().sum(dim=-1).numpy()   # behind stage 3's attention
    assert abs(moved.argmax() * 0.08 - 4.0) <= 0.08


def test_networks_whose_tokens_have_no_place_are_refused():
    with pytest.raises(ConfigurationError, match="no stages"):
        attention.observe(torch.nn.Linear(2, 2), torch.zeros(1, 12, 500), 100)
    model = build_model("inception_former", SignalSpec(12, 500, 100), 9, semantic_tokens=True, **SMALL)
    with pytest.raises(ConfigurationError, match="no place"):
        attention.observe(model, torch.zeros(1, 12, 500), 100)
