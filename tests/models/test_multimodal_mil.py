"""What makes this paper the paper, against plain re-computations: Gramian images, the loudest instance, attention over both bags."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.gramian import GramianField, patch_places, patches
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.multimodal_mil import N_PATCHES
from ecgstudy.train.feed import Batch
from ecgstudy.train.objectives import multilabel

SIGNAL = SignalSpec(12, 1000, 100)
PEAKS = torch.tensor([[20, 110, 180, 300, 380, 470, 980], [50, 400, 430, 700, -1, -1, -1]])


def network(signal=SIGNAL, **settings):
    torch.manual_seed(0)
    return build_model("multimodal_mil", signal, 5, **{"width": 8} | settings).eval()


def records(n=2):
    return torch.randn(n, 12, 1000, generator=torch.Generator().manual_seed(0))


def test_the_gramian_field_is_the_cosine_of_sums_of_angles():
    x = records(1)[:, :2]
    image = GramianField(20)(x)[0].numpy()
    for lead in range(2):
        points = x[0, lead].numpy().astype(float).reshape(20, 50).mean(axis=1)
        angle = np.arccos(np.clip((2 * points - points.max() - points.min()) / np.ptp(points), -1, 1))
        np.testing.assert_allclose(image[lead], np.cos(angle[:, None] + angle[None]), atol=5e-6)


def test_a_flat_lead_has_a_finite_image_and_slope():
    x = torch.zeros(1, 2, 200, requires_grad=True)
    image = GramianField(20)(x)
    image.sum().backward()
    assert (image.abs() <= 1 + 1e-6).all() and x.grad.isfinite().all()


def test_patches_are_squares_of_the_image():
    image = torch.arange(2 * 8 * 8.0).view(1, 2, 8, 8)
    cut = patches(image, 4)
    assert cut.shape == (1, 4, 2, 4, 4)
    for patch, (row, column) in zip(cut[0], patch_places(8, 4).tolist(), strict=True):
        assert torch.equal(patch, image[0, :, row:row + 4, column:column + 4])


def plain_fusion(model, beats, squares):
    """The formulas for one record: instances [S, d] and [P, d] as arrays."""
    head = model.head
    everything = np.concatenate([beats, squares])
    vectors, tops = [], []
    for name, own in (("beats", beats), ("image", squares)):
        w, b = (p.detach().numpy() for p in head.score[name].parameters())
        top = (own @ w.T + b).max(axis=1).argmax()
        wq, bq = (p.detach().numpy() for p in head.query.parameters())
        query = wq @ np.tanh(own[top]) + bq
        close = everything @ query / np.sqrt(len(query))
        weights = np.exp(close - close.max())
        weights /= weights.sum()
        vectors.append(0.9 * weights @ everything + 0.1 * query)
        tops.append(top)
    with torch.no_grad():
        return head.classify(torch.from_numpy(np.concatenate(vectors)).float()[None]).numpy()[0], tops


def test_fusion_is_its_formulas():
    model, x = network(), records()
    with torch.no_grad():
        features, held = model.instances(x, PEAKS)
        fused, logits = model.head.fuse(features, held), model(x, beats=PEAKS)
    n_slots = held.shape[1] - N_PATCHES
    for i, n_beats in enumerate((7, 4)):
        own = features[i].T.numpy()
        expected, (beat, patch) = plain_fusion(model, own[:n_beats], own[n_slots:])
        np.testing.assert_allclose(logits[i].numpy(), expected, atol=1e-5)
        assert fused.top[i].tolist() == [beat, n_slots + patch]
    torch.testing.assert_close(fused.weights.sum(dim=-1), torch.ones(2, 2))
    assert (fused.weights[1, :, 4:n_slots] == 0).all()


def test_a_query_that_stays_at_home_gathers_nothing_of_the_other_bag():
    model, x = network(reach="own"), records()
    with torch.no_grad():
        features, held = model.instances(x, PEAKS)
        weights = model.head.fuse(features, held).weights
    n_slots = held.shape[1] - N_PATCHES
    assert (weights[:, 0, n_slots:] == 0).all() and (weights[:, 1, :n_slots] == 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 2))


def test_records_do_not_see_one_another_nor_empty_slots():
    model, x = network(), records()
    with torch.no_grad():
        alone = torch.cat([model(x[:1], beats=PEAKS[:1]), model(x[1:], beats=PEAKS[1:, :4])])
        torch.testing.assert_close(model(x, beats=PEAKS), alone, atol=1e-5, rtol=1e-4)


def test_the_image_is_blind_to_amplitude_and_the_beats_are_not():
    model, x = network(), records(1)
    with torch.no_grad():
        features, loud = (model.forward_features(scale * x, beats=PEAKS[:1]) for scale in (1, 3))
    torch.testing.assert_close(features[..., -N_PATCHES:], loud[..., -N_PATCHES:], atol=1e-4, rtol=1e-3)
    assert not torch.allclose(features[..., :-N_PATCHES], loud[..., :-N_PATCHES], atol=1e-2)


def test_the_scores_are_trained_by_their_own_loss_alone():
    model, x = network().train(), records()
    targets = (torch.arange(10).view(2, 5) % 3 == 0).float()
    model(x, beats=PEAKS).sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.head.score.parameters())
    losses = multilabel(model, Batch(x, targets, {"beats": PEAKS}), torch.Generator())
    found = model.head.strongest(model.head.fuse(*model.instances(x, PEAKS)))
    for name, scores in found.items():
        torch.testing.assert_close(losses[f"strongest_{name}"], 0.25 * F.binary_cross_entropy_with_logits(scores, targets))
    torch.testing.assert_close(losses["loss"], losses["labels"] + losses["strongest_beats"] + losses["strongest_image"])
    losses["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(p.grad.any() for p in model.head.score.parameters())


@pytest.mark.parametrize(("signal", "settings", "told"), [
    (SignalSpec(12, 250, 100), {}, "at least 3 s"), (SIGNAL, {"width": 6}, "use 4 or 8"), (SIGNAL, {"share": 0}, "above 0"),
    (SIGNAL, {"reach": "all"}, "both")])
def test_refusals_name_the_fix(signal, settings, told):
    with pytest.raises(ConfigurationError, match=told):
        network(signal, **settings)
