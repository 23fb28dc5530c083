"""The views that CLOCS cuts from a record, the pairs that are made of them, and the one that the published code learns from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from ecgstudy.leads import LEADS
from ecgstudy.study.figures import INK, STYLE
from ecgstudy.train.objectives.clocs import SCHEMES, views_of
from ecgstudy.train.seeds import torch_generator

SEGMENT_COLOURS = ("#8e4ec6", "#e08a00")
PAIR_KINDS = {"one lead, two times": "#1f5fa8", "two leads, one time": "#2e9e5b", "both differ": "#bfc7d5"}
DRAW = 11               # of the lead and of the stretch in the picture


def stretches(scheme: str, n_samples: int, seed: int = DRAW) -> list[tuple[int, int, int]]:
    """Lead, first sample and end of each view that the objective cuts from a record: asked of the objective itself, by a record whose
    every sample is its own place."""
    places = torch.arange(len(LEADS) * n_samples, dtype=torch.float64).view(1, len(LEADS), n_samples)
    views = views_of(places, scheme, torch_generator(seed))[:, 0, 0]                    # [V, t]
    return [(int(view[0]) // n_samples, int(view[0]) % n_samples, int(view[-1]) % n_samples + 1) for view in views]


def kind_of(first: tuple[int, int, int], second: tuple[int, int, int]) -> str:
    """Which of PAIR_KINDS two views are."""
    if first[0] == second[0]:
        return "one lead, two times"
    return "two leads, one time" if first[1:] == second[1:] else "both differ"


def views_and_pairs(record: np.ndarray, fs: int, name: str) -> Figure:
    """Above: the views of one record [L, T] in mV in each scheme. Below: the pairs that are compared, and the last one outlined."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, len(SCHEMES), figsize=(10, 8.2), layout="constrained", height_ratios=[1.35, 1])
        for i, scheme in enumerate(SCHEMES):
            views = stretches(scheme, record.shape[-1])
            _traces(axes[0, i], record, fs, views)
            axes[0, i].set_title(f"{scheme.upper()}: {len(views)} views", fontsize=11)
            _pairs(axes[1, i], views)
        axes[0, 0].set_ylabel(f"lead (bar: 1 mV), record {name}")
        handles = [Patch(color=colour, label=kind) for kind, colour in PAIR_KINDS.items()]
        handles.append(Patch(facecolor="none", edgecolor="#d6336c", lw=2, label="the last pair"))
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
        return figure


def _traces(axis: Axes, record: np.ndarray, fs: int, views: Sequence[tuple[int, int, int]], gap: float = 1.6) -> None:
    """Twelve leads in grey under each other, `gap` mV apart; the views coloured by where they begin."""
    seconds = np.arange(record.shape[-1]) / fs
    for lead, trace in enumerate(record):
        drawn = trace - np.median(trace) - gap * lead
        axis.plot(seconds, drawn, color="#d0d0d0", lw=0.6, zorder=1)
        for n, (_, start, end) in enumerate(sorted(view for view in views if view[0] == lead)):
            axis.plot(seconds[start:end], drawn[start:end], color=SEGMENT_COLOURS[n], lw=0.9, zorder=2)
    axis.plot([10.25, 10.25], [-0.5, 0.5], color=INK, lw=2, clip_on=False)
    axis.set_yticks(-gap * np.arange(len(LEADS)), LEADS, fontsize=9)
    axis.set(xlabel="time (s)", xlim=(0, seconds[-1]), ylim=(-gap * (len(LEADS) - 0.2), 1.3))
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _pairs(axis: Axes, views: Sequence[tuple[int, int, int]]) -> None:
    n, kinds = len(views), list(PAIR_KINDS)
    cells = np.full((n, n), np.nan)
    for a, b in combinations(range(n), 2):
        cells[a, b] = kinds.index(kind_of(views[a], views[b]))
    axis.imshow(cells, cmap=ListedColormap(list(PAIR_KINDS.values())), vmin=-0.5, vmax=len(kinds) - 0.5, interpolation="nearest")
    axis.add_patch(Rectangle((n - 1.5, n - 2.5), 1, 1, facecolor="none", edgecolor="#d6336c", lw=2, clip_on=False, zorder=3))
    per_lead = n // len({view[0] for view in views})
    places = [per_lead * i + (per_lead - 1) / 2 for i in range(n // per_lead)]
    names = [LEADS[views[per_lead * i][0]] for i in range(n // per_lead)]
    if n == per_lead:
        places, names = list(range(n)), [f"{names[0]}, {'first' if i == 0 else 'second'} half" for i in range(n)]
    axis.set_xticks(places, names, fontsize=8, rotation=0 if n == per_lead else 90)
    axis.set_yticks(places, names, fontsize=8, rotation=90 if n == per_lead else 0, va="center")
    n_pairs = n * (n - 1) // 2
    axis.set_title(f"{n_pairs} pair{'s' * (n_pairs > 1)}" + f"; as published 1 of {n_pairs}" * (n_pairs > 1), fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
