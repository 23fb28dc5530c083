"""InceptionFormer, the study notes' own network: multi-scale convolutions early, self-attention late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.attention.cascade import CascadeAttention, CascadeStage, require_draw, require_share
from ecgstudy.layers.blocks import Layer
from ecgstudy.layers.channel import GATES
from ecgstudy.layers.checks import require_count, require_counts, require_divisible, require_odd
from ecgstudy.layers.convs import ConvModulation, InvertedBottleneck, MultiScaleDepthwiseConv
from ecgstudy.layers.mixers import MIXERS, channel_mixer
from ecgstudy.layers.pooling import POOLINGS, MeanHead
from ecgstudy.layers.positions import ConditionalPosition, LearnedPosition, SinusoidalPosition
from ecgstudy.layers.semantic_tokens import SemanticTokens
from ecgstudy.layers.tokens import ClassToken, InceptionStem, PatchFusion
from ecgstudy.models.inception_blocks import ATTENDING, CONVOLVING, GATED, MIXING, BlockShelf, attention_layers, spell
from ecgstudy.models.registry import register
from ecgstudy.models.sampling import at_rate, odd_at_rate
from ecgstudy.signal import SignalSpec

POSITIONS = ("none", "learned", "sinusoidal", "relative", "cpe", "lepe", "value")
POSITION_STAGE = 2                                   # where a position that is added once joins: the third stage's entry
ADDED_ONCE = ("learned", "sinusoidal")
KERNEL_POSITIONS = ("cpe", "lepe", "value")
MHSA_POSITIONS = ("relative", "lepe", "value")


class InceptionFormer(nn.Module):
    """A stem, stages of blocks with a patch fusion between them, and a head.

    stages: built for tokens of the given widths. entries: for each stage what its tokens pass first, in order.
    """

    def __init__(self, stem: nn.Module, widths: Sequence[int], stages: Sequence[nn.Module], n_classes: int, *,
                 entries: Sequence[Sequence[nn.Module]], head: type[nn.Module] = MeanHead) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.fusions = nn.ModuleList(PatchFusion(dim, out_dim) for dim, out_dim in zip(widths, widths[1:], strict=False))
        self.entries = nn.ModuleList(nn.Sequential(*modules) for modules in entries)
        self.head = head(widths[-1], n_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> the last stage's feature map [B, C, N]"""
        return self.stages[-1](self.last_tokens(x)).transpose(1, 2)

    def last_tokens(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> the tokens that enter the last stage [B, N, C]"""
        x = self.entries[0](self.stem(x))                                               # [B, T, widths[0]]
        for stage, fuse, enter in zip(self.stages[:-1], self.fusions, self.entries[1:], strict=True):
            x = enter(fuse(stage(x)))                                                   # [B, N / 2, next width]
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))

    @torch.no_grad()
    def kept_tokens(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> which of the last stage's tokens reach its end, bool [B, N]; all of them where nothing is pruned.

        Without gradient, and in the mode that the network is in: call `eval()` first, or its norms learn from x.
        """
        tokens, stage = self.last_tokens(x), self.stages[-1]
        kept = torch.ones(tokens.shape[:2], dtype=torch.bool, device=x.device)
        if isinstance(stage, CascadeStage):
            _, places = stage.prune(tokens)
            kept = torch.zeros_like(kept).scatter(1, places, True)
        return kept


@register(paper="The study notes' own network, not published; reconstructed from its printed counts")
def inception_former(signal: SignalSpec, n_classes: int, *, attention: str = "mhsa", widths: Sequence[int] = (64, 128, 256, 512),
                     depths: Sequence[int] = (2, 4, 8, 4), heads: int = 8, kernels: Sequence[int] = (3, 7, 11, 19),
                     rate: int | None = None, n_windows: int | None = None, top_k: int | None = None, window: int | None = None,
                     rates: Sequence[int] | None = None, alpha: float | None = None,
                     pattern: Sequence[str] = ("L", "L", "LG", "G"), stem_kernels: Sequence[int] = (39, 19, 9),
                     position: str = "none", position_kernel: int | None = None, gate: str = "none",
                     mixer: str = "mlp", pooling: str = "mean", semantic_tokens: bool = False, keep_tokens: float = 1.0,
                     keep_heads: float = 1.0, keep_draw: int | None = None) -> nn.Module:
    """The base network, and every variant of it that the study compares.

    | part | blocks | output at 12 x 1000 |
    | --- | --- | --- |
    | stem | InceptionTime-like, see `InceptionStem` | [B, 1000, 64] |
    | stage 1 | 2 Local | [B, 1000, 64] |
    | stage 2 | PatchFusion, 4 Local | [B, 500, 128] |
    | stage 3 | PatchFusion, 8 alternating Local, Global | [B, 250, 256] |
    | stage 4 | PatchFusion, 4 Global | [B, 125, 512] |
    | head | mean over time, Linear | [B, K] |

    Local: BatchNorm, multi-scale depth-wise convolution; BatchNorm, MLP of ratio 2. Global: LayerNorm, attention; LayerNorm,
    MLP of ratio 2. No positional term.

    **Size.** widths and depths, one for each stage; three of each leave stage 4 out. kernels: those of the multi-scale
    convolution. stem_kernels: the stem's branches. heads must divide the width wherever a stage has attention.

    **attention**: a name in `ecgstudy.layers.attention.ATTENTIONS`, used in every block that has one. Its settings, rate
    (spatial_reduction), n_windows and top_k (bi_level_routing), window (window, shifted_window, hilo), rates (shunted) and alpha
    (hilo), keep the mechanism's default at None and are refused where they do not apply.

    **pattern**: each stage's blocks by their letters, repeated until the stage is full; a pattern longer than its stage is thinned
    out evenly ("LLLLGGGG" in four blocks is "LLGG"). With three stages a fourth entry is not read.

    | letter | block | source |
    | --- | --- | --- |
    | L | Local | InceptionNeXt (Yu et al., CVPR 2024), with two residuals |
    | G | Global | ViT |
    | M | Local with convolutional modulation, kernel 11 | Conv2Former (Hou et al., arXiv 2211.11943) |
    | R | inverted residual, token and channel mixer in one | MobileNetV2, `InvertedBottleneck` |
    | S | Local, attention residual, Local; one of depth | the sandwich of EfficientViT (Liu et al., CVPR 2023) |
    | P | R, then G; one of depth | inferred for the notes' SandwichProNet |

    **position**: where a token stands.

    | name | what | where |
    | --- | --- | --- |
    | none | nothing | |
    | learned, sinusoidal | a vector for each place, added | once, at the entry of stage 3 |
    | cpe | x + DW(x) | before each block with attention (in S before the attention) |
    | relative | a bias for each distance | on the scores of each MHSA |
    | lepe | DW(V) added to the attention's output | in each MHSA |
    | value | V + DW(V) in the place of V | in each MHSA |

    position_kernel, 3 where nothing is given, belongs to cpe, lepe and value. Records longer than the network was built for: see
    `ecgstudy.layers.positions`.

    **gate**: "none", "squeeze_excite" or "coordinate", both with reduction 16, after the multi-scale convolution of L, also
    inside S. **mixer**: "mlp", "dw_mlp", "glu" or "conv_glu", in every block with a channel mixer.

    **The last stage** may work on other tokens than the patch fusion's. All of this needs a last stage of G alone, attention mhsa,
    and a position that is none or added once.

    | setting | what changes | features [B, C, N] |
    | --- | --- | --- |
    | pooling "class_token" | a learned token joins, the head reads it alone | N is 1 + tokens, that token first |
    | semantic_tokens | one token for every five, see `SemanticTokens` | N is tokens // 5 |
    | keep_tokens, keep_heads below 1 | the share that SpAtten's cascade leaves at the last block, see `CascadeStage` | the tokens kept |

    The cascade has the parameters of the network without it, so that trained weights can be pruned; it needs two blocks or more,
    and the mean for its pooling. `kept_tokens` of the network tells which tokens stayed. keep_draw, a number from 0, has the
    cascade keep as many at random, from that seed, instead of the important ones: the control.

    All kernels (but the patch fusion's) and the window are in samples or tokens at 100 Hz and grow with the sampling rate.

    The notes give the widths, depths, patch fusion, the idea of kernels of several scales, and the counts, which this network
    meets to the last printed digit (12,451,321 parameters). Choices, where the counts are silent: BatchNorm in Local, Local first
    in stage 3, 8 heads, GELU, torch's initial weights, no dropout, no layer scale. Of the variants the notes give names and
    ideas: where the class token joins, the design of the semantic tokens, and stem_kernels (11, 7, 3) for the Tiny network of widths
    32 to 256 are inferred, from counts or from wording. The modulation keeps Local's BatchNorm and channel mixer, so that it
    differs from Local in one layer.
    """
    widths, depths = require_counts("widths", widths), require_counts("depths", depths)
    if len(widths) != len(depths) or len(widths) not in (3, 4):
        raise ConfigurationError(f"{len(widths)} widths and {len(depths)} depths; give three or four stages, each with both")
    spelled = spell(pattern, depths)
    kernels = tuple(odd_at_rate(require_odd("kernels", kernel), signal) for kernel in require_counts("kernels", kernels))
    stem_kernels = require_counts("stem_kernels", stem_kernels)
    check_widths(spelled, widths, len(kernels), heads, len(stem_kernels) + 1)
    check_names(spelled, attention, position, position_kernel, gate, mixer)
    pruned = min(require_share("keep_tokens", keep_tokens), require_share("keep_heads", keep_heads)) < 1
    require_draw("keep_draw", keep_draw, pruned)
    check_last_stage(spelled[-1], attention, position, require_known("pooling", pooling, POOLINGS), semantic_tokens, pruned)

    kernel = odd_at_rate(require_odd("position_kernel", 3 if position_kernel is None else position_kernel), signal)
    asked = {"relative": {"relative_tokens": True}, "lepe": {"output_kernel": kernel}, "value": {"value_kernel": kernel}}
    chosen = {"rate": rate, "n_windows": n_windows, "top_k": top_k, "window": window, "rates": rates, "alpha": alpha}
    shelf = BlockShelf(convolve=gated_convolution(kernels, gate), modulate=partial(ConvModulation, kernel=odd_at_rate(11, signal)),
                       widen=partial(InvertedBottleneck, kernels=kernels), mix=channel_mixer(mixer, odd_at_rate(3, signal)),
                       attend=attention_layers(attention, heads, signal, chosen, asked.get(position, {})),
                       before_attention=partial(ConditionalPosition, kernel=kernel) if position == "cpe" else None)

    stem = InceptionStem(signal.n_leads, widths[0], lead_kernels=[odd_at_rate(size, signal) for size in (7, 5)],
                         branch_kernels=[odd_at_rate(require_odd("stem_kernels", size), signal) for size in stem_kernels])
    lengths = tokens_by_stage(signal.n_samples, len(widths))
    stages = [shelf.stage(*stage) for stage in zip(spelled, widths, lengths, strict=True)]
    if pruned:
        cascading = replace(shelf, attend=lambda index, n_tokens: partial(CascadeAttention, n_heads=heads))
        stages[-1] = CascadeStage(cascading.stage(spelled[-1], widths[-1], lengths[-1]), keep_tokens=keep_tokens, keep_heads=keep_heads,
                                  draw=keep_draw)

    entries: list[list[nn.Module]] = [[] for _ in widths]
    if position in ADDED_ONCE:
        entries[POSITION_STAGE].append(added_once(position, lengths[POSITION_STAGE], widths[POSITION_STAGE]))
    if semantic_tokens:
        entries[-1].append(SemanticTokens(widths[-1], heads, lengths[-1], window=at_rate(5, signal), overlap=at_rate(1, signal)))
    if pooling == "class_token":
        entries[-1].append(ClassToken(widths[-1]))
    return InceptionFormer(stem, widths, stages, n_classes, entries=entries, head=POOLINGS[pooling])


def gated_convolution(kernels: Sequence[int], gate: str) -> Layer:
    """Local's token mixer: the multi-scale convolution, behind it a gate."""
    convolve, weigh = partial(MultiScaleDepthwiseConv, kernels=kernels), GATES[gate]
    return convolve if weigh is None else lambda dim: nn.Sequential(convolve(dim), weigh(dim))


def added_once(position: str, n_tokens: int, width: int) -> nn.Module:
    """The module that adds a position of `ADDED_ONCE` to tokens [B, n_tokens, width]."""
    return LearnedPosition(n_tokens, width) if position == "learned" else SinusoidalPosition()


def tokens_by_stage(n_samples: int, n_stages: int) -> list[int]:
    """Tokens in each stage: a patch fusion halves them and rounds up."""
    return [-(-n_samples // 2**stage) for stage in range(n_stages)]


def check_widths(spelled: Sequence[str], widths: Sequence[int], n_kernels: int, heads: int, n_branches: int) -> None:
    """Refuse a width that its stage's blocks cannot divide among branches, kernels or heads."""
    require_divisible("widths[0]", widths[0], "the stem's number of branches", n_branches)
    require_count("heads", heads)
    for i, (letters, width) in enumerate(zip(spelled, widths, strict=True)):
        if set(letters) & set(CONVOLVING):
            require_divisible(f"widths[{i}]", width, "the number of kernels", n_kernels)
        if set(letters) & set(ATTENDING):
            require_divisible(f"widths[{i}]", width, "heads", heads)


def check_names(spelled: Sequence[str], attention: str, position: str, position_kernel: int | None, gate: str, mixer: str) -> None:
    """Refuse unknown names, and a setting that no block of the pattern would use."""
    require_known("position", position, POSITIONS)
    require_known("gate", gate, GATES)
    require_known("mixer", mixer, MIXERS)
    if position in MHSA_POSITIONS and attention != "mhsa":
        raise ConfigurationError(f"position {position!r} changes attention 'mhsa' from within and attention is {attention!r}; "
                                 f"use mhsa, or position none, learned, sinusoidal or cpe")
    if position_kernel is not None and position not in KERNEL_POSITIONS:
        raise ConfigurationError(f"position_kernel does not apply to position {position!r}; leave it out, or choose "
                                 f"{', '.join(KERNEL_POSITIONS)}")
    for name, value, unused, letters in (("position", position, ("none", *ADDED_ONCE), ATTENDING),
                                         ("gate", gate, ("none",), GATED), ("mixer", mixer, ("mlp",), MIXING)):
        if value not in unused and not set("".join(spelled)) & set(letters):
            raise ConfigurationError(f"{name} is {value!r}, and no block of pattern {', '.join(spelled)} has a place for it; "
                                     f"leave {name} out, or use one of the letters {', '.join(letters)}")


def check_last_stage(letters: str, attention: str, position: str, pooling: str, semantic_tokens: bool, pruned: bool) -> None:
    """Refuse what changes the last stage's tokens where its blocks count on tokens in their order."""
    if not isinstance(semantic_tokens, bool):
        raise ConfigurationError(f"semantic_tokens is {semantic_tokens!r}; it must be true or false")
    asked = {"pooling class_token": pooling == "class_token", "semantic_tokens": semantic_tokens, "keep_tokens or keep_heads": pruned}
    for name in (name for name, wanted in asked.items() if wanted):
        if set(letters) != {"G"} or attention != "mhsa":
            raise ConfigurationError(f"{name} needs a last stage of G with attention mhsa, and it is {letters} with {attention}; "
                                     f"leave {name} out, or change pattern and attention")
        if position not in ("none", *ADDED_ONCE):
            raise ConfigurationError(f"{name} does not go with position {position!r}, which takes the last stage's tokens for "
                                     f"neighbours; use none, {' or '.join(ADDED_ONCE)}")
    if pruned and len(letters) < 2:
        raise ConfigurationError("keep_tokens and keep_heads prune between the last stage's blocks, and it has only one; give it two")
    if pruned and pooling != "mean":
        raise ConfigurationError(f"keep_tokens and keep_heads need pooling mean, and it is {pooling!r}; leave one of the two out")
