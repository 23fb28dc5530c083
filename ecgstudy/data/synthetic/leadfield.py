"""From heart to electrodes: how the eight independent leads see the dipole, and the twelve leads that follow from them.

The dipole's lead vectors are Dower's (Dower 1980; Edenbrandt & Pahlm 1988), a little different in each record.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Rows I, II, V1 … V6; columns X, Y, Z.
DOWER = np.array([[0.632, -0.235, 0.059], [0.235, 1.066, -0.132], [-0.515, 0.157, -0.917], [0.044, 0.164, -1.387],
                  [0.882, 0.098, -1.277], [1.213, 0.127, -0.601], [1.125, 0.127, -0.086], [0.831, 0.076, 0.230]])
ATRIAL_GAIN = np.array([1, 1, 0.7, 0.55, 0.55, 0.5, 0.5, 0.5])  # Dower's matrix doubles the P wave of V2 to V6
LOCAL_GAIN = np.array([0.10, 0.10, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8])  # of the sources that are no dipole
N_LOCAL = 2
VENTRICULAR_WAVES = ("septal", "main", "posterior", "basal", "slur 0", "slur 1", "right_terminal", "lbbb_initial", "lbbb_first",
                     "lbbb_second", "pvc_first", "pvc_second", "t", "pvc_t", "st", "st_slope")
PLACEMENT = np.array([0.01, 0.01, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03])   # SD that electrode placement adds; wider on the chest


@dataclass(frozen=True)
class LeadField:
    """Lead vectors of the eight independent leads.

    ventricular [R, 8, 3 + N_LOCAL]: X, Y, Z and two weak local sources. atrial [R, 8, 3]. local_share [R, W, N_LOCAL]: how
    strongly each of VENTRICULAR_WAVES drives the local sources, relative to its dipole.
    """

    ventricular: np.ndarray
    atrial: np.ndarray
    local_share: np.ndarray


def draw_lead_field(rng: np.random.Generator, loop_angle: np.ndarray) -> LeadField:
    """Dower's matrix with jitter; loop_angle [R] is the turn of the QRS loop.

    Most of the variation of the frontal axis lies in how the limb frame sits about the heart: so the chest rows are turned
    back by 65 % of it, without which an unusual axis would spoil V5 and V6.
    """
    n = len(loop_angle)
    dipole = DOWER * (1 + rng.normal(0, 0.08, (n, 8, 3))) + rng.standard_normal((n, 8, 3)) * PLACEMENT[:, None]
    c, s = np.cos(0.65 * loop_angle)[:, None], np.sin(0.65 * loop_angle)[:, None]
    x, y = dipole[:, 2:, 0].copy(), dipole[:, 2:, 1].copy()
    dipole[:, 2:, 0], dipole[:, 2:, 1] = x * c - y * s, x * s + y * c
    local = rng.standard_normal((n, 8, N_LOCAL)) * LOCAL_GAIN[:, None]
    atrial = DOWER * (1 + rng.normal(0, 0.08, (n, 8, 3))) * ATRIAL_GAIN[:, None]
    return LeadField(np.concatenate([dipole, local], 2), atrial, rng.normal(0, 0.2, (n, len(VENTRICULAR_WAVES), N_LOCAL)))


def to_twelve(independent: np.ndarray) -> np.ndarray:
    """[R, 8, …] of I, II, V1 … V6 → [R, 12, …] in the study's order, by the laws of Einthoven and Goldberger."""
    one, two = independent[:, 0], independent[:, 1]
    limb = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2], 1)
    return np.concatenate([limb, independent[:, 2:]], 1)
