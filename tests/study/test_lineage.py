"""Runs that begin with another: what pretraining may read, what a probe may move, and what a teacher and fewer labels change."""

import contextlib
import dataclasses

import numpy as np
import pytest
import safetensors.torch
import torch

from ecgstudy import files
from ecgstudy.data.splits import open_test, split
from ecgstudy.errors import ConfigurationError, RunError
from ecgstudy.study import runs
from ecgstudy.study.plans import PLANS
from ecgstudy.study.self_supervised_plan import METHODS, ROWS, rows_of
from ecgstudy.study.sweep import sweep
from ecgstudy.train import loop
from ecgstudy.train.experiment import Experiment, freeze_settings
from ecgstudy.train.feed import Feed


def small(experiment: Experiment) -> Experiment:
    """The same run on few records."""
    earlier = {name: small(each) for name in ("begins_with", "teacher") if (each := getattr(experiment, name))}
    return dataclasses.replace(experiment, n_training=32, epochs=1, patience=1, batch_size=16, **earlier)


def asked(plan: str, name: str) -> Experiment:
    return small(PLANS[plan]("synthetic", "", "smoke", [name], [0])[0])


@pytest.fixture
def tuned():
    return asked("self_supervised", "cmsc_tuned_100")


@contextlib.contextmanager
def killed_at_step(n: int, monkeypatch):
    """Training inside the block is killed before its step n, checkpoints being written at each."""
    real, steps = loop.update, iter(range(99))

    def step(*arguments):
        if next(steps) == n:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "update", step)
        patched.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        yield


def stored(experiment, tiny) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(runs.weights_path(experiment, tiny.digest).read_bytes())


# -- pretraining --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", METHODS)
def test_pretraining_learns_from_training_folds_only(method, tiny, monkeypatch):
    """The rows of every feed that exists while a method pretrains, by what they are used for: patients of the others never appear."""
    made = []
    real = Feed.__init__

    def watched(self, prepared, rows, *rest, **more):
        real(self, prepared, rows, *rest, **more)
        made.append((self, set(prepared.table["patient_id"].to_numpy(str)[rows])))

    def fit(model, experiment, training, *rest, **more):
        trained_on.append(training)
        return real_fit(model, experiment, training, *rest, **more)

    trained_on = []
    monkeypatch.setattr(Feed, "__init__", watched)
    monkeypatch.setattr(runs, "fit", fit)
    experiment = asked("self_supervised", f"{method}_probe_100").begins_with
    runs.weights(dataclasses.replace(experiment, n_training=0, batch_size=64), tiny)

    parts = split(tiny, experiment.labels)
    patients = tiny.table["patient_id"].to_numpy(str)
    training, validation, test = (set(patients[rows]) for rows in (parts.training, parts.validation, open_test(parts)))
    seen = {id(feed): found for feed, found in made}
    assert [seen[id(feed)] for feed in trained_on] == [training]
    assert len(made) == 2 and not training & (validation | test) and not any(found & test for found in seen.values())
    assert all(feed.targets.shape[1] == 0 for feed, _ in made)                          # and no label is at hand


real_fit = runs.fit


def test_the_validation_loss_is_the_same_under_the_same_weights_and_chooses_the_epoch(tiny, tuned):
    before = dataclasses.replace(tuned.begins_with, epochs=3, patience=3)
    runs.weights(before, tiny)
    told = files.read_json(runs.weights_path(before, tiny.digest).with_name("pretraining.json"))["training"]
    losses = [line["validation_loss"] for line in told["history"]]
    assert told["best_epoch"] == int(np.argmin(losses)) + 1 and len(losses) == 3
    rows = split(tiny, before.labels).validation
    feed = Feed(tiny, rows, np.zeros((len(tiny.table), 0)), runs.scaling_of(before, tiny), torch.device("cpu"))
    model = runs.build_with_weights(before, tiny)
    again = loop.unlabelled_losses(model, loop.objective_of(before), feed, before, torch.device("cpu"))
    assert again["loss"] == pytest.approx(min(losses), abs=1e-6)


def test_a_killed_pretraining_goes_on_to_the_same_weights(tiny, tuned, tmp_path, monkeypatch):
    before = dataclasses.replace(tuned.begins_with, epochs=2, patience=2)
    whole = runs.weights(before, tiny).read_bytes()
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "other"))
    with killed_at_step(3, monkeypatch):
        runs.weights(before, tiny)
    assert runs.weights(before, tiny).read_bytes() == whole


def test_a_run_without_labels_has_no_scores_to_ask_for(tiny, tuned):
    with pytest.raises(ConfigurationError, match="objective clocs gives no scores"):
        runs.run(tuned.begins_with, tiny)


# -- what is handed on --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["cpc_probe_100", "cmsc_probe_100", "st_mem_probe_100"])
def test_a_probe_leaves_the_encoder_byte_identical(name, tiny):
    experiment = dataclasses.replace(asked("self_supervised", name), epochs=2)
    run = runs.run(experiment, tiny)
    before, after = stored(experiment.begins_with, tiny), stored(experiment, tiny)
    kept = [key for key in after if key.startswith("encoder.")]
    assert kept and all(after[key].numpy().tobytes() == before[key].numpy().tobytes() for key in kept)
    with torch.random.fork_rng():
        fresh = runs.build(experiment, tiny.spec).state_dict()
    heads = [key for key in after if key.startswith("head.") and after[key].is_floating_point()]
    assert any(not torch.equal(after[key], fresh[key]) for key in heads)                 # the head did learn
    assert run.result["pretraining"]["key"] == experiment.begins_with.key(tiny.digest)


def test_tuning_begins_with_the_encoder_and_moves_it(tiny, tuned, monkeypatch):
    seen = []
    monkeypatch.setattr(runs, "fit", lambda model, *a, **k: (seen.append({n: v.clone() for n, v in model.state_dict().items()}),
                                                             real_fit(model, *a, **k))[1])
    runs.weights(tuned.begins_with, tiny)
    runs.run(tuned, tiny)
    before, start, after = stored(tuned.begins_with, tiny), seen[-1], stored(tuned, tiny)
    kept = [key for key in after if key.startswith("encoder.")]
    assert all(torch.equal(start[key], before[key]) for key in kept)
    assert any(not torch.equal(after[key], before[key]) for key in kept)


def test_any_registered_network_can_enter(tiny, experiment):
    base = dataclasses.replace(experiment, model="resnet18", settings=(("width", 8),), n_training=32, epochs=1)
    before = dataclasses.replace(base, objective="clocs", objective_settings=(("scheme", "cmsc"),))
    probe = dataclasses.replace(base, begins_with=before, trains="head")
    run = runs.run(probe, tiny)
    taken, after = stored(before, tiny), stored(probe, tiny)
    shared = [key for key in after if f"encoder.{key}" in taken]
    assert set(after) - set(shared) == {key for key in after if key.startswith("head.")}
    assert all(torch.equal(after[key], taken[f"encoder.{key}"]) for key in shared)
    assert run.result["training"]["n_parameters"] == sum(p.numel() for p in runs.build(base, tiny.spec).parameters())


def test_the_scaling_is_that_of_the_pretraining(tiny, tuned):
    few = dataclasses.replace(tuned, percent=10)
    assert runs.scaling_of(few, tiny) == runs.scaling_of(tuned.begins_with, tiny)


# -- fewer labels -------------------------------------------------------------------------------------------------------

def test_fewer_labels_are_the_first_of_the_same_draw(experiment):
    rows = np.arange(1000, 3000)
    drawn = {p: set(runs.training_rows(dataclasses.replace(experiment, n_training=500, percent=p), rows)) for p in (1, 10, 100)}
    assert [len(each) for each in drawn.values()] == [5, 50, 500] and drawn[1] < drawn[10] < drawn[100]
    old = np.sort(rows[np.random.default_rng(experiment.subset_seed).permutation(2000)[:500]])
    np.testing.assert_array_equal(runs.training_rows(dataclasses.replace(experiment, n_training=500), rows), old)
    assert len(runs.training_rows(dataclasses.replace(experiment, n_training=0, percent=1), rows[:3])) == 1


# -- a teacher ----------------------------------------------------------------------------------------------------------

def test_a_pupil_of_one_lead_learns_from_a_teacher_that_stays_as_it_is(tiny):
    both = asked("distillation", "lead_I_both")
    run = runs.run(both, tiny)
    before = runs.weights_path(both.teacher, tiny.digest).read_bytes()
    runs.run(dataclasses.replace(both, seed=1), tiny)
    assert runs.weights_path(both.teacher, tiny.digest).read_bytes() == before
    after = stored(both, tiny)
    assert not [key for key in after if key.startswith(("teacher.", "contrast."))]
    student = runs.build_with_weights(both, tiny).eval()
    x = torch.randn(2, 12, 1000, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[:, 1:] = 0
    torch.testing.assert_close(student(changed), student(x), atol=1e-5, rtol=0)      # the other leads do not reach it
    changed[:, 0] = 0
    assert not torch.allclose(student(changed), student(x), atol=1e-2) and run.experiment.leads == ("I",)
    alone = dataclasses.replace(both, objective="supervised", objective_settings=(), teacher=None)
    runs.run(alone, tiny)
    assert any(not torch.equal(value, after[name]) for name, value in stored(alone, tiny).items())


def test_a_killed_pupil_goes_on_to_the_same_weights(tiny, tmp_path, monkeypatch):
    """The memory of the contrastive term is part of what is resumed."""
    both = dataclasses.replace(asked("distillation", "lead_I_both"), epochs=2)
    runs.run(both, tiny)
    whole = stored(both, tiny)
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "other"))
    runs.weights(both.teacher, tiny)
    with killed_at_step(3, monkeypatch):
        runs.run(both, tiny)
    runs.run(both, tiny)
    again = stored(both, tiny)
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def test_weights_are_made_again_where_only_the_ledger_has_the_run(tiny, experiment, tmp_path, monkeypatch):
    from ecgstudy.study import ledger
    short = dataclasses.replace(experiment, n_training=16, epochs=1)
    ledger.publish(runs.run(short, tiny), ledger.folder())
    weights = runs.weights_path(short, tiny.digest).read_bytes()
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "elsewhere"))
    assert runs.finished(short, tiny.digest) and not runs.weights_path(short, tiny.digest).is_file()
    assert runs.weights(short, tiny).read_bytes() == weights


# -- the walk -----------------------------------------------------------------------------------------------------------

def test_a_walk_makes_what_is_needed_once_and_first(tiny, monkeypatch):
    plan = [asked("self_supervised", name) for name in ("cmsc_probe_100", "cmsc_tuned_100", "cmsc_probe_10")]
    order = []
    real = runs._train_unlabelled, runs._train
    monkeypatch.setattr(runs, "_train_unlabelled", lambda e, *a: (order.append("pretraining"), real[0](e, *a))[1])
    monkeypatch.setattr(runs, "_train", lambda e, *a: (order.append("labels"), real[1](e, *a))[1])
    outcome = sweep(plan, tiny, workers=1)
    assert order == ["pretraining", "labels", "labels", "labels"] and len(outcome.finished) == 3


def test_what_begins_with_a_failure_is_named_with_its_reason(tiny, tuned, monkeypatch):
    def fails(*_):
        raise RunError("the loss is not finite")

    monkeypatch.setattr(runs, "_train_unlabelled", fails)
    scratch = asked("self_supervised", "clocs_scratch_100")
    outcome = sweep([tuned, scratch], tiny, workers=1)
    assert outcome.failed == [(tuned, "what it begins with failed: the loss is not finite")]
    assert [run.experiment for run in outcome.finished] == [scratch] and not outcome.missing


def test_side_by_side_gives_the_same_weights(tiny, tuned, tmp_path, monkeypatch):
    plan = [tuned, dataclasses.replace(tuned, trains="head")]
    one = sweep(plan, tiny, workers=1)
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "other"))
    two = sweep(plan, tiny, workers=2)
    assert [run.result["scores"] for run in one.finished] == [run.result["scores"] for run in two.finished] and len(two.finished) == 2


# -- the description ----------------------------------------------------------------------------------------------------

def test_descriptions_survive_json_and_keys_follow_what_comes_before(tiny, tuned):
    pupil = asked("distillation", "view_V1_V2_kd")
    for each in (tuned, pupil, tuned.begins_with):
        assert Experiment.from_json(each.to_json()) == each
    longer = dataclasses.replace(tuned, begins_with=dataclasses.replace(tuned.begins_with, epochs=7))
    keys = [each.key("d") for each in (tuned, longer, tuned.begins_with, dataclasses.replace(tuned, trains="head"),
                                       dataclasses.replace(tuned, percent=10))]
    assert len(set(keys)) == 5
    ordinary = dataclasses.replace(tuned, begins_with=None)
    assert not {"objective", "begins_with", "trains", "teacher", "leads", "percent"} & set(ordinary.to_json())


@pytest.mark.parametrize("changes, complaint", [
    ({"objective": "simclr"}, "unknown objective 'simclr'"),
    ({"trains": "nothing"}, "unknown trains"),
    ({"percent": 0}, "percent is 0"),
    ({"percent": 2.5}, "percent is 2.5"),
    ({"leads": ("V7",)}, "unknown lead 'V7'"),
    ({"trains": "head"}, "trains is 'head' of a network with fresh weights"),
    ({"objective": "distil"}, "objective distil needs a teacher"),
    ({"objective": "cpc", "percent": 10}, "objective cpc uses no labels"),
])
def test_what_does_not_fit_together_is_refused(experiment, changes, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        dataclasses.replace(experiment, **changes)


def test_a_beginning_must_be_of_the_same_network_data_and_kind(experiment, tuned):
    before = tuned.begins_with
    for changes, complaint in (({"begins_with": experiment}, "a run without labels"), ({"model": "resnet18"}, "an encoder fits only"),
                               ({"begins_with": dataclasses.replace(before, dataset="ptbxl")}, "both must see one training fold"),
                               ({"leads": ("I",)}, "leads are I")):
        with pytest.raises(ConfigurationError, match=complaint):
            dataclasses.replace(tuned, **changes)


def test_an_objective_refuses_settings_that_it_does_not_have(experiment, tuned):
    with pytest.raises(ConfigurationError, match="did you mean 'temperature'"):
        loop.objective_of(dataclasses.replace(tuned.begins_with, objective_settings=freeze_settings({"temprature": 1.0})))
    with pytest.raises(ConfigurationError, match="supervised has no settings"):
        loop.objective_of(dataclasses.replace(experiment, objective_settings=freeze_settings({"share": 0.5})))


def test_names_of_page_12_say_method_way_and_percent():
    assert len(ROWS) == 3 * (3 + 2 * len(METHODS))
    assert rows_of(["cmsc"], [10]) == ["clocs_scratch_10", "cmsc_probe_10", "cmsc_tuned_10"]
    names = ["st_mem_probe_10", "st_mem_tuned_10", "st_mem_scratch_10"]
    probe, tuned, scratch = PLANS["self_supervised"]("ptbxl", "nine", "full", names, [3])
    assert probe.begins_with == tuned.begins_with and probe.begins_with.seed == 3 and scratch.begins_with is None
    assert (probe.trains, tuned.trains, tuned.learning_rate < scratch.learning_rate) == ("head", "all", True)
    assert {e.percent for e in (probe, tuned, scratch)} == {10} and probe.begins_with.n_training == 0
    with pytest.raises(ConfigurationError, match="did you mean 'cpc_probe_10'"):
        PLANS["self_supervised"]("ptbxl", names=["cpc_prob_10"])
