"""Ground truth: which beats, which spans of time and which leads show each label."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ecgstudy.data.labels import CPSC_CLASSES
from ecgstudy.data.synthetic.events import FREE
from ecgstudy.data.synthetic.fibrillation import f_wave_power
from ecgstudy.data.synthetic.labels import COLUMN
from ecgstudy.data.synthetic.leadfield import to_twelve
from ecgstudy.data.synthetic.parameters import Parameters
from ecgstudy.data.synthetic.render import qrs_bumps
from ecgstudy.data.synthetic.rhythm import KINDS, PAC, PVC, SINUS
from ecgstudy.data.synthetic.rhythm_truth import VISIBLE_F, VISIBLE_P, at_least, evidence, seen, showing_leads
from ecgstudy.data.synthetic.schemes import classes_of
from ecgstudy.data.synthetic.settings import NINE_SCHEMES
from ecgstudy.data.synthetic.timing import Beats, in_view
from ecgstudy.leads import LEADS

LBBB_LEADS = ("I", "aVL", "V1", "V2", "V5", "V6")
RBBB_LEADS = ("I", "V1", "V2", "V6")
DEPRESSED, ELEVATED = -0.05, 0.06       # mV
SHORTEST_GAP = 0.06     # s; f-waves are not looked for in a shorter gap between T and QRS


def beat_table(parameters: Parameters, beats: Beats) -> pd.DataFrame:
    """One row a beat whose R lies in the record: record (row of the arrays), r, kind, and wave boundaries in seconds."""
    row, beat = np.nonzero(in_view(beats, parameters.seconds))
    times = {name: getattr(beats, name)[row, beat] for name in
             ("p_on", "p_off", "qrs_on", "qrs_off", "t_on", "t_peak", "t_off")}
    return pd.DataFrame({"record": row, "r": beats.r[row, beat], "kind": np.array(KINDS)[beats.kind[row, beat]], **times})


def span_table(parameters: Parameters, beats: Beats) -> pd.DataFrame:
    """One row a span that shows a label: record (row of the arrays), label, start and end in seconds, cut to the record.

    AF: the f-waves between T and QRS. I-AVB: P onset to QRS onset. Blocks: the QRS. PAC: P to QRS end. PVC: QRS and T.
    ST shifts: J point to T peak. Normal has none. For the rhythm schemes see `rhythm_truth.evidence`.
    """
    next_qrs = beats.next_qrs
    conducted = ~beats.ventricular
    found = evidence(parameters, beats) if parameters.scheme not in NINE_SCHEMES else {
        "AF": (beats.t_off, next_qrs, next_qrs - beats.t_off > SHORTEST_GAP),
        "I-AVB": (beats.p_on, beats.qrs_on, beats.kind == SINUS),
        "LBBB": (beats.qrs_on, beats.qrs_off, conducted), "RBBB": (beats.qrs_on, beats.qrs_off, conducted),
        "PAC": (beats.p_on, beats.qrs_off, beats.kind == PAC), "PVC": (beats.qrs_on, beats.t_off, beats.kind == PVC),
        "STD": (beats.qrs_off, beats.t_peak, conducted), "STE": (beats.qrs_off, beats.t_peak, conducted),
    }
    parts = []
    for k, label in enumerate(classes_of(parameters.scheme)):
        if label not in found:
            continue
        start, end, shows = found[label]
        shown = shows & parameters.labels[:, [k]] & (end > 0) & (start < parameters.seconds)
        row, beat = np.nonzero(shown)
        parts.append(pd.DataFrame({"record": row, "label": label, "start": np.maximum(start[row, beat], 0),
                                   "end": np.minimum(end[row, beat], parameters.seconds)}))
    return pd.concat(parts).sort_values(["record", "start"], kind="stable", ignore_index=True)


def lead_sets(parameters: Parameters) -> np.ndarray:
    """bool [R, K, 12]: the leads that show each label that a record carries."""
    if parameters.scheme not in NINE_SCHEMES:
        return showing_leads(parameters)
    waves, leads = parameters.waves, parameters.leads
    ventricular, atrial = to_twelve(leads.ventricular)[..., :3], to_twelve(leads.atrial)

    sets = np.zeros((len(parameters.labels), len(CPSC_CLASSES), len(LEADS)), bool)
    f_waves = np.sqrt(seen(atrial ** 2, f_wave_power(parameters.fibrillation)))     # the axes beat apart: their powers add
    sets[:, COLUMN["AF"]] = at_least(f_waves, VISIBLE_F, 3)
    sets[:, COLUMN["I-AVB"]] = at_least(np.abs(seen(atrial, (waves.p_right + waves.p_left) / 2)), VISIBLE_P, 1)
    sets[:, COLUMN["LBBB"]] = np.isin(LEADS, LBBB_LEADS)
    sets[:, COLUMN["RBBB"]] = np.isin(LEADS, RBBB_LEADS)
    sets[:, [COLUMN["PAC"], COLUMN["PVC"]]] = True
    sets[:, COLUMN["STD"]] = at_least(-seen(ventricular, waves.st_depression), -DEPRESSED, 2)
    sets[:, COLUMN["STE"]] = at_least(seen(ventricular, waves.st_elevation), ELEVATED, 2)
    return sets & parameters.labels[..., None]


def parameter_table(parameters: Parameters, beats: Beats) -> pd.DataFrame:
    """One row a record: index, age (years), sex, heart_rate (1/min), pr, qrs, qtc (s; Framingham), axis (degrees).

    pr is NaN where no beat is conducted from a sinus P wave. axis is the frontal QRS axis by area of the conducted beats.
    """
    intervals = parameters.intervals
    led = (beats.kind == SINUS).any(1)
    return pd.DataFrame({
        "index": parameters.index, "age": parameters.person.age.round(),
        "sex": np.where(parameters.person.male, "male", "female"),
        "heart_rate": 60 / parameters.rhythm.sinus_rr, "pr": np.where(led, intervals.pr, np.nan), "qrs": intervals.qrs,
        "qtc": intervals.qtc, "axis": qrs_axis(parameters, beats),
    })


def event_table(parameters: Parameters, beats: Beats) -> pd.DataFrame:
    """One row an atrial event or pacing pulse of the rhythm schemes: record, event, start, end in seconds.

    event: "P" that a beat follows, "retrograde P", "dissociated P", "flutter wave", "pulse" (start and end are its time).
    """
    atria, flutter = parameters.atria.waves, parameters.flutter
    listed = np.where(atria.beat == FREE, 2, np.where(atria.offset >= 0, 1, 0))
    own = np.isfinite(beats.p_on) & np.isin(beats.kind, (SINUS, PAC))
    wave = np.arange(-1, int(np.ceil(parameters.seconds * flutter.rate.max())) + 1) - flutter.phase[:, None]
    wave = np.where(flutter.amplitude.any(1)[:, None], wave, np.nan) / flutter.rate[:, None]
    parts = [(np.full(own.shape, 0), np.where(own, beats.p_on, np.nan), beats.p_off), (listed, beats.wave_on, beats.wave_off),
             (np.full(wave.shape, 3), wave, wave + 1 / flutter.rate[:, None]),
             (np.full(beats.pulse.shape, 4), beats.pulse, beats.pulse)]
    names = np.array(["P", "retrograde P", "dissociated P", "flutter wave", "pulse"])
    tables = []
    for event, start, end in parts:
        row, place = np.nonzero((end >= 0) & (start < parameters.seconds))
        tables.append(pd.DataFrame({"record": row, "event": names[event[row, place]], "start": start[row, place],
                                    "end": end[row, place]}))
    return pd.concat(tables).sort_values(["record", "start"], kind="stable", ignore_index=True)


def qrs_axis(parameters: Parameters, beats: Beats) -> np.ndarray:
    """Frontal QRS axis [R] in degrees: the direction of the QRS area in I and aVF."""
    area = sum((bump.area() * (bump.present & ~beats.ventricular)[..., None]).sum(1)                     # [R, C]
               for bump in qrs_bumps(parameters, beats))
    leads = np.einsum("rlk,rk->rl", to_twelve(parameters.leads.ventricular), area)
    return np.degrees(np.arctan2(2 / np.sqrt(3) * leads[:, LEADS.index("aVF")], leads[:, LEADS.index("I")]))


def rasterise(spans: pd.DataFrame, n_records: int, fs: int, n_samples: int, classes: tuple[str, ...] = CPSC_CLASSES) -> np.ndarray:
    """bool [R, K, T]: the samples inside each label's spans."""
    column = {name: k for k, name in enumerate(classes)}
    row = spans["record"].to_numpy() * len(classes) + spans["label"].map(column).to_numpy(dtype=np.int64)
    first = np.ceil(spans["start"].to_numpy() * fs).astype(np.int64)
    stop = np.minimum(np.floor(spans["end"].to_numpy() * fs).astype(np.int64) + 1, n_samples)
    size = n_records * len(classes) * (n_samples + 1)
    opened = np.bincount(row * (n_samples + 1) + first, minlength=size)
    closed = np.bincount(row * (n_samples + 1) + stop, minlength=size)
    depth = np.cumsum((opened - closed).reshape(n_records, len(classes), n_samples + 1), axis=2)
    return depth[..., :-1] > 0
