r"""CPC: a network that learns from unlabelled records by recognising what comes an eighth of a second later.

**Idea.** Labels are scarce and recordings are not. Nobody has to annotate which sample follows which, so that is what the network
is asked first. An encoder turns each sample into a latent, a recurrent network sums up the latents so far, and the summary at time
$t$ has to pick the latent at $t + k$ out of distractors from the same record. Whoever can do that has had to find out which wave the record
is in and which rhythm it keeps, and a classifier then needs few labels.

**Formulas.** For a record $x \in \mathbb{R}^{L \times T}$ and a distance of $k$ samples:

$$z_t = g_{enc}(x_t),\qquad c_t = g_{ar}(z_1, \dots, z_t),\qquad s_{t,j} = z_j^\top W c_t$$

$$\mathcal{L} = -\log \frac{e^{s_{t,t+k}}}{e^{s_{t,t+k}} + \sum_{j \in \mathcal{N}_t} e^{s_{t,j}}}$$

$g_{enc}$ sees one sample of all leads at a time. Speech models, where the scheme comes from, begin with strided convolutions because
audio has 16,000 samples a second; an ECG at 100 Hz is short enough for the recurrent network to see every sample. The loss itself is
`ecgstudy.train.objectives.cpc`. For classification $W$ is thrown away, and what is left is pooled over time:

$$o = A\,\big[\operatorname{mean}_t c_t;\ \max_t c_t;\ c_T\big] + b.$$
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecgstudy.errors import require_known
from ecgstudy.layers.checks import require_count
from ecgstudy.models.registry import register
from ecgstudy.signal import SignalSpec

PAPER = ("T. Mehari, N. Strodthoff, Self-supervised representation learning from 12-lead ECG data, Computers in Biology and Medicine 141, "
         "105114, 2022 (arXiv 2103.12676); the method: A. van den Oord, Y. Li, O. Vinyals, Representation Learning with Contrastive "
         "Predictive Coding, arXiv 1807.03748")
LAYERS = 4                  # of the encoder
POOLED = 3                  # mean, maximum, last
HIDDEN = 512                # units of the hidden head, at every width
DROPOUTS = (0.25, 0.5)      # of the hidden head, before its first and its second linear map


# -- what is handed on --------------------------------------------------------------------------------------------------

class Latents(nn.Sequential):
    """g_enc, the same small network at every sample: [B, L, T] -> z [B, T, D]."""

    def __init__(self, n_leads: int, width: int) -> None:
        layers: list[nn.Module] = []
        for i in range(LAYERS):
            layers += [nn.Conv1d(width if i else n_leads, width, 1, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
        super().__init__(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).transpose(1, 2)                                   # [B, T, D]


class Context(nn.Module):
    """g_ar, an LSTM from left to right, so that c_t knows nothing after t: z [B, T, D] -> c [B, T, C]."""

    def __init__(self, width: int, context: int, depth: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, context, depth, batch_first=True)

    def forward(self, z: Tensor) -> Tensor:
        return self.lstm(z)[0]                                                      # [B, T, C]


class Summary(nn.Module):
    """The latents and their context, which pretraining hands on together: x [B, L, T] -> c [B, T, C]."""

    def __init__(self, n_leads: int, width: int, context: int, depth: int) -> None:
        super().__init__()
        self.latents = Latents(n_leads, width)
        self.context = Context(width, context, depth)

    def forward(self, x: Tensor) -> Tensor:
        return self.context(self.latents(x))


# -- the network without labels -----------------------------------------------------------------------------------------

class CPC(nn.Module):
    """The network that is pretrained: the encoder, and the map W from a context to the latent that it expects.

    signal: what it was built for; a distance in time is so many samples of it.
    """

    def __init__(self, encoder: Summary, predictor: nn.Linear, signal: SignalSpec) -> None:
        super().__init__()
        self.encoder, self.predictor, self.signal = encoder, predictor, signal

    def latents(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> z [B, T, D]"""
        return self.encoder.latents(x)

    def context(self, z: Tensor) -> Tensor:
        """z: [B, T, D] -> c [B, T, C]"""
        return self.encoder.context(z)

    def forward(self, x: Tensor) -> Tensor:
        """What is expected after each sample, W c: x [B, L, T] -> [B, T, D]"""
        return self.predictor(self.encoder(x))


# -- the classifier -----------------------------------------------------------------------------------------------------

class Pool(nn.Module):
    """Mean over time, maximum over time and the last step, side by side: features [B, C, T] -> [B, 3 C]."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features.mean(dim=-1), features.amax(dim=-1), features[..., -1]], dim=-1)     # [B, 3 C]


def _linear_head(dim: int, n_classes: int) -> nn.Sequential:
    return nn.Sequential(Pool(), nn.Linear(dim, n_classes))


def _hidden_head(dim: int, n_classes: int) -> nn.Sequential:
    return nn.Sequential(Pool(), nn.BatchNorm1d(dim), nn.Dropout(DROPOUTS[0]), nn.Linear(dim, HIDDEN), nn.ReLU(),
                         nn.BatchNorm1d(HIDDEN), nn.Dropout(DROPOUTS[1]), nn.Linear(HIDDEN, n_classes))


HEADS = {"linear": _linear_head, "hidden": _hidden_head}


class ContextClassifier(nn.Module):
    """The pretrained part and a head on its contexts."""

    def __init__(self, encoder: Summary, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> [B, C, T], the context after each sample"""
        return self.encoder(x).transpose(1, 2)                                      # [B, C, T]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


def pretrainer(signal: SignalSpec, *, width: int = 512, context: int = 512, depth: int = 2, head: str = "linear") -> CPC:
    """The network that `cpc_ssl` of the same settings is pretrained as; it has no head, so `head` changes nothing. W has no bias.

    5,261,312 parameters at the study size.
    """
    encoder = _encoder(signal, width, context, depth, head)
    return CPC(encoder, nn.Linear(context, width, bias=False), signal)


def _encoder(signal: SignalSpec, width: int, context: int, depth: int, head: str) -> Summary:
    for name, value in (("width", width), ("context", context), ("depth", depth)):
        require_count(name, value)
    require_known("head", head, HEADS)
    return Summary(signal.n_leads, width, context, depth)


@register(
    paper=PAPER,
    fidelity="Written anew from a description of the official code (tmehari/ecg-selfsupervised): layers, the loss and its draws, with the "
             "parameter counts of pretraining, linear evaluation and fine-tuning met to the unit. The reported scores are those that a "
             "later repository quotes from the paper.",
    choices=(
        "A record is classified whole, in ten seconds, under the study's protocol. The official code cuts windows of 2.5 s, 1.25 s apart, "
        "and averages their probabilities, so its LSTM never has to carry anything further.",
        "One linear head for the probe, for fine-tuning and from scratch, so that the three differ in their training alone. The official "
        "code fine-tunes with a hidden layer in the head, which is the setting head \"hidden\".",
        "The loss is averaged over anchors; the official code adds them up, which multiplies its size by the 988 anchors of a record.",
        "Pretraining on the training folds of one data set. The paper's collection is larger by far.",
        "One mean and deviation for all leads, from the training folds; the official code scales each lead by PTB-XL's, whatever the "
        "data set.",
    ),
    sizes={
        "study": ({}, 5_013_001),
        "hidden head": ({"head": "hidden"}, 5_794_825),
        "compact": ({"width": 256, "context": 256}, 1_261_321),
        "compact, hidden head": ({"width": 256, "context": 256, "head": "hidden"}, 1_655_305),
    },
    quick={"width": 48, "context": 48},
    pretrainer=pretrainer)
def cpc_ssl(signal: SignalSpec, n_classes: int, *, width: int = 512, context: int = 512, depth: int = 2,
            head: str = "linear") -> ContextClassifier:
    """The encoder that `CPC` pretrains, and a head.

    | part | layers | output at 12 x 1000 |
    | --- | --- | --- |
    | encoder.latents | 4 x (Conv1 without bias, BN, ReLU) | [B, 1000, 512] |
    | encoder.context | LSTM of 2 layers, left to right | [B, 1000, 512] |
    | features | the contexts, time last | [B, 512, 1000] |
    | head "linear" | mean, maximum and last step side by side, Linear | [B, K] |
    | head "hidden" | the same pooling, BN, dropout 0.25, Linear 512, ReLU, BN, dropout 0.5, Linear | [B, K] |

    width: D, of the latents. context: C, units of each LSTM layer. depth: LSTM layers. No size here means time: a latent is one sample
    at every sampling rate.
    """
    encoder = _encoder(signal, width, context, depth, head)
    return ContextClassifier(encoder, HEADS[head](POOLED * context, n_classes))
