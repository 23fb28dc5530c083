"""The plain network is the study's network: with its weights it gives its outputs and takes its step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ecgstudy.bench import training
from ecgstudy.bench.plain import PlainAttention, RecordDataset, batches
from ecgstudy.layers.attention import MHSA
from ecgstudy.study.complexity import count_parameters, macs
from ecgstudy.study.profiles import profile
from ecgstudy.train.feed import Scaling

SIZES = {"full": {}, "quick": dict(profile("quick").network)}


@pytest.fixture(params=SIZES)
def pair(request):
    return training.base_pair(SIZES[request.param])


def test_the_same_outputs_in_both_modes(pair):
    x = torch.randn(2, 12, 1000, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        ours, plain = (model.train(mode)(x) for model in pair)
        assert ours.std() > 0.01
        torch.testing.assert_close(plain, ours, atol=2e-5, rtol=1e-4)


def test_as_large_and_as_much_work(pair):
    ours, plain = pair
    assert count_parameters(ours) == count_parameters(plain)
    assert macs(ours, training.SIGNAL) == macs(plain, training.SIGNAL)


def test_the_same_gradients():
    ours, plain = training.base_pair(SIZES["quick"])
    x = torch.randn(4, 12, 1000, generator=torch.Generator().manual_seed(1))
    for model in (ours, plain):
        F.binary_cross_entropy_with_logits(model(x), torch.ones(4, 9)).backward()
    for own, other in zip(plain.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad.reshape(own.shape), atol=2e-5, rtol=1e-3)


def test_attention_written_out_is_attention():
    ours, plain = MHSA(16, 4), PlainAttention(16, 4)
    with torch.no_grad():
        for own, other in zip(plain.parameters(), ours.parameters(), strict=True):
            own.copy_(other.reshape(own.shape))
    x = torch.randn(2, 7, 16)
    torch.testing.assert_close(plain(x.transpose(1, 2)).transpose(1, 2), ours(x))


def test_both_sides_read_the_same_records(tmp_path):
    data = training.Data.made(tmp_path, 8)
    whole = data.feed.batch(torch.arange(8))
    signals, targets = (torch.stack(part) for part in zip(*(data.dataset[i] for i in range(8)), strict=True))
    torch.testing.assert_close(signals, whole.signals)
    assert torch.equal(targets, whole.targets)


def test_batches_never_end_and_take_each_record_once_an_epoch():
    dataset = RecordDataset(np.arange(6, dtype=np.int16).reshape(6, 1, 1), np.zeros((6, 1)), Scaling(0.0, 1.0))
    source = batches(dataset, 2)
    for _ in range(3):
        epoch = torch.cat([next(source)[0].flatten() for _ in range(3)])
        assert sorted(epoch.tolist()) == [0, 1, 2, 3, 4, 5]


def test_steps_of_both_sides_lower_the_same_loss(tmp_path):
    data = training.Data.made(tmp_path, 16)
    ours, plain = training.base_pair(SIZES["quick"])
    experiment = training.recipe("inception_former", SIZES["quick"], 16)
    whole = data.feed.batch(torch.arange(16))

    def loss(model):
        with torch.no_grad():
            return F.binary_cross_entropy_with_logits(model.train()(whole.signals), whole.targets).item()

    for model, step in ((ours, training.our_step(ours, experiment, data.feed, 16)),
                        (plain, training.plain_step(plain, experiment, data.dataset, 16))):
        before = loss(model)
        for _ in range(3):
            step()
        assert loss(model) < before
