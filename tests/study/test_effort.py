"""The estimate of a walk against simulated walks: runs of very different cost, several at a time, stopped early, resumed."""

import dataclasses
import heapq

import numpy as np
import pytest

from ecgstudy.study.effort import Effort, Job, jobs_of, step_seconds
from ecgstudy.study.engines import Teller, Told, Watch, in_words

PACES = {"small": 0.02, "middling": 0.15, "large": 1.0}         # seconds a step on this machine: a factor of fifty


def walk(jobs, seconds, workers, kept=1.0):
    """Every job in order on `workers`, a word after each tenth of it; yields (time, effort) and at last the time of the end.

    seconds: of one step of each job. kept: of its steps, how many each takes.
    """
    effort, free, told = Effort(jobs, workers), [0.0] * workers, []
    for i, job in enumerate(jobs):
        began = heapq.heappop(free)
        steps = int(job.steps * kept)
        took = np.arange(0.02, 1.01, 0.02) * steps * seconds[i]
        told += [(began + each, i, round(each / seconds[i]), each) for each in took]
        heapq.heappush(free, began + steps * seconds[i])
        told.append((began + steps * seconds[i], i, None, 0.0))
    end = max(free)
    for time, i, done, took in sorted(told, key=lambda word: word[0]):
        effort.end(i) if done is None else effort.tell(i, done, done, took)
        yield time, effort, end


def plan_of(n_seeds, wrong, generator):
    """Networks for each seed, with predictions that are wrong by a factor of up to `wrong` and a machine three times as fast."""
    said = {kind: pace / 3 * wrong ** generator.uniform(-1, 1) for kind, pace in PACES.items()}
    jobs = [Job(kind, 400, said[kind]) for _ in range(n_seeds) for kind in PACES]
    return jobs, [PACES[job.kind] * generator.uniform(0.95, 1.05) for job in jobs]


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("n_seeds", [1, 5])
def test_after_a_tenth_of_the_time_it_is_right_within_a_fifth(workers, n_seeds):
    for draw in range(20):
        jobs, seconds = plan_of(n_seeds, 1.1, np.random.default_rng([draw, workers]))
        for time, effort, end in walk(jobs, seconds, workers):
            if time > end / 10:
                assert abs(time + effort.left() - end) < 0.2 * end, (draw, time, end)
        assert effort.left() == 0 and effort.share() == 1


def test_a_network_that_has_run_corrects_its_own_prediction_and_no_other():
    """Predictions wrong by a factor of four either way: after one seed of each network the rest is known."""
    jobs, seconds = plan_of(5, 4.0, np.random.default_rng(3))
    for time, effort, end in walk(jobs, seconds, 1):
        if time > end / 5:
            assert abs(time + effort.left() - end) < 0.2 * end


def test_counting_steps_alone_would_be_wrong():
    """What the estimate replaces: after the first tenth of the work all steps taken for equal miss by far."""
    jobs, seconds = plan_of(1, 1.0, np.random.default_rng(0))
    blind = [dataclasses.replace(job, kind="any", cost=1.0) for job in jobs]
    time, effort, end = next(word for word in walk(blind, seconds, 1) if word[0] > word[2] / 10)
    assert abs(time + effort.left() - end) > 0.4 * end


def test_runs_that_stop_early_shorten_those_to_come():
    jobs = [Job("one", 400, 1.0) for _ in range(10)]
    for time, effort, end in walk(jobs, [0.5] * 10, 1, kept=0.5):
        if time > end / 5:
            assert abs(time + effort.left() - end) < 0.2 * end


def test_steps_of_an_earlier_walk_are_done_but_not_timed():
    effort = Effort([Job("one", 100), Job("one", 100)])
    assert effort.left() is None
    effort.tell(0, 90, 0, 0.0)
    assert effort.left() is None and effort.share() == pytest.approx(0.45)
    effort.tell(0, 95, 5, 10.0)
    assert effort.left() == pytest.approx(2.0 * 105)


def test_a_run_tells_where_it_stood_and_how_long_its_steps_took(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("ecgstudy.study.engines.time.monotonic", lambda: now[0])
    heard = []
    teller = Teller(heard.append)
    now[0] += 9                         # the network is built, the data are read
    teller.update(40)                   # from a checkpoint
    for _ in range(3):
        now[0] += 2
        teller.update()
    teller.set_postfix_str("best")
    assert heard[-1] == Told(43, 3, 6.0, "best") and heard[0].timed == 0


def test_the_bar_shows_the_share_of_the_work_and_what_is_left():
    class Bar:
        n, text = 0, ""

        def update(self, n):
            self.n += n

        def set_postfix_str(self, text):
            self.text = text

    watch = Watch(Effort([Job("small", 10, 1.0), Job("large", 10, 50.0)]), Bar())
    watch.tell(0, Told(10, 10, 10.0, ""))
    watch.end(0)
    assert watch.bar.n == 1 and watch.bar.text == "about 8 min 20 s left"
    watch.tell(1, Told(5, 5, 250.0, "large seed 0: best"))
    assert watch.bar.n == 50 and watch.bar.text == "about 4 min 10 s left; large seed 0: best"
    watch.tell(1, Told(2, 0, 0.0, ""))              # its machine was lost: the bar waits
    assert watch.bar.n == 50


def test_times_are_said_as_a_person_would():
    said = [in_words(s) for s in (0.4, 59, 60, 3599, 3600, 90061)]
    assert said == ["0 s", "59 s", "1 min 00 s", "60 min 00 s", "1 h 00 min", "25 h 01 min"]


def test_a_larger_network_costs_more_a_step_and_a_short_walk_times_none(tiny, experiment):
    small, large = (dataclasses.replace(experiment, model="resnet18", settings=(("width", width),), epochs=30) for width in (4, 32))
    assert 2 * step_seconds(small, tiny) < step_seconds(large, tiny)
    timed = jobs_of([small, large, dataclasses.replace(large, seed=5)], tiny)
    assert [job.steps for job in timed] == [180] * 3 and timed[0].cost < timed[1].cost == timed[2].cost
    assert [job.cost for job in jobs_of([dataclasses.replace(each, epochs=1) for each in (small, large)], tiny)] == [1.0, 1.0]
