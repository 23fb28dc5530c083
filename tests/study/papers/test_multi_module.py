"""What the multi-module page measures, on a network of fresh weights."""

import numpy as np
import pytest
import torch

from ecgstudy.data.labels import label_set
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study.papers import multi_module as page


@pytest.fixture(scope="module")
def seen():
    """Thirty records whose classes alternate, under fresh weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model("multi_module", SignalSpec(12, 200, 100), 9, image_blocks=1).eval()
    x = torch.randn(30, 12, 200, generator=torch.Generator().manual_seed(1))
    person = torch.stack([torch.linspace(20, 90, 30), (torch.arange(30) % 2).float()], dim=1)
    with torch.no_grad():
        tokens = model.tokens(x, person)
        whole = model(x, person=person)
    targets = np.eye(9, dtype=int)[np.arange(30) % 9]
    made = page.Subject(model, "fresh weights", tokens, targets, np.arange(30).astype(str), x, 100, label_set("synthetic"), (1.0, 1.0))
    return made, whole.numpy(), x, person


def test_with_every_module_the_logits_are_the_networks(seen):
    made, whole, _, _ = seen
    np.testing.assert_allclose(page.logits_without(made), whole, atol=1e-5)


def test_a_removed_module_is_no_longer_read(seen):
    """The same as a network of the remaining modules with the same weights; what the missing one is told changes nothing."""
    made, _, x, person = seen
    smaller = build_model("multi_module", SignalSpec(12, 200, 100), 9, image_blocks=1, modules=("waveform", "spectrogram", "sex")).eval()
    smaller.load_state_dict({name: value for name, value in made.model.state_dict().items() if not name.startswith("parts.age.")})
    with torch.no_grad():
        expected = smaller(x, person=person)
    np.testing.assert_allclose(page.logits_without(made, "age"), expected.numpy(), atol=1e-5)


def test_an_averaged_module_tells_nothing_about_the_record(seen):
    """With every token but that of age averaged, two records of one age would have equal logits."""
    made, _, x, _ = seen
    alike = torch.full((30, 2), 50.0)
    with torch.no_grad():
        tokens = made.model.tokens(x, alike)
    for name in ("waveform", "spectrogram"):
        tokens[name] = tokens[name].mean(dim=0, keepdim=True).expand_as(tokens[name])
    same = page.Subject(made.model, "", tokens, made.targets, made.patients, x, 100, made.labels, (1.0, 1.0))
    logits = page.logits_without(same, "sex", "averaged")
    np.testing.assert_allclose(logits, np.broadcast_to(logits[:1], logits.shape), atol=1e-5)


def test_contributions_are_paired_losses(seen):
    made, _, _, _ = seen
    found = page.contributions(made)
    assert set(found.losses) == {(name, way) for name in made.modules for way in page.WAYS} and found.by_class.shape == (4, 9)
    for name in made.modules:
        lost = found.losses[name, "averaged"]
        assert lost.estimate == pytest.approx(np.nanmean(found.by_class[made.modules.index(name)]), abs=1e-9)


def test_the_fusion_weights_are_shares(seen):
    for found in page.fusion_weights(seen[0]):
        assert found.shape == (4, 4)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
