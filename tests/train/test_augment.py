"""Augmentations change training batches as they say, from the step's generator alone, and nothing else."""

import dataclasses

import numpy as np
import pytest
import torch

from ecgstudy.study import runs
from ecgstudy.train import loop, step
from ecgstudy.train.augment import AUGMENTATIONS, LEAD_PROBABILITY, LONGEST_SHARE, NOISE_SIGMA, augment, end_mask, lead_mask, noise
from ecgstudy.train.seeds import torch_generator

ONES = torch.ones(400, 12, 200)


def generator(seed=0):
    return torch_generator(seed, 7)


def test_masked_leads_are_whole_and_never_all_of_them():
    kept = lead_mask(ONES, generator())
    assert set(kept.unique().tolist()) == {0.0, 1.0} and torch.equal(kept.amin(dim=2), kept.amax(dim=2))
    assert 1 - kept.mean().item() == pytest.approx(LEAD_PROBABILITY, abs=0.02)
    few = lead_mask(torch.ones(3000, 2, 4), generator())                # of two leads chance takes both in one record of 25
    assert (few.sum(dim=(1, 2)) > 0).all()
    alone = few[:, 0, 0] != few[:, 1, 0]
    assert few[alone][:, 0, 0].mean().item() == pytest.approx(0.5, abs=0.05)        # either one is spared


def test_the_end_mask_takes_one_stretch_at_one_end_of_all_leads():
    kept = end_mask(ONES, generator())
    assert torch.equal(kept, kept[:, :1].expand_as(kept))
    lost = kept[:, 0] == 0                                              # [B, T]
    assert not (lost[:, 0] & lost[:, -1]).any() and lost[:, 0].any() and lost[:, -1].any()
    assert ((lost.int().diff(dim=1) != 0).sum(dim=1) <= 1).all()        # one edge: no hole in the middle
    lengths = lost.sum(dim=1)
    assert lengths.min() < 5 and LONGEST_SHARE * 200 - 5 < lengths.max() <= LONGEST_SHARE * 200


def test_noise_is_white_and_of_the_stated_size():
    added = noise(ONES, generator()) - ONES
    assert added.std().item() == pytest.approx(NOISE_SIGMA, rel=0.02) and abs(added.mean().item()) < 0.001
    assert abs((added[:, :, 1:] * added[:, :, :-1]).mean().item()) < 0.001


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_follows_its_generator_and_leaves_its_input_alone(name):
    signals = torch.randn(8, 12, 100, generator=generator(1))
    before = signals.clone()
    one, again, other = (augment(signals, [name], generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, again) and not torch.equal(one, other) and torch.equal(signals, before) and one.dtype == signals.dtype


def test_none_gives_the_batch_itself_and_draws_nothing():
    drawn = generator()
    assert augment(ONES, (), drawn) is ONES and torch.equal(torch.rand(3, generator=drawn), torch.rand(3, generator=generator()))


def test_what_is_masked_holds_no_noise():
    kept = augment(ONES, ("end_mask", "lead_mask", "noise"), generator())
    assert ((kept == 0).sum(dim=2) == 200).any() and (kept == 0).float().mean().item() > 0.2


def test_only_training_batches_are_changed(tiny, experiment, monkeypatch):
    seen = []
    monkeypatch.setattr(step, "augment", lambda signals, names, drawn: seen.append(len(signals)) or signals)
    run = runs.run(dataclasses.replace(experiment, epochs=1, augmentation=("noise",)), tiny)
    assert sum(seen) == 96
    monkeypatch.undo()
    assert np.isfinite(run.predictions.test_logits).all()


def test_it_resumes_to_the_same_bytes(tiny, experiment, tmp_path, monkeypatch):
    augmented = dataclasses.replace(experiment, epochs=1, augmentation=tuple(AUGMENTATIONS))
    whole = runs.run(augmented, tiny).predictions.to_bytes()
    assert runs.run(dataclasses.replace(experiment, epochs=1), tiny).predictions.to_bytes() != whole
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "interrupted"))
    with pytest.raises(loop.OutOfTime):
        runs.run(augmented, tiny, deadline=0.0)
    assert runs.run(augmented, tiny).predictions.to_bytes() == whole
