"""Rounds take turns in a rotated order, and a ratio is taken within a round, so that a drift of the machine leaves it alone."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from ecgstudy.bench import roofline
from ecgstudy.bench.profiling import by_function, by_operator, shares
from ecgstudy.bench.rounds import Effort, Rounds, Spread, interleave
from ecgstudy.bench.rows import Row, number, report
from ecgstudy.errors import ConfigurationError


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the calls move, so that times are known."""
    at = [0.0]
    monkeypatch.setattr(time, "process_time", lambda: at[0])

    def spend(seconds):
        at[0] += seconds
    return spend


def test_every_candidate_runs_once_a_round_and_the_order_moves_on(clock):
    said = []
    interleave({name: lambda name=name: said.append(name) for name in "abc"}, Effort(rounds=3))
    assert "".join(said) == "abc" + "abc" + "bca" + "cab"       # the first three are not timed


def test_a_drift_of_the_machine_does_not_enter_the_ratio(clock):
    pace = iter(np.linspace(1, 9, 40))
    slow = [1.0]
    found = interleave({"ours": lambda: clock(slow[0]), "peer": lambda: (clock(3 * slow[0]), slow.__setitem__(0, next(pace)))},
                       Effort(rounds=6))
    assert found.ratio("ours", "peer").median == pytest.approx(3.0, rel=0.2)
    assert found.seconds["ours"].max() > 2 * found.seconds["ours"].min()


def test_a_ratio_is_the_median_of_ratios_not_the_ratio_of_medians():
    found = Rounds({"ours": np.array([1.0, 2.0, 4.0]), "peer": np.array([4.0, 2.0, 8.0])})
    assert found.ratio("ours", "peer") == Spread(1.5, 2.0, 3.0)
    assert found.ratio("ours", "peer", scale=10).median == 20.0


def test_short_calls_are_repeated(clock):
    n = [0]

    def call():
        n[0] += 1
        clock(0.1)
    found = interleave({"a": call}, Effort(rounds=2), least=1.0)
    assert n[0] == 2 + 2 * 10 and found.median("a") == pytest.approx(0.1)


@pytest.mark.parametrize(("settings", "message"), [({"rounds": 0}, "rounds is 0"), ({"clock": "wal"}, "did you mean 'wall'")])
def test_wrong_efforts_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Effort(**settings)


@pytest.mark.parametrize(("median", "at_most", "met"), [(1.4, False, True), (1.2, False, False), (1.2, True, True), (1.4, True, False)])
def test_a_target_is_a_least_or_a_most(median, at_most, met):
    row = Row("s", "n", "u", ratio=Spread(1, median, 2), target=1.3, at_most=at_most)
    assert row.met is met
    assert Row.from_json(row.to_json()) == row
    assert Row("s", "n", "u", target=1.3).met is None


def test_the_report_says_what_is_missed_and_why_something_is_not_there():
    text = report([Row("training", "step", "records/s", 12.34, "plain", 10, Spread(1.1, 1.2, 1.25), target=1.3),
                   Row("gpu", "step", "records/s", skipped="no GPU")])
    assert text.splitlines()[1].split() == ["training:", "step", "12.3", "records/s", "10", "plain", "1.2", "1.1–1.25", "at", "least",
                                            "1.3", "NO"]
    assert text.splitlines()[-1] == "not measured: gpu: step: no GPU"
    assert number(0.00005) == "5.0e-05"


def test_products_are_counted_as_the_counter_of_the_study_counts_them():
    from ecgstudy.study.complexity import macs

    model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.GELU(), torch.nn.Linear(4, 5), torch.nn.Linear(5, 5), torch.nn.Linear(5, 5))
    x = torch.zeros(2, 3, 6)
    shapes = roofline.linear_shapes(model, x)
    assert shapes == {(6, 6, 4): 1, (6, 4, 5): 1, (6, 5, 5): 2}
    work = roofline.own_products(shapes, torch.device("cpu"))
    work.call()
    assert work.amount == 3 * macs(model, x)
    assert roofline.square_product(torch.device("cpu"), size=8).amount == 512
    assert roofline.copy(torch.device("cpu"), 1).amount == 2 * 2**20


def test_profiles_are_shares_of_the_whole_and_find_what_is_slow():
    a = torch.ones(400, 400)
    by = by_operator(lambda: [a @ a for _ in range(5)])
    assert by[0][0] == "mm" and sum(share for _, share in by) == pytest.approx(1)

    def slow():
        total = 0
        for i in range(300_000):
            total += i * i
        return total
    assert by_function(slow)[0][0] == "test_rounds.slow"
    assert shares({}) == ()
