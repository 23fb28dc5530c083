"""The page of the dual-branch network: which tokens it keeps, where in the beat they lie, whether the choice matters, and how far the
loss on the class tokens brings the branches together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pandas.io.formats.style import Styler

from ecgstudy.data.beats import find_beats
from ecgstudy.data.labels import LabelSet, label_set
from ecgstudy.data.splits import split
from ecgstudy.errors import AbsentError
from ecgstudy.leads import LEADS
from ecgstudy.models import build_model
from ecgstudy.models.dual_branch_token_select import BRANCHES, DualBranch, correlation
from ecgstudy.study import tables
from ecgstudy.study.axis_page import SIGNAL, AxisPage, Comparison
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE, closed
from ecgstudy.study.paper_page import entry, trained, whose_weights
from ecgstudy.study.papers.validation import ValidationRecords, validation_records
from ecgstudy.study.probes import CLEAN, Probe, macro_auroc, probe_all
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import at_hand
from ecgstudy.train.feed import Feed, fit_scaling
from ecgstudy.train.objectives import Objective, supervised
from ecgstudy.train.seeds import scoped_seed, torch_generator

TRACE = LEADS.index("II")
SHOWN = ("Normal", "NORM", "SR", "AF", "AFIB", "PVC", "LBBB")      # whose records are drawn, where the fold has them
N_SHOWN = 3
BEFORE, AFTER = 0.4, 0.6                                            # seconds around an R-peak
FEWEST_BEATS = 20                                                   # of a class, before its row is drawn
N_STEPS = {"smoke": 4, "quick": 60, "full": 400}                    # of the training that is watched step by step
N_WATCHED = 256
DRAWS = 3
KEPT = ListedColormap(["#e6e6e6", MEASURED])


@dataclass(frozen=True, eq=False)
class Selected:
    """What the network kept of R validation records. kept: for each branch bool [R, N]; beats: R-peaks of each record, samples;
    seconds: from one token of a branch to the next."""

    model: DualBranch
    weights: str
    records: ValidationRecords
    kept: dict[str, np.ndarray]
    seconds: dict[str, float]
    beats: list[np.ndarray]


def select(found: Comparison) -> Selected:
    """The selection of the page's network, trained where its weights are at hand, on its validation fold."""
    model, run = trained(found)
    records = validation_records(found, run)
    parts = [model.selection(x) for x in records.batches()]
    kept = {name: torch.cat([part[name][0] for part in parts]).numpy() for name in BRANCHES}
    seconds = {name: getattr(model, name).embed.stride / records.fs for name in BRANCHES}
    return Selected(model, whose_weights(run), records, kept, seconds,
                    [find_beats(signal, records.fs) for signal in np.asarray(records.millivolts)])


# -- which tokens are kept ----------------------------------------------------------------------------------------------

def shown_records(seen: Selected) -> list[tuple[int, str]]:
    """(row, class) of the records to draw: of each class the one on which the network is surest of it."""
    records, logits = seen.records, seen.records.logits(seen.model)
    present = [name for k, name in enumerate(records.classes) if records.targets[:, k].any()]
    order = [*(name for name in SHOWN if name in present), *(name for name in present if name not in SHOWN)]
    chosen = []
    for name in order[:N_SHOWN]:
        k = records.classes.index(name)
        rows = np.flatnonzero(records.targets[:, k])
        chosen.append((int(rows[logits[rows, k].argmax()]), name))
    return chosen


def kept_figure(seen: Selected) -> Figure:
    """Lead II of one record a class, and under it which coarse and which fine tokens went through the second pass."""
    chosen = shown_records(seen)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(3 * len(chosen), 1, figsize=(9.5, 2.1 * len(chosen) + 0.7), sharex=True, layout="constrained",
                                    height_ratios=[3.2, 0.55, 0.55] * len(chosen))
        for i, (row, name) in enumerate(chosen):
            trace, *strips = axes[3 * i:3 * i + 3]
            _trace(trace, seen, row, name)
            for strip, branch in zip(strips, BRANCHES, strict=True):
                _strip(strip, seen.kept[branch][row], seen.seconds[branch], branch)
        axes[-1].set_xlabel("time (s); a cell stands where its token begins")
        handles = [plt.Rectangle((0, 0), 1, 1, color=KEPT(1)), plt.Rectangle((0, 0), 1, 1, color=KEPT(0))]
        figure.legend(handles, ["kept for the second pass", "dropped"], loc="outside lower right", ncols=2, fontsize=9)
        figure.suptitle(f"Kept tokens ({seen.weights})", fontsize=11, x=0.01, ha="left")
        return closed(figure)


def _trace(axis: Axes, seen: Selected, row: int, name: str) -> None:
    records, trace = seen.records, np.asarray(seen.records.millivolts[row][TRACE], np.float64)
    axis.plot(np.arange(len(trace)) / records.fs, trace - np.median(trace), color=INK, lw=0.8)
    truly = ", ".join(each for each, there in zip(records.classes, records.targets[row], strict=True) if there)
    axis.set_title(f"{name}: record {records.names[row]}" + f" ({truly})" * (truly != name), fontsize=10, loc="left")
    axis.set(ylabel="II (mV)", xlim=(0, len(trace) / records.fs))
    axis.tick_params(bottom=False)


def _strip(axis: Axes, kept: np.ndarray, seconds: float, branch: str) -> None:
    axis.pcolormesh(np.arange(len(kept) + 1) * seconds, [0, 1], kept[None], cmap=KEPT, vmin=0, vmax=1, edgecolors="white",
                    linewidth=0.4 if branch == "coarse" else 0.0)
    axis.set_yticks([0.5], [branch], fontsize=9)
    axis.tick_params(left=False, bottom=False)
    for side in axis.spines.values():
        side.set_visible(False)


# -- where in the beat they lie -----------------------------------------------------------------------------------------

def around_beats(kept: np.ndarray, seconds: float, beats: Sequence[np.ndarray], fs: float) -> tuple[np.ndarray, int]:
    """How often a token is kept by where it begins relative to an R-peak: share [bins of `seconds` from -BEFORE to AFTER], and the
    number of beats. kept: bool [R, N]. NaN in a bin without a token. A token near two beats counts for both."""
    edges = np.arange(-BEFORE, AFTER + seconds / 2, seconds)
    hits, total = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    begins = np.arange(kept.shape[1]) * seconds
    for row, peaks in zip(kept, beats, strict=True):
        apart = (begins[None] - peaks[:, None] / fs).ravel()                        # [beats * N]
        place = np.floor((apart + BEFORE) / seconds + 1e-9).astype(int)
        inside = (place >= 0) & (place < len(hits))
        np.add.at(total, place[inside], 1)
        np.add.at(hits, place[inside], np.tile(row, len(peaks))[inside])
    return np.divide(hits, total, out=np.full_like(hits, np.nan), where=total > 0), sum(map(len, beats))


def kept_by_class(seen: Selected, branch: str) -> dict[str, np.ndarray]:
    """`around_beats` of each class with enough beats, and of all records."""
    records, found = seen.records, {}
    groups = {"all records": np.ones(len(records), bool)} | {name: records.targets[:, k] > 0 for k, name in enumerate(records.classes)}
    for name, rows in groups.items():
        share, n_beats = around_beats(seen.kept[branch][rows], seen.seconds[branch],
                                      [seen.beats[i] for i in np.flatnonzero(rows)], records.fs)
        if n_beats >= FEWEST_BEATS:
            found[name] = share
    return found


def shared(kept: np.ndarray) -> float:
    """The share of one record's kept tokens that stand where another record keeps one too: 1 where the place alone decides, the kept
    share by chance. kept: bool [R, N]."""
    counts, n_records = kept.sum(axis=0), len(kept)                                 # [N]
    return float((counts * (counts - 1)).sum() / (counts.sum() * (n_records - 1))) if n_records > 1 else float("nan")


def mean_beat(seen: Selected) -> tuple[np.ndarray, np.ndarray]:
    """Seconds around the R-peak, and the mean of lead II over all beats that lie wholly inside their record, in mV."""
    before, after = round(BEFORE * seen.records.fs), round(AFTER * seen.records.fs)
    traces = np.asarray(seen.records.millivolts)[:, TRACE]
    cut = [trace[p - before:p + after] - np.median(trace) for trace, peaks in zip(traces, seen.beats, strict=True)
           for p in peaks if before <= p <= len(trace) - after]
    return np.arange(-before, after) / seen.records.fs, np.mean(cut, axis=0) if cut else np.zeros(before + after)


def beat_figure(seen: Selected) -> Figure:
    """For each branch: the mean beat, and below it by class how often a token that begins there is kept."""
    shares = {branch: kept_by_class(seen, branch) for branch in BRANCHES}
    names = list(next(iter(shares.values())))
    times, beat = mean_beat(seen)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(9.5, 1.9 + 0.32 * len(names)), sharex=True, sharey="row", layout="constrained",
                                    height_ratios=[1, 0.24 * len(names) + 0.2])
        for (above, below), branch in zip(axes.T, BRANCHES, strict=True):
            above.plot(times, beat, color=INK, lw=1)
            above.set_title(f"{branch} tokens, one every {1000 * seen.seconds[branch]:.0f} ms", fontsize=10, loc="left")
            table = np.array([shares[branch][name] for name in names])
            drawn = below.pcolormesh(np.arange(table.shape[1] + 1) * seen.seconds[branch] - BEFORE, np.arange(len(names) + 1), table,
                                     cmap="RdBu_r", vmin=0, vmax=1)
            below.set_yticks(np.arange(len(names)) + 0.5, names)
            below.set(xlabel="begin of the token after the R-peak (s)", xlim=(-BEFORE, AFTER))
            below.axvline(0, color=INK, lw=0.7, ls=":")
            above.axvline(0, color=INK, lw=0.7, ls=":")
        axes[1, 0].invert_yaxis()
        axes[0, 0].set_ylabel("II (mV)")
        figure.colorbar(drawn, ax=axes[1], label="share kept")
        figure.suptitle(f"Where in the beat kept tokens lie ({seen.weights})", fontsize=11, x=0.01, ha="left")
        return closed(figure)


# -- the two branches while they train ----------------------------------------------------------------------------------

def watched_feed(page: AxisPage) -> tuple[Feed, LabelSet]:
    """Training records for the watched training, and what they are labelled with; simulated ones where the page's are not here."""
    asked = page.request
    labels = label_set(asked.dataset, asked.task)
    try:
        prepared = at_hand(asked.dataset, asked.size)
    except AbsentError:
        labels, prepared = label_set("synthetic"), at_hand("synthetic", profile("smoke"))
    rows = split(prepared, labels).training[:N_WATCHED]
    return Feed(prepared, rows, labels.encode(prepared.statements()), fit_scaling(prepared, rows), torch.device("cpu")), labels


def correlation_curves(page: AxisPage) -> dict[float, np.ndarray]:
    """Mean correlation of the two class tokens in each step of a short training, with the paper's loss and without: {weight: [S]}.

    Both start from the same weights and see the same batches; the network is the short profiles', so that the page stays quick.
    """
    feed, labels = watched_feed(page)
    registered, size = entry(page), page.request.size
    curves = {}
    for weight in (float(registered.settings["relation_weight"]), 0.0):
        with scoped_seed(0):
            model = build_model(registered.name, SIGNAL, len(labels.classes), **(dict(registered.quick) | {"relation_weight": weight}))
            curves[weight] = watch(model.train(), feed, supervised(labels.multilabel), N_STEPS[size.name], size.learning_rate)
    return curves


def watch(model: DualBranch, feed: Feed, objective: Objective, n_steps: int, rate: float, batch_size: int = 32) -> np.ndarray:
    """Train for some steps, and tell the mean correlation of the class tokens in each, on the batch of that step: [n_steps]."""
    seen: list[float] = []
    handle = model.head.register_forward_pre_hook(
        lambda _head, given: seen.append(float(correlation(given[0][..., 0], given[0][..., 1]).detach().mean())))
    optimizer, generator = torch.optim.AdamW(model.parameters(), lr=rate), torch_generator(0, 0)
    order = torch.randint(len(feed), (n_steps, min(batch_size, len(feed))), generator=generator)
    try:
        for index in order:
            loss = objective(model, feed.batch(index), generator)["loss"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    finally:
        handle.remove()
    return np.array(seen)


def correlation_figure(curves: Mapping[float, np.ndarray]) -> Figure:
    """The correlation over the steps, with and without the loss."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(9.5, 3.2), layout="constrained")
        for weight, curve in curves.items():
            axis.plot(np.arange(1, len(curve) + 1), curve, color=MEASURED if weight else GREY, lw=1.6,
                      label=f"weight {weight:g}" if weight else "without the loss", marker="o" if len(curve) < 10 else None, ms=4)
        axis.set(xlabel="training step", ylabel="correlation of the class tokens", ylim=(None, 1.02))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(color="#e5e5e5", lw=0.8)
        axis.legend(fontsize=9, loc="upper left")
        axis.set_title("The two branches in the first steps of training", fontsize=11, loc="left")
        return closed(figure)


# -- does the choice matter? --------------------------------------------------------------------------------------------

CHANGES = {"a quarter kept": (Probe("settings", {"keep": 0.25}),), "all kept": (Probe("settings", {"keep": 1.0}),),
           f"half kept at random, mean of {DRAWS} draws": tuple(Probe("settings", {"keep_draw": i}) for i in range(DRAWS))}


def choice_table(found: Comparison) -> Styler | str:
    """The trained network on its validation fold with other tokens for its second pass, against the ones that it chose itself."""
    own = dataclasses.replace(found, rows=[row for row in found.rows if row.value == found.page.axis.name])
    probing = probe_all(own, [each for probes in CHANGES.values() for each in probes])
    if not probing.groups:
        return probing.gaps()
    scores = next(iter(macro_auroc(probing.groups).values()))
    lines = [{"second pass": "half kept by class attention", "macro-AUROC": tables.show_interval(scores[CLEAN].interval), "change": "–"}]
    for told, probes in CHANGES.items():
        value = sum((scores[each].estimate for each in probes), 0.0) / len(probes)
        change = dataclasses.replace(scores[probes[0]], estimate=value, draws=np.mean([scores[each].draws for each in probes], axis=0))
        lines.append({"second pass": told, "macro-AUROC": tables.show_interval(change.interval),
                      "change": tables.show_interval((change - scores[CLEAN]).interval, signed=True)})
    return tables.style(pd.DataFrame(lines), "The same trained weights on the validation fold, other tokens in the second pass; 95 % "
                                             "intervals over patients, changes on the same draws.")


def in_words(seen: Selected, curves: Mapping[float, np.ndarray]) -> str:
    """What the pictures of this run say, in numbers, as Markdown."""
    told = []
    for branch in BRANCHES:
        share = kept_by_class(seen, branch).get("all records")
        if share is None:
            continue
        begins = np.arange(len(share)) * seen.seconds[branch] - BEFORE
        most, least = int(np.nanargmax(share)), int(np.nanargmin(share))
        told.append(f"of the {branch} tokens those that begin {1000 * begins[most]:+.0f} ms from the R-peak are kept most often "
                    f"({share[most]:.0%}), those at {1000 * begins[least]:+.0f} ms least often ({share[least]:.0%})")
    alike = " and ".join(f"{shared(seen.kept[branch]):.0%} of the {branch} ones" for branch in BRANCHES)
    told.append(f"of the tokens that one record keeps another keeps, at the same place, {alike} (chance: {seen.model.coarse.keep:.0%}; "
                "where the place alone decided: 100%)")
    (weight, tied), (_, free) = curves.items()
    tail = max(1, len(tied) // 5)
    told.append(f"over the last {tail} of {len(tied)} watched steps the class tokens correlate at {tied[-tail:].mean():.2f} with the loss "
                f"at weight {weight:g} and at {free[-tail:].mean():.2f} without it")
    return "**What the pictures say.** With these weights, " + "; ".join(told) + "."
