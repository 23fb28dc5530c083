"""Page 08: do convolutions lean on high frequencies and attention on low ones? Bands are taken out of the input, and losses compared.

The test was fixed before any network was looked at. With loss(n, b) the macro-AUROC that network n loses without band b, the claim
says of the network of convolutions alone and of every network with attention

    high: loss(convolution) - loss(attention) > 0, mean over the high bands
    low:  loss(convolution) - loss(attention) < 0, mean over the low bands

and it holds only where both hold for every network with attention; all of them must, so there is nothing to correct for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ecgstudy.evaluate.bootstrap import Interval
from ecgstudy.study import figures, tables
from ecgstudy.study.comparison import FEWEST_SEEDS
from ecgstudy.study.names import readable
from ecgstudy.study.probed import Probed
from ecgstudy.study.probes import CLEAN, Probe, Score, macro_auroc
from ecgstudy.study.variants import axis

BANDS = ((0.5, 2.0), (2.0, 5.0), (5.0, 10.0), (10.0, 15.0), (15.0, 20.0), (20.0, 30.0), (30.0, 45.0))       # Hz
LOW_ENDS, HIGH_STARTS = 10.0, 15.0          # Hz; the band between them is drawn and not tested
CONVOLUTION = "inception_next"
ATTENDING = ("inception_former", "hilo_sa", "mhsa_linear")
NETWORKS = (CONVOLUTION, *ATTENDING)
PARTS = {"low": [i for i, (_, end) in enumerate(BANDS) if end <= LOW_ENDS],
         "high": [i for i, (start, _) in enumerate(BANDS) if start >= HIGH_STARTS]}


PROBES = tuple(Probe("band_stop", band) for band in BANDS)
Losses = dict[str, dict[int, list[Score]]]          # network -> seed -> macro-AUROC lost without each band, all on the same draws


def mark(network: str) -> tuple[str, str]:
    """Colour and marker of a network, those that it has in the page's other plots."""
    i = list(axis("stacking").variants).index(network)
    return to_hex(plt.get_cmap("tab10").colors[i]), figures.MARKS[i % len(figures.MARKS)]


def losses(groups: Mapping[str, Sequence[Probed]]) -> Losses:
    """What every probed run loses in each band: {network: {seed: [bands]}}."""
    runs = {f"{name} {entry.experiment.seed}": (name, entry) for name, group in groups.items() for entry in group}
    scores = macro_auroc({label: [entry] for label, (_, entry) in runs.items()})
    found: Losses = {}
    for label, (name, entry) in runs.items():
        found.setdefault(name, {})[entry.experiment.seed] = [scores[label][CLEAN] - scores[label][probe] for probe in PROBES]
    return found


def mean(scores: Sequence[Score]) -> Score:
    """Of scores on the same draws."""
    return Score(float(np.mean([each.estimate for each in scores])), np.mean([each.draws for each in scores], axis=0))


def by_band(of_network: Mapping[int, Sequence[Score]]) -> list[Interval]:
    """A network's loss in each band, mean over its seeds."""
    return [mean(band).interval for band in zip(*of_network.values(), strict=True)]


@dataclass(frozen=True)
class Contrast:
    """Loss of the convolutions minus loss of one network with attention, over the high bands, the low bands, and high minus low.

    by_seed: high and low of each seed; every seed must point the same way before patients decide.
    """

    network: str
    high: Interval
    low: Interval
    tilt: Interval
    by_seed: tuple[tuple[float, float], ...]

    @property
    def as_claimed(self) -> bool:
        """Both halves hold, over patients and in every seed."""
        return self.high.low > 0 and self.low.high < 0 and all(high > 0 > low for high, low in self.by_seed)

    @property
    def leans(self) -> int:
        """+1 where the convolutions lean on higher frequencies than this network does, -1 on lower ones, 0 where that is open."""
        up = self.tilt.low > 0 and all(high > low for high, low in self.by_seed)
        down = self.tilt.high < 0 and all(high < low for high, low in self.by_seed)
        return int(up) - int(down)


def contrast(network: str, convolution: Mapping[int, Sequence[Score]], attending: Mapping[int, Sequence[Score]]) -> Contrast:
    """On the seeds that both have, and on the same draws of patients."""
    seeds = sorted(set(convolution) & set(attending))
    parts = {part: [mean([convolution[seed][i] - attending[seed][i] for i in bands]) for seed in seeds] for part, bands in PARTS.items()}
    high, low = mean(parts["high"]), mean(parts["low"])
    by_seed = tuple((above.estimate, below.estimate) for above, below in zip(parts["high"], parts["low"], strict=True))
    return Contrast(network, high.interval, low.interval, (high - low).interval, by_seed)


def contrasts(found: Losses) -> list[Contrast]:
    """Of each network with attention that shares a seed with the convolutions; empty without the convolutions."""
    convolution = found.get(CONVOLUTION, {})
    return [contrast(name, convolution, found[name]) for name in ATTENDING if set(found.get(name, {})) & set(convolution)]


def verdict(found: Sequence[Contrast]) -> str:
    """supported, contradicted, undecided or untested, from the intervals and the seeds alone."""
    if {each.network for each in found} != set(ATTENDING):
        return "untested"
    if fewest_seeds(found) < FEWEST_SEEDS:
        return "undecided"
    if all(each.as_claimed for each in found):
        return "supported"
    return "contradicted" if all(each.leans < 0 for each in found) else "undecided"


def fewest_seeds(found: Sequence[Contrast]) -> int:
    return min(len(each.by_seed) for each in found)


def told(found: Sequence[Contrast]) -> str:
    """The verdict in words, as Markdown, with the numbers that it rests on."""
    head = f"**The claim about frequencies: {verdict(found)}.** "
    if not found:
        return head + (f"It takes the band-stop probes of `{CONVOLUTION}` and of the networks with attention, on shared seeds; they are "
                       "not at hand.")
    lines = [("against", "high bands", "low bands", "high − low"), ("---",) * 4]
    lines += [(f"`{each.network}`", *(tables.show_interval(part, signed=True) for part in (each.high, each.low, each.tilt)))
              for each in found]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{head}{_why(found)}\n\nMacro-AUROC that `{CONVOLUTION}` loses, less what the other loses:\n\n{table}"


def _why(found: Sequence[Contrast]) -> str:
    """What the test asked for, and what of it was met."""
    if absent := [name for name in ATTENDING if name not in {each.network for each in found}]:
        return f"The test asks for every network with attention; missing: {_names(absent)}."
    fewest = fewest_seeds(found)
    if fewest < FEWEST_SEEDS:
        return (f"With {fewest} seed{'s' * (fewest > 1)} a network the luck of a seed is not told apart from its design, so nothing is "
                "decided either way.")
    text = ("The test asks for a positive interval in the high bands *and* a negative one in the low bands, the same in every seed, "
            f"against all {len(found)}; met against: {_names(each.network for each in found if each.as_claimed)}.")
    for sign, word in ((1, "higher"), (-1, "lower")):
        if leaning := [each.network for each in found if each.leans == sign and not each.as_claimed]:
            text += f" High minus low alone says that the convolutions lean on {word} frequencies than {_names(leaning)}."
    return text


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def figure(found: Losses, title: str) -> Figure:
    """Left the loss in each band, right the contrasts that are tested; intervals over patients."""
    with plt.rc_context(figures.STYLE):
        made, (bands, tested) = plt.subplots(1, 2, figsize=(9.5, 4.6), layout="constrained", width_ratios=[1.75, 1])
        _draw_bands(bands, found)
        _draw_contrasts(tested, contrasts(found))
        if not found:
            bands.text(0.5, 0.5, "no probes at hand", transform=bands.transAxes, ha="center", color=figures.GREY)
        made.legend(*bands.get_legend_handles_labels(), loc="outside lower center", ncols=len(NETWORKS), fontsize=9)
        made.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figures.closed(made)


def _draw_bands(plot: Axes, found: Losses) -> None:
    for part in PARTS.values():
        plot.axvspan(part[0] - 0.5, part[-1] + 0.5, color="#f0f0f0", lw=0)
    plot.axhline(0, color=figures.GREY, lw=0.8)
    for i, name in enumerate(NETWORKS):
        if name not in found:
            continue
        (colour, marker), intervals = mark(name), by_band(found[name])
        places = np.arange(len(BANDS)) + 0.16 * (i - (len(NETWORKS) - 1) / 2)
        plot.vlines(places, [each.low for each in intervals], [each.high for each in intervals], color=colour, lw=1.5)
        plot.plot(places, [each.estimate for each in intervals], marker, color=colour, ms=6, label=readable(name))
    plot.set_xticks(range(len(BANDS)), [f"{low:g}–{high:g}" for low, high in BANDS])
    plot.set(xlabel="band taken out (Hz)", ylabel="macro-AUROC lost", xlim=(-0.5, len(BANDS) - 0.5), title="What each network loses")


def _draw_contrasts(plot: Axes, found: Sequence[Contrast]) -> None:
    plot.axvline(0, color=figures.GREY, lw=0.8)
    for row, part in enumerate(("high", "low", "tilt")):
        for each in found:
            (colour, marker), measured = mark(each.network), getattr(each, part)
            place = row + 0.2 * (ATTENDING.index(each.network) - (len(ATTENDING) - 1) / 2)
            plot.hlines(place, measured.low, measured.high, color=colour, lw=1.5)
            plot.plot(measured.estimate, place, marker, color=colour, ms=6)
    plot.locator_params(axis="x", nbins=5)
    plot.set_yticks(range(3), ["high bands\n(claim: > 0)", "low bands\n(claim: < 0)", "high − low"])
    plot.set(ylim=(2.6, -0.6), xlabel="macro-AUROC, convolutions − other", title="The contrasts")
