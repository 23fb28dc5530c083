"""The dual-branch network against a plain re-computation: scores, selection, the loss on the class tokens, and what it refuses."""

import math

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.attention import capture_attention
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.dual_branch_token_select import BRANCHES, Embedding, correlation, decorrelation
from ecgstudy.train.feed import Batch
from ecgstudy.train.objectives import multilabel

SIGNAL = SignalSpec(12, 400, 100)
SMALL = {"stem_width": 8, "dim": 16, "depths": (3, 2), "collect_from": (2, 1), "heads": 2}


def network(signal=SIGNAL, n_classes=4, **settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model("dual_branch_token_select", signal, n_classes, **(SMALL | settings)).eval()


def records(n_records=3, n_samples=400):
    return torch.randn(n_records, 12, n_samples, generator=torch.Generator().manual_seed(5))


def test_a_token_is_made_of_the_samples_that_its_place_names():
    """Convolution i reads x[stride i : stride i + kernel], zeros beyond the record."""
    embed = Embedding(2, 6, 20, (20, 40))
    x = torch.randn(1, 2, 1010)                                     # no multiple of 20: one more, half-filled token
    tokens = embed(x)
    assert tokens.shape == (1, 51, 6)
    longer = torch.cat([x, torch.zeros(1, 2, 60)], dim=-1)
    for i in (0, 7, 49, 50):
        by_hand = [(conv.weight * longer[0, :, 20 * i:20 * i + conv.kernel_size[0]]).sum(dim=(1, 2)) + conv.bias for conv in embed.convs]
        torch.testing.assert_close(tokens[0, i], torch.cat(by_hand), atol=1e-5, rtol=1e-4)


def test_scores_are_the_running_mean_of_class_attention_from_the_first_collected_layer_on():
    branch = network().coarse
    tokens = branch.position(branch.join_class(branch.embed(network().stem(records()))))
    with torch.no_grad(), capture_attention(branch) as maps:
        _, score = branch.encode(tokens)
    assert len(maps) == 3
    by_hand = torch.zeros_like(score)
    for number in (2, 3):
        by_hand = 0.99 * by_hand + 0.01 * maps[f"layers.{number - 1}.attention"][:, :, 0, 1:].mean(dim=1)
    torch.testing.assert_close(score, by_hand)
    assert score.std(dim=1).min() > 0


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.77])
def test_the_second_pass_sees_the_best_scored_tokens_and_the_class_token_alone(keep):
    model, x = network(keep=keep), records()
    with torch.no_grad():
        stem, found, logits = model.stem(x), model.selection(x), model(x)
        for b in range(len(x)):                                     # record by record, in plain steps
            ends = []
            for name in BRANCHES:
                branch, (kept, score) = getattr(model, name), found[name]
                n = math.ceil(keep * score.shape[1])
                best = sorted(np.argsort(-score[b].numpy(), kind="stable")[:n])
                assert kept[b].nonzero().flatten().tolist() == best
                y = branch.position(branch.join_class(branch.embed(stem[b:b + 1])))
                for layer in branch.layers:
                    y = layer(y)[0]
                y = y[:, [0, *(1 + i for i in best)]]
                for layer in branch.layers:
                    y = layer(y)[0]
                ends.append(branch.norm(y)[:, 0])
            torch.testing.assert_close(model.head.classify(torch.cat(ends, dim=1))[0], logits[b], atol=1e-5, rtol=1e-4)


def test_features_are_both_class_tokens_and_then_what_was_kept():
    model, x = network(), records()
    with torch.no_grad():
        features = model.forward_features(x)
        assert features.shape == (3, 16, 2 + 10 + 40)
        torch.testing.assert_close(model.head(features), model(x))
        stem = model.stem(x)
        torch.testing.assert_close(features[..., 0], model.coarse(stem)[:, 0])
        torch.testing.assert_close(features[..., 1], model.fine(stem)[:, 0])


def test_a_random_draw_keeps_as_many_the_same_in_every_record_and_not_the_best():
    chosen, drawn = (network(**settings).selection(records()) for settings in ({}, {"keep_draw": 0}))
    for name in BRANCHES:
        assert (drawn[name][0].sum(dim=1) == chosen[name][0].sum(dim=1)).all()
        assert (drawn[name][0] == drawn[name][0][:1]).all() and (drawn[name][0] != chosen[name][0]).any()


def test_the_correlation_is_pearsons():
    u, v = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1)) * 3 + 2
    by_hand = [np.corrcoef(a, b)[0, 1] for a, b in zip(u.numpy(), v.numpy(), strict=True)]
    np.testing.assert_allclose(correlation(u, v), by_hand, atol=1e-5)


def test_decorrelation_wants_the_identity():
    u = torch.randn(4096, 4, generator=torch.Generator().manual_seed(1))
    assert decorrelation(u, u) < 0.01
    mixed = decorrelation(u, u.roll(1, dims=1))                     # every component paired with another one
    assert mixed.item() == pytest.approx(4 + 0.005 * 4, rel=0.1)


@pytest.mark.parametrize(("relation", "weight"), [("correlation", 0.1), ("correlation", 3.0), ("decorrelation", 0.1)])
def test_the_objective_adds_the_relation_and_it_trains(relation, weight):
    """With the labels' loss constant, descending the objective alone brings the class tokens together."""
    model, x = network(relation=relation, relation_weight=weight), records(6)
    features = model.forward_features(x)
    plain = {"correlation": (1 - correlation(features[..., 0], features[..., 1])).mean(),
             "decorrelation": decorrelation(features[..., 0], features[..., 1])}[relation]
    losses = multilabel(model, Batch(x, torch.zeros(6, 4)), torch.Generator())
    torch.testing.assert_close(losses["relation"], weight * plain)
    torch.testing.assert_close(losses["loss"], losses["labels"] + losses["relation"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(10):
        _, extra = model.training_outputs(x)
        optimizer.zero_grad()
        extra["relation"].backward()
        optimizer.step()
    assert extra["relation"].item() < 0.6 * losses["relation"].item()


def test_dropped_tokens_learn_through_the_first_pass_and_every_parameter_has_a_gradient():
    model = network().train()
    logits, extra = model.training_outputs(records())
    (logits.square().mean() + sum(extra.values())).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, name
    assert (model.coarse.position.table.grad.abs().sum(dim=1) > 0).all()


def test_sizes_in_time_follow_the_sampling_rate():
    model = network(SignalSpec(8, 2500, 250))
    assert model.coarse.embed.stride == 50 and [conv.kernel_size[0] for conv in model.fine.embed.convs] == [12, 250]
    assert model.coarse.position.table.shape[0] == 51


@pytest.mark.parametrize(("settings", "message"), [
    ({"keep": 0.0}, "keep is 0.0"),
    ({"keep": 1.0, "keep_draw": 1}, "keep_draw is 1"),
    ({"depths": (2,)}, "depths has 1 entries"),
    ({"collect_from": (2, 3)}, "collect_from is 3 for the fine branch, which has 2 layers"),
    ({"relation": "corelation"}, "did you mean 'correlation'"),
    ({"stem_width": 10}, "stem_width is 10"),
    ({"dim": 15}, "dim is 15"),
])
def test_refuses_what_the_design_cannot_take(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        network(**settings)


def test_refuses_a_record_without_two_coarse_tokens():
    with pytest.raises(ConfigurationError, match="39 samples holds fewer than two coarse tokens of 20; give at least 40"):
        network(SignalSpec(12, 39, 100))
