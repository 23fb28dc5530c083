"""ST-MEM's page: what the network fills in where a lead was hidden, how far it errs by lead and by wave, and what its lead vectors say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from pandas.io.formats.style import Styler
from torch import Tensor, nn

from ecgstudy.data.dataset import MILLIVOLT
from ecgstudy.data.synthetic import Simulation, simulate
from ecgstudy.leads import LEADS
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.registry import build_pretrainer
from ecgstudy.models.st_mem import Masked, hidden_patches
from ecgstudy.study import axis_page
from ecgstudy.study.axis_page import SIGNAL, AxisPage, Comparison
from ecgstudy.study.complexity import count_parameters, macs
from ecgstudy.study.figures import GREY, INK, MEASURED, STYLE, closed
from ecgstudy.study.papers import simulated
from ecgstudy.study.papers.validation import ValidationRecords, validation_records
from ecgstudy.study.pretraining import Pretrained, pretrained
from ecgstudy.study.tables import NOTES, mega, reported, show, style
from ecgstudy.train.feed import Scaling
from ecgstudy.train.objectives.masked import draw_kept, patch_errors

WANTED = ("st_mem_tuned_100", "st_mem_probe_100")       # runs of the page that begin with the pretrained network
SHARE = 0.75
SEED, N_RECORDS, DRAWS = 11, 48, 4                      # simulated records, and how often each is hidden anew
SHOWN_SECONDS = 4.5
FILLED, SEEN = "#d1590a", "#dbe7f4"
KINDS = ("QRS", "T", "P", "rest")                       # a patch is of the first that it holds a sample of
KIND_WORDS = {"QRS": "QRS", "T": "T, no QRS", "P": "P alone", "rest": "no wave"}
OFFICIAL = {"width": 768, "depth": 12, "heads": 12, "decoder_width": 256, "decoder_depth": 4, "decoder_heads": 4}
# name -> (signal, settings, numbers of the pretraining network, numbers of the classifier of nine), as worked out from the official code
COUNTS = {"study": (SIGNAL, {}, 3_114_202, 2_686_341),
          "reference": (SIGNAL, OFFICIAL | {"width": 384, "heads": 6}, 24_598_618, 21_327_813),
          "official": (SignalSpec(12, 2250, 250), OFFICIAL, 88_534_753, 85_157_535)}


@dataclass(frozen=True, eq=False)
class Subject:
    """The pretraining network, records of the validation fold, and simulated ones, whose waves are known.

    x: [R, L, T], the simulated records as the network is fed them.
    """

    net: Pretrained
    records: ValidationRecords
    simulation: Simulation
    x: Tensor


def gather(found: Comparison) -> Subject:
    """The page's network as it was pretrained, or fresh where it was not, and its records."""
    net = pretrained(found, *WANTED)
    simulation = simulate(SEED, range(N_RECORDS), fs=SIGNAL.fs)
    return Subject(net, validation_records(found, net.run), simulation, scaled(simulation, net.scaling))


def scaled(simulation: Simulation, scaling: Mapping[str, float] | None) -> Tensor:
    """Simulated signals [R, L, T] in a scale of microvolts; in their own where there is none."""
    microvolts = simulation.signals * MILLIVOLT
    own = Scaling(**scaling) if scaling else Scaling(float(microvolts.mean()), float(microvolts.std()))
    return torch.from_numpy(((microvolts - own.mean) / own.deviation).astype(np.float32))


# -- counts and cost ----------------------------------------------------------------------------------------------------

def everything(model: nn.Module) -> int:
    """All numbers of a network: parameters, and the fixed tables of places."""
    return sum(each.numel() for each in (*model.parameters(), *model.buffers()))


def count_table() -> Styler:
    """Three sizes of the pretraining network and of the classifier, built here, beside the counts that were expected."""
    lines = []
    for name, (signal, settings, *expected) in COUNTS.items():
        with torch.device("meta"):
            nets = build_pretrainer("st_mem", signal, **settings), build_model("st_mem", signal, 9, **settings)
        line = {("", "size"): name, ("", "signal"): f"{signal.n_samples} samples at {signal.fs} Hz"}
        for part, net, count in zip(("pretraining", "classifier"), nets, expected, strict=True):
            line |= {(part, "trained"): f"{count_parameters(net):,}", (part, "with tables"): f"{everything(net):,}",
                     (NOTES, f"{part}, expected"): f"{count:,}"}
        lines.append(line)
    columns = sorted(lines[0], key=lambda column: column[0] == NOTES)
    table = pd.DataFrame(lines)[columns]
    table.columns = pd.MultiIndex.from_tuples(columns)
    return style(table, "Parameters, and all numbers with the fixed tables of places. In grey the counts that were worked out from the "
                        "official code before this one was written; its tables are counted there.")


class _Hiding(nn.Module):
    """A network of (x, kept) on x alone, for counting."""

    def __init__(self, net: nn.Module, kept: Tensor) -> None:
        super().__init__()
        self.net, self.kept = net, kept

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x, self.kept)


def cost_in_words(page: AxisPage) -> str:
    """What hiding saves, as Markdown: multiply-accumulates of one record."""
    with torch.device("meta"):                  # shapes are all that is counted
        net = build_pretrainer(page.axis.name, SIGNAL)
    n_patches = net.encoder.n_patches
    kept = draw_kept((1, SIGNAL.n_leads, n_patches), SHARE, torch.Generator().manual_seed(SEED)).to("meta")
    with_decoder, encoder = macs(_Hiding(net, kept), SIGNAL), macs(_Hiding(net.encoder, kept), SIGNAL)
    whole = macs(net.encoder, SIGNAL)
    n_kept, n_leads = kept.shape[2], SIGNAL.n_leads
    share = (n_patches - n_kept) / n_patches
    return (f"Of {n_patches} patches a lead {n_kept} are kept, so {n_patches - n_kept} ({share:.1%}) are hidden. The encoder then costs "
            f"{mega(encoder)} multiply-accumulates a record, for {n_leads * (n_kept + 2)} tokens, and the decoder "
            f"{mega(with_decoder - encoder)}. With nothing hidden the encoder costs {mega(whole)}, for {n_leads * (n_patches + 2)} tokens: "
            "the mask also makes pretraining cheap.")


def reported_table() -> Styler:
    """What the paper reports, in grey."""
    told = reported("papers")["st_mem"]
    rows = [{(NOTES, "method"): row["method"], (NOTES, "fine-tuned"): show(row["tuned"]), (NOTES, "linear"): show(row.get("probe", np.nan))}
            for row in told["rows"]]
    table = pd.DataFrame(rows)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return style(table, f"AUROC as the paper reports it: {told['dataset']}, {told['task']}; {told['split']}. Not measured here, and not "
                        "comparable with the scores above.")


# -- filling in ---------------------------------------------------------------------------------------------------------

@dataclass(frozen=True, eq=False)
class Filled:
    """What a network made of R records. predicted: [R, L, n, p], in standardised patches. errors, hidden: [R, L, n]."""

    predicted: np.ndarray
    errors: np.ndarray
    hidden: np.ndarray


@torch.inference_mode()
def fill(model: Masked, x: Tensor, seed: int) -> Filled:
    """x: [R, L, T]. The patches that are hidden depend on the seed and the shapes alone, so two networks are asked the same."""
    patches = model.patches(x)
    kept = draw_kept(patches.shape[:3], SHARE, torch.Generator().manual_seed(seed))
    hidden = hidden_patches(kept, patches.shape[2])
    predicted = torch.cat([model.reconstruct(*part) for part in zip(x.split(16), kept.split(16), strict=True)])
    return Filled(predicted.numpy(), patch_errors(predicted, patches).numpy(), hidden.numpy())


def in_millivolts(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Standardised patches [..., p] with the mean and the deviation of the true ones in mV, which a network is never asked for."""
    return predicted * true.std(axis=-1, keepdims=True) + true.mean(axis=-1, keepdims=True)


def mean_of(errors: np.ndarray, chosen: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The mean of the chosen errors over these axes; NaN where none is chosen."""
    count = chosen.sum(axis=axes)
    return np.where(count > 0, np.where(chosen, errors, 0.0).sum(axis=axes) / np.maximum(count, 1), np.nan)


def typical(filled: Filled) -> int:
    """The record whose error on hidden patches is the median: neither the best nor the worst."""
    by_record = mean_of(filled.errors, filled.hidden, (1, 2))
    return int(np.argsort(by_record)[len(by_record) // 2])


def filled_figure(seen: Subject, found: Comparison) -> Figure:
    """Twelve leads of one validation record: what was seen, what was hidden, and what was filled in; also kept as the page's picture."""
    model = seen.net.model
    filled = fill(model, seen.records.scaled, SEED)
    row = typical(filled)
    true = model.patches(torch.from_numpy(np.asarray(seen.records.millivolts[row:row + 1], np.float32)))[0].numpy()     # [L, n, p]
    made = in_millivolts(filled.predicted[row], true)
    seconds = true.shape[-1] / seen.records.fs
    n_shown = min(true.shape[1], round(SHOWN_SECONDS / seconds))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(6, 2, figsize=(9.5, 9.6), sharex=True, layout="constrained")
        for lead, axis in enumerate(axes.T.flat):
            _lead(axis, true[lead, :n_shown], made[lead], filled.hidden[row, lead], seconds)
            axis.set_title(LEADS[lead], loc="left", fontsize=10, pad=2)
        for axis in axes[-1]:
            axis.set(xlabel="time in the crop (s)", xlim=(0, n_shown * seconds))
        for axis in axes[:, 0]:
            axis.set_ylabel("mV")
        lines = (("recorded, seen", INK, 1.0), ("recorded, hidden", GREY, 1.2), ("filled in", FILLED, 1.6))
        handles = [Patch(color=SEEN, label="seen by the network"),
                   *(plt.Line2D([], [], color=colour, lw=lw, label=label) for label, colour, lw in lines)]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
        error = mean_of(filled.errors, filled.hidden, (1, 2))[row]
        figure.suptitle(f"Three quarters hidden ({seen.net.weights})\nrecord {seen.records.names[row]}, error {error:.2f}, the median of "
                        f"{len(seen.records)} validation records", fontsize=11, x=0.01, ha="left")
        axis_page.save_picture(figure, found.page.request)
        return closed(figure)


def _lead(axis: Axes, true: np.ndarray, made: np.ndarray, hidden: np.ndarray, seconds: float) -> None:
    """One lead, patch by patch. true: [n, p] in mV; a patch's line is drawn on to the first sample of the next, where that is recorded."""
    flat, size = true.reshape(-1), true.shape[1]
    for i in range(len(true)):
        time = np.arange(i * size, min((i + 1) * size + 1, len(flat)))
        if not hidden[i]:
            axis.axvspan(i * seconds, (i + 1) * seconds, color=SEEN, lw=0, zorder=0)
        axis.plot(time * seconds / size, flat[time], color=GREY if hidden[i] else INK, lw=1.2 if hidden[i] else 1.0, zorder=2)
        if hidden[i]:
            axis.plot(np.arange(i * size, (i + 1) * size) * seconds / size, made[i], color=FILLED, lw=1.6, zorder=3)
    axis.margins(y=0.12)


# -- errors by lead and by wave -----------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Errors:
    """Mean error on hidden patches with its 95 % interval over records, each [groups]; NaN where no record has such a patch."""

    mean: np.ndarray
    reach: np.ndarray


def patch_kinds(simulation: Simulation, model: Masked) -> np.ndarray:
    """Of each patch of the simulated records the first of `KINDS` that it holds a sample of, as its number: [R, n]."""
    masks = simulated.wave_masks(simulation)
    holds = [model.patches(torch.from_numpy(masks[kind]).unsqueeze(1))[:, 0].any(dim=-1).numpy() for kind in KINDS]
    holds[-1] = np.ones_like(holds[-1])
    return np.stack(holds).argmax(axis=0)


def errors_by(seen: Subject, model: Masked) -> tuple[Errors, Errors]:
    """Errors on the simulated records by lead and by kind of patch; each record hidden `DRAWS` times."""
    kinds = patch_kinds(seen.simulation, model)                                                 # [R, n]
    drawn = [fill(model, seen.x, SEED + draw) for draw in range(DRAWS)]
    errors, hidden = (np.stack([getattr(each, name) for each in drawn], axis=1) for name in ("errors", "hidden"))   # [R, draws, L, n]
    by_lead = mean_of(errors, hidden, (1, 3))                                                   # [R, L]
    by_kind = np.stack([mean_of(errors, hidden & (kinds == k)[:, None, None], (1, 2, 3)) for k in range(len(KINDS))], axis=1)
    return _over_records(by_lead), _over_records(by_kind)


def _over_records(values: np.ndarray) -> Errors:
    """values: [R, groups]; the interval is the normal one of a mean of independent records."""
    count = (~np.isnan(values)).sum(axis=0)
    mean = np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)
    variance = np.where(count > 1, np.nansum((values - mean) ** 2, axis=0) / np.maximum(count - 1, 1), np.nan)
    return Errors(mean, 1.96 * np.sqrt(variance / np.maximum(count, 1)))


def error_figure(seen: Subject) -> Figure:
    """The error on hidden patches by lead and by wave: pretrained, fresh, and what a patch's own mean costs."""
    nets = {seen.net.weights: (seen.net.model, MEASURED, "o", -0.12)}
    if seen.net.run is not None:
        nets["fresh weights"] = (seen.net.untrained, GREY, "s", 0.12)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.2), sharey=True, layout="constrained", width_ratios=[2, 1])
        for name, (model, colour, mark, shift) in nets.items():
            for axis, found in zip(axes, errors_by(seen, model), strict=True):
                axis.errorbar(np.arange(len(found.mean)) + shift, found.mean, found.reach, fmt=mark, color=colour, ms=6, lw=1.6, label=name)
        for axis, names, label in ((axes[0], LEADS, "lead"), (axes[1], [KIND_WORDS[kind] for kind in KINDS], "what the patch holds")):
            axis.axhline(1, color=INK, lw=1, ls="--", label="the patch's own mean")
            axis.set_xticks(range(len(names)), names, fontsize=9)
            axis.set(xlabel=label, xlim=(-0.6, len(names) - 0.4))
            axis.grid(axis="y", color="#e5e5e5", lw=0.8)
            axis.set_axisbelow(True)
        axes[0].set_ylabel("squared error of hidden patches\n(variances of the patch)")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
        figure.suptitle(f"Where filling in is hard ({len(seen.x)} simulated records)", fontsize=11, x=0.01, ha="left")
        return closed(figure)


# -- lead vectors -------------------------------------------------------------------------------------------------------

@torch.no_grad()
def lead_cosines(model: Masked) -> np.ndarray:
    """The cosine of each pair of lead vectors: [L, L]"""
    vectors = nn.functional.normalize(model.encoder.leads.double(), dim=-1)
    return (vectors @ vectors.T).numpy()


def lead_correlations(signals: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each pair of leads, mean over the records in which both move: signals [R, L, T] -> [L, L]"""
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.stack([np.corrcoef(record) for record in signals])
    return np.nanmean(each, axis=0)


def agreement(cosines: np.ndarray, correlations: np.ndarray) -> float:
    """Spearman's correlation of the two over all pairs of leads."""
    from scipy.stats import spearmanr

    pairs = np.triu_indices(len(cosines), 1)
    return float(spearmanr(cosines[pairs], correlations[pairs]).statistic)


def lead_figure(seen: Subject) -> Figure:
    """Which leads go together in the records, which vectors go together in the network, and the 66 pairs of both."""
    correlations, cosines = lead_correlations(seen.records.millivolts), lead_cosines(seen.net.model)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(11, 4.1), layout="constrained")
        off = cosines[~np.eye(len(cosines), dtype=bool)]
        reach = float(np.abs(off).max())
        for axis, title, values, limit in ((axes[0], "correlation of the leads", correlations, 1.0),
                                           (axes[1], "cosine of the lead vectors", cosines, reach)):
            image = axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
            axis.set_xticks(range(len(LEADS)), LEADS, rotation=90, fontsize=8)
            axis.set_yticks(range(len(LEADS)), LEADS, fontsize=8)
            axis.set_title(title, fontsize=10)
            figure.colorbar(image, ax=axis, shrink=0.75, extend="max" if limit < 1 else "neither")
        _pairs(axes[2], seen, correlations)
        figure.suptitle(f"Leads in the records and in the network ({seen.net.weights})", fontsize=11, x=0.01, ha="left")
        return closed(figure)


def _pairs(axis: Axes, seen: Subject, correlations: np.ndarray) -> None:
    """One point a pair of leads, pretrained over fresh."""
    pairs = np.triu_indices(len(LEADS), 1)
    nets = [("fresh", seen.net.untrained, GREY, "s"), ("pretrained", seen.net.model, MEASURED, "o")]
    for name, model, colour, mark in nets if seen.net.run is not None else nets[:1]:
        cosines = lead_cosines(model)
        axis.plot(correlations[pairs], cosines[pairs], mark, color=colour, ms=4.5, alpha=0.8,
                  label=f"{name}, rank correlation {show(agreement(cosines, correlations), 2)}")
    axis.axhline(0, color=INK, lw=0.6)
    axis.axvline(0, color=INK, lw=0.6)
    axis.set(xlabel="correlation of the leads", ylabel="cosine of their vectors")
    axis.set_title("66 pairs of leads", fontsize=10)
    axis.legend(loc="upper left", bbox_to_anchor=(0, -0.2), fontsize=8.5)


# -- in words -----------------------------------------------------------------------------------------------------------

def in_words(seen: Subject) -> str:
    """What the pictures show, as Markdown, from their own numbers."""
    by_lead, by_kind = errors_by(seen, seen.net.model)
    known = [k for k in range(len(KINDS)) if not np.isnan(by_kind.mean[k])]
    waves = ", ".join(f"{KIND_WORDS[KINDS[k]]} {show(by_kind.mean[k], 2)}" for k in known)
    best, worst = int(np.argmin(by_lead.mean)), int(np.argmax(by_lead.mean))
    whole = float(by_lead.mean.mean())
    told = (f"**Filling in** ({seen.net.weights}). On {len(seen.x)} simulated records a hidden patch costs {show(whole, 2)} on average, "
            f"where its own mean costs 1: {_verdict(whole)}. By lead it goes from {show(by_lead.mean[best], 2)} ({LEADS[best]}) to "
            f"{show(by_lead.mean[worst], 2)} ({LEADS[worst]}); by what the patch holds: {waves}.")
    correlations = lead_correlations(seen.records.millivolts)
    after, before = (agreement(lead_cosines(net), correlations) for net in (seen.net.model, seen.net.untrained))
    vectors = (f"Over the 66 pairs the cosine of two lead vectors and the correlation of the two leads have a rank correlation of "
               f"{show(after, 2)}")
    vectors += f"; before pretraining it was {show(before, 2)}." if seen.net.run else ", by chance: nothing was learned yet."
    return f"{told}\n\n**Lead vectors.** {vectors}{_seen_and_hidden(seen.net.history)}"


def _verdict(error: float) -> str:
    if error >= 1:
        return "nothing of a hidden patch's shape is known"
    return f"{1 - error:.0%} of the shape's variance is filled in"


def _seen_and_hidden(history: Sequence[Mapping[str, float]]) -> str:
    """How pretraining went on the validation fold; empty where there was none."""
    if not history:
        return ""
    first, last = history[0], history[-1]
    text = (f"\n\n**Pretraining.** Over {len(history)} epoch{'s' * (len(history) > 1)} the loss on hidden patches of the validation fold "
            f"went from {show(first['validation_loss'])} to {show(last['validation_loss'])}")
    if "validation_seen" in last:
        text += f"; the patches that the network had seen, which no loss asks for, ended at {show(last['validation_seen'])}"
    return f"{text}."
