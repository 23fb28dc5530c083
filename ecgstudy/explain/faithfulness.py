"""A map held against what is true: how much of its energy and area lies where the evidence lies, in time, in leads, in the beat?

Every score takes one record's curve over time [T], not negative, and the samples that show the class, bool [T]. Tied values share a
score among them, so that an empty or constant map scores what chance does, and a map of coarse cells is not helped by the order in
which equal cells are read.

Whether the largest value lies on the evidence, and the edges and the tolerance that all of this shares, stand in `localisation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from ecgstudy.errors import DataError
from ecgstudy.explain.localisation import EDGE, widened

BEFORE, AFTER = 0.45, 0.55      # of the interval to the neighbouring R-peak that a folded beat takes in


def inner(n_samples: int, fs: float, edge: float = EDGE) -> np.ndarray:
    """The samples that are scored, bool [T]."""
    kept = np.zeros(n_samples, bool)
    n = round(edge * fs)
    kept[n:n_samples - n] = True
    return kept


def at_edge(curve: np.ndarray, fs: float, edge: float = EDGE) -> float:
    """Whether the largest value of the whole record lies in the ends that are not scored (a share where several are largest)."""
    return float((~inner(len(curve), fs, edge))[curve == curve.max()].mean())


def iou_at_area(curve: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of the evidence and as many samples of the largest values; ties at the border count by their share."""
    _require(curve, mask)
    area = int(mask.sum())
    if not area:
        return float("nan")
    border = np.sort(curve)[-area]
    above, level = curve > border, curve == border
    hit = mask[above].sum() + (area - above.sum()) * mask[level].mean()
    return float(hit / (2 * area - hit))


def iou_ceiling(mask: np.ndarray, cell: float) -> float:
    """The best IoU that whole cells of `cell` samples, the first beginning with the record, can reach.

    The best set of n cells is the n that hold the largest share of evidence, so all sets that can be best are tried.
    """
    if not mask.any():
        return float("nan")
    place = (np.arange(len(mask)) / max(cell, 1)).astype(int)
    sizes, hits = np.bincount(place), np.bincount(place, weights=mask)
    order = np.argsort(-hits / sizes, kind="stable")
    hit, chosen = hits[order].cumsum(), sizes[order].cumsum()
    return float((hit / (chosen + mask.sum() - hit)).max())


def energy_inside(curve: np.ndarray, mask: np.ndarray) -> float:
    """The share of the curve's sum that lies on the evidence; an empty curve has what an even one has."""
    _require(curve, mask)
    total = curve.sum()
    return float(curve[mask].sum() / total) if total > 0 else float(mask.mean())


def precision_over_time(curve: np.ndarray, mask: np.ndarray) -> float:
    """Average precision of the samples, ranked by the curve, as finders of the evidence; NaN where there is none."""
    _require(curve, mask)
    return float(average_precision_score(mask, curve)) if mask.any() else float("nan")


def lead_score(shares: np.ndarray, leads: np.ndarray) -> tuple[float, float]:
    """How much of the map lies in the leads that show the class, and how much an even map has. shares: [L]. leads: bool [L].

    NaN where every lead or none shows it, since then any map is right or wrong.
    """
    if leads.all() or not leads.any():
        return float("nan"), float("nan")
    return float(shares[leads].sum()), float(leads.mean())


# -- folded on the beat ---------------------------------------------------------------------------------------------------

@dataclass(frozen=True, eq=False)
class Folded:
    """Curves of one record on the time from the R-peak. offset: seconds [P]. curve: mean over beats [P]. share: of the beats, how many
    show the evidence at this offset [P]."""

    offset: np.ndarray
    curve: np.ndarray
    share: np.ndarray


def fold(curve: np.ndarray, mask: np.ndarray, peaks: np.ndarray, fs: float, edge: float = EDGE) -> Folded:
    """Every beat laid over the others at its R-peak: from 45 % of the interval before to 55 % of the one after.

    peaks: seconds of the R-peaks, ascending. Beats stand at other places within the cells of a coarse map, so that their mean shows
    more than one of them. Only offsets that at least half the beats reach are kept. Raises DataError for fewer than three beats: no beat
    then has two neighbours.
    """
    _require(curve, mask)
    if len(peaks) < 3:
        raise DataError(f"{len(peaks)} beats cannot be folded; a beat needs a neighbour on both sides, so give at least three")
    places = np.rint(np.asarray(peaks) * fs).astype(int)
    reach = int(np.diff(places).max())
    offsets = np.arange(-reach, reach + 1)
    kept = inner(len(curve), fs, edge)
    total, marked, count = (np.zeros(len(offsets)) for _ in range(3))
    for before, place, after in zip(places[:-2], places[1:-1], places[2:], strict=True):
        own = (offsets >= -BEFORE * (place - before)) & (offsets < AFTER * (after - place))
        at = place + offsets
        own &= (at >= 0) & (at < len(curve))
        own[own] = kept[at[own]]
        total[own] += curve[at[own]]
        marked[own] += mask[at[own]]
        count[own] += 1
    reached = count >= max(1, count.max() / 2)
    return Folded(offsets[reached] / fs, total[reached] / count[reached], marked[reached] / count[reached])


def phase_pointing(folded: Folded, fs: int) -> tuple[float, float]:
    """Whether the largest value of the folded beat lies on the evidence (a share where several are largest), and the chance of that: the
    evidence is where at least half the beats show it, with the tolerance of `localisation`. NaN where they nowhere do."""
    right = folded.share >= 0.5
    if not right.any():
        return float("nan"), float("nan")
    right = widened(right[None], fs)[0]
    largest = folded.curve == folded.curve.max()
    return float(right[largest].mean()), float(right.mean())


# -- two maps -------------------------------------------------------------------------------------------------------------

def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation of two maps of one shape; NaN where one of them is constant."""
    a, b = (rankdata(each, axis=None) for each in (first, second))
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else float("nan")


def intervention_correlation(curve: np.ndarray, record: np.ndarray, without: np.ndarray, fs: float, edge: float = EDGE) -> float:
    """Rank correlation over the scored samples of a curve [T] and of what removing the evidence changes.

    record, without: [L, T], the same record with and without it; the change is the mean over leads of its magnitude.
    """
    kept = inner(len(curve), fs, edge)
    change = np.abs(np.asarray(record, np.float64) - without).mean(axis=0)                      # [T]
    return rank_correlation(curve[kept], change[kept])


def _require(curve: np.ndarray, mask: np.ndarray) -> None:
    if np.shape(curve) != np.shape(mask) or np.ndim(curve) != 1 or np.asarray(mask).dtype != bool:
        raise DataError(f"a curve of shape {np.shape(curve)} and a mask of shape {np.shape(mask)} and type {np.asarray(mask).dtype}; give "
                        "both as [T], the mask as bool")
    if not np.isfinite(curve).all() or np.min(curve) < 0:
        raise DataError("the curve has values that are negative or not finite; give what speaks for the class, zero elsewhere")
