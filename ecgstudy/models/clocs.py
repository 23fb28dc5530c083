r"""CLOCS: one small encoder for every lead and every stretch of time, which learns without labels what of one heart belongs together.

**Idea.** To teach a network without labels by comparison one needs two pictures of the same thing. Images are cropped and recoloured
for that; what such a change does to an ECG's diagnosis nobody knows. An ECG brings its own pairs: two neighbouring stretches of one
record (CMSC, over *time*), two leads at one moment (CMLC, over *space*), or both (CMSMLC). A *view* is one lead for some seconds. All
views pass the same encoder $v = f(x)$, and those of one person shall point the same way:

$$s^{ij}_{AB} = \frac{\cos(v^i_A, v^j_B)}{\tau}.$$

What is made of these similarities stands in `train.objectives.clocs`. Here is the encoder, the network that is trained without labels
(`Contrasted`) and the one that is trained with them, which joins what the encoder says of each lead:

$$z = W\,[\bar v_1; \dots; \bar v_L] + b, \qquad \bar v_l = \tfrac12\,(v_{l,1} + v_{l,2}).$$
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.checks import require_count, require_counts
from ecgstudy.models.registry import register
from ecgstudy.signal import SignalSpec

PAPER = ("D. Kiyasseh, T. Zhu, D. A. Clifton, CLOCS: Contrastive Learning of Cardiac Signals Across Space, Time, and Patients, "
         "ICML 2021, PMLR 139, 5606-5615, arXiv 2005.13249")
SEGMENTS = 2            # equal stretches of a record
STAGES = 3
FLAT = 1e-6             # a view that spans less than this is a flat line: it becomes 0, not noise made large
READS = ("leads", "views")


# -- the encoder --------------------------------------------------------------------------------------------------------

class Stage(nn.Sequential):
    """Convolve without padding, halve, drop: [R, dim, N] -> [R, out_dim, floor(ceil((N - kernel + 1) / stride) / 2)]."""

    def __init__(self, dim: int, out_dim: int, kernel: int, stride: int, dropout: float) -> None:
        super().__init__(nn.Conv1d(dim, out_dim, kernel, stride=stride), nn.BatchNorm1d(out_dim), nn.ReLU(), nn.MaxPool1d(2),
                         nn.Dropout(dropout))


def steps_left(n_samples: int, kernel: int, strides: Sequence[int]) -> int:
    """Time steps behind the stages for a view of `n_samples`; 0 where it is too short.

    >>> steps_left(500, 7, (2, 2, 1)), steps_left(2500, 7, (3, 3, 3)), steps_left(500, 7, (3, 3, 3))
    (11, 10, 1)
    """
    for stride in strides:
        n_samples = max(0, (n_samples - kernel) // stride + 1) // 2
    return n_samples


def unit_range(views: Tensor) -> Tensor:
    r"""$(x - \min x) / (\max x - \min x)$ of each view, so from 0 to 1; 0 where a view is flat: [..., t] -> [..., t]"""
    low, high = views.aminmax(dim=-1, keepdim=True)
    span = high - low
    return ((views - low) / span.clamp_min(FLAT)).masked_fill(span < FLAT, 0.0)


class ViewEncoder(nn.Module):
    """One view of one lead to one vector: [R, 1, t] -> [R, E]. t is fixed by the last, linear layer.

    The scaling is part of the encoder, so that what is pretrained and what is trained on labels are fed alike.
    """

    def __init__(self, n_samples: int, channels: Sequence[int], kernel: int, strides: Sequence[int], embedding: int,
                 dropout: float) -> None:
        super().__init__()
        self.stages = nn.Sequential(*(Stage(dim, out_dim, kernel, stride, dropout)
                                      for dim, out_dim, stride in zip((1, *channels), channels, strides, strict=False)))
        self.project = nn.Linear(channels[-1] * steps_left(n_samples, kernel, strides), embedding)

    def forward(self, views: Tensor) -> Tensor:
        return self.project(self.stages(unit_range(views)).flatten(1))          # [R, C, N] -> [R, C N] -> [R, E]


class Contrasted(nn.Module):
    """The network that is trained without labels. There is no projection behind the embedding: it is itself what is compared.

    leads_together: whether a view has all leads; here each lead is a view of its own.
    """

    leads_together = False

    def __init__(self, encoder: ViewEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def embed(self, views: Tensor) -> Tensor:
        """views: [R, 1, t] -> [R, E]"""
        return self.encoder(views)

    def forward(self, views: Tensor) -> Tensor:
        return self.embed(views)


# -- the classifier -----------------------------------------------------------------------------------------------------

class JoinedLeads(nn.Module):
    """Mean over the segments, leads side by side, one linear map: [B, E, L, S] -> [B, K]."""

    def __init__(self, embedding: int, n_leads: int, n_classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(embedding * n_leads, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        by_lead = features.mean(dim=-1).transpose(1, 2)                         # [B, L, E]
        return self.classify(by_lead.flatten(1))                                # [B, L E] -> [B, K]


class AveragedViews(nn.Module):
    r"""One linear map for every view, and the mean of their probabilities: [B, E, L, S] -> [B, K].

    Given back as a logit: $z = \log\sum_v \sigma(z_v) - \log\sum_v \sigma(-z_v)$, so that $\sigma(z) = \frac1V\sum_v \sigma(z_v)$.
    """

    def __init__(self, embedding: int, n_classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(embedding, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        logits = self.classify(features.flatten(2).transpose(1, 2))             # [B, L S, K]
        return F.logsigmoid(logits).logsumexp(dim=1) - F.logsigmoid(-logits).logsumexp(dim=1)


class ClocsClassifier(nn.Module):
    """The shared encoder on every lead and segment of a record, and a head."""

    def __init__(self, encoder: ViewEncoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> the embedding of every lead and segment [B, E, L, S]; what two equal segments leave over is not read"""
        n_records, n_leads, n_samples = x.shape
        views = x[..., :n_samples // SEGMENTS * SEGMENTS].reshape(n_records * n_leads * SEGMENTS, 1, -1)    # [B L S, 1, t]
        return self.encoder(views).view(n_records, n_leads, SEGMENTS, -1).permute(0, 3, 1, 2)               # [B, E, L, S]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


# -- builders -----------------------------------------------------------------------------------------------------------

def _encoder(signal: SignalSpec, channels: Sequence[int], kernel: int, strides: Sequence[int], embedding: int,
             dropout: float) -> ViewEncoder:
    channels, strides = require_counts("channels", channels), require_counts("strides", strides)
    for name, values in (("channels", channels), ("strides", strides)):
        if len(values) != STAGES:
            raise ConfigurationError(f"{name} is {list(values)}; give {STAGES}, one a stage")
    require_count("kernel", kernel)
    require_count("embedding", embedding)
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ConfigurationError(f"dropout is {dropout!r}; it must be from 0 up to, but not including, 1")
    n_samples = signal.n_samples // SEGMENTS
    if not steps_left(n_samples, kernel, strides):
        least = next(n for n in range(n_samples, 1 << 30) if steps_left(n, kernel, strides))
        raise ConfigurationError(f"the signal has {signal.n_samples} samples, so a segment has {n_samples}, of which kernels of {kernel} "
                                 f"and strides {list(strides)} leave nothing; give at least {SEGMENTS * least} samples, or smaller strides")
    return ViewEncoder(n_samples, channels, kernel, strides, embedding, float(dropout))


def contrasted(signal: SignalSpec, *, channels: Sequence[int] = (4, 16, 32), kernel: int = 7, strides: Sequence[int] = (2, 2, 1),
               embedding: int = 128, dropout: float = 0.1, reads: str = "leads") -> Contrasted:
    """The network that is trained without labels before `clocs`; the settings are that builder's. `reads` concerns the head alone."""
    require_known("reads", reads, READS)
    return Contrasted(_encoder(signal, channels, kernel, strides, embedding, dropout))


@register(
    paper=PAPER,
    fidelity="Written anew from a description of the official code (danikiyasseh/CLOCS). With its strides and views of 2,500 samples the "
             "encoder has its number of parameters at each of its five embedding sizes.",
    choices=("Strides of 2, 2 and 1: the official ones of 3 are for views of 2,500 samples at 500 Hz, and would leave one time step of a "
             "segment at 100 Hz.",
             "Views of half a record. Kernels and strides do not grow with the sampling rate, as their official sizes depend on it.",
             "A classifier for twelve leads, which joins the leads by name. The official one sees one lead at a time and averages; it is "
             "the setting `reads`.",
             "A flat view becomes 0. The official scaling divides by its range, which is 0.",
             "A padded record is contrasted with its padding; the official records are all long enough.",
             "The loss is the mean over all pairs of views, which the official code means to take and does not (see below)."),
    sizes={"study": ({}, 63_233), "wide": ({"channels": (32, 64, 128)}, 266_761), "views": ({"reads": "views"}, 50_561)},
    pretrainer=contrasted,
)
def clocs(signal: SignalSpec, n_classes: int, *, channels: Sequence[int] = (4, 16, 32), kernel: int = 7,
          strides: Sequence[int] = (2, 2, 1), embedding: int = 128, dropout: float = 0.1, reads: str = "leads") -> nn.Module:
    """The encoder of single leads, on two segments of every lead, and a linear head.

    | part | layers | output at 12 x 1000 |
    | --- | --- | --- |
    | views | two halves of each lead, each scaled to [0, 1] | [24 B, 1, 500] |
    | stage 1 | Conv7 1 -> 4 stride 2, BN, ReLU, MaxPool 2, dropout | [24 B, 4, 123] |
    | stage 2 | Conv7 4 -> 16 stride 2, the same | [24 B, 16, 29] |
    | stage 3 | Conv7 16 -> 32 stride 1, the same | [24 B, 32, 11] |
    | project | flatten, Linear | [24 B, 128] |
    | features | the views of a record | [B, 128, 12, 2] |
    | head | mean over segments, leads joined, Linear | [B, K] |

    The encoder has 49,400 parameters. channels, strides: of the three stages. kernel: in samples, of all stages. embedding: E. reads:
    "leads", the head above; "views", the official one, a linear map for each view and the mean of the probabilities.

    Raises ConfigurationError for a record whose half is too short for the stages, and for settings of another kind.
    """
    encoder = _encoder(signal, channels, kernel, strides, embedding, dropout)
    head = JoinedLeads(embedding, signal.n_leads, n_classes) if require_known("reads", reads, READS) == "leads" else \
        AveragedViews(embedding, n_classes)
    return ClocsClassifier(encoder, head)
