"""The verdict on each claim, computed from the ledger: met, not met, cannot be told, not comparable, or not yet run.

A claim is asked where it can best be answered: at full size before a short profile, and on its own data before PTB-XL's nine
statements. Where that is told is part of the verdict, because a short run on other recordings cannot refute a claim about a full one.
Nothing simulated counts. Scores are compared as on the pages: paired over patients, never decided by fewer than three seeds, and
corrected after Holm over the comparisons of one source on one axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecgstudy.errors import DataError
from ecgstudy.evaluate.bootstrap import Interval, difference_p_value, holm, interval, patient_weights, replicate_scores
from ecgstudy.study import counts_page, frequency_claim, ledger, probed, probes, tables
from ecgstudy.study.claims import (
    BASELINE,
    PROTOCOL,
    Bands,
    Claim,
    Claims,
    Compares,
    Counts,
    Noise,
    NoWorse,
    Number,
    Records,
    printed,
)
from ecgstudy.study.comparison import FEWEST_SEEDS, Difference
from ecgstudy.study.ledger import Run
from ecgstudy.study.names import readable
from ecgstudy.study.probed import Probed
from ecgstudy.study.probes import CLEAN, Probe
from ecgstudy.study.profiles import profile
from ecgstudy.study.protocol_plan import recipe_axis
from ecgstudy.study.variants import axis
from ecgstudy.train.experiment import Experiment

MET, NOT_MET, UNTOLD, NOT_COMPARABLE, NOT_RUN = WORDS = ("met", "not met", "cannot be told", "not comparable", "not yet run")
ELSEWHERE = ("ptbxl", "nine")               # the recordings that this study has, for a claim about others
SEEDS = tuple(range(5))
N_REPLICATES = 1000
BAND_WORDS = {"supported": MET, "contradicted": NOT_MET, "undecided": UNTOLD, "untested": NOT_RUN}


@dataclass(frozen=True)
class Place:
    """Where a claim was asked."""

    dataset: str
    task: str
    profile: str


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    why: in words. measured: one line a number. place: where, None where nothing was run or needed to be. seeds: how many.
    """

    claim: Claim
    word: str
    why: str
    measured: tuple[str, ...] = ()
    place: Place | None = None
    seeds: int = 0

    @property
    def away(self) -> tuple[str, ...]:
        """In what the place is not the claim's own, in words; empty where a verdict holds for the claim as it was made."""
        if self.place is None:
            return ()
        scale = () if self.place.profile == "full" or isinstance(self.claim.test, Records) else (f"{self.place.profile} profile",)
        return scale + (() if (self.place.dataset, self.place.task) == self.claim.data else ("other recordings",))

    @property
    def as_claimed(self) -> bool:
        """Whether the verdict holds for the claim as it was made."""
        return not self.away


# -- the rules ----------------------------------------------------------------------------------------------------------

def judge_better(found: Sequence[Difference]) -> tuple[str, str]:
    """Every difference must be above zero by the study's own rule; one that is below it decides against."""
    if all(each.verdict == "better" for each in found):
        return MET, "every difference is above zero"
    if any(each.verdict == "worse" for each in found):
        return NOT_MET, f"{_part(found, 'worse')} the other way"
    return UNTOLD, _open(found)


def _part(found: Sequence[Difference], verdict: str) -> str:
    n = sum(each.verdict == verdict for each in found)
    return "it goes" if len(found) == 1 else f"{n} of {len(found)} comparisons go{'es' * (n == 1)}"


def _open(found: Sequence[Difference]) -> str:
    """What keeps the undecided ones from a verdict."""
    reasons = dict.fromkeys(_reason(each) for each in found if each.verdict == "undecided")
    decided = sum(each.verdict != "undecided" for each in found)
    return f"{decided} of {len(found)} decided; else " * bool(decided) + ", ".join(reasons)


def _reason(found: Difference) -> str:
    if found.n_seeds < FEWEST_SEEDS:
        return f"{found.n_seeds} seed{'s' * (found.n_seeds > 1)}"
    if not found.interval.low > 0 and not found.interval.high < 0:
        return "the interval holds zero"
    return "the seeds disagree" if not found.same_sign else "not after Holm"


def judge_no_worse(found: Sequence[Difference], margin: float) -> tuple[str, str]:
    """No difference may lie below minus the margin, by its whole interval; one that wholly does decides against."""
    few = [each for each in found if each.n_seeds < FEWEST_SEEDS]
    if any(each.n_seeds >= FEWEST_SEEDS and each.same_sign and each.interval.high < -margin for each in found):
        return NOT_MET, f"more than {margin:g} below"
    if few:
        return UNTOLD, _reason(few[0])
    if all(each.interval.low > -margin for each in found):
        return MET, f"less than {margin:g} below, by the whole interval"
    return UNTOLD, f"the interval reaches beyond −{margin:g}"


def judge_number(measured: Interval, seeds: int, told: float) -> tuple[str, str]:
    """The printed number must lie in the interval over patients."""
    if seeds < FEWEST_SEEDS:
        return UNTOLD, f"{seeds} seed{'s' * (seeds > 1)}"
    if measured.low <= told <= measured.high:
        return MET, "the printed number lies in the interval"
    return NOT_MET, f"measured {'above' if measured.low > told else 'below'} the printed number"


# -- the evidence -------------------------------------------------------------------------------------------------------

@dataclass(eq=False)
class Evidence:
    """The runs at hand. entry: gives the stored probes of a run for a page, or None."""

    runs: Sequence[Run]
    entry: Callable[[Run, str, Sequence[list]], Probed | None] = probed.stored
    _draws: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    _weights: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_experiment = {run.experiment: run for run in self.runs}

    def group(self, axis_name: str, variant: str, place: Place) -> dict[int, Run]:
        """The runs of one variant, by seed."""
        wanted = wanted_of(axis_name, variant, place)
        return {e.seed: self._by_experiment[e] for e in wanted if e in self._by_experiment}

    def draws(self, run: Run, metric: str) -> np.ndarray:
        """A run's test score under each draw of patients [B]; runs on the same test records share the draws."""
        if (run.key, metric) not in self._draws:
            own = run.predictions
            patients = "\n".join(own.test_patients)
            if patients not in self._weights:
                self._weights[patients] = patient_weights(own.test_patients, N_REPLICATES, np.random.default_rng(0))
            drawn = replicate_scores(run.test_probability(), own.test_targets, run.thresholds, self._weights[patients], (metric,))
            self._draws[run.key, metric] = drawn[metric]
        return self._draws[run.key, metric]

    def measured(self, group: dict[int, Run], metric: str) -> Interval:
        """Mean over seeds with its interval over patients."""
        return interval(float(np.mean([_point(run, metric) for run in group.values()])),
                        np.mean([self.draws(run, metric) for run in group.values()], axis=0))

    def difference(self, first: dict[int, Run], second: dict[int, Run], metric: str) -> tuple[np.ndarray, np.ndarray]:
        """First minus second on the seeds that both have: points [S], and draws of their mean [B]."""
        seeds = sorted(set(first) & set(second))
        for seed in seeds:
            if not np.array_equal(first[seed].predictions.test_records, second[seed].predictions.test_records):
                raise DataError(f"runs {first[seed].key[:12]} and {second[seed].key[:12]} were tested on different records; prepare the "
                                "data once and run both again")
        points = np.array([_point(first[seed], metric) - _point(second[seed], metric) for seed in seeds])
        return points, np.mean([self.draws(first[seed], metric) - self.draws(second[seed], metric) for seed in seeds], axis=0)


def _point(run: Run, metric: str) -> float:
    value = run.result["scores"]["test"][metric]
    return float("nan") if value is None else value


def wanted_of(axis_name: str, variant: str, place: Place) -> list[Experiment]:
    """The experiments of one variant at a place, one a seed."""
    size = profile(place.profile)
    found = recipe_axis(size) if axis_name == PROTOCOL else axis(axis_name)
    name = found.baseline if variant == BASELINE else variant
    return list(found.experiments(place.dataset, place.task, size, (name,), SEEDS))


def places(claim: Claim, dataset: tuple[str, str] | None = None, profile_name: str = "auto") -> list[Place]:
    """Where a claim may be asked, best first; a data set or a profile that is given is the only one."""
    where = [dataset] if dataset else list(dict.fromkeys([*([claim.data] if claim.data else []), ELSEWHERE]))
    profiles = ("full", "quick") if profile_name == "auto" else (profile_name,)
    if isinstance(claim.test, Number | Records):
        where = [each for each in where if each == claim.data]
    return [Place(*each, name) for name in profiles for each in where]


def needed(claims: Claims, dataset: tuple[str, str] | None = None, profile_name: str = "auto") -> set[Experiment]:
    """Every experiment that could answer one of the claims."""
    found: set[Experiment] = set()
    for claim in claims.claims:
        for place in places(claim, dataset, profile_name):
            for axis_name, name in _variants(claim):
                found |= set(wanted_of(axis_name, name, place))
    return found


def _variants(claim: Claim) -> list[tuple[str, str]]:
    test = claim.test
    if isinstance(test, Compares | Noise):
        return [(test.axis, name) for name in test.names]
    if isinstance(test, Bands):
        return [("stacking", name) for name in frequency_claim.NETWORKS]
    return [("three_datasets", name) for name in axis("three_datasets").variants] if isinstance(test, Records) else []


# -- the verdicts -------------------------------------------------------------------------------------------------------

def verdicts(claims: Claims, evidence: Evidence, dataset: tuple[str, str] | None = None, profile_name: str = "auto") -> list[Verdict]:
    """One verdict a claim, in their order."""
    chosen = {claim.id: _place(claim, evidence, places(claim, dataset, profile_name)) for claim in claims.claims}
    found = _differences(claims, evidence, chosen)
    return [_verdict(claim, chosen[claim.id], evidence, found, claims.margin) for claim in claims.claims]


def _place(claim: Claim, evidence: Evidence, among: Sequence[Place]) -> Place | None:
    """The first place that holds all that the claim needs; of a comparison, a seed that both sides share."""
    for place in among:
        groups = {name: evidence.group(axis_name, name, place) for axis_name, name in _variants(claim)}
        pairs = getattr(claim.test, "pairs", ())
        complete = all(set(groups[a]) & set(groups[b]) for a, b in pairs) and (bool(pairs) or all(groups.values()))
        if groups and (complete or isinstance(claim.test, Records) and any(groups.values())):
            return place
    return None


Pair = tuple[str, str, Place, str, str, str]      # source, axis, place, metric, first, second


def _differences(claims: Claims, evidence: Evidence, chosen: dict[str, Place | None]) -> dict[Pair, Difference]:
    """Every comparison that is asked for, once, corrected over those of one source on one axis at one place."""
    made: dict[Pair, tuple[np.ndarray, np.ndarray]] = {}
    for claim in claims.claims:
        test, place = claim.test, chosen[claim.id]
        for first, second in getattr(test, "pairs", ()) if place else ():
            pair = (claim.source, test.axis, place, test.metric, first, second)
            if pair not in made:
                made[pair] = evidence.difference(*(evidence.group(test.axis, name, place) for name in (first, second)), test.metric)
    corrected: dict[Pair, float] = {}
    for family in dict.fromkeys(pair[:3] for pair in made):
        own = [pair for pair in made if pair[:3] == family]
        corrected |= dict(zip(own, holm([difference_p_value(made[pair][1]) for pair in own]), strict=True))
    return {pair: _as_difference(points, draws, corrected[pair]) for pair, (points, draws) in made.items()}


def _as_difference(points: np.ndarray, draws: np.ndarray, p: float) -> Difference:
    return Difference(interval(float(points.mean()), draws), p, len(points), bool((points > 0).all() or (points < 0).all()))


def _verdict(claim: Claim, place: Place | None, evidence: Evidence, found: dict[Pair, Difference], margin: float) -> Verdict:
    test = claim.test
    if test is None:
        return Verdict(claim, NOT_COMPARABLE, claim.not_comparable)
    if isinstance(test, Counts):
        return _of_counts(claim, test)
    if place is None:
        return Verdict(claim, NOT_RUN, how_to_run(claim))
    if isinstance(test, Records):
        return _of_records(claim, test, place, evidence)
    if isinstance(test, Bands):
        return _of_bands(claim, place, evidence)
    if isinstance(test, Noise):
        return _of_noise(claim, test, place, evidence)
    if isinstance(test, Number):
        return _of_number(claim, test, place, evidence)
    differences = [found[claim.source, test.axis, place, test.metric, first, second] for first, second in test.pairs]
    word, why = judge_no_worse(differences, margin) if isinstance(test, NoWorse) else judge_better(differences)
    lines = [f"{_named(first)} − {_named(second)}: {tables.show_interval(each.interval, signed=True)}"
             for (first, second), each in zip(test.pairs, differences, strict=True)]
    return Verdict(claim, word, why, tuple(lines), place, min(each.n_seeds for each in differences))


def _named(name: str) -> str:
    return readable(name).replace(" ", " ")


def _of_counts(claim: Claim, test: Counts) -> Verdict:
    rows = counts_page.counts(test.rows)
    off = [f"{row.words}: {', '.join(row.ours)} here, {', '.join(row.printed)} printed" for row in rows if not row.equal]
    met = sum(a == b for row in rows for a, b in zip(row.printed, row.ours, strict=True))
    return Verdict(claim, NOT_MET if off else MET, "; ".join(off) or "to the last printed digit",
                   (f"{met} of {2 * len(rows)} printed figures are equal",))


def _of_records(claim: Claim, test: Records, place: Place, evidence: Evidence) -> Verdict:
    run = next(run for axis_name, name in _variants(claim) for run in evidence.group(axis_name, name, place).values())
    told, test_fold = printed()["dataset_counts"][test.dataset], run.result["scores"]["test"]
    here = dict(zip(test_fold["classes"], test_fold["positives"], strict=True))
    off = [f"{name} {here.get(name, 0)}, printed {n}" for name, n in zip(told["classes"], told["test"], strict=True) if here.get(name) != n]
    return Verdict(claim, NOT_MET if off else MET, "; ".join(off) or "class by class",
                   (f"{len(told['classes']) - len(off)} of {len(told['classes'])} counts are equal",), place)


def _of_number(claim: Claim, test: Number, place: Place, evidence: Evidence) -> Verdict:
    group = evidence.group(test.axis, test.variant, place)
    measured = evidence.measured(group, test.metric)
    lines = (f"{_named(test.variant)}: {tables.show_interval(measured)}",)
    if place.profile != "full":
        return Verdict(claim, NOT_RUN, f"the number is of a full network; {how_to_run(claim)}", lines, place, len(group))
    return Verdict(claim, *judge_number(measured, len(group), float(claim.reported[0][1])), lines, place, len(group))


def _of_bands(claim: Claim, place: Place, evidence: Evidence) -> Verdict:
    wanted = [each.to_json() for each in (CLEAN, *frequency_claim.PROBES)]
    page = axis("stacking").page
    groups: dict[str, list[Probed]] = {}
    for axis_name, name in _variants(claim):
        entries = [evidence.entry(run, page, wanted) for run in evidence.group(axis_name, name, place).values()]
        groups[name] = [entry for entry in entries if entry]
    found = frequency_claim.contrasts(frequency_claim.losses({name: group for name, group in groups.items() if group}))
    word = frequency_claim.verdict(found)
    lines = tuple(f"{_named(each.network)}: high {tables.show_interval(each.high, signed=True)}, low "
                  f"{tables.show_interval(each.low, signed=True)}" for each in found)
    why = "the networks are not probed yet" if word == "untested" else f"page 08's test: {word}"
    return Verdict(claim, BAND_WORDS[word], why, lines, place, frequency_claim.fewest_seeds(found) if found else 0)


def _of_noise(claim: Claim, test: Noise, place: Place, evidence: Evidence) -> Verdict:
    noise, page = Probe("noise", test.factor), axis(test.axis).page
    lost = {name: _lost(evidence, evidence.group(test.axis, name, place), page, noise) for name in test.names}
    seeds = sorted(set(lost[test.first]) & set(lost[test.other]))
    if not seeds:
        return Verdict(claim, NOT_RUN, "the ledger holds no probes of these runs; page 12 makes them where the weights are", (), place)
    gained = [lost[test.first][seed] - lost[test.other][seed] for seed in seeds]
    points, draws = np.array([each.estimate for each in gained]), np.mean([each.draws for each in gained], axis=0)
    found = _as_difference(points, draws, difference_p_value(draws))
    line = f"change in noise, {_named(test.first)} − {_named(test.other)}: {tables.show_interval(found.interval, signed=True)}"
    return Verdict(claim, *judge_better([found]), (line,), place, len(seeds))


def _lost(evidence: Evidence, group: dict[int, Run], page: str, noise: Probe) -> dict[int, Any]:
    """What noise changes in the validation score of each run that was probed, by seed."""
    entries = {str(seed): entry for seed, run in group.items()
               if (entry := evidence.entry(run, page, [CLEAN.to_json(), noise.to_json()]))}
    scores = probes.macro_auroc({seed: [entry] for seed, entry in entries.items()})
    return {int(seed): each[noise] - each[CLEAN] for seed, each in scores.items()}


def used(found: Sequence[Verdict], evidence: Evidence) -> dict[Experiment, str]:
    """The runs that the verdicts rest on, each with a name: its axis and its variant."""
    names: dict[Experiment, str] = {}
    for each in found:
        for axis_name, name in _variants(each.claim) if each.place else ():
            for run in evidence.group(axis_name, name, each.place).values():
                names.setdefault(run.experiment, f"{axis_name} {name}")
    return names


def how_to_run(claim: Claim) -> str:
    """The command that makes what is missing, at full size."""
    dataset, task = claim.data if isinstance(claim.test, Number | Records) and claim.data else ELSEWHERE
    plan = claim.test.axis if isinstance(claim.test, Compares | Noise) else _variants(claim)[0][0]
    return f"`python -m ecgstudy sweep {plan} --dataset {dataset} --task {task} --profile full` makes the runs"


def evidence_of(claims: Claims, dataset: tuple[str, str] | None = None, profile_name: str = "auto") -> Evidence:
    """What the ledger holds for these claims."""
    return Evidence(ledger.read_selected(needed(claims, dataset, profile_name)))


