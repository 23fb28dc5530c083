"""The contrastive loss against a double loop, its draws, crops, gradients, and refusals."""

from __future__ import annotations

import math

import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.models import SignalSpec
from ecgstudy.models.registry import build_pretrainer
from ecgstudy.train.feed import Batch
from ecgstudy.train.objectives.cpc import Draw, cpc, cropped, draw, recognised, scores


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(fs: float = 100):
    torch.manual_seed(0)
    return build_pretrainer("cpc_ssl", SignalSpec(12, 60, fs), width=8, context=6)


def batch(n: int = 3, n_samples: int = 60) -> Batch:
    return Batch(torch.randn(n, 12, n_samples, generator=generator(1)), torch.zeros(n, 5))


@pytest.mark.parametrize("anchors", [0, 7])
@torch.no_grad()
def test_the_loss_is_that_of_a_double_loop(anchors):
    model, given = network().eval(), batch()
    found = cpc(model, given, generator(), distance=12, distractors=9, anchors=anchors)
    drawn = draw(3, 60, generator(), 12, 9, anchors)
    z = model.latents(given.signals).double()
    c = model.context(z.float()).double()
    w = model.predictor.weight.double()
    losses, first = [], []
    for b in range(3):
        for t, candidates in zip(drawn.anchors[b].tolist(), drawn.candidates[b].tolist(), strict=True):
            assert candidates[0] == t + 12 and len(candidates) == 10
            own = [float(z[b, j] @ w @ c[b, t]) for j in candidates]
            losses.append(-math.log(math.exp(own[0]) / sum(map(math.exp, own))))
            first.append(own[0] > max(own[1:]))
    assert len(losses) == 3 * (anchors or 48)
    assert found["loss"].item() == pytest.approx(sum(losses) / len(losses), abs=1e-5)
    assert found["accuracy"].item() == pytest.approx(sum(first) / len(first))


def test_distractors_are_even_over_all_but_the_positive():
    drawn = draw(2, 10, generator(), 3, 20_000)
    assert drawn.anchors.tolist() == [list(range(7))] * 2
    for b in range(2):
        for t in range(7):
            counts = drawn.candidates[b, t, 1:].bincount(minlength=10)
            assert counts[t + 3] == 0 and drawn.candidates[b, t, 0] == t + 3
            others = counts[torch.arange(10) != t + 3]
            assert (others - 20_000 / 9).abs().max() < 5 * math.sqrt(20_000 / 9)


def test_anchors_are_drawn_once_each_and_reach_the_last():
    drawn = [draw(4, 20, generator(seed), 5, 1, 6).anchors for seed in range(40)]
    assert all(len(set(row.tolist())) == 6 for t in drawn for row in t)
    assert sorted(set(torch.cat(drawn).flatten().tolist())) == list(range(15))
    assert not torch.equal(drawn[0][0], drawn[0][1])


def test_the_same_generator_draws_the_same_and_another_does_not():
    model = network().eval()
    with torch.no_grad():
        losses = [cpc(model, batch(), generator(seed), distractors=5, crop=40, anchors=4)["loss"].item() for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_a_crop_is_a_window_of_the_record():
    x = torch.arange(20.0).expand(50, 3, 20) + 100 * torch.arange(3)[:, None]
    found = cropped(x, 8, generator())
    assert found.shape == (50, 3, 8)
    starts = found[:, 0, 0].long()
    assert set(starts.tolist()) == set(range(13))
    for row, start in zip(found, starts.tolist(), strict=True):
        assert torch.equal(row, x[0, :, start:start + 8])
    assert torch.equal(cropped(x, 20, generator()), x)


def test_a_tie_is_not_recognised():
    assert recognised(torch.tensor([[[2.0, 1.0], [1.0, 1.0], [0.0, 1.0]]])).tolist() == [[True, False, False]]


def test_a_distance_is_a_time():
    """Twelve samples at 100 Hz are 24 at 200 Hz."""
    given = batch()
    with torch.no_grad():
        fast = cpc(network(200).eval(), given, generator(), distractors=4)["loss"]
        assert fast == cpc(network().eval(), given, generator(), distractors=4, distance=24)["loss"]


def test_gradient_reaches_every_parameter_and_gathers_as_a_loop_does():
    model = network().train()
    found = cpc(model, batch(), generator(), distractors=5, anchors=8)
    assert found["loss"].requires_grad and not found["accuracy"].requires_grad
    found["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name
    z, c = torch.randn(1, 6, 8, requires_grad=True), torch.randn(1, 6, 6, requires_grad=True)
    drawn = Draw(torch.tensor([[1, 4]]), torch.tensor([[[3, 0, 0], [5, 2, 3]]]))
    scores(model.predictor, z, c, drawn).sum().backward()
    w = model.predictor.weight.detach()
    expected = torch.zeros(6, 8)
    for t, candidates in ((1, (3, 0, 0)), (4, (5, 2, 3))):
        for j in candidates:
            expected[j] += w @ c[0, t].detach()
    torch.testing.assert_close(z.grad[0], expected)


@torch.no_grad()
def test_scores_stay_exact_under_half_precision():
    model, z, c = network(), 30 * torch.randn(1, 6, 8), torch.randn(1, 6, 6)
    drawn = draw(1, 6, generator(), 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = scores(model.predictor, z, c, drawn)
    assert found.dtype == torch.float32 and torch.equal(found, scores(model.predictor, z, c, drawn))


def test_some_steps_teach_it():
    """Records that repeat after 20 samples: what comes 5 later is there to be learned."""
    model = network().train()
    phase = torch.rand(8, 1, 1, generator=generator(2))
    time = torch.arange(60) / 20
    x = torch.sin(2 * math.pi * (time + phase + torch.arange(12)[:, None] / 12))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    told = []
    for step in range(60):
        found = cpc(model, Batch(x, torch.zeros(8, 1)), generator(step), distance=5, distractors=3, anchors=16)
        told.append(found["loss"].item())
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
    assert told[0] == pytest.approx(math.log(4), abs=0.1) and told[-1] < 0.6 * told[0]


@pytest.mark.parametrize(("settings", "says"), [
    ({"distance": 0}, "distance is 0; it must be a whole number of at least 1"),
    ({"distance": 60}, "a distance of 60 samples leaves no anchor in 60; use less, or a longer crop"),
    ({"crop": 12}, "a distance of 12 samples leaves no anchor in 12"),
    ({"crop": 61}, "a crop of 61 samples does not fit records of 60"),
    ({"anchors": 49}, "anchors is 49, and 60 samples have only 48 with one 12 later"),
    ({"anchors": -1}, "anchors is -1; it must be a whole number of at least 0"),
    ({"distractors": 0}, "distractors is 0"),
])
def test_refuses(settings, says):
    with pytest.raises(ConfigurationError, match=says):
        cpc(network(), batch(), generator(), **settings)
