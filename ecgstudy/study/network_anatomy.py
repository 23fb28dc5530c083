"""The own network taken to pieces: what each piece makes of its tokens, what it costs, and how much of the record it sees.

Everything is measured on the built network: shapes by running it, the reach of a token by its gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from pandas.io.formats.style import Styler
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ecgstudy.layers.attention.base import Attention
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study import complexity, tables
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE
from ecgstudy.train.seeds import scoped_seed

ATTENTION = "#b3541e"
SECONDS = (0.5, 1, 2, 5, 10)        # ticks
KINDS = {"stem": ("S", "stem", "#5d5d5d"), "fusion": ("F", "patch fusion", GREY), "local": ("L", "local block", MEASURED),
         "global": ("G", "global block", ATTENTION), "head": ("H", "head", "#5d5d5d")}       # letter, words, colour


@dataclass(frozen=True)
class Piece:
    """One piece of a network, in the order of the forward pass.

    part: its row in the stage table. kind: a name in KINDS. n_tokens, width: of what it returns; the head returns one token as wide
    as there are classes. n_parameters, macs: true counts, `products` of the MACs being those between queries, keys and values.
    sees: seconds of the record that a token in the middle depends on.
    """

    part: str
    kind: str
    n_tokens: int
    width: int
    n_parameters: int
    macs: int
    products: int
    sees: float


def full_network(n_classes: int = 9) -> nn.Module:
    """The own network at full width, fresh weights from a seed: what is drawn and counted does not depend on what was trained."""
    with scoped_seed(0):
        return build_model("inception_former", SIGNAL, n_classes)


def dissect(model: nn.Module, signal: SignalSpec = SIGNAL) -> list[Piece]:
    """Every piece of an InceptionFormer, measured on one record of noise."""
    passed: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, received: tuple[Tensor, ...], output: Tensor) -> None:
        passed[module] = received[0], output

    found = list(_modules(model))
    record = complexity.example_input(model, signal).requires_grad_()
    handles = [module.register_forward_hook(keep) for _, _, module in found]
    try:
        model.eval()(record)
    finally:
        for handle in handles:
            handle.remove()
    return [_measure(part, kind, module, *passed[module], record, signal) for part, kind, module in found]


def _modules(model: nn.Module) -> Iterator[tuple[str, str, nn.Module]]:
    """Part, kind and module of every piece, in the order of the forward pass."""
    yield "stem", "stem", model.stem
    for i, stage in enumerate(model.stages):
        if i:
            yield f"fusion {i}", "fusion", model.fusions[i - 1]
        for block in stage:
            attends = any(isinstance(module, Attention) for module in block.modules())
            yield f"stage {i + 1}", "global" if attends else "local", block
    yield "head", "head", model.head


def _measure(part: str, kind: str, module: nn.Module, received: Tensor, output: Tensor, record: Tensor, signal: SignalSpec) -> Piece:
    token = output[0] if kind == "head" else output[0, output.shape[1] // 2]                        # [K] or [C]
    macs = complexity.macs(module, received.detach())
    return Piece(part, kind, 1 if kind == "head" else output.shape[1], output.shape[-1], complexity.count_parameters(module), macs,
                 macs - weight_macs(module, received.detach()), samples_seen(token, record) / signal.fs)


def samples_seen(token: Tensor, record: Tensor) -> int:
    """From the first to the last sample of `record` [1, L, T] on which `token` [C] depends: those with a gradient that is not zero.

    The squares of the channels are summed, so that their gradients are weighed unequally and do not cancel.
    """
    gradient, = torch.autograd.grad(token.square().sum(), record, retain_graph=True)                # [1, L, T]
    touched = gradient.abs().amax(dim=(0, 1)).nonzero()                                             # [samples, 1]
    return int(touched.max() - touched.min()) + 1


def weight_macs(module: nn.Module, received: Tensor) -> int:
    """Multiply-accumulates of convolutions and linear maps alone; what `complexity.macs` counts beyond them are attention's products."""
    total = 0

    def add(layer: nn.Module, layer_received: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += complexity.notes_rule(layer, layer_received[0], output)

    handles = [layer.register_forward_hook(add) for layer in module.modules() if isinstance(layer, (_ConvNd, nn.Linear))]
    try:
        with complexity.measuring(module):
            module(received)
    finally:
        for handle in handles:
            handle.remove()
    return total


# -- shown --------------------------------------------------------------------------------------------------------------

def by_part(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The pieces of each row of the stage table."""
    return [list(group) for _, group in groupby(pieces, key=lambda piece: piece.part)]


def stage_table(pieces: Sequence[Piece], signal: SignalSpec = SIGNAL) -> Styler:
    """One row a part: tokens, channels, reach, parameters, MACs, and the attention's products among them; then the sum."""
    lines = []
    for group in by_part(pieces):
        last = group[-1]
        token = "–" if last.kind == "head" else f"{1000 * signal.seconds / last.n_tokens:g}"
        lines.append({"part": last.part, "blocks": "".join(KINDS[piece.kind][0] for piece in group), "tokens": f"{last.n_tokens:,}",
                      "ms each": token, "channels": last.width, "sees (s)": f"{last.sees:.2f}", **_sums(group)})
    lines.append({"part": "all", "blocks": "", "tokens": "", "ms each": "", "channels": "", "sees (s)": "", **_sums(pieces)})
    return tables.style(pd.DataFrame(lines), "The full network, shapes and counts measured on the built model for one record of "
                        f"{signal.n_leads} leads and {signal.n_samples:,} samples. Letters as in the drawing. Sees: how much of the record "
                        "a token in the middle depends on. MACs are true ones; products are the attention's own, contained in them.")


def _sums(group: Sequence[Piece]) -> dict[str, str]:
    products = sum(piece.products for piece in group)
    return {"parameters": f"{sum(piece.n_parameters for piece in group):,}", "MACs": tables.mega(sum(piece.macs for piece in group)),
            "products": tables.mega(products) if products else "–"}


def drawing(pieces: Sequence[Piece], signal: SignalSpec = SIGNAL) -> Figure:
    """The network from left to right, a box a piece as tall as it has channels; below, the seconds that a token sees after it."""
    places = np.arange(len(pieces))
    colours = [KINDS[piece.kind][2] for piece in pieces]
    with plt.rc_context(STYLE):
        figure, (above, below) = plt.subplots(2, 1, figsize=(9.5, 5.6), sharex=True, layout="constrained", height_ratios=[1.5, 1])
        above.bar(places, [piece.width for piece in pieces], width=0.86, color=colours)
        for place, piece in zip(places, pieces, strict=True):
            above.text(place, piece.width + 8, KINDS[piece.kind][0], ha="center", va="bottom", fontsize=10)
        above.set(ylabel="channels", ylim=(0, 1.14 * max(piece.width for piece in pieces)), yticks=sorted(_stage_widths(pieces)))
        below.step(np.append(places, len(places)) - 0.5, [*(piece.sees for piece in pieces), pieces[-1].sees], where="post", color=INK)
        for place, piece, before in zip(places, pieces, [None, *pieces], strict=False):
            if before is None or piece.sees > before.sees:
                below.text(place - 0.4, 0.94 * piece.sees, f"{piece.sees:.2f}", ha="left", va="top", fontsize=9)
        below.set(ylabel="a token sees (s)", yscale="log", ylim=(0.25, 1.3 * signal.seconds))
        below.set_yticks(SECONDS, [f"{each:g}" for each in SECONDS])
        below.minorticks_off()
        ticks, names, start = [], [], 0
        for group in by_part(pieces):
            if group[0].part.startswith("stage"):
                ticks.append(start + (len(group) - 1) / 2)
                names.append(f"{group[0].part}\n{group[-1].n_tokens:,} tokens\n{1000 * signal.seconds / group[-1].n_tokens:g} ms each")
            start += len(group)
        below.set_xticks(ticks, names)
        for axis in (above, below):
            axis.tick_params(axis="x", length=0)
            axis.grid(axis="y", color="#e5e5e5", lw=0.8)
            axis.set_axisbelow(True)
        handles = [Patch(color=colour, label=f"{letter}  {words}") for letter, words, colour in KINDS.values()]
        above.legend(handles=handles, loc="upper left", fontsize=10, handlelength=1)
        figure.suptitle(f"From {signal.n_leads} leads of {signal.seconds:g} s to {pieces[-1].width} logits", fontsize=11, x=0.01, ha="left")
        return figure


def _stage_widths(pieces: Sequence[Piece]) -> set[int]:
    return {piece.width for piece in pieces if piece.part.startswith("stage")}


def shares(pieces: Sequence[Piece], title: str) -> Figure:
    """Where the parameters and the MACs sit: one bar a part, its share of the whole; the attention's products apart."""
    groups = by_part(pieces)
    places = np.arange(len(groups))[::-1]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.2), sharey=True, layout="constrained")
        counts = (("parameters", [sum(piece.n_parameters for piece in group) for group in groups]),
                  ("MACs", [sum(piece.macs for piece in group) for group in groups]))
        products = np.array([sum(piece.products for piece in group) for group in groups])
        for axis, (name, values) in zip(axes, counts, strict=True):
            whole, values = sum(values), np.array(values)
            apart = products if name == "MACs" else 0 * products
            axis.barh(places, 100 * (values - apart) / whole, color=MEASURED, label="weights")
            axis.barh(places, 100 * apart / whole, left=100 * (values - apart) / whole, color=ATTENTION, label="attention products")
            for place, value in zip(places, values, strict=True):
                share = 100 * value / whole
                axis.text(share + 1, place, f"{share:.1f} %" if share >= 0.05 else "< 0.1 %", va="center", fontsize=9)
            axis.set(xlabel=f"share of {complexity.notes_print(whole)} {name} (%)", xlim=(0, 115 * values.max() / whole))
        axes[0].set_yticks(places, [group[0].part for group in groups])
        figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figure
