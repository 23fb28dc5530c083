"""What a scheme draws: its classes, how often each rhythm occurs, in whom, and with which other findings.

Counts: PTB-XL's twelve rhythm statements and Chapman-Shaoxing's eleven rhythms, as published. In Chapman-Shaoxing "AF" means
atrial flutter and "SA" sinus arrhythmia.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ecgstudy.data.labels import CPSC_CLASSES, TASKS
from ecgstudy.data.synthetic.events import Trace
from ecgstudy.data.synthetic.flutter import RATE as FLUTTER_RATE
from ecgstudy.data.synthetic.flutter import trace_flutter
from ecgstudy.data.synthetic.labels import COLUMN, Person, draw_person_like
from ecgstudy.data.synthetic.pacing import trace_paced
from ecgstudy.data.synthetic.rhythm import PAC, PVC
from ecgstudy.data.synthetic.settings import NINE_SCHEMES, SCHEMES
from ecgstudy.data.synthetic.sinus import slowest_rate, trace_fibrillation, trace_pattern, trace_sinus, trace_sinus_arrhythmia
from ecgstudy.data.synthetic.streams import truncated_normal
from ecgstudy.data.synthetic.supraventricular import (
    trace_atrial_runs,
    trace_atrial_tachycardia,
    trace_multifocal,
    trace_paroxysm,
    trace_reentry,
    trace_wandering,
)
from ecgstudy.errors import require_known

LEAST_SHARE = 0.01      # of the records, for a rhythm that is rarer than that

# Label sets that a rhythm stands in: counts of PTB-XL 1.0.1, pairs as in its folds 9 and 10.
PTBXL_SETS = {
    ("SR",): 16746, ("AFIB",): 1514, ("STACH",): 816, ("SARRH",): 772, ("SBRAD",): 632, ("PACE",): 296, ("SVARR",): 157,
    ("AFLT",): 73, ("BIGU",): 31, ("SR", "BIGU"): 36, ("STACH", "BIGU"): 10, ("SBRAD", "BIGU"): 5, ("SVTAC",): 27, ("PSVT",): 24,
    ("TRIGU",): 20,
}
CHAPMAN_SETS = {
    ("SB",): 3889, ("SR",): 1826, ("AFIB",): 1780, ("ST",): 1568, ("SVT",): 587, ("AF",): 445, ("SA",): 399, ("AT",): 121,
    ("AVNRT",): 16, ("AVRT",): 8, ("SAAWR",): 7,
}
CHAPMAN_CLASSES = tuple(name for (name,) in CHAPMAN_SETS)


@dataclass(frozen=True)
class Scene:
    """How a rhythm is drawn. rate: mean, SD, limits per minute (of the flutter waves in flutter). person: mean age, SD, share
    of men. shares: of records that also carry a finding of the nine."""

    rate: tuple[float, float, float, float]
    person: tuple[float, float, float]
    shares: dict[str, float]


BLOCKS = {"RBBB": 0.025, "LBBB": 0.015}
QUIET = BLOCKS | {"I-AVB": 0.035, "PVC": 0.036, "PAC": 0.02}
FIBRILLATING = {"RBBB": 0.065, "LBBB": 0.04, "PVC": 0.10}
PTBXL_SCENES = {
    "SR": Scene((75, 10, 61.5, 98.5), (58, 17, 0.50), QUIET), "AFIB": Scene((95, 24, 55, 150), (72, 11, 0.56), FIBRILLATING),
    "STACH": Scene((114, 11, 102.5, 148), (58, 18, 0.50), BLOCKS), "SARRH": Scene((70, 9, 55, 90), (45, 20, 0.55), {}),
    "SBRAD": Scene((54, 4, 42, 58.5), (60, 15, 0.62), BLOCKS | {"I-AVB": 0.05}), "PACE": Scene((67, 5, 60, 75), (75, 10, 0.60), {}),
    "SVARR": Scene((84, 14, 60, 120), (70, 12, 0.55), BLOCKS), "BIGU": Scene((78, 9, 62, 98), (66, 14, 0.55), {}),
    "TRIGU": Scene((78, 9, 62, 98), (66, 14, 0.55), {}), "AFLT": Scene(FLUTTER_RATE, (70, 12, 0.60), BLOCKS),
    "SVTAC": Scene((165, 20, 132, 215), (57, 18, 0.48), {}), "PSVT": Scene((180, 20, 152, 240), (55, 18, 0.42), {}),
}
CHAPMAN_SCENES = {
    "SB": Scene((55, 4, 44, 59), (58, 14, 0.64), {"I-AVB": 0.041, "RBBB": 0.031, "PAC": 0.026, "PVC": 0.010}),
    "SR": Scene((76, 10, 61, 96), (54, 16, 0.44), QUIET), "SA": Scene((73, 10, 58, 92), (35, 20, 0.56), {}),
    "AFIB": Scene((95, 27, 55, 155), (73, 11, 0.58), {"RBBB": 0.080, "LBBB": 0.017, "PVC": 0.083}),
    "AF": Scene(FLUTTER_RATE, (71, 13, 0.58), BLOCKS), "ST": Scene((112, 12, 101.5, 140), (55, 20, 0.51), {"PAC": 0.064, "PVC": 0.040}),
    "SVT": Scene((168, 22, 132, 210), (56, 19, 0.48), {}), "AT": Scene((116, 28, 78, 172), (66, 19, 0.53), {}),
    "AVNRT": Scene((172, 15, 140, 205), (58, 17, 0.25), {}), "AVRT": Scene((171, 30, 120, 225), (58, 17, 0.63), {}),
    "SAAWR": Scene((64, 8, 50, 82), (51, 17, 0.30), {}),
}


@dataclass(frozen=True)
class Cast:
    """labels bool [R, K] of the scheme; findings bool [R, 9] of the nine classes, which shape the waves; person; traces."""

    labels: np.ndarray
    findings: np.ndarray
    person: Person
    traces: list[Trace]


def classes_of(scheme: str) -> tuple[str, ...]:
    """The classes that a scheme labels, in the order of every array's label axis. ConfigurationError for an unknown scheme."""
    require_known("scheme", scheme, SCHEMES)
    if scheme in NINE_SCHEMES:
        return CPSC_CLASSES
    return CHAPMAN_CLASSES if scheme.endswith("chapman") else TASKS["ptbxl"]["rhythm"].classes


def draw_cast(component: Callable[[str], np.random.Generator], index: np.ndarray, scheme: str, seconds: float) -> Cast:
    """Labels, findings, people and event lists of the records `index` [R], which fill one block."""
    sets, scenes = (CHAPMAN_SETS, CHAPMAN_SCENES) if scheme.endswith("chapman") else (PTBXL_SETS, PTBXL_SCENES)
    drawn = _draw_sets(component("labels"), index, scheme, sets)
    classes = classes_of(scheme)
    labels = np.array([[name in names for name in classes] for names in drawn])
    scene = [scenes[names[0]] for names in drawn]
    person = draw_person_like(component("person"), np.array([each.person for each in scene]))

    dice = component("findings").random((len(index), len(CPSC_CLASSES)))
    findings = np.array([[die < each.shares.get(name, 0) for die, name in zip(row, CPSC_CLASSES, strict=True)]
                         for row, each in zip(dice, scene, strict=True)])
    findings[:, COLUMN["RBBB"]] &= ~findings[:, COLUMN["LBBB"]]
    findings[:, COLUMN["PAC"]] &= ~findings[:, COLUMN["PVC"]]
    fibrillates = [names[0] == "AFIB" or names[0] == "PACE" and die < 0.2
                   for names, die in zip(drawn, dice[:, COLUMN["AF"]], strict=True)]
    findings[:, COLUMN["AF"]] = fibrillates

    rate = truncated_normal(component("rhythm"), *np.array([each.rate for each in scene]).T, len(index))
    own = component("events").spawn(len(index))
    traces = [draw_trace(rng, names, float(each), seconds, row) for rng, names, each, row in
              zip(own, drawn, rate, findings, strict=True)]
    _record_ectopy(findings, traces)
    return Cast(labels, findings, person, traces)


def _draw_sets(rng: np.random.Generator, index: np.ndarray, scheme: str, sets: dict[tuple[str, ...], int]) -> list[tuple[str, ...]]:
    """The label set of each record; its first name leads the rhythm."""
    names = list(sets)
    if scheme.startswith("balanced"):
        alone = [(name,) for name in classes_of(scheme)]
        return [alone[i % len(alone)] for i in index]
    share = np.array(list(sets.values()), float) / sum(sets.values())
    rare = np.array([len(given) == 1 for given in names]) & (share < LEAST_SHARE)
    share[rare] = LEAST_SHARE
    return [names[k] for k in rng.choice(len(names), len(index), p=share / share.sum())]


def draw_trace(rng: np.random.Generator, names: tuple[str, ...], rate: float, seconds: float, findings: np.ndarray) -> Trace:
    """The events of one record with the label set `names`; findings [9]: its other findings."""
    lead = names[0]
    early = PVC if findings[COLUMN["PVC"]] else PAC if findings[COLUMN["PAC"]] else 0
    if "BIGU" in names or "TRIGU" in names:
        period, room = (2, 6.6) if "BIGU" in names else (3, 7.0)
        fast = max(rate, min(slowest_rate(seconds, room), 98.5)) if lead != "SBRAD" else rate
        return trace_pattern(rng, fast, seconds, period, int(rng.choice([PAC, PVC], p=[0.35, 0.65])))
    fibrillates = bool(findings[COLUMN["AF"]])
    tracers: dict[str, Callable[[], Trace]] = {
        "AFIB": lambda: trace_fibrillation(rng, rate, seconds, early), "PACE": lambda: trace_paced(rng, rate, seconds, fibrillates),
        "SARRH": lambda: trace_sinus_arrhythmia(rng, rate, seconds), "SA": lambda: trace_sinus_arrhythmia(rng, rate, seconds),
        "AFLT": lambda: trace_flutter(rng, rate, seconds), "AF": lambda: trace_flutter(rng, rate, seconds),
        "SVTAC": lambda: trace_reentry(rng, rate, seconds), "SVT": lambda: trace_reentry(rng, rate, seconds),
        "AVNRT": lambda: trace_reentry(rng, rate, seconds, str(rng.choice(["AVNRT", "hidden"]))),
        "AVRT": lambda: trace_reentry(rng, rate, seconds, "AVRT"), "PSVT": lambda: trace_paroxysm(rng, rate, seconds),
        "AT": lambda: trace_atrial_tachycardia(rng, rate, seconds), "SAAWR": lambda: trace_wandering(rng, rate, seconds),
        "SVARR": lambda: trace_multifocal(rng, rate, seconds) if rng.random() < 0.5 else trace_atrial_runs(rng, rate, seconds),
    }
    return tracers.get(lead, lambda: trace_sinus(rng, rate, seconds, early))()


def _record_ectopy(findings: np.ndarray, traces: list[Trace]) -> None:
    """Write into the findings which records do show PACs and PVCs."""
    for row, trace in zip(findings, traces, strict=True):
        row[COLUMN["PAC"]], row[COLUMN["PVC"]] = PAC in trace.kind, PVC in trace.kind
