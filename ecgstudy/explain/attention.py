r"""Attention maps read: what they mean in seconds, what an even spread would give, and what several layers give together.

Conventions, for all that follows. A map is [B, H, N, N], query down, key across; each row sums to 1. `N` even shares of 1/N are "an
even spread". Token n stands at n · `seconds_per_token`: the strided convolutions of `InceptionFormer` are centred on every second token of
the stage before, so the first token of each stage stands at the first sample. A class token stands nowhere: its row is what it reads, its
column what it hands back, and neither enters what is said about places.

Attention is not an explanation: a token at some place carries, after convolutions and earlier attention, what other places gave it, and a
weight says nothing about the value that it weighs (Jain and Wallace, NAACL 2019, arXiv 1902.10186). So each number here comes with its
baselines: `even`, a network with fresh weights, and the map of another record.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.attention import capture_attention
from ecgstudy.layers.pooling import ClassTokenHead
from ecgstudy.layers.semantic_tokens import SemanticTokens

REACHES = ("record", "seen")


@dataclass(frozen=True, eq=False)
class Layer:
    """One attention layer over B records.

    name: the module's. stage: counted from 1. maps: float [B, H, N, N] as `capture_attention` gives them. class_token: whether token 0
    is one; then N counts it.
    """

    name: str
    stage: int
    maps: np.ndarray
    seconds_per_token: float
    class_token: bool = False

    @property
    def n_places(self) -> int:
        """How many of its tokens stand somewhere in the record."""
        return self.maps.shape[-1] - self.class_token


def observe(model: nn.Module, x: Tensor, fs: int) -> list[Layer]:
    """Every attention layer inside the stages of an `InceptionFormer`, in order, over x [B, L, T]; the model's mode is not changed.

    Raises ConfigurationError for a network without stages, or whose tokens stand nowhere: semantic tokens are gathered from all over.
    """
    if not isinstance(getattr(model, "stages", None), nn.ModuleList):
        raise ConfigurationError(f"{type(model).__name__} has no stages whose tokens could be placed in the record; give an "
                                 "InceptionFormer")
    if any(isinstance(module, SemanticTokens) for module in model.modules()):
        raise ConfigurationError("semantic tokens have no place in the record; give a network with semantic_tokens false")
    with capture_attention(model) as maps, torch.inference_mode():
        model(x)
    layers = []
    for name, weights in maps.items():
        if found := re.match(r"stages\.(\d+)\.", name):
            stage = int(found[1]) + 1
            leads = isinstance(model.head, ClassTokenHead) and stage == len(model.stages)
            stride = round(x.shape[-1] / (weights.shape[-1] - leads))
            layers.append(Layer(name, stage, weights.numpy(), stride / fs, leads))
    return layers


# -- one layer ----------------------------------------------------------------------------------------------------------

def between_places(layer: Layer) -> np.ndarray:
    """The maps [B, H, N, N] without a class token, each row again to the sum of 1; rows of tokens that were dropped stay zero."""
    first = int(layer.class_token)
    return _to_one(layer.maps[..., first:, first:])


def received(layer: Layer) -> np.ndarray:
    """The share of all attention that each place receives, mean over queries: [B, H, N], to the sum of 1; NaN for a dropped head."""
    return _over_queries(between_places(layer), lambda maps: maps)


def read_by_class_token(layer: Layer) -> np.ndarray:
    """How the class token spreads its attention over the places: [B, H, N], to the sum of 1.

    Raises ConfigurationError for a layer without one.
    """
    if not layer.class_token:
        raise ConfigurationError(f"{layer.name} has no class token; use received, or a network with pooling class_token")
    return _to_one(layer.maps[..., 0, 1:])


def distance(layer: Layer) -> np.ndarray:
    r"""How far a head looks, in seconds [B, H]: $\frac{1}{N} \sum_q \sum_k A_{qk}\,|q - k|$ times the seconds of a token."""
    maps, place = between_places(layer), np.arange(layer.n_places)
    return layer.seconds_per_token * _over_queries(maps * np.abs(place[:, None] - place), lambda each: each.sum(axis=-1), maps)


def entropy(layer: Layer) -> np.ndarray:
    r"""How widely a query spreads its attention, in nats [B, H]: $-\frac{1}{N} \sum_q \sum_k A_{qk} \ln A_{qk}$.

    Keys that a mechanism merges share their weight evenly, so a merged map has at least $\ln r$.
    """
    maps = between_places(layer)
    surprise = -np.log(maps, out=np.zeros_like(maps), where=maps > 0)
    return _over_queries(maps * surprise, lambda each: each.sum(axis=-1), maps)


def spread(layer: Layer) -> np.ndarray:
    """`entropy` as a share of the largest, ln N, that an even spread over the record has: [B, H] from 0 to 1."""
    return entropy(layer) / np.log(layer.n_places)


def even(layer: Layer, reach: str = "record") -> Layer:
    """The layer with every query's attention spread evenly: over the whole "record", or over what the query has "seen" at all.

    The second is what the mechanism itself allows: its window, the windows that it chose, all tokens where nothing is masked.
    """
    if require_known("reach", reach, REACHES) == "seen":
        maps = _to_one((layer.maps > 0).astype(layer.maps.dtype))
    else:
        maps = np.full_like(layer.maps, 1 / layer.maps.shape[-1])
    return replace(layer, maps=maps)


def _to_one(maps: np.ndarray) -> np.ndarray:
    """Rows to the sum of 1; rows of zeros stay."""
    total = maps.sum(axis=-1, keepdims=True)
    return np.divide(maps, total, out=np.zeros_like(maps), where=total > 0)


def _over_queries(parts: np.ndarray, summed, maps: np.ndarray | None = None) -> np.ndarray:
    """Mean over the queries that are there; parts [B, H, N, N], `summed` of it [B, H, N, ...]; NaN where no query is."""
    there = (parts if maps is None else maps).sum(axis=-1) > 0                          # [B, H, N]
    total, count = summed(parts).sum(axis=2), there.sum(axis=-1)
    count = count.reshape(count.shape + (1,) * (total.ndim - count.ndim))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


# -- several layers -----------------------------------------------------------------------------------------------------

def rollout(layers: Sequence[Layer], kept: float = 0.5) -> np.ndarray:
    r"""Attention followed back through layers: [B, N of the last layer, places of the first], each row to the sum of 1.

    $$R = M_D \cdots J \cdots M_2 M_1,\qquad M_i = \tfrac12 (\bar A_i + I)$$

    with $\bar A$ the mean over heads and $I$ for the residual path (Abnar and Zuidema, ACL 2020, arXiv 2005.00928); `kept` is the
    residual's share. $J$ stands where a strided join lies between two layers: `joined` says what each token was made of. Convolutions,
    channel mixers and values between the layers are left out, as if each token passed them alone. A class token that joined late has no
    place in earlier layers: what it kept to itself is left out, and its row is brought back to the sum of 1. Tokens that a cascade has
    dropped keep to themselves.
    """
    if not layers or not 0 <= kept < 1:
        raise ConfigurationError(f"rollout needs one layer or more and a share kept from 0 to below 1; got {len(layers)} layers, {kept}")
    total = _mixing(layers[-1], kept)
    for later, earlier in zip(layers[:0:-1], layers[-2::-1], strict=True):
        if (later.n_places, later.class_token) != (earlier.n_places, earlier.class_token):
            back = joined(later.n_places, earlier.n_places)                             # [N, N of the earlier]
            lost = np.zeros((int(later.class_token and not earlier.class_token), earlier.n_places))
            total = total @ np.concatenate([lost, back])
        total = total @ _mixing(earlier, kept)
    return _to_one(total[..., int(layers[0].class_token):])


def joined(n_coarse: int, n_fine: int) -> np.ndarray:
    """What each token of a later stage was made of: [n_coarse, n_fine], each row to the sum of 1.

    A patch fusion reads three neighbours around every second token; which of them counts more is the business of its weights, so
    each that lies inside the record gets the same share. Several fusions follow each other. The same count of tokens is no join.
    """
    if n_coarse == n_fine:
        return np.eye(n_fine)
    if not 0 < n_coarse < n_fine:
        raise ConfigurationError(f"{n_coarse} tokens cannot come from {n_fine}; a later stage has fewer")
    half = -(-n_fine // 2)
    offset = np.abs(2 * np.arange(half)[:, None] - np.arange(n_fine))
    return joined(n_coarse, half) @ _to_one((offset <= 1).astype(float))


def head_reads(layers: Sequence[Layer], kept: float = 0.5) -> np.ndarray:
    """The rollout as the head sees it, [B, places of the first layer]: the class token's row, or the mean over tokens."""
    rows = rollout(layers, kept)
    return rows[:, 0] if layers[-1].class_token else rows.mean(axis=1)


def _mixing(layer: Layer, kept: float) -> np.ndarray:
    """A layer as it mixes tokens, mean over the heads that are there and the residual: [B, N, N]."""
    mean = _to_one(layer.maps.mean(axis=1).astype(float))
    identity = np.eye(mean.shape[-1])
    alone = mean.sum(axis=-1, keepdims=True) == 0
    return np.where(alone, identity, kept * identity + (1 - kept) * mean)


# -- between tokens and samples -----------------------------------------------------------------------------------------

def to_samples(values: np.ndarray, seconds_per_token: float, fs: int, n_samples: int) -> np.ndarray:
    """Values of places [..., N] on the samples [..., n_samples]: linear between the places, level behind the last one."""
    n = values.shape[-1]
    place = np.clip(np.arange(n_samples) / (fs * seconds_per_token), 0, n - 1)
    below = np.minimum(place.astype(int), max(n - 2, 0))
    above = np.minimum(below + 1, n - 1)
    share = place - below
    return (1 - share) * values[..., below] + share * values[..., above]


def to_tokens(values: np.ndarray, seconds_per_token: float, fs: int, n_tokens: int) -> np.ndarray:
    """Samples [..., T] as seen at the tokens' resolution [..., n_tokens]: the mean of the samples that are nearest to each place."""
    nearest = np.clip(np.floor(np.arange(values.shape[-1]) / (fs * seconds_per_token) + 0.5).astype(int), 0, n_tokens - 1)
    belongs = (nearest[:, None] == np.arange(n_tokens)).astype(float)                   # [T, N]
    return values @ (belongs / np.maximum(belongs.sum(axis=0), 1))
