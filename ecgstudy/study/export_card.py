"""The model card that stands beside an exported network: what it is, what it was trained on, how well it does, and what it is not for.

In the short form of Mitchell et al. (Model Cards for Model Reporting, FAT* 2019). Every number is read from the run's result or measured
when the files were written; intervals are drawn from the run's own predictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgstudy import files
from ecgstudy.data.labels import SIMULATED
from ecgstudy.evaluate.bootstrap import interval, patient_weights, replicate_scores
from ecgstudy.leads import LEADS
from ecgstudy.models.registry import model_entry
from ecgstudy.study import runs
from ecgstudy.study.cards import table
from ecgstudy.study.chosen import SIGNAL, Chosen
from ecgstudy.study.tables import show, show_interval

WAYS = {"eager": "PyTorch, as trained", "torch": "torch.export", "onnx": "ONNX Runtime"}
N_REPLICATES = 1000
SCRIPT = '''\
import json
import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
told = session.get_modelmeta().custom_metadata_map
classes, thresholds = json.loads(told["classes"]), json.loads(told["thresholds"])

# float32 [records, {n_leads}, {n_samples}] in mV, leads in the order of told["leads"], {fs} samples a second
signals = np.load(sys.argv[1]).astype(np.float32)
_, probabilities = session.run(None, {{"signal": signals}})
for row in probabilities:
    best = row.argmax()
    found = [name for k, name in enumerate(classes) if (row[k] >= thresholds[k] if thresholds else k == best)]
    print(";".join(found) or "none")
'''


@dataclass(frozen=True)
class Exported:
    """What `export` made: files by format, the largest difference of a logit in each, milliseconds for one record by way, and the card."""

    files: dict[str, Path]
    differences: dict[str, float]
    milliseconds: dict[str, float]
    card: Path


def model_card(kept: Chosen, made: Exported) -> str:
    """The card as Markdown."""
    parts = [f"# {kept.name}", _what(kept), "## Trained on\n\n" + _trained(kept), "## Scores\n\n" + _scores(kept),
             "## Classes\n\n" + _classes(kept), "## Limits\n\n" + _limits(kept), "## Files\n\n" + _files(kept, made)]
    if "onnx" in made.files and not model_entry(kept.experiment.model).inputs:
        parts.append("## Use\n\nNumPy and ONNX Runtime are enough. The recordings are an array in a `.npy` file; one line comes out "
                     f"for each.\n\n```python\n{script(made.files['onnx'].name)}```")
    return "\n\n".join(parts) + "\n"


def script(file: str) -> str:
    """A program of NumPy and ONNX Runtime alone that reads recordings and names their classes with the ONNX file beside it."""
    return SCRIPT.format(file=file, n_leads=SIGNAL.n_leads, n_samples=SIGNAL.n_samples, fs=SIGNAL.fs)


def _what(kept: Chosen) -> str:
    asked = "".join(f"; and `{name}`" for name in model_entry(kept.experiment.model).inputs)
    settings = ", ".join(f"{name} {value}" for name, value in kept.experiment.settings) or "its paper's"
    kind = "any number of them a recording" if kept.experiment.labels.multilabel else "one a recording"
    return (f"`{kept.experiment.model}` ({model_entry(kept.experiment.model).paper}), settings: {settings}. It reads {SIGNAL.seconds:g} s "
            f"of a resting 12-lead ECG and gives the probability of {len(kept.classes)} classes, {kind}. **Input** `signal`: float32 "
            f"[records, {SIGNAL.n_leads}, {SIGNAL.n_samples}] in mV at {SIGNAL.fs} Hz, leads {' '.join(LEADS)}; the scaling of the "
            f"training records is inside{asked}. **Outputs** `logits` and `probabilities`: [records, {len(kept.classes)}].\n\nMade for "
            "research into methods. It is not a medical device and must not be used for diagnosis.")


def _trained(kept: Chosen) -> str:
    data, ran, training = kept.card["data"], kept.card["environment"], kept.card["training"]
    simulated = " Its recordings are **simulated**; nothing is known from here about real ones." if kept.experiment.dataset in SIMULATED \
        else ""
    return (f"`{kept.experiment.dataset}`, task `{kept.experiment.task}`, {kept.experiment.profile} profile, seed {kept.experiment.seed}: "
            f"{data['n_training']:,} recordings to train, {data['n_validation']:,} to validate, {data['n_test']:,} to test; patients cross "
            f"no fold. Best of {len(training['history'])} epochs: {training['best_epoch']}.{simulated}\n\nRun `{kept.card['key'][:12]}`, "
            f"finished {ran['finished']} at commit {str(ran['commit'])[:12]} on {ran['device_name']} with torch {ran['torch']}; prepared "
            f"data `{data['digest'][:12]}`.")


def _scores(kept: Chosen) -> str:
    scores = kept.card["scores"]["test"]
    found = runs.finished(kept.experiment, kept.card["data"]["digest"])
    draws = {}
    if found is not None:
        weights = patient_weights(found.predictions.test_patients, N_REPLICATES, np.random.default_rng(0))
        draws = replicate_scores(found.test_probability(), found.predictions.test_targets, found.thresholds, weights)
    rows = []
    for metric in ("macro_auroc", "macro_f1", "macro_average_precision", "subset_accuracy"):
        value = np.nan if scores[metric] is None else scores[metric]
        rows.append((f"`{metric}`", show_interval(interval(value, draws[metric])) if metric in draws else show(value)))
    told = "Brackets: 95 % over draws of patients, of this one run; another seed would move it further." if draws else \
        "The run's predictions are not at hand, so no interval is given."
    listed = table(("test fold", f"n = {scores['n_records']:,}"), rows, (1,))
    return f"{listed}\n\n{told} Thresholds were fitted on the validation fold and applied once."


def _classes(kept: Chosen) -> str:
    scores, thresholds = kept.card["scores"]["test"], kept.card["thresholds"]
    rows = [(name, f"{thresholds[k]:.4f}" if thresholds else "the most probable", str(scores["positives"][k]),
             show(np.nan if scores["auroc"][k] is None else scores["auroc"][k])) for k, name in enumerate(kept.classes)]
    return table(("class", "threshold", "in the test fold", "AUROC"), rows, (1, 2, 3))


def _limits(kept: Chosen) -> str:
    return ("- Other devices, sampling rates, lengths, or leads placed otherwise were not tried. Resample to the rate above through an "
            "anti-alias filter, cut to the length, and fill a shorter recording with zeros at its end.\n"
            f"- It knows {len(kept.classes)} classes, and says nothing of any other finding.\n"
            "- Its probabilities were not calibrated; the thresholds belong to the training data set's share of each class.\n"
            "- It was not examined for groups of age, sex or origin.")


def _files(kept: Chosen, made: Exported) -> str:
    rows = [(f"`{path.name}`", f"{path.stat().st_size:,}", f"`{files.sha256(path)}`", f"{made.differences[form]:.1e}")
            for form, path in made.files.items()]
    times = [(WAYS[form], f"{milliseconds:.1f}") for form, milliseconds in made.milliseconds.items()]
    return "\n\n".join([
        table(("file", "bytes", "SHA-256", "largest difference of a logit"), rows, (1, 3)),
        f"Weights it was made from: SHA-256 `{kept.card['sha256']}`.",
        table(("one recording on one core", "ms"), times, (1,)),
        "Medians of processor time, taken by turns on the machine that wrote the files."])
