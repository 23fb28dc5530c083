"""What the network itself says of a map: its answer when the marked parts are taken away, and its map when its weights are."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.train.seeds import scoped_seed

CELL = 0.1          # seconds that are removed at a time
N_STEPS = 10
BATCH = 64


@dataclass(frozen=True, eq=False)
class Curves:
    """The probability of the class as a record is taken away or put back.

    share: of the record, [S + 1]. deletion: [B, S + 1], the most marked parts set to zero first. insertion: [B, S + 1], the most marked
    parts put into an empty record first.
    """

    share: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray

    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """Area under both curves of each record, two of [B]. A faithful map has a small one of deletion and a large one of insertion."""
        return tuple(np.trapezoid(curve, self.share, axis=1) for curve in (self.deletion, self.insertion))


@torch.no_grad()
def deletion_and_insertion(model: nn.Module, x: Tensor, target: Tensor, curves: np.ndarray, *, fs: float = 100, cell: float = CELL,
                           steps: int = N_STEPS) -> Curves:
    """Remove and insert cells of time, all leads at once, in the order of a map.

    x: [B, L, T], scaled, so that zero is the mean of the training records. target: int64 [B]. curves: [B, T]. Cells of `cell` seconds,
    not samples: a sample alone that is set to zero is a spike, and the network would answer to that. Equal cells keep their order in
    time. Raises ConfigurationError where the record has fewer cells than steps.
    """
    n_samples, size = x.shape[-1], round(cell * fs)
    place = np.minimum(np.arange(n_samples) // size, max(n_samples // size - 1, 0))             # the last cell takes the rest
    n_cells = place[-1] + 1
    if n_cells < steps:
        raise ConfigurationError(f"a record of {n_samples} samples has {n_cells} cells of {cell} s, fewer than {steps} steps; give smaller "
                                 "cells or fewer steps")
    totals = np.stack([np.bincount(place, weights=curve) for curve in curves]) / np.bincount(place)     # [B, cells]
    rank = np.argsort(np.argsort(-totals, axis=1, kind="stable"), axis=1)                       # 0: the most marked
    share = np.linspace(0, 1, steps + 1)
    whole, empty = _probability(model, x, target), _probability(model, torch.zeros_like(x), target)
    found = []
    for removed in (True, False):
        answers = []
        for part in share[1:-1]:
            first = torch.from_numpy((rank < round(part * n_cells))[:, place]).unsqueeze(1)     # [B, 1, T]
            answers.append(_probability(model, x * (~first if removed else first), target))
        ends = (whole, empty) if removed else (empty, whole)
        found.append(np.stack([ends[0], *answers, ends[1]], axis=1))                            # [B, steps + 1]
    return Curves(share, *found)


def _probability(model: nn.Module, x: Tensor, target: Tensor) -> np.ndarray:
    """The sigmoid of each record's own class, [B]."""
    logits = torch.cat([model(part) for part in x.split(BATCH)])                                # [B, K]
    return torch.sigmoid(logits.gather(1, target.view(-1, 1)).squeeze(1)).numpy()


@torch.no_grad()
def randomised(model: nn.Module, share: float, x: Tensor, generator: torch.Generator) -> nn.Module:
    """A copy of the model whose last layers have lost what they learned: their weights are drawn anew, layer by layer from the head.

    share: of the layers with weights, from 0 (none) to 1 (all); at least one where share is above zero. x: [B, L, T], a record that shows
    in which order the layers are asked; one that never is counts as the first. A layer draws as it does
    when it is made, its running statistics included; weights of a layer that does not say how are shuffled (Adebayo et al., NeurIPS 2018,
    arXiv 1810.03292).
    """
    if not 0 <= share <= 1:
        raise ConfigurationError(f"share is {share!r}; give a number from 0 to 1")
    model = copy.deepcopy(model)
    layers = _in_order(model, x)
    seed = int(torch.randint(2**31, (), generator=generator))
    with scoped_seed(seed):
        for layer in layers[len(layers) - int(np.ceil(share * len(layers))):]:
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
                continue
            for weights in layer.parameters(recurse=False):
                weights.copy_(weights.flatten()[torch.randperm(weights.numel())].view_as(weights))
    return model


def _in_order(model: nn.Module, x: Tensor) -> list[nn.Module]:
    """The layers that have weights of their own, in the order in which a record last passes them."""
    layers = [part for part in model.modules() if next(part.parameters(recurse=False), None) is not None]
    passed: dict[nn.Module, int] = dict.fromkeys(layers, -1)
    count = iter(range(10**9))
    hooks = [layer.register_forward_hook(lambda module, *_: passed.__setitem__(module, next(count))) for layer in layers]
    try:
        model(x[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return sorted(layers, key=passed.__getitem__)
