r"""MINA: attention over waves, over time and over frequency bands, each steered by a simple medical hint.

**Idea.** Hand-made features are fragile as evidence, but good advice on where to look. MINA splits the record into bands and cuts each
into short segments. A sharp change (first difference) says where in a segment something happens; an unusual spread (standard
deviation) says in which segment; much power says in which band. Each hint joins the features only where the attention weights
are computed, never in what is summed, so the network may overrule it, and the three weight maps can be read.

**Formulas.** With $L$ the convolution's features inside a segment, $H$ the LSTM's over segments, $Q$ one vector a band:

$$\alpha = \mathrm{softmax}\big(V_\alpha^\top \tanh(W_\alpha^\top [L; K_{beat}])\big), \qquad o = \sum_i \alpha_i L_i$$

$$\beta = \mathrm{softmax}\big(V_\beta^\top \tanh(W_\beta^\top [H; K_{rhythm}])\big), \qquad c = \sum_m \beta_m H_m$$

$$\gamma = \mathrm{softmax}\big(V_\gamma^\top \tanh(W_\gamma^\top [Q; K_{freq}])\big), \qquad \ell = W \sum_f \gamma_f Q_f + b$$

The hints: $K_{beat} = \mathrm{ReLU}(\mathrm{Conv}(|x_t - x_{t-1}|))$; $K_{rhythm}$ the standard deviation of a segment; and
$K_{freq} = \log(1 + \overline{x^2})$ of a band. The paper sums a periodogram for the last; by Parseval that is the band's power and
needs no spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.bands import BandFilters
from ecgstudy.layers.checks import require_count
from ecgstudy.models.registry import register
from ecgstudy.models.sampling import at_rate
from ecgstudy.signal import SignalSpec

LEVELS = ("beat", "rhythm", "frequency")
CONV_WIDTH, LSTM_WIDTH, ATTENTION_WIDTH = 64, 32, 8
DROPOUT = 0.5
TINY = 1e-12            # under a root, so that a flat segment has a slope


class GuidedAttention(nn.Module):
    r"""A weighted sum whose weights know a hint: values [..., N, D] and knowledge [..., N, 1] -> sum [..., D] and weights [..., N].

    $w = \mathrm{softmax}(V^\top \tanh(W^\top [X; K]))$ over N; the knowledge is not part of what is summed. No biases.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.into = nn.Linear(dim + 1, hidden, bias=False)                      # W
        self.score = nn.Linear(hidden, 1, bias=False)                           # V
        for layer in (self.into, self.score):
            nn.init.normal_(layer.weight, std=layer.in_features ** -0.5)

    def forward(self, values: Tensor, knowledge: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat([values, knowledge.to(values.dtype)], dim=-1)        # [..., N, D + 1]
        weights = self.score(self.into(joined).tanh()).softmax(dim=-2)          # [..., N, 1]
        return (weights * values).sum(dim=-2), weights.squeeze(-1)


@dataclass(frozen=True, eq=False)
class BandReading:
    """One band, read. feature: Q [B, D]. beat: α [B, M, P] and beat_knowledge [B, M, P]; rhythm: β [B, M] and rhythm_knowledge [B, M]."""

    feature: Tensor
    beat: Tensor
    beat_knowledge: Tensor
    rhythm: Tensor
    rhythm_knowledge: Tensor


class BandNetwork(nn.Module):
    """The two inner levels, for one band: [B, L, T] -> Q [B, width]."""

    def __init__(self, n_leads: int, segment: int, kernel: int, stride: int, width: int, knowledge: Sequence[str]) -> None:
        super().__init__()
        self.segment, self.knowledge = segment, tuple(knowledge)
        self.conv = nn.Sequential(nn.Conv1d(n_leads, CONV_WIDTH, kernel, stride=stride), nn.ReLU())
        self.sharpness = nn.Sequential(nn.Conv1d(n_leads, 1, kernel, stride=stride), nn.ReLU())
        nn.init.zeros_(self.sharpness[0].bias)      # changes are not negative: with such weights no hint is dead from the start
        with torch.no_grad():
            self.sharpness[0].weight.abs_()
        self.beat = GuidedAttention(CONV_WIDTH, ATTENTION_WIDTH)
        self.lstm = nn.LSTM(CONV_WIDTH, LSTM_WIDTH, batch_first=True, bidirectional=True)
        self.rhythm = GuidedAttention(2 * LSTM_WIDTH, ATTENTION_WIDTH)
        self.project = nn.Sequential(nn.Linear(2 * LSTM_WIDTH, width), nn.ReLU(), nn.Dropout(DROPOUT))

    def read(self, x: Tensor) -> BandReading:
        """x: [B, L, T], one band; samples at the end that do not fill a segment are not read."""
        change = torch.cat([torch.zeros_like(x[..., :1]), x.diff(dim=-1).abs()], dim=-1)            # |x_t - x_{t-1}|, 0 at first
        pieces = self.cut(x)                                                                        # [B, M, L, T']
        n_records = x.shape[0]
        features = self.conv(pieces.flatten(0, 1)).transpose(1, 2).unflatten(0, (n_records, -1))    # [B, M, P, 64]
        sharp = self.sharpness(self.cut(change).flatten(0, 1)).transpose(1, 2).unflatten(0, (n_records, -1))    # [B, M, P, 1]
        spread = (pieces.var(dim=-1, correction=0) + TINY).sqrt().mean(dim=-1, keepdim=True)        # [B, M, 1], mean over leads
        waves, alpha = self.beat(features, self.hint("beat", sharp))                                # o [B, M, 64]
        states, _ = self.lstm(waves)                                                                # H [B, M, 64]
        summary, beta = self.rhythm(states, self.hint("rhythm", spread))                            # c [B, 64]
        return BandReading(self.project(summary), alpha, sharp.squeeze(-1), beta, spread.squeeze(-1))

    def cut(self, x: Tensor) -> Tensor:
        """[B, L, T] -> segments without overlap [B, M, L, T']"""
        return x.unfold(-1, self.segment, self.segment).transpose(1, 2)

    def hint(self, level: str, knowledge: Tensor) -> Tensor:
        """The knowledge of a level, or zeros where the network is built without it."""
        return knowledge if level in self.knowledge else torch.zeros_like(knowledge)


class FrequencyHead(nn.Module):
    """The outer level and the classifier: [B, width + 1, F], each band's feature with its knowledge last -> logits [B, K]."""

    def __init__(self, width: int, hidden: int, n_classes: int) -> None:
        super().__init__()
        self.attention = GuidedAttention(width, hidden)
        self.classify = nn.Linear(width, n_classes)

    def attend(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The sum over bands d [B, width] and the weights γ [B, F]."""
        joined = features.transpose(1, 2)                                       # [B, F, width + 1]
        return self.attention(joined[..., :-1], joined[..., -1:])

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(self.attend(features)[0])


class Mina(nn.Module):
    """Fixed filters, one network a band, attention over bands. The stage table stands at the builder."""

    def __init__(self, bands: BandFilters, networks: Sequence[BandNetwork], head: FrequencyHead, knowledge: Sequence[str]) -> None:
        super().__init__()
        self.bands, self.networks, self.head = bands, nn.ModuleList(networks), head
        self.knows_power = "frequency" in knowledge

    def read(self, x: Tensor) -> tuple[list[BandReading], Tensor]:
        """Each band's reading, and the power K_freq [B, F]. x: [B, L, T]"""
        bands = self.bands(x)                                                   # [B, F, L, T]
        power = bands.square().mean(dim=(-2, -1)).log1p()                       # [B, F]
        return [network.read(band) for network, band in zip(self.networks, bands.unbind(dim=1), strict=True)], power

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> [B, width + 1, F]: each band's feature Q with its knowledge as the last row; the last axis is the band"""
        readings, power = self.read(x)
        features = torch.stack([reading.feature for reading in readings], dim=-1)                   # [B, width, F]
        hint = power if self.knows_power else torch.zeros_like(power)
        return torch.cat([features, hint.unsqueeze(1).to(features.dtype)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


@register(
    paper="S. Hong, C. Xiao, T. Ma, H. Li, J. Sun, MINA: Multilevel Knowledge-Guided Attention for Modeling Electrocardiography Signals, "
          "IJCAI 2019, pp. 5888-5894, arXiv 1905.11333",
    fidelity="Written anew after the authors' published code, whose attention agrees with the paper's formulas as a course notebook "
             "restates them; code and notebook disagree about the filters (first-order Butterworth, or FIR), which is left open.",
    choices=(
        "All leads enter each convolution; the paper reads one lead.",
        "Bands below 0.5, 0.5 to 40 and above 40 Hz: at 100 Hz the paper's band above 50 Hz does not exist.",
        "The filters are Butterworth of order 2 without delay; the published code's are of order 1 and causal.",
        "Segments of 0.20 s and a kernel of 0.11 s, so that a segment keeps its ten positions; the paper has 0.167 s and 0.107 s.",
        "Wider band features (32 for 8) and a wider attention over bands (8 for 2), for nine labels in place of two classes.",
        "A segment's spread is the mean over leads, a band's power is taken over all leads and on a logarithmic scale.",
        "Attention weights start with a standard deviation of one over the root of their inputs, not one.",
        "The convolution of the sharpness starts without a bias and with weights that are not negative, so that no band's hint is dead.",
        "Binary cross-entropy on raw logits; the published code applies softmax twice.",
    ),
    sizes={
        "study": ({}, 148_045),
        "paper": ({"segment": 50, "kernel": 32, "stride": 2, "width": 8, "band_attention": 2}, 206_857),
        "without knowledge": ({"knowledge": ()}, 148_045),
    })
def mina(signal: SignalSpec, n_classes: int, *, edges: tuple[float, ...] = (0.5, 40.0), segment: int = 20, kernel: int = 11,
         stride: int = 1, width: int = 32, band_attention: int = 8, knowledge: tuple[str, ...] = LEVELS) -> nn.Module:
    """MINA; F = 4 bands of M = 50 segments with P = 10 positions for 1,000 samples at 100 Hz.

    | part | layers | output at 12 x 1000 |
    | --- | --- | --- |
    | bands | as it is, below 0.5 Hz, 0.5–40 Hz, above 40 Hz | [B, 4, 12, 1000] |
    | segments of a band | 20 samples, no overlap | [50 B, 12, 20] |
    | beat level | Conv11, ReLU; knowledge: first difference, Conv11, ReLU; attention over positions | [B, 50, 10, 64] -> [B, 50, 64] |
    | rhythm level | BiLSTM; knowledge: standard deviation; attention over segments | [B, 50, 64] -> [B, 64] |
    | band feature | Linear, ReLU, dropout 0.5 | [B, 32] a band |
    | frequency level | knowledge: logarithm of power; attention over bands | [B, 33, 4] -> [B, 32] |
    | head | Linear | [B, K] |

    edges: of the bands, in hertz. segment, kernel, stride: samples at 100 Hz, which grow with the sampling rate. width: of a band's
    feature. band_attention: hidden units of the attention over bands. knowledge: the levels that get their hint, of beat, rhythm,
    frequency; the others get zeros, with all weights kept.

    Every band has its own weights. The signal must not have been filtered before: a record without wander has an empty band.
    `forward_features` is a map over bands, not over time; `read` gives the three levels' weights.

    Raises ConfigurationError for a record shorter than a segment, a kernel longer than one, or an edge above half the sampling rate.
    """
    for name, value in (("segment", segment), ("kernel", kernel), ("stride", stride), ("width", width),
                        ("band_attention", band_attention)):
        require_count(name, value)
    for level in knowledge:
        require_known("knowledge", level, LEVELS)
    if kernel > segment:
        raise ConfigurationError(f"kernel is {kernel}, longer than a segment of {segment}; use at most {segment}")
    length = at_rate(segment, signal)
    if signal.n_samples < length:
        raise ConfigurationError(f"a record of {signal.n_samples} samples is shorter than one segment of {length}; give a longer record or "
                                 "a shorter segment")
    bands = BandFilters(signal, edges)
    networks = [BandNetwork(signal.n_leads, length, at_rate(kernel, signal), at_rate(stride, signal), width, knowledge)
                for _ in bands.names]
    return Mina(bands, networks, FrequencyHead(width, band_attention, n_classes), knowledge)
