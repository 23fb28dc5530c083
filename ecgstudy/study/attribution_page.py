"""Page 11, attribution: what maps of a network's evidence are worth, measured where the evidence is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from ecgstudy.data.labels import CPSC_CLASSES
from ecgstudy.errors import require_known
from ecgstudy.evaluate.bootstrap import patient_weights
from ecgstudy.explain.attribution import BASELINES, CAMS, METHODS
from ecgstudy.progress import progress
from ecgstudy.study import attribution_ludb, chosen, tables
from ecgstudy.study.attribution_bed import (
    ABNORMAL,
    CASCADE,
    COARSEST,
    NETWORKS,
    TITLES,
    Bed,
    Network,
    Scored,
    ask,
    make_bed,
    networks,
    score_maps,
)
from ecgstudy.study.names import readable
from ecgstudy.study.probes import Score
from ecgstudy.study.request import Request, read_request

PAGE = "11_grad_cam"
REPLICATES = 1000
FEWEST = 5              # records of a class, before a gain is called
UNLIKE = 0.5            # rank correlation with the map of new weights, below which a map is said to depend on what was learned
NETWORKS_TOLD = (
    "Right: abnormal records whose own class is ranked first; only these are scored. Falls: the class whose logit falls least, and most, "
    "when its evidence is taken out of all its records.")
CLASSES_TOLD = (
    "PAC, PVC: pointing. I-AVB, blocks, ST: pointing on the folded beat. AF: rank correlation with the change when the f-waves are taken "
    "out. [95 % interval over records.] Bold: above |x|, above the same method on new weights and above chance. Below five "
    "records no interval is given.")
CHECKS_TOLD = (
    "Fitting score: mean over the classes of the table above for which the method has one; gains are on the same classes. Likeness: rank "
    "correlation with the map of the same network whose last layers have new weights; a dash where that map is constant or was not made. "
    "On the spike: largest values that go to a spike without meaning, on premature beats. Low PVCs: pointing on PVCs made lower than the "
    "other beats. Normal: how strong the map of an abnormal class is on a normal record, 1 being as strong as on its own records. "
    "Survives: both gains and the one over chance "
    "are above zero, and the likeness at 100 % is below 0.5; a dash for networks that were not trained.")
PLACES_TOLD = (
    "IoU at the area of the evidence, and the best that whole cells of this size can reach. Ends: the outer 0.4 s, 0.08 of the record, "
    "left out of all other scores. Leads: energy in the leads that show the class; a dash where a method cannot tell leads apart. A "
    "faithful map has a small area under deletion and a large one under insertion.")
CONCLUDED = (
    "**What can be concluded.** These are simulated records and one trained network each. A map that fails here fails to show where "
    "simulated evidence lies, by networks that may also use something else; a map that passes is not thereby right on recordings.")


def ask_page(namespace: Mapping[str, Any]) -> Request:
    """The page's parameters, checked; `namespace` is the notebook's globals()."""
    return read_request(namespace, PAGE, {"networks": tuple(NETWORKS), "methods": METHODS})


@dataclass(frozen=True, eq=False)
class Study:
    """The page's networks on its bed. real: the data set whose recordings are looked at; empty: none."""

    request: Request
    bed: Bed
    scored: list[Scored]
    real: str = ""

    @cached_property
    def readers(self) -> list[Network]:
        """The networks for recordings: those of the page that were trained on some and ship, or where none does, those of the page."""
        asked = self.request
        shipped = [name for name in asked.axes["networks"] if f"{name}_{self.real}" in chosen.names()]
        if asked.size.name == "smoke" or self.real in ("", asked.dataset) or not shipped:
            return [each.asked.network for each in self.scored]
        return networks(shipped, self.real, "", asked.size)

    @cached_property
    def table(self) -> pd.DataFrame:
        """All scores, one row a network, method, weights and record."""
        found = [each.table for each in self.scored if len(each.table)]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame()

    @property
    def names(self) -> list[str]:
        """The networks that are right on at least one abnormal record."""
        return [each.asked.network.name for each in self.scored if len(each.table)]

    def methods(self, network: str) -> list[str]:
        """The methods that apply to a network, in the order of the page."""
        own = set(self.table.loc[self.table["network"] == network, "method"])
        return [method for method in METHODS if method in own]

    def values(self, network: str, method: str, column: str, weights: str = "trained") -> pd.DataFrame:
        """One score of one method on every record of a network: columns label, record, value; no rows where it does not exist."""
        own = self.table[(self.table["network"] == network) & (self.table["method"] == method) & (self.table["weights"] == weights)]
        return own[["label", "record"]].assign(value=own[column] if column in own else np.nan).dropna()

    def score(self, network: str, method: str, column: str, weights: str = "trained", labels: Sequence[str] = ABNORMAL) -> Score:
        """The mean over classes, those of `labels` that have a value, of the mean over records, with its bootstrap draws over records.

        All scores of one network are on the same draws, so that they subtract. NaN where there is nothing to average.
        """
        found = self.values(network, method, column, weights)
        estimates, draws = [], []
        for name in [each for each in labels if (found["label"] == each).any()]:
            values = found.loc[found["label"] == name, "value"].to_numpy(float)
            weight = patient_weights(np.arange(len(values)), REPLICATES, np.random.default_rng([len(values), ABNORMAL.index(name)]))
            estimates.append(values.mean())
            draws.append(weight @ values / len(values))
        if not estimates:
            return Score(float("nan"), np.full(REPLICATES, np.nan))
        return Score(float(np.mean(estimates)), np.mean(draws, axis=0))

    def gain(self, network: str, method: str, over: str = "magnitude", labels: Sequence[str] = ABNORMAL) -> Score:
        """The fitting score of a method less that of |x|, of the same method on new weights (over "anew") or of chance (over "chance"),
        on the classes for which the method has one."""
        own = set(self.values(network, method, "asked")["label"])
        labels = [label for label in labels if label in own]
        others = {"anew": (method, "asked", "anew"), "chance": (method, "asked_chance", "trained")}
        other = self.score(network, *others.get(over, (over, "asked", "trained")), labels=labels)
        return self.score(network, method, "asked", labels=labels) - other

    def beats(self, network: str, method: str, labels: Sequence[str] = ABNORMAL) -> bool | None:
        """Whether a map's fitting score is above |x|, above the same method on new weights and above chance, each with the lower end of
        its 95 % interval; None with fewer than FEWEST records, where an interval means nothing."""
        if self._count(network, method, labels) < FEWEST:
            return None
        lows = [self.gain(network, method, over, labels).interval.low for over in ("magnitude", "anew", "chance")]
        return None if np.isnan(lows).any() else min(lows) > 0

    def survives(self, network: str, method: str) -> bool | None:
        """Whether a trained network's map passes the checks: `beats`, and unlike the map of new weights. None where that is open."""
        trained = next(each.asked.network.trained for each in self.scored if each.asked.network.name == network)
        beats = self.beats(network, method)
        alike = self.score(network, method, "correlation_1").estimate
        return beats and not alike >= UNLIKE if trained else None

    def _count(self, network: str, method: str, labels: Sequence[str] = ABNORMAL) -> int:
        """Records on which a method has a fitting score."""
        return int(self.values(network, method, "asked")["label"].isin(labels).sum())

    # -- tables -----------------------------------------------------------------------------------------------------------

    def network_table(self) -> Styler:
        """Whose weights each network has, and on how many records it is right."""
        lines = []
        for each in self.scored:
            target, correct = each.asked.bed.target, each.asked.correct
            abnormal = int((target != 0).sum())
            fall = {label: each.asked.fall[target == k].mean() for k, label in enumerate(CPSC_CLASSES) if label in ABNORMAL}
            least = min(fall, key=fall.get)
            lines.append({"network": each.asked.network.name, "weights": each.asked.network.told, "right": f"{len(correct)} of {abnormal}",
                          "falls least": f"{least} ({tables.show(fall[least], 1, signed=True)})",
                          "falls most": f"{max(fall, key=fall.get)} ({tables.show(max(fall.values()), 1)})",
                          "not applicable": ", ".join(TITLES[name] for name in each.refused) or "–"})
        return tables.style(pd.DataFrame(lines), NETWORKS_TOLD)

    def class_table(self) -> Styler:
        """The score that fits each class, by network and method, with 95 % intervals; bold where it beats |x| and new weights."""
        lines = []
        for network in self.names:
            own = self.table[(self.table["network"] == network) & (self.table["weights"] == "trained")]
            for i, method in enumerate(each for each in self.methods(network) if self._placed(network, each)):
                line = {"network": network if i == 0 else "", "method": TITLES[method]}
                for label in ABNORMAL:
                    line[label] = self._cell(network, method, label)
                lines.append(line)
            counted = own[own["method"] == "magnitude"] if "magnitude" in set(own["method"]) else own.drop_duplicates("record")
            chance = {label: group for label, group in counted.groupby("label")}
            lines.append({"network": "", "method": "<i>chance (records)</i>"} | {
                label: f"<i>{tables.show(chance[label]['asked_chance'].mean(), 2)} ({len(chance[label])})</i>" if label in chance else
                "<i>– (0)</i>" for label in ABNORMAL})
        return tables.style(pd.DataFrame(lines), f"{self._which()} {CLASSES_TOLD}")

    def _cell(self, network: str, method: str, label: str) -> str:
        found = self.score(network, method, "asked", labels=[label])
        if np.isnan(found.estimate):
            return "–"
        if self._count(network, method, [label]) < FEWEST:
            return tables.show(found.estimate, 2)
        shown = _short(found)
        beaten = method not in BASELINES and self.beats(network, method, [label])
        return f"<b>{shown}</b>" if beaten else shown

    def _placed(self, network: str, method: str) -> bool:
        return self._count(network, method) > 0

    def check_table(self) -> Styler:
        """The sanity checks of every method on every network."""
        lines = []
        for network in self.names:
            for method in (each for each in self.methods(network) if self._placed(network, each)):
                own = method not in BASELINES
                line = {("", "network"): network, ("", "method"): TITLES[method],
                        ("fitting score", "trained"): _short(self.score(network, method, "asked")),
                        ("fitting score", "chance"): tables.show(self.score(network, method, "asked_chance").estimate, 2),
                        ("fitting score", "new weights"): _short(self.score(network, method, "asked", "anew")) if own else "–",
                        ("gain", "over |x|"): _short(self.gain(network, method), True) if method != "magnitude" else "–",
                        ("gain", "over new weights"): _short(self.gain(network, method, "anew"), True) if own else "–"}
                for share in CASCADE:
                    found = self.score(network, method, f"correlation_{share:g}").estimate
                    line["likeness, layers anew", f"{100 * share:g} %"] = tables.show(found, 2)
                for column, told in (("decoy", "on the spike"), ("lowered", "low PVCs"), ("normal", "normal")):
                    line["controls", told] = tables.show(self.score(network, method, column).estimate, 2)
                line["", "survives"] = {True: "yes", False: "no", None: "–"}[self.survives(network, method)] if own else "–"
                lines.append(line)
        return _headed(lines, f"{self._which()} {CHECKS_TOLD}")

    def place_table(self) -> Styler:
        """How well each method finds time and leads, and what the network says when the marked parts are gone."""
        lines = []
        for network in self.names:
            for method in self.methods(network):
                def shown(column: str, network: str = network, method: str = method) -> str:
                    return tables.show(self.score(network, method, column).estimate, 2)

                cell = self.table.loc[(self.table["network"] == network) & (self.table["method"] == method), "resolution"].iloc[0]
                lines.append({("", "network"): network, ("", "method"): TITLES[method], ("", "a value every"): f"{cell:.2g} s",
                              ("time", "IoU (ceiling)"): f"{shown('iou')} ({shown('ceiling')})",
                              ("time", "energy (chance)"): f"{shown('energy')} ({shown('energy_chance')})",
                              ("time", "average precision"): shown("precision"), ("time", "maxima at the ends"): shown("edge"),
                              ("leads", "energy (chance)"): f"{shown('lead')} ({shown('lead_chance')})",
                              ("area under", "deletion"): shown("deletion"), ("area under", "insertion"): shown("insertion")})
        return _headed(lines, f"{self._which()} {PLACES_TOLD}")

    def _which(self) -> str:
        return f"Simulated records, {self.request.size.name} profile; networks of {self.request.dataset}."

    # -- words ------------------------------------------------------------------------------------------------------------

    def refusals(self) -> str:
        """What does not apply, with the reason, as Markdown."""
        told = [f"- {each.asked.network.name}, {TITLES[method]}: {why}" for each in self.scored for method, why in each.refused.items()]
        for network in self.names:
            own = self.table[(self.table["network"] == network) & self.table["method"].isin(CAMS)]
            if len(own) and own["resolution"].iloc[0] > COARSEST:
                told.append(f"- {network}, class activation maps: a value every {own['resolution'].iloc[0]:.2g} s cannot say when; the "
                            "tables below show what that is worth.")
        return "**What is not given.**\n\n" + "\n".join(told) if told else ""

    def reading(self) -> str:
        """What the tables allow one to say, as Markdown."""
        if not self.names:
            return "**Nothing is scored.** No network of this page ranks the own class first on any abnormal record."
        parts = [self._told(network) for network in self.names]
        if untrained := [each.asked.network.name for each in self.scored if not each.asked.network.trained]:
            parts.append(f"**Fresh weights.** What the tables say of {_list(untrained)}, which learned nothing, shows that the page works, "
                         "and no more.")
        parts.append(CONCLUDED)
        return "\n\n".join(parts)

    def _told(self, network: str) -> str:
        asked = [method for method in self.methods(network) if method not in BASELINES and self._placed(network, method)]
        falls = self.table[self.table["network"] == network].groupby("label")["fall"].mean()
        unused = [label for label in ABNORMAL if falls.get(label, 1.0) <= 0]
        verdicts = {method: self.survives(network, method) for method in asked}
        passed = [TITLES[method] for method, verdict in verdicts.items() if verdict]
        failed = [TITLES[method] for method, verdict in verdicts.items() if verdict is False]
        text = f"**{network}.** "
        text += f"The checks are passed by {_list(passed)}. " if passed else "No method passes the checks. " if failed else ""
        text += f"They are not passed by {_list(failed)}. " if passed and failed else ""
        if failed or passed:
            best = max(asked, key=lambda method: self.score(network, method, "asked").estimate)
            gain = self.gain(network, best).interval
            highest = tables.show(self.score(network, best, "asked").estimate, 2)
            text += (f"The highest fitting score has {TITLES[best]}, {highest}; over |x| that is {tables.show(gain.estimate, 2, True)} "
                     f"[{tables.show(gain.low, 2, True)}, {tables.show(gain.high, 2, True)}]. ")
        if unused and (failed or passed):
            text += (f"Taking the marked evidence out does not lower its logit of {_list(unused)}: there the network is right for another "
                     "reason, and a map that does not mark that evidence is not wrong. ")
        drawn = [method for method in CAMS if method in verdicts]
        if len(drawn) == 2:
            apart = np.abs(np.subtract(*(self.values(network, method, "precision")["value"].to_numpy() for method in drawn))).max()
            text += ("Grad-CAM and HiResCAM are one map here, as behind a mean they must be. " if apart < 1e-6 else
                     "Grad-CAM and HiResCAM differ here: its head does more than take a mean. ")
        if verdicts.get("grad_cam") is not None and network == readable("im_ecg"):
            told = "survives" if verdicts["grad_cam"] else "does not survive"
            text += f"The picture that this paper draws, Grad-CAM by lead, {told} the checks here. "
        return text.strip()


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _short(found: Score, signed: bool = False) -> str:
    interval = found.interval
    return (f"{tables.show(interval.estimate, 2, signed)}<br>[{tables.show(interval.low, 2, signed)}, "
            f"{tables.show(interval.high, 2, signed)}]")


def _headed(lines: list[dict[tuple[str, str], str]], caption: str) -> Styler:
    table = pd.DataFrame(lines)
    if lines:
        table.columns = pd.MultiIndex.from_tuples(table.columns)
    return tables.style(table, caption)


def study(request: Request, real: str = "") -> Study:
    """Ask every network of the page about every record of its list. real: the data set whose recordings are looked at beside."""
    require_known("real", real, ("", "ptbxl"))
    bed = make_bed(request.size)
    found = networks(request.axes["networks"], request.dataset, request.task, request.size)
    scored = [score_maps(ask(network, bed), request.axes["methods"]) for network in progress(found, desc="maps", unit="network")]
    return Study(request, bed, scored, real)


def on_recordings(found: Study) -> Styler | str:
    """The table of LUDB, or where it is not on this machine a sentence that says so."""
    folder = attribution_ludb.source()
    if folder is None:
        return attribution_ludb.ABSENT
    methods = [method for method in attribution_ludb.METHODS if method in found.request.axes["methods"]]
    return attribution_ludb.table(attribution_ludb.measure(found.readers, folder, methods))
