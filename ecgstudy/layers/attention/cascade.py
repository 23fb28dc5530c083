"""Cascade pruning: tokens and heads that earlier layers found unimportant are left out of all later ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.attention.base import explicit_weights
from ecgstudy.layers.attention.mhsa import MHSA
from ecgstudy.layers.blocks import Block


class Survivors:
    """What is left of each record in the middle of a stage, and how important it has been so far.

    tokens: places of the tokens left [B, n], ascending; heads: numbers of the heads left [B, h], ascending; token_importance
    [B, n] and head_importance [B, h] belong to them. With a draw the importance is random instead, the same for all records, and
    nothing that is observed changes it. Nothing here carries a gradient.
    """

    def __init__(self, n_records: int, n_tokens: int, n_heads: int, device: torch.device, draw: int | None = None) -> None:
        self.n_tokens, self.n_heads, self.draw = n_tokens, n_heads, draw
        self.tokens = torch.arange(n_tokens, device=device).expand(n_records, -1)
        self.heads = torch.arange(n_heads, device=device).expand(n_records, -1)
        generator = None if draw is None else torch.Generator().manual_seed(draw)
        tokens, heads = (torch.zeros(n) if generator is None else torch.rand(n, generator=generator) for n in (n_tokens, n_heads))
        self.token_importance = tokens.to(device).expand(n_records, -1)
        self.head_importance = heads.to(device).expand(n_records, -1)

    @torch.no_grad()
    def observe(self, weights: Tensor, mixed: Tensor) -> None:
        """Add what one layer shows: its weights [B, h, n, n] and its heads' outputs [B, h, n, d]."""
        if self.draw is not None:
            return
        self.token_importance = self.token_importance + weights.sum(dim=(1, 2))
        self.head_importance = self.head_importance + mixed.abs().sum(dim=(2, 3))

    def narrow(self, x: Tensor, n_tokens: int, n_heads: int) -> Tensor:
        """Keep the most important tokens and heads; the tokens [B, n, D] that are left of x."""
        if n_heads < self.heads.shape[1]:
            kept = strongest(self.head_importance, n_heads)
            self.heads, self.head_importance = self.heads.gather(1, kept), self.head_importance.gather(1, kept)
        if n_tokens < self.tokens.shape[1]:
            kept = strongest(self.token_importance, n_tokens)
            self.tokens, self.token_importance = self.tokens.gather(1, kept), self.token_importance.gather(1, kept)
            x = x.gather(1, kept[..., None].expand(-1, -1, x.shape[-1]))
        return x

    def full_map(self, weights: Tensor) -> Tensor:
        """Weights [B, h, n, n] at their true places [B, H, N, N], zero for what is gone."""
        rows = weights.new_zeros(*weights.shape[:3], self.n_tokens)
        rows = rows.scatter(3, self.tokens[:, None, None].expand_as(weights), weights)                      # [B, h, n, N]
        columns = rows.new_zeros(*rows.shape[:2], self.n_tokens, self.n_tokens)
        columns = columns.scatter(2, self.tokens[:, None, :, None].expand_as(rows), rows)                   # [B, h, N, N]
        return all_heads(columns, self.heads, self.n_heads)


class CascadeAttention(MHSA):
    """Full self-attention over the tokens and heads that are left: [B, n, dim] -> [B, n, dim].

    Its parameters are those of `MHSA`, under the same names. The importance needs the weights, so they are always computed.
    """

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__(dim, n_heads)

    def forward(self, x: Tensor, left: Survivors) -> Tensor:
        q, k, v = (some_heads(self.split_heads(part), left.heads) for part in self.qkv(x).chunk(3, dim=-1))   # [B, h, n, d]
        weights = explicit_weights(q, k, None)
        mixed = weights @ v                                                                                 # [B, h, n, d]
        left.observe(weights, mixed)
        if self.captured is not None:
            self.captured.append(left.full_map(weights.detach()))
        return self.project(all_heads(mixed, left.heads, self.n_heads).transpose(1, 2).flatten(2))


class CascadeStage(nn.Sequential):
    r"""Blocks with `CascadeAttention` that lose tokens and heads on the way: [B, N, dim] -> [B, kept, dim].

    Of N tokens, block i of D works on $N\,s^{i/(D-1)}$ with s = keep_tokens, rounded and never less than one; heads likewise. So
    the first block sees all and the last one the share that is asked for. Importance adds up over the blocks: for a token the
    attention that it has received from all queries and heads, for a head the absolute sum of its output. Each record keeps its own.
    A dropped token saves its whole way through the later blocks; a dropped head saves its attention, and the linear maps around it are
    computed in full.

    SpAtten (H. Wang, Z. Zhang, S. Han, HPCA 2021, arXiv 2012.09852): cascade token and head pruning, in the encoder's form, without
    its quantisation and its local value pruning. It prunes a trained network; the choice passes no gradient, the rest does.

    draw: leave out as many at random instead, from that seed and the same for every record: a control for the importance.
    """

    def __init__(self, blocks: Sequence[Block], *, keep_tokens: float, keep_heads: float, draw: int | None = None) -> None:
        super().__init__(*blocks)
        self.keep_tokens, self.keep_heads, self.draw = keep_tokens, keep_heads, draw

    def forward(self, x: Tensor) -> Tensor:
        return self.prune(x)[0]

    def prune(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: [B, N, dim] -> the tokens that are left [B, kept, dim] and their places [B, kept], ascending."""
        n_records, n_tokens = x.shape[:2]
        n_heads = self[0].token_mixer.n_heads
        left = Survivors(n_records, n_tokens, n_heads, x.device, self.draw)
        for i, block in enumerate(self):
            done = i / (len(self) - 1)
            x = left.narrow(x, share(n_tokens, self.keep_tokens**done), share(n_heads, self.keep_heads**done))
            x = x + block.token_mixer(block.token_norm(x), left)
            x = x + block.channel_mixer(block.channel_norm(x))
        return x, left.tokens


def require_share(name: str, value: object) -> float:
    """Return a share above 0 and up to 1, else raise ConfigurationError."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise ConfigurationError(f"{name} is {value!r}; it is the share that is kept, above 0 and up to 1")
    return value


def require_draw(name: str, value: object, pruned: bool) -> None:
    """Raise ConfigurationError for a draw that is not a whole number from 0, or that has nothing to choose."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0 or not pruned):
        raise ConfigurationError(f"{name} is {value!r}; give a whole number from 0 together with a kept share below 1, or leave it out")


def share(count: int, kept: float) -> int:
    """The nearest whole number to a share of `count`, never less than one."""
    return max(1, round(count * kept))


def strongest(importance: Tensor, count: int) -> Tensor:
    """Places of the `count` largest of each row [B, n] -> [B, count], ascending."""
    return importance.topk(count, dim=1).indices.sort(dim=1).values


def some_heads(x: Tensor, heads: Tensor) -> Tensor:
    """x: [B, H, n, d]; heads: [B, h] -> [B, h, n, d]"""
    return x if heads.shape[1] == x.shape[1] else x.gather(1, heads[:, :, None, None].expand(-1, -1, *x.shape[2:]))


def all_heads(x: Tensor, heads: Tensor, n_heads: int) -> Tensor:
    """x: [B, h, n, m]; heads: [B, h] -> [B, n_heads, n, m], zero for the heads that are gone"""
    if heads.shape[1] == n_heads:
        return x
    full = x.new_zeros(len(x), n_heads, *x.shape[2:])
    return full.scatter(1, heads[:, :, None, None].expand_as(x), x)
