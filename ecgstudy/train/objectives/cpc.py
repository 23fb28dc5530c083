r"""Contrastive predictive coding: which sample of this record comes `distance` later?

$$\mathcal{L} = -\frac1{BA}\sum_{b,t}\log\frac{e^{s_{b,t,t+k}}}{e^{s_{b,t,t+k}} + \sum_{j \in \mathcal{N}_{b,t}} e^{s_{b,t,j}}},
\qquad s_{b,t,j} = z_{b,j}^\top W c_{b,t}$$

No temperature and no norm: a score may be as large as the network makes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.checks import require_count
from ecgstudy.models.sampling import at_rate
from ecgstudy.train.feed import Batch


@dataclass(frozen=True)
class Draw:
    """What is compared: of each record A anchors [B, A], each with its positive and M distractors, the positive first [B, A, 1 + M]."""

    anchors: Tensor
    candidates: Tensor


def cpc(model: nn.Module, batch: Batch, generator: torch.Generator, *, distance: int = 12, distractors: int = 128, anchors: int = 0,
        crop: int = 0) -> dict[str, Tensor]:
    """Loss, averaged over anchors, and `accuracy`, the share of anchors whose positive scores above all their distractors.

    model: has `latents`, `context`, `predictor` and `signal`, as `models.cpc_ssl.CPC`. distance: k, in samples at 100 Hz. distractors: M,
    drawn with replacement, evenly from all positions of the same record but t + k. anchors: how many t of each record, drawn without
    replacement; 0: all. crop: samples at 100 Hz of the window, at a random place of each record, that is looked at; 0: the record.
    generator: on the CPU.

    Source: the official code of Mehari and Strodthoff (2022), where one distance alone is scored. Departure: the mean over anchors,
    there a sum. A record's zero padding is drawn like any other sample, there as here.

    Raises ConfigurationError for a setting below its least value, and for a crop, a distance or anchors that the record is too short for.
    """
    require_count("distance", distance)
    require_count("distractors", distractors)
    require_count("anchors", anchors, least=0)
    require_count("crop", crop, least=0)
    x = cropped(batch.signals, at_rate(crop, model.signal), generator) if crop else batch.signals
    z = model.latents(x)
    drawn = draw(len(z), z.shape[1], generator, at_rate(distance, model.signal), distractors, anchors, z.device)
    found = scores(model.predictor, z, model.context(z), drawn)
    loss = F.cross_entropy(found.flatten(0, 1), found.new_zeros(found[..., 0].numel(), dtype=torch.long))
    return {"loss": loss, "accuracy": recognised(found).float().mean()}


def cropped(x: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
    """A window of `n_samples` at a random place of each record: x [B, L, T] -> [B, L, n_samples]. ConfigurationError where T is less."""
    if n_samples > x.shape[-1]:
        raise ConfigurationError(f"a crop of {n_samples} samples does not fit records of {x.shape[-1]}; use at most that, or 0 for all")
    starts = torch.randint(x.shape[-1] - n_samples + 1, (len(x), 1, 1), generator=generator)            # [B, 1, 1]
    places = (starts + torch.arange(n_samples)).to(x.device)                                            # [B, 1, n]
    return x.gather(2, places.expand(-1, x.shape[1], -1))                                               # [B, L, n]


def draw(n_records: int, n_samples: int, generator: torch.Generator, distance: int, distractors: int, anchors: int = 0,
         device: torch.device | str = "cpu") -> Draw:
    """Anchors, positives and distractors for records of `n_samples`, on `device`; sizes as in `cpc`, in samples.

    ConfigurationError where the records are too short.
    """
    n_anchors = n_samples - distance                                            # those whose positive lies inside the record
    if n_anchors < 1:
        raise ConfigurationError(f"a distance of {distance} samples leaves no anchor in {n_samples}; use less, or a longer crop")
    if anchors > n_anchors:
        raise ConfigurationError(f"anchors is {anchors}, and {n_samples} samples have only {n_anchors} with one {distance} later; use at "
                                 "most that, or 0 for all")
    t = torch.arange(n_anchors).expand(n_records, -1)                                                   # [B, A]
    if anchors:
        t = torch.rand(n_records, n_anchors, generator=generator).argsort(dim=1)[:, :anchors]           # [B, A]
    t = t.to(device)
    positives = (t + distance)[..., None]                                                               # [B, A, 1]
    # Millions of numbers a step at full size: drawn narrow, and all else is done on the device.
    others = torch.randint(n_samples - 1, (*t.shape, distractors), generator=generator, dtype=torch.int32).to(device)   # [B, A, M]
    others = others + (others >= positives)     # one step on from the positive: even over all the rest
    return Draw(t, torch.cat([positives, others.long()], dim=-1))


def scores(predictor: nn.Module, z: Tensor, c: Tensor, drawn: Draw) -> Tensor:
    """z_j^T W c_t of every candidate j, the positive's first: latents [B, T, D], contexts [B, T, C] -> float32 [B, A, 1 + M]."""
    at_anchors = c.gather(1, drawn.anchors[..., None].expand(-1, -1, c.shape[-1]))                      # [B, A, C]
    # Each anchor against the whole record, then a choice of scores: the latents of all candidates side by side would be D times as large.
    # Not in bf16: scores are not normalised, and near 100 its steps are 0.5 wide, which would decide who is first.
    with torch.autocast(z.device.type, enabled=False):
        everywhere = predictor(at_anchors.float()) @ z.float().transpose(1, 2)                          # [B, A, T]
    return everywhere.gather(2, drawn.candidates)                                                       # [B, A, 1 + M]


def recognised(found: Tensor) -> Tensor:
    """Whether the positive scores above every distractor; a tie is no. scores [B, A, 1 + M] -> bool [B, A]"""
    return found[..., 0] > found[..., 1:].amax(dim=-1)
