"""What is fuzzed: for each kind of file, how a small whole one is made, how it is damaged, and how the study uses it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import math
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
from mutations import json_bytes, mutate_bytes, mutate_text, mutate_value
from recording_files import heartbeat, write_wfdb
from scipy.io import savemat

from ecgstudy import files
from ecgstudy.data.dataset import COLUMNS, open_prepared, verify, write_prepared
from ecgstudy.data.manifest import CHECKS, manifest
from ecgstudy.data.prepare import condition
from ecgstudy.data.record import read_record
from ecgstudy.evaluate.metrics import score
from ecgstudy.study import ledger
from ecgstudy.study.plans import PLANS
from ecgstudy.train.experiment import RESULT_SCHEMA

N_SAMPLES = 50


class Header:
    """A WFDB header, its samples whole."""

    kind = "header"
    usual = 10_000          # cases without ECGSTUDY_FUZZ: those of the other kinds cost several times as much

    def __init__(self, folder: Path) -> None:
        self.path = write_wfdb(folder, "A0001", heartbeat(N_SAMPLES))
        self.whole = self.path.read_bytes()

    def damage(self, random: Random) -> None:
        self.path.write_bytes(mutate_text(random, self.whole))

    def use(self) -> None:
        record = read_record(self.path)
        assert record.signal.shape == (12, N_SAMPLES) and record.signal.dtype == np.float32 and 1 <= record.fs <= 10_000
        assert math.isnan(record.age) or 0 <= record.age <= 130
        assert record.sex in ("male", "female", "") and all(code.isdigit() for code in record.dx)
        stored, recorded, clipped = condition(record)
        assert stored.shape == (12, 1000) and stored.dtype == np.int16 and 1 <= recorded <= 1000 and clipped >= 0


class Matlab4(Header):
    """The Challenge's MATLAB v4 file. In half of the cases the header is made to agree with the damaged samples."""

    kind = "mat-v4"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.samples = self.path.with_suffix(".mat").read_bytes()

    def damage(self, random: Random) -> None:
        damaged = mutate_bytes(random, self.samples)
        if random.random() < 0.5 and len(damaged) == len(self.samples):
            write_wfdb(self.path.parent, "A0001", np.frombuffer(damaged[24:], "<i2").reshape(N_SAMPLES, 12).T)
        else:
            self.path.write_bytes(self.whole)
        self.path.with_suffix(".mat").write_bytes(damaged)


class Matlab5(Header):
    """The original MATLAB v5 structure, as written and compressed."""

    kind = "mat-v5"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "A0001.mat"
        self.wholes = []
        for compressed in (False, True):
            savemat(self.path, {"ECG": {"sex": "Male", "age": 60, "data": heartbeat(N_SAMPLES) / 1000}}, do_compression=compressed)
            self.wholes.append(self.path.read_bytes())

    def damage(self, random: Random) -> None:
        self.path.write_bytes(mutate_bytes(random, self.wholes[random.random() < 0.2]))

    def use(self) -> None:
        record = read_record(self.path)
        assert record.signal.shape[0] == 12 and record.signal.shape[1] >= 1 and record.signal.dtype == np.float32
        assert condition(record)[0].shape == (12, 1000)


class Manifest:
    """The manifest of one data set."""

    kind = "manifest"
    usual = 2500
    whole = b"""cpsc:
  title: "CPSC2018"
  version: "1.0"
  doi: "10.13026/x"
  license: "CC-BY-4.0"
  citation: >-
    Liu
  folder: cpsc2018
  base: "https://a.org/1/"
  mirrors: ["https://b.org/"]
  checksums: SUMS.txt
  prefix: training/
  files: ["g?/A?.hea"]
  example: g1/A1.hea
  recordings: 6877
  fs: 500
  leads: 12
  seconds: [6, 144]
  approximate_bytes: 1_300    # few
  by_hand: ""
  population: "patients"
  device: ""
  rates: [500]
  resolution: "16 bit"
  labels: "one to three"
  codes: CPSC_SNOMED
  tasks:
    nine: {Normal: 918, AF: 1221, I-AVB: 722, LBBB: 236, RBBB: 1857, PAC: 616, PVC: 700, STD: 869, STE: 220}
  counted: "a table"
  layout: "folders"
  exclusions: []
  nan: refuse
  folds: stratified
  patients: unpublished
"""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "data_manifest.yaml"
        self.path.write_bytes(self.whole)

    def damage(self, random: Random) -> None:
        self.path.write_bytes(mutate_text(random, self.whole))

    def use(self) -> None:
        for name, source in manifest(self.path).items():
            assert name.isidentifier() and source.name == name and len(dataclasses.fields(source)) == len(CHECKS) + 1
            assert min(source.recordings, source.fs, source.leads, source.approximate_bytes) >= 1
            assert 0 < source.seconds[0] <= source.seconds[1] < math.inf
            assert source.wants(source.example) and ".." not in source.folder.split("/") and not source.folder.startswith("/")


class Result:
    """A result of the ledger; its key is restated in half of the cases, so that the damage gets past it."""

    kind = "result"
    usual = 2500
    scored = 0              # records with the first class; 0 spares scikit-learn, which takes its time, where the scores stay the same

    def __init__(self, folder: Path) -> None:
        self.path, self.predictions = folder / "a.json", folder / "a.npz"
        experiment = PLANS["attention_ablation"]("synthetic", "", "smoke", ["mhsa"], [0])[0]
        generator, labels = np.random.default_rng(0), experiment.labels
        self.arrays = {}
        for fold in ("validation", "test"):
            targets = np.zeros((12, len(labels.classes)), np.uint8)
            targets[:self.scored, 0] = 1
            names = np.array([f"R{i}" for i in range(12)])
            self.arrays |= {f"{fold}_logits": generator.normal(size=targets.shape).astype(np.float32), f"{fold}_targets": targets,
                            f"{fold}_records": names}
        self.arrays["test_patients"] = names
        self.archive = ledger.Predictions(**self.arrays).to_bytes()
        self.predictions.write_bytes(self.archive)
        thresholds = [0.5] * len(labels.classes)
        scores = {fold: ledger.scores_to_json(score(self.arrays[f"{fold}_logits"], self.arrays[f"{fold}_targets"], labels.classes,
                                                    labels.multilabel, np.array(thresholds))) for fold in ("validation", "test")}
        data = {"classes": list(labels.classes), "digest": "0" * 64, "n_training": 1, "n_validation": 12, "n_test": 12}
        self.result = {"schema": RESULT_SCHEMA, "key": experiment.key(data["digest"]), "experiment": experiment.to_json(), "data": data,
                       "environment": {"python": "3"}, "training": {"epochs": 1}, "thresholds": thresholds, "scores": scores,
                       "predictions": {"file": "a.npz", "sha256": files.sha256(self.predictions)}}
        self.path.write_bytes(json_bytes(self.result))

    def damage(self, random: Random) -> None:
        if random.random() < 0.4:
            self.path.write_bytes(mutate_text(random, json_bytes(self.result)))
            return
        result = mutate_value(random, self.result)
        if random.random() < 0.5:
            with contextlib.suppress(Exception):
                content = json.dumps({"experiment": result["experiment"], "data": result["data"]["digest"], "schema": RESULT_SCHEMA},
                                     sort_keys=True, separators=(",", ":"))
                result["key"] = hashlib.sha256(content.encode()).hexdigest()
        self.path.write_bytes(json_bytes(result))

    def use(self) -> None:
        run = ledger.read_run(self.path)
        assert run.key == run.experiment.key(run.result["data"]["digest"])
        probability = run.test_probability()
        assert probability.shape == (12, 9) and ((0 <= probability) & (probability <= 1)).all()


class PredictionArchive(Result):
    """The predictions of a result, the result restated to match: its file damaged, or one of its arrays exchanged."""

    kind = "predictions"
    scored = 6

    def damage(self, random: Random) -> None:
        damaged = mutate_bytes(random, self.archive) if random.random() < 0.5 else self._exchanged(random)
        self.predictions.write_bytes(damaged)
        stated = {"file": "a.npz", "sha256": hashlib.sha256(damaged).hexdigest()}
        self.path.write_bytes(json_bytes(self.result | {"predictions": stated}))

    def _exchanged(self, random: Random) -> bytes:
        arrays = dict(self.arrays)
        name = random.choice(list(arrays))
        array = arrays[name]
        arrays[name] = random.choice((
            array[:-1], array[:0], array.T, array[None], array.astype("U8"), np.array(3.0), np.zeros((12, 9), complex),
            np.full((12, 9), np.nan), np.full((12, 9), 7, np.uint8), np.full((12, 9), -1), np.zeros((12, 9), "datetime64[s]"),
            np.zeros((12, 9), [("a", "i4")]), arrays[random.choice(list(arrays))], np.zeros((12, 10)), np.zeros(12, "S4")))
        if random.random() < 0.1:
            del arrays[name]
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()


class PreparedFolder:
    """A prepared folder: one of its files damaged; its digests are restated in half of the cases."""

    kind = "prepared"
    usual = 2500

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "prepared"
        names = [f"T{i}" for i in range(4)]
        table = pd.DataFrame({"record_id": names, "patient_id": names, "fold": [1, 2, 9, 10], "age": [50, 60, np.nan, 70], "sex": "female",
                              "n_samples": N_SAMPLES, "statements": "AF;PVC"})
        signals = np.stack([heartbeat(N_SAMPLES, seed=i) for i in range(4)])
        write_prepared(self.folder, "synthetic", 100, [signals], table, N_SAMPLES, {"tiny": 1})
        self.wholes = {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def damage(self, random: Random) -> None:
        contents = dict(self.wholes)
        name = random.choice(list(contents))
        described = json.loads(contents["prepared.json"])
        if name == "prepared.json" and random.random() < 0.6:
            described = mutate_value(random, described)
            contents[name] = json_bytes(described)
        else:
            contents[name] = (mutate_bytes if name == "signals.npy" else mutate_text)(random, contents[name])
            if name == "prepared.json":
                described = None
        if described is not None and random.random() < 0.5:
            contents["prepared.json"] = self._restated(described, contents)
        for each, content in contents.items():
            (self.folder / each).write_bytes(content)

    def _restated(self, described: dict, contents: dict[str, bytes]) -> bytes:
        described = dict(described)
        described.pop("digest", None)
        if "content_sha256" in described:
            described["content_sha256"] = hashlib.sha256(contents["signals.npy"][128:] + contents["table.csv"]).hexdigest()
        if "signals_bytes" in described:
            described["signals_bytes"] = len(contents["signals.npy"])
        text = json.dumps(described, sort_keys=True, separators=(",", ":"))
        return json_bytes(described | {"digest": hashlib.sha256(text.encode()).hexdigest()})

    def use(self) -> None:
        prepared = open_prepared(self.folder)
        verify(prepared)
        assert prepared.signals.dtype == np.int16 and prepared.signals.ndim == 3 and prepared.spec.n_leads == 12
        assert set(COLUMNS) <= set(prepared.table.columns) and len(prepared.table) == len(prepared.signals)
        assert isinstance(prepared.dataset, str) and isinstance(prepared.settings, dict) and prepared.fs >= 1
        assert len(prepared.statements()) == len(prepared.table)


TARGETS = (Header, Matlab4, Matlab5, Manifest, Result, PredictionArchive, PreparedFolder)
