"""InceptionFormer, the study notes' own network: multi-scale convolutions early, self-attention late."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.attention import attention_class
from ecgstudy.layers.checks import require_count, require_counts, require_divisible, require_odd
from ecgstudy.layers.convs import MultiScaleDepthwiseConv
from ecgstudy.layers.mixers import MLP
from ecgstudy.layers.norms import TokenBatchNorm
from ecgstudy.layers.pooling import MeanHead
from ecgstudy.layers.tokens import InceptionStem, PatchFusion
from ecgstudy.models.registry import register
from ecgstudy.models.sampling import at_rate, odd_at_rate
from ecgstudy.signal import SignalSpec

Mixer = Callable[[int], nn.Module]      # dim -> a module [B, N, dim] -> [B, N, dim]


class Block(nn.Module):
    r"""Mix over tokens, then over channels, each before a residual: [B, N, dim] -> [B, N, dim].

    $$x \leftarrow x + \mathrm{TokenMixer}(\mathrm{Norm}_1 x),\quad x \leftarrow x + \mathrm{ChannelMixer}(\mathrm{Norm}_2 x)$$
    """

    def __init__(self, dim: int, *, norm: Mixer, token_mixer: Mixer, channel_mixer: Mixer) -> None:
        super().__init__()
        self.token_norm, self.token_mixer = norm(dim), token_mixer(dim)
        self.channel_norm, self.channel_mixer = norm(dim), channel_mixer(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.token_mixer(self.token_norm(x))
        return x + self.channel_mixer(self.channel_norm(x))


class InceptionFormer(nn.Module):
    """A stem, stages of blocks with a patch fusion between them, and a mean over time.

    stages: for each stage its width and its blocks, already built.
    """

    def __init__(self, stem: nn.Module, stages: Sequence[tuple[int, Sequence[Block]]], n_classes: int) -> None:
        super().__init__()
        widths = [width for width, _ in stages]
        self.stem = stem
        self.stages = nn.ModuleList(nn.Sequential(*blocks) for _, blocks in stages)
        self.fusions = nn.ModuleList(PatchFusion(dim, out_dim) for dim, out_dim in zip(widths, widths[1:], strict=False))
        self.head = MeanHead(widths[-1], n_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> the last stage's feature map [B, C, N]"""
        x = self.stages[0](self.stem(x))                                    # [B, T, widths[0]]
        for fuse, stage in zip(self.fusions, self.stages[1:], strict=True):
            x = stage(fuse(x))                                              # [B, N / 2, next width]
        return x.transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


def attention_mixers(attention: str, heads: int, signal: SignalSpec, chosen: Mapping[str, object]) -> Callable[[int], Mixer]:
    """From an attention's name to its layers: `mixers(i)` builds the i-th attention layer of a stage.

    chosen: settings as given by the user, None where the mechanism's own default stands. The window is a time: declared in tokens
    at 100 Hz, it grows with the sampling rate. Shifted windows alternate between shift 0 and half a window.
    Raises ConfigurationError for an unknown attention and for a setting that it does not have.
    """
    mechanism = attention_class(attention)
    defaults = {p.name: p.default for p in inspect.signature(mechanism).parameters.values() if p.kind is p.KEYWORD_ONLY}
    accepted = [name for name in defaults if name in chosen]
    given = {name: value for name, value in chosen.items() if value is not None}
    for name in given:
        if name not in accepted:
            takes = f"it takes {', '.join(accepted)}" if accepted else "it takes no settings"
            raise ConfigurationError(f"{name} does not apply to attention {attention!r}; {takes}. Leave {name} out")
    settings = {**defaults, **given}
    if "window" in settings:
        settings["window"] = at_rate(require_count("window", settings["window"]), signal)

    def mixers(index: int) -> Mixer:
        shift = {"shift": settings["window"] // 2 * (index % 2)} if "shift" in settings else {}
        return partial(mechanism, n_heads=heads, **settings | shift)

    return mixers


@register(paper="The study notes' own network, not published; reconstructed from its printed counts")
def inception_former(signal: SignalSpec, n_classes: int, *, attention: str = "mhsa", widths: Sequence[int] = (64, 128, 256, 512),
                     depths: Sequence[int] = (2, 4, 8, 4), heads: int = 8, kernels: Sequence[int] = (3, 7, 11, 19),
                     rate: int | None = None, n_windows: int | None = None, top_k: int | None = None, window: int | None = None,
                     rates: Sequence[int] | None = None, alpha: float | None = None) -> nn.Module:
    """The base network and its ablations around self-attention.

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

    attention: a name in `ecgstudy.layers.attention.ATTENTIONS`, used in every Global block. Its settings, rate
    (spatial_reduction), n_windows and top_k (bi_level_routing), window (window, shifted_window, hilo), rates (shunted) and alpha
    (hilo), keep the mechanism's default at None and are refused where they do not apply. heads must divide the widths of stages
    3 and 4. kernels and window are in samples or tokens at 100 Hz and grow with the sampling rate, as the stem's kernels do.
    Three widths and depths leave stage 4 out.

    The notes give the widths, depths, patch fusion, the idea of kernels of several scales, and the counts, which this network
    meets to the last printed digit (12,451,321 parameters). Choices, where the counts are silent: BatchNorm in Local, Local first
    in stage 3, 8 heads, GELU, torch's initial weights, no dropout.
    """
    widths, depths = require_counts("widths", widths), require_counts("depths", depths)
    if len(widths) != len(depths) or len(widths) not in (3, 4):
        raise ConfigurationError(f"{len(widths)} widths and {len(depths)} depths; give three or four stages, each with both")
    kernels = tuple(odd_at_rate(require_odd("kernels", kernel), signal) for kernel in require_counts("kernels", kernels))
    require_divisible("widths[0]", widths[0], "the stem's number of branches", 4)
    for i, width in enumerate(widths[:3]):
        require_divisible(f"widths[{i}]", width, "the number of kernels", len(kernels))
    for i, width in enumerate(widths[2:], start=2):
        require_divisible(f"widths[{i}]", width, "heads", require_count("heads", heads))

    mixers = attention_mixers(attention, heads, signal, {"rate": rate, "n_windows": n_windows, "top_k": top_k, "window": window,
                                                         "rates": rates, "alpha": alpha})
    local = partial(Block, norm=TokenBatchNorm, token_mixer=partial(MultiScaleDepthwiseConv, kernels=kernels), channel_mixer=MLP)

    def attending(index: int) -> Callable[[int], Block]:
        return partial(Block, norm=nn.LayerNorm, token_mixer=mixers(index), channel_mixer=MLP)

    plans = [[local] * depth for depth in depths[:2]]
    plans.append([attending(i // 2) if i % 2 else local for i in range(depths[2])])
    plans += [[attending(i) for i in range(depth)] for depth in depths[3:]]

    stem = InceptionStem(signal.n_leads, widths[0], lead_kernels=[odd_at_rate(kernel, signal) for kernel in (7, 5)],
                         branch_kernels=[odd_at_rate(kernel, signal) for kernel in (39, 19, 9)])
    return InceptionFormer(stem, [(width, [block(width) for block in plan]) for width, plan in zip(widths, plans, strict=True)],
                           n_classes)
