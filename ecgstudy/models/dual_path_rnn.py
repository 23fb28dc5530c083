r"""Dual-path RNN: the record cut into short segments, read by one LSTM inside each of them and by another from segment to segment.

**Idea.** A ten-second record is too long for one recurrent network, and a crop of it loses the rhythm. So the encoded record is cut
into half-overlapping segments, which stand side by side as the columns of a matrix. One bidirectional LSTM walks down every
column (a second of ECG: the waves), another along every row (one step a half second: the rhythm). The pair is repeated, then
the segments are added up where they overlap. A record of N frames asks no LSTM to remember more than about √(2N) steps.

**Formulas.** For segments $T \in \mathbb{R}^{C \times K \times S}$, with linear maps $G$ and $M$ from both directions back to $C$:

$$\hat T = T + \mathrm{gLN}\big(G\,\mathrm{BiLSTM}_{intra}(T_{:,:,s})\big)\ \ \forall s$$

$$T' = \hat T + \mathrm{gLN}\big(M\,\mathrm{BiLSTM}_{inter}(\hat T_{:,k,:})\big)\ \ \forall k$$

$$\mathrm{gLN}(X)_{c,k,s} = \gamma_c\,\frac{X_{c,k,s} - \mu}{\sqrt{v + 10^{-8}}} + \beta_c$$

with $\mu$ and $v$ the mean and variance over all of $c, k, s$ of one record.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.checks import require_count
from ecgstudy.layers.segments import Segmentation
from ecgstudy.models.registry import register
from ecgstudy.models.sampling import at_rate
from ecgstudy.signal import SignalSpec

ENCODER_KERNEL, ENCODER_STRIDE = 8, 4       # samples at 100 Hz: a frame every 40 ms, seeing 80 ms
BINS = 4                                    # time bins of the pooling
DROPOUT = 0.5
PATHS = {"both": ("intra", "inter"), "intra": ("intra",), "inter": ("inter",)}


class Path(nn.Module):
    """One recurrence over the segments, with its residual: [B, C, K, S] -> [B, C, K, S].

    direction: "intra" walks the K positions of every segment, "inter" the S segments at every position.
    """

    def __init__(self, direction: str, dim: int, hidden: int) -> None:
        super().__init__()
        self.inside = direction == "intra"
        self.lstm = nn.LSTM(dim, hidden, batch_first=True, bidirectional=True)
        self.project = nn.Linear(2 * hidden, dim)                               # G or M
        self.norm = nn.GroupNorm(1, dim, eps=1e-8)                              # one group is gLN: statistics over all of c, k, s

    def states(self, segments: Tensor) -> Tensor:
        """The LSTM's states, both directions: [B, C, K, S] -> [B, S, K, 2 hidden] inside segments, [B, K, S, 2 hidden] across them."""
        rows = segments.permute(0, 3, 2, 1) if self.inside else segments.permute(0, 2, 3, 1)
        states, _ = self.lstm(rows.flatten(0, 1))                               # one sequence a segment, or a position
        return states.unflatten(0, rows.shape[:2])

    def forward(self, segments: Tensor) -> Tensor:
        read = self.project(self.states(segments))                              # [B, S, K, C] or [B, K, S, C]
        read = read.permute(0, 3, 2, 1) if self.inside else read.permute(0, 3, 1, 2)
        return segments + self.norm(read)


class DualPathRNN(nn.Module):
    """Encoder, segments, pairs of paths, overlap-add, head. The stage table stands at the builder."""

    def __init__(self, n_leads: int, n_classes: int, kernel: int, stride: int, segmentation: Segmentation, width: int, hidden: int,
                 directions: Sequence[str]) -> None:
        super().__init__()
        self.segmentation = segmentation
        self.encoder = nn.Conv1d(n_leads, width, kernel, stride=stride, padding=kernel // 2)
        self.paths = nn.Sequential(*(Path(direction, width, hidden) for direction in directions))
        self.head = nn.Sequential(nn.AdaptiveAvgPool1d(BINS), nn.Flatten(), nn.Linear(BINS * width, BINS * width), nn.ReLU(),
                                  nn.Dropout(DROPOUT), nn.Linear(BINS * width, n_classes))

    def forward_features(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> [B, C, N], the frames after overlap-add"""
        frames = self.encoder(x)                                                # [B, C, N]
        segments = self.paths(self.segmentation.cut(frames))                    # [B, C, K, S]
        return self.segmentation.join(segments, frames.shape[-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


@register(
    paper="M. Wang, S. Rahardja, P. Fränti, S. Rahardja, Single-lead ECG recordings modeling for end-to-end recognition of atrial "
          "fibrillation with dual-path RNN, Biomedical Signal Processing and Control 79, 104067, 2023",
    fidelity="Written anew after the authors' published code and the speech-separation block that it imports (Luo, Chen, Yoshioka, "
             "arXiv 1910.06379); the paper's text was not at hand, so that its printed scores came from exactly this configuration is "
             "inferred.",
    choices=(
        "All leads enter the encoder; the paper reads one lead.",
        "Segments of 24 frames, 12 apart: every frame lies in exactly two. The published code uses 45 and 22, where some lie in three.",
        "The encoder's kernel of 8 and step of 4 are samples at 100 Hz; the published code uses the same numbers at 300 Hz.",
        "The study's loss and recipe, without the paper's mix-up and without its label-margin loss, which needs one true class.",
        "Dropout in the head is off when the network predicts; in the published code it stays on, so its predictions are random.",
    ),
    sizes={
        "study": ({}, 673_865),
        "paper": ({"segment": 45, "hop": 22}, 673_865),
        "intra alone": ({"paths": "intra"}, 374_089),
        "inter alone": ({"paths": "inter"}, 374_089),
    },
    quick={"width": 32, "hidden": 32, "blocks": 2})
def dual_path_rnn(signal: SignalSpec, n_classes: int, *, segment: int = 24, hop: int = 12, width: int = 64, hidden: int = 64,
                  blocks: int = 4, paths: str = "both") -> nn.Module:
    """The dual-path network; N = 251 frames and S = 23 segments for 1,000 samples at 100 Hz.

    | part | layers | output at 12 x 1000 |
    | --- | --- | --- |
    | encoder | Conv8 stride 4, no activation | [B, 64, 251] |
    | segments | 24 frames (0.96 s), 12 apart, zeros at both ends | [B, 64, 24, 23] |
    | 4 blocks | BiLSTM inside segments, Linear 128 -> 64, gLN, residual; the same across segments | [B, 64, 24, 23] |
    | overlap-add | plain sum: without the blocks it gives twice the encoder's output | [B, 64, 251] |
    | head | mean of 4 bins of time, Linear 256, ReLU, dropout 0.5, Linear | [B, K] |

    segment, hop: K and P, in frames. Half-overlapping segments near √(2N) make both recurrences about equally long. width: C; hidden:
    units of each LSTM a direction. paths: "both" or, for ablation, "intra" or "inter" alone.

    A frame lasts 40 ms at every sampling rate. The published code passes a dropout to its LSTMs, which has no effect on a single layer;
    here they have none. For the paper's single-lead network build it for a signal of one lead. The quick profile halves width, hidden
    and blocks: the many short recurrences are slow on two cores.

    Raises ConfigurationError for a record shorter than one segment.
    """
    for name, value in (("segment", segment), ("width", width), ("hidden", hidden), ("blocks", blocks)):
        require_count(name, value)
    require_known("paths", paths, PATHS)
    kernel, stride = at_rate(ENCODER_KERNEL, signal), at_rate(ENCODER_STRIDE, signal)
    n_frames = (signal.n_samples + 2 * (kernel // 2) - kernel) // stride + 1
    if n_frames < segment:
        raise ConfigurationError(f"a record of {signal.n_samples} samples has {n_frames} frames, fewer than one segment of {segment}; give "
                                 f"at least {(segment - 1) * stride + kernel % 2} samples, or a shorter segment")
    return DualPathRNN(signal.n_leads, n_classes, kernel, stride, Segmentation(segment, hop), width, hidden, PATHS[paths] * blocks)
