"""The dual-path RNN's page: how a record is cut and joined again, and what the two recurrences hold over a record."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ecgstudy.layers.segments import Segmentation
from ecgstudy.models.dual_path_rnn import DualPathRNN
from ecgstudy.study import axis_page, figures, paper_page
from ecgstudy.study.axis_page import SIGNAL, AxisPage, Comparison
from ecgstudy.study.complexity import example_input, macs
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE
from ecgstudy.study.papers import simulated
from ecgstudy.study.papers.simulated import Subject
from ecgstudy.study.tables import mega

SEED, N_RECORDS = 11, 48
SHOWN = ("AF", "Normal")
PUBLISHED = Segmentation(45, 22)        # of the authors' code
NEAR_R = 0.06                           # seconds on either side of an R-peak that count as the QRS
PATH_COLOURS = {"intra": MEASURED, "inter": "#b3541e"}
PATH_WORDS = {"intra": "inside segments", "inter": "across segments"}


def gather(found: Comparison) -> Subject:
    """The page's network and its simulated records."""
    return simulated.subject(found, range(N_RECORDS), SEED)


# -- cost ---------------------------------------------------------------------------------------------------------------

def cost_in_words(page: AxisPage) -> str:
    """Where the multiply-accumulates are, as Markdown."""
    model = paper_page.fresh(page)
    with torch.inference_mode():
        _, width, positions, n_segments = model.segmentation.cut(model.encoder(example_input(model, SIGNAL))).shape
    steps = torch.zeros(1, positions * n_segments, width)               # inside segments and across them, the LSTMs take as many
    inside, whole = sum(macs(path.lstm, steps) for path in model.paths), macs(model, SIGNAL)
    return (f"Of the study size's multiply-accumulates {100 * inside / whole:.0f} % ({mega(inside)} a record) lie in the LSTMs, in chains "
            "of steps that wait for one another.")


# -- segments -----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True, eq=False)
class Cut:
    """One record's frames, cut and joined. frames: [C, N], the encoder's. segments: [C, K, S]. joined: [C, N], their plain sum."""

    segmentation: Segmentation
    frames: np.ndarray
    segments: np.ndarray
    joined: np.ndarray

    @property
    def error(self) -> float:
        """The largest distance of half the sum from the frames, over all features."""
        return float(np.abs(self.joined / 2 - self.frames).max())

    @property
    def seconds(self) -> np.ndarray:
        """When each frame is, [N]: its middle."""
        return frame_times(self.frames.shape[1])


@torch.inference_mode()
def cut(seen: Subject, row: int) -> Cut:
    """A record's frames without any recurrence between cutting and joining."""
    model: DualPathRNN = seen.model
    frames = model.encoder(seen.x[row:row + 1])
    segments = model.segmentation.cut(frames)
    joined = model.segmentation.join(segments, frames.shape[-1])
    return Cut(model.segmentation, *(each[0].numpy() for each in (frames, segments, joined)))


def frame_times(n_frames: int) -> np.ndarray:
    """Seconds at the middle of each frame [N]; the first lies at the first sample."""
    return np.arange(n_frames) * SIGNAL.seconds / (n_frames - 1)


def segment_figure(seen: Subject) -> Figure:
    """A record with its segments; one feature of it as a matrix of segments; the feature and half of its overlap-add; in how many
    segments a frame lies."""
    row = seen.with_label(SHOWN[0])[0]
    found = cut(seen, row)
    feature = int(found.frames.std(axis=1).argmax())
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(5, 1, figsize=(9.5, 8.4), layout="constrained", height_ratios=[1.2, 0.7, 1.5, 1, 0.8])
        _trace(axes[0], seen, row, f"A record with {SHOWN[0]}")
        _brackets(axes[1], found)
        _matrix(axes[2], figure, found, feature)
        axes[3].plot(found.seconds, found.frames[feature], color=GREY, lw=3.5, alpha=0.6, label="encoder")
        axes[3].plot(found.seconds, found.joined[feature] / 2, color=MEASURED, lw=1, label="cut, joined, halved")
        axes[3].set(ylabel="feature", ylim=(None, found.frames[feature].max() + 0.45 * np.ptp(found.frames[feature])))
        axes[3].legend(loc="upper left", ncols=2, fontsize=9)
        axes[3].text(0.995, 0.95, f"largest difference in all {len(found.frames)} features: {found.error:g}", fontsize=9, ha="right",
                     va="top", transform=axes[3].transAxes)
        for segmentation, colour, lw in ((PUBLISHED, GREY, 1.2), (found.segmentation, MEASURED, 2)):
            axes[4].step(found.seconds, segmentation.coverage(found.frames.shape[1]), where="mid", color=colour, lw=lw,
                         label=f"{segmentation.length} frames, {segmentation.hop} apart")
        axes[4].set(ylabel="segments\nof a frame", ylim=(0, 4.6), yticks=[0, 1, 2, 3], xlabel="time (s)")
        axes[4].legend(loc="upper left", ncols=2, fontsize=9)
        for axis in (axes[0], axes[1], axes[3], axes[4]):
            axis.set_xlim(0, SIGNAL.seconds)
        figure.suptitle(f"Cut into segments and joined again ({seen.weights})", fontsize=11, x=0.01, ha="left")
        return figure


def _trace(axis: Axes, seen: Subject, row: int, title: str) -> None:
    axis.plot(np.arange(SIGNAL.n_samples) / SIGNAL.fs, seen.trace(row), color=INK, lw=0.8)
    axis.set(ylabel="lead II (mV)", xlim=(0, SIGNAL.seconds))
    axis.set_title(title, fontsize=10, loc="left")


def _brackets(axis: Axes, found: Cut) -> None:
    """Every segment as a bar over the seconds that it holds; neighbours in two rows, so that the overlap is seen."""
    step = found.seconds[1]
    for s, start in enumerate(found.segmentation.starts(found.frames.shape[1]).tolist()):
        left, right = start * step, (start + found.segmentation.length) * step
        axis.barh(-(s % 2), right - left, left=left, height=0.8, color=MEASURED, alpha=0.35 if s % 2 else 0.6, edgecolor="white", lw=1.5)
        middle = (max(left, 0) + min(right, SIGNAL.seconds)) / 2
        if min(right, SIGNAL.seconds) - max(left, 0) > 0.3:
            axis.text(middle, -(s % 2), str(s + 1), ha="center", va="center", fontsize=8)
    axis.set(yticks=[0, -1], yticklabels=["odd", "even"], ylabel="segment")
    axis.spines["bottom"].set_visible(False)
    axis.tick_params(bottom=False, labelbottom=False, left=False)


def _matrix(axis: Axes, figure: Figure, found: Cut, feature: int) -> None:
    values = found.segments[feature]                                                    # [K, S]
    length, count = values.shape
    reach = np.abs(values).max() or 1.0
    image = axis.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest",
                        extent=(0.5, count + 0.5, length * found.seconds[1], 0))
    axis.set(xlabel="segment (the LSTM across segments walks along this axis)", ylabel="time in it (s)\n(walked inside)")
    axis.set_xticks(range(1, count + 1, 2))
    axis.spines[["top", "right"]].set_visible(True)
    figure.colorbar(image, ax=axis, label=f"feature {feature + 1}", pad=0.01)


# -- states -------------------------------------------------------------------------------------------------------------

@torch.inference_mode()
def state_norms(model: DualPathRNN, x: Tensor) -> list[tuple[str, Tensor]]:
    """The Euclidean norm of every state of every path, in the order in which they run: ("intra" or "inter", [R, K, S])."""
    segments, norms = model.segmentation.cut(model.encoder(x)), []
    for path in model.paths:
        norm = path.states(segments).norm(dim=-1)                                       # [R, S, K] inside, [R, K, S] across
        norms.append(("intra", norm.transpose(1, 2)) if path.inside else ("inter", norm))
        segments = path(segments)
    return norms


def over_time(norms: Tensor, segmentation: Segmentation, n_frames: int) -> np.ndarray:
    """Norms [R, K, S] on the frames [R, N]: the mean over the segments that hold a frame."""
    joined = segmentation.join(norms.unsqueeze(1), n_frames)[:, 0]
    return (joined / segmentation.coverage(n_frames)).numpy()


def share_between(norms: Tensor, segmentation: Segmentation, n_frames: int) -> np.ndarray:
    """Of each record's variance of norms [R, K, S] the share that lies between segments [R]; the rest lies inside them.

    Only segments that hold no padding count, since an end is not a rhythm.
    """
    starts = segmentation.starts(n_frames)
    inner = norms[..., (starts >= 0) & (starts + segmentation.length <= n_frames)]
    between = inner.mean(dim=1).var(dim=-1, correction=0)
    return (between / inner.var(dim=(1, 2), correction=0).clamp_min(1e-30)).numpy()


def near_beats(seen: Subject, rows: list[int], n_frames: int) -> np.ndarray:
    """Which frames lie within `NEAR_R` of an R-peak: bool [R, N]."""
    times = frame_times(n_frames)
    return np.stack([(np.abs(times[:, None] - seen.r_peaks(row)[None]) <= NEAR_R).any(axis=1) for row in rows])


@dataclass(frozen=True)
class PathReading:
    """What one path's norms do on records of one label: `between` as in `share_between`, `at_beats` their mean near an R-peak over
    their mean elsewhere; both medians over the records."""

    label: str
    direction: str
    block: int
    between: float
    at_beats: float


def readings(seen: Subject) -> list[PathReading]:
    """Every path on all records of each shown label."""
    found = []
    for label in SHOWN:
        rows = seen.with_label(label)
        places: dict[str, int] = {}
        for direction, norms in state_norms(seen.model, seen.x[rows]):
            places[direction] = places.get(direction, 0) + 1
            n_frames = n_frames_of(seen)
            timed, near = over_time(norms, seen.model.segmentation, n_frames), near_beats(seen, rows, n_frames)
            ratios = [float(curve[mask].mean() / curve[~mask].mean()) for curve, mask in zip(timed, near, strict=True)]
            between = share_between(norms, seen.model.segmentation, n_frames)
            found.append(PathReading(label, direction, places[direction], float(np.median(between)), float(np.median(ratios))))
    return found


@torch.inference_mode()
def n_frames_of(seen: Subject) -> int:
    """Frames of one record."""
    return seen.model.encoder(seen.x[:1]).shape[-1]


def state_figure(seen: Subject) -> Figure:
    """For each shown label a record, R-peaks marked, and over it the norms of the states inside and across segments, block by block."""
    n_frames = n_frames_of(seen)
    rows = [seen.with_label(label)[0] for label in SHOWN]
    norms = [(direction, over_time(each, seen.model.segmentation, n_frames)) for direction, each in state_norms(seen.model, seen.x[rows])]
    directions = list(dict.fromkeys(direction for direction, _ in norms))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1 + len(directions), len(rows), figsize=(9.5, 2.1 * (1 + len(directions)) + 0.4), sharex=True,
                                    sharey="row", layout="constrained", squeeze=False)
        for i, (label, row) in enumerate(zip(SHOWN, rows, strict=True)):
            _trace(axes[0, i], seen, row, label)
            for axis, direction in zip(axes[1:, i], directions, strict=True):
                curves = [curve[i] for name, curve in norms if name == direction]
                for block, curve in enumerate(curves):
                    axis.plot(frame_times(n_frames), curve, color=PATH_COLOURS[direction], alpha=(block + 1) / len(curves), lw=1.2,
                              label=f"block {block + 1}")
                axis.set_title(f"{PATH_WORDS[direction]}", fontsize=10, loc="left")
            for axis in axes[:, i]:
                for time in seen.r_peaks(row):
                    axis.axvline(time, color=GREY, lw=0.6, ls=":", zorder=0)
            axes[-1, i].set_xlabel("time (s)")
        for axis in axes[:, 1:].flat:
            axis.set_ylabel("")
        for axis in axes[1:, 0]:
            axis.set_ylabel("norm of the state")
        for axis in axes[1:, -1]:
            axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize=8, borderaxespad=0.1)
        figure.suptitle(f"What the two recurrences hold ({seen.weights}; simulated records)", fontsize=11, x=0.01, ha="left")
        return figure


def save_and_close(drawn: Figure, found: Comparison) -> Figure:
    """Keep a figure as the page's picture, and hand it to the notebook."""
    axis_page.save_picture(drawn, found.page.request)
    return figures.closed(drawn)


def in_words(seen: Subject) -> str:
    """What the two pictures show, as Markdown, from their own numbers."""
    found = cut(seen, seen.with_label(SHOWN[0])[0])
    counts = PUBLISHED.coverage(found.frames.shape[1]).unique().int().tolist()
    told = (f"**Segments.** Cut and joined without a recurrence between, the frames come back doubled; the largest departure is "
            f"{found.error:g}. With segments of {PUBLISHED.length} frames, {PUBLISHED.hop} apart, a frame lies in "
            f"{' or '.join(map(str, counts))} of them, so the plain sum is not even.")
    lines = [f"| {each.label} | {each.block} | {PATH_WORDS[each.direction]} | {100 * each.between:.0f} % | {each.at_beats:.2f} |"
             for each in readings(seen)]
    table = "\n".join(["| records | block | path | variance between segments | norm near an R-peak / elsewhere |",
                       "| --- | --- | --- | --- | --- |", *lines])
    fresh = "" if seen.run else " The weights are fresh: nothing was learned yet."
    return f"{told}\n\n**States.**{fresh} Medians over the simulated records of each label:\n\n{table}"
