"""Page 10 on recordings: how much attention each part of the beat receives, by the P, QRS and T boundaries marked in LUDB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from ecgstudy.data import ludb
from ecgstudy.evaluate.bootstrap import Interval, interval, patient_weights
from ecgstudy.explain.attention import to_samples, to_tokens
from ecgstudy.study import tables
from ecgstudy.study.attention_page import MAPS, Network, Page, observed
from ecgstudy.study.attention_records import amplitude
from ecgstudy.study.attribution_ludb import ABSENT, PARTS, density, millivolts, parts_of, source
from ecgstudy.study.axis_page import SIGNAL

DRAWS = 1000
FEWEST = 5              # recordings with a part, below which no interval is given
FEW = {"smoke": 12}     # recordings of a profile; the others take all
WHOSE = ("trained", "before training")


@dataclass(frozen=True, eq=False)
class Recordings:
    """What each part of the beat gets on R recordings.

    densities: (map, whose) -> part -> [R], its share of the map over its share of the time, 1 for an even map, NaN where a recording has
    no such part. The map "|x|" is of nobody.
    """

    network: Network
    densities: Mapping[tuple[str, str], Mapping[str, np.ndarray]]

    @property
    def n_records(self) -> int:
        return len(self.densities["|x|", ""]["QRS"])

    def score(self, name: str, whose: str, part: str) -> Interval:
        """The mean over recordings with its bootstrap interval over them."""
        values = self.densities[name, whose][part]
        values = values[~np.isnan(values)]
        if len(values) < FEWEST:
            mean = float(values.mean()) if len(values) else float("nan")
            return Interval(mean, float("nan"), float("nan"), 0)
        weights = patient_weights(np.arange(len(values)), DRAWS, np.random.default_rng(0)) / len(values)
        return interval(float(values.mean()), weights @ values)

    def table(self) -> Styler:
        """A line for each map, after and before training, a column for each part of the beat."""
        lines = [{"map": name, "of": whose or "no network"} | {
            part: tables.show_interval(self.score(name, whose, part), joint="<br>") for part in PARTS} for name, whose in self.densities]
        return tables.style(pd.DataFrame(lines), f"{self.n_records} recordings of LUDB, `{self.network.name}` ({self.network.told}): the "
                                                 "share of a map that lies in each part of the beat over that part's share of the time; 1 "
                                                 "is an even map. [95 % interval over recordings.]".replace("`", ""))

    def reading(self) -> str:
        """Where the page's own map lies on recordings, in words."""
        name = MAPS[0]
        told = {kind: [part for part in PARTS if self._kind(self.score(name, WHOSE[0], part)) == kind] for kind in ("more", "less")}
        text = f"**On recordings** (LUDB, `{self.network.name}`, {self.network.told}). Attention received in the last layer gives "
        parts = [f"{kind} than an even spread to {', '.join(parts)}" for kind, parts in told.items() if parts]
        text += ("; ".join(parts) if parts else "no part of the beat more or less than an even spread") + ". "
        qrs = self.score(name, WHOSE[0], "QRS")
        text += f"QRS gets {tables.show_interval(qrs)} times its share of the time"
        if (name, WHOSE[1]) in self.densities:
            text += f", before training {tables.show_interval(self.score(name, WHOSE[1], 'QRS'))}"
        return f"{text}; |x| would give it {tables.show_interval(self.score('|x|', '', 'QRS'))}."

    @staticmethod
    def _kind(found: Interval) -> str:
        return "more" if found.low > 1 else "less" if found.high < 1 else "undecided"


def measure(network: Network, folder: Path, few: int | None = None) -> Recordings:
    """Every recording of LUDB, or the first `few`, by a network and by the same before its training."""
    catalog = ludb.catalog(folder).head(few) if few else ludb.catalog(folder)
    signals = np.stack([millivolts(path) for path in catalog["path"]])                                              # [R, L, T]
    parts = [parts_of(ludb.boundaries(name, folder)) for name in catalog["record_id"]]
    curves = {}
    for whose in WHOSE[:1 + (network.untrained is not None)]:
        for name, (values, step) in observed(network, signals, whose == WHOSE[1]).curves.items():
            curves[name, whose] = to_samples(values, step, SIGNAL.fs, signals.shape[2])                             # [R, T]
    coarse = to_tokens(amplitude(signals), step := observed_step(network, signals), SIGNAL.fs, round(SIGNAL.seconds / step))
    curves["|x|", ""] = to_samples(coarse, step, SIGNAL.fs, signals.shape[2])
    order = [(name, whose) for name in MAPS for whose in WHOSE if (name, whose) in curves] + [("|x|", "")]
    return Recordings(network, {key: {part: np.array([density(curve, found[part], read) for curve, (found, read) in
                                                      zip(curves[key], parts, strict=True)]) for part in PARTS} for key in order})


def observed_step(network: Network, signals: np.ndarray) -> float:
    """Seconds of a token of the last layer."""
    return next(network.observe(signals[:1]))[-1].seconds_per_token


def ask(page: Page) -> Recordings | None:
    """The page's network for recordings on LUDB; None where LUDB is not on this machine."""
    folder = source()
    return measure(page.reader, folder, FEW.get(page.request.size.name)) if folder else None


def table(found: Recordings | None) -> Styler | str:
    return found.table() if found else ABSENT
