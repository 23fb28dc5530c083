"""A rhythm as two lists of events, atrial and ventricular, and how the lists of many records become arrays.

Ventricular events are beats: an R time and a kind. Atrial events are P waves: each stands at an offset from the QRS of its
beat (before it when conducted, after it when retrograde), or at a time of its own when the atria go their own way. The usual
P waves of sinus beats and PACs are not listed: they follow from the beat and its PR interval.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ecgstudy.data.synthetic.rhythm import SINUS, Rhythm

LONGEST_LEAD, LONGEST_LAG = 3.0, 2.0        # s: how long before and after the record events are listed
CLOSEST = 0.24                              # s: no two beats come closer
FREE = -1                                   # the beat of an event that belongs to none
SINUS_P, LOW_P, LEFT_P, HIGH_P, RETROGRADE_P = range(5)
FOCI = (LOW_P, LEFT_P, HIGH_P)


@dataclass
class Trace:
    """The events of one record, written down in the order of time.

    mean_rr (s): what the QT follows. breathing: rate in Hz and phase of the respiration. r, kind: the beats. waves: P waves
    as (beat or FREE, offset in s from that beat's QRS onset or from the record's start, shape). spikes: pacing pulses as
    (beat, offset). flutter: rate in Hz and phase of the flutter waves. compensated: pauses after PVCs are.
    """

    mean_rr: float
    breathing: tuple[float, float] = (0.25, 0.0)
    r: list[float] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    waves: list[tuple[int, float, int]] = field(default_factory=list)
    spikes: list[tuple[int, float]] = field(default_factory=list)
    flutter: tuple[float, float] | None = None
    compensated: bool = False

    def beat(self, rr: float, kind: int) -> int:
        """Add a beat `rr` seconds after the last one; returns its place."""
        self.r.append(self.r[-1] + max(rr, CLOSEST))
        self.kind.append(kind)
        return len(self.r) - 1

    def begin(self, rng: np.random.Generator, kind: int = SINUS) -> int:
        """Add the first beat, at a random phase well before the record."""
        self.r.append(-LONGEST_LEAD + rng.random() * self.mean_rr)
        self.kind.append(kind)
        return 0

    def wave(self, beat: int, offset: float, shape: int) -> None:
        self.waves.append((beat, offset, shape))

    def spike(self, beat: int, offset: float) -> None:
        self.spikes.append((beat, offset))

    @property
    def now(self) -> float:
        """Time of the last beat (s)."""
        return self.r[-1]


@dataclass(frozen=True)
class Listed:
    """Events of many records: beat [R, A] (FREE: none), offset [R, A] in s, NaN where there is no event; shape [R, A]."""

    beat: np.ndarray
    offset: np.ndarray
    shape: np.ndarray

    def times(self, qrs_on: np.ndarray) -> np.ndarray:
        """Seconds from the start of the record [R, A], from the QRS onsets [R, B]."""
        anchor = np.take_along_axis(qrs_on, np.maximum(self.beat, 0), 1) if self.beat.size else np.zeros(self.beat.shape)
        return np.where(self.beat == FREE, 0.0, anchor) + self.offset


def none_listed(n: int) -> Listed:
    """No event in any of n records."""
    empty = np.zeros((n, 0))
    return Listed(empty.astype(np.int64), empty, empty.astype(np.int64))


def list_events(events: list[list[tuple]], width: int) -> Listed:
    """(beat, offset[, shape]) of each record, padded to `width`; events beyond it are dropped, and lie after the record."""
    beat = np.full((len(events), width), FREE, np.int64)
    offset, shape = np.full(beat.shape, np.nan), np.zeros(beat.shape, np.int64)
    for row, given in enumerate(events):
        for k, (anchor, shift, *rest) in enumerate(given[:width]):
            beat[row, k], offset[row, k], shape[row, k] = anchor, shift, rest[0] if rest else 0
    return Listed(beat, offset, shape)


def width_for(seconds: float) -> int:
    """How many events a record of this length is given room for; the same in every block, so that blocks can be joined."""
    return int(np.ceil((LONGEST_LEAD + LONGEST_LAG + seconds) / CLOSEST)) + 4


def to_rhythm(traces: list[Trace], seconds: float) -> Rhythm:
    """The beats of the traces as arrays [R, B]; beats that fill up the rows come one a second after the record."""
    width = width_for(seconds)
    r = np.empty((len(traces), width))
    kind = np.empty(r.shape, np.int64)
    for row, trace in enumerate(traces):
        used = min(len(trace.r), width)
        r[row, :used], kind[row, :used] = trace.r[:used], trace.kind[:used]
        filling = np.arange(1, width - used + 1)
        r[row, used:], kind[row, used:] = trace.r[used - 1] + filling, trace.kind[used - 1]
    mean_rr = np.array([trace.mean_rr for trace in traces])
    rate, phase = np.array([trace.breathing for trace in traces]).T[:, :, None]
    rr = np.diff(r, axis=1, prepend=(r[:, 0] - mean_rr)[:, None])
    compensated = np.array([trace.compensated for trace in traces])
    return Rhythm(r, rr, kind, mean_rr, compensated, np.sin(2 * np.pi * rate * r + phase))
