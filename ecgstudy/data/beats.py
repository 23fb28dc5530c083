"""Where the heart beats: R-peaks of every record of a prepared folder, found once and kept beside it.

The detector is SleepECG's, a fast form of Pan and Tompkins' (IEEE Trans. Biomed. Eng. 32, 1985). It reads one lead, so lead II is asked
first, and V2 where lead II gives too few peaks; a record that stays silent in both (asystole, a lead that fell off) has none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from ecgstudy import files
from ecgstudy.data.dataset import MILLIVOLT, Prepared
from ecgstudy.errors import AbsentError
from ecgstudy.leads import LEADS
from ecgstudy.progress import progress

LOOKED_AT = ("II", "V2")
FEWEST = 3              # peaks in 10 s: fewer, and the next lead is asked
MOST = 40               # kept of each record: 240 beats a minute over 10 s
REACH = 0.06            # seconds
DETECTOR = "sleepecg, lead II then V2, 1"      # part of the file's name; raised when peaks would move

logger = logging.getLogger(__name__)


def find_beats(signal: np.ndarray, fs: float, leads: Sequence[str] = LEADS) -> np.ndarray:
    """R-peaks of one record, ascending samples (int64 [n], n <= MOST). signal: [L, T] in mV.

    Raises AbsentError where the `sleepecg` package is not installed.
    """
    detect = _detector()
    found: list[np.ndarray] = []
    for name in LOOKED_AT:
        if name in leads and np.ptp(signal[leads.index(name)]) > 0:
            found.append(detect(np.asarray(signal[leads.index(name)], np.float64), fs))
            if len(found[-1]) >= FEWEST:
                break
    peaks = max(found, key=len, default=np.zeros(0, np.int64))
    return peaks[:MOST]


def beats(prepared: Prepared) -> np.ndarray:
    """R-peaks of every record: int16 [R, MOST], -1 beyond the last; found now and kept in the prepared folder where they are not there.

    Padding at the end of a short record is not searched.
    """
    path = prepared.folder / f"beats-{files.digest([DETECTOR, prepared.digest, MOST])[:12]}.npy"
    if path.is_file():
        return np.load(path)
    with files.lock(path.with_suffix(".lock"), wait_seconds=3600):
        if path.is_file():
            return np.load(path)
        found = np.full((len(prepared.table), MOST), -1, np.int16)
        recorded = prepared.table["n_samples"].to_numpy()
        for row in progress(range(len(found)), desc=f"R-peaks of {prepared.dataset}", unit="record"):
            peaks = find_beats(prepared.signals[row, :, :recorded[row]] / MILLIVOLT, prepared.fs)
            found[row, :len(peaks)] = peaks
        files.write_atomically(path, lambda file: np.save(file, found))
    if silent := int((found[:, 0] < 0).sum()):
        logger.info("%s: no R-peak was found in %d of %d records", prepared.dataset, silent, len(found))
    return found


def _detector() -> Callable[[np.ndarray, float], np.ndarray]:
    """A function (signal [T] in mV, fs) -> samples of R-peaks, each at the largest deflection within REACH of a detection."""
    try:
        from sleepecg import detect_heartbeats
    except ImportError:
        raise AbsentError("finding R-peaks needs the package sleepecg, which is not installed here; run it where it is, and copy the "
                          "prepared folder with its beats-*.npy") from None

    def detect(signal: np.ndarray, fs: float) -> np.ndarray:
        reach, deflection = round(REACH * fs), np.abs(signal - np.median(signal))
        starts = np.maximum(detect_heartbeats(signal, fs).astype(np.int64) - reach, 0)
        return np.unique([start + int(deflection[start:start + 2 * reach + 1].argmax()) for start in starts]).astype(np.int64)

    return detect
