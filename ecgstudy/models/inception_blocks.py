"""The letters of an InceptionFormer: how a pattern spells a stage, and the block that each letter stands for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import nn

from ecgstudy.errors import ConfigurationError, unknown
from ecgstudy.layers.attention import attention_class
from ecgstudy.layers.blocks import Block, Layer, Residual
from ecgstudy.layers.checks import require_count
from ecgstudy.layers.norms import TokenBatchNorm
from ecgstudy.models.sampling import at_rate
from ecgstudy.signal import SignalSpec

LETTERS = "LGMRSP"
ATTENDING = "GSP"           # which letters hold an attention,
CONVOLVING = "LRSP"         # a multi-scale convolution,
GATED = "LS"                # one that a gate may follow,
MIXING = "LGMSP"            # a channel mixer

Attend = Callable[[int, int], Layer]        # (index in its stage, tokens there) -> an attention layer


@dataclass(frozen=True)
class BlockShelf:
    """The layers that a network's blocks are made of, and the block for each letter.

    convolve: multi-scale depth-wise convolution with its gate, in L. modulate: convolutional modulation, in M. widen: the inverted
    bottleneck, in R. attend: attention. mix: the channel mixer. before_attention: what a conditional position puts there.
    """

    convolve: Layer
    modulate: Layer
    widen: Layer
    attend: Attend
    mix: Layer
    before_attention: Layer | None

    def stage(self, letters: str, width: int, n_tokens: int) -> nn.Sequential:
        """The blocks that `letters` spell, for tokens [B, n_tokens, width]. Attention layers are numbered within the stage."""
        blocks, index = [], 0
        for letter in letters:
            blocks.append(self.block(letter, width, self.attend(index, n_tokens)))
            index += letter in ATTENDING
        return nn.Sequential(*blocks)

    def block(self, letter: str, width: int, attend: Layer) -> nn.Module:
        match letter:
            case "L":
                return Block(width, norm=TokenBatchNorm, token_mixer=self.convolve, channel_mixer=self.mix)
            case "M":
                return Block(width, norm=TokenBatchNorm, token_mixer=self.modulate, channel_mixer=self.mix)
            case "R":
                return Residual(width, norm=TokenBatchNorm, layer=self.widen)
            case "G":
                return self.placed(width, Block(width, norm=nn.LayerNorm, token_mixer=attend, channel_mixer=self.mix))
            case "S":
                attention = self.placed(width, Residual(width, norm=nn.LayerNorm, layer=attend))
                return nn.Sequential(self.block("L", width, attend), attention, self.block("L", width, attend))
            case "P":
                return nn.Sequential(self.block("R", width, attend), self.block("G", width, attend))
        raise unknown("block letter", letter, LETTERS)

    def placed(self, width: int, block: nn.Module) -> nn.Module:
        """A block with attention, behind its conditional position where the network has one."""
        return block if self.before_attention is None else nn.Sequential(self.before_attention(width), block)


def spell(pattern: object, depths: Sequence[int]) -> tuple[str, ...]:
    """A pattern's letters for each stage, as many as it is deep.

    A short pattern is repeated, a long one thinned out evenly. What thinning would lose though there is room for it is refused.

    >>> spell(("L", "LG", "LG", "LLLLGGGG"), (2, 1, 5, 4))
    ('LL', 'L', 'LGLGL', 'LLGG')
    """
    if not isinstance(pattern, Sequence) or isinstance(pattern, str) or len(pattern) not in (len(depths), 4):
        raise ConfigurationError(f"pattern is {pattern!r}; it must be a list of letters, one entry for each of the {len(depths)} stages")
    return tuple(spell_stage(i, letters, depth) for i, (letters, depth) in enumerate(zip(pattern, depths, strict=False)))


def spell_stage(stage: int, letters: object, depth: int) -> str:
    """One stage's letters; `stage` names it in errors."""
    if not isinstance(letters, str) or not letters:
        raise ConfigurationError(f"pattern[{stage}] is {letters!r}; it must be letters out of {LETTERS}")
    for letter in letters:
        if letter not in LETTERS:
            raise unknown(f"block letter in pattern[{stage}]", letter, LETTERS)
    if len(letters) <= depth:
        return (letters * depth)[:depth]
    thinned = "".join(letters[i * len(letters) // depth] for i in range(depth))
    if len(set(thinned)) < min(depth, len(set(letters))):
        raise ConfigurationError(f"pattern[{stage}] is {letters!r}, which cannot be thinned out to {depth} blocks without losing a "
                                 f"letter; write out {depth} letters")
    return thinned


def attention_layers(attention: str, heads: int, signal: SignalSpec, chosen: Mapping[str, object],
                     position: Mapping[str, object]) -> Attend:
    """From an attention's name to its layers: `attend(i, n)` builds the i-th attention layer of a stage of n tokens.

    chosen: settings as given by the user, None where the mechanism's own default stands. position: what a position asks of the
    mechanism beside them; `relative_tokens` becomes the stage's n. The window is a time: declared in tokens at 100 Hz, it grows
    with the sampling rate. Shifted windows alternate between shift 0 and half a window.
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
    settings = {**defaults, **given, **position}
    if "window" in settings:
        settings["window"] = at_rate(require_count("window", settings["window"]), signal)

    def attend(index: int, n_tokens: int) -> Layer:
        own: dict[str, object] = {"shift": settings["window"] // 2 * (index % 2)} if "shift" in settings else {}
        if settings.get("relative_tokens"):
            own["relative_tokens"] = n_tokens
        return partial(mechanism, n_heads=heads, **settings | own)

    return attend
