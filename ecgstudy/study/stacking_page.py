"""Page 08, stacking: how each network of the notes' family lines its blocks up, drawn from the built networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pandas.io.formats.style import Styler
from torch import nn

from ecgstudy.data.labels import label_set
from ecgstudy.layers.attention import Attention, HiLoAttention, ShuntedAttention
from ecgstudy.layers.blocks import Block, Residual
from ecgstudy.layers.convs import ConvModulation, InvertedBottleneck, MultiScaleDepthwiseConv
from ecgstudy.models import build_model
from ecgstudy.models.registry import model_entry
from ecgstudy.study import figures, tables
from ecgstudy.study.axis_page import SIGNAL, AxisPage, Comparison
from ecgstudy.study.complexity import count_parameters, macs
from ecgstudy.study.names import readable
from ecgstudy.study.profiles import profile


@dataclass(frozen=True)
class Kind:
    """What a cell of the drawing stands for: how its block mixes tokens."""

    label: str
    colour: str


KINDS = {
    MultiScaleDepthwiseConv: Kind("multi-scale convolution", "#1f5fa8"),
    InvertedBottleneck: Kind("convolution, inverted residual", "#7fb2e5"),
    ConvModulation: Kind("convolutional modulation", "#4c9f70"),
    HiLoAttention: Kind("attention, HiLo", "#c47fc0"),
    ShuntedAttention: Kind("attention, shunted", "#b5443a"),
    Attention: Kind("attention, full", "#e8952e"),         # after its own subclasses
}


@dataclass(frozen=True)
class Member:
    """What the notes say of a network of the family, and how sure this study is of its design."""

    told: str
    status: str


MEMBERS = {
    "inception_next": Member("channel groups, each with a depth-wise kernel of its own size", "structure certain"),
    "mhsa_linear": Member("local and global blocks joined in line", "inferred: where the one ends and the other begins"),
    "inception_former": Member("local and global blocks cross-stacked", "matched: every printed count"),
    "shunt_sa": Member("half of the heads fine, half coarse", "inferred: the coarse half merges pairs of tokens"),
    "hilo_sa": Member("half of the heads in windows, half on pooled tokens; the window size has to be tuned",
                      "inferred: windows of five tokens"),
    "sandwich": Member("a name and a figure", "inferred: one attention between two local blocks"),
    "sandwich_pro": Member("a name and a figure, beside notes on mixers", "inferred: attention between two parts that widen"),
    "crossed_shunted": Member("InceptionNeXt and shunted attention, cross-stacked; their best score",
                              "heads and rates as in their first version"),
}

LIMITS = ("blocks differ in cost as well as in order, so a better score may be bought with size",
          "the networks marked inferred test a reading of the notes' names",
          "a network that loses more without a band may only have had more to lose: the clean scores differ",
          "what a network does without a band that it was trained with is not what it would learn without it")


@dataclass(frozen=True)
class Cell:
    """One block. paired: it mixes tokens, then channels, in two residuals; else it is a single residual."""

    kind: Kind
    paired: bool

    @property
    def width(self) -> float:
        return 1.0 if self.paired else 0.5


def cells(model: nn.Module) -> list[list[Cell]]:
    """The blocks of each stage in the order in which tokens pass them, read from the built network."""
    return [[Cell(kind_of(block), isinstance(block, Block)) for block in stage.modules() if isinstance(block, Block | Residual)]
            for stage in model.stages]


def kind_of(block: Block | Residual) -> Kind:
    """How a block mixes tokens: the first layer in it that does."""
    mixer = block.token_mixer if isinstance(block, Block) else block.layer
    for layer in mixer.modules():
        for type_, kind in KINDS.items():
            if isinstance(layer, type_):
                return kind
    raise TypeError(f"{type(mixer).__name__} is no token mixer that the page can draw; add it to KINDS")


def full_width(page: AxisPage) -> dict[str, nn.Module]:
    """Every network of the page at full width, without memory for its weights."""
    n_classes, size = len(label_set(page.request.dataset, page.request.task).classes), profile("full")
    with torch.device("meta"):
        return {name: build_model("inception_former", SIGNAL, n_classes, **page.axis.variants[name].all_settings(size))
                for name in page.names}


def strips(networks: dict[str, nn.Module]) -> Figure:
    """One row a network, one coloured cell a block, stage by stage."""
    rows = {name: cells(model) for name, model in networks.items()}
    n_stages = max(map(len, rows.values()))
    room = [max((sum(cell.width for cell in row[i]) for row in rows.values() if i < len(row)), default=0) for i in range(n_stages)]
    starts = [sum(room[:i]) + 0.8 * i for i in range(n_stages)]
    with plt.rc_context(figures.STYLE):
        figure, axis = plt.subplots(figsize=(9.5, 0.46 * len(rows) + 1.5), layout="constrained")
        for y, stages in enumerate(rows.values()):
            for start, stage in zip(starts, stages, strict=False):
                _draw_stage(axis, start, y, stage)
        for i, start in enumerate(starts):
            axis.text(start, -0.75, f"stage {i + 1}\n{SIGNAL.n_samples // 2**i} tokens", va="bottom", fontsize=9)
        axis.set(xlim=(-0.1, starts[-1] + room[-1] + 0.1), ylim=(len(rows) - 0.5, -0.7))
        axis.set_yticks(range(len(rows)), [readable(name) for name in rows])
        axis.set_xticks([])
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        used = {cell.kind: None for stages in rows.values() for stage in stages for cell in stage}
        handles = [Rectangle((0, 0), 1, 1, color=kind.colour, label=kind.label) for kind in used]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)
        return figures.closed(figure)


def _draw_stage(axis: plt.Axes, start: float, y: int, stage: Sequence[Cell]) -> None:
    for cell in stage:
        axis.add_patch(Rectangle((start + 0.05, y - 0.32), cell.width - 0.1, 0.64, color=cell.kind.colour, lw=0))
        start += cell.width


def family_table(page: AxisPage, networks: dict[str, nn.Module]) -> Styler:
    """Name, pattern and source of every network, with parameters and multiply-accumulates at full width, counted now."""
    shown = {name: page.axis.variants[name].all_settings(profile("full")) for name in networks}
    default = model_entry("inception_former").settings["pattern"]
    lines = [{page.axis.label: readable(name), "pattern": " · ".join(shown[name].get("pattern", default)),
              "the notes say": MEMBERS[name].told, "this study's design": MEMBERS[name].status,
              "parameters": f"{count_parameters(model):,}", "MACs": tables.mega(macs(model, SIGNAL))} for name, model in networks.items()]
    return tables.style(pd.DataFrame(lines), "The family at full width. Pattern: the letters of each stage's blocks, repeated to its "
                        "depth. MACs: of one 10-s record, attention products included.")


def only(found: Comparison, names: Sequence[str]) -> Comparison:
    """The comparison without the networks that are not in `names`: probes take long, and the others are not asked about."""
    return dataclasses.replace(found, rows=[row for row in found.rows if row.value in names])
