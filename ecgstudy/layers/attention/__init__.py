"""Attention layers, one mechanism a file: `(x [B, N, D]) -> [B, N, D]`, built by `(dim, n_heads, *, own settings)`."""

from __future__ import annotations

from ecgstudy.errors import unknown
from ecgstudy.layers.attention.base import Attention
from ecgstudy.layers.attention.bi_level_routing import BiLevelRoutingAttention
from ecgstudy.layers.attention.capture import capture_attention
from ecgstudy.layers.attention.hilo import HiLoAttention
from ecgstudy.layers.attention.mhsa import MHSA
from ecgstudy.layers.attention.shifted_window import ShiftedWindowAttention
from ecgstudy.layers.attention.shunted import ShuntedAttention
from ecgstudy.layers.attention.spatial_reduction import SpatialReductionAttention
from ecgstudy.layers.attention.window import WindowAttention

ATTENTIONS: dict[str, type[Attention]] = {
    "mhsa": MHSA,
    "spatial_reduction": SpatialReductionAttention,
    "bi_level_routing": BiLevelRoutingAttention,
    "window": WindowAttention,
    "shifted_window": ShiftedWindowAttention,
    "shunted": ShuntedAttention,
    "hilo": HiLoAttention,
}


def attention_class(name: str) -> type[Attention]:
    """The mechanism of that name; ConfigurationError with the nearest name where there is none."""
    if name not in ATTENTIONS:
        raise unknown("attention", name, ATTENTIONS)
    return ATTENTIONS[name]


__all__ = ["ATTENTIONS", "Attention", "BiLevelRoutingAttention", "HiLoAttention", "MHSA", "ShiftedWindowAttention",
           "ShuntedAttention", "SpatialReductionAttention", "WindowAttention", "attention_class", "capture_attention"]
