"""A run is done once, opens test once, and nothing of the test fold can reach what it chose."""

import dataclasses

import numpy as np
import pytest

from ecgstudy import files
from ecgstudy.data import splits
from ecgstudy.data.labels import NINE_IN_PTBXL
from ecgstudy.errors import ConfigurationError, DataError, LockedError
from ecgstudy.study import ledger, runs


def test_a_finished_run_is_returned_without_training(tiny, experiment, monkeypatch):
    first = runs.run(experiment, tiny)
    monkeypatch.setattr(runs, "_train", lambda *a: pytest.fail("it trained again"))
    assert runs.run(experiment, tiny).result == first.result


def test_a_run_in_the_ledger_counts_as_finished(tiny, experiment, tmp_path, monkeypatch):
    published = ledger.publish(runs.run(experiment, tiny))
    assert published.parent == tmp_path / "ledger"
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(runs, "_train", lambda *a: pytest.fail("it trained again"))
    assert runs.run(experiment, tiny).key == experiment.key(tiny.digest)


def test_test_is_opened_once(tiny, experiment, monkeypatch):
    opened = []
    monkeypatch.setattr(runs, "open_test", lambda split: opened.append(1) or splits.open_test(split))
    runs.run(experiment, tiny)
    assert len(opened) == 1


def test_noise_for_test_labels_and_signals_changes_nothing_that_was_chosen(tiny, experiment, tmp_path, monkeypatch):
    clean = runs.run(experiment, tiny)
    weights = files.sha256(runs.folder() / clean.key / "weights.safetensors")
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "poisoned"))
    fold = tiny.table["fold"].to_numpy()
    generator = np.random.default_rng(9)
    signals = np.array(tiny.signals)
    signals[fold == 10] = generator.integers(-30000, 30000, signals[fold == 10].shape)
    table = tiny.table.copy()
    table.loc[fold == 10, "statements"] = generator.permutation(table.loc[fold == 10, "statements"].to_numpy())
    poisoned = runs.run(experiment, dataclasses.replace(tiny, signals=signals, table=table))
    assert files.sha256(runs.folder() / poisoned.key / "weights.safetensors") == weights
    assert poisoned.result["thresholds"] == clean.result["thresholds"]
    assert poisoned.result["training"]["scaling"] == clean.result["training"]["scaling"]
    assert poisoned.result["scores"]["test"] != clean.result["scores"]["test"]


def test_training_subset_is_the_same_for_every_model(experiment):
    rows = np.arange(100, 300)
    few = dataclasses.replace(experiment, n_training=40)
    other = dataclasses.replace(few, model="resnet18", settings=(), seed=3)
    drawn = runs.training_rows(few, rows)
    assert len(drawn) == 40 and set(drawn) <= set(rows) and len(set(drawn)) == 40
    np.testing.assert_array_equal(drawn, runs.training_rows(other, rows))
    np.testing.assert_array_equal(runs.training_rows(dataclasses.replace(few, n_training=0), rows), rows)


def test_two_processes_never_train_one_run(tiny, experiment):
    with files.lock(runs.folder() / experiment.key(tiny.digest) / "lock"), pytest.raises(LockedError, match="is held by process"):
        runs.run(experiment, tiny)


def test_an_experiment_of_other_data_is_refused(tiny, experiment):
    with pytest.raises(ConfigurationError, match="the experiment is on 'ptbxl', the prepared data are 'synthetic'"):
        runs.run(dataclasses.replace(experiment, dataset="ptbxl"), tiny)


@pytest.mark.parametrize(("change", "message"), [
    ({"dataset": "ptblx"}, "did you mean 'ptbxl'"), ({"task": "nin"}, "did you mean 'nine'"), ({"profile": "quik"}, "did you mean 'quick'"),
    ({"epochs": 0}, "epochs is 0"), ({"learning_rate": 0.0}, "above 0"), ({"precision": "fp16"}, "Accepted: auto, fp32, bf16"),
])
def test_a_wrong_experiment_is_refused_at_construction(experiment, change, message):
    with pytest.raises(ConfigurationError, match=message):
        dataclasses.replace(experiment, **change)


def test_key_follows_every_field_and_survives_json(experiment):
    again = type(experiment).from_json(experiment.to_json())
    assert again == experiment and again.key("data") == experiment.key("data") != experiment.key("other data")
    changed = [dataclasses.replace(experiment, seed=1), dataclasses.replace(experiment, settings=(("attention", "hilo"),))]
    assert len({e.key("data") for e in [experiment, *changed]}) == 3


class TestLedger:
    @pytest.fixture
    def path(self, tiny, experiment):
        return ledger.publish(runs.run(experiment, tiny))

    def test_scores_are_recomputed_from_the_stored_logits(self, path):
        run = ledger.read_run(path)
        assert ledger.recompute(run) == run.result["scores"]

    def test_an_edited_experiment_is_refused(self, path):
        result = files.read_json(path)
        result["experiment"]["seed"] = 7
        files.write_json(path, result)
        with pytest.raises(DataError, match="was edited"):
            ledger.read_run(path)

    def test_an_edited_score_is_found(self, path):
        result = files.read_json(path)
        result["scores"]["test"]["macro_auroc"] = 0.999
        files.write_json(path, result)
        with pytest.raises(DataError, match="was edited: its predictions give macro_auroc"):
            ledger.read_run(path)

    def test_changed_predictions_are_refused(self, path):
        predictions = path.with_suffix(".npz")
        predictions.write_bytes(predictions.read_bytes()[:-1])
        with pytest.raises(DataError, match="not the file that was scored"):
            ledger.read_run(path)

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 1}', "null"])
    def test_damaged_results_raise_the_studys_own_error(self, path, text):
        path.write_text(text)
        with pytest.raises(DataError):
            ledger.read_run(path)

    def test_publishing_the_same_is_success_and_another_result_is_kept_apart(self, path):
        run = ledger.read_run(path)
        assert ledger.publish(run) == path
        other = ledger.Run(run.result | {"scores": {"test": {}, "validation": {}}}, run.predictions_path)
        with pytest.raises(DataError, match="already holds another result"):
            ledger.publish(other)
        assert ledger.read_run(path).result == run.result


class TestTestedOnOtherData:
    @pytest.fixture
    def real(self, make_tiny):
        """The tiny data under PTB-XL's statements, as another data set of other records."""
        tiny = make_tiny("real", 360, seed=5)
        statements = [NINE_IN_PTBXL[name] for name in tiny.table["statements"]]
        return dataclasses.replace(tiny, dataset="ptbxl", digest="real", table=tiny.table.assign(statements=statements, age=70))

    def test_the_other_test_fold_is_scored_on_the_shared_classes(self, tiny, real, experiment):
        elsewhere = dataclasses.replace(experiment, n_training=0, epochs=4, patience=4, tested_on="ptbxl")
        run = runs.run(elsewhere, tiny, tested=real)
        assert run.result["scores"]["test"]["macro_auroc"] > 0.9 and run.result["data"]["classes"][1] == "AF"
        own = runs.run(dataclasses.replace(elsewhere, tested_on=""), tiny)
        assert own.key != run.key and own.result["thresholds"] == run.result["thresholds"]
        np.testing.assert_array_equal(own.predictions.validation_logits, run.predictions.validation_logits)
        assert not np.array_equal(own.predictions.test_logits, run.predictions.test_logits)

    def test_it_needs_those_data_and_shared_classes(self, tiny, experiment):
        with pytest.raises(ConfigurationError, match="the experiment is on 'ptbxl', the prepared data are ''"):
            runs.run(dataclasses.replace(experiment, tested_on="ptbxl"), tiny)
        with pytest.raises(ConfigurationError, match="no statements of chapman are known"):
            dataclasses.replace(experiment, tested_on="chapman")

    def test_an_experiment_on_its_own_data_keeps_the_key_it_had(self, experiment):
        assert "tested_on" not in experiment.to_json()
        elsewhere = dataclasses.replace(experiment, tested_on="ptbxl")
        assert type(experiment).from_json(elsewhere.to_json()) == elsewhere
