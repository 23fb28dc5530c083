"""CLOCS' page: which views are compared, and how alike records are over time, leads and patients before and after pretraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pandas.io.formats.style import Styler
from torch import Tensor, nn

from ecgstudy.data.labels import label_set
from ecgstudy.data.splits import split
from ecgstudy.errors import AbsentError
from ecgstudy.leads import LEADS
from ecgstudy.study import axis_page, pretraining, runs, tables
from ecgstudy.study.axis_page import SIGNAL, Comparison
from ecgstudy.study.figures import INK, STYLE, closed
from ecgstudy.study.papers.clocs_views import views_and_pairs
from ecgstudy.study.papers.validation import ValidationRecords, evenly, validation_records
from ecgstudy.study.request import at_hand
from ecgstudy.train.objectives.clocs import SCHEMES, similarities

FRESH = "fresh weights"
LEAD, OTHER_LEAD = "II", "V5"
# what is compared: the first view, the second, each a lead and the part of the record before the view
Viewed = tuple[str, float]
ACROSS: dict[str, tuple[Viewed, Viewed]] = {"time": ((LEAD, 0.0), (LEAD, 0.5)), "leads": ((LEAD, 0.0), (OTHER_LEAD, 0.0))}
SHIFTS = tuple(round(0.05 * i, 2) for i in range(41))       # seconds
TOLD_SHIFT = 0.4                                            # about half a beat
GROUPS = {"same record": "#1f5fa8", "same patient": "#e08a00", "others": "#8a8a8a"}
NETWORK_STYLES = {FRESH: ("#8a8a8a", "--"), "CMSC": ("#1f5fa8", "-"), "CMLC": ("#d6336c", "-"), "CMSMLC": ("#2e9e5b", "-")}
SHOWN = 24              # records in a matrix
BATCHES = (32, 128)
OFFICIAL_EPOCHS = 400


@dataclass(frozen=True, eq=False)
class Subject:
    """The pretraining networks of the page, by what they learnt from, the untrained one first; and validation records."""

    networks: Mapping[str, nn.Module]
    records: ValidationRecords
    weights: str

    @property
    def patients(self) -> np.ndarray:
        """Whose each record is: [R]"""
        return self.records.patients


def schemes_of(found: Comparison) -> dict[str, str]:
    """For each scheme the first row of the page that begins with its weights."""
    rows = {scheme: next((name for name in found.page.names if name.startswith(f"{scheme}_")), None) for scheme in SCHEMES}
    return {scheme: name for scheme, name in rows.items() if name}


def subject(found: Comparison) -> Subject:
    """The page's pretrained networks, where their weights are at hand, and validation records, those of returning patients first."""
    seen = {scheme: pretraining.pretrained(found, name) for scheme, name in schemes_of(found).items()}
    made = {scheme.upper(): each for scheme, each in seen.items() if each.run}
    first = next(iter(made.values()), None)
    run, weights = (first.run, first.weights) if first else (None, FRESH)
    networks = {FRESH: pretraining.pretrained(found).untrained} | {scheme: each.model for scheme, each in made.items()}
    return Subject(networks, validation_records(found, run, pick=returning_first), weights)


# -- patients with several recordings -----------------------------------------------------------------------------------

def returning_first(patients: np.ndarray, most: int) -> np.ndarray:
    """Places of at most `most` records: first those of patients with several, side by side, up to half; then others, evenly spread."""
    _, whose, n_records = np.unique(patients, return_inverse=True, return_counts=True)
    several, others = np.flatnonzero(n_records[whose] > 1), np.flatnonzero(n_records[whose] == 1)
    several = several[np.argsort(whose[several], kind="stable")][:most // 2]
    return np.concatenate([several, others[evenly(others, most - len(several))]]) if len(others) else several


def pairs_in_a_batch(patients: np.ndarray, size: int) -> float:
    r"""Pairs of records of one patient that a batch drawn without regard to patients holds on average: $\binom{b}{2} M / \binom{N}{2}$
    with $M$ such pairs among $N$ records and $b = \min(size, N)$."""
    n, size = len(patients), min(size, len(patients))
    n_records = np.unique(patients, return_counts=True)[1]
    return float((n_records * (n_records - 1) / 2).sum() * size * (size - 1) / max(n * (n - 1), 1))


def patients_table(found: Comparison) -> Styler | str:
    """Records, patients and patients with several recordings in the training fold of the page, and the pairs that batches hold."""
    asked = found.page.request
    try:
        prepared = at_hand(asked.dataset, asked.size)
    except AbsentError:
        return f"The records of {asked.dataset} are not on this machine, so its patients are not counted here."
    fold = split(prepared, label_set(asked.dataset, asked.task)).training
    used = runs.training_rows(next(iter(found.page.plan)), fold)
    table = pd.DataFrame([_counted(name, prepared.table["patient_id"].to_numpy(str)[rows])
                          for name, rows in (("all training records", fold), ("those with labels on this page", used))])
    return tables.style(table, f"Patients of {asked.dataset} and the pairs of records of one patient in a batch of shuffled records, on "
                               "average. Where the number is far below 1, the loss has no patient term in almost every step.")


def _counted(name: str, patients: np.ndarray) -> dict[str, str]:
    n_records = np.unique(patients, return_counts=True)[1]
    told = {"records": name, "number": f"{len(patients):,}", "patients": f"{len(n_records):,}",
            "with several": f"{(n_records > 1).sum():,}"}
    return told | {f"pairs in {size}": f"{pairs_in_a_batch(patients, size):.3f}" for size in BATCHES}


def views_figure(seen: Subject, found: Comparison, row: int = -1) -> Figure:
    """The views of one record, the pairs that they make, and the published code's last pair; also kept as the page's picture."""
    drawn = views_and_pairs(seen.records.millivolts[row], seen.records.fs, seen.records.names[row])
    axis_page.save_picture(drawn, found.page.request)
    return closed(drawn)


# -- how alike ----------------------------------------------------------------------------------------------------------

def view(x: Tensor, lead: str, before: float) -> Tensor:
    """Half of each record of one lead, behind this part of the record: [R, L, T] -> [R, 1, T // 2]"""
    row, start = LEADS.index(lead), round(before * x.shape[-1])
    return x[:, row:row + 1, start:start + x.shape[-1] // 2]


@torch.no_grad()
def cosines(network: nn.Module, x: Tensor, views: tuple[Viewed, Viewed]) -> np.ndarray:
    """Similarities [R, R] of the one view of every record with the other view of every record. x: [R, L, T]"""
    return similarities(torch.stack([network.embed(view(x, *each)) for each in views]))[0].numpy()


def shifted(seconds: float) -> tuple[Viewed, Viewed]:
    """The two leads, the second one's view beginning later: 0 is what `cmlc` trains."""
    return (LEAD, 0.0), (OTHER_LEAD, seconds / SIGNAL.seconds)


def recognised(seen: Subject, network: nn.Module, views: tuple[Viewed, Viewed]) -> float:
    """How often a record's own other view is more similar than another patient's."""
    marks = groups(seen.patients)
    return told_apart(cosines(network, seen.records.scaled, views), marks["same record"], marks["others"])


def groups(patients: np.ndarray) -> dict[str, np.ndarray]:
    """Which cells [R, R] of a matrix compare a record with itself, with another one of its patient, with another patient's."""
    own = np.eye(len(patients), dtype=bool)
    same = patients[:, None] == patients[None, :]
    return {"same record": own, "same patient": same & ~own, "others": ~same}


def told_apart(values: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    """How often a similarity of the one group is above one of the other (AUROC, ties half); NaN where a group is empty."""
    if not positive.any() or not negative.any():
        return float("nan")
    others = np.sort(values[negative])
    below, up_to = (np.searchsorted(others, values[positive], side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(others)))


def one_a_patient(patients: np.ndarray, most: int = SHOWN) -> np.ndarray:
    """Places of the first record of each of the last `most` patients: [<= most]"""
    return np.sort(np.unique(patients, return_index=True)[1])[-most:]


def of_returning(patients: np.ndarray, most: int = SHOWN) -> np.ndarray:
    """Places of records of patients with several, a patient's side by side: [<= most]; none where nobody returns."""
    places = [np.flatnonzero(patients == name) for name in dict.fromkeys(patients)]
    chosen: list[int] = []
    for several in (each for each in places if len(each) > 1):
        if len(chosen) + len(several) <= most:
            chosen.extend(several.tolist())
    return np.array(chosen, int)


def matrix_figure(seen: Subject) -> Figure:
    """A row for each network; columns: across time and across leads for records of different patients, and across time for patients
    with several recordings, which are boxed."""
    several = of_returning(seen.patients)
    columns = [("time", one_a_patient(seen.patients), f"time: {LEAD}, two halves"),
               ("leads", one_a_patient(seen.patients), f"leads: {LEAD} and {OTHER_LEAD}")]
    columns += [("time", several, "patients: several recordings")] if len(several) else []
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(len(seen.networks), len(columns), figsize=(3.1 * len(columns) + 0.6, 2.75 * len(seen.networks) + 0.7),
                                    layout="constrained", squeeze=False)
        for (name, network), row in zip(seen.networks.items(), axes, strict=True):
            for (across, places, title), axis in zip(columns, row, strict=True):
                values = cosines(network, seen.records.scaled[places], ACROSS[across])
                drawn = axis.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
                _boxes(axis, seen.patients[places])
                axis.set(xticks=[], yticks=[])
                axis.spines[["top", "right"]].set_visible(True)
                if axis in axes[0]:
                    axis.set_title(title, fontsize=10)
                if axis in axes[-1]:
                    first, second = ACROSS[across]
                    axis.set_xlabel(f"records, {_named(second)}", fontsize=9)
            row[0].set_ylabel(f"{name}\nrecords, {_named(ACROSS['time'][0])}", fontsize=9)
        figure.colorbar(drawn, ax=axes, shrink=0.6, label="cosine of the embeddings")
        figure.suptitle(f"How alike records are ({seen.weights})", fontsize=11, x=0.01, ha="left")
        return closed(figure)


def _named(of: Viewed) -> str:
    return f"{of[0]} {'second' if of[1] else 'first'} half"


def _boxes(axis: Axes, patients: np.ndarray) -> None:
    for name in dict.fromkeys(patients):
        places = np.flatnonzero(patients == name)
        if len(places) > 1:
            axis.add_patch(Rectangle((places[0] - 0.5, places[0] - 0.5), len(places), len(places), facecolor="none", edgecolor=INK, lw=1.4))


def spread_figure(seen: Subject) -> Figure:
    """Above: the distribution of similarities in each group, middle, half and nine tenths of the pairs, and how often one is above one of
    two different patients. Below: the last for a record's two leads, when the second one's view begins later."""
    shown = {name: cells for name, cells in groups(seen.patients).items() if cells.any()}
    titles = {"time": f"across time: {LEAD}, two halves", "leads": f"across leads: {LEAD} and {OTHER_LEAD}, one time"}
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(9.5, len(seen.networks) + 4.2), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=[len(seen.networks) + 1.4, 2.6])
        axes = above.subplots(1, len(ACROSS), sharex=True, sharey=True)
        for axis, (across, views) in zip(axes, ACROSS.items(), strict=True):
            for row, network in enumerate(seen.networks.values()):
                _spreads(axis, cosines(network, seen.records.scaled, views), shown, row)
            axis.set(xlabel="cosine of the embeddings", xlim=(-1, 1.02))
            axis.set_title(titles[across], fontsize=10)
            axis.text(1.03, 1.01, "AUROC", fontsize=8, transform=axis.transAxes)
            axis.grid(axis="x", color="#e5e5e5", lw=0.8)
        axes[0].set_yticks(range(len(seen.networks)), list(seen.networks))
        axes[0].set_ylim(len(seen.networks) - 0.45, -0.55)
        handles = [plt.Line2D([], [], color=GROUPS[name], marker="o", lw=3, label=f"{name} ({cells.sum():,} pairs)")
                   for name, cells in shown.items()]
        above.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)
        above.suptitle(f"Similarities of {len(seen.records)} validation records ({seen.weights})", fontsize=11, x=0.01, ha="left")
        _shift_panel(below.subplots(), seen)
        return closed(figure)


def _shift_panel(axis: Axes, seen: Subject) -> None:
    lowest = 0.5
    for name, network in seen.networks.items():
        told = [recognised(seen, network, shifted(seconds)) for seconds in SHIFTS]
        colour, line = NETWORK_STYLES[name]
        axis.plot(SHIFTS, told, color=colour, ls=line, lw=1.8, label=name)
        lowest = min(lowest, *told)
    axis.axhline(0.5, color="#c8c8c8", lw=1, zorder=0)
    axis.set(xlabel=f"{OTHER_LEAD}'s view begins later by (s)", ylabel="AUROC, same record\nagainst others", xlim=(0, SHIFTS[-1]),
             ylim=(lowest - 0.04, 1.03))
    axis.set_title(f"{LEAD} and {OTHER_LEAD} of one record, no longer of one time", fontsize=10)
    axis.grid(axis="y", color="#e5e5e5", lw=0.8)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)


def _spreads(axis: Axes, values: np.ndarray, shown: Mapping[str, np.ndarray], row: int) -> None:
    """One network's groups under each other around `row`."""
    for n, (name, cells) in enumerate(shown.items()):
        place = row + 0.24 * (n - (len(shown) - 1) / 2)
        _bar(axis, values[cells], place, GROUPS[name])
        if name != "others":
            axis.text(1.03, place, f"{told_apart(values, cells, shown['others']):.2f}", color=GROUPS[name], fontsize=9, va="center",
                      transform=axis.get_yaxis_transform())


def _bar(axis: Axes, values: np.ndarray, place: float, colour: str) -> None:
    low, quarter, middle, three_quarters, high = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    axis.plot([low, high], [place, place], color=colour, lw=1.2)
    axis.plot([quarter, three_quarters], [place, place], color=colour, lw=4, solid_capstyle="butt")
    axis.plot(middle, place, "o", color=colour, ms=6, mec="white", mew=0.8)


# -- words --------------------------------------------------------------------------------------------------------------

def in_words(seen: Subject, found: Comparison) -> str:
    """What the pictures and the pretraining say, as Markdown, from their own numbers."""
    marks, lines = groups(seen.patients), []
    for name, network in seen.networks.items():
        told = {across: tables.show(recognised(seen, network, views), 2) for across, views in ACROSS.items()}
        same = told_apart(cosines(network, seen.records.scaled, ACROSS["time"]), marks["same patient"], marks["others"])
        of_patient = f"; two recordings of one patient {tables.show(same, 2)}" if marks["same patient"].any() else ""
        lines.append(f"- {name}: a record's halves {told['time']}; its leads at one time {told['leads']}, {TOLD_SHIFT} s apart "
                     f"{tables.show(recognised(seen, network, shifted(TOLD_SHIFT)), 2)}{of_patient}")
    apart = np.median(cosines(seen.networks[FRESH], seen.records.scaled, ACROSS["time"])[marks["others"]])
    n_records = np.unique(seen.patients, return_counts=True)[1]
    returning = (n_records > 1).sum()
    told = (f"{returning} of the {len(n_records)} patients in these pictures have several recordings" if returning else
            "no patient in these pictures has several recordings, so nothing here shows likeness over patients")
    return "\n".join([f"**Alike** ({seen.weights}). How often a similarity of the named kind is above one of two different patients (0.5 "
                      f"is luck), on {len(seen.records)} validation records; {told}:", "", *lines, "",
                      f"With fresh weights the median cosine of two different patients is {apart:.3f}.", "", _pretraining(found)])


def _pretraining(found: Comparison) -> str:
    lines = []
    for scheme, name in schemes_of(found).items():
        history = pretraining.history_of(found, name)
        if history:
            asked = next(e.begins_with.batch_size for e, row in found.page.plan.items() if row == name)
            size = min(asked, found.rows[0].runs[0].result["data"]["n_validation"])
            best = min(history, key=lambda epoch: epoch["validation_loss"])
            lines.append(f"{100 * best['validation_accuracy']:.0f} % for {scheme.upper()} (by luck {100 / size:.0f} %; loss "
                         f"{best['validation_loss']:.2f}, of equal similarities {np.log(size):.2f})")
    return f"**Pretraining.** In a validation batch a record's own other view is the most similar in {', '.join(lines)}." if lines else ""


def limits(found: Comparison) -> list[str]:
    """What the page's conclusions do not reach, in words."""
    lengths = [len(history) for name in schemes_of(found).values() if (history := pretraining.history_of(found, name))]
    told = [f"pretraining took {max(lengths)} epoch{'s' * (max(lengths) > 1)}, officially up to {OFFICIAL_EPOCHS}"] if lengths else []
    return [*told, f"similarities are of {LEAD} and {OTHER_LEAD} alone, not of all views"]


def reported_table() -> Styler:
    """What others report of the method, in grey."""
    rows = [{("", "network"): row["network"], ("", "data"): row["data"], ("", "trained"): row["trained"],
             (tables.NOTES, "macro-AUROC"): row["macro_auroc"], (tables.NOTES, "told by"): row["source"]}
            for row in tables.reported("papers")["clocs"]["rows"]]
    table = pd.DataFrame(rows)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return tables.style(table, "CLOCS as others report it; the paper's own tables were not at hand. Other data, networks and protocols "
                               "than this page's: no number is a reference for it.")
