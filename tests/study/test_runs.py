"""A run is done once, opens test once, and nothing of the test fold can reach what it chose."""

import dataclasses
import time

import numpy as np
import pytest

from ecgstudy import files
from ecgstudy.data import splits
from ecgstudy.data.labels import NINE_IN_PTBXL
from ecgstudy.errors import ConfigurationError, DataError, LockedError
from ecgstudy.study import ledger, runs
from ecgstudy.train.experiment import Experiment
from ecgstudy.train.loop import OutOfTime


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


class TestWatched:
    """`watch_test` keeps the test fold's logits after each epoch and changes nothing else."""

    @pytest.fixture
    def watched(self, experiment):
        return dataclasses.replace(experiment, watch_test=True)

    def test_the_scores_and_the_weights_are_those_of_the_unwatched_run(self, tiny, experiment, watched):
        plain, told = runs.run(experiment, tiny), runs.run(watched, tiny)
        assert told.key != plain.key and told.result["scores"] == plain.result["scores"]
        assert dataclasses.replace(told.predictions, oracle_epoch_logits=None).to_bytes() == plain.predictions.to_bytes()
        paths = [runs.folder() / run.key / "weights.safetensors" for run in (plain, told)]
        assert files.sha256(paths[0]) == files.sha256(paths[1])
        assert plain.predictions.oracle_epoch_logits is None

    def test_every_epoch_is_kept_and_the_chosen_one_is_the_final_prediction(self, tiny, watched):
        run = runs.run(dataclasses.replace(watched, epochs=3, patience=3), tiny)
        kept, best = run.predictions.oracle_epoch_logits, run.result["training"]["best_epoch"] - 1
        assert kept.dtype == np.float16 and kept.shape == (3, *run.predictions.test_logits.shape)
        np.testing.assert_array_equal(kept[best], run.predictions.test_logits.astype(np.float16))
        assert not np.array_equal(kept[0], kept[2])

    def test_interrupted_at_every_step_it_keeps_the_same_epochs(self, tiny, watched, tmp_path, monkeypatch):
        watched = dataclasses.replace(watched, batch_size=48)                   # two steps in each of two epochs
        whole = runs.run(watched, tiny).predictions.to_bytes()
        monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "interrupted"))
        for _ in range(4):
            with pytest.raises(OutOfTime):
                runs.run(watched, tiny, deadline=time.monotonic())
        assert runs.run(watched, tiny, deadline=time.monotonic()).predictions.to_bytes() == whole

    def test_it_is_opened_once_too(self, tiny, watched, monkeypatch):
        opened = []
        monkeypatch.setattr(runs, "open_test", lambda split: opened.append(1) or splits.open_test(split))
        runs.run(watched, tiny)
        assert len(opened) == 1

    def test_it_survives_publishing(self, tiny, watched):
        run = runs.run(watched, tiny)
        again = ledger.read_run(ledger.publish(run))
        np.testing.assert_array_equal(again.predictions.oracle_epoch_logits, run.predictions.oracle_epoch_logits)

    def test_damaged_epochs_are_refused(self, tiny, watched):
        run = runs.run(watched, tiny)
        path, whole = runs.folder() / run.key / "result.json", run.predictions
        kept = whole.oracle_epoch_logits
        for broken in (kept[:1], kept[:, 1:], kept * np.float16(np.nan), kept.astype(np.float32), None):
            run.predictions_path.write_bytes(dataclasses.replace(whole, oracle_epoch_logits=broken).to_bytes())
            files.write_json(path, run.result | {"predictions": {"file": "predictions.npz", "sha256": files.sha256(run.predictions_path)}})
            with pytest.raises(DataError, match="epochs"):
                ledger.read_run(path)


def test_keys_of_the_committed_results_stand():
    """A field that most runs leave out must stay out of their JSON: the key of a stored result is that of its experiment today."""
    path = sorted((files.repository() / "book" / "results").glob("ptbxl-*.json"))[0]
    stored = files.read_json(path)
    experiment = Experiment.from_json(stored["experiment"])
    assert experiment.key(stored["data"]["digest"]) == stored["key"] and experiment.to_json() == stored["experiment"]


def test_augmentations_are_sorted_into_one_key(experiment):
    one, other = (dataclasses.replace(experiment, augmentation=names) for names in (("noise", "end_mask"), ("end_mask", "noise")))
    assert one == other and one.augmentation == ("end_mask", "noise") and one.key("data") != experiment.key("data")
    assert Experiment.from_json(one.to_json()) == one and not {"augmentation", "watch_test"} & set(experiment.to_json())
    with pytest.raises(ConfigurationError, match="did you mean 'noise'"):
        dataclasses.replace(experiment, augmentation=("noize",))
    with pytest.raises(ConfigurationError, match="name each once"):
        dataclasses.replace(experiment, augmentation=("noise", "noise"))
