"""Page 11 on recordings: where in the beat the maps lie, by the P, QRS and T boundaries that cardiologists marked in LUDB."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pandas.io.formats.style import Styler

from ecgstudy import files
from ecgstudy.data import ludb
from ecgstudy.data.dataset import MILLIVOLT
from ecgstudy.data.labels import CPSC_CLASSES
from ecgstudy.data.prepare import FS, N_SAMPLES, condition
from ecgstudy.errors import ConfigurationError
from ecgstudy.evaluate.bootstrap import patient_weights
from ecgstudy.explain.attribution import BASELINES, attribute
from ecgstudy.leads import LEADS
from ecgstudy.study import tables
from ecgstudy.study.attribution_bed import TITLES, Network
from ecgstudy.study.probes import Score
from ecgstudy.train.seeds import torch_generator

# label -> the catalog's column and how a published line begins, in small letters; ST shifts are not labelled as such in LUDB
CARRIED = {"AF": ("statements", "atrial fibrillation"), "I-AVB": ("conduction", "i degree av block"),
           "LBBB": ("conduction", "complete left bundle branch block"), "RBBB": ("conduction", "complete right bundle branch block"),
           "PAC": ("extrasystoles", "atrial extrasystole"), "PVC": ("extrasystoles", "ventricular extrasystole")}
PARTS = ("P", "PR", "QRS", "T", "rest")
EXPECTED = {"AF": ("rest",), "I-AVB": ("P", "PR"), "LBBB": ("QRS",), "RBBB": ("QRS",), "PAC": ("P", "PR", "QRS"), "PVC": ("QRS", "T")}
MAJORITY = 6            # leads that must show a wave at a sample
METHODS = ("grad_cam", "hires_cam", "gradient_x_input", "magnitude")
REPLICATES, FEWEST = 1000, 5        # of the bootstrap; recordings of a class, before an interval is given
TOLD = (
    "LUDB: the share of a map in the parts of the beat where the evidence of the class is expected (named under it), over their share of "
    "the time; 1 is an even map. Only recordings that the network gives the class, at its own threshold. [95 % interval over recordings, "
    "from five up.] Bold: above |x| on the same recordings, and above an even map.")
ABSENT = ("**LUDB is not on this machine**, so nothing is measured on recordings. `python -m ecgstudy data fetch ludb` gets it; "
          "ECGSTUDY_DATA names the folder that holds `ludb/`.")


def source() -> Path | None:
    """The folder of LUDB, or None where it is not on this machine."""
    roots = [Path(os.environ["ECGSTUDY_DATA"]).expanduser()] if os.environ.get("ECGSTUDY_DATA") else []
    return next((root / "ludb" for root in (*roots, files.home() / "data") if (root / "ludb" / "ludb.csv").is_file()), None)


def carriers(catalog: pd.DataFrame) -> pd.DataFrame:
    """Each recording that carries a class of the nine, once a class: record_id, path, label."""
    rows = [{"record_id": row["record_id"], "path": row["path"], "label": label}
            for _, row in catalog.iterrows() for label, (column, start) in CARRIED.items()
            if any(line.lower().startswith(start) for line in row[column].split(";"))]
    return pd.DataFrame(rows, columns=["record_id", "path", "label"])


def parts_of(waves: pd.DataFrame) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The samples [T] of each part of the beat at 100 Hz, and those between the first and the last mark, which alone are read.

    A sample belongs to a wave where at least half the leads show it. PR runs from the end of a P wave to the onset of the QRS after it,
    at most 0.3 s. Every sample that is read belongs to one part.
    """
    votes = {wave: np.zeros((len(LEADS), N_SAMPLES), bool) for wave in ("P", "PR", "QRS", "T")}
    marked = waves.dropna(subset=["onset", "offset"])
    for lead, own in marked.groupby("lead"):
        own = own.sort_values("onset")
        for wave, begin, end in own[["wave", "onset", "offset"]].itertuples(index=False):
            votes[wave][LEADS.index(lead), round(begin * FS):round(end * FS) + 1] = True
        starts = own.loc[own["wave"] == "QRS", "onset"].to_numpy()
        for end in own.loc[own["wave"] == "P", "offset"]:
            later = starts[(starts > end) & (starts < end + 0.3)]
            if len(later):
                votes["PR"][LEADS.index(lead), round(end * FS):round(later[0] * FS)] = True
    read = np.zeros(N_SAMPLES, bool)
    if len(marked):
        read[round(marked["onset"].min() * FS):round(marked["offset"].max() * FS) + 1] = True
    found, taken = {}, ~read
    for part in ("QRS", "P", "T", "PR"):                                                            # the first that claims a sample
        found[part] = (votes[part].sum(axis=0) >= MAJORITY) & ~taken
        taken = taken | found[part]
    return found | {"rest": read & ~taken}, read


def millivolts(path: str) -> np.ndarray:
    """A recording of LUDB as every network is fed it, [L, T] in mV."""
    return condition(ludb.read_ludb_record(path))[0] / MILLIVOLT


def density(curve: np.ndarray, mask: np.ndarray, read: np.ndarray) -> float:
    """The share of a map [T] that lies in a part of the beat, over that part's share of the time that is read; NaN without either."""
    total = curve[read].sum()
    return float(curve[mask].sum() / total / mask[read].mean()) if mask.any() and total > 0 else float("nan")


def measure(networks: Sequence[Network], folder: Path, methods: Sequence[str]) -> pd.DataFrame:
    """One row a network, method, class and recording to which the network gives the class: the density of the map in the parts
    where the evidence is `expected`."""
    records, rows = carriers(ludb.catalog(folder)), []
    signals = {path: millivolts(path) for path in dict.fromkeys(records["path"])}
    parts = {name: parts_of(ludb.boundaries(name, folder)) for name in dict.fromkeys(records["record_id"])}
    for network in networks:
        x = network.scaled(np.stack([signals[path] for path in records["path"]]).astype(np.float32))                    # [R, L, T]
        k = records["label"].map(CPSC_CLASSES.index).to_numpy()
        right = np.flatnonzero(network.gives(x, k))
        for method in methods if len(right) else ():
            try:
                maps = attribute(network.model, x[right], torch.from_numpy(k[right]), method, generator=torch_generator(0), fs=FS)
            except ConfigurationError:
                continue
            for row, curve in zip(right, maps.over_time(), strict=True):
                found, read = parts[records["record_id"][row]]
                label = records["label"][row]
                own = np.logical_or.reduce([found[part] for part in EXPECTED[label]])
                rows.append({"network": network.name, "told": network.told, "method": method, "label": label,
                             "record": records["record_id"][row], "expected": density(curve, own, read)})
    return pd.DataFrame(rows).dropna() if rows else pd.DataFrame()


def score(found: pd.DataFrame, network: str, method: str, label: str) -> Score:
    """The mean density over the recordings of a class, with its bootstrap draws over them; those of one class are the same draws for
    every method."""
    own = found[(found["network"] == network) & (found["method"] == method) & (found["label"] == label)]
    values = own["expected"].to_numpy(float)
    weights = patient_weights(np.arange(len(values)), REPLICATES, np.random.default_rng(0))
    return Score(float(values.mean()), weights @ values / len(values))


def table(found: pd.DataFrame) -> Styler:
    """Mean density where the evidence is expected, by network and method, a column a class; bold where above that of |x| and above 1."""
    if not len(found):
        return tables.style(pd.DataFrame(), "No network of this page gives a class to a recording of LUDB that carries it.")
    lines = []
    labels = [label for label in CARRIED if (found["label"] == label).any()]
    for network, group in found.groupby("network", sort=False):
        for i, method in enumerate(dict.fromkeys(group["method"])):
            line = {"network": f"{network}<br>({group['told'].iloc[0]})" if i == 0 else "", "method": TITLES[method]}
            lines.append(line | {f"{label}<br>{', '.join(EXPECTED[label])}": _cell(found, network, method, label) for label in labels})
        count = group[group["method"] == method].groupby("label").size()
        lines.append({"network": "", "method": "<i>recordings</i>"} | {
            f"{label}<br>{', '.join(EXPECTED[label])}": f"<i>{count.get(label, 0)}</i>" for label in labels})
    return tables.style(pd.DataFrame(lines), TOLD)


def _cell(found: pd.DataFrame, network: str, method: str, label: str) -> str:
    own = found[(found["network"] == network) & (found["label"] == label)]
    n, there = (own["method"] == method).sum(), (own["method"] == "magnitude").sum()
    if not n:
        return "–"
    mean = score(found, network, method, label)
    if n < FEWEST:
        return tables.show(mean.estimate, 2)
    low, high = mean.interval.low, mean.interval.high
    shown = f"{tables.show(mean.estimate, 2)}<br>[{tables.show(low, 2)}, {tables.show(high, 2)}]"
    above = n == there and low > 1 and (mean - score(found, network, "magnitude", label)).interval.low > 0
    return f"<b>{shown}</b>" if above and method not in BASELINES else shown
