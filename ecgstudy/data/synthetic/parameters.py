"""Everything that is random about a record except the samples of its noise, drawn before anything is rendered.

Drawing and rendering are two steps, so that a changed parameter (a longer PR interval, no ST shift) can be rendered with
all else equal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ecgstudy.data.synthetic import labels as label_sets
from ecgstudy.data.synthetic.atria import Atria, draw_atria, no_atria
from ecgstudy.data.synthetic.events import list_events, none_listed, to_rhythm, width_for
from ecgstudy.data.synthetic.fibrillation import Fibrillation, draw_fibrillation
from ecgstudy.data.synthetic.flutter import Flutter, draw_flutter, no_flutter
from ecgstudy.data.synthetic.labels import COLUMN, Person
from ecgstudy.data.synthetic.leadfield import LeadField, draw_lead_field
from ecgstudy.data.synthetic.morphology import LookAlikes, Waves, draw_look_alikes, draw_waves
from ecgstudy.data.synthetic.noise import NoiseLevels, draw_noise_levels
from ecgstudy.data.synthetic.pacing import Pacing, apply_apex, draw_pulse_vector
from ecgstudy.data.synthetic.rhythm import Rhythm, draw_rhythm
from ecgstudy.data.synthetic.schemes import draw_cast
from ecgstudy.data.synthetic.settings import NINE_SCHEMES, Settings
from ecgstudy.data.synthetic.streams import BLOCK, by_block, join_rows, sometimes, stream, take_rows, truncated_normal
from ecgstudy.errors import ConfigurationError

Component = Callable[[str], np.random.Generator]
SHORTEST = 6.0          # s, the shortest CPSC2018 record; every label finds room in it

# Mean, SD, limits in milliseconds.
P_DURATION = (108, 10, 82, 140)
QRS_RBBB, BORDERLINE_RBBB = (136, 13, 122, 175), (118, 126)
QRS_LBBB, BORDERLINE_LBBB = (150, 14, 130, 188), (120, 130)
QRS_PVC = (152, 14, 122, 190)
PR_AVB, BORDERLINE_AVB = (245, 35, 212, 380), (202, 215)
T_PEAK_TO_END = (84, 9, 62, 115)


@dataclass(frozen=True)
class Intervals:
    """Durations [R] in seconds. qrs_narrow: of the normally conducted part; qtc: Framingham; ectopic_pr: [R, B].
    t_delay: share of the way from J point to T peak before the T wave starts."""

    pr: np.ndarray
    ectopic_pr: np.ndarray
    p_duration: np.ndarray
    qrs: np.ndarray
    qrs_narrow: np.ndarray
    qrs_pvc: np.ndarray
    qtc: np.ndarray
    t_peak_to_end: np.ndarray
    t_delay: np.ndarray


@dataclass(frozen=True)
class Parameters:
    """The drawn table: every array has one row a record. seed and index name the noise streams.

    labels, noisy_labels [R, K]: of the scheme's classes. findings [R, 9]: what of the nine classes shapes the waves; the labels
    themselves where the scheme has those classes.
    """

    seed: int
    seconds: float
    scheme: str
    index: np.ndarray
    labels: np.ndarray
    noisy_labels: np.ndarray
    findings: np.ndarray
    person: Person
    look_alikes: LookAlikes
    rhythm: Rhythm
    intervals: Intervals
    waves: Waves
    fibrillation: Fibrillation
    flutter: Flutter
    atria: Atria
    pacing: Pacing
    leads: LeadField
    noise: NoiseLevels


def draw_parameters(seed: int, indices: np.ndarray, settings: Settings, seconds: float) -> Parameters:
    """The parameters of the records `indices` [R], in that order; ConfigurationError for what cannot be drawn."""
    if indices.ndim != 1 or not len(indices) or indices.min() < 0 or seed < 0:
        raise ConfigurationError(f"seed {seed} with {indices.size} indices from {indices.min(initial=0)} up cannot be simulated; "
                                 "give a list of one or more indices, none of them negative, and a seed of 0 or more")
    if not seconds >= SHORTEST:
        raise ConfigurationError(f"{seconds} s are too short for a record; simulate at least {SHORTEST:g} s")
    blocks = list(by_block(indices))
    drawn = join_rows([take_rows(_draw_block(seed, block, settings, seconds), indices[rows] % BLOCK) for block, rows in blocks])
    return take_rows(drawn, np.argsort(np.concatenate([rows for _, rows in blocks]), kind="stable"))


def _draw_block(seed: int, block: int, settings: Settings, seconds: float) -> Parameters:
    """The parameters of all records of one block."""
    index = block * BLOCK + np.arange(BLOCK)

    def component(name: str) -> np.random.Generator:
        return stream(seed, block, name)

    look_at = _nine if settings.scheme in NINE_SCHEMES else _rhythm
    return look_at(component, index, settings, seconds, seed)


def _nine(component: Component, index: np.ndarray, settings: Settings, seconds: float, seed: int) -> Parameters:
    """Records of the nine classes: the labels decide the rhythm and the waves."""
    labels = label_sets.draw_labels(component("labels"), index, settings.scheme)
    person = label_sets.draw_person(component("person"), labels)
    look = draw_look_alikes(component("look-alikes"), labels, settings.look_alikes)
    rhythm = draw_rhythm(component("rhythm"), labels, person, look.sinus_arrhythmia, seconds, settings.hard)
    return _shape(component, index, settings, seconds, seed, labels, labels, person, look, rhythm)


def _rhythm(component: Component, index: np.ndarray, settings: Settings, seconds: float, seed: int) -> Parameters:
    """Records of the rhythm schemes: event lists, with the waves that the findings shape."""
    cast = draw_cast(component, index, settings.scheme, seconds)
    look = draw_look_alikes(component("look-alikes"), cast.findings, settings.look_alikes)
    drawn = _shape(component, index, settings, seconds, seed, cast.labels, cast.findings, cast.person, look,
                   to_rhythm(cast.traces, seconds))
    paced = np.array([bool(trace.spikes) for trace in cast.traces])
    waves, qrs_paced = apply_apex(component("paced ventricle"), drawn.waves, paced)
    width = width_for(seconds)
    return dataclasses.replace(
        drawn, waves=waves,
        intervals=dataclasses.replace(drawn.intervals, qrs_pvc=np.where(paced, qrs_paced, drawn.intervals.qrs_pvc)),
        flutter=draw_flutter(component("flutter"), cast.traces),
        atria=draw_atria(component("atria"), list_events([trace.waves for trace in cast.traces], width), waves,
                         drawn.intervals.p_duration),
        pacing=Pacing(list_events([trace.spikes for trace in cast.traces], 2 * width), draw_pulse_vector(component("pulses"), BLOCK)))


def _shape(component: Component, index: np.ndarray, settings: Settings, seconds: float, seed: int, labels: np.ndarray,
           findings: np.ndarray, person: Person, look: LookAlikes, rhythm: Rhythm) -> Parameters:
    """All that follows from the rhythm and the findings [R, 9], with neither flutter, listed P waves nor pacing."""
    intervals = draw_intervals(component("intervals"), findings, person, look, rhythm, settings.hard)
    waves = draw_waves(component("morphology"), findings, person, look, intervals.qrs_narrow, settings.hard)
    return Parameters(
        seed, seconds, settings.scheme, index, labels,
        noisy_labels=label_sets.add_label_noise(component("label noise"), labels, settings.label_noise), findings=findings,
        person=person, look_alikes=look, rhythm=rhythm, intervals=intervals, waves=waves,
        fibrillation=draw_fibrillation(component("f-waves"), findings, settings.hard),
        flutter=no_flutter(BLOCK), atria=no_atria(BLOCK), pacing=Pacing(none_listed(BLOCK), np.zeros((BLOCK, 3))),
        leads=draw_lead_field(component("lead field"), waves.loop_angle),
        noise=draw_noise_levels(component("noise levels"), BLOCK, settings.noise))


def draw_intervals(rng: np.random.Generator, labels: np.ndarray, person: Person, look: LookAlikes, rhythm: Rhythm,
                   hard: float) -> Intervals:
    """Durations given labels [R, 9], age, sex and rate. Sources: ELSA-Brasil, Chapman-Shaoxing, Women's Health Initiative."""
    n = len(labels)
    avb, lbbb, rbbb = (labels[:, COLUMN[name]] for name in ("I-AVB", "LBBB", "RBBB"))

    def draw(mean, sd, low, high):
        return truncated_normal(rng, mean, sd, low, high, n) / 1000

    def with_borderline(usual: tuple, borderline: tuple, share: float) -> np.ndarray:
        return sometimes(rng, share * hard, draw(*usual), rng.uniform(*borderline, n) / 1000)

    pr = draw(158 - 0.25 * (60 / rhythm.sinus_rr - 70) + 0.25 * (person.age - 50), 17, 118, 199)
    pr = np.where(look.long_pr, rng.uniform(0.186, 0.199, n), pr)
    pr = np.where(avb, with_borderline(PR_AVB, BORDERLINE_AVB, 0.30), pr)
    pr = np.minimum(pr, 0.62 * rhythm.sinus_rr)
    ectopic_pr = np.minimum(pr[:, None] + rng.uniform(-0.01, 0.03, rhythm.rr.shape), rhythm.rr - 0.18)
    mean, *spread = P_DURATION
    p_duration = np.minimum(draw(mean + 4 * person.male, *spread), pr - 0.02)

    narrow = draw(81.5 + 8 * person.male, 10, 66, 112)
    narrow = np.where(look.incomplete_rbbb, np.minimum(narrow + 0.012, 0.116), narrow)
    right, left = with_borderline(QRS_RBBB, BORDERLINE_RBBB, 0.20), with_borderline(QRS_LBBB, BORDERLINE_LBBB, 0.15)
    qrs = np.where(lbbb, left, np.where(rbbb, right, narrow))
    qtc = draw(411 + 9 * ~person.male, 22, 355, 480) + np.where(lbbb | rbbb, 0.8 * (qrs - 0.090), 0)
    return Intervals(pr, np.maximum(ectopic_pr, 0.12), p_duration, qrs, narrow, draw(*QRS_PVC), qtc, draw(*T_PEAK_TO_END),
                     t_delay=np.where(labels[:, COLUMN["STD"]], 0.55, 0.30))    # a depressed ST stays level for 80 ms or more
