r"""ECGNet: several kernel sizes in the first layer, a deep residual trunk, and an LSTM that reads the raw signal beside it.

**Idea.** A beat has parts of different lengths, so the first convolution has several lengths at once and the trunk behind it
chooses. What a convolution sees is bounded by its kernels; an LSTM that walks the whole record carries what came before. The
paper trains three networks (the CNN, the LSTM, and CLSTM, in which one classifier reads both) and finds CLSTM best.

**Formulas**, for a record $x \in \mathbb{R}^{L \times T}$:

$$h = \mathrm{concat}_{k \in \{15, 17, 19, 21\}}(W_k * x)$$

$$y = P\Big(W_b * \phi\big(\mathrm{BN}(W_a * \phi(\mathrm{BN}(x)))\big)\Big) + W_s * P(x)$$

$$\ell = W\,[\mathrm{mean}_t\, y_N\,;\, r_T] + b,\qquad r_t = \mathrm{LSTM}(x_t, r_{t-1})$$

φ is a ReLU, then dropout. In every fourth block P is a max-pool by 2 and $W_s$ a convolution of width 1; elsewhere both are the
identity.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.checks import require_count, require_counts, require_odd
from ecgstudy.models.registry import register
from ecgstudy.models.sampling import odd_at_rate
from ecgstudy.signal import SignalSpec

BRANCHES = ("clstm", "cnn", "lstm")
TRUNK_KERNEL = 17           # samples at 100 Hz, of every convolution behind the first layer
DROPOUT, HEAD_DROPOUT = 0.1, 0.2


class MultiKernelConv(nn.Module):
    r"""The first layer, $h = \mathrm{concat}_k(W_k * x)$: [B, L, T] -> [B, len(kernels) * maps, T].

    Every kernel size sees all leads and gives `maps` channels, in the order of `kernels`.
    """

    def __init__(self, n_leads: int, maps: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(nn.Conv1d(n_leads, maps, kernel, padding=kernel // 2, bias=False) for kernel in kernels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([scale(x) for scale in self.scales], dim=1)


class PreActivationBlock(nn.Module):
    """Two convolutions, each behind BN, ReLU and dropout: [B, dim, N] -> [B, out_dim, N], or [B, out_dim, N // 2] where it halves."""

    def __init__(self, dim: int, out_dim: int, kernel: int, *, halve: bool) -> None:
        super().__init__()
        self.residual = nn.Sequential(*_activated_conv(dim, out_dim, kernel), *_activated_conv(out_dim, out_dim, kernel))   # W_a, W_b
        self.pool = nn.MaxPool1d(2) if halve else nn.Identity()                                                             # P
        self.shortcut = nn.Identity() if dim == out_dim else nn.Conv1d(dim, out_dim, 1, bias=False)                         # W_s

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.residual(x)) + self.shortcut(self.pool(x))


def _activated_conv(dim: int, out_dim: int, kernel: int) -> tuple[nn.Module, ...]:
    return (nn.BatchNorm1d(dim), nn.ReLU(), nn.Dropout(DROPOUT), nn.Conv1d(dim, out_dim, kernel, padding=kernel // 2, bias=False))


class Trunk(nn.Module):
    """The CNN: [B, L, T] -> [B, C, N]. `first`: the layer of several kernels; `blocks`: all that follows."""

    def __init__(self, n_leads: int, maps: int, widen: int, n_blocks: int, halve_every: int, kernels: Sequence[int], kernel: int) -> None:
        super().__init__()
        dim = maps * len(kernels)
        self.first = MultiKernelConv(n_leads, maps, kernels)
        layers: list[nn.Module] = [nn.BatchNorm1d(dim), nn.ReLU(), nn.Conv1d(dim, dim, kernel, stride=2, padding=kernel // 2, bias=False)]
        for number in range(1, n_blocks + 1):
            halve = number % halve_every == 0
            out_dim = dim + widen * halve
            layers.append(PreActivationBlock(dim, out_dim, kernel, halve=halve))
            dim = out_dim
        self.blocks = nn.Sequential(*layers, nn.BatchNorm1d(dim), nn.ReLU())
        self.out_dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.first(x))


class Recurrence(nn.Module):
    r"""The LSTM's states $r_1 \dots r_T$ over the raw samples: [B, L, T] -> [B, hidden, T]."""

    def __init__(self, n_leads: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_leads, hidden, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(x.transpose(1, 2))            # [B, T, hidden]
        return states.transpose(1, 2)


class BranchHead(nn.Module):
    r"""$\ell = W\,[\mathrm{mean}_t\, y\,;\, r_T] + b$ of the branches that there are.

    maps: [B, C, N] of the trunk, or None; states: [B, hidden, T] of the LSTM, or None. Returns logits [B, K].
    """

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.classify = nn.Sequential(nn.Dropout(HEAD_DROPOUT), nn.Linear(dim, n_classes))

    def forward(self, maps: Tensor | None, states: Tensor | None) -> Tensor:
        return self.classify(self.summary(maps, states))

    @staticmethod
    def summary(maps: Tensor | None, states: Tensor | None) -> Tensor:
        """What the linear map reads: the trunk's channels first, then the LSTM's."""
        parts = [maps.mean(dim=-1)] if maps is not None else []
        parts += [states[..., -1]] if states is not None else []
        return torch.cat(parts, dim=1)


class ECGNet(nn.Module):
    """The branches that there are, and the head that reads them. trunk, recurrence: None where the network does without."""

    def __init__(self, trunk: Trunk | None, recurrence: Recurrence | None, head: BranchHead) -> None:
        super().__init__()
        self.trunk, self.recurrence, self.head = trunk, recurrence, head

    def branches(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """x: [B, L, T] -> the trunk's map [B, C, N] and the LSTM's states [B, hidden, T], None for an absent branch."""
        return (None if self.trunk is None else self.trunk(x)), (None if self.recurrence is None else self.recurrence(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> the trunk's last map [B, C, N]; the LSTM's states [B, hidden, T] where there is no trunk."""
        return self.recurrence(x) if self.trunk is None else self.trunk(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(*self.branches(x))


@register(
    paper="B. Murugesan, V. Ravichandran, K. Ram, S. P. Preejith, J. Joseph, S. M. Shankaranarayana, M. Sivaprakasam, ECGNet: Deep "
          "Network for Arrhythmia Classification, IEEE MeMeA 2018, doi 10.1109/MeMeA.2018.8438739 (full author list, venue and DOI "
          "from memory, to be checked)",
    fidelity="Built from the abstract and from two public re-implementations, the second of which follows the first: kernels, depth, "
             "dropout and the LSTM's width are theirs and were not checked against the paper's text. No official code is known; the "
             "paper's own widths, loss, optimiser and split are not established.",
    choices=("Twelve leads, ten seconds, nine labels; the paper classifies single beats in strips of two seconds into three classes.",
             "The kernel sizes are kept in samples at 100 Hz, where 15 to 21 samples last 0.15 to 0.21 s.",
             "The kernels' outputs are joined as channels and the length is halved in every fourth block, as in the second "
             "re-implementation; the first joins along time and halves more often.",
             "Half of that re-implementation's widths: 8 maps a kernel, 16 more channels at each halving.",
             "The trunk is read by its mean over time, without the re-implementations' wide linear layer behind it; dropout 0.2 "
             "before the last layer.",
             "The LSTM's last state is that at the end of the ten seconds, so in a shorter record it has also read the padding."),
    sizes={"study": ({}, 1_840_385), "cnn": ({"branches": "cnn"}, 1_831_385), "lstm": ({"branches": "lstm"}, 9_009),
           "wide": ({"maps": 16, "widen": 32}, 7_312_081)},
    quick={"maps": 4, "widen": 8},
    head_on_features=False)
def ecgnet(signal: SignalSpec, n_classes: int, *, branches: str = "clstm", kernels: Sequence[int] = (15, 17, 19, 21), maps: int = 8,
           widen: int = 16, blocks: int = 15, halve_every: int = 4, hidden: int = 40) -> nn.Module:
    r"""ECGNet at the study's size; at 12 x 1000 and the defaults:

    | stage | layers | output |
    | --- | --- | --- |
    | first layer | Conv 15, 17, 19, 21 in parallel, 8 maps each | [B, 32, 1000] |
    | step | BN, ReLU, Conv17 stride 2 | [B, 32, 500] |
    | blocks 1-3 | pre-activation blocks, Conv17 | [B, 32, 500] |
    | blocks 4-7 | the same; block 4 halves and widens | [B, 48, 250] |
    | blocks 8-11 | the same; block 8 halves and widens | [B, 64, 125] |
    | blocks 12-15 | the same; block 12 halves and widens | [B, 80, 62] |
    | end of the trunk | BN, ReLU (the feature map), mean | [B, 80] |
    | recurrence | LSTM over the raw samples, last state | [B, 40] |
    | head | join, dropout 0.2, Linear | [B, K] |

    branches: "clstm" (both), "cnn" or "lstm", the paper's three networks. kernels: sizes of the first layer, maps: channels of each.
    widen: channels added at each halving, which happens at every `halve_every`-th of the `blocks`. hidden: width of the LSTM.

    Kernels are in samples at 100 Hz and grow with the sampling rate; the strides do not. The head reads the LSTM's last state beside
    the feature map, so the map alone does not give the logits.

    Raises ConfigurationError for a record too short for the halvings.
    """
    require_known("branches", branches, BRANCHES)
    kernels = tuple(odd_at_rate(require_odd("kernels", kernel), signal) for kernel in require_counts("kernels", kernels))
    for name, value in (("maps", maps), ("widen", widen), ("blocks", blocks), ("halve_every", halve_every), ("hidden", hidden)):
        require_count(name, value)
    trunk = recurrence = None
    if branches != "lstm":
        require_length(signal.n_samples, blocks // halve_every)
        trunk = Trunk(signal.n_leads, maps, widen, blocks, halve_every, kernels, odd_at_rate(TRUNK_KERNEL, signal))
    if branches != "cnn":
        recurrence = Recurrence(signal.n_leads, hidden)
    width = (trunk.out_dim if trunk else 0) + (hidden if recurrence else 0)
    return ECGNet(trunk, recurrence, BranchHead(width, n_classes))


def require_length(n_samples: int, halvings: int) -> None:
    """Refuse a record of which the step of stride 2 and the halvings leave nothing."""
    shortest = 2 ** (halvings + 1) - 1
    if n_samples < shortest:
        raise ConfigurationError(f"a record of {n_samples} samples is too short for a step of 2 and {halvings} halvings; give at least "
                                 f"{shortest} samples, or fewer blocks, or a larger halve_every")
