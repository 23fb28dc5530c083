"""For models that read a record as a bag of heartbeats: where the beats are, cut out, and put back into the record's slots.

Only beats that exist are cut, all records' behind one another. So the networks that read them see no padding, and their batch norms do
not average over it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ecgstudy.data.beats import find_beats
from ecgstudy.errors import ConfigurationError
from ecgstudy.leads import LEADS
from ecgstudy.signal import SignalSpec

FEWEST = 3              # beats of a record; with fewer, evenly spaced centres stand in
SPACING = 0.8           # seconds between those
SHORTEST = 3.0          # seconds of a record


def require_bag(signal: SignalSpec, most: int) -> int:
    """How many beats are read of a record, where `most` are of ten seconds; ConfigurationError for a record too short for a bag."""
    if signal.seconds < SHORTEST:
        raise ConfigurationError(f"a bag of heartbeats needs {FEWEST} of them, and {signal.n_samples} samples at {signal.fs:g} Hz are only "
                                 f"{signal.seconds:g} s; give records of at least {SHORTEST:g} s")
    return max(FEWEST, math.ceil(most * signal.seconds / 10))


def locate(x: Tensor, beats: Tensor | None, fs: float, most: int) -> Tensor:
    """R-peaks of records x [B, L, T]: int64 [B, S], ascending, then -1; S is at most `most`, and every record has at least FEWEST.

    beats: as in `models.registry.INPUTS`; None: they are found here, in lead II, then V2, of twelve leads, else in the first lead.
    A record with fewer than FEWEST gets a centre every SPACING seconds.
    """
    if beats is None:
        beats = _find(x, fs)
    beats = beats[:, :most]
    even = torch.arange(round(SPACING / 2 * fs), x.shape[-1], round(SPACING * fs), device=x.device)[:most]
    width = max(beats.shape[1], len(even))
    even, beats = (F.pad(each, (0, width - each.shape[-1]), value=-1) for each in (even, beats))
    few = (beats >= 0).sum(dim=1, keepdim=True) < FEWEST                                        # [B, 1]
    return torch.where(few, even, beats)


def _find(x: Tensor, fs: float) -> Tensor:
    records = x.detach().float().cpu().numpy()
    searched = LEADS if x.shape[1] == len(LEADS) else ("II",)
    found = [torch.from_numpy(find_beats(record[:len(searched)], fs, searched)) for record in records]
    return torch.nn.utils.rnn.pad_sequence(found, batch_first=True, padding_value=-1).to(x.device)


def cut(x: Tensor, peaks: Tensor, before: int, length: int) -> Tensor:
    """Windows of `length` samples that begin `before` samples ahead of each peak, zeros outside the record.

    x: [B, L, T]; peaks: [B, S], -1 where there is none. Returns [n, length, L], the n beats in the order of records and times.
    """
    record, slot = (peaks >= 0).nonzero(as_tuple=True)
    inside = peaks[record, slot][:, None] + torch.arange(length, device=x.device)               # [n, length], in the padded record
    padded = F.pad(x, (before, length - before))
    return padded.transpose(1, 2)[record[:, None], inside]


def into_slots(vectors: Tensor, held: Tensor) -> Tensor:
    """Vectors [n, D] of the n beats back in their records: [B, S, D], zeros where `held` [B, S] is false."""
    slots = vectors.new_zeros(*held.shape, vectors.shape[-1])
    slots[held] = vectors
    return slots
