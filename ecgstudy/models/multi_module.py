r"""One vector each from the waveform, its spectrogram, age and sex, fused by a transformer encoder.

**Idea.** A record is cut into pieces of one second. A CNN reads each piece as a waveform, another reads its spectrogram as an image, and
in either module an LSTM runs over the pieces, because what follows what is lost on a CNN that sees one second. Age and sex go through
stacks of their own. The four vectors are the tokens of a small encoder, which weighs them against each other.

**Formulas.** For the pieces $x_1 \dots x_S$ of a record:

$$t = \tfrac1S \sum_i \mathrm{LSTM}\big(\mathrm{CNN}_{1D}(x_{1:S})\big)_i,\qquad
  s = \tfrac1S \sum_i \mathrm{BiLSTM}\big(\mathrm{CNN}_{2D}(20 \log_{10} |\mathrm{STFT}(x_{1:S})|)\big)_i$$

and with the tokens $E = [t, s, a, g]$, a of age and g of sex, three times

$$E \leftarrow \mathrm{LN}(E + \mathrm{MHA}(E)),\qquad E \leftarrow \mathrm{LN}\big(E + W_2\,\mathrm{ReLU}(W_1 E)\big)$$

before $\ell = W_b\,\mathrm{ReLU}(W_a\,\mathrm{mean}(E))$. Nothing says which token is which but what is in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.attention.mhsa import MHSA
from ecgstudy.layers.checks import require_count
from ecgstudy.models.registry import register
from ecgstudy.models.resnet1d import BasicBlock
from ecgstudy.models.sampling import at_rate
from ecgstudy.models.time_frequency import BasicBlock2d
from ecgstudy.signal import SignalSpec

MODULES = ("waveform", "spectrogram", "age", "sex")
SIGNAL_MODULES = MODULES[:2]
WIDTHS = (16, 32, 64)               # channels of the three stages of either CNN
DIM, HEADS, FUSION_LAYERS = 64, 8, 3
SEGMENT = 100                       # samples at 100 Hz: one second
WINDOW, HOP, TRANSFORM = 20, 10, 32         # of the Fourier transform, samples at 100 Hz; the window is filled up with zeros
FAINTEST = 1e-3                     # added to magnitudes: -60 dB of a scaled signal
AGES = 100                          # years told apart, 0 to 99
DROPOUT = 0.1


class Segments(nn.Module):
    """A record in pieces of `length` samples, zeros behind the last: [B, L, T] -> [B, S, L, length]."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, x: Tensor) -> Tensor:
        n_segments = math.ceil(x.shape[-1] / self.length)
        x = F.pad(x, (0, n_segments * self.length - x.shape[-1]))
        return x.unflatten(-1, (n_segments, self.length)).transpose(1, 2)


class Decibels(nn.Module):
    r"""$20 \log_{10}(|\mathrm{STFT}(x)| + 10^{-3})$ of every lead, each image standardised by itself: [B, L, n] -> [B, L, F, N].

    A Hann window, centred frames, mirrored ends. In float32 also under autocast.
    """

    def __init__(self, window: int, hop: int, transform: int) -> None:
        super().__init__()
        self.hop, self.transform = hop, transform
        self.register_buffer("window", torch.hann_window(window, periodic=True), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            found = torch.stft(x.float().flatten(0, 1), self.transform, self.hop, len(self.window), self.window.float(), center=True,
                               pad_mode="reflect", return_complex=True)
            image = 20 * (found.abs() + FAINTEST).log10()                                           # [B L, F, N]
            spread, mean = torch.std_mean(image, dim=(1, 2), correction=0, keepdim=True)
            return ((image - mean) / (spread + 1e-5)).unflatten(0, x.shape[:2])


class PieceCNN(nn.Module):
    """Three stages of basic blocks, the later two of stride 2, and the mean: [B, L, ...] -> [B, 64]. Its kernels of 3 mean no time."""

    def __init__(self, first: nn.Sequential, block: Callable[[int, int, int], nn.Module], n_blocks: int) -> None:
        super().__init__()
        self.first = first
        dims = [WIDTHS[0], *(width for width in WIDTHS for _ in range(n_blocks))]
        self.stages = nn.Sequential(*(block(dim, out_dim, 1 if dim == out_dim else 2)
                                      for dim, out_dim in zip(dims, dims[1:], strict=False)))

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(self.first(x)).flatten(2).mean(dim=-1)


class SignalModule(nn.Module):
    """Pieces [B, S, L, n] -> one token [B, 64]: `prepare` and `cnn` on each piece, the LSTM over them, the mean of its outputs."""

    def __init__(self, prepare: nn.Module, cnn: PieceCNN, lstm: nn.LSTM) -> None:
        super().__init__()
        self.prepare, self.cnn, self.lstm = prepare, cnn, lstm

    def forward(self, pieces: Tensor) -> Tensor:
        features = self.cnn(self.prepare(pieces.flatten(0, 1))).unflatten(0, pieces.shape[:2])      # [B, S, 64]
        return self.lstm(features)[0].mean(dim=1)


class PersonModule(nn.Module):
    """One fact about the person, one of `n_values` or unknown, through an hourglass: [B], NaN where unknown -> a token [B, 64].

    The shape of an autoencoder with nothing to reconstruct: its end is read by the classifier alone.
    """

    def __init__(self, n_values: int) -> None:
        super().__init__()
        self.n_values = n_values
        self.stack = nn.Sequential(nn.Linear(n_values + 1, 128), nn.GELU(), nn.Linear(128, 32), nn.GELU(), nn.Linear(32, 128), nn.GELU(),
                                   nn.Linear(128, DIM))

    def forward(self, value: Tensor) -> Tensor:
        index = torch.where(value.isnan(), self.n_values, value.nan_to_num().clamp(0, self.n_values - 1)).long()
        return self.stack(F.one_hot(index, self.n_values + 1).to(self.stack[0].weight.dtype))


class PostNormLayer(nn.Module):
    """A transformer layer whose norms stand behind the residuals: [B, M, 64] -> the same."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.attention, self.attention_norm = MHSA(DIM, HEADS), nn.LayerNorm(DIM)
        self.feed_forward = nn.Sequential(nn.Linear(DIM, hidden), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(hidden, DIM))
        self.feed_forward_norm = nn.LayerNorm(DIM)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention_norm(x + self.dropout(self.attention(x)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class FusionHead(nn.Module):
    """The mean over tokens, then two linear maps: features [B, 64, M] -> logits [B, K]."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.classify = nn.Sequential(nn.Linear(DIM, 32), nn.ReLU(), nn.Linear(32, n_classes))

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(features.mean(dim=-1))


class MultiModule(nn.Module):
    """The modules by name, and what fuses their tokens."""

    def __init__(self, segments: Segments, parts: Mapping[str, nn.Module], fusion: nn.Sequential, n_classes: int) -> None:
        super().__init__()
        self.segments, self.parts, self.fusion = segments, nn.ModuleDict(parts), fusion
        self.head = FusionHead(n_classes)

    def tokens(self, x: Tensor, person: Tensor | None = None) -> dict[str, Tensor]:
        """x: [B, L, T]; person: [B, 2], age in years and sex (0 female, 1 male), NaN where unknown -> each module's token [B, 64]."""
        if person is None:
            person = x.new_full((x.shape[0], 2), math.nan)
        pieces = self.segments(x)
        given = {"waveform": pieces, "spectrogram": pieces, "age": person[:, 0], "sex": person[:, 1]}
        return {name: part(given[name]) for name, part in self.parts.items()}

    def fuse(self, tokens: Sequence[Tensor]) -> Tensor:
        """Tokens [B, 64] of one module each, in any number -> what the head reads, [B, 64, M]."""
        return self.fusion(torch.stack(list(tokens), dim=1)).transpose(1, 2)

    def forward_features(self, x: Tensor, person: Tensor | None = None) -> Tensor:
        """The fused tokens [B, 64, M], one a module in the order of `MODULES`."""
        return self.fuse(self.tokens(x, person).values())

    def forward(self, x: Tensor, person: Tensor | None = None) -> Tensor:
        return self.head(self.forward_features(x, person))


@register(
    paper="M. D. Le, V. S. Rathour, Q. S. Truong, Q. Mai, P. Brijesh, N. Le, Multi-module Recurrent Convolutional Neural Network with "
          "Transformer Encoder for ECG Arrhythmia Classification, IEEE EMBS BHI 2021, doi 10.1109/BHI50953.2021.9508527",
    fidelity="Re-implemented from the authors' public code and the figures beside it; the code carries no licence for this part and "
             "nothing was copied. Whether the published numbers used that code's defaults is inferred, not known.",
    choices=("Twelve leads instead of one channel, and nine labels of a record instead of six kinds of window.",
             "The image network has 20 layers, not the code's 110, and its LSTM two layers, not six; the feed-forward width is 256, not "
             "2048. The deeper size is a setting.",
             "The spectrogram goes in as numbers, one image a lead, standardised by itself; the code draws a colour picture and reads it "
             "back as JPEG.",
             "The LSTMs are read by the mean of their outputs, as in the figure; the code takes the last hidden state.",
             "Age and sex are one-hot with a place for unknown, and their stacks have activations; the code's are linear maps in a row, "
             "and its sex is a word vector.",
             "A ReLU between the head's two linear maps."),
    sizes={"study": ({}, 682_761), "signal alone": ({"modules": SIGNAL_MODULES}, 635_977),
           "deep": ({"image_blocks": 18, "image_layers": 6, "hidden": 2048}, 2_934_857)},
    inputs=("person",))
def multi_module(signal: SignalSpec, n_classes: int, *, modules: Sequence[str] = MODULES, image_blocks: int = 3, image_layers: int = 2,
                 hidden: int = 256) -> nn.Module:
    """The network of four modules; at 12 x 1000 and the defaults:

    | stage | layers | output |
    | --- | --- | --- |
    | pieces | ten of one second | [B, 10, 12, 100] |
    | waveform CNN, shared | Conv3, BN, ReLU; 3 stages of 3 basic blocks, 16, 32, 64 channels; mean | [B, 10, 64] |
    | waveform LSTM | 2 layers of 64, mean over outputs | [B, 64] |
    | spectrogram | Hann window of 0.2 s, hop 0.1 s, decibels, standardised | [B, 10, 12, 17, 11] |
    | spectrogram CNN, shared | the image network of 20 layers, same widths; mean | [B, 10, 64] |
    | spectrogram LSTM | 2 layers of 32 in either direction, mean over outputs | [B, 64] |
    | age, sex | one-hot of 101 and of 3; 128, 32, 128, 64 | [B, 64] each |
    | fusion | 3 post-norm layers, 8 heads | [B, 64, 4] |
    | head | mean over tokens, Linear 32, ReLU, Linear | [B, K] |

    modules: which of `MODULES` there are, at least one of the two that read the signal. image_blocks: basic blocks a stage of the
    spectrogram CNN; image_layers: layers of its LSTM; hidden: width of the fusion's feed-forward.

    Piece, window, hop and transform are in samples at 100 Hz and grow with the sampling rate; a last piece that is not full is filled
    up with zeros. The code's own network has 4,004,806 parameters for one channel and six classes; "deep" has its depths, though its
    image LSTM is half as wide and its person stacks are those above. Age and sex are inputs that other networks do not get.

    Raises ConfigurationError for a record shorter than one piece.
    """
    for name in modules:
        require_known("module", name, MODULES)
    chosen = [name for name in MODULES if name in modules]
    if not set(chosen) & set(SIGNAL_MODULES):
        raise ConfigurationError(f"modules are {', '.join(chosen) or 'none'}; give at least one of {' and '.join(SIGNAL_MODULES)}")
    for name, value in (("image_blocks", image_blocks), ("image_layers", image_layers), ("hidden", hidden)):
        require_count(name, value)
    length = at_rate(SEGMENT, signal)
    if signal.n_samples < length:
        raise ConfigurationError(f"a record of {signal.n_samples} samples is shorter than one piece of {length}; give at least a second")

    build: dict[str, Callable[[], nn.Module]] = {
        "waveform": lambda: waveform_module(signal.n_leads), "spectrogram": lambda: spectrogram_module(signal, image_blocks, image_layers),
        "age": lambda: PersonModule(AGES), "sex": lambda: PersonModule(2)}
    fusion = nn.Sequential(*(PostNormLayer(hidden) for _ in range(FUSION_LAYERS)))
    return MultiModule(Segments(length), {name: build[name]() for name in chosen}, fusion, n_classes)


def waveform_module(n_leads: int) -> SignalModule:
    first = nn.Sequential(nn.Conv1d(n_leads, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm1d(WIDTHS[0]), nn.ReLU())
    return SignalModule(nn.Identity(), PieceCNN(first, BasicBlock, 3), nn.LSTM(WIDTHS[-1], DIM, 2, batch_first=True))


def spectrogram_module(signal: SignalSpec, n_blocks: int, n_layers: int) -> SignalModule:
    first = nn.Sequential(nn.Conv2d(signal.n_leads, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
    return SignalModule(Decibels(at_rate(WINDOW, signal), at_rate(HOP, signal), at_rate(TRANSFORM, signal)),
                        PieceCNN(first, BasicBlock2d, n_blocks),
                        nn.LSTM(WIDTHS[-1], DIM // 2, n_layers, batch_first=True, bidirectional=True))
