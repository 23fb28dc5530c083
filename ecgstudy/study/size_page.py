"""Page 07, size and tokens: what the trained base loses when parts of its last stage are deleted, and where attention lands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

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
from ecgstudy.study.axis_page import SIGNAL, AxisPage, Comparison, save_picture
from ecgstudy.study.complexity import latency, macs
from ecgstudy.study.probes import CLEAN, Probe, Score
from ecgstudy.train.checkpoint import load_weights
from ecgstudy.train.feed import Scaling
from ecgstudy.train.seeds import scoped_seed

SHARES = {"tokens": (0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05), "heads": (0.75, 0.5, 0.25)}
DRAWS = (0, 1, 2)                           # of the random control
SETTING = {"tokens": "keep_tokens", "heads": "keep_heads"}
TRAINED = {"tokens_50": ("tokens", 0.5), "tokens_25": ("tokens", 0.25), "heads_50": ("heads", 0.5)}
SHOWN_SHARE = 0.25                          # of the tokens kept, in the picture over the trace
SEED, SHOWN_RECORD, N_RECORDS = 4, 83, 600  # of the simulator; the record has two premature ventricular beats and nothing else
EVIDENCE = "PVC"
CONTROL_DIFFERS = "between importance and chance"


def trade_off(found: Comparison) -> Figure:
    """Score against cost of every variant; also kept as the page's picture."""
    drawn = figures.trade_off(found.rows, found.page.costs(), tables.describe_data(found.outcome.finished[0]))
    save_picture(drawn, found.page.request)
    return figures.closed(drawn)


# --- deletion without training ---------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Cut:
    """One share of one part of the last stage: what is left of the score, by importance and by chance, and of the cost.

    importance, control: validation macro-AUROC, the control's as the mean over DRAWS; None where nothing was measured. macs, time: of
    the whole network, over those of the network without a cut.
    """

    part: str
    share: float
    importance: Score | None
    control: Score | None
    macs: float
    time: float


@dataclass(frozen=True)
class Deletion:
    """The trained base under every cut.

    clean: its score without a cut. trained: validation scores of the variants that were trained with deletion, {(part, share): score}.
    stage_share: the last stage's part of the network's MACs. gaps: what could not be measured, as Markdown.
    """

    clean: Score | None
    cuts: tuple[Cut, ...]
    trained: dict[tuple[str, float], float]
    stage_share: float
    gaps: str

    def of(self, part: str) -> list[Cut]:
        return [cut for cut in self.cuts if cut.part == part]

    def figure(self) -> Figure:
        return figures.closed(size_figures.deletion(self))

    def reading(self) -> str:
        """Whether deletion goes unnoticed, whether its criterion beats chance, and whether it saves anything, from these numbers."""
        told = [self._saving()]
        if self.clean:
            told = [self._loss(), self._criterion(), *told]
        return "\n\n".join([*told, *([self.gaps] if self.gaps else [])])

    def _loss(self) -> str:
        parts = []
        for part in SHARES:
            cuts = self.of(part)
            unseen = [cut for cut in cuts if _reaches_zero((cut.importance - self.clean).interval)]
            least = min(unseen, key=lambda cut: cut.share, default=None)
            last = (cuts[-1].importance - self.clean).interval
            parts.append((f"down to {least.share:.0%} of the {part} the interval of the change reaches zero" if least else
                          f"already at {cuts[0].share:.0%} of the {part} the interval of the change leaves zero out")
                         + f"; at {cuts[-1].share:.0%} the change is {tables.show_interval(last, signed=True)}")
        return (f"**Deletion from the trained base.** Without a cut it scores {tables.show_interval(self.clean.interval)} on the validation "
                f"fold. By importance, {'. For heads, '.join(parts)}. These intervals hold each share on its own and are over patients, "
                "not over seeds.")

    def _criterion(self) -> str:
        parts = []
        for part in SHARES:
            gained = [(cut.share, (cut.importance - cut.control).interval) for cut in self.of(part)]
            apart = [(share, found) for share, found in gained if not _reaches_zero(found)]
            widest = max(gained, key=lambda each: abs(each[1].estimate))
            shares = ", ".join(f"{share:.0%}" for share, _ in apart)
            higher = sum(found.estimate > 0 for _, found in apart)
            parts.append(f"for {part} the interval {CONTROL_DIFFERS} leaves zero out at {len(apart)} of {len(gained)} shares"
                         + (f" ({shares}; importance higher in {higher})" if apart else "")
                         + f", and the widest gap is {tables.show_interval(widest[1], signed=True)} at {widest[0]:.0%}")
        return f"**Is the criterion better than chance?** Against as many deleted at random, {'; '.join(parts)}."

    def _saving(self) -> str:
        tokens, heads = (min(self.of(part), key=lambda cut: cut.share) for part in SHARES)
        half = next(cut for cut in self.of("tokens") if cut.share == 0.5)
        return (f"**Is deletion a saving here?** The last stage does {self.stage_share:.0%} of this network's MACs, and its first block always "
                f"runs whole. Half of the tokens leave {half.macs:.0%} of the network's MACs and {half.time:.0%} of its time; "
                f"{tokens.share:.0%} of them leave {tokens.macs:.0%} and {tokens.time:.0%}. Heads save less: {heads.share:.0%} of them leave "
                f"{heads.macs:.0%} of the MACs and {heads.time:.0%} of the time, because only the products inside attention shrink, while the "
                "maps to queries, keys, values and back are computed for all. Time is one record, one thread, on the machine that made this "
                "page; the importance needs the attention weights, which the fused attention of the uncut network never writes down.")


def settings(part: str, share: float, draw: int | None = None) -> dict[str, float | int]:
    """What the builder is asked for: a share of a part kept by importance, or by the draw of that number."""
    return {SETTING[part]: share} | ({} if draw is None else {"keep_draw": draw})


def measure_deletion(found: Comparison) -> Deletion:
    """Every run of the base under every cut and its control, on the validation fold; costs measured now."""
    base = replace(found, rows=[row for row in found.rows if row.value == found.page.axis.baseline])
    asked = [(part, share) for part, shares in SHARES.items() for share in shares]
    probing = probes.probe_all(base, [Probe("settings", settings(*cut, draw)) for cut in asked for draw in (None, *DRAWS)])
    scores = next(iter(probes.macro_auroc(probing.groups).values()), None)
    costs = _relative_costs(found.page, asked)
    cuts = [Cut(*cut, *(_by_both(scores, *cut) if scores else (None, None)), *costs[cut]) for cut in asked]
    trained = {TRAINED[row.value]: float(np.mean([run.result["scores"]["validation"]["macro_auroc"] for run in row.runs]))
               for row in found.rows if row.value in TRAINED}
    return Deletion(scores[CLEAN] if scores else None, tuple(cuts), trained, last_stage_share(found.page), probing.gaps())


def _by_both(scores: dict[Probe, Score], part: str, share: float) -> tuple[Score, Score]:
    draws = [scores[Probe("settings", settings(part, share, draw))] for draw in DRAWS]
    control = Score(float(np.mean([each.estimate for each in draws])), np.mean([each.draws for each in draws], axis=0))
    return scores[Probe("settings", settings(part, share))], control


def _relative_costs(page: AxisPage, asked: Sequence[tuple[str, float]]) -> dict[tuple[str, float], tuple[float, float]]:
    """MACs and time of the page's base under each cut, over those without one."""
    repeats = 3 if page.request.size.name == "smoke" else 20
    whole = fresh(page, "base")
    all_macs, all_time = macs(whole, SIGNAL), latency(whole, SIGNAL, repeats=repeats)
    found = {}
    for cut in asked:
        model = fresh(page, "base", **settings(*cut))
        found[cut] = (macs(model, SIGNAL) / all_macs, latency(model, SIGNAL, repeats=repeats) / all_time)
    return found


def last_stage_share(page: AxisPage) -> float:
    """The part of the base network's MACs that its last stage does."""
    model = fresh(page, "base").eval()
    with torch.inference_mode():
        tokens = model.last_tokens(torch.zeros(1, SIGNAL.n_leads, SIGNAL.n_samples))
    return macs(model.stages[-1], tokens) / macs(model, SIGNAL)


def _reaches_zero(found: Interval) -> bool:
    return found.low <= 0 <= found.high


# --- what attention does over a record -------------------------------------------------------------------------------------------

def fresh(page: AxisPage, name: str, **changes: float | int) -> nn.Module:
    """A variant of the page's size with initial weights from seed 0, with settings over its own."""
    with scoped_seed(0):
        return build_model("inception_former", SIGNAL, 9, **page.axis.variants[name].all_settings(page.request.size) | changes)


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


def network(found: Comparison, name: str, **changes: float | int) -> Seen:
    """A variant with the weights of its first run whose weights are at hand, else with fresh ones; settings over its own."""
    page = found.page
    for run in (run for row in found.rows if row.value == name for run in row.runs):
        if (path := probes.weights(run)).is_file():
            model = build_model(run.experiment.model, SIGNAL, len(run.experiment.labels.classes), **dict(run.experiment.settings) | changes)
            load_weights(path, model)
            return Seen(model.eval(), f"weights of seed {run.experiment.seed}", Scaling(**run.result["training"]["scaling"]))
    return Seen(fresh(page, name, **changes).eval(), "fresh weights: no trained ones are at hand", None)


def token_centres(mask: np.ndarray, n_tokens: int) -> np.ndarray:
    """mask: [..., T], true of samples -> [..., N], true of the tokens whose middle sample it holds."""
    step = mask.shape[-1] / n_tokens
    return mask[..., ((np.arange(n_tokens) + 0.5) * step).astype(int)]


@dataclass(frozen=True)
class KeptTokens:
    """Token deletion over one record, block by block.

    trace: lead II [T] in mV. spans: (start, end) of the evidence in seconds. importance: [blocks, N], gathered up to and including the
    block, over the mean of the tokens that the block has; NaN: deleted before it. lift: how much more often the tokens kept at the end lie in
    the evidence than all tokens do, over `n_records` simulated records.
    """

    trace: np.ndarray
    spans: list[tuple[float, float]]
    importance: np.ndarray
    weights: str
    lift: Interval
    n_records: int

    def figure(self) -> Figure:
        return figures.closed(size_figures.kept_tokens(self))

    def reading(self) -> str:
        verdict = ("so the tokens kept lie there about as often as all tokens do" if _reaches_one(self.lift) else
                   f"so the tokens kept {'seek' if self.lift.estimate > 1 else 'avoid'} it")
        return (f"**Do the kept tokens hold the evidence?** Over {self.n_records} simulated records with premature ventricular beats ({self.weights}), "
                f"a token kept at {SHOWN_SHARE:.0%} lies in such a beat {tables.show_interval(self.lift)} times as often as any token, {verdict}. "
                "A token need not hold what happened at its own place: stage 3 has let every token read the whole record before.")


def _reaches_one(found: Interval) -> bool:
    return found.low <= 1 <= found.high


def kept_tokens(found: Comparison) -> KeptTokens:
    """Which tokens of simulated records with premature ventricular beats survive in the base, cut to SHOWN_SHARE without training."""
    seen = network(found, "base", keep_tokens=SHOWN_SHARE)
    simulation = _with_evidence(found.page)
    shown = simulate(seed=SEED, indices=[SHOWN_RECORD])
    maps = attention_maps(seen, shown.signals)
    received = np.cumsum([weights[0].sum(axis=(0, 1)) for weights in maps], axis=0)               # [blocks, N]
    alive = np.array([weights[0].any(axis=(0, 1)) for weights in maps])
    importance = np.where(alive, received, np.nan)
    kept = seen.model.kept_tokens(seen.inputs(simulation.signals)).numpy()                       # [R, N]
    evidence = token_centres(simulation.masks()[:, simulation.classes.index(EVIDENCE)], kept.shape[1])
    return KeptTokens(shown.signals[0, LEADS.index("II")], _spans(shown), importance / np.nanmean(importance, axis=1, keepdims=True),
                      seen.weights, lift(kept, evidence), len(kept))


def attention_maps(seen: Seen, signals: np.ndarray) -> list[np.ndarray]:
    """The attention [R, H, N, N] of each block of the last stage, in order."""
    with capture_attention(seen.model) as maps, torch.inference_mode():
        seen.model(seen.inputs(signals))
    last = f"stages.{len(seen.model.stages) - 1}."
    return [weights.numpy() for name, weights in maps.items() if name.startswith(last)]


def lift(kept: np.ndarray, evidence: np.ndarray, n_replicates: int = 1000) -> Interval:
    """How much more often kept tokens lie in the evidence than all tokens do; both bool [R, N]. Interval over records."""
    weights = patient_weights(np.arange(len(kept)), n_replicates, np.random.default_rng(0))
    counts = np.stack([(kept & evidence).sum(1), kept.sum(1), evidence.sum(1), np.full(len(kept), kept.shape[1])], axis=1)

    def ratio(total: np.ndarray) -> np.ndarray:
        return total[..., 0] / total[..., 1] / (total[..., 2] / total[..., 3])

    return interval(float(ratio(counts.sum(axis=0))), ratio(weights @ counts))


def _with_evidence(page: AxisPage) -> Simulation:
    """Simulated records with premature ventricular beats and no other label."""
    indices = np.arange(100 if page.request.size.name == "smoke" else N_RECORDS)
    labels = simulate(seed=SEED, indices=indices).labels
    k = simulate(seed=SEED, indices=[0]).classes.index(EVIDENCE)
    return simulate(seed=SEED, indices=indices[(labels[:, k] == 1) & (labels.sum(axis=1) == 1)])


def _spans(simulation: Simulation) -> list[tuple[float, float]]:
    shown = simulation.spans[simulation.spans["label"] == EVIDENCE]
    return list(zip(shown["start"], shown["end"], strict=True))


@dataclass(frozen=True)
class SemanticTokens:
    """Where the semantic tokens look: attention [M, N] of the second cross-attention over one record, mean over heads.

    at_home: the share of that attention which stays in the window that each was pooled from, over what an even spread would leave there.
    among: the share that goes to other semantic tokens in place of the record's.
    """

    trace: np.ndarray
    spans: list[tuple[float, float]]
    attention: np.ndarray
    weights: str
    at_home: float
    among: float

    def figure(self) -> Figure:
        return figures.closed(size_figures.semantic_tokens(self))

    @cached_property
    def columns(self) -> float:
        """How alike the rows are: mean correlation of a row with the mean of all."""
        mean = self.attention.mean(axis=0)
        return float(np.mean([np.corrcoef(row, mean)[0, 1] for row in self.attention]))

    def reading(self) -> str:
        return (f"**What do semantic tokens read?** In the record shown ({self.weights}) a semantic token gives its own window "
                f"{tables.show(self.at_home, 2)} times the attention that an even spread would, and {self.among:.0%} of all its attention to the "
                f"semantic tokens themselves. Its row correlates with the mean of all rows at {tables.show(self.columns, 2)} on average: 1 would mean "
                "that all read the same places.")


def semantic_tokens(found: Comparison) -> SemanticTokens:
    """The second cross-attention of the variant with semantic tokens, over the simulated record of the page."""
    seen = network(found, "semantic_tokens")
    shown = simulate(seed=SEED, indices=[SHOWN_RECORD])
    with capture_attention(seen.model) as maps, torch.inference_mode():
        seen.model(seen.inputs(shown.signals))
    weights = [each for name, each in maps.items() if name.startswith("entries.")][-1][0].mean(dim=0).numpy()   # [M, M + N]
    m = len(weights)
    among, attention = float(weights[:, :m].sum() / m), weights[:, m:]
    attention = attention / attention.sum(axis=1, keepdims=True)
    n = attention.shape[1]
    window = np.arange(n) // (n // m) == np.arange(m)[:, None]
    return SemanticTokens(shown.signals[0, LEADS.index("II")], _spans(shown), attention, seen.weights,
                          float(attention[window].sum() / m * n / window[0].sum()), among)
