"""A transformer of heartbeats whose self-attention is a light convolution.

The idea: two attentions of different reach, both cheap. Inside a beat's embedding, squeeze-and-excitation asks *which channels* matter
(local attention); over the tokens of the beat, a gated convolution with a handful of averaging kernels stands where self-attention
would (global attention). What happens between beats, the rhythm, is given as numbers: the RR intervals around the beat.

The paper labels single beats; the records here are labelled as a whole. So a record is a bag: each beat is encoded alone, and the mean
and the maximum over beats are classified.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.attention.mhsa import MHSA
from ecgstudy.layers.blocks import Block
from ecgstudy.layers.channel import SqueezeExcite
from ecgstudy.layers.checks import require_count, require_counts, require_divisible
from ecgstudy.layers.light_conv import LightConvAttention
from ecgstudy.layers.positions import LearnedPosition
from ecgstudy.models.heartbeats import cut, into_slots, locate, require_bag
from ecgstudy.models.registry import register
from ecgstudy.models.sampling import at_rate, odd_at_rate
from ecgstudy.signal import SignalSpec

BEFORE, LENGTH = 36, 100                        # samples at 100 Hz: a beat begins 0.36 s ahead of its R-peak and lasts 1 s
EMBEDDING = ((7, 1), (5, 2), (3, 2))            # kernel in samples at 100 Hz, and stride, of the three convolutions
NEAREST = 5                                     # RR intervals of the local mean
N_RHYTHM = 4
MIXERS = ("light_conv", "attention")


class Embed(nn.Module):
    r"""Convolution, BN, ReLU, then each channel weighed by what the whole beat says of it: [n, N, dim] -> [n, ceil(N / stride), out].

    $$h = \mathrm{ReLU}(\mathrm{BN}(W * x)),\qquad y = h \odot \sigma\big(W_2\,\mathrm{ReLU}(W_1 \bar h)\big)$$
    """

    def __init__(self, dim: int, out_dim: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, out_dim, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm1d(out_dim)
        self.gate = SqueezeExcite(out_dim, reduction=8)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.conv(x.transpose(1, 2))).relu()
        return self.gate(hidden.transpose(1, 2))


def encoder_layer(dim: int, kernel: int, n_heads: int, mixer: str, dropout: float) -> Block:
    r"""[n, N, dim] -> [n, N, dim]: $x + \mathrm{LCA}(\mathrm{LN}\,x)$, then $x + W_2\,\mathrm{ReLU}(W_1\,\mathrm{LN}\,x)$."""
    mix = partial(LightConvAttention, kernel=kernel, n_heads=n_heads) if mixer == "light_conv" else partial(MHSA, n_heads=n_heads)
    return Block(dim, norm=nn.LayerNorm, token_mixer=lambda d: nn.Sequential(mix(d), nn.Dropout(dropout)),
                 channel_mixer=lambda d: nn.Sequential(nn.Linear(d, 2 * d), nn.ReLU(), nn.Linear(2 * d, d), nn.Dropout(dropout)))


def rhythm(peaks: Tensor, fs: float) -> Tensor:
    """What stands around each beat in time: peaks [B, S] (-1: none, at least two a record) -> [B, S, 4], zeros where there is none.

    In seconds the RR interval before the beat, the one after it, and the mean of the NEAREST intervals; second but last the interval
    before over the record's mean. A beat at an end takes the missing interval from its neighbour.
    """
    held = peaks >= 0
    last = held.sum(dim=1, keepdim=True) - 1                                    # [B, 1], place of the last beat
    place = torch.arange(peaks.shape[1], device=peaks.device).expand_as(peaks)

    def mean_interval(begin: Tensor, end: Tensor) -> Tensor:
        """Mean of the intervals from beat `begin` to beat `end`: they add up to the time between the two."""
        begin, end = torch.minimum(begin.clamp(min=0), last - 1), torch.minimum(end, last)
        return (peaks.gather(1, end) - peaks.gather(1, begin)) / (end - begin) / fs

    before = mean_interval((place - 1).clamp(min=0), place.clamp(min=1))
    after = mean_interval(place, place + 1)
    record = mean_interval(torch.zeros_like(place), last.expand_as(place))
    start = torch.minimum(place - 3, last - NEAREST).clamp(min=0)               # the five intervals of which the third ends at the beat
    near = mean_interval(start, start + NEAREST)
    found = torch.stack([before, after, before / record, near], dim=-1)
    return found.masked_fill(~held[..., None], 0.0)


class BagHead(nn.Module):
    """Mean and maximum over the beats that exist, dropout, Linear: [B, dim, S] and held [B, S] -> [B, K]; every beat where held is None."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.classify = nn.Linear(2 * dim, n_classes)

    def forward(self, features: Tensor, held: Tensor | None = None) -> Tensor:
        held = torch.ones_like(features[:, 0], dtype=torch.bool) if held is None else held
        mean = features.masked_fill(~held[:, None], 0.0).sum(dim=-1) / held.sum(dim=1, keepdim=True)
        highest = features.masked_fill(~held[:, None], float("-inf")).amax(dim=-1)
        return self.classify(self.drop(torch.cat([mean, highest], dim=1)))


class LightweightTransformer(nn.Module):
    """See `lightweight_transformer`, the builder, for the stages and their shapes."""

    def __init__(self, signal: SignalSpec, n_classes: int, widths: Sequence[int], kernels: Sequence[int], n_heads: int, mixer: str,
                 most: int, dropout: float) -> None:
        super().__init__()
        self.fs, self.most = signal.fs, require_bag(signal, most)
        self.before, self.length = at_rate(BEFORE, signal), at_rate(LENGTH, signal)
        dims = (signal.n_leads, *widths)
        self.embed = nn.Sequential(*(Embed(dims[i], dims[i + 1], odd_at_rate(kernel, signal), stride)
                                     for i, (kernel, stride) in enumerate(EMBEDDING)))
        n_tokens, dim = -(-self.length // 4), widths[-1]
        self.position = LearnedPosition(n_tokens, dim)
        self.encoder = nn.Sequential(*(encoder_layer(dim, odd_at_rate(kernel, signal), n_heads, mixer, dropout) for kernel in kernels))
        self.norm = nn.LayerNorm(dim)
        self.join_rhythm = nn.Sequential(nn.Linear(dim + N_RHYTHM, dim), nn.ReLU())
        self.head = BagHead(dim, n_classes)

    def read(self, x: Tensor, beats: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x: [B, L, T] -> the vectors of its beats [B, C, S], and which slots hold one [B, S]."""
        peaks = locate(x, beats, self.fs, self.most)
        held = peaks >= 0
        tokens = self.embed(cut(x, peaks, self.before, self.length))                            # [n, 25, C]
        tokens = self.norm(self.encoder(self.position(tokens)))
        vectors = torch.cat([tokens.mean(dim=1), rhythm(peaks, self.fs)[held].to(tokens.dtype)], dim=1)       # [n, C + 4]
        return into_slots(self.join_rhythm(vectors), held).transpose(1, 2), held

    def forward_features(self, x: Tensor, beats: Tensor | None = None) -> Tensor:
        """x: [B, L, T] -> [B, C, S], one vector a beat, zeros in empty slots"""
        return self.read(x, beats)[0]

    def forward(self, x: Tensor, beats: Tensor | None = None) -> Tensor:
        return self.head(*self.read(x, beats))


@register(
    paper="L. Meng, W. Tan, J. Ma, R. Wang, X. Yin, Y. Zhang, Enhancing dynamic ECG heartbeat classification with lightweight transformer "
          "model, Artificial Intelligence in Medicine 124, 102236, 2022, doi 10.1016/j.artmed.2022.102236",
    fidelity="Built from the paper's abstract, the abstract of its parent model and the general form of the LightConv block, without "
             "official code: that an embedding with channel attention, a gated light convolution in the place of self-attention, and "
             "rhythm features belong together is the paper's; depth, width, kernels and recipe are not known.",
    choices=("Every width, kernel and depth, and eight shared kernels with a softmax over their taps.",
             "A beat is one second, from 0.36 s ahead of its R-peak, in twelve leads; the paper has one lead.",
             "Rhythm is four numbers: the RR interval before and after, the one before over the record's mean, the mean of five.",
             "Records are labelled, not beats: mean and maximum over at most 24 beats of ten seconds are classified.",
             "A record with fewer than three R-peaks is read at a centre every 0.8 s.",
             "R-peaks are neither moved nor the signal noised in training: the recipe is the study's for every network."),
    sizes={"study": ({}, 530565), "attention": ({"mixer": "attention"}, 596293)},
    inputs=("beats",), quick={"widths": (16, 32, 64)}, head_on_features=False)
def lightweight_transformer(signal: SignalSpec, n_classes: int, *, widths: Sequence[int] = (32, 64, 128),
                            kernels: Sequence[int] = (3, 7, 15, 15), heads: int = 8, mixer: str = "light_conv", most: int = 24,
                            dropout: float = 0.1) -> nn.Module:
    """The LightConv transformer on R-peak beats.

    widths: channels of the three embedding convolutions. kernels: one encoder layer each, in tokens at 100 Hz. heads: kernels that a
    layer shares among its channels. mixer: "light_conv", or "attention" for the self-attention that it replaces. most: beats of ten
    seconds. dropout: of each residual branch.

    | stage | layers | output for n beats in S slots of B records, 100 Hz |
    | --- | --- | --- |
    | beats | R − 0.36 s … R + 0.63 s | [n, 100, 12] |
    | embed | Conv7, Conv5 stride 2, Conv3 stride 2, each with BN, ReLU, SE | [n, 100, 32], [n, 50, 64], [n, 25, 128] |
    | position | learned, added | [n, 25, 128] |
    | encoder | four layers: LightConv attention, MLP | [n, 25, 128] |
    | beat | LN, mean over tokens, RR features joined, Linear, ReLU | [B, 128, S] |
    | head | mean and maximum over beats, Linear | [B, K] |

    Departures from the paper, where it is known: twelve leads, and whole records as bags of beats. The parent model has batch norm in
    the place of dropout; the encoder here keeps layer norm and dropout, as LightConv's own.
    """
    widths, kernels = require_counts("widths", widths), require_counts("kernels", kernels)
    if len(widths) != len(EMBEDDING):
        raise ConfigurationError(f"widths is {widths}; give {len(EMBEDDING)}, one for each convolution of the embedding")
    require_divisible("the last width", widths[-1], "heads", require_count("heads", heads))
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ConfigurationError(f"dropout is {dropout!r}; it must be at least 0 and below 1")
    return LightweightTransformer(signal, n_classes, widths, kernels, heads, require_known("mixer", mixer, MIXERS),
                                  require_count("most", most), dropout)
