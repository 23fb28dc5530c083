r"""MVMS-Net: six lead views, each with a network of its own, added with learned gates.

Leads that look at the heart from one side show one side of it. A first convolution over all twelve mixes them before anything
was found in any of them. Here the leads are parted into six anatomical *views*, and each view passes its own small network to a vector
$f_v$. What a view has to say is then weighed by a gate that reads nothing but that view:

$$f = \sum_{v=1}^{6} \sigma(a_v^\top f_v + b_v)\, f_v,\qquad z = W f + b.$$

So a logit is a sum over views, $z = b + \sum_v \sigma(\cdot)\, W f_v$, and can be read view by view. Six networks cost six times as much
as one. The paper therefore teaches a *student*, the network of one view on all leads at hand (twelve, or a single one), what the six know.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.channel import CoordinateAttention
from ecgstudy.layers.checks import require_count, require_odd
from ecgstudy.layers.pooling import MeanHead
from ecgstudy.leads import LEADS
from ecgstudy.models.registry import register
from ecgstudy.models.sampling import odd_at_rate
from ecgstudy.signal import SignalSpec

PAPER = ("S. Yang, C. Lian, Z. Zeng, B. Xu, J. Zang, Z. Zhang, A Multi-View Multi-Scale Neural Network for Multi-Label ECG Classification, "
         "IEEE Transactions on Emerging Topics in Computational Intelligence, 2023, IEEE Xplore 10021962 "
         "(doi 10.1109/TETCI.2023.3235374 from memory, to be checked)")
# view -> the leads that look from there, in the order of the published code; the names are this study's
VIEWS = {"right": ("aVR",), "high lateral": ("I", "aVL"), "septal": ("V1", "V2"), "anterior": ("V3", "V4"), "low lateral": ("V5", "V6"),
         "inferior": ("II", "III", "aVF")}
SETS_OF_VIEWS = ("six", "one")
SCALES = 4              # equal parts of a block's middle
BASE = (26, 64)         # a part is 26 / 64 as wide as the block's output


# -- a block of several scales ------------------------------------------------------------------------------------------

class Part(nn.Sequential):
    """One part's convolution, its norm and activation: [B, dim, N] -> [B, dim, ceil(N / stride)]."""

    def __init__(self, dim: int, kernel: int, stride: int) -> None:
        super().__init__(nn.Conv1d(dim, dim, kernel, stride=stride, padding=kernel // 2, bias=False), nn.BatchNorm1d(dim), nn.Mish())


class Res2Block(nn.Module):
    r"""Widen, convolve in parts, join, narrow, gate by coordinate attention, add the shortcut: [B, dim, N] -> [B, out_dim, ceil(N / 2)].

    The middle $u = \mathrm{BN}(\mathrm{Mish}(W_1 x))$ is split into four parts. In the published code they do not meet:

    $$y_i = K_i * u_i \ (i = 1, 2, 3; \text{stride } 2),\qquad y_4 = \mathrm{AvgPool}_{3, 2}(u_4).$$

    With `hierarchical` they do, as Res2Net (Gao et al., arXiv 1904.01169) prescribes, so that the parts see one, two and three kernels far.
    The length is then halved before the split, by the same pool behind $W_1$:

    $$y_1 = K_1 * u_1,\qquad y_i = K_i * (u_i + y_{i-1}),\qquad y_4 = u_4.$$
    """

    def __init__(self, dim: int, out_dim: int, kernel: int, *, hierarchical: bool = False) -> None:
        super().__init__()
        part = out_dim * BASE[0] // BASE[1]
        self.hierarchical = hierarchical
        self.expand = nn.Conv1d(dim, SCALES * part, 1, bias=False)
        self.activation, self.expand_norm = nn.Mish(), nn.BatchNorm1d(SCALES * part)
        self.parts = nn.ModuleList(Part(part, kernel, 1 if hierarchical else 2) for _ in range(SCALES - 1))
        self.pool = nn.AvgPool1d(3, stride=2, padding=1)
        self.reduce = nn.Sequential(nn.Conv1d(SCALES * part, out_dim, 1, bias=False), nn.BatchNorm1d(out_dim))
        self.attention = CoordinateAttention(out_dim)
        self.shortcut = nn.Sequential(nn.Conv1d(dim, out_dim, 1, stride=2), nn.BatchNorm1d(out_dim))

    def forward(self, x: Tensor) -> Tensor:
        wide = self.expand(x)
        if self.hierarchical:
            wide = self.pool(wide)
        *convolved, kept = self.expand_norm(self.activation(wide)).chunk(SCALES, dim=1)             # each [B, part, ...]
        outputs: list[Tensor] = []
        for part, own in zip(self.parts, convolved, strict=True):
            outputs.append(part(own + outputs[-1] if self.hierarchical and outputs else own))
        outputs.append(kept if self.hierarchical else self.pool(kept))
        joined = self.reduce(torch.cat(outputs, dim=1))                                             # [B, out_dim, ceil(N / 2)]
        gated = self.attention(joined.transpose(1, 2)).transpose(1, 2)
        return self.activation(gated + self.shortcut(x))


class ViewNetwork(nn.Sequential):
    """The network of one view, of one or more leads: [B, leads, T] -> [B, 2 width, N]."""

    def __init__(self, n_leads: int, width: int, stem_kernel: int, kernel: int, *, hierarchical: bool) -> None:
        super().__init__(
            nn.Sequential(nn.Conv1d(n_leads, width, stem_kernel, bias=False), nn.BatchNorm1d(width), nn.Mish()),
            Res2Block(width, 2 * width, kernel, hierarchical=hierarchical),
            Res2Block(2 * width, 2 * width, kernel, hierarchical=hierarchical))


# -- the networks -------------------------------------------------------------------------------------------------------

class GatedViews(nn.Module):
    r"""$f = \sum_v \sigma(a_v^\top f_v + b_v)\, f_v$, then one linear map: maps of every view [B, C, V, N] -> logits [B, K].

    $f_v$ is the mean over time of a view's map. Each gate reads its own view; they do not sum to one.
    """

    def __init__(self, dim: int, n_views: int, n_classes: int) -> None:
        super().__init__()
        self.weigh = nn.ModuleList(nn.Linear(dim, 1) for _ in range(n_views))
        self.classify = nn.Linear(dim, n_classes)

    def gates(self, vectors: Tensor) -> Tensor:
        """The gate of each view, from 0 to 1: vectors [B, C, V] -> [B, 1, V]"""
        return torch.stack([weigh(view) for weigh, view in zip(self.weigh, vectors.unbind(dim=-1), strict=True)], dim=-1).sigmoid()

    def forward(self, maps: Tensor) -> Tensor:
        vectors = maps.mean(dim=-1)                                                                 # f_v: [B, C, V]
        return self.classify((self.gates(vectors) * vectors).sum(dim=-1))

    def contributions(self, maps: Tensor) -> Tensor:
        """What each view adds to each logit: maps [B, C, V, N] -> [B, K, V]. Their sum and the bias are the logits."""
        vectors = maps.mean(dim=-1)
        return self.classify.weight @ (self.gates(vectors) * vectors)


class MultiView(nn.Module):
    """A network for each view, side by side, and their gated sum. leads: for each view the rows of the record that it gets."""

    def __init__(self, leads: Sequence[Sequence[int]], views: Sequence[nn.Module], head: GatedViews) -> None:
        super().__init__()
        self.leads = [list(rows) for rows in leads]
        self.views = nn.ModuleList(views)
        self.head = head

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> the last map of every view [B, C, V, N]"""
        return torch.stack([view(x[:, rows]) for view, rows in zip(self.views, self.leads, strict=True)], dim=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


class SingleView(nn.Module):
    """One network on all the leads there are, and no gate: the student."""

    def __init__(self, view: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.view, self.head = view, head

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> [B, C, N]"""
        return self.view(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


@register(
    paper=PAPER,
    fidelity="Written anew from a description of the official code (ysxGitHub/MVMS-net), with its parameter counts met to the unit for the "
             "six views and for the student; the paper's text was not at hand, so its figures and results are not known to this study.",
    choices=("Kernels are given at 100 Hz and grow with the sampling rate.",
             "Short records are padded with zeros; the official code stretches them, which changes the heart rate.",
             "No noise is added; the official code adds it to validation and test records too.",
             "The study's own recipe; the official one is Adam at 1e-3 without decay for 100 epochs.",
             "The names of the views.",
             "The hierarchical block is a setting: the paper's title promises several scales, the parts of the official code have one.",
             "The student is trained on labels alone on this page, without the teacher."),
    sizes={"study": ({}, 2_245_263), "student": ({"views": "one"}, 391_049), "hierarchical": ({"hierarchical": True}, 2_245_263)},
    quick={"width": 16},
)
def mvms_ecg(signal: SignalSpec, n_classes: int, *, views: str = "six", hierarchical: bool = False, width: int = 64, stem_kernel: int = 25,
             kernel: int = 15) -> nn.Module:
    """Six views and their gates, or the student.

    | part, in each view | layers | output at 12 x 1000 and width 64 |
    | --- | --- | --- |
    | stem | Conv25 without padding, BN, Mish | [B, 64, 976] |
    | layer 1 | Res2Block, parts of 52, k 15, stride 2 | [B, 128, 488] |
    | layer 2 | Res2Block, parts of 52, k 15, stride 2 | [B, 128, 244] |
    | features | the six maps side by side | [B, 128, 6, 244] |
    | head | mean over time, a gate a view, sum, Linear | [B, K] |

    views: "six", those of `VIEWS`, which need the twelve leads; "one", the student on whatever leads there are. hierarchical: whether the
    parts of a block feed each other, see `Res2Block`; no parameter more. width: channels of the stem; the blocks have twice as many.
    stem_kernel, kernel: in samples at 100 Hz; they grow with the sampling rate, strides do not.

    Raises ConfigurationError for six views on other than twelve leads, and for a record shorter than the stem's kernel.
    """
    require_known("views", views, SETS_OF_VIEWS)
    if not isinstance(hierarchical, bool):
        raise ConfigurationError(f"hierarchical is {hierarchical!r}; it must be true or false")
    if views == "six" and signal.n_leads != len(LEADS):
        raise ConfigurationError(f"views six parts the twelve leads and the signal has {signal.n_leads}; use views one")
    require_count("width", width, least=2)
    stem = odd_at_rate(require_odd("stem_kernel", stem_kernel), signal)
    if signal.n_samples < stem:
        raise ConfigurationError(f"the signal has {signal.n_samples} samples, fewer than the stem's kernel of {stem}; give at least "
                                 f"{stem / signal.fs:g} s, or a smaller stem_kernel")

    def network(n_leads: int) -> ViewNetwork:
        return ViewNetwork(n_leads, width, stem, odd_at_rate(require_odd("kernel", kernel), signal), hierarchical=hierarchical)

    if views == "one":
        return SingleView(network(signal.n_leads), MeanHead(2 * width, n_classes))
    rows = [[LEADS.index(lead) for lead in leads] for leads in VIEWS.values()]
    return MultiView(rows, [network(len(leads)) for leads in rows], GatedViews(2 * width, len(rows), n_classes))
