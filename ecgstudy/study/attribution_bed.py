"""Page 11's test bed: simulated records whose evidence is known to the sample, the networks asked about them, and one score a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ecgstudy.data.dataset import MILLIVOLT
from ecgstudy.data.labels import CPSC_CLASSES, label_set
from ecgstudy.data.synthetic import Settings, Simulation, draw_parameters, render, simulate, without
from ecgstudy.errors import ConfigurationError
from ecgstudy.explain import faithfulness, localisation
from ecgstudy.explain.attribution import BASELINES, Attribution, attribute
from ecgstudy.explain.perturbation import Curves, deletion_and_insertion, randomised
from ecgstudy.models import build_model
from ecgstudy.study import chosen
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.names import readable
from ecgstudy.study.profiles import Profile
from ecgstudy.study.record_list import record_list
from ecgstudy.study.variants import FREQUENCY, RESNET18, Variant
from ecgstudy.train.feed import Scaling
from ecgstudy.train.seeds import scoped_seed, torch_generator

ATTENTIONS = ("mhsa", "spatial_reduction", "bi_level_routing", "window", "shifted_window", "shunted", "hilo")
NETWORKS = {name: Variant({"attention": name}) for name in ATTENTIONS} | {
    "resnet18": RESNET18, "im_ecg": Variant(model="im_ecg"), "stft_resnet34": FREQUENCY}
TITLES = {"grad_cam": "Grad-CAM", "hires_cam": "HiResCAM", "gradient_x_input": "gradient × input",
          "integrated_gradients": "integrated gradients", "occlusion_lead": "occlusion by lead", "occlusion_beat": "occlusion by beat",
          "magnitude": "|x|, a baseline", "random": "noise, a baseline"}
REMOVED = {"AF": "f_waves", "I-AVB": "long_pr", "LBBB": "bundle_branch_block", "RBBB": "bundle_branch_block", "PAC": "ectopy",
           "PVC": "ectopy", "STD": "st_shift", "STE": "st_shift"}     # label -> the feature that is its evidence
ASKED = {"PAC": "pointing", "PVC": "pointing", "I-AVB": "phase", "LBBB": "phase", "RBBB": "phase", "STD": "phase", "STE": "phase",
         "AF": "removed"}                                             # label -> the score that fits its kind of evidence
ABNORMAL = tuple(ASKED)
CASCADE = (0.1, 0.5, 1.0)       # share of the layers whose weights are drawn anew
FOLLOWED = ("grad_cam", "hires_cam", "gradient_x_input")        # cheap enough to be followed down the layers
WITHIN_A_BEAT = 0.5     # seconds: a map of wider cells does not say where in the beat
COARSEST = 1.0          # seconds: a map of wider cells can neither avoid a spike nor point at it
DECOY = (0.04, 1.5, 0.06)       # width in seconds; height, times the largest deflection of its lead; how near a maximum counts, in seconds
LOWERED = 0.9           # height of a lowered beat, of the tallest elsewhere
BATCH = 16


@dataclass(frozen=True, eq=False)
class Network:
    """A network in evaluation mode, how it is fed, and whose weights it has. scaling: None and thresholds of its classes: none where it
    was never trained."""

    name: str
    model: nn.Module
    scaling: Scaling | None
    told: str
    trained: bool
    thresholds: tuple[float, ...] = ()

    def scaled(self, millivolts: np.ndarray) -> Tensor:
        """Signals [R, L, T] in mV as the network is fed them; by their own mean and deviation where it was never trained."""
        microvolts = millivolts * MILLIVOLT
        scaling = self.scaling or Scaling(float(microvolts.mean()), float(microvolts.std()))
        return torch.from_numpy(((microvolts - scaling.mean) / scaling.deviation).astype(np.float32))

    @torch.no_grad()
    def gives(self, x: Tensor, k: np.ndarray) -> np.ndarray:
        """Which of R recordings [R, L, T], scaled, it gives the class k [R]: several may hold, so at its own threshold; without one, where
        the class ranks first. bool [R]."""
        logits = torch.cat([self.model(part) for part in x.split(BATCH)])                               # [R, K]
        if not self.thresholds:
            return logits.argmax(dim=1).numpy() == k
        return torch.sigmoid(logits).numpy()[np.arange(len(k)), k] >= np.array(self.thresholds)[k]


def networks(names: Sequence[str], dataset: str, task: str, size: Profile) -> list[Network]:
    """The networks that ship for this data set; those that do not, and all in the smoke profile, with fresh weights, said to be so."""
    labels = label_set(dataset, task)
    if labels.name != "nine":
        raise ConfigurationError(f"task is {labels.name!r} of {dataset}; this page needs the nine classes whose evidence the simulator "
                                 "marks: use dataset synthetic, ptbxl or cpsc with task nine")
    shipped = () if size.name == "smoke" else chosen.names()
    return [_shipped(name, dataset) if f"{name}_{dataset}" in shipped else _fresh(name, size) for name in names]


def _shipped(name: str, dataset: str) -> Network:
    found = chosen.load(f"{name}_{dataset}")
    return Network(readable(name), found.model, found.scaling, found.told, True, tuple(found.card["thresholds"]))


def _fresh(name: str, size: Profile) -> Network:
    variant = NETWORKS[name]
    with scoped_seed(0):
        model = build_model(variant.model, SIGNAL, len(CPSC_CLASSES), **variant.all_settings(size)).eval()
    return Network(readable(name), model, None, "fresh weights", trained=False)


@dataclass(frozen=True, eq=False)
class Bed:
    """R simulated records with one label each, without the normal ones' lack of evidence being scored.

    target: [R], the label's place. masks: bool [R, T], where its evidence lies; leads: bool [R, 12], where it shows. removed: [R, 12, T]
    mV, the record without its evidence (itself, if normal). decoyed: [R, 12, T], with a spike that no label is for; spike: seconds [R].
    lowered: [R, 12, T], with its PVCs made lower than its other beats.
    """

    simulation: Simulation
    target: np.ndarray
    masks: np.ndarray
    leads: np.ndarray
    removed: np.ndarray
    decoyed: np.ndarray
    spike: np.ndarray
    lowered: np.ndarray

    @property
    def fs(self) -> int:
        return self.simulation.fs

    def peaks(self, row: int) -> np.ndarray:
        """Seconds of the R-peaks of a record."""
        beats = self.simulation.beats
        return np.sort(beats.loc[beats["record"] == row, "r"].to_numpy(float))

    @cached_property
    def beats(self) -> Tensor:
        """Samples of the R-peaks, int64 [R, S], -1 beyond the last."""
        found = [np.rint(self.peaks(row) * self.fs).astype(np.int64) for row in range(len(self.target))]
        table = np.full((len(found), max(map(len, found))), -1)
        for row, peaks in zip(table, found, strict=True):
            row[:len(peaks)] = peaks
        return torch.from_numpy(table)

    def first(self, label: str) -> int:
        """The first record of a label."""
        return int(np.flatnonzero(self.target == CPSC_CLASSES.index(label))[0])


def make_bed(size: Profile) -> Bed:
    """The records of the list `grad_cam`, rendered with and without their evidence, and with a decoy."""
    asked = record_list("grad_cam")["simulated"]
    rows = np.arange(asked["each_class"][size.name] * len(CPSC_CLASSES))
    settings = Settings(scheme=asked["scheme"], label_noise=0.0)
    simulation = simulate(asked["seed"], rows, fs=SIGNAL.fs, settings=settings)
    target = simulation.labels.argmax(axis=1)
    parameters, removed = draw_parameters(asked["seed"], rows, settings, SIGNAL.seconds), simulation.signals.copy()
    for feature in dict.fromkeys(REMOVED.values()):
        own = np.isin(target, [CPSC_CLASSES.index(name) for name, its in REMOVED.items() if its == feature])
        removed[own] = render(without(parameters, feature), SIGNAL.fs)[own]
    masks, leads = simulation.masks()[rows, target], simulation.leads[rows, target]
    decoyed, spike = with_decoy(simulation.signals, masks, SIGNAL.fs, np.random.default_rng([asked["seed"], 1]))
    pvc, lowered = target == CPSC_CLASSES.index("PVC"), simulation.signals.copy()
    lowered[pvc] = [lower(signal, mask, SIGNAL.fs) for signal, mask in zip(simulation.signals[pvc], masks[pvc], strict=True)]
    return Bed(simulation, target, masks, leads, removed, decoyed, spike, lowered)


def lower(signal: np.ndarray, mask: np.ndarray, fs: int) -> np.ndarray:
    """A record [L, T] whose marked beats are scaled about the median of each lead until nothing in them is as tall as what is tallest
    elsewhere, mean over leads; the scaling fades in and out over 50 ms. One that is low already stays as it is."""
    median = np.median(signal, axis=1, keepdims=True)
    tall = np.abs(signal - median).mean(axis=0)                                                         # [T]
    fading = np.hanning(round(0.05 * fs) + 2)[1:-1]
    marked = np.convolve(spread(mask, len(fading) // 2), fading / fading.sum(), mode="same")            # 1 all over the mask
    elsewhere = tall[faithfulness.inner(len(tall), fs) & (marked == 0)].max()
    factor = min(1.0, LOWERED * elsewhere / tall[mask].max())
    return (median + (signal - median) * (1 - (1 - factor) * marked)).astype(signal.dtype)


def with_decoy(signals: np.ndarray, masks: np.ndarray, fs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One spike in every lead of each record, taller than anything in it, at a place drawn from those that are not its evidence.

    Returns the signals [R, L, T] and the seconds [R] of the spikes. An amplitude finder falls for it; a map of the class should not.
    """
    width, height, reach = DECOY
    time, places = np.arange(signals.shape[2]), []
    for mask in masks:
        free = faithfulness.inner(len(mask), fs) & ~spread(mask, round(2 * reach * fs))
        places.append(rng.choice(np.flatnonzero(free) if free.any() else np.flatnonzero(faithfulness.inner(len(mask), fs))))
    spike = np.exp(-0.5 * ((time - np.array(places)[:, None]) / (width * fs / 2)) ** 2)                 # [R, T]
    tallest = height * np.abs(signals - np.median(signals, axis=2, keepdims=True)).max(axis=2, keepdims=True)   # [R, L, 1]
    return (signals + tallest * spike[:, None]).astype(signals.dtype), np.array(places) / fs


def spread(mask: np.ndarray, n: int) -> np.ndarray:
    """A mask [T] with n more samples at both ends of each of its spans."""
    return np.convolve(mask, np.ones(2 * n + 1, int), mode="same") > 0


@dataclass(frozen=True, eq=False)
class Asked:
    """One network on the bed.

    correct: the abnormal records whose own class the network ranks first. Only they are scored: a map of a mistake has no truth to
    be held against. fall: [R], how far the logit of the own class falls without its evidence. low: the PVC records that it ranks right
    also when their PVCs are lowered.
    """

    network: Network
    bed: Bed
    x: Tensor
    correct: np.ndarray
    fall: np.ndarray
    low: np.ndarray

    def maps(self, method: str, model: nn.Module | None = None, x: Tensor | None = None, rows: np.ndarray | None = None,
             target: np.ndarray | None = None) -> Attribution:
        """The maps of the own class on the correct records, by the network or another model, on its records or others [R, L, T], or of
        another class [R]."""
        rows, target = self.correct if rows is None else rows, self.bed.target if target is None else target
        model, x = model or self.network.model, self.x if x is None else x
        parts = [attribute(model, x[part], torch.from_numpy(target[part]), method, beats=self.bed.beats[part],
                           generator=torch_generator(0, int(part[0])), fs=self.bed.fs)
                 for part in np.split(rows, np.arange(BATCH, len(rows), BATCH))]
        return Attribution(method, np.concatenate([part.values for part in parts]), parts[0].has_leads,
                           float(np.median([part.resolution_s for part in parts])), self.bed.fs)


@torch.no_grad()
def ask(network: Network, bed: Bed) -> Asked:
    """The network's answers on the bed."""
    x = network.scaled(bed.simulation.signals)
    logits, bare, lowered = (torch.cat([network.model(part) for part in signals.split(64)]).numpy()
                             for signals in (x, network.scaled(bed.removed), network.scaled(bed.lowered)))
    own = np.arange(len(x)), bed.target
    right = (logits.argmax(axis=1) == bed.target) & (bed.target != CPSC_CLASSES.index("Normal"))
    low = right & (bed.target == CPSC_CLASSES.index("PVC")) & (lowered.argmax(axis=1) == bed.target)
    return Asked(network, bed, x, np.flatnonzero(right), logits[own] - bare[own], np.flatnonzero(low))


# -- one row a map ---------------------------------------------------------------------------------------------------------

@dataclass(frozen=True, eq=False)
class Scored:
    """What one network's maps score. table: one row a method, weights and record. curves: of deletion and insertion, by method.
    refused: why a method does not apply to this network, by method."""

    asked: Asked
    table: pd.DataFrame
    curves: dict[str, Curves]
    refused: dict[str, str]


def score_maps(asked: Asked, methods: Sequence[str]) -> Scored:
    """Every score of every map. Column weights: trained, or drawn anew in all layers.

    A network of new weights is another one; its maps are held against the same records and classes. correlation_S: of the trained
    network's map with that of one whose last layers, a share S, have new weights. decoy: whether the largest value went to the spike,
    on premature beats.
    """
    anew = {share: randomised(asked.network.model, share, asked.x, torch_generator(0, 7)) for share in CASCADE}
    tables, curves, refused, made = [], {}, {}, {}
    for method in methods if len(asked.correct) else ():
        try:
            own = asked.maps(method)
        except ConfigurationError as error:
            refused[method] = str(error)
            continue
        scored, other = _scores(asked, own), own
        if method not in BASELINES:
            for share, model in anew.items():
                if share == 1 or method in FOLLOWED:
                    other = asked.maps(method, model)
                    scored[f"correlation_{share:g}"] = _correlations(own, other)
        scored["decoy"], scored["lowered"], scored["normal"] = _decoys(asked, method), _lowered(asked, method), _on_normal(asked, own)
        if own.has_time:
            curves[method] = _deleted(asked, own, made, curves)
            made[method] = own
            scored["deletion"], scored["insertion"] = curves[method].areas()
        tables += [scored.assign(weights="trained"), _scores(asked, other).assign(weights="anew")]
    table = pd.concat(tables, ignore_index=True).assign(network=asked.network.name) if tables else pd.DataFrame()
    return Scored(asked, table, curves, refused)


def _deleted(asked: Asked, own: Attribution, made: Mapping[str, Attribution], curves: Mapping[str, Curves]) -> Curves:
    """Deletion and insertion by a map; those of an earlier method whose maps are the same, as of both CAMs behind a mean."""
    curve = own.over_time()
    for method, other in made.items():
        if np.allclose(curve, other.over_time(), rtol=1e-4, atol=1e-5 * curve.max(initial=0)):
            return curves[method]
    target = torch.from_numpy(asked.bed.target[asked.correct])
    return deletion_and_insertion(asked.network.model, asked.x[asked.correct], target, curve, fs=asked.bed.fs)


def _correlations(own: Attribution, other: Attribution) -> np.ndarray:
    """Rank correlation of two maps of each record; NaN where the method knows no time."""
    if not own.has_time:
        return np.full(len(own.values), np.nan)
    return np.array([faithfulness.rank_correlation(*pair) for pair in zip(own.over_time(), other.over_time(), strict=True)])


def _scores(asked: Asked, maps: Attribution) -> pd.DataFrame:
    """One row a correct record."""
    bed, fs, rows = asked.bed, asked.bed.fs, []
    shares = maps.by_lead()
    for row, curve, share in zip(asked.correct, maps.over_time(), shares, strict=True):
        kept = faithfulness.inner(len(curve), fs)
        mask, label = bed.masks[row], CPSC_CLASSES[bed.target[row]]
        found = {"method": maps.method, "label": label, "record": int(row), "fall": float(asked.fall[row]),
                 "resolution": maps.resolution_s}
        if maps.has_time:
            found |= {"pointing": localisation.pointing(curve[None], mask[None], fs)[0],
                      "pointing_chance": localisation.chance_of_pointing(mask[None], fs)[0]}
            if maps.resolution_s <= WITHIN_A_BEAT:
                folded = faithfulness.fold(curve, mask, bed.peaks(row), fs)
                found |= dict(zip(("phase", "phase_chance"), faithfulness.phase_pointing(folded, fs), strict=True))
            found |= {"iou": faithfulness.iou_at_area(curve[kept], mask[kept]),
                      "ceiling": faithfulness.iou_ceiling(mask[kept], maps.resolution_s * fs),
                      "energy": faithfulness.energy_inside(curve[kept], mask[kept]), "energy_chance": mask[kept].mean(),
                      "precision": faithfulness.precision_over_time(curve[kept], mask[kept]),
                      "edge": faithfulness.at_edge(curve, fs),
                      "removed": faithfulness.intervention_correlation(curve, bed.simulation.signals[row], bed.removed[row], fs)}
        # AF has no place of its own, its waves are in every gap between T and QRS: its score is the correlation. A constant map has none,
        # and scores what chance does.
        fitting = found.get(ASKED[label], np.nan)
        fitting = 0.0 if label == "AF" and maps.has_time and np.isnan(fitting) else fitting
        chance = 0.0 if label == "AF" else found.get(f"{ASKED[label]}_chance", np.nan)
        found |= {"asked": fitting, "asked_chance": chance if np.isfinite(fitting) else np.nan}
        if maps.has_leads:
            found |= dict(zip(("lead", "lead_chance"), faithfulness.lead_score(share, bed.leads[row]), strict=True))
        rows.append(found)
    return pd.DataFrame(rows)


def _decoys(asked: Asked, method: str) -> np.ndarray:
    """Whether the map's largest value lies on the spike, for the correct premature beats; NaN elsewhere."""
    found = np.full(len(asked.correct), np.nan)
    premature = np.isin(asked.bed.target[asked.correct], [CPSC_CLASSES.index(name) for name in ("PAC", "PVC")])
    if not premature.any():
        return found
    rows = asked.correct[premature]
    maps = asked.maps(method, x=asked.network.scaled(asked.bed.decoyed), rows=rows)
    if maps.resolution_s > COARSEST:
        return found
    caught = []
    for row, curve in zip(rows, maps.over_time(), strict=True):
        near = np.zeros(len(curve), bool)
        near[round(asked.bed.spike[row] * asked.bed.fs)] = True
        near = spread(near, round(max(DECOY[2], maps.resolution_s / 2) * asked.bed.fs))
        caught.append(localisation.pointing(curve[None], near[None], asked.bed.fs)[0])
    found[premature] = caught
    return found


def _lowered(asked: Asked, method: str) -> np.ndarray:
    """Whether the map's largest value lies on a PVC that was made low, for the records that stay right; NaN elsewhere."""
    found = np.full(len(asked.correct), np.nan)
    if len(asked.low):
        maps = asked.maps(method, x=asked.network.scaled(asked.bed.lowered), rows=asked.low)
        if maps.has_time:
            found[np.isin(asked.correct, asked.low)] = localisation.pointing(maps.over_time(), asked.bed.masks[asked.low], asked.bed.fs)
    return found


def _on_normal(asked: Asked, own: Attribution) -> np.ndarray:
    """The control on normal records, each asked for one abnormal class, in turn: the sum of the map over the mean sum on the class's own
    records, for each of these. 1: the map is as strong where there is nothing to see."""
    rows = np.flatnonzero(asked.bed.target == CPSC_CLASSES.index("Normal"))
    target = np.zeros_like(asked.bed.target)
    target[rows] = [CPSC_CLASSES.index(ABNORMAL[i % len(ABNORMAL)]) for i in range(len(rows))]
    strength, classes = own.over_time().sum(axis=1), asked.bed.target[asked.correct]
    found = np.full(len(strength), np.nan)
    control = asked.maps(own.method, rows=rows, target=target).over_time().sum(axis=1)
    for k in np.unique(target[rows]):
        if strength[classes == k].sum() > 0:
            found[classes == k] = control[target[rows] == k].mean() / strength[classes == k].mean()
    return found
