"""What each wave looks like: dipole vectors in millivolts, axes X to the left, Y to the feet, Z to the back.

A record's vectors come from the tables below, turned in the frontal plane to its electrical axis and scaled to its
amplitude; conduction defects, ST shifts and look-alikes then replace or add to them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgstudy.data.synthetic.labels import COLUMN, Person
from ecgstudy.data.synthetic.streams import log_normal, sometimes

# name: mean (X, Y, Z), SD (X, Y, Z), mV
VECTORS = {
    "septal": ((-0.13, -0.02, -0.19), (0.05, 0.05, 0.08)),
    "main": ((1.02, 0.70, 0.02), (0.14, 0.13, 0.16)),
    "posterior": ((0.30, 0.22, 0.84), (0.12, 0.12, 0.22)),
    "basal": ((-0.18, -0.14, 0.22), (0.10, 0.10, 0.10)),
    "t": ((0.25, 0.155, -0.15), (0.05, 0.04, 0.08)),
    "st": ((0.012, 0.008, -0.012), (0.010, 0.010, 0.018)),
    "p_right": ((0.050, 0.075, -0.040), (0.014, 0.016, 0.015)),
    "p_left": ((0.085, 0.060, 0.030), (0.018, 0.016, 0.018)),
    # right bundle branch block: late forces to the right and front, and the T change they bring
    "rbbb_terminal": ((-0.32, -0.05, -0.62), (0.09, 0.07, 0.15)),
    "rbbb_t": ((0.03, 0.00, 0.22), (0.00, 0.00, 0.05)),
    # left bundle branch block: septum from the right, then two slow halves with a notch between
    "lbbb_initial": ((0.16, 0.05, -0.26), (0.05, 0.05, 0.05)),
    "lbbb_first": ((0.86, 0.12, 0.96), (0.12, 0.12, 0.14)),
    "lbbb_second": ((0.90, 0.02, 1.12), (0.12, 0.12, 0.18)),
    "pvc_late": ((0.00, 0.00, 0.00), (0.20, 0.20, 0.20)),
    "st_down": ((-0.80, -0.50, -0.05), (0.10, 0.12, 0.15)),         # direction: away from the apex
    "strain": ((-0.80, -0.45, 0.10), (0.10, 0.10, 0.10)),           # direction of the ST of left ventricular hypertrophy
    "ectopic_p": ((0.00, 0.00, 0.00), (0.012, 0.012, 0.012)),
}
PVC_FOCI = np.array([[0.30, 1.10, 0.75],        # right ventricular outflow tract: left-bundle shape, inferior axis
                     [0.85, -0.80, 0.70],       # right ventricular apex: left-bundle shape, superior axis
                     [-0.85, -0.60, -0.75],     # posterolateral left ventricle: right-bundle shape, superior axis
                     [-0.15, 1.15, -0.50]])     # left ventricular outflow tract
PVC_FOCUS_SHARE = (0.40, 0.20, 0.25, 0.15)
ECTOPIC_P = np.array([[0.03, -0.11, -0.01],     # low atrium: inverted in II
                      [-0.09, 0.05, -0.05],     # left atrium: inverted in I
                      [0.015, 0.125, -0.055]])  # high right atrium: tall in II
ECTOPIC_P_SHARE = (0.40, 0.35, 0.25)
ELEVATION = np.array([[0.12, -0.05, -0.99],     # anterior
                      [-0.15, 0.97, 0.10],      # inferior, reciprocal in I and aVL
                      [0.92, -0.35, 0.10],      # lateral
                      [0.55, 0.45, -0.70],      # diffuse, early repolarisation
                      [-0.45, 0.80, 0.50]])     # inferoposterior: elevation below, depression in front and in aVL
ELEVATION_GAIN = np.array([1.20, 1.05, 1.15, 1.15, 1.15])
TERRITORY_SHARE = (0.35, 0.25, 0.12, 0.28)
INFEROPOSTERIOR = 4

# Turn of the QRS loop at 48 years, mean and SD, and the limits of its direction once turned; degrees, positive to the right.
# A loop along 35 degrees of X and Y gives a frontal axis near 50; along 19 and 46 degrees, near 5 and 75.
LOOP_TURN = {"Normal": (-3, 12, 19, 46), "LBBB": (30, 48, -45, 95), "RBBB": (-12, 26, -30, 80)}
OTHER_TURN = (0, 14, -30, 80)


@dataclass(frozen=True)
class LookAlikes:
    """Unlabelled findings [R], bool, that resemble a label."""

    incomplete_rbbb: np.ndarray
    hypertrophy: np.ndarray
    early_repolarisation: np.ndarray
    t_inversion: np.ndarray
    sinus_arrhythmia: np.ndarray
    long_pr: np.ndarray
    left_axis: np.ndarray


@dataclass(frozen=True)
class Waves:
    """Dipole vectors [R, 3] in mV; the names as in VECTORS.

    st and st_slope [R, 3] are the whole ST shift (held, and growing towards the T peak); st_depression and st_elevation the
    part that the label stands for; t_unblocked and st_unblocked the T wave and held ST shift had no bundle branch been blocked.
    slur [R, 2, 3] with slur_centre, slur_half_width [R, 2] (fractions of the QRS) are small notches. loop_angle [R] in
    radians turns the QRS in the frontal plane.
    """

    septal: np.ndarray
    main: np.ndarray
    posterior: np.ndarray
    basal: np.ndarray
    right_terminal: np.ndarray
    lbbb_initial: np.ndarray
    lbbb_first: np.ndarray
    lbbb_second: np.ndarray
    slur: np.ndarray
    slur_centre: np.ndarray
    slur_half_width: np.ndarray
    pvc_first: np.ndarray
    pvc_second: np.ndarray
    pvc_t: np.ndarray
    t: np.ndarray
    st: np.ndarray
    st_slope: np.ndarray
    st_depression: np.ndarray
    st_elevation: np.ndarray
    t_unblocked: np.ndarray
    st_unblocked: np.ndarray
    p_right: np.ndarray
    p_left: np.ndarray
    p_ectopic: np.ndarray
    loop_angle: np.ndarray


def draw_look_alikes(rng: np.random.Generator, labels: np.ndarray, prevalence: float) -> LookAlikes:
    """Each independent of the labels [R, 9], save where the two exclude each other."""
    n = len(labels)
    normal, lbbb, rbbb, std, ste = (labels[:, COLUMN[name]] for name in ("Normal", "LBBB", "RBBB", "STD", "STE"))
    incomplete, hypertrophy, early, inversion, arrhythmia, long_pr, left = (
        rng.random(n) < share * prevalence for share in (0.10, 0.10, 0.10, 0.10, 0.12, 0.06, 0.05))
    return LookAlikes(incomplete & ~(lbbb | rbbb), hypertrophy & ~(normal | lbbb | ste), early & ~(ste | std | lbbb),
                      inversion & ~(normal | lbbb | std), arrhythmia, long_pr, left & ~normal)


def turn(vector: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Turn vectors [R, 3] by angles [R] (radians) in the frontal plane, from X towards Y."""
    c, s = np.cos(angle), np.sin(angle)
    x, y, z = np.moveaxis(vector, -1, 0)
    return np.stack([c * x - s * y, s * x + c * y, z], -1)


def draw_waves(rng: np.random.Generator, labels: np.ndarray, person: Person, look: LookAlikes, qrs_narrow: np.ndarray,
               hard: float) -> Waves:
    """The vectors of each record; labels [R, 9], qrs_narrow [R] in seconds."""
    n = len(labels)
    base = np.stack([mean for mean, _ in VECTORS.values()]) + np.stack([sd for _, sd in VECTORS.values()]) * rng.standard_normal(
        (n, len(VECTORS), 3))
    v = {name: base[:, i] for i, name in enumerate(VECTORS)}
    rbbb = labels[:, COLUMN["RBBB"]]
    angle = _loop_angle(rng, person, look, labels, v["main"] + v["posterior"])
    size = (log_normal(rng, 0.26, n) * np.where(look.hypertrophy, 1.45, 1.0))[:, None]

    septal, main, posterior = (turn(v[name], share * angle) * size
                               for name, share in (("septal", 0.5), ("main", 1.0), ("posterior", 1.0)))
    first, second = turn(v["lbbb_first"], 0.8 * angle) * size, turn(v["lbbb_second"], 0.8 * angle) * size
    initial = v["lbbb_initial"] * size
    initial[:, 2] = sometimes(rng, 0.4, initial[:, 2], 0.12 * size[:, 0])       # no anterior start: QS instead of rS in V1
    terminal = v["rbbb_terminal"] * (0.75 + 0.25 * size) * np.where(look.incomplete_rbbb, 0.40, 1.0)[:, None]
    p_size = log_normal(rng, 0.22, (n, 1))
    p_ectopic = ECTOPIC_P[rng.choice(3, n, p=ECTOPIC_P_SHARE)] * log_normal(rng, 0.2, (n, 1)) + v["ectopic_p"]
    waves = {
        "septal": septal, "main": main, "basal": v["basal"] * size,
        "posterior": posterior * np.where(rbbb, 0.55, 1.0)[:, None],
        "right_terminal": terminal * (rbbb | look.incomplete_rbbb)[:, None],
        "lbbb_initial": initial, "lbbb_first": first, "lbbb_second": second,
        "p_right": v["p_right"] * p_size, "p_left": v["p_left"] * p_size, "p_ectopic": p_ectopic, "loop_angle": angle,
    }
    waves |= _slurs(rng, main, qrs_narrow) | _premature_ventricular(rng, v["pvc_late"], main)
    return Waves(**waves, **_repolarisation(rng, v, labels, person, look, size, angle, (first + second) / 2, hard))


def _loop_angle(rng: np.random.Generator, person: Person, look: LookAlikes, labels: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """How far the QRS loop, of mean vector `loop` [R, 3], is turned [R], radians, from LOOP_TURN: to the left with age."""
    n = len(person.age)
    deciding = np.select([labels[:, COLUMN[name]] for name in LOOP_TURN], range(len(LOOP_TURN)), len(LOOP_TURN))
    shift, spread, low, high = np.array([*LOOP_TURN.values(), OTHER_TURN], float)[deciding].T
    direction = np.degrees(np.arctan2(loop[:, 1], loop[:, 0]))
    angle = np.clip(direction + shift + spread * rng.standard_normal(n) + 0.5 * (48 - person.age), low, high) - direction
    return np.deg2rad(np.where(look.left_axis, rng.uniform(-78, -62, n), angle))


def _slurs(rng: np.random.Generator, main: np.ndarray, qrs: np.ndarray) -> dict[str, np.ndarray]:
    """Up to two small notches, the same in every beat: they carry the QRS energy above 25 Hz."""
    n = len(main)
    strength = 0.09 * np.linalg.norm(main, axis=1)[:, None] * (rng.random((n, 2)) < 0.7)
    return {"slur": rng.standard_normal((n, 2, 3)) * strength[..., None], "slur_centre": rng.uniform(0.15, 0.80, (n, 2)),
            "slur_half_width": rng.uniform(0.009, 0.013, (n, 2)) / qrs[:, None]}


def _premature_ventricular(rng: np.random.Generator, late: np.ndarray, main: np.ndarray) -> dict[str, np.ndarray]:
    """QRS and discordant T of PVCs, matched in size to the record's own QRS so that amplitude alone does not tell them."""
    n = len(main)
    focus = PVC_FOCI[rng.choice(4, n, p=PVC_FOCUS_SHARE)] + rng.normal(0, 0.16, (n, 3))
    focus *= (np.linalg.norm(main, axis=1) / np.linalg.norm(focus, axis=1) * 0.92 * log_normal(rng, 0.18, n))[:, None]
    second = 0.55 * focus + late
    return {"pvc_first": focus, "pvc_second": second, "pvc_t": -0.42 * (focus + 0.4 * second) * log_normal(rng, 0.2, (n, 1))}


def _repolarisation(rng: np.random.Generator, v: dict[str, np.ndarray], labels: np.ndarray, person: Person, look: LookAlikes,
                    size: np.ndarray, angle: np.ndarray, lbbb_qrs: np.ndarray, hard: float) -> dict[str, np.ndarray]:
    """The T vector and the ST shifts, from the usual ones to those of the labels and look-alikes."""
    n = len(labels)
    lbbb, rbbb, std, ste = (labels[:, COLUMN[name]][:, None] for name in ("LBBB", "RBBB", "STD", "STE"))

    def uniform(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (n, 1))

    t = turn(v["t"], 0.45 * angle)
    t[:, 2] -= np.where(person.male & (person.age < 50), 0.08, 0)
    flat = np.where(rng.random((n, 1)) < 0.10, 0.4, 1.0)
    t = t * log_normal(rng, 0.30, (n, 1)) * 0.95 * flat * (0.6 + 0.4 * size)
    t = np.where(look.hypertrophy[:, None], t * uniform(-0.5, 0.3), t)
    inverted = np.where(rng.random((n, 1)) < 0.5, uniform(-0.8, -0.3), uniform(-0.1, 0.3))
    unblocked = np.where(look.t_inversion[:, None], t * inverted, t)
    t = unblocked + np.where(rbbb, v["rbbb_t"], 0)
    discordant = -0.30 * lbbb_qrs * log_normal(rng, 0.2, (n, 1)) * np.array([1, 1, 1.15])
    t = np.where(lbbb, discordant + 0.25 * t, t)

    st = np.where(look.hypertrophy[:, None], v["strain"] * uniform(0.02, 0.055), v["st"])          # J above the STD limit
    st = np.where(look.early_repolarisation[:, None], np.array([0.25, 0.2, -0.85]) * uniform(0.05, 0.10), st)
    st_unblocked = np.where(std | ste, 0, st)
    st = np.where(lbbb, -0.10 * lbbb_qrs, st)

    down = v["st_down"] / np.linalg.norm(v["st_down"], axis=1, keepdims=True)
    down = down * np.where(rng.random((n, 1)) < 0.25 * hard, uniform(0.07, 0.10), uniform(0.10, 0.26))
    sloping = rng.random((n, 1)) < 0.5                                                             # else horizontal
    depression = std * down * np.where(sloping, 0.75, 1.0)
    flattened = np.where(sloping, 0.45, 0.60)
    t = np.where(std & ~lbbb, t * flattened, t)

    territory = np.where((std & ste)[:, 0], INFEROPOSTERIOR, rng.choice(4, n, p=TERRITORY_SHARE))
    up = ELEVATION[territory] + rng.normal(0, 0.08, (n, 3))
    amount = np.where(rng.random((n, 1)) < 0.25 * hard, uniform(0.10, 0.14), uniform(0.14, 0.32))
    elevation = ste * up * amount * ELEVATION_GAIN[territory][:, None]
    t = np.where(ste & ~lbbb, 0.9 * t, t) + 0.7 * elevation
    both = std & ste                                   # the reciprocal depression is the whole of the depression
    unblocked = unblocked * np.where(std, flattened, 1) * np.where(ste, 0.9, 1) + 0.7 * elevation
    return {"t": t, "st": np.where((std | ste) & ~lbbb, 0, st) + np.where(both, 0, depression) + elevation,
            "t_unblocked": unblocked, "st_unblocked": st_unblocked + np.where(both, 0, depression) + elevation,
            "st_slope": std * ~both * sloping * down * 0.55,
            "st_depression": np.where(both, elevation, depression + 0.3 * std * sloping * down * 0.55), "st_elevation": elevation}
