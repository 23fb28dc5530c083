"""When each wave begins and ends: the beat table, from rhythm and intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgstudy.data.synthetic.labels import COLUMN
from ecgstudy.data.synthetic.parameters import Parameters
from ecgstudy.data.synthetic.rhythm import PAC, PVC, REENTRY, SINUS, VENTRICULAR

TANGENT = 0.82          # a sin² fall meets its steepest tangent's foot at this share of its length


@dataclass(frozen=True)
class Beats:
    """Times [R, B] in seconds and kinds of beats. P times are NaN where a beat has no P wave of its own.

    t_off is where the tangent to the T wave's steepest fall meets the baseline, as readers measure it; t_gone where the
    wave is exactly zero. marching_p_on: the sinus P wave that falls into a fully compensated PVC, else NaN. The masks say
    which way a beat's ventricles are activated: along the normal path, along it with a left bundle branch block, or from a
    ventricular focus.

    wave_on, wave_off [R, A]: the listed P waves, NaN where none; those that precede their beat's QRS are also its p_on, p_off.
    pulse [R, S]: the pacing pulses, NaN where none.
    """

    r: np.ndarray
    kind: np.ndarray
    p_on: np.ndarray
    p_off: np.ndarray
    marching_p_on: np.ndarray
    qrs_on: np.ndarray
    qrs_off: np.ndarray
    t_on: np.ndarray
    t_peak: np.ndarray
    t_off: np.ndarray
    t_gone: np.ndarray
    normal_path: np.ndarray
    left_block: np.ndarray
    ventricular: np.ndarray
    wave_on: np.ndarray
    wave_off: np.ndarray
    pulse: np.ndarray

    @property
    def next_qrs(self) -> np.ndarray:
        """Onset of the following QRS [R, B] in seconds; NaN after the last beat."""
        return np.concatenate([self.qrs_on[:, 1:], np.full((len(self.r), 1), np.nan)], 1)


def time_beats(parameters: Parameters) -> Beats:
    """The waves of every beat in and around the record."""
    rhythm, intervals = parameters.rhythm, parameters.intervals
    lbbb = parameters.findings[:, [COLUMN["LBBB"]]]
    ventricular = np.isin(rhythm.kind, VENTRICULAR)
    pr, p_duration, narrow, qrs, qrs_pvc = (getattr(intervals, name)[:, None] for name in
                                            ("pr", "p_duration", "qrs_narrow", "qrs", "qrs_pvc"))
    before_r = np.where(lbbb, 0.40 * qrs, 0.45 * np.minimum(qrs, narrow))           # QRS onset to R
    on = rhythm.r - np.where(ventricular, 0.42 * qrs_pvc, before_r)
    off = on + np.where(ventricular, qrs_pvc, qrs)
    t_on, t_peak, t_off = _t_waves(parameters, on, off)

    p_on = np.select([rhythm.kind == SINUS, rhythm.kind == PAC], [on - pr, on - intervals.ectopic_pr], np.nan)
    p_length = np.where(rhythm.kind == PAC, np.minimum(0.9 * p_duration, intervals.ectopic_pr - 0.015), p_duration)
    marching = rhythm.r - rhythm.rr + rhythm.sinus_rr[:, None] - pr - before_r
    marches = (rhythm.kind == PVC) & rhythm.compensated[:, None] & (marching >= on)          # no P wave before a PVC
    wave_on, wave_off = parameters.atria.times(on)
    p_on, p_off = parameters.atria.lend(wave_on, wave_off, p_on, p_on + p_length)
    return Beats(rhythm.r, rhythm.kind, p_on, p_off, np.where(marches, marching, np.nan), on, off, t_on, t_peak, t_off,
                 t_peak + (t_off - t_peak) / TANGENT, ~ventricular & ~lbbb, ~ventricular & lbbb, ventricular, wave_on, wave_off,
                 parameters.pacing.pulses.times(on))


def _t_waves(parameters: Parameters, on: np.ndarray, off: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """T onset, peak and (tangent) end: Framingham's slope on a mean of the basic and the last RR, kept inside the next RR."""
    rhythm, intervals = parameters.rhythm, parameters.intervals
    ventricular = np.isin(rhythm.kind, VENTRICULAR)
    rr = 0.5 * rhythm.sinus_rr[:, None] + 0.5 * np.clip(rhythm.rr, 0.4, 1.6)
    next_kind = np.concatenate([rhythm.kind[:, 1:], rhythm.kind[:, -1:]], 1)
    room = np.maximum(rhythm.next_rr, np.where(next_kind == REENTRY, 0.0, 0.36))       # a re-entry outpaces every other rhythm
    qt = np.minimum(np.clip(intervals.qtc[:, None] + 0.154 * (rr - 1), 0.24, 0.56), 0.80 * room)
    wider = (intervals.qrs_pvc - intervals.qrs_narrow)[:, None]
    qt = np.where(ventricular, np.minimum(qt + wider, 0.85 * room), qt)
    t_off = np.maximum(on + qt, off + 0.10)
    t_peak = np.maximum(t_off - intervals.t_peak_to_end[:, None], off + 0.05)
    return off + intervals.t_delay[:, None] * (t_peak - off), t_peak, t_off


def in_view(beats: Beats, seconds: float) -> np.ndarray:
    """bool [R, B]: beats whose R lies in the record."""
    return (beats.r >= 0) & (beats.r < seconds)
