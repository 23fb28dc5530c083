"""The same record with one feature removed: what a label's evidence is worth, by taking it away.

Nothing else moves: noise, lead vectors, all other waves and their times stay. Only what follows from the removed feature
changes with it (a T wave that a blocked bundle had turned, the QT of a beat whose interval changes).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from ecgstudy.data.synthetic.events import CLOSEST
from ecgstudy.data.synthetic.labels import COLUMN
from ecgstudy.data.synthetic.parameters import Parameters
from ecgstudy.data.synthetic.rhythm import AF, ATRIAL, PAC, PACED, PVC, SINUS
from ecgstudy.data.synthetic.schemes import classes_of
from ecgstudy.errors import unknown

USUAL_PR = 0.160        # s
POSTERIOR_LEFT_BY_RBBB = 0.55


def without(parameters: Parameters, feature: str) -> Parameters:
    """The records without `feature`, one of FEATURES; records that lack it stay as they are.

    Labels that the feature alone stands for are taken off; AF, which is told both by f-waves and by irregular beats, stays,
    and its spans say where the f-waves had been. Of pacing, "pacing_pulses" takes the pulses alone and "pacing" the paced QRS too.
    Raises ConfigurationError for an unknown feature.
    """
    if feature not in FEATURES:
        raise unknown("feature", feature, FEATURES)
    return FEATURES[feature](parameters)


def _f_waves(p: Parameters) -> Parameters:
    """The atria stand still."""
    return dataclasses.replace(p, fibrillation=dataclasses.replace(p.fibrillation, amplitude=0 * p.fibrillation.amplitude))


def _flutter_waves(p: Parameters) -> Parameters:
    """The beats stay; a flat line between them."""
    still = dataclasses.replace(p, flutter=dataclasses.replace(p.flutter, amplitude=0 * p.flutter.amplitude))
    return _unlabelled(still, "AF" if p.scheme.endswith("chapman") else "AFLT")


def _p_waves(p: Parameters) -> Parameters:
    """No P wave, be it sinus, ectopic, retrograde or dissociated."""
    waves = dataclasses.replace(p.waves, p_right=0 * p.waves.p_right, p_left=0 * p.waves.p_left, p_ectopic=0 * p.waves.p_ectopic)
    return dataclasses.replace(p, waves=waves, atria=dataclasses.replace(p.atria, vector=0 * p.atria.vector))


def _long_pr(p: Parameters) -> Parameters:
    """P waves come later, at a usual distance from the QRS."""
    usual = np.where(p.findings[:, COLUMN["I-AVB"]], np.minimum(p.intervals.pr, USUAL_PR), p.intervals.pr)
    shorter = p.intervals.ectopic_pr - np.maximum(p.intervals.pr - usual, 0)[:, None]
    ectopic = np.where(p.findings[:, [COLUMN["I-AVB"]]], np.maximum(shorter, 0.12), p.intervals.ectopic_pr)
    duration = np.minimum(p.intervals.p_duration, usual - 0.02)
    return _take_off(dataclasses.replace(p, intervals=dataclasses.replace(p.intervals, pr=usual, ectopic_pr=ectopic,
                                                                          p_duration=duration)), "I-AVB")


def _irregular_rr(p: Parameters) -> Parameters:
    """The same beats at one interval, from the first to the last that the record shows; each beat keeps its shape and P wave."""
    r = p.rhythm.r
    shown = (r >= 0) & (r < p.seconds)
    first, last = shown.argmax(1)[:, None], (r.shape[1] - 1 - shown[:, ::-1].argmax(1))[:, None]
    start, end = np.take_along_axis(r, first, 1), np.take_along_axis(r, last, 1)
    interval = np.maximum((end - start) / np.maximum(last - first, 1), CLOSEST)
    regular = start + (np.arange(r.shape[1]) - first) * interval
    return dataclasses.replace(p, rhythm=dataclasses.replace(p.rhythm, r=regular, rr=np.broadcast_to(interval, r.shape).copy()))


def _st_shift(p: Parameters) -> Parameters:
    """The ST segments at the level they would have without the labelled shift; T waves stay."""
    w = p.waves
    both = (p.findings[:, COLUMN["STD"]] & p.findings[:, COLUMN["STE"]])[:, None]
    shift = w.st_elevation + np.where(both, 0, w.st_depression - 0.3 * w.st_slope)
    waves = dataclasses.replace(w, st=w.st - shift, st_unblocked=w.st_unblocked - shift, st_slope=0 * w.st_slope,
                                st_depression=0 * w.st_depression, st_elevation=0 * w.st_elevation)
    return _take_off(dataclasses.replace(p, waves=waves), "STD", "STE")


def _bundle_branch_block(p: Parameters) -> Parameters:
    """The normal path at the same QRS onset; the T wave is no longer turned; its end stays."""
    left, right = (p.findings[:, COLUMN[name]][:, None] for name in ("LBBB", "RBBB"))
    blocked, w, intervals, rhythm = left | right, p.waves, p.intervals, p.rhythm
    waves = dataclasses.replace(w, t=np.where(blocked, w.t_unblocked, w.t), st=np.where(blocked, w.st_unblocked, w.st),
                                posterior=np.where(right, w.posterior / POSTERIOR_LEFT_BY_RBBB, w.posterior),
                                right_terminal=np.where(blocked, 0, w.right_terminal))
    narrow, qrs = intervals.qrs_narrow[:, None], intervals.qrs[:, None]
    earlier = np.where(left & ~np.isin(rhythm.kind, (PVC, PACED)), 0.40 * qrs - 0.45 * np.minimum(qrs, narrow), 0)
    return _take_off(dataclasses.replace(
        p, waves=waves, rhythm=dataclasses.replace(rhythm, r=rhythm.r - earlier),
        intervals=dataclasses.replace(intervals, qrs=np.where(blocked[:, 0], intervals.qrs_narrow, intervals.qrs))), "LBBB", "RBBB")


def _ectopy(p: Parameters) -> Parameters:
    """Each early beat is a usual one, midway between its neighbours, which do not move."""
    rhythm = p.rhythm
    early = np.isin(rhythm.kind, (PAC, PVC))
    early[:, [0, -1]] = False
    r = rhythm.r.copy()
    r[:, 1:-1] = np.where(early[:, 1:-1], (r[:, :-2] + r[:, 2:]) / 2, r[:, 1:-1])
    rr = np.where(early, r - np.roll(r, 1, 1), rhythm.rr)
    rr = np.where(np.roll(early, 1, 1), r - np.roll(r, 1, 1), rr)
    usual = np.where(p.findings[:, [COLUMN["AF"]]], AF, SINUS)
    changed = dataclasses.replace(rhythm, r=r, rr=rr, kind=np.where(early, usual, rhythm.kind))
    return _take_off(dataclasses.replace(p, rhythm=changed), "PAC", "PVC", "BIGU", "TRIGU")


def _pacing_pulses(p: Parameters) -> Parameters:
    """No pulse is seen; the beats stay paced."""
    return dataclasses.replace(p, pacing=dataclasses.replace(p.pacing, vector=0 * p.pacing.vector))


def _pacing(p: Parameters) -> Parameters:
    """No pulse, and each driven QRS takes the normal path from its onset; the P waves stay."""
    rhythm, intervals = p.rhythm, p.intervals
    paced = rhythm.kind == PACED
    on = rhythm.r - 0.42 * intervals.qrs_pvc[:, None]                       # of a paced beat
    before_r = 0.45 * np.minimum(intervals.qrs, intervals.qrs_narrow)[:, None]
    pulses = dataclasses.replace(p.pacing.pulses, offset=np.full(p.pacing.pulses.offset.shape, np.nan))
    changed = dataclasses.replace(rhythm, r=np.where(paced, on + before_r, rhythm.r), kind=np.where(paced, ATRIAL, rhythm.kind))
    return _take_off(dataclasses.replace(p, rhythm=changed, pacing=dataclasses.replace(p.pacing, pulses=pulses)), "PACE")


def _take_off(p: Parameters, *names: str) -> Parameters:
    """The records without these labels, and without the findings of the same name."""
    return dataclasses.replace(_unlabelled(p, *names), findings=p.findings & ~np.isin(list(COLUMN), names))


def _unlabelled(p: Parameters, *names: str) -> Parameters:
    others = ~np.isin(classes_of(p.scheme), names)
    return dataclasses.replace(p, labels=p.labels & others, noisy_labels=p.noisy_labels & others)


FEATURES: dict[str, Callable[[Parameters], Parameters]] = {
    "f_waves": _f_waves, "flutter_waves": _flutter_waves, "p_waves": _p_waves, "long_pr": _long_pr, "irregular_rr": _irregular_rr,
    "st_shift": _st_shift, "bundle_branch_block": _bundle_branch_block, "ectopy": _ectopy, "pacing_pulses": _pacing_pulses,
    "pacing": _pacing,
}
