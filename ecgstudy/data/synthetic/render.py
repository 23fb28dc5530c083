"""Parameters → signals: every wave of every beat as a bump, summed, seen through the leads, with noise added."""

from __future__ import annotations

import numpy as np

from ecgstudy.data.synthetic.bumps import Bump, render_bumps
from ecgstudy.data.synthetic.fibrillation import render_f_waves
from ecgstudy.data.synthetic.flutter import render_flutter
from ecgstudy.data.synthetic.leadfield import VENTRICULAR_WAVES, to_twelve
from ecgstudy.data.synthetic.noise import render_noise
from ecgstudy.data.synthetic.pacing import render_pulses
from ecgstudy.data.synthetic.parameters import Parameters
from ecgstudy.data.synthetic.rhythm import PAC, SINUS
from ecgstudy.data.synthetic.streams import by_block, take_rows
from ecgstudy.data.synthetic.timing import Beats, time_beats
from ecgstudy.errors import ConfigurationError

# Start, peak (rise to, fall from) and end of each QRS part, as shares of its QRS.
NORMAL_QRS = {"septal": (0, 0.19, 0.19, 0.38), "main": (0.23, 0.45, 0.45, 0.65), "posterior": (0.41, 0.60, 0.60, 0.82),
              "basal": (0.64, 0.79, 0.79, 1.0)}
LBBB_QRS = {"lbbb_initial": (0, 0.12, 0.12, 0.28), "lbbb_first": (0.04, 0.33, 0.38, 0.62), "lbbb_second": (0.40, 0.66, 0.72, 1.0)}
PVC_QRS = {"pvc_first": (0, 0.38, 0.44, 0.92), "pvc_second": (0.26, 0.62, 0.66, 1.0)}
QRS_CORNER, TERMINAL_CORNER = 0.7, 0.5
SLOWEST = 100           # Hz
ST_LOCAL = 0.25         # ST shifts drive the local sources less than the waves do
BREATH_TURN, BREATH_GAIN = np.deg2rad(3), 0.04


def render(parameters: Parameters, fs: int = 100) -> np.ndarray:
    """Signals of the parameter table: float32 [R, L=12, T] in mV. ConfigurationError where fs is below SLOWEST."""
    if not fs >= SLOWEST:
        raise ConfigurationError(f"{fs} Hz are too few for a QRS; simulate at {SLOWEST} Hz or more")
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
    atria[fibrillating] += render_f_waves(take_rows(parameters.fibrillation, fibrillating), np.arange(n_samples) / fs)
    fluttering = np.nonzero(parameters.flutter.amplitude.any(1))[0]
    atria[fluttering] += render_flutter(take_rows(parameters.flutter, fluttering), np.arange(n_samples) / fs)
    paced = np.nonzero(np.isfinite(beats.pulse).any(1))[0]
    ventricles[paced, :3] += render_pulses(take_rows(parameters.pacing, paced), beats.pulse[paced], fs, n_samples)
    heart = np.concatenate([ventricles, atria], 1)                                                      # [R, 5 + 3, T]
    leads = np.concatenate([parameters.leads.ventricular, parameters.leads.atrial], 2).astype(np.float32)
    independent = np.matmul(leads, heart)                                                               # [R, 8, T]
    independent += render_noise(parameters.seed, parameters.index, parameters.noise, fs, n_samples)
    return to_twelve(independent)


class _Sources:
    """Turns a wave's vector [R, 3] into that of each beat [R, B, C]: breathing tilts and scales it."""

    def __init__(self, parameters: Parameters) -> None:
        self.breath = parameters.rhythm.breath
        self.local_share = parameters.leads.local_share

    def dipole(self, vector: np.ndarray) -> np.ndarray:
        """[R, B, 3]"""
        x, y, z = np.moveaxis(vector[:, None, :] * (1 + BREATH_GAIN * self.breath)[..., None], -1, 0)
        tilt = BREATH_TURN * self.breath
        return np.stack([x - tilt * y, y + tilt * x, z + 0.7 * tilt * x], -1)

    def ventricular(self, wave: str, vector: np.ndarray, local: float = 1.0) -> np.ndarray:
        """[R, B, 3 + N_LOCAL]: the dipole, and the local sources that this wave drives in proportion."""
        dipole = self.dipole(vector)
        share = local * self.local_share[:, None, VENTRICULAR_WAVES.index(wave)]                        # [R, 1, N_LOCAL]
        return np.concatenate([dipole, np.linalg.norm(dipole, axis=2, keepdims=True) * share], 2)


def qrs_bumps(parameters: Parameters, beats: Beats) -> list[Bump]:
    """Ventricular activation: the normal path, with its right and left bundle branch block, and from a focus."""
    waves, intervals, sources = parameters.waves, parameters.intervals, _Sources(parameters)
    narrow, qrs, qrs_pvc = (getattr(intervals, name)[:, None] for name in ("qrs_narrow", "qrs", "qrs_pvc"))
    on = beats.qrs_on
    bumps = []

    def add(wave: str, vector: np.ndarray, shares: tuple, length: np.ndarray, present: np.ndarray) -> None:
        bumps.append(Bump(*(on + share * length for share in shares), sources.ventricular(wave, vector), present, QRS_CORNER))

    for wave, shares in NORMAL_QRS.items():
        lost = (wave == "basal") & (qrs > narrow)      # a blocked right ventricle hides the last normal forces
        add(wave, getattr(waves, wave), shares, narrow, beats.normal_path & ~lost)
    for i in range(2):
        centre, half = waves.slur_centre[:, [i]], waves.slur_half_width[:, [i]]
        shares = (centre - half, centre, centre, np.minimum(centre + half, 1.0))
        add(f"slur {i}", waves.slur[:, i], shares, narrow, beats.normal_path)
    start, length = on + 0.50 * narrow, beats.qrs_off - on - 0.50 * narrow
    bumps.append(Bump(start, start + 0.48 * length, start + 0.54 * length, beats.qrs_off,
                      sources.ventricular("right_terminal", waves.right_terminal), beats.normal_path, TERMINAL_CORNER))
    for wave, shares in LBBB_QRS.items():
        add(wave, getattr(waves, wave), shares, qrs, beats.left_block)
    for wave, shares in PVC_QRS.items():
        add(wave, getattr(waves, wave), shares, qrs_pvc, beats.ventricular)
    return bumps


def repolarisation_bumps(parameters: Parameters, beats: Beats) -> list[Bump]:
    """T waves and ST shifts. An ST shift starts at the J point and leaves with the T wave."""
    waves, sources = parameters.waves, _Sources(parameters)
    off, peak, gone = beats.qrs_off, beats.t_peak, beats.t_gone
    conducted = ~beats.ventricular
    shift_on, shift_full = off - 0.020, off + 0.020
    held = np.maximum(off + 0.65 * (peak - off), shift_full)
    slope_full = np.maximum(peak - 0.045, shift_full)
    t, pvc_t = sources.ventricular("t", waves.t), sources.ventricular("pvc_t", waves.pvc_t)
    st, st_slope = sources.ventricular("st", waves.st, ST_LOCAL), sources.ventricular("st_slope", waves.st_slope, ST_LOCAL)
    return [Bump(beats.t_on, peak, peak, gone, t, conducted),
            Bump(off - 0.010, peak - 0.010, peak - 0.010, gone, pvc_t, beats.ventricular),
            Bump(shift_on, shift_full, held, gone, st, conducted),
            Bump(shift_on, slope_full, slope_full + 0.005, gone, st_slope, conducted)]


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
    ectopic = sources.dipole(waves.p_ectopic)
    bumps.append(Bump(on, on + 0.50 * length, on + 0.55 * length, beats.p_off, ectopic, beats.kind == PAC))
    on, length = beats.wave_on, beats.wave_off - beats.wave_on
    bumps.append(Bump(on, on + 0.50 * length, on + 0.55 * length, beats.wave_off, parameters.atria.vector, np.isfinite(on)))
    return bumps
