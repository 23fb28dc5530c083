"""Page 10's question: does the attention that places receive gather on the premature beat, more than amplitude and more than untrained?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from ecgstudy.evaluate.bootstrap import Interval, difference_p_value, holm, interval, patient_weights
from ecgstudy.explain import localisation
from ecgstudy.explain.attention import to_samples, to_tokens
from ecgstudy.study import tables
from ecgstudy.study.attention_ludb import Recordings
from ecgstudy.study.attention_page import MAPS, Observed, Page
from ecgstudy.study.attention_records import Bed
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.comparison import SIGNIFICANT

DRAWS = 2000
RIVALS = {"amplitude": "|x|", "fresh": "fresh weights", "another": "another record's map"}

SAID = {"amplitude": "|x|", "fresh": "the same network with fresh weights", "another": "the map of another record"}
WORDS = {"more": "more on the beat with", "less": "less on it with", "undecided": "not told apart with"}


@dataclass(frozen=True, eq=False)
class Scored:
    """One curve's score on each record, and those of what it must beat: each [R].

    of: {"shown", "fresh", "another", "amplitude", "ceiling"}: the network, the same untrained, the network's curve of another record, |x|
    and the truth, these two at the resolution of the curve's tokens. "fresh" is absent where the network shown is fresh.
    """

    of: dict[str, np.ndarray]

    @cached_property
    def draws(self) -> dict[str, np.ndarray]:
        """Bootstrap means over records, on the same draws: {whose: [draws]}. Records without a score are left out."""
        there = ~np.isnan(np.stack(list(self.of.values()))).any(axis=0)
        weights = patient_weights(np.arange(there.sum()), DRAWS, np.random.default_rng(0)) / there.sum()
        return {whose: weights @ values[there] for whose, values in self.of.items()}

    def mean(self, whose: str) -> Interval:
        return interval(float(np.nanmean(self.of[whose])), self.draws[whose])

    def gain(self, over: str) -> Interval:
        """The network's mean less a rival's, on the same records."""
        return interval(float(np.nanmean(self.of["shown"] - self.of[over])), self.draws["shown"] - self.draws[over])


def scored(bed: Bed, curve: tuple[np.ndarray, float], fresh: tuple[np.ndarray, float] | None, score) -> Scored:
    """Score one map of a network and its rivals on the samples of a bed. score: `localisation.auroc` or `pointing`."""
    values, step = curve
    fs, n_samples, n_tokens = SIGNAL.fs, bed.inside.shape[1], values.shape[1]

    def at_samples(tokens: np.ndarray) -> np.ndarray:
        return score(to_samples(tokens, step, fs, n_samples), bed.inside, fs)

    of = {"shown": at_samples(values)} | ({"fresh": at_samples(fresh[0])} if fresh else {})
    return Scored(of | {"another": at_samples(localisation.of_another(values)),
                        "amplitude": at_samples(to_tokens(bed.amplitude, step, fs, n_tokens)),
                        "ceiling": score(localisation.best_at(bed.inside, step, fs, n_tokens), bed.inside, fs)})


@dataclass(frozen=True, eq=False)
class Question:
    """All scores of the page: {(network, label, map): score}."""

    page: Page
    auroc: dict[tuple[str, str, str], Scored]
    pointing: dict[tuple[str, str, str], Scored]
    recognised: dict[tuple[str, str], float]

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.page.networks]

    @property
    def labels(self) -> list[str]:
        return [each.label for each in self.page.beds]

    @property
    def told(self) -> list[str]:
        """The networks that the reading is about: the trained ones, where there are any."""
        trained = [each.name for each in self.page.networks if each.untrained is not None]
        return trained or self.names

    @cached_property
    def verdicts(self) -> dict[tuple[str, str, str], str]:
        """(network, label, rival) -> "more", "less" or "undecided", of the page's own map, after Holm over all of them."""
        asked = {(name, label, rival): self.auroc[name, label, MAPS[0]] for name in self.told for label in self.labels for rival in RIVALS
                 if rival in self.auroc[name, label, MAPS[0]].of}
        p_values = holm([difference_p_value(found.draws["shown"] - found.draws[rival]) for (_, _, rival), found in asked.items()])
        return {key: "undecided" if not p < SIGNIFICANT else "more" if found.gain(key[2]).estimate > 0 else "less"
                for (key, found), p in zip(asked.items(), p_values, strict=True)}

    def table(self) -> Styler:
        """A line for each label and network: the page's map against its rivals, and the other maps."""
        lines = []
        for label in self.labels:
            for each in self.page.networks:
                name = each.name
                own, hits = self.auroc[name, label, MAPS[0]], self.pointing[name, label, MAPS[0]]
                line = {("", "label"): label, ("", "attention"): self.page.called(each),
                        ("", "recognised"): "–" if np.isnan(self.recognised[name, label]) else f"{self.recognised[name, label]:.0%}",
                        ("last layer", "AUROC"): tables.show_interval(own.mean("shown"), joint="<br>")}
                for rival, told in RIVALS.items():
                    gain = tables.show_interval(own.gain(rival), True, "<br>") if rival in own.of else "–"
                    line["last layer, AUROC less that of", told] = gain
                line["last layer", "pointing"] = tables.show(hits.mean("shown").estimate, 2)
                line |= {("AUROC of", other): tables.show_interval(self.auroc[name, label, other].mean("shown"), joint="<br>")
                         for other in MAPS[1:]}
                lines.append(line)
        table = pd.DataFrame(lines)
        table.columns = pd.MultiIndex.from_tuples(table.columns)
        return tables.style(table, "Simulated records with this label alone. [95 % interval over records, paired.] AUROC: the chance that "
                                   "a sample inside a premature beat stands higher than one outside. Pointing: how often the highest "
                                   f"sample lies in such a beat. {' '.join(self._bounds(bed) for bed in self.page.beds)} Recognised: "
                                   "records that the network gives the label." + " *: fresh weights." * self.page.mixed)

    def _bounds(self, bed: Bed) -> str:
        """What the last layer's resolution allows on a bed, and what needs no network."""
        name = self.names[0]
        auroc, pointing = (found[name, bed.label, MAPS[0]] for found in (self.auroc, self.pointing))
        chance = localisation.chance_of_pointing(bed.inside, SIGNAL.fs).mean()
        return (f"{bed.label}: |x| scores {tables.show(auroc.mean('amplitude').estimate)} and points right in "
                f"{tables.show(pointing.mean('amplitude').estimate, 2)} of the records, chance in {tables.show(chance, 2)}; the ceiling of "
                f"the AUROC is {tables.show(auroc.mean('ceiling').estimate)}.")

    def reading(self, recordings: Recordings | None = None) -> str:
        """What heads and scores say, on recordings too where they were measured, and what they cannot, as Markdown."""
        told = [recordings.reading()] if recordings else []
        return "\n\n".join([heads_in_words(self.page), *(self._told(label) for label in self.labels), *told, self._limits()])

    def _limits(self) -> str:
        n = len(next(iter(self.auroc.values())).of["shown"])
        foreign = self.page.request.dataset != "synthetic"
        strange = foreign * f", and networks trained on {self.page.request.dataset} have never met such records"
        return (f"**What cannot be concluded.** One network of each type, from one seed: a difference between types may be one between "
                f"seeds. {n} simulated records of each label{strange}. A place that receives attention hands on what it holds, and behind "
                "convolutions and earlier attention that is more than what was recorded there: a high score shows where the network looks, "
                "not why it decides, and a low one does not show that the beat goes unused.")

    def _told(self, label: str) -> str:
        found = {name: self.auroc[name, label, MAPS[0]] for name in self.told}
        by_score = sorted(found, key=lambda name: found[name].mean("shown").estimate)
        low, high = by_score[0], by_score[-1]
        one = found[high]
        text = f"**{label}.** Attention received in the last layer scores {tables.show_interval(one.mean('shown'))} (`{high}`)"
        text += f" at most and {tables.show_interval(found[low].mean('shown'))} (`{low}`) at least" if high != low else ""
        text += (f"; 0.5 is chance, |x| scores {tables.show(one.mean('amplitude').estimate)}, and a map of this resolution can reach "
                 f"{tables.show(one.mean('ceiling').estimate)}.")
        for rival, said in SAID.items():
            if told := self._against(label, rival):
                text += f" Against {said}: {told}."
        if not any("fresh" in one.of for one in found.values()):
            text += " All networks here have fresh weights, so nothing is said about what training does."
        best = {name: max(self.told, key=lambda each: self.auroc[each, label, name].mean("shown").estimate) for name in MAPS[1:]}
        others = [f"{name} {tables.show_interval(self.auroc[best[name], label, name].mean('shown'))} (`{best[name]}`), against |x| "
                  f"{tables.show_interval(self.auroc[best[name], label, name].gain('amplitude'), True)}" for name in MAPS[1:]]
        return f"{text} The best of the other two maps: {'; '.join(others)}. They were not what was asked, so they get no verdict."

    def _against(self, label: str, rival: str) -> str:
        kinds = {kind: [f"`{name}`" for name in self.told if self.verdicts.get((name, label, rival)) == kind] for kind in WORDS}
        return "; ".join(f"{WORDS[kind]} {', '.join(names)}" for kind, names in kinds.items() if names)


def ask(page: Page) -> Question:
    """Score every network's maps on every bed."""
    auroc, pointing, recognised = {}, {}, {}
    for each in page.networks:
        for i, bed in enumerate(page.beds):
            own, fresh = page.observed[each.name, "shown"][i], page.observed.get((each.name, "fresh"), [None] * len(page.beds))[i]
            recognised[each.name, bed.label] = each.recognises(bed.simulation.signals, bed.label)
            for name in MAPS:
                for score, into in ((localisation.auroc, auroc), (localisation.pointing, pointing)):
                    into[each.name, bed.label, name] = scored(bed, own.curves[name], fresh and fresh.curves[name], score)
    return Question(page, auroc, pointing, recognised)


# -- how far heads look ------------------------------------------------------------------------------------------------

def heads_in_words(page: Page) -> str:
    """How far the heads look and how widely they spread, as Markdown, against an even spread over what each mechanism allows."""
    lines = []
    for each in page.networks:
        far, even, wide = _heads(page.observed[each.name, "shown"])
        text = f"`{each.name}`{', fresh weights' * (each.untrained is None)}: "
        text += f"{_from_to(far)} s, even {_from_to(even)} s; entropy {wide:.0%}"
        if (each.name, "fresh") in page.observed:
            far, _, wide = _heads(page.observed[each.name, "fresh"])
            text += f"; before training {_from_to(far)} s and {wide:.0%}"
        lines.append(f"- {text}")
    told = ("**Heads.** How far the nearest and the farthest head of each network look, mean over the scored records; how far an even "
            "spread over what they can see would look; and their mean entropy, as a share of that of an even spread over the record:")
    return "\n".join([told, "", *lines])


def _from_to(seconds: np.ndarray) -> str:
    low, high = (tables.show(value, 2) for value in (np.nanmin(seconds), np.nanmax(seconds)))
    return low if low == high else f"{low} to {high}"


def _heads(found: list[Observed]) -> tuple[np.ndarray, np.ndarray, float]:
    """Distances of all heads of all layers, mean over records; those of an even spread over what each sees; the mean entropy's share."""
    far = np.mean([np.concatenate([each.mean(axis=0) for each in one.distance]) for one in found], axis=0)
    return far, np.concatenate(found[0].even), float(np.mean([np.nanmean(np.concatenate(one.spread, axis=1)) for one in found]))
