"""Probes: a finished run measured again under one stated change, without training.

A probe changes the signals or the model's settings; the weights stay the run's own. All probes read the validation fold, in the
short profiles an evenly spread part of it: the test fold stays opened once a run, and nothing that is asked afterwards can lean on
it. The weights' epoch was chosen on this fold, so the scores flatter a little; the *changes* between probes are what a page reads.

    found = page.compare()
    probed = probe_all(found, [Probe("shift", 2.0), Probe("settings", {"keep_tokens": 0.5})])
    scores = macro_auroc(probed.groups)                 # {variant: {probe: Score}}
    change = scores["none"][Probe("shift", 2.0)] - scores["none"][CLEAN]
    change.interval                                     # paired: both scores are on the same draws of patients
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ecgstudy import signal
from ecgstudy.data.dataset import MILLIVOLT, Prepared
from ecgstudy.data.labels import SIMULATED
from ecgstudy.data.splits import split
from ecgstudy.errors import AbsentError, ConfigurationError, DataError, require_known
from ecgstudy.evaluate.bootstrap import Interval, interval, patient_weights, replicate_scores
from ecgstudy.evaluate.metrics import probabilities
from ecgstudy.progress import progress
from ecgstudy.study import probed as store
from ecgstudy.study import runs
from ecgstudy.study.axis_page import Comparison
from ecgstudy.study.ledger import Run
from ecgstudy.study.probed import Probed
from ecgstudy.study.request import at_hand
from ecgstudy.train.checkpoint import load_weights
from ecgstudy.train.device import describe, one_thread, resolve_device
from ecgstudy.train.experiment import freeze_settings
from ecgstudy.train.feed import Feed, Scaling
from ecgstudy.train.loop import Bar, predict

REPLICATES = 500
NOISE_SEED = 12             # of no simulated record

Name = TypeVar("Name", bound=Hashable)
SignalChange = Callable[[np.ndarray, int, Any], np.ndarray]


def shift(signals: np.ndarray, fs: int, seconds: float) -> np.ndarray:
    """The window slides: the first seconds are lost, the rest moves to the front, and zeros follow as in a short record."""
    n = _samples(signals, fs, seconds)
    return np.concatenate([signals[..., n:], np.zeros_like(signals[..., :n])], axis=-1)


def blank(signals: np.ndarray, fs: int, seconds: float) -> np.ndarray:
    """What `shift` loses, lost in place: zeros in the first seconds and nothing moves."""
    n = _samples(signals, fs, seconds)
    return np.concatenate([np.zeros_like(signals[..., :n]), signals[..., n:]], axis=-1)


def length(signals: np.ndarray, fs: int, seconds: float) -> np.ndarray:
    """The record with zeros after it, as a short record is padded, until it is so many seconds long."""
    n = round(seconds * fs) - signals.shape[-1]
    if n < 0:
        raise ConfigurationError(f"length is {seconds} s, less than the {signals.shape[-1] / fs:g} s of the record; make it longer")
    return np.pad(signals, [(0, 0)] * (signals.ndim - 1) + [(0, n)])


def band_stop(signals: np.ndarray, fs: int, band: tuple[float, float]) -> np.ndarray:
    """The frequencies from `low` to `high` Hz removed, without delay, as in `ecgstudy.signal.band_stop`."""
    return signal.band_stop(signals, fs, *band)


def noise(signals: np.ndarray, fs: int, factor: float) -> np.ndarray:
    """The simulator's noise of electrodes added, `factor` times that of a resting record: baseline wander, muscle, now and then an
    electrode that moves. Each record has its own, by its place in the fold, so every network meets the same."""
    from ecgstudy.data.synthetic.noise import added_noise

    if not factor > 0:
        raise ConfigurationError(f"noise is {factor!r} times that of a resting record; give more than 0")
    return signals + MILLIVOLT * added_noise(NOISE_SEED, len(signals), fs, signals.shape[-1], factor)


def _samples(signals: np.ndarray, fs: int, seconds: float) -> int:
    n = round(seconds * fs)
    if not 0 < n < signals.shape[-1]:
        raise ConfigurationError(f"{seconds} s cannot be taken from a record of {signals.shape[-1] / fs:g} s; give more than 0 and less "
                                 "than all of it")
    return n


# kind of probe -> its change of signals float32 [R, L, T] in microvolts at `fs` Hz
SIGNAL_CHANGES: dict[str, SignalChange] = {"shift": shift, "blank": blank, "length": length, "band_stop": band_stop, "noise": noise}
RECORDED_ONLY = ("band_stop", "noise")      # padding stays as it is
KINDS = ("clean", *SIGNAL_CHANGES, "recording", "settings")


@dataclass(frozen=True)
class Probe:
    """One stated change.

    | kind | value | change |
    | --- | --- | --- |
    | clean | | none |
    | shift, blank, length | seconds | see the functions of these names |
    | band_stop | (low, high) in Hz | see `band_stop` |
    | noise | times that of a resting record | see `noise` |
    | recording | seconds | a new recording, of that length, of the same simulated patients |
    | settings | {name: value} | the network is built with these settings over the run's own, and given the run's weights |
    """

    kind: str
    value: Any = 0.0

    def __post_init__(self) -> None:
        require_known("kind of probe", self.kind, KINDS)
        value = freeze_settings(self.value) if isinstance(self.value, dict) else _frozen(self.value)
        if (self.kind == "settings") != (isinstance(value, tuple) and bool(value) and all(isinstance(each, tuple) for each in value)):
            raise ConfigurationError(f"a probe of kind {self.kind!r} has the value {self.value!r}; settings, and only settings, take a "
                                     "dictionary of names and values")
        object.__setattr__(self, "value", value)

    def to_json(self) -> list:
        """[kind, value] in plain JSON values; `Probe(*…)` gives an equal probe back."""
        return [self.kind, self.value]


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


CLEAN = Probe("clean")


def changed(fold: Prepared, probe: Probe) -> Prepared:
    """The records of a fold under a probe: signals [R, L, T'] in microvolts."""
    if probe.kind == "recording":
        return dataclasses.replace(fold, signals=_recorded_anew(fold, probe.value))
    if probe.kind not in SIGNAL_CHANGES:
        return fold
    change = SIGNAL_CHANGES[probe.kind]
    if probe.kind in RECORDED_ONLY:
        return dataclasses.replace(fold, signals=_without_padding(fold, lambda part: change(part, fold.fs, probe.value)))
    return dataclasses.replace(fold, signals=change(np.asarray(fold.signals, np.float32), fold.fs, probe.value))


def _without_padding(fold: Prepared, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Change what was recorded and leave the zeros behind it: padding that carried a signal would be a new clue."""
    signals, recorded = np.array(fold.signals, np.float32), fold.table["n_samples"].to_numpy()
    for n in np.unique(recorded):
        rows = recorded == n
        signals[rows, :, :n] = change(signals[rows, :, :n])
    return signals


def _recorded_anew(fold: Prepared, seconds: float) -> np.ndarray:
    """Simulated anew from the fold's own seed: labels, age, sex and heart rate stay, beats and noise are others."""
    from ecgstudy.data.synthetic import Settings, simulate
    from ecgstudy.data.synthetic.prepared import to_microvolts

    if fold.dataset not in SIMULATED or "seed" not in fold.settings:
        raise ConfigurationError(f"{fold.dataset} records cannot be recorded anew; the probe 'recording' is for simulated records, "
                                 "'length' pads any")
    names = {each.name for each in dataclasses.fields(Settings)}
    settings = Settings(**{name: value for name, value in fold.settings.items() if name in names})
    indices = [int(name.removeprefix("S")) for name in fold.table["record_id"]]
    anew = simulate(fold.settings["seed"], indices, fs=fold.fs, seconds=seconds, settings=settings)
    if [[anew.classes[k] for k in np.flatnonzero(row)] for row in anew.labels] != fold.statements():
        raise DataError(f"{fold.folder}: records of {seconds:g} s would have other labels; probe records of another length")
    return to_microvolts(anew.signals)


def probe(run: Run, probes: Sequence[Probe], prepared: Prepared, *, device: str = "auto", bar: Bar | None = None) -> Probed:
    """Measure a finished run on its validation fold under each probe; the clean fold is always measured first.

    Raises RunError where the run's weights are not in runs/ or are damaged, DataError where `prepared` is not what the run saw or the
    weights do not give back the run's own predictions.
    """
    experiment, on = run.experiment, resolve_device(device)
    if run.result["data"]["digest"] != prepared.digest:
        raise DataError(f"run {run.key[:12]} was made on other data than {prepared.folder}; prepare the run's data again")
    rows = split(prepared, experiment.labels).validation[store.asked_of(run)]
    fold = dataclasses.replace(prepared, signals=prepared.signals[rows], table=prepared.table.iloc[rows].reset_index(drop=True))
    targets = experiment.labels.encode(fold.statements())
    scaling = Scaling(**run.result["training"]["scaling"])
    asked, logits = tuple(dict.fromkeys((CLEAN, *probes))), []
    for each in asked:
        settings = dict(experiment.settings) | (dict(each.value) if each.kind == "settings" else {})
        asked_for = dataclasses.replace(experiment, settings=freeze_settings(settings))
        model = runs.build(asked_for, prepared.spec)
        load_weights(weights(run), model)
        feed = Feed(changed(fold, each), np.arange(len(rows)), targets, scaling, on)
        logits.append(predict(model.to(on), feed, asked_for, on))
        if bar:
            bar.update()
    ids = (fold.table[name].to_numpy(str) for name in ("record_id", "patient_id"))
    found = store.describe_probed(run, [each.to_json() for each in asked], np.stack(logits), targets, *ids,
                                  describe(on) | runs.code_version())
    store.require_of(run, found)
    return found


def weights(run: Run) -> Path:
    """Where the weights of a run lie, if they are at hand: outside the ledger, in runs/."""
    return runs.folder() / run.key / "weights.safetensors"


@dataclass(frozen=True)
class Probing:
    """A page's runs under its probes: for each variant one entry a seed; and the runs that could be neither read nor measured."""

    groups: dict[str, list[Probed]] = field(default_factory=dict)
    missing: dict[str, list[Run]] = field(default_factory=dict)

    def gaps(self) -> str:
        """What is missing, as Markdown; empty where nothing is."""
        told = ", ".join(f"`{name}` seed{'s' * (len(gone) > 1)} {', '.join(str(run.experiment.seed) for run in gone)}"
                         for name, gone in self.missing.items())
        return (f"**Not probed.** {told}: no probes are stored, and the weights, which the ledger does not hold, lie only where they "
                "were trained.") if told else ""


def probe_all(found: Comparison, probes: Sequence[Probe]) -> Probing:
    """Every run of a compared page under the probes: read where it is stored, else measured and stored beside the run's weights,
    else named as missing. `probed.publish` puts what was measured into the ledger."""
    request, wanted = found.page.request, [each.to_json() for each in dict.fromkeys((CLEAN, *probes))]
    made = {run.key: store.stored(run, request.name, wanted) for row in found.rows for run in row.runs}
    todo = [run for row in found.rows for run in row.runs if made[run.key] is None and weights(run).is_file()]
    prepared = _data(found) if todo else None
    if prepared is not None:
        todo = [run for run in todo if run.result["data"]["digest"] == prepared.digest]
        with progress(total=len(todo) * len(wanted), desc="probes", unit="probe") as bar, one_thread():
            for run in todo:
                made[run.key] = probe(run, probes, prepared, bar=bar)
                store.save(made[run.key], runs.folder() / run.key, request.name)
    groups = {row.value: [made[run.key] for run in row.runs if made[run.key]] for row in found.rows}
    missing = {row.value: [run for run in row.runs if made[run.key] is None] for row in found.rows}
    return Probing({name: group for name, group in groups.items() if group}, {name: gone for name, gone in missing.items() if gone})


def _data(found: Comparison) -> Prepared | None:
    try:
        return at_hand(found.page.request.dataset, found.page.request.size)
    except AbsentError:
        return None


@dataclass(frozen=True, eq=False)
class Score:
    """A score with what it would have been under each bootstrap draw of patients [B]. Scores on the same draws subtract: the
    difference is paired."""

    estimate: float
    draws: np.ndarray

    def __sub__(self, other: Score) -> Score:
        return Score(self.estimate - other.estimate, self.draws - other.draws)

    @property
    def interval(self) -> Interval:
        """The estimate with its 95 % interval."""
        return interval(self.estimate, self.draws)


def macro_auroc(groups: Mapping[Name, Sequence[Probed]], n_replicates: int = REPLICATES) -> dict[Name, dict[Probe, Score]]:
    """Validation macro-AUROC of every group (the seeds of one variant) under every probe, mean over the group, all on the same draws
    of patients.

    Raises DataError where the records differ.
    """
    entries = [entry for group in groups.values() for entry in group]
    if any(not np.array_equal(entry.records, entries[0].records) for entry in entries):
        raise DataError("these runs were probed on different records; probe them again on one preparation of the data")
    if not entries:
        return {}
    draws = patient_weights(entries[0].patients, n_replicates, np.random.default_rng(0))
    return {name: _mean([_scores(entry, draws) for entry in group]) for name, group in groups.items()}


def _scores(entry: Probed, draws: np.ndarray) -> dict[Probe, Score]:
    multilabel = entry.experiment.labels.multilabel
    return {Probe(*told): Score(estimate, replicate_scores(probabilities(logits, multilabel), entry.targets, None, draws)["macro_auroc"])
            for told, logits, estimate in zip(entry.result["probes"], entry.logits, entry.macro_auroc, strict=True)}


def _mean(by_seed: Sequence[dict[Probe, Score]]) -> dict[Probe, Score]:
    """The mean over seeds of each probe that all of them had."""
    return {each: mean([scores[each] for scores in by_seed]) for each in by_seed[0] if all(each in scores for scores in by_seed)}


def mean(scores: Sequence[Score]) -> Score:
    """The mean of scores that are on the same draws."""
    return Score(float(np.mean([each.estimate for each in scores])), np.mean([each.draws for each in scores], axis=0))
