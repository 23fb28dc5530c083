"""CLOCS' objective against double loops: views, the loss of a pair, the published slip, any model in the encoder's place."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.registry import build_pretrainer
from ecgstudy.train.feed import Batch
from ecgstudy.train.objectives.clocs import SCHEMES, Whole, clocs, last_pair_only, matched, pair_losses, similarities, views_of

SIGNAL = SignalSpec(12, 320, 100)
PATIENTS = {"all different": [0, 1, 2, 3, 4], "one twice": [3, 1, 3, 2, 0], "one thrice, one twice": [7, 2, 7, 2, 7]}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(n: int = 5, patients=None) -> Batch:
    signals = torch.randn(n, 12, 320, generator=generator(1))
    return Batch(signals, torch.zeros(n, 3), index=torch.arange(n), patients=None if patients is None else torch.tensor(patients))


def contrasted(**settings):
    torch.manual_seed(0)
    return build_pretrainer("clocs", SIGNAL, **settings)


def plain_pair(a, b, patients, temperature):
    """The loss of one pair of views [B, E] by the paper's formulas, one cell at a time."""
    n = len(a)
    s = np.array([[a[i] @ b[j] / np.linalg.norm(a[i]) / np.linalg.norm(b[j]) / temperature for j in range(n)] for i in range(n)])
    diagonal_ab, diagonal_ba, off_ab, off_ba = [], [], [], []
    for i in range(n):
        for j in range(n):
            of_row = -np.log(np.exp(s[i, j]) / sum(np.exp(s[i, k]) for k in range(n)))
            of_column = -np.log(np.exp(s[i, j]) / sum(np.exp(s[k, j]) for k in range(n)))
            if i == j:
                diagonal_ab.append(of_row)
                diagonal_ba.append(of_column)
            elif patients[i] == patients[j] and i < j:
                off_ab.append(of_row)
            elif patients[i] == patients[j]:
                off_ba.append(of_column)
    return np.mean([np.mean(term) for term in (diagonal_ab, diagonal_ba, off_ab, off_ba) if term])


# -- the loss -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("patients", PATIENTS.values(), ids=PATIENTS)
@pytest.mark.parametrize("n_views", [2, 5])
def test_the_loss_of_every_pair_is_the_one_of_double_loops(n_views, patients):
    embeddings = torch.randn(n_views, 5, 7, generator=generator())
    found = pair_losses(similarities(embeddings) / 0.1, torch.tensor(patients))
    v = embeddings.double().numpy()
    expected = [plain_pair(v[a], v[b], patients, 0.1) for a, b in combinations(range(n_views), 2)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_without_patients_every_record_is_someone_elses():
    logits = similarities(torch.randn(3, 5, 7, generator=generator())) / 0.1
    torch.testing.assert_close(pair_losses(logits), pair_losses(logits, torch.arange(5)))
    assert (pair_losses(logits, torch.tensor([0, 0, 1, 2, 3])) - pair_losses(logits)).abs().min() > 1e-3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_objective_is_the_mean_over_all_pairs_of_its_views(scheme):
    model, asked = contrasted().eval(), batch(patients=[3, 1, 3, 2, 0])
    found = clocs(model, asked, generator(4), scheme=scheme, temperature=0.2)
    with torch.no_grad():
        v = [model.embed(view).double().numpy() for view in views_of(asked.signals, scheme, generator(4))]
    expected = np.mean([plain_pair(a, b, [3, 1, 3, 2, 0], 0.2) for a, b in combinations(v, 2)])
    assert found["loss"].item() == pytest.approx(expected, rel=1e-4)
    hits = [[(u @ b[j]) / np.linalg.norm(u) / np.linalg.norm(b[j]) for j in range(5)]
            for one, other in combinations(v, 2) for a, b in ((one, other), (other, one)) for u in a]
    assert found["accuracy"].item() == pytest.approx(np.mean([int(np.argmax(row)) == i % 5 for i, row in enumerate(hits)]))
    assert not found["accuracy"].requires_grad and found["loss"].requires_grad


def test_the_published_slip_learns_from_the_last_pair_alone():
    embeddings = torch.randn(24, 4, 7, generator=generator(), requires_grad=True)
    losses = pair_losses(similarities(embeddings) / 0.1)
    assert len(losses) == 276
    assert last_pair_only(losses).item() == pytest.approx(losses[-1].item() / 276)
    assert last_pair_only(losses).item() != pytest.approx(losses.mean().item(), rel=0.1)
    (slipped,) = torch.autograd.grad(last_pair_only(losses), embeddings, retain_graph=True)
    assert slipped.abs().amax(dim=(1, 2)).nonzero().flatten().tolist() == [22, 23]          # both segments of V6
    (whole,) = torch.autograd.grad(losses.mean(), embeddings)
    assert whole.abs().amax(dim=(1, 2)).min() > 0
    one = pair_losses(similarities(embeddings[:2]) / 0.1)
    assert last_pair_only(one).item() == one.mean().item()                                  # cmsc is not concerned


def test_perfect_views_match_and_swapped_ones_do_not():
    unit = torch.eye(4)
    assert matched(similarities(torch.stack([unit, unit]))) == 1
    assert matched(similarities(torch.stack([unit, unit.roll(1, 0)]))) == 0
    assert pair_losses(similarities(torch.stack([unit, unit])) / 0.01).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_weight_has_a_gradient_also_beside_flat_records(scheme):
    model, asked = contrasted(), batch(6, [0, 0, 1, 2, 3, 4])
    asked.signals[1] = 0.5
    found = clocs(model, asked, generator(), scheme=scheme)
    found["loss"].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert all(p.grad.any() for p in model.parameters())


def test_half_precision_embeds_and_compares_in_full():
    model, asked = contrasted().eval(), batch(5, [0, 1, 1, 2, 3])
    exact = clocs(model, asked, generator(), scheme="cmsmlc")
    with torch.autocast("cpu", torch.bfloat16):
        found = clocs(model, asked, generator(), scheme="cmsmlc")
    assert found["loss"].dtype == torch.float32 and found["loss"].item() == pytest.approx(exact["loss"].item(), rel=0.05)


def test_a_single_record_has_nothing_to_learn_from():
    model = contrasted()
    found = clocs(model, batch(1, [0]), generator(), scheme="cmsmlc")
    assert found["loss"].item() == pytest.approx(0, abs=1e-6) and found["accuracy"] == 1


def test_training_brings_a_records_halves_together():
    model, asked = contrasted(dropout=0.0), batch(16, list(range(16)))
    asked.signals[..., 160:] = asked.signals[..., :160] + 0.3 * asked.signals[..., 160:]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    first = clocs(model, asked, generator(), scheme="cmsc")
    for step in range(60):
        optimizer.zero_grad()
        found = clocs(model, asked, generator(step), scheme="cmsc")
        found["loss"].backward()
        optimizer.step()
    assert found["loss"] < first["loss"] / 2 and found["accuracy"] > 0.8


# -- the views ----------------------------------------------------------------------------------------------------------

def test_views_of_each_scheme():
    signals = torch.arange(2 * 12 * 11.0).view(2, 12, 11)                                   # every value tells where it is from
    cmsc = views_of(signals, "cmsc", generator())
    assert cmsc.shape == (2, 2, 1, 5)
    lead = int(cmsc[0, 0, 0, 0]) // 11
    assert torch.equal(cmsc[0, :, 0], signals[:, lead, :5]) and torch.equal(cmsc[1, :, 0], signals[:, lead, 5:10])
    cmlc = views_of(signals, "cmlc", generator())
    assert cmlc.shape == (12, 2, 1, 5)
    start = int(cmlc[0, 0, 0, 0])
    assert 0 <= start <= 6 and torch.equal(cmlc[:, :, 0].transpose(0, 1), signals[:, :, start:start + 5])
    both = views_of(signals, "cmsmlc", generator())
    assert both.shape == (24, 2, 1, 5)
    for lead in range(12):
        assert torch.equal(both[2 * lead, :, 0], signals[:, lead, :5]) and torch.equal(both[2 * lead + 1, :, 0], signals[:, lead, 5:10])
    together = views_of(signals, "cmsc", generator(), leads_together=True)
    assert torch.equal(together[0], signals[..., :5]) and torch.equal(together[1], signals[..., 5:10])


def test_the_draw_is_the_generators_and_reaches_every_lead_and_stretch():
    signals = torch.arange(12 * 8.0).view(1, 12, 8)
    leads = {int(views_of(signals, "cmsc", generator(seed))[0, 0, 0, 0]) // 8 for seed in range(200)}
    starts = {int(views_of(signals, "cmlc", generator(seed))[0, 0, 0, 0]) for seed in range(100)}
    assert leads == set(range(12)) and starts == set(range(5))
    assert torch.equal(views_of(signals, "cmsc", generator(3)), views_of(signals, "cmsc", generator(3)))


# -- any registered model in the encoder's place ------------------------------------------------------------------------

def resnet() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model("resnet18", SIGNAL, 5, width=8)


def test_a_whole_model_is_contrasted_over_time_and_hands_on_all_but_its_head():
    whole, asked = Whole(resnet()), batch(4, [0, 1, 2, 2])
    assert whole.leads_together
    halves = torch.stack([asked.signals[..., :160], asked.signals[..., 160:]])
    whole.eval()
    with torch.no_grad():
        v = [whole.encoder.stages(whole.encoder.stem(half)).mean(dim=-1).double().numpy() for half in halves]
        assert whole(halves[0]).shape == (4, 64)
    assert clocs(whole, asked, generator())["loss"].item() == pytest.approx(plain_pair(*v, [0, 1, 2, 2], 0.1), rel=1e-4)
    whole.train()
    clocs(whole, asked, generator())["loss"].backward()
    assert all(p.grad is not None and p.grad.any() for p in whole.parameters())

    torch.manual_seed(1)
    classifier = build_model("resnet18", SIGNAL, 5, width=8).eval()
    head = {name: value.clone() for name, value in classifier.head.state_dict().items()}
    found = classifier.load_state_dict(whole.encoder.state_dict(), strict=False)
    assert sorted(found.missing_keys) == ["head.2.bias", "head.2.weight"] and not found.unexpected_keys
    assert all(torch.equal(value, head[name]) for name, value in classifier.head.state_dict().items())
    whole.eval()
    with torch.no_grad():
        torch.testing.assert_close(classifier.forward_features(halves[0]).mean(dim=-1), whole.embed(halves[0]))


@pytest.mark.parametrize(("call", "says"), [
    (lambda: clocs(contrasted(), batch(), generator(), scheme="cmcs"), "unknown scheme 'cmcs'; did you mean 'cmsc'"),
    (lambda: clocs(Whole(resnet()), batch(), generator(), scheme="cmlc"), "scheme cmlc makes every lead a view.*use scheme cmsc"),
    (lambda: clocs(contrasted(), batch(), generator(), temperature=0), "temperature is 0; it must be a number above 0"),
    (lambda: clocs(contrasted(), batch(), generator(), temperature=float("nan")), "temperature is nan"),
    (lambda: Whole(torch.nn.Linear(3, 3)), "Linear has no head or no forward_features"),
])
def test_refuses(call, says):
    with pytest.raises(ConfigurationError, match=says):
        call()
