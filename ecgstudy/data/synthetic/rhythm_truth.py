"""Ground truth of the rhythm schemes: when and where each rhythm shows.

A rhythm is told by other things than a QRS shape, so its evidence is stated: the P waves and what follows them, the waves of
the atria between the beats, the early beats, the pulses, or the run.
"""

from __future__ import annotations

import numpy as np

from ecgstudy.data.synthetic.events import FREE
from ecgstudy.data.synthetic.fibrillation import f_wave_power
from ecgstudy.data.synthetic.flutter import flutter_size
from ecgstudy.data.synthetic.leadfield import to_twelve
from ecgstudy.data.synthetic.parameters import Parameters
from ecgstudy.data.synthetic.rhythm import ATRIAL, PAC, PACED, PVC, REENTRY, SINUS
from ecgstudy.data.synthetic.schemes import classes_of
from ecgstudy.data.synthetic.timing import Beats

VISIBLE_P, VISIBLE_F = 0.020, 0.015     # mV
SHORTEST_GAP = 0.06                     # s; waves of the atria are not looked for in a shorter one

SINUS_LED = ("SR", "STACH", "SARRH", "SBRAD", "SB", "ST", "SA")
RUNS = ("SVTAC", "PSVT", "SVT", "AVNRT", "AVRT")
FOCAL = ("SVARR", "AT", "SAAWR")
PATTERNS = ("BIGU", "TRIGU")
Evidence = tuple[np.ndarray, np.ndarray, np.ndarray]


def evidence(parameters: Parameters, beats: Beats) -> dict[str, Evidence]:
    """label → start, end (s) and whether it shows, all [R, B] (of pacing [R, S]).

    Sinus rhythms: P onset to QRS end of each sinus beat. AFIB: T end to the next QRS. Flutter: QRS end to the next QRS.
    Tachycardias: QRS onset to the next QRS of each beat of the run, to the T end of its last. SVARR, AT, SAAWR: P onset to QRS
    end of the beats that a focus leads. BIGU and TRIGU: the early beats, P to QRS end or QRS to T end. PACE: from a pulse to the
    end of the QRS that it drives, or of the P wave where it drives the atrium alone.
    """
    in_run = beats.kind == REENTRY
    run_goes_on = np.concatenate([in_run[:, 1:], np.zeros((len(in_run), 1), bool)], 1)
    early = np.isin(beats.kind, (PAC, PVC))
    sinus = beats.p_on, beats.qrs_off, beats.kind == SINUS
    focal = beats.p_on, beats.qrs_off, beats.kind == ATRIAL
    run = beats.qrs_on, np.where(run_goes_on, beats.next_qrs, beats.t_off), in_run
    pattern = np.where(beats.kind == PAC, beats.p_on, beats.qrs_on), np.where(beats.kind == PAC, beats.qrs_off, beats.t_off), early
    flutter = beats.qrs_off, beats.next_qrs, beats.next_qrs - beats.qrs_off > SHORTEST_GAP
    found = dict.fromkeys(SINUS_LED, sinus) | dict.fromkeys(RUNS, run) | dict.fromkeys(FOCAL, focal) | dict.fromkeys(PATTERNS, pattern)
    found |= {"AFIB": (beats.t_off, beats.next_qrs, beats.next_qrs - beats.t_off > SHORTEST_GAP), "AFLT": flutter, "AF": flutter,
              "PACE": _pulses(parameters, beats)}
    return {name: found[name] for name in classes_of(parameters.scheme)}


def _pulses(parameters: Parameters, beats: Beats) -> Evidence:
    beat = np.maximum(parameters.pacing.pulses.beat, 0)
    driven = np.where(beats.kind == PACED, beats.qrs_off, beats.p_off)
    return beats.pulse, np.take_along_axis(driven, beat, 1) if beat.size else beats.pulse, np.isfinite(beats.pulse)


def showing_leads(parameters: Parameters) -> np.ndarray:
    """bool [R, K, 12]: leads with visible P waves, f-waves (at least 3) or flutter waves (at least 3); all leads where a beat
    or its time is the evidence."""
    classes, atrial = classes_of(parameters.scheme), to_twelve(parameters.leads.atrial)
    waves, atria = parameters.waves, parameters.atria
    fibrillation = at_least(np.sqrt(seen(atrial ** 2, f_wave_power(parameters.fibrillation))), VISIBLE_F, 3)
    flutter = at_least(flutter_size(parameters.flutter, parameters.leads.atrial), 2 * VISIBLE_F, 3)
    sinus = at_least(np.abs(seen(atrial, (waves.p_right + waves.p_left) / 2)), VISIBLE_P, 1)
    leading = ((atria.waves.beat != FREE) & (atria.waves.offset < 0))[..., None] * atria.vector
    focal = at_least(np.abs(np.einsum("rlk,rak->ral", atrial, leading)).max(1), VISIBLE_P, 1)
    everywhere = np.ones(sinus.shape, bool)
    seen_in = dict.fromkeys(SINUS_LED, sinus) | dict.fromkeys(FOCAL, focal) | {"AFIB": fibrillation, "AFLT": flutter, "AF": flutter}
    return np.stack([seen_in.get(name, everywhere) for name in classes], 1) & parameters.labels[..., None]


def seen(field: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """What the leads [R, 12, 3] see of a vector [R, 3]: [R, 12]."""
    return np.einsum("rlk,rk->rl", field, vector)


def at_least(level: np.ndarray, threshold: float, n_leads: int) -> np.ndarray:
    """bool [R, 12]: leads that reach the threshold, and in any case the n_leads that come nearest."""
    return level >= np.minimum(threshold, np.sort(level, 1)[:, [-n_leads]])


