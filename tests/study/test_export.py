"""Exported networks: every model or its reason, equal outputs, files that can be used alone, and refusals."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ecgstudy.cli import main
from ecgstudy.data.synthetic import Settings, simulate
from ecgstudy.data.synthetic.prepared import to_microvolts
from ecgstudy.errors import ConfigurationError, DataError, RunError
from ecgstudy.layers.attention import ATTENTIONS
from ecgstudy.models import list_models
from ecgstudy.models.registry import model_entry
from ecgstudy.study import chosen, export, ledger, runs
from ecgstudy.study.chosen import SIGNAL, Chosen
from ecgstudy.study.profiles import profile, supervised
from ecgstudy.train.feed import Scaling

NARROW = {"widths": (8, 16, 16, 16), "depths": (1, 1, 2, 2), "heads": 4}
CASES = [pytest.param(name, dict(model_entry(name).quick) if name != "inception_former" else NARROW, id=name) for name in list_models()]
CASES += [pytest.param("inception_former", NARROW | {"attention": name}, id=name) for name in ATTENTIONS if name != "mhsa"]


@pytest.fixture(autouse=True)
def own_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGSTUDY_RUNS", str(tmp_path / "runs"))


def made(name: str, settings: dict) -> Chosen:
    """A network with fresh weights, as one that ships would be: its batch norms have seen recordings, so that logits are of usual size."""
    experiment = supervised("synthetic", "nine", profile("smoke"), name, settings, 0)
    kept = Chosen(name, runs.build(experiment, SIGNAL).train(), experiment, Scaling(3.0, 200.0), experiment.labels.classes,
                  {"key": "0" * 64, "sha256": "0" * 64, "thresholds": [0.5] * 9})
    for module in kept.model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0
    with torch.random.fork_rng():
        export.expected(kept, export.records(4))
    kept.model.eval()
    return kept


# torch's own program knows every operator of torch: the networks that it refuses, and one of each kind, stand for all.
OF_TORCH = (*export.REFUSED["torch"], "resnet18", "stft_resnet34", "inception_former")
BOTH = [pytest.param(*case.values, form, id=f"{case.id}-{form}") for case in CASES for form in export.SUFFIXES
        if form == "onnx" or case.id in OF_TORCH]


@pytest.mark.parametrize(("name", "settings", "form"), BOTH)
def test_every_model_is_written_or_its_reason_holds(name, settings, form, tmp_path):
    """Outputs are compared inside `check`, which raises; a model in the table must really fail, or the table is out of date."""
    if form == "onnx":
        pytest.importorskip("onnxruntime")
        if name in export.TRANSLATED:
            pytest.importorskip("onnxscript")
    kept, path = made(name, settings), tmp_path / f"a{export.SUFFIXES[form]}"
    write = export.to_onnx if form == "onnx" else export.to_torch

    def attempt() -> float:
        path.write_bytes(write(kept))
        return export.check(path, kept)

    if name in export.REFUSED[form]:
        with pytest.raises(RunError):
            attempt()
    else:
        assert attempt() <= export.TOLERANCE and path.is_file()


def test_the_tables_name_registered_models():
    assert set(export.TRANSLATED) | {name for table in export.REFUSED.values() for name in table} <= set(list_models())


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    return export.export("resnet18_synthetic", tmp_path_factory.mktemp("exported"))


def answer(path, signals):
    """Logits and probabilities by ONNX Runtime and nothing else."""
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["logits", "probabilities"], {"signal": signals})


def test_a_file_gives_the_networks_outputs_for_any_batch(exported):
    kept, signals = chosen.load("resnet18_synthetic"), export.records(7, seed=11)
    logits, probability = answer(exported.files["onnx"], signals)
    microvolts = torch.from_numpy(np.rint(signals * 1000)).float()              # what training reads
    with torch.no_grad():
        wanted = kept.model((microvolts - kept.scaling.mean) / kept.scaling.deviation).numpy()
    np.testing.assert_allclose(answer(exported.files["onnx"], np.rint(signals * 1000) / np.float32(1000))[0], wanted, atol=1e-4)
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logits.astype(np.float64))), atol=1e-6)
    np.testing.assert_allclose(answer(exported.files["onnx"], signals[3:4])[0], logits[3:4], atol=1e-4)


def test_a_file_tells_all_that_a_stranger_needs(exported):
    runtime = pytest.importorskip("onnxruntime")
    kept = chosen.load("resnet18_synthetic")
    told = runtime.InferenceSession(str(exported.files["onnx"])).get_modelmeta().custom_metadata_map
    stored = {"about.json": ""}
    torch.export.load(exported.files["torch"], extra_files=stored)
    assert told == json.loads(stored["about.json"]) == export.about(kept)
    assert json.loads(told["classes"]) == list(kept.classes) and json.loads(told["thresholds"]) == kept.card["thresholds"]
    assert json.loads(told["leads"])[3] == "aVR" and (told["fs"], told["n_samples"], told["unit"]) == ("100", "1000", "mV")
    assert told["weights_sha256"] == kept.card["sha256"] and "not a medical device" in told["note"]


def test_the_card_says_where_its_numbers_come_from(exported):
    card, kept = exported.card.read_text(), chosen.load("resnet18_synthetic")
    for part in (kept.card["key"][:12], kept.card["sha256"], "not a medical device", "**simulated**", "macro_auroc", "ONNX Runtime",
                 f"{exported.milliseconds['onnx']:.1f}", f"{kept.card['thresholds'][2]:.4f}"):
        assert part in card, part
    value = kept.card["scores"]["test"]["macro_auroc"]
    assert f"| `macro_auroc` | {value:.3f} [" in card                               # with its interval, from the ledger


def test_the_cards_script_names_the_classes(exported, tmp_path):
    text = exported.card.read_text().split("```python\n")[1].split("```")[0]
    assert "ecgstudy" not in text and "torch" not in text
    signals = export.records(3, seed=5)
    np.save(tmp_path / "signals.npy", signals)
    done = subprocess.run([sys.executable, "-c", text, str(tmp_path / "signals.npy")], cwd=exported.card.parent, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr[-1000:]
    kept = chosen.load("resnet18_synthetic")
    found = 1 / (1 + np.exp(-export.expected(kept, signals))) >= np.array(kept.card["thresholds"])
    assert done.stdout.splitlines() == [";".join(np.array(kept.classes)[row]) or "none" for row in found]


@pytest.mark.parametrize("form", export.SUFFIXES)
def test_a_wrong_scaling_is_caught_and_its_file_removed(form, tmp_path, monkeypatch):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    right = export.Program
    monkeypatch.setattr(export, "Program", lambda model, s, *rest: right(model, Scaling(s.mean, 1.01 * s.deviation), *rest))
    with pytest.raises(RunError, match="gives other outputs than resnet18_synthetic: a logit differs by"):
        export.export("resnet18_synthetic", tmp_path, [form])
    assert list(tmp_path.glob("*.*")) == []


def test_a_file_that_is_none_is_removed(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "a.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(RunError, match="a.onnx does not run"):
        export.check(path, made("resnet18", {"width": 8}))
    assert not path.exists()


def test_a_finished_run_is_exported_by_key_or_folder(tmp_path, tiny):
    experiment = supervised("synthetic", "nine", profile("smoke"), "resnet18", {"width": 4}, 0)
    run = runs.run(experiment, tiny)
    place = runs.folder() / run.key
    assert run.key in export.exportable()
    by_key, by_folder = export.network(run.key[:10]), export.network(str(place))
    assert by_key.name == by_folder.name == f"resnet18_{run.key[:12]}"
    path = export.export(str(place), tmp_path / "out", ["torch"]).files["torch"]
    assert path.name == f"resnet18_{run.key[:12]}.pt2"
    (place / "weights.safetensors").unlink()
    with pytest.raises(DataError, match="a result alone cannot be exported"):
        export.network(str(place))


@pytest.mark.parametrize(("words", "says"), [
    (["hilo_sinthetic"], "did you mean 'hilo_synthetic'"),
    (["hilo_synthetic", "--format", "onxx"], "unknown format 'onxx'; did you mean 'onnx'"),
    (["hilo_synthetic", "--format", ""], "no format is given"),
    (["hilo_synthetic", "--opset", "9"], "opset is 9; this version writes 18 to 20"),
    ([], "no network is named"),
])
def test_bad_words_are_refused(words, says, tmp_path, capsys):
    assert main(["export", *words, "--out", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err and list(tmp_path.glob("*.*")) == []


def test_the_verb_lists_and_says_what_is_missing(capsys, monkeypatch, tmp_path):
    assert main(["export", "--list"]) == 0
    assert capsys.readouterr().out.splitlines() == export.exportable()
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "resnet18_synthetic", "--format", "onnx", "--out", str(tmp_path)]) == 2
    assert "pip install 'ecgstudy[export]'" in capsys.readouterr().err


def test_a_model_in_the_table_is_refused_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setitem(export.REFUSED["torch"], "resnet18", "it is tired")
    with pytest.raises(ConfigurationError, match="resnet18 cannot be written as torch: it is tired"):
        export.export("resnet18_synthetic", tmp_path, ["torch"])


def test_records_score_as_in_the_ledger(exported):
    """The stored test logits of the shipped network's own run, whose simulated records are made again from their names."""
    kept = chosen.load("resnet18_synthetic")
    name = ledger.entry_name(kept.experiment, kept.card["key"])
    run = ledger.read_run(export.files.repository() / "book" / "results" / f"{name}.json")
    records = run.predictions.test_records[:20]
    settings = kept.card["data"]["settings"]
    simulation = simulate(settings["seed"], [int(name.removeprefix("S")) for name in records], settings=Settings(scheme=settings["scheme"]))
    logits, _ = answer(exported.files["onnx"], to_microvolts(simulation.signals) / np.float32(1000))
    np.testing.assert_allclose(logits, run.predictions.test_logits[:20], atol=1e-3)


def test_what_ships_is_of_models_that_can_be_written():
    for name in chosen.names():
        model = ledger.files.read_json(chosen.folder() / f"{name}.json")["experiment"]["model"]
        assert not any(model in table for table in export.REFUSED.values())
