"""The loss on hidden patches against two slow loops over leads and patches; what is drawn; what is not scored."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.models import SignalSpec
from ecgstudy.models.registry import build_pretrainer
from ecgstudy.models.st_mem import hidden_patches
from ecgstudy.train.feed import Batch
from ecgstudy.train.objectives.masked import draw_kept, masked, random_crop

SIGNAL = SignalSpec(2, 130, 100)
SMALL = {"width": 8, "depth": 1, "heads": 2, "patch": 10, "crop": 120, "decoder_width": 8, "decoder_depth": 1, "decoder_heads": 2}


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(n: int = 3, scale: float = 1.0) -> Batch:
    return Batch(torch.randn(n, 2, 130, generator=generator(1)) * scale + scale, torch.zeros(n, 1))


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_pretrainer("st_mem", SIGNAL, **SMALL)


class Remembers(torch.nn.Module):
    """A network that keeps what it was asked, and answers as it was told."""

    n_samples = 120

    def __init__(self, answer) -> None:
        super().__init__()
        self.answer, self.asked = answer, []

    def patches(self, x):
        return x.unflatten(-1, (12, 10))

    def reconstruct(self, x, kept):
        self.asked.append((x, kept))
        return self.answer(self.patches(x), kept)


def slow(predicted, patches, kept, hidden) -> float:
    """The mean over hidden, or over seen, patches of the squared error to the standardised patch."""
    found = []
    for b, lead, i in np.ndindex(patches.shape[:3]):
        if (i not in kept[b, lead]) == hidden:
            true = patches[b, lead, i]
            target = (true - true.mean()) / np.sqrt(((true - true.mean()) ** 2).mean() + 1e-6)
            found.append(sum((predicted[b, lead, i, j] - target[j]) ** 2 for j in range(len(true))) / len(true))
    return float(np.mean(found))


def test_the_loss_is_the_mean_over_hidden_patches():
    answer = torch.randn(3, 2, 12, 10, generator=generator(2))
    model = Remembers(lambda patches, kept: answer)
    found = masked(model, batch(scale=4.0), generator())
    (x, kept), = model.asked
    arrays = answer.double().numpy(), model.patches(x).double().numpy(), kept.numpy()
    assert found["loss"].item() == pytest.approx(slow(*arrays, hidden=True), rel=1e-5)
    assert found["seen"].item() == pytest.approx(slow(*arrays, hidden=False), rel=1e-5)
    assert abs(slow(*arrays, hidden=True) - slow(*arrays, hidden=False)) > 0.01


def test_the_patches_mean_costs_one_and_the_truth_nothing_whatever_the_scale():
    for scale in (0.5, 20.0):
        flat = masked(Remembers(lambda patches, kept: torch.zeros_like(patches)), batch(scale=scale), generator())
        assert flat["loss"].item() == pytest.approx(1, abs=1e-4)

        def truth(patches, kept):
            """Right where it is scored, and far off where it is not."""
            hidden = hidden_patches(kept, patches.shape[2]).unsqueeze(-1)
            mean, deviation = patches.mean(-1, keepdim=True), patches.std(-1, keepdim=True, correction=0)
            return torch.where(hidden, (patches - mean) / deviation, 100.0)
        found = masked(Remembers(truth), batch(scale=scale), generator())
        assert found["loss"].item() < 1e-6 and found["seen"].item() > 1000


def test_only_the_loss_has_a_gradient_and_it_reaches_the_network():
    model = network()
    found = masked(model, batch(), generator())
    assert set(found) == {"loss", "seen"} and not found["seen"].requires_grad
    found["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_patches_are_drawn_for_each_record_and_lead():
    kept = draw_kept((4, 12, 30), 0.75, generator())
    assert kept.shape == (4, 12, 7) and kept.dtype == torch.int64 and kept.min() >= 0 and kept.max() < 30
    lines = {tuple(sorted(line)) for line in kept.flatten(0, 1).tolist()}
    assert len(lines) == 48 and all(len(set(line)) == 7 for line in lines)
    counts = torch.bincount(draw_kept((200, 12, 30), 0.75, generator()).flatten(), minlength=30)
    assert counts.min() > 0.85 * counts.float().mean() and counts.max() < 1.15 * counts.float().mean()      # no place is favoured


def test_every_record_is_cropped_at_a_place_of_its_own():
    x = torch.arange(1000.0).expand(64, 2, 1000)
    found = random_crop(x, 900, generator())
    assert found.shape == (64, 2, 900) and torch.equal(found.diff(dim=-1), torch.ones(64, 2, 899))
    starts = found[:, 0, 0]
    assert torch.equal(starts, found[:, 1, 0]) and len(starts.unique()) > 30
    many = random_crop(torch.arange(4.0).expand(200, 1, 4), 2, generator())[:, 0, 0]
    assert many.unique().tolist() == [0, 1, 2]                                  # the first and the last place too
    assert random_crop(x[..., :80], 900, generator()).shape[-1] == 80


def test_all_randomness_is_the_generators():
    model = network().eval()
    torch.manual_seed(5)
    first = masked(model, batch(), generator())["loss"]
    torch.manual_seed(6)
    assert torch.equal(masked(model, batch(), generator())["loss"], first)
    assert not torch.equal(masked(model, batch(), generator(4))["loss"], first)


def test_it_learns_a_pattern_that_repeats():
    """Two leads of one saw tooth: what is hidden can be told from what is not."""
    time = torch.arange(130)
    x = torch.stack([time % 10, 9 - time % 10]).float().expand(16, 2, 130)
    model, drawn = network().train(), generator()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = masked(model, Batch(x, torch.zeros(16, 1)), drawn)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.9 and losses[-1] < 0.5


@pytest.mark.parametrize("share", [0, 1, 0.95, -0.1, True, "most"])
def test_refuses_a_share_that_hides_nothing_or_leaves_nothing(share):
    with pytest.raises(ConfigurationError, match="it must leave at least one and hide at least one"):
        masked(network(), batch(), generator(), share=share)
