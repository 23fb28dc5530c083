"""Faster ways to carry out a step: the same numbers, chosen by what they cost, and never in the way of a run."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.study import runs
from ecgstudy.train import acceleration, feed
from ecgstudy.train.acceleration import VARIABLE, WARM, WAYS, WORTH_A_TRIAL, WholeBatches, accelerated, fastest, trial
from ecgstudy.train.feed import Feed, Scaling
from ecgstudy.train.objectives import objective_of
from ecgstudy.train.optim import make_optimizer
from ecgstudy.train.seeds import torch_generator
from ecgstudy.train.step import LOOK_EVERY, Losses, update

CPU = torch.device("cpu")


@pytest.fixture
def training(tiny):
    targets = np.eye(9, dtype=np.uint8)[np.arange(len(tiny.table)) % 9]
    return Feed(tiny, np.arange(40), targets, Scaling(0.0, 500.0), CPU)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv1d(12, 8, 9, stride=5), nn.BatchNorm1d(8), nn.Linear(8, 9)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).relu().mean(dim=2))


def small():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Small()


def asked(model, experiment, training, n_left=10**6):
    return accelerated(model, experiment, objective_of(experiment), training, CPU, n_left)


def test_on_a_cpu_the_network_itself_is_called_and_nothing_is_tried(training, experiment, monkeypatch):
    monkeypatch.setattr(acceleration, "trial", lambda *a: pytest.fail("tried"))
    model = small()
    assert asked(model, experiment, training) is model


def test_a_way_can_be_asked_for_and_a_misspelt_one_is_refused(training, experiment, monkeypatch):
    monkeypatch.setitem(WAYS, "compiled", lambda model: "fast")
    monkeypatch.setenv(VARIABLE, "compiled")
    assert asked(small(), experiment, training).fast == "fast"
    monkeypatch.setenv(VARIABLE, "compild")
    with pytest.raises(ConfigurationError, match="compiled"):
        asked(small(), experiment, training)


def test_only_a_plain_call_under_labels_is_carried_out_otherwise(tiny, training, experiment, monkeypatch):
    monkeypatch.setenv(VARIABLE, "compiled")
    auxiliary = small()
    auxiliary.training_outputs = lambda x: (auxiliary(x), {})
    assert asked(auxiliary, experiment, training) is auxiliary
    model = small()
    unlabelled = dataclasses.replace(experiment, objective="masked")
    assert accelerated(model, unlabelled, None, training, CPU, 9) is model
    wide = dataclasses.replace(experiment, batch_size=41)
    assert asked(model, wide, training) is model
    targets = np.zeros((len(tiny.table), 9), np.uint8)
    assert asked(model, experiment, Feed(tiny, np.arange(40), targets, Scaling(0.0, 1.0), CPU, ("person",))) is model


def test_a_short_last_batch_goes_through_the_network_itself(monkeypatch):
    monkeypatch.setitem(WAYS, "compiled", lambda model: lambda x: "fast")
    called = WholeBatches(lambda x: "itself", "compiled", 16)
    assert [called(torch.zeros(n, 12, 9)) for n in (16, 15, 1)] == ["fast", "itself", "itself"]


def test_the_choice_counts_preparation_and_what_is_left():
    costs = {"eager": (0.1, 1.0), "compiled": (100.0, 0.5), "graphed": (150.0, 0.2)}
    assert fastest(costs.__getitem__, 150) == "eager"
    assert fastest(costs.__getitem__, 180) == "eager"           # 180 s, against 186 graphed and 190 compiled
    assert fastest(costs.__getitem__, 10_000) == "graphed"
    costs["graphed"] = (150.0, 0.49)
    assert fastest(costs.__getitem__, 1000) == "compiled"


def test_a_short_run_tries_nothing_and_a_way_that_fails_is_left_out(caplog):
    tried = []

    def cost(way):
        tried.append(way)
        if way == "graphed":
            raise RuntimeError("no graphs here\nlong trace")
        return (1.0, 0.1) if way == "compiled" else (0.1, 1.0)

    assert fastest(cost, int(WORTH_A_TRIAL) - 1) == "eager" and tried == ["eager"]
    assert fastest(cost, 1000) == "compiled"
    assert "graphed training does not work here" in caplog.text and "long trace" not in caplog.text


def test_a_trial_leaves_weights_statistics_and_gradients_alone(training, experiment):
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    preparation, pace = trial("eager", model, experiment, objective_of(experiment), training.batch(torch.arange(16)), CPU)
    assert 0 < pace < preparation * 10 and WARM > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_compiled_steps_are_those_of_the_network(training, experiment, monkeypatch):
    """Traced and run by the eager backend, which needs no compiler: what is tested is that one set of weights is trained."""
    monkeypatch.setitem(WAYS, "compiled", lambda model: torch.compile(model, dynamic=False, backend="eager"))
    ends = []
    for way in ("eager", "compiled"):
        monkeypatch.setenv(VARIABLE, way)
        model = small()
        network, optimizer, objective = asked(model, experiment, training), make_optimizer(model, experiment), objective_of(experiment)
        for index in torch.arange(40).split(16):
            update(network, optimizer, objective, training.batch(index), torch_generator(0, 1), experiment, CPU)
        ends.append(model.state_dict())
    changed = small().state_dict()
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value)
        assert not torch.equal(value, changed[name])


def test_a_run_by_another_way_ends_alike(tiny, experiment, monkeypatch):
    monkeypatch.setitem(WAYS, "compiled", lambda model: lambda x: model(x))
    monkeypatch.setenv(VARIABLE, "compiled")
    fast = runs.run(experiment, tiny)
    monkeypatch.setenv("ECGSTUDY_RUNS", str(runs.folder().parent / "eager"))
    monkeypatch.setenv(VARIABLE, "eager")
    np.testing.assert_array_equal(fast.predictions.test_logits, runs.run(experiment, tiny).predictions.test_logits)


# -- losses on their way ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("asks", [[], [3], [LOOK_EVERY - 1, LOOK_EVERY, 50]])
def test_each_loss_arrives_once_and_in_order(asks):
    losses, seen = Losses(), []
    for step in range(53):
        losses.add(step, torch.tensor(float(step)))
        found = losses.arrived(everything=step in asks or step == 52)
        assert len(found) in (0, step + 1 - len(seen))
        seen += found
    assert seen == [(step, float(step)) for step in range(53)]


def test_a_group_that_may_still_be_under_way_is_not_waited_for(monkeypatch):
    """As on a GPU, where a group carries an event: it is read when the next one is full."""
    waited = []
    real = Losses.arrived.__globals__["_Group"].send

    def send(group):
        real(group)
        group.arrival = type("Event", (), {"synchronize": lambda self: waited.append(group.first)})()

    monkeypatch.setattr("ecgstudy.train.step._Group.send", send)
    losses, seen = Losses(), []
    for step in range(3 * LOOK_EVERY):
        losses.add(step, torch.tensor(1.0))
        seen.append(len(losses.arrived()))
    assert [i for i, n in enumerate(seen) if n] == [2 * LOOK_EVERY - 1, 3 * LOOK_EVERY - 1] and waited == [0, LOOK_EVERY]
    assert [step for step, _ in losses.arrived(everything=True)] == list(range(2 * LOOK_EVERY, 3 * LOOK_EVERY))


# -- a feed that does not fit -------------------------------------------------------------------------------------------

def test_from_disk_the_batches_are_the_same(tiny, monkeypatch):
    rows, targets = np.array([7, 3, 90, 11]), np.eye(9, dtype=np.uint8)[np.arange(len(tiny.table)) % 9]
    index = torch.tensor([3, 0, 2])
    resident = Feed(tiny, rows, targets, Scaling(3.0, 250.0), CPU)
    monkeypatch.setattr(feed, "fits", lambda n_bytes, device: False)
    mapped = Feed(tiny, rows, targets, Scaling(3.0, 250.0), CPU)
    assert resident.signals is not None and mapped.signals is None and len(mapped) == len(resident) == 4
    for one, other in zip(dataclasses.astuple(resident.batch(index)), dataclasses.astuple(mapped.batch(index)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_what_is_larger_than_half_of_the_memory_stays_on_disk():
    from ecgstudy.train.device import fits

    assert fits(10**6, CPU) and not fits(10**15, CPU)
