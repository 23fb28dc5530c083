"""IM-ECG's page: Grad-CAM lead by lead over the traces, the leads that each class is drawn from, and how far a kernel sees."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from ecgstudy.leads import LEADS
from ecgstudy.study import axis_page, ecg_page, figures, paper_page
from ecgstudy.study.axis_page import Comparison
from ecgstudy.study.figures import INK, MEASURED, STYLE
from ecgstudy.study.ledger import Run
from ecgstudy.study.papers.validation import ValidationRecords, validation_records

WANTED = ("PVC", "RBBB", "CRBBB", "LBBB", "CLBBB")  # classes to show, the first that the fold has: their evidence has a place or leads
STRIDE = 16                                         # samples between two columns of the last map
SILENCED = "V2"                                     # the lead whose absence shows how far each kernel reaches
WINDOW = 2.5                                        # seconds of the kernels' picture


@dataclass(frozen=True, eq=False)
class Evidence:
    """The trained network beside the validation records that its pictures show. run: None where the weights are fresh."""

    model: nn.Module
    run: Run | None
    records: ValidationRecords

    @property
    def whose(self) -> str:
        """Whose weights a picture shows, for its title."""
        return paper_page.whose_weights(self.run)


def gather(found: Comparison) -> Evidence:
    """The page's trained network, if its weights are at hand, and validation records."""
    model, run = paper_page.trained(found)
    return Evidence(model, run, validation_records(found, run))


# -- Grad-CAM -----------------------------------------------------------------------------------------------------------

def grad_cam(model: nn.Module, x: Tensor, k: int) -> Tensor:
    r"""What class `k` draws from each lead and time: x [B, L, T] -> [B, L, N], not negative.

    $$\alpha_c = \frac{1}{L N} \sum_{l,n} \frac{\partial z_k}{\partial A_{c,l,n}},\qquad M = \mathrm{ReLU}\Big(\sum_c \alpha_c A_c\Big)$$

    with $A$ the map of `forward_features` and $z_k$ the logit. Selvaraju et al., ICCV 2017, arXiv 1610.02391.
    """
    with torch.no_grad():
        features = model.forward_features(x)                                            # [B, C, L, N]
    return class_map(model, features, k)


def class_map(model: nn.Module, features: Tensor, k: int) -> Tensor:
    """Grad-CAM of class `k` on a last map that is at hand: [B, C, L, N] -> [B, L, N]."""
    features = features.detach().requires_grad_()
    gradient, = torch.autograd.grad(model.head(features)[:, k].sum(), features)
    weights = gradient.mean(dim=(2, 3), keepdim=True)                                   # alpha [B, C, 1, 1]
    return (weights * features).sum(dim=1).relu().detach()


def to_samples(maps: np.ndarray, model: nn.Module, n_samples: int) -> np.ndarray:
    """Maps [L, N] on the record's samples [L, T], linear between the columns, each of which stands at the middle of what it sees."""
    places = column_centres(model, maps.shape[-1])
    return np.stack([np.interp(np.arange(n_samples), places, row) for row in maps])


def column_centres(model: nn.Module, n_columns: int) -> np.ndarray:
    """The sample at the middle of what each column of the last map sees [N]. All scans behind the stem are centred on their stride."""
    stem = model.stem[0]
    return STRIDE * np.arange(n_columns) + (stem.kernel_size[1] - 1) / 2 - stem.padding[1]


@dataclass(frozen=True, eq=False)
class Explained:
    """One record and one class. row: of the records. heat: [L, T] as `to_samples` gives it. chance: the network's, from 0 to 1."""

    seen: Evidence
    row: int
    k: int
    heat: np.ndarray
    chance: float

    @property
    def class_name(self) -> str:
        return self.seen.records.classes[self.k]

    def figure(self, found: Comparison) -> Figure:
        """The record as twelve leads on paper, the map behind the traces; also kept as the page's picture."""
        records = self.seen.records
        drawn = ecg_page.twelve_leads(records.millivolts[self.row], records.fs, heat=self.heat / max(self.heat.max(), 1e-12),
                                      title=f"{self.class_name}: Grad-CAM of each lead ({self.seen.whose})")
        axis_page.save_picture(drawn, found.page.request)
        return figures.closed(drawn)

    def words(self) -> str:
        """What the picture shows, as Markdown."""
        carries = "carries" if self.seen.records.targets[self.row, self.k] else "does not carry"
        told = f"**The picture.** The record {carries} {self.class_name}, and the network gives it {self.chance:.2f}."
        if not self.heat.any():
            return f"{told} The map is empty: to this network nothing in the record speaks for the class."
        shares = self.heat.sum(axis=1) / self.heat.sum()
        strongest = ", ".join(f"{LEADS[lead]} {100 * shares[lead]:.0f} %" for lead in np.argsort(-shares)[:3])
        return (f"{told} The leads with the largest share of the map are {strongest}; an even map would give each of the {len(LEADS)} "
                f"leads {100 / len(LEADS):.0f} %.")


def explain(seen: Evidence) -> Explained:
    """Grad-CAM of the validation record that the network is surest of, for the first of the wanted classes that there is."""
    row, k = seen.records.example(seen.model, WANTED)
    x = seen.records.scaled[row:row + 1]
    heat = to_samples(grad_cam(seen.model, x, k)[0].numpy(), seen.model, x.shape[-1])
    with torch.no_grad():
        return Explained(seen, row, k, heat, torch.sigmoid(seen.model(x))[0, k].item())


# -- leads by class -----------------------------------------------------------------------------------------------------

def lead_shares(seen: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Each lead's share of a class's map, mean over the records with the class and over those without: two of [K, L].

    NaN where there is no such record, or none whose map is above zero.
    """
    n_classes = len(seen.records.classes)
    parts = []
    for x in seen.records.batches():
        with torch.no_grad():
            features = seen.model.forward_features(x)
        parts.append(torch.stack([class_map(seen.model, features, k).sum(dim=-1) for k in range(n_classes)]))
    by_lead = torch.cat(parts, dim=1).numpy()                                           # [K, R, L]
    total = by_lead.sum(axis=2, keepdims=True)
    shares = np.divide(by_lead, total, out=np.full_like(by_lead, np.nan), where=total > 0)
    carried = seen.records.targets.T.astype(bool)                                       # [K, R]
    return tuple(np.stack([_mean(shares[k][chosen[k]]) for k in range(n_classes)]) for chosen in (carried, ~carried))


def _mean(rows: np.ndarray) -> np.ndarray:
    """Mean over rows that are not NaN; NaN where there are none."""
    rows = rows[~np.isnan(rows).any(axis=1)]
    return rows.mean(axis=0) if len(rows) else np.full(rows.shape[1], np.nan)


def lead_figure(seen: Evidence) -> Figure:
    """The share of each lead on records with the class, and how it differs from records without it."""
    with_class, without = lead_shares(seen)
    change = with_class - without
    counts = seen.records.targets.sum(axis=0)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(11, 0.38 * len(counts) + 1.9), layout="constrained", sharey=True)
        largest = max(np.nanmax(np.abs(change), initial=0.0), 1e-6)
        for axis, values, palette, low, high, label in (
                (axes[0], with_class, "Oranges", 0.0, np.nanmax(with_class, initial=1e-6), "share of the map"),
                (axes[1], change, "RdBu_r", -largest, largest, "difference of shares")):
            drawn = axis.imshow(100 * values, aspect="auto", cmap=palette, vmin=100 * low, vmax=100 * high)
            axis.set_facecolor("#dddddd")                                               # where there is nothing to average
            axis.set_xticks(range(len(LEADS)), LEADS, fontsize=9)
            figure.colorbar(drawn, ax=axis, label=f"{label} (%)", pad=0.02)
        axes[0].set_yticks(range(len(counts)), [f"{name} ({n})" for name, n in zip(seen.records.classes, counts, strict=True)])
        axes[0].set_title("records with the class")
        axes[1].set_title("with the class, minus without it")
        figure.suptitle(f"Where a class is drawn from ({seen.whose})", fontsize=11, x=0.01, ha="left")
        return figure


# -- how far a kernel sees ----------------------------------------------------------------------------------------------

@dataclass(frozen=True, eq=False)
class Reach:
    """What changes when one lead is silenced.

    row, area: [L, N'], the output of one scan when its input lacks that lead, root mean square over channels. last: [L, N], the same of
    the last map when the record lacks it. row_kernel: [k, n], area_kernel: [k', n], the strongest kernel of each scan.
    """

    row: np.ndarray
    area: np.ndarray
    last: np.ndarray
    row_kernel: np.ndarray
    area_kernel: np.ndarray


@torch.no_grad()
def reach(model: nn.Module, x: Tensor, lead: int) -> Reach:
    """The first area scan and the row scan after it, each on its own input with and without one lead. x: [1, L, T]."""
    def changed(scan: nn.Module, image: Tensor) -> np.ndarray:
        silenced = image.clone()
        silenced[..., lead, :] = 0
        return _root_mean_square(scan(image) - scan(silenced))

    first, second = model.trunk[0], model.trunk[1].scans[0]
    image = model.stem(x.unsqueeze(1))                                                  # [1, C, L, T / 2]
    return Reach(changed(second, first(image)), changed(first.scans[0], image), changed(model.forward_features, x),
                 strongest_kernel(second), strongest_kernel(first.scans[0]))


def _root_mean_square(maps: Tensor) -> np.ndarray:
    return maps[0].square().mean(dim=0).sqrt().numpy()                                  # [L, N]


def strongest_kernel(scan: nn.Module) -> np.ndarray:
    """The kernel of the largest norm among all pairs of channels, [k, n]."""
    weights = scan[-1].weight.detach().flatten(0, 1)                                    # [pairs, k, n]
    return weights[weights.flatten(1).norm(dim=1).argmax()].numpy()


def reach_figure(seen: Evidence) -> Figure:
    """Above: a row and an area kernel, and the lead that is silenced. Below: the leads on which the silence is felt."""
    row, _ = seen.records.example(seen.model, WANTED)
    lead, fs = LEADS.index(SILENCED), seen.records.fs
    found = reach(seen.model, seen.records.scaled[row:row + 1], lead)
    seconds = seen.records.scaled.shape[-1] / fs
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(11, 6.2), layout="constrained", height_ratios=[1, 1.7])
        _kernel(axes[0, 0], found.row_kernel, 4 / fs, "a row kernel")
        _kernel(axes[0, 1], found.area_kernel, 2 / fs, "an area kernel")
        trace = seen.records.millivolts[row, lead]
        axes[0, 2].plot(np.arange(len(trace)) / fs, trace - np.median(trace), color=INK, lw=0.9)
        axes[0, 2].set(xlim=(0, WINDOW), xlabel="time (s)", ylabel="mV", title=f"lead {SILENCED}, which is silenced")
        titles = ("after the row scan", "after the area scan", "last map of the network")
        for axis, change, title in zip(axes[1], (found.row, found.area, found.last), titles, strict=True):
            drawn = axis.imshow(change / max(change.max(), 1e-12), aspect="auto", cmap="Oranges", vmin=0, vmax=1, interpolation="nearest",
                                extent=(0, seconds, len(LEADS) - 0.5, -0.5))
            axis.set(xlim=(0, WINDOW), xlabel="time (s)", title=title)
            axis.set_yticks(range(len(LEADS)), LEADS, fontsize=9)
        figure.colorbar(drawn, ax=axes[1].tolist(), label="change, largest = 1", pad=0.01)
        figure.suptitle(f"How far a kernel sees ({seen.whose})", fontsize=11, x=0.01, ha="left")
        return figure


def _kernel(axis: Axes, kernel: np.ndarray, step: float, title: str) -> None:
    """One line for each lead that the kernel sees; `step` seconds between two of its weights."""
    n_leads, n = kernel.shape
    time = step * (np.arange(n) - n // 2)
    size = max(np.abs(kernel).max(), 1e-12)
    for i, weights in enumerate(kernel):
        axis.axhline(-2.4 * i, color="#dddddd", lw=0.8)
        axis.plot(time, weights / size - 2.4 * i, "-o", color=MEASURED, ms=3, lw=1.2)
    names = {-1: "lead above", 0: "this lead", 1: "lead below"}
    axis.set_yticks([-2.4 * i for i in range(n_leads)], [names.get(i - n_leads // 2, f"{i - n_leads // 2:+d}") for i in range(n_leads)])
    axis.set(ylim=(-2.4 * (n_leads - 1) - 1.3, 1.3), xlabel="time (s)", title=title)
