"""Parameters → signals: every wave of every beat as a bump, summed, seen through the leads, with noise added."""

from __future__ import annotations

import numpy as np

from ecgstudy.data.synthetic.bumps import Bump, render_bumps
from ecgstudy.data.synthetic.leadfield import to_twelve
from ecgstudy.data.synthetic.noise import render_noise
from ecgstudy.data.synthetic.parameters import Fibrillation, Parameters
from ecgstudy.data.synthetic.rhythm import PAC, SINUS
from ecgstudy.data.synthetic.streams import by_block, take_rows
from ecgstudy.data.synthetic.timing import Beats, time_beats

# Start, peak (rise to, fall from) and end of each QRS part, as shares of its QRS.
NORMAL_QRS = {"septal": (0, 0.19, 0.19, 0.38), "main": (0.23, 0.45, 0.45, 0.65), "posterior": (0.41, 0.60, 0.60, 0.82),
              "basal": (0.64, 0.79, 0.79, 1.0)}
LBBB_QRS = {"lbbb_initial": (0, 0.12, 0.12, 0.28), "lbbb_first": (0.04, 0.33, 0.38, 0.62), "lbbb_second": (0.40, 0.66, 0.72, 1.0)}
PVC_QRS = {"pvc_first": (0, 0.38, 0.44, 0.92), "pvc_second": (0.26, 0.62, 0.66, 1.0)}
QRS_CORNER, TERMINAL_CORNER = 0.7, 0.5
ST_LOCAL = 0.25         # ST shifts drive the local sources less than the waves do
BREATH_TURN, BREATH_GAIN = np.deg2rad(3), 0.04


def render(parameters: Parameters, fs: int = 100) -> np.ndarray:
    """Signals of the parameter table: float32 [R, L=12, T] in mV."""
    signals = np.empty((len(parameters.index), 12, round(parameters.seconds * fs)), np.float32)
    for _, rows in by_block(parameters.index):
        signals[rows] = _render_block(take_rows(parameters, rows), fs, signals.shape[2])
    return signals


def _render_block(parameters: Parameters, fs: int, n_samples: int) -> np.ndarray:
    """float32 [R, 12, T] of records of one block."""
    beats = time_beats(parameters)
    ventricles = render_bumps(qrs_bumps(parameters, beats) + repolarisation_bumps(parameters, beats), fs, n_samples)
    atria = render_bumps(p_bumps(parameters, beats), fs, n_samples)
    fibrillating = np.nonzero(parameters.fibrillation.amplitude.any(1))[0]
    atria[fibrillating] += _f_waves(take_rows(parameters.fibrillation, fibrillating), np.arange(n_samples) / fs)
    heart = np.concatenate([ventricles, atria], 1)                                                      # [R, 5 + 3, T]
    leads = np.concatenate([parameters.leads.ventricular, parameters.leads.atrial], 2).astype(np.float32)
    independent = np.matmul(leads, heart)                                                               # [R, 8, T]
    independent += render_noise(parameters.seed, parameters.index, parameters.noise, fs, n_samples)
    return to_twelve(independent)


class _Sources:
    """Turns a wave's vector [R, 3] into that of each beat [R, B, 3 (+ local sources)]: breathing tilts and scales it."""

    def __init__(self, parameters: Parameters) -> None:
        self.breath = parameters.rhythm.breath
        self.local_share = parameters.leads.local_share
        self.used = 0

    def dipole(self, vector: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis(vector[:, None, :] * (1 + BREATH_GAIN * self.breath)[..., None], -1, 0)
        tilt = BREATH_TURN * self.breath
        return np.stack([x - tilt * y, y + tilt * x, z + 0.7 * tilt * x], -1)

    def with_local(self, vector: np.ndarray, strength: float = 1.0) -> np.ndarray:
        """Each call takes the next of the record's local shares."""
        share = strength * self.local_share[:, self.used]                                               # [R, N_LOCAL]
        self.used += 1
        dipole = self.dipole(vector)
        return np.concatenate([dipole, np.linalg.norm(dipole, axis=2, keepdims=True) * share[:, None]], 2)


def qrs_bumps(parameters: Parameters, beats: Beats) -> list[Bump]:
    """Ventricular activation: the normal path, with its right and left bundle branch block, and from a focus."""
    waves, intervals, sources = parameters.waves, parameters.intervals, _Sources(parameters)
    narrow, qrs, qrs_pvc = (getattr(intervals, name)[:, None] for name in ("qrs_narrow", "qrs", "qrs_pvc"))
    on = beats.qrs_on
    bumps = []

    def add(vector: np.ndarray, shares: tuple, length: np.ndarray, present: np.ndarray) -> None:
        bumps.append(Bump(*(on + share * length for share in shares), sources.with_local(vector), present, QRS_CORNER))

    for name, shares in NORMAL_QRS.items():
        blocked = name == "basal"                      # the last normal forces are lost in those of the blocked ventricle
        add(getattr(waves, name), shares, narrow, beats.normal_path & ~(blocked & (qrs > narrow)))
    for i in range(2):
        centre, half = waves.slur_centre[:, [i]], waves.slur_half_width[:, [i]]
        add(waves.slur[:, i], (centre - half, centre, centre, np.minimum(centre + half, 1.0)), narrow, beats.normal_path)
    start, length = on + 0.50 * narrow, beats.qrs_off - on - 0.50 * narrow
    bumps.append(Bump(start, start + 0.48 * length, start + 0.54 * length, beats.qrs_off, sources.with_local(waves.right_terminal),
                      beats.normal_path, TERMINAL_CORNER))
    for name, shares in LBBB_QRS.items():
        add(getattr(waves, name), shares, qrs, beats.left_block)
    for name, shares in PVC_QRS.items():
        add(getattr(waves, name), shares, qrs_pvc, beats.ventricular)
    return bumps


def repolarisation_bumps(parameters: Parameters, beats: Beats) -> list[Bump]:
    """T waves and ST shifts. An ST shift starts at the J point and leaves with the T wave."""
    waves, sources = parameters.waves, _Sources(parameters)
    sources.used = 12                                  # after the QRS parts
    off, peak, gone = beats.qrs_off, beats.t_peak, beats.t_gone
    conducted = ~beats.ventricular
    shift_on, shift_full = off - 0.020, off + 0.020
    held = np.maximum(off + 0.65 * (peak - off), shift_full)
    slope_full = np.maximum(peak - 0.045, shift_full)
    return [
        Bump(beats.t_on, peak, peak, gone, sources.with_local(waves.t), conducted),
        Bump(off - 0.010, peak - 0.010, peak - 0.010, gone, sources.with_local(waves.pvc_t), beats.ventricular),
        Bump(shift_on, shift_full, held, gone, sources.with_local(waves.st, ST_LOCAL), conducted),
        Bump(shift_on, slope_full, slope_full + 0.005, gone, sources.with_local(waves.st_slope, ST_LOCAL), conducted),
    ]


def p_bumps(parameters: Parameters, beats: Beats) -> list[Bump]:
    """Atrial activation: right then left atrium in a sinus beat, one ectopic wave before a PAC, none in fibrillation."""
    waves, sources = parameters.waves, _Sources(parameters)
    right, left = sources.dipole(waves.p_right), sources.dipole(waves.p_left)
    length = parameters.intervals.p_duration[:, None]
    bumps = []
    for on, present in ((beats.p_on, beats.kind == SINUS), (beats.marching_p_on, np.isfinite(beats.marching_p_on))):
        bumps += [Bump(on, on + 0.38 * length, on + 0.38 * length, on + 0.80 * length, right, present),
                  Bump(on + 0.25 * length, on + 0.65 * length, on + 0.65 * length, on + length, left, present)]
    on, length = beats.p_on, beats.p_off - beats.p_on
    bumps.append(Bump(on, on + 0.50 * length, on + 0.55 * length, beats.p_off, sources.dipole(waves.p_ectopic), beats.kind == PAC))
    return bumps


def _f_waves(f: Fibrillation, t: np.ndarray) -> np.ndarray:
    """Saw-tooth of three harmonics, slowly modulated in rate and size: float32 [R, 3, T]; Y points against X and Z."""
    t = t.astype(np.float32)

    def turning(rate: np.ndarray, phase: np.ndarray) -> np.ndarray:
        return (2 * np.pi * rate).astype(np.float32)[..., None] * t + phase.astype(np.float32)[..., None]

    angle = turning(f.rate, f.phase)
    angle += f.frequency_depth.astype(np.float32)[..., None] * np.sin(turning(f.frequency_rate, f.frequency_phase))
    size = (f.amplitude * (1, -1, 1)).astype(np.float32)[..., None]
    size = size * (1 + np.float32(F_MODULATION) * np.sin(turning(f.amplitude_rate, f.amplitude_phase)))
    return size * sum(np.float32(2 / (h * np.pi)) * np.sin(h * angle) for h in F_HARMONICS)


F_MODULATION = 0.35
F_HARMONICS = (1, 2, 3)


def f_wave_rms(parameters: Parameters) -> np.ndarray:
    """Root mean square of the f-waves in each lead [R, 12], mV; the axes beat apart, so their powers add."""
    power = parameters.fibrillation.amplitude ** 2 * (1 + F_MODULATION ** 2 / 2) * sum((2 / (h * np.pi)) ** 2 / 2 for h in F_HARMONICS)
    return np.sqrt(np.einsum("rlk,rk->rl", to_twelve(parameters.leads.atrial) ** 2, power))
