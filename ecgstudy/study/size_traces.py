"""Page 07, size and tokens, over the trace: which tokens deletion keeps, and where semantic tokens look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from ecgstudy.data.dataset import MILLIVOLT
from ecgstudy.data.synthetic import Simulation, simulate
from ecgstudy.evaluate.bootstrap import Interval, interval, patient_weights
from ecgstudy.layers.attention.capture import capture_attention
from ecgstudy.leads import LEADS
from ecgstudy.models import build_model
from ecgstudy.study import figures, probes, size_figures, tables
from ecgstudy.study.axis_page import SIGNAL, AxisPage, Comparison
from ecgstudy.study.size_page import fresh, percent
from ecgstudy.train.checkpoint import load_weights
from ecgstudy.train.feed import Scaling

SHOWN_SHARE = 0.25                          # of the tokens kept
SEED, SHOWN_RECORD, N_RECORDS = 4, 83, 600  # of the simulator; the record shown has two premature ventricular beats, nothing else
EVIDENCE = "PVC"


@dataclass(frozen=True)
class Seen:
    """A variant's network, where its weights come from, and how it wants its signals scaled (in microvolts)."""

    model: nn.Module
    weights: str
    scaling: Scaling | None

    def inputs(self, signals: np.ndarray) -> torch.Tensor:
        """signals: [R, L, T] in mV -> what the network reads."""
        mean, deviation = (self.scaling.mean, self.scaling.deviation) if self.scaling else (0.0, MILLIVOLT * signals.std())
        return torch.from_numpy(((MILLIVOLT * signals - mean) / deviation).astype(np.float32))

    def attention(self, signals: np.ndarray) -> dict[str, np.ndarray]:
        """The attention of every layer over signals [R, L, T] in mV, by the layer's name, in order."""
        with capture_attention(self.model) as maps, torch.inference_mode():
            self.model(self.inputs(signals))
        return {name: weights.numpy() for name, weights in maps.items()}


def network(found: Comparison, name: str, **changes: float | int) -> Seen:
    """A variant with the weights of its first run whose weights are at hand, else with fresh ones; settings over its own."""
    for run in (run for row in found.rows if row.value == name for run in row.runs):
        if (path := probes.weights(run)).is_file():
            model = build_model(run.experiment.model, SIGNAL, len(run.experiment.labels.classes), **dict(run.experiment.settings) | changes)
            load_weights(path, model)
            return Seen(model.eval(), f"weights of seed {run.experiment.seed}", Scaling(**run.result["training"]["scaling"]))
    return Seen(fresh(found.page, name, **changes).eval(), "fresh weights, no trained ones at hand", None)


@dataclass(frozen=True)
class Record:
    """The simulated record that both pictures show: lead II [T] in mV, and the (start, end) of its evidence in seconds."""

    signals: np.ndarray
    spans: list[tuple[float, float]]

    @property
    def trace(self) -> np.ndarray:
        return self.signals[0, LEADS.index("II")]


def shown_record() -> Record:
    """signals [1, L, T] in mV with the spans of its premature ventricular beats."""
    simulation = simulate(seed=SEED, indices=[SHOWN_RECORD])
    spans = simulation.spans[simulation.spans["label"] == EVIDENCE]
    return Record(simulation.signals, list(zip(spans["start"], spans["end"], strict=True)))


def with_evidence(page: AxisPage) -> Simulation:
    """Simulated records with premature ventricular beats and no other label."""
    indices = np.arange(100 if page.request.size.name == "smoke" else N_RECORDS)
    drawn = simulate(seed=SEED, indices=indices)
    only = (drawn.labels[:, drawn.classes.index(EVIDENCE)] == 1) & (drawn.labels.sum(axis=1) == 1)
    return simulate(seed=SEED, indices=indices[only])


def evidence_of(simulation: Simulation, n_tokens: int) -> np.ndarray:
    """bool [R, N]: the tokens that stand in the evidence."""
    return at_token_centres(simulation.masks()[:, simulation.classes.index(EVIDENCE)], n_tokens)


def at_token_centres(mask: np.ndarray, n_tokens: int) -> np.ndarray:
    """mask: [..., T], a value a sample -> [..., N], that of the sample which each token is centred on.

    The strided convolutions pad both ends alike, so that token n stands on sample n times the stride, the first on the first sample.
    """
    return mask[..., np.arange(n_tokens) * round(mask.shape[-1] / n_tokens)]


def lift(given: np.ndarray, evidence: np.ndarray, n_replicates: int = 1000) -> Interval:
    """How much more of what is given to tokens lies in the evidence than an even spread would put there.

    given: [R, N], which tokens are kept, or attention that they get; evidence: bool [R, N]. The interval is over records.
    """
    counts = np.stack([(given * evidence).sum(1), given.sum(1), evidence.sum(1), np.full(len(given), given.shape[1])], axis=1)

    def ratio(total: np.ndarray) -> np.ndarray:
        return total[..., 0] / total[..., 1] / (total[..., 2] / total[..., 3])

    weights = patient_weights(np.arange(len(given)), n_replicates, np.random.default_rng(0))
    return interval(float(ratio(counts.sum(axis=0))), ratio(weights @ counts))


def even(found: Interval) -> str:
    """In words, on which side of an even spread a lift lies."""
    if found.low <= 1 <= found.high:
        return "not told apart from an even spread"
    return "more than an even spread gives" if found.estimate > 1 else "less than an even spread gives"


@dataclass(frozen=True)
class KeptTokens:
    """Token deletion over one record, block by block.

    importance: [blocks, N], gathered up to and including the block, over the mean of the tokens that the block has; NaN: deleted
    before it. lift: of the tokens kept at the end, over `n_records` simulated records.
    """

    record: Record
    importance: np.ndarray
    weights: str
    lift: Interval
    n_records: int

    def figure(self) -> Figure:
        return figures.closed(size_figures.kept_tokens(self))

    def reading(self) -> str:
        return (f"**Do the kept tokens hold the evidence?** Over {self.n_records} simulated records with premature ventricular beats "
                f"({self.weights}), the tokens kept at {percent(SHOWN_SHARE)} lie in such a beat {tables.show_interval(self.lift)} times "
                f"as often as any token, {even(self.lift)}. A token need not hold what happened at its own place: stage 3 has let every "
                "token read the whole record before.")


def kept_tokens(found: Comparison) -> KeptTokens:
    """Which tokens of simulated records with premature ventricular beats survive in the base, cut to SHOWN_SHARE without training."""
    seen, record, simulation = network(found, "base", keep_tokens=SHOWN_SHARE), shown_record(), with_evidence(found.page)
    last = f"stages.{len(seen.model.stages) - 1}."
    maps = [weights[0] for name, weights in seen.attention(record.signals).items() if name.startswith(last)]       # [H, N, N] a block
    gathered = np.cumsum([weights.sum(axis=(0, 1)) for weights in maps], axis=0)
    importance = np.where([weights.any(axis=(0, 1)) for weights in maps], gathered, np.nan)
    kept = seen.model.kept_tokens(seen.inputs(simulation.signals)).numpy()
    return KeptTokens(record, importance / np.nanmean(importance, axis=1, keepdims=True), seen.weights,
                      lift(kept, evidence_of(simulation, kept.shape[1])), len(kept))


@dataclass(frozen=True)
class SemanticTokens:
    """Where the semantic tokens look in their second cross-attention, mean over heads.

    attention: [M, N] over the shown record's tokens, each row sums to 1. at_home: what stays in the window that a semantic token was
    pooled from, over what an even spread would leave there; alike: mean correlation of a row with the mean of all rows; among: the
    share that goes to semantic tokens in place of the record's; lift: of the attention that tokens get. The last four are over
    `n_records` records.
    """

    record: Record
    attention: np.ndarray
    weights: str
    at_home: float
    alike: float
    among: float
    lift: Interval
    n_records: int

    def figure(self) -> Figure:
        return figures.closed(size_figures.semantic_tokens(self))

    def reading(self) -> str:
        return (f"**What do semantic tokens read?** Over the same {self.n_records} records ({self.weights}) a semantic token gives its own "
                f"window {tables.show(self.at_home, 2)} times the attention of an even spread, and {percent(self.among)} of all its "
                "attention to the semantic tokens themselves. Its row correlates with the mean of all rows at "
                f"{tables.show(self.alike, 2)} on average; at 1 all would read the same places. What they read lies in a premature beat "
                f"{tables.show_interval(self.lift)} times as often as any token, {even(self.lift)}.")


def semantic_tokens(found: Comparison) -> SemanticTokens:
    """The second cross-attention of the variant with semantic tokens, over the simulated records of `kept_tokens`."""
    seen, record, simulation = network(found, "semantic_tokens"), shown_record(), with_evidence(found.page)
    _, shown = second_attention(seen, record.signals)
    among, attention = second_attention(seen, simulation.signals)                                # [R], [R, M, N]
    m, n = attention.shape[1:]
    window = np.arange(n) // (n // m) == np.arange(m)[:, None]
    mean = attention.mean(axis=1)                                                                 # [R, N]
    alike = np.mean([np.corrcoef(mean[r], row)[0, 1] for r in range(len(attention)) for row in attention[r]])
    at_home = attention[:, window].mean() * n
    return SemanticTokens(record, shown[0], seen.weights, float(at_home), float(alike), float(among.mean()),
                          lift(mean, evidence_of(simulation, n)), len(attention))


def second_attention(seen: Seen, signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What semantic tokens give each other [R], and how they spread the rest over the record's tokens [R, M, N], mean over heads."""
    weights = [each for name, each in seen.attention(signals).items() if name.startswith("entries.")][-1].mean(axis=1)     # [R, M, M + N]
    m = weights.shape[1]
    on_tokens = weights[..., m:]
    return weights[..., :m].sum(axis=(1, 2)) / m, on_tokens / on_tokens.sum(axis=-1, keepdims=True)
