"""One attention layer as records grow: every mechanism beside self-attention with its softmax written out, at the same length."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from ecgstudy.bench.plain import PlainAttention
from ecgstudy.bench.rounds import Effort, interleave
from ecgstudy.bench.rows import Row
from ecgstudy.layers.attention import ATTENTIONS
from ecgstudy.study.ablation import TOKENS
from ecgstudy.study.complexity import saved_bytes
from ecgstudy.train.seeds import scoped_seed

DIM, HEADS = 256, 4
LONG, LONG_ROUNDS = 4000, 3         # from this length on a round takes seconds, and a few are enough


def measure(effort: Effort, folder: Path) -> list[Row]:
    """One row for each mechanism and length; `folder` is not needed."""
    return [row for n_tokens in (TOKENS[:2] if effort.quick else TOKENS) for row in _at(n_tokens, effort)]


def curves(rows: list[Row]) -> dict[str, dict[int, Row]]:
    """The suite's rows by mechanism and length."""
    found: dict[str, dict[int, Row]] = {}
    for row in rows:
        name, _, tokens = row.name.partition(" at ")
        found.setdefault(name, {})[int(tokens.split()[0])] = row
    return found


def _at(n_tokens: int, effort: Effort) -> list[Row]:
    with scoped_seed(0):
        layers = {name: mechanism(DIM, HEADS).eval() for name, mechanism in ATTENTIONS.items()}
        explicit = PlainAttention(DIM, HEADS).eval()
        x = torch.randn(1, n_tokens, DIM)
    channels_first = x.transpose(1, 2).contiguous()
    if n_tokens >= LONG:
        effort = replace(effort, rounds=min(effort.rounds, LONG_ROUNDS))
    with torch.inference_mode():
        calls = {name: lambda layer=layer: layer(x) for name, layer in layers.items()}
        found = interleave({**calls, "explicit": lambda: explicit(channels_first)}, effort, least=0.02,
                           desc=f"attention, {n_tokens} tokens")
    return [Row("attention", f"{name} at {n_tokens} tokens", "ms", 1000 * found.median(name), "explicit softmax, all tokens",
                1000 * found.median("explicit"), found.ratio(name, "explicit"),
                note=f"{saved_bytes(layer, x) / 2**20:.1f} MiB kept for the backward pass") for name, layer in layers.items()]
