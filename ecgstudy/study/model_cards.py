"""Model cards of the networks that ship with the repository, as Markdown made from `book/weights/` and the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgstudy import files
from ecgstudy.data.labels import SIMULATED
from ecgstudy.study import chosen, ledger, tables
from ecgstudy.study.cards import table
from ecgstudy.study.comparison import Row, compare
from ecgstudy.train.experiment import Experiment

FEW_POSITIVES = 20      # of a class on the test fold, below which its own numbers are said to rest on few records


def written(words: Sequence[str], root: Path, up: str) -> str:
    """A table of all networks that ship, then the card of each. The arguments are those of a chapter's writer."""
    told = {name: files.read_json(chosen.folder() / f"{name}.json") for name in chosen.names()}
    measured = scored(told)
    overview = [(f"[`{name}`](network-{name.replace('_', '-')})", _score(name, each, measured, "macro_auroc"),
                 _score(name, each, measured, "macro_f1"), f"{each['training']['n_parameters']:,}", f"`{each['experiment']['dataset']}`")
                for name, each in told.items()]
    heads = ("network", "test macro-AUROC", "test macro-F1", "parameters", "trained on")
    return "\n\n".join([table(heads, overview, (3,)), *(card(name, each, measured) for name, each in told.items())])


def scored(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Row]:
    """Name -> scores with intervals over patients, of the networks whose runs the ledger holds. told: name -> card."""
    names = {Experiment.from_json(each["experiment"]): name for name, each in told.items()}
    kinds: dict[tuple[str, ...], list[ledger.Run]] = {}
    for run in ledger.read_selected(set(names)):
        if run.key == told[names[run.experiment]]["key"]:
            kinds.setdefault((run.experiment.dataset, run.experiment.task, run.experiment.profile), []).append(run)
    return {row.value: row for runs in kinds.values() for row in compare(runs, names, baseline="")}


def card(name: str, told: Mapping[str, Any], measured: Mapping[str, Row]) -> str:
    """One network: what it is, its data, its scores with intervals, its limits, and how to load it."""
    run, data, training, made, signal = told["experiment"], told["data"], told["training"], told["environment"], chosen.SIGNAL
    settings = ", ".join(f"`{key} = {value!r}`" for key, value in run["settings"].items()) or "the paper's"
    facts = [
        ("network", f"`{run['model']}`; settings: {settings}"), ("parameters", f"{training['n_parameters']:,}"),
        ("input", f"{signal.n_leads} leads, {signal.n_samples / signal.fs:g} s at {signal.fs:g} Hz, in microvolts; scaled with "
                  f"mean {training['scaling']['mean']:.1f} and deviation {training['scaling']['deviation']:.1f}"),
        ("trained on", f"`{run['dataset']}`, task `{run['task']}`, profile `{run['profile']}`, seed {run['seed']}: "
                       f"{data['n_training']:,} records to train, {data['n_validation']:,} to validate, {data['n_test']:,} to test"),
        ("training", f"{len(training['history'])} epochs, the weights of epoch {training['best_epoch']} kept; "
                     f"{training['seconds']:.0f} s on {made['device']}"),
        ("macro-AUROC", _score(name, told, measured, "macro_auroc")), ("macro-F1", _score(name, told, measured, "macro_f1")),
        ("made", f"{made['finished'][:10]}, commit `{made['commit'][:10]}`, torch {made['torch']}"),
        ("weights", f"`book/weights/{name}.safetensors`, SHA-256 `{told['sha256'][:16]}…`"),
    ]
    anchor = f"network-{name.replace('_', '-')}"
    load = f"```python\nfrom ecgstudy.study import chosen\n\nnetwork = chosen.load({name!r})      # network.model, network.classes\n```"
    title = f"({anchor})=\n## `{name}`"
    return "\n\n".join([title, table(("what", "as it is"), facts), _classes(told), f"**Limits.** {limits(told)}", load])


def limits(told: Mapping[str, Any]) -> str:
    """What must not be concluded from the network, in words, from its card alone."""
    run, test = told["experiment"], told["scores"]["test"]
    few = [f"`{each}` ({n})" for each, n in zip(test["classes"], test["positives"], strict=True) if n < FEW_POSITIVES]
    said = ["It is no medical device, and was never shown to be one."]
    if run["dataset"] in SIMULATED:
        said.append("It has seen simulated records only; its scores say nothing about patients.")
    if run["profile"] != "full":
        said.append(f"It was trained in profile `{run['profile']}`, smaller and shorter than the study's full runs.")
    said.append("It is one seed: how far another would move the score is not in the interval.")
    if few:
        said.append(f"Classes with fewer than {FEW_POSITIVES} test records: {', '.join(few)}.")
    return " ".join(said)


def _score(name: str, told: Mapping[str, Any], measured: Mapping[str, Row], metric: str) -> str:
    """A test score with its interval, or without one where the ledger does not hold the run's predictions."""
    if name in measured:
        return tables.show_measured(measured[name].measured[metric]).replace(", ", ",&nbsp;")
    return f"{tables.show(told['scores']['test'][metric])} (no interval: its predictions are not in the ledger)"


def _classes(told: Mapping[str, Any]) -> str:
    test = told["scores"]["test"]
    rows = [(each, str(n), *("none" if value is None else tables.show(value) for value in (auroc, f1, threshold)))
            for each, n, auroc, f1, threshold in zip(test["classes"], test["positives"], test["auroc"], test["f1"],
                                                     told["thresholds"] or [None] * len(test["classes"]), strict=True)]
    return table(("class", "test records", "AUROC", "F1", "threshold"), rows, (1, 2, 3, 4))
