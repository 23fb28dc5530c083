"""A record as two bags, of heartbeats and of image patches, where each bag's strongest instance asks both.

The idea: a long ECG is a bag of beats, and only the bag is labelled. The same ECG drawn as Gramian images is a second bag, of patches.
In each bag the instance that speaks loudest becomes the query, and attention over the instances *of both* gathers what goes with it. So
the vector of each modality already knows the other one before the two are joined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.checks import require_count, require_divisible
from ecgstudy.layers.gramian import GramianField, patches
from ecgstudy.models.heartbeats import cut, into_slots, locate, require_bag
from ecgstudy.models.registry import register
from ecgstudy.models.sampling import at_rate, odd_at_rate
from ecgstudy.signal import SignalSpec

BEFORE, LENGTH = 35, 70             # samples at 100 Hz: a beat begins 0.35 s ahead of its R-peak and lasts 0.7 s
SIZE, PATCH = 96, 24                # points of the image along either axis, and of a patch
N_PATCHES = (SIZE // PATCH) ** 2
NEVER = -1e4                        # what an empty slot scores
INSTANCE_WEIGHT = 0.25              # of each modality's own loss
MODALITIES = ("beats", "image")
REACHES = ("both", "own")


class ResidualBlock(nn.Module):
    """A long and a short convolution with BN, ReLU between, and a shortcut: [n, dim, N] -> [n, out_dim, ceil(N / stride)]."""

    def __init__(self, dim: int, out_dim: int, kernels: tuple[int, int], stride: int) -> None:
        super().__init__()
        long, short = kernels
        self.residual = nn.Sequential(
            nn.Conv1d(dim, out_dim, long, stride=stride, padding=long // 2, bias=False), nn.BatchNorm1d(out_dim), nn.ReLU(),
            nn.Conv1d(out_dim, out_dim, short, padding=short // 2, bias=False), nn.BatchNorm1d(out_dim))
        self.shortcut = nn.Identity() if stride == 1 and dim == out_dim else nn.Sequential(
            nn.Conv1d(dim, out_dim, 1, stride=stride, bias=False), nn.BatchNorm1d(out_dim))

    def forward(self, x: Tensor) -> Tensor:
        return (self.residual(x) + self.shortcut(x)).relu()


def beat_encoder(signal: SignalSpec, width: int, dim: int) -> nn.Sequential:
    """Beats [n, L, 70] -> [n, dim]: Conv8 stride 2, max-pool, three residual blocks of width, 2 width and 2 width, mean, Linear."""
    first, kernels = at_rate(8, signal), (odd_at_rate(5, signal), odd_at_rate(3, signal))
    return nn.Sequential(
        nn.Conv1d(signal.n_leads, width, first, stride=2, padding=(first - 1) // 2, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
        nn.MaxPool1d(3, stride=2, padding=1), ResidualBlock(width, width, kernels, 1), ResidualBlock(width, 2 * width, kernels, 2),
        ResidualBlock(2 * width, 2 * width, kernels, 2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2 * width, dim))


def patch_encoder(n_leads: int, width: int, dim: int) -> nn.Sequential:
    """Patches [n, L, 24, 24] -> [n, dim]: six 3 x 3 convolutions, each with ELU and then BN, in pairs with max-pools between, mean,
    Linear."""
    layers: list[nn.Module] = []
    channels = n_leads
    for i, out in enumerate((width // 4, width // 2, width, width, 2 * width, 2 * width)):
        layers += [nn.MaxPool2d(2)] if i in (2, 4) else []
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ELU(), nn.BatchNorm2d(out)]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, dim))


@dataclass(frozen=True, eq=False)
class Fused:
    """What happened in a batch of double bags; S beats, then P patches.

    scores: [B, S + P, K], what each instance says of each class. top: [B, 2], the strongest beat and the strongest patch, as places
    among all S + P. weights: [B, 2, S + P], what the query of either gathers, rows that sum to one. vectors: [B, 2, dim].
    """

    scores: Tensor
    top: Tensor
    weights: Tensor
    vectors: Tensor


class CrossModalBag(nn.Module):
    r"""From instances to logits: [B, dim, S + P] and which of them are held [B, S + P] -> [B, K]; every instance where held is None.

    With $L$ the instances of both modalities, in each modality $m$

    $$s^m_n = W^{cls}_m X^m_n,\quad k_m = \arg\max_n \max_c s^m_{n,c},\quad q_m = W \tanh(X^m_{k_m}) + b,$$
    $$\alpha^m = \mathrm{softmax}(L q_m / \sqrt d),\quad B_m = \lambda\, L^\top \alpha^m + (1 - \lambda)\, q_m,\quad z = f([B_a; B_v]).$$

    The arg-max passes no gradient, so what is loudest is learned from $\max_n s^m_n$, a prediction of its own (`strongest`).
    """

    def __init__(self, dim: int, n_classes: int, share: float, reach: str) -> None:
        super().__init__()
        self.share, self.reach = share, reach
        self.score = nn.ModuleDict({name: nn.Linear(dim, n_classes) for name in MODALITIES})
        self.query = nn.Linear(dim, dim)
        self.classify = nn.Sequential(nn.Linear(2 * dim, 2 * dim), nn.LeakyReLU(0.01), nn.Linear(2 * dim, n_classes))

    def fuse(self, features: Tensor, held: Tensor | None = None) -> Fused:
        """See the class and `Fused`."""
        instances = features.transpose(1, 2)                                                    # L: [B, S + P, d]
        held = torch.ones_like(instances[..., 0], dtype=torch.bool) if held is None else held
        n_beats = held.shape[1] - N_PATCHES
        scores = torch.cat([self.score["beats"](instances[:, :n_beats]), self.score["image"](instances[:, n_beats:])], dim=1)
        scores = scores.masked_fill(~held[..., None], NEVER)                                    # s: [B, S + P, K]
        loudest = scores.amax(dim=-1)
        top = torch.stack([loudest[:, :n_beats].argmax(dim=1), n_beats + loudest[:, n_beats:].argmax(dim=1)], dim=1)    # k: [B, 2]
        chosen = instances.gather(1, top[..., None].expand(-1, -1, instances.shape[-1]))        # [B, 2, d]
        query = self.query(chosen.tanh())                                                       # q: [B, 2, d]
        closeness = query @ instances.transpose(1, 2) * instances.shape[-1] ** -0.5
        weights = closeness.masked_fill(~self._seen(held, n_beats), NEVER).softmax(dim=-1)      # alpha: [B, 2, S + P]
        return Fused(scores, top, weights, self.share * weights @ instances + (1 - self.share) * query)

    def _seen(self, held: Tensor, n_beats: int) -> Tensor:
        """Which instances each modality's query may gather: [B, 2, S + P]."""
        seen = held[:, None].repeat(1, 2, 1)
        if self.reach == "own":
            seen[:, 0, n_beats:] = False
            seen[:, 1, :n_beats] = False
        return seen

    def strongest(self, fused: Fused) -> dict[str, Tensor]:
        """The largest score of each class in each modality, {modality: [B, K]}."""
        n_beats = fused.scores.shape[1] - N_PATCHES
        return {"beats": fused.scores[:, :n_beats].amax(dim=1), "image": fused.scores[:, n_beats:].amax(dim=1)}

    def forward(self, features: Tensor, held: Tensor | None = None) -> Tensor:
        return self.classify(self.fuse(features, held).vectors.flatten(1))


class MultimodalMIL(nn.Module):
    """See `multimodal_mil`, the builder, for the stages and their shapes."""

    def __init__(self, signal: SignalSpec, n_classes: int, width: int, most: int, share: float, reach: str) -> None:
        super().__init__()
        self.fs, self.most = signal.fs, require_bag(signal, most)
        self.before, self.length = at_rate(BEFORE, signal), at_rate(LENGTH, signal)
        dim = 2 * width
        self.beat_encoder = beat_encoder(signal, width, dim)
        self.image = GramianField(SIZE)
        self.patch_encoder = patch_encoder(signal.n_leads, width, dim)
        self.head = CrossModalBag(dim, n_classes, share, reach)

    def instances(self, x: Tensor, beats: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x: [B, L, T] -> its beats and patches [B, C, S + 16], and which of them are held [B, S + 16]."""
        peaks = locate(x, beats, self.fs, self.most)
        held = peaks >= 0
        beat_vectors = self.beat_encoder(cut(x, peaks, self.before, self.length).transpose(1, 2))       # [n, C]
        squares = patches(self.image(x), PATCH)                                                 # [B, 16, L, 24, 24]
        patch_vectors = self.patch_encoder(squares.flatten(0, 1)).unflatten(0, squares.shape[:2])
        both = torch.cat([into_slots(beat_vectors, held), patch_vectors], dim=1)
        return both.transpose(1, 2), torch.cat([held, held.new_ones(x.shape[0], N_PATCHES)], dim=1)

    def forward_features(self, x: Tensor, beats: Tensor | None = None) -> Tensor:
        """x: [B, L, T] -> [B, C, S + 16], one vector for each beat, zeros in empty slots, then one for each patch"""
        return self.instances(x, beats)[0]

    def forward(self, x: Tensor, beats: Tensor | None = None) -> Tensor:
        return self.head(*self.instances(x, beats))

    def training_outputs(self, x: Tensor, beats: Tensor | None = None) -> tuple[Tensor, dict[str, Callable]]:
        """The logits, and of each modality's loudest instances a loss against the labels of the bag."""
        fused = self.head.fuse(*self.instances(x, beats))
        losses = {f"strongest_{name}": lambda criterion, found=found: INSTANCE_WEIGHT * criterion(found)
                  for name, found in self.head.strongest(fused).items()}
        return self.head.classify(fused.vectors.flatten(1)), losses


@register(
    paper="H. Han, C. Lian, Z. Zeng, B. Xu, J. Zang, C. Xue, Multimodal multi-instance learning for long-term ECG classification, "
          "Knowledge-Based Systems, 110555, 2023, doi 10.1016/j.knosys.2023.110555",
    fidelity="Built from the paper's abstract and from the official code of the same first author's follow-up (CIMIL, 2024): beats and "
             "Gramian patches as instances, a top instance a modality that asks both, and the shape of the encoders; the paper's own "
             "widths, windows and recipe are not known.",
    choices=("At most 24 beats of ten seconds, 0.7 s each; the follow-up has 60 beats of a longer record.",
             "The image is 96 × 96 a lead for a record of any length, cut into 16 patches of 24 × 24.",
             "The top instance is found by a score, the largest over the classes, and not element by element.",
             "Each modality's largest scores are trained against the bag's labels with weight 1/4; without it nothing trains the scores.",
             "Vectors of 128, a query shared by both modalities, nine tenths gathered and one tenth the query itself.",
             "A record with fewer than three R-peaks is read at a centre every 0.8 s."),
    sizes={"study": ({}, 690667), "own": ({"reach": "own"}, 690667)},
    inputs=("beats",), quick={"width": 16}, head_on_features=False)
def multimodal_mil(signal: SignalSpec, n_classes: int, *, width: int = 64, most: int = 24, share: float = 0.9,
                   reach: str = "both") -> nn.Module:
    """MAMIL, multimodal multi-instance learning on R-peak beats and Gramian images.

    width: channels of the first residual block; instances have twice as many. most: beats of ten seconds. share: what is gathered, in
    a modality's vector; the rest is its query. reach: whether a query gathers from "both" modalities or from its "own" alone, which
    drops the paper's idea.

    | stage | layers | output for n beats in S slots of B records, 100 Hz |
    | --- | --- | --- |
    | beats | R − 0.35 s … R + 0.34 s | [n, 12, 70] |
    | beat encoder | Conv8 stride 2, max-pool, three residual blocks, mean, Linear | [n, 64, 18], [n, 128, 5], [n, 128] |
    | image | mean over 96 pieces, Gramian field, patches | [B, 12, 96, 96], [16 B, 12, 24, 24] |
    | patch encoder | six Conv3 x 3, two max-pools, mean, Linear | [16 B, 32, 24, 24], [16 B, 128, 6, 6], [16 B, 128] |
    | instances | beats in their slots, then patches | [B, 128, S + 16] |
    | fusion | top instance of each, attention over both | [B, 2, 128] |
    | head | Linear, LeakyReLU, Linear | [B, K] |

    Departures, where the paper is known: ten seconds are a short bag. At 96 points the image resolves a tenth of a second, rhythm and
    not the shape of a QRS.
    """
    require_divisible("width", require_count("width", width), "the factor", 4)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ConfigurationError(f"share is {share!r}; it must be above 0 and at most 1")
    return MultimodalMIL(signal, n_classes, width, require_count("most", most), share, require_known("reach", reach, REACHES))
