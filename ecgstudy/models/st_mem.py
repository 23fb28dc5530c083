r"""ST-MEM: three quarters of every lead hidden, and a transformer that learns to fill them in before it sees a label.

Each lead is cut by itself into patches of 0.3 s, so that a token is a place in time *and* a lead. A patch $x_{l,i}$ becomes

$$t_{l,i} = \mathrm{LN}\big(W\,\mathrm{LN}(x_{l,i}) + b\big) + p_i + e_l,$$

with one table $p$ of places for all leads and a learned vector $e_l$ for each lead. The encoder gets the tokens of all leads at once. In
pretraining most of them are left out, and a small decoder, which works on one lead at a time, has to predict what was hidden there:
what another lead knows can reach it through the encoder alone.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.attention import MHSA
from ecgstudy.layers.blocks import Block
from ecgstudy.layers.checks import require_count, require_divisible
from ecgstudy.layers.mixers import MLP
from ecgstudy.layers.positions import SinusoidalPosition
from ecgstudy.models.registry import register
from ecgstudy.models.sampling import at_rate
from ecgstudy.signal import SignalSpec

PAPER = ("Y. Na, M. Park, Y. Tae, S. Joo, Guiding Masked Representation Learning to Capture Spatio-Temporal Relationship of "
         "Electrocardiogram, ICLR 2024, arXiv 2402.09450")
FEWEST_PATCHES = 4      # in a lead: with three quarters hidden one is left
HIDDEN_UNITS = 4        # of a block's MLP, over its width
SEPARATORS = 2          # in a lead: one at each end
FLAT = 1e-6             # added to a patch's variance, in the units of the input


# -- patches ------------------------------------------------------------------------------------------------------------

def standardise(patches: Tensor) -> Tensor:
    r"""$\tilde x = (x - \mu) / \sqrt{\mathrm{Var}(x) + 10^{-6}}$, each patch by its own mean and variance: [..., p] -> [..., p].

    The variance is that of the p samples themselves (divided by p): predicting zeros then costs exactly 1 a sample, but for flat patches.
    """
    mean, variance = patches.mean(dim=-1, keepdim=True), patches.var(dim=-1, correction=0, keepdim=True)
    return (patches - mean) / (variance + FLAT).sqrt()


def hidden_patches(kept: Tensor, n_patches: int) -> Tensor:
    """Which patches a network did not get, in the order of time: kept int64 [B, L, k], their places -> bool [B, L, n]."""
    return torch.ones(*kept.shape[:2], n_patches, dtype=torch.bool, device=kept.device).scatter(2, kept, False)


def places(n_patches: int, width: int) -> Tensor:
    """Sines and cosines of a patch's place, between a row of zeros at either end for the separators: [n + 2, width]."""
    table = SinusoidalPosition()(torch.zeros(1, n_patches, width))[0]
    return torch.cat([torch.zeros(1, width), table, torch.zeros(1, width)])


def blocks(width: int, depth: int, heads: int) -> nn.Sequential:
    """`depth` pre-norm transformer blocks: [B, N, width] -> [B, N, width]."""
    attention, mlp = partial(MHSA, n_heads=heads), partial(MLP, ratio=HIDDEN_UNITS)
    return nn.Sequential(*(Block(width, norm=nn.LayerNorm, token_mixer=attention, channel_mixer=mlp) for _ in range(depth)))


# -- the two halves -----------------------------------------------------------------------------------------------------

class Encoder(nn.Module):
    """All leads' tokens together: signal [B, L, T] -> [B, L, m + 2, D] of m patches a lead, a separator at either end.

    The LayerNorm before the first linear map takes its own mean and amplitude from every patch, so that what is learned is shape.
    The table of places is fixed. Longer records are read in their middle, shorter ones as far as they hold whole patches.
    """

    def __init__(self, n_leads: int, n_patches: int, patch: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.patch, self.n_patches = patch, n_patches
        self.embed = nn.Sequential(nn.LayerNorm(patch), nn.Linear(patch, width), nn.LayerNorm(width))
        self.separator = nn.Parameter(torch.empty(width))
        self.leads = nn.Parameter(torch.empty(n_leads, width))
        for vector in (self.separator, self.leads):
            nn.init.trunc_normal_(vector, std=0.02)
        self.register_buffer("places", places(n_patches, width), persistent=False)
        self.blocks = blocks(width, depth, heads)

    def patches(self, x: Tensor) -> Tensor:
        """The patches that are read of a record, those of its middle: [B, L, T] -> [B, L, n, p]"""
        n_patches = min(self.n_patches, x.shape[-1] // self.patch)
        length = n_patches * self.patch
        start = (x.shape[-1] - length) // 2
        return x[..., start:start + length].unflatten(-1, (n_patches, self.patch))                  # [B, L, n, p]

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """kept: int64 [B, L, k], the places of the patches that are not hidden; None: all. -> [B, L, k + 2, D]"""
        patches = self.patches(x)                                                                   # [B, L, n, p]
        tokens = self.embed(patches) + self.places[1:1 + patches.shape[2]]                          # [B, L, n, D]
        if kept is not None:
            tokens = tokens.gather(2, kept.unsqueeze(-1).expand(-1, -1, -1, tokens.shape[-1]))      # [B, L, k, D]
        ends = [(self.separator + place).to(tokens.dtype).expand(*tokens.shape[:2], 1, -1) for place in (self.places[0], self.places[-1])]
        tokens = torch.cat([ends[0], tokens, ends[1]], dim=2) + self.leads.unsqueeze(1)             # [B, L, k + 2, D]
        return self.blocks(tokens.flatten(1, 2)).view(tokens.shape)


class Decoder(nn.Module):
    """One lead at a time: an encoder's tokens [B, L, k + 2, D] and their places [B, L, k] -> predicted patches [B, L, n, p].

    Hidden places get one learned vector. Norm and output map stand behind the last block.
    """

    def __init__(self, n_patches: int, patch: int, encoder_width: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(encoder_width, width)
        self.mask = nn.Parameter(torch.empty(width))
        nn.init.trunc_normal_(self.mask, std=0.02)
        self.register_buffer("places", places(n_patches, width), persistent=False)
        self.blocks = blocks(width, depth, heads)
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, patch)

    def forward(self, tokens: Tensor, kept: Tensor, n_patches: int) -> Tensor:
        tokens = self.narrow(tokens)                                                                # [B, L, k + 2, d]
        first, seen, last = tokens.split([1, kept.shape[2], 1], dim=2)
        where = kept.unsqueeze(-1).expand_as(seen)                                                  # [B, L, k, d]
        lead = self.mask.to(seen.dtype).expand(*seen.shape[:2], n_patches, -1).scatter(2, where, seen)
        own = torch.cat([self.places[:1 + n_patches], self.places[-1:]])                            # [n + 2, d]
        lead = torch.cat([first, lead, last], dim=2) + own                                          # [B, L, n + 2, d]
        decoded = self.norm(self.blocks(lead.flatten(0, 1)))                                        # [B L, n + 2, d]
        return self.predict(decoded[:, 1:-1]).unflatten(0, lead.shape[:2])                          # [B, L, n, p]


# -- the networks -------------------------------------------------------------------------------------------------------

class Masked(nn.Module):
    """The network that is pretrained: hide, encode what is left, decode lead by lead. Its `encoder` is what is handed on."""

    def __init__(self, encoder: Encoder, norm: nn.Module, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.norm, self.decoder = encoder, norm, decoder

    @property
    def n_samples(self) -> int:
        """How long the crop is that it reads, in samples."""
        return self.encoder.n_patches * self.encoder.patch

    def patches(self, x: Tensor) -> Tensor:
        """The true patches of a record: [B, L, T] -> [B, L, n, p]"""
        return self.encoder.patches(x)

    def reconstruct(self, x: Tensor, kept: Tensor) -> Tensor:
        """x: [B, L, T], kept: int64 [B, L, k], the places of the patches that it may see -> [B, L, n, p], as `standardise` gives them."""
        return self.decoder(self.norm(self.encoder(x, kept)), kept, min(self.encoder.n_patches, x.shape[-1] // self.encoder.patch))

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        return self.reconstruct(x, kept)


class PooledHead(nn.Module):
    """Mean over leads and time, LayerNorm, one linear map: features [B, C, L, n] -> logits [B, K]."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.norm, self.classify = nn.LayerNorm(dim), nn.Linear(dim, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(self.norm(features.flatten(2).mean(dim=-1)))


class Classifier(nn.Module):
    """The encoder with nothing hidden, and a head."""

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> the tokens of all patches [B, C, L, n], the separators dropped"""
        return self.encoder(x)[:, :, 1:-1].movedim(-1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


def _encoder(signal: SignalSpec, patch: int, crop: int, width: int, depth: int, heads: int) -> Encoder:
    """The encoder for a signal; ConfigurationError where its settings, or so short a record, do not go."""
    for name, value in (("patch", patch), ("crop", crop), ("depth", depth)):
        require_count(name, value)
    require_divisible("width", require_count("width", width), "heads", require_count("heads", heads))
    patch, crop = at_rate(patch, signal), at_rate(crop, signal)
    n_patches = min(crop, signal.n_samples) // patch
    if n_patches < FEWEST_PATCHES:
        told = (f"the signal has {signal.n_samples} samples" if signal.n_samples <= crop else f"crop is {crop} samples of this signal")
        raise ConfigurationError(f"{told}, which hold {n_patches} patch{'es' * (n_patches != 1)} of {patch}; at least {FEWEST_PATCHES} are "
                                 f"needed, which is {FEWEST_PATCHES * patch} samples; give a longer signal or crop, or a smaller patch")
    return Encoder(signal.n_leads, n_patches, patch, width, depth, heads)


def _pretrainer(signal: SignalSpec, *, width: int = 192, depth: int = 6, heads: int = 3, patch: int = 30, crop: int = 900,
                decoder_width: int = 128, decoder_depth: int = 2, decoder_heads: int = 2) -> Masked:
    """The network that fills in hidden patches; its settings are those of `st_mem`."""
    encoder = _encoder(signal, patch, crop, width, depth, heads)
    _require_decoder(decoder_width, decoder_depth, decoder_heads)
    decoder = Decoder(encoder.n_patches, encoder.patch, width, decoder_width, decoder_depth, decoder_heads)
    return Masked(encoder, nn.LayerNorm(width), decoder)


def _require_decoder(width: int, depth: int, heads: int) -> None:
    require_count("decoder_depth", depth)
    require_divisible("decoder_width", require_count("decoder_width", width), "decoder_heads", require_count("decoder_heads", heads))


@register(
    paper=PAPER,
    fidelity="Written anew from a description of the official code (bakqui/ST-MEM), with its parameter counts met to the unit for the base "
             "size, encoder and decoder. Here a quarter as wide and half as deep; patches, their number and the share "
             "that is hidden are the official ones.",
    choices=("100 Hz in place of 250 Hz: a patch is 30 samples in place of 75, both 0.3 s, so that a lead has the official 30 patches.",
             "No filter and no standardisation of the crop: the first layer standardises every patch, which undoes any scale.",
             "The middle 9 s of a record are classified, in training and in evaluation; the official code draws a crop in training "
             "and averages three in evaluation, at three times the cost. Pretraining draws its crop.",
             "The table of places stays fixed throughout; the official classifier may train it.",
             "The last LayerNorm belongs to the head and to the reconstruction, each its own, and is not handed on: scale and shift of the "
             "head's go into the linear map behind it.",
             "The target's variance divides by the number of samples, so that predicting a patch's mean costs exactly 1.",
             "Separator, mask and lead vectors begin near zero (SD 0.02), so that where they point is learned.",
             "Pretrained on the training folds of one data set; the paper has 188,480 records of three.",
             "Several labels a record: a sigmoid a label with binary cross-entropy; the paper keeps records of one label.",
             "The study's own recipe, without the paper's augmentation."),
    sizes={"study": ({}, 2_680_197),
           "reference": ({"width": 384, "depth": 12, "heads": 6, "decoder_width": 256, "decoder_depth": 4, "decoder_heads": 4},
                         21_315_525)},
    quick={"width": 64, "depth": 2, "heads": 2, "decoder_width": 64, "decoder_depth": 1, "decoder_heads": 2},
    pretrainer=_pretrainer,
)
def st_mem(signal: SignalSpec, n_classes: int, *, width: int = 192, depth: int = 6, heads: int = 3, patch: int = 30, crop: int = 900,
           decoder_width: int = 128, decoder_depth: int = 2, decoder_heads: int = 2) -> nn.Module:
    """The encoder, and a head that reads the mean of its tokens.

    | part | layers | output at 12 x 1000 and width 192 |
    | --- | --- | --- |
    | patches | the middle 900 samples, 30 patches of 30 a lead | [B, 12, 30, 30] |
    | tokens | LN, Linear, LN, shared by all leads; + place | [B, 12, 30, 192] |
    | separators | one vector at either end of every lead; + the lead's vector | [B, 12, 32, 192] |
    | encoder | six blocks over all 384 tokens: MHSA of 3 heads, MLP of 768, each behind a LayerNorm and before a residual | [B, 384, 192] |
    | features | without the separators | [B, 192, 12, 30] |
    | head | mean over leads and time, LN, Linear | [B, K] |

    Pretraining keeps 7 patches a lead, 108 tokens with the separators; the decoder is narrower and shallower, and runs on the 32 places of
    each lead by itself.

    width, depth, heads: of the encoder. patch, crop: in samples at 100 Hz, both grow with the sampling rate; a signal shorter than the crop
    is read whole. decoder_width, decoder_depth, decoder_heads: of the decoder, which the classifier does not have.

    Raises ConfigurationError for a width that the heads do not divide, and for fewer than four patches.
    """
    _require_decoder(decoder_width, decoder_depth, decoder_heads)
    return Classifier(_encoder(signal, patch, crop, width, depth, heads), PooledHead(width, n_classes))
