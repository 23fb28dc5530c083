"""A tiny data set with learnable classes, and a study home of its own for each test."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ecgstudy.data.dataset import write_prepared
from ecgstudy.evaluate.metrics import score
from ecgstudy.study import ledger, plans, runs

CLASSES = ("Normal", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")


def tiny_prepared(folder, n_records=120, seed=0):
    """Records of the synthetic task whose classes are bumps in different leads, two recordings a patient."""
    generator = np.random.default_rng(seed)
    label = np.arange(n_records) % len(CLASSES)
    signals = generator.normal(0, 100, (n_records, 12, 1000))
    for row, k in enumerate(label):
        signals[row, k, 300:500] += 600
    patient = np.arange(n_records) // 18 * 9 + np.arange(n_records) % 9          # the same class twice
    table = pd.DataFrame({"record_id": [f"T{i:03d}" for i in range(n_records)], "patient_id": [f"P{p}" for p in patient],
                          "fold": 1 + patient // 9 % 10, "age": 50, "sex": "female", "n_samples": 1000,
                          "statements": [CLASSES[k] for k in label]})
    return write_prepared(folder, "synthetic", 100, [signals.astype(np.int16)], table, 1000, {"tiny": seed})


@pytest.fixture
def make_tiny(tmp_path):
    """Makes tiny data sets by name: `make_tiny(name, n_records, seed)`."""
    return lambda name, n_records=360, seed=0: tiny_prepared(tmp_path / name, n_records, seed)


@pytest.fixture
def tiny(make_tiny):
    return make_tiny("tiny")


@pytest.fixture
def experiment():
    """A run of seconds on the tiny data."""
    base = plans.PLANS["attention_ablation"]("synthetic", "", "smoke", ["mhsa"], [0])[0]
    return dataclasses.replace(base, n_training=96, epochs=2, patience=2, batch_size=16)


@pytest.fixture
def run(tiny, experiment):
    """A finished run of one step on the tiny data, its weights at hand."""
    return runs.run(dataclasses.replace(experiment, n_training=16, epochs=1), tiny)


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """No test reads or writes the user's runs, cache or committed results."""
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("ECGSTUDY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("ecgstudy.study.ledger.folder", lambda: tmp_path / "ledger")


@pytest.fixture
def made_run(experiment):
    """Makes runs on 400 test records without training: `made_run(attention, seed, skill)`, whose logits separate the classes by
    `skill`. With fewer patients than records, the records of one patient are alike."""
    def make(attention, seed, skill, n_patients=400, profile="smoke"):
        patient = np.arange(400) % n_patients
        targets = np.eye(len(CLASSES), dtype=np.uint8)[patient % len(CLASSES)]
        noise = np.random.default_rng([seed, len(attention)]).normal(size=(n_patients, len(CLASSES)))
        logits = (skill * targets + noise[patient]).astype(np.float32)
        ids = np.arange(400).astype(str)
        predictions = ledger.Predictions(logits, targets, ids, logits, targets, ids, patient.astype(str))
        thresholds = np.full(len(CLASSES), 0.5)
        found = ledger.scores_to_json(score(logits, targets, CLASSES, True, thresholds))
        e = dataclasses.replace(experiment, seed=seed, profile=profile, settings=(("attention", attention),))
        run = ledger.Run({"key": f"{attention}{seed}", "experiment": e.to_json(), "thresholds": thresholds.tolist(),
                          "scores": {"test": found, "validation": found},
                          "data": {"classes": list(CLASSES), "n_training": 1, "n_validation": 400, "n_test": 400, "digest": "0" * 64},
                          "training": {"n_parameters": 1234, "best_epoch": 1, "seconds": 60.0},
                          "environment": {"device_name": "none", "commit": "0" * 40, "edited": False, "finished": "today"}}, None)
        run.__dict__["predictions"] = predictions
        return run

    return make


@pytest.fixture
def made_runs(made_run):
    """Makes runs of a given skill under each name: `made_runs({name: skill}, n_seeds)` gives them and the plan that names them."""
    def make(skills, n_seeds):
        runs = {(name, seed): made_run(name, seed, skill) for name, skill in skills.items() for seed in range(n_seeds)}
        return list(runs.values()), {run.experiment: name for (name, _), run in runs.items()}
    return make
