"""Page 07, size and tokens: what the trained base loses, and saves, when tokens or heads of its last stage are deleted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from ecgstudy.evaluate.bootstrap import Interval
from ecgstudy.models import build_model
from ecgstudy.study import figures, probes, size_figures, tables
from ecgstudy.study.axis_page import SIGNAL, AxisPage, Comparison, save_picture
from ecgstudy.study.complexity import latency, macs
from ecgstudy.study.probes import CLEAN, Probe, Score
from ecgstudy.train.seeds import scoped_seed

PARTS = {"tokens": "keep_tokens", "heads": "keep_heads"}        # and the setting that keeps a share of them
SHARES = {"tokens": (0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05), "heads": (0.75, 0.5, 0.25)}
FEW_SHARES = {"tokens": (0.5, 0.1), "heads": (0.5,)}            # in smoke
HALF = 0.5                                                      # the share that the reading takes as its example; in both lists
DRAWS = (0, 1, 2)                                               # of the random control
TRAINED = {"tokens_50": ("tokens", 0.5), "tokens_25": ("tokens", 0.25), "heads_50": ("heads", 0.5)}


def trade_off(found: Comparison) -> Figure:
    """Score against cost of every variant; also kept as the page's picture."""
    drawn = figures.trade_off(found.rows, found.page.costs(), tables.describe_data(found.outcome.finished[0]))
    save_picture(drawn, found.page.request)
    return figures.closed(drawn)


@dataclass(frozen=True)
class Cut:
    """One share of one part of the last stage: what is left of the score, by importance and by chance, and of the cost.

    importance, draws: validation macro-AUROC, that of each random draw; None and () where nothing was measured. macs, time: of the
    whole network, over those of the network without a cut.
    """

    part: str
    share: float
    importance: Score | None
    draws: tuple[Score, ...]
    macs: float
    time: float

    @property
    def chance(self) -> Score:
        """The mean over the draws."""
        return Score(float(np.mean([each.estimate for each in self.draws])), np.mean([each.draws for each in self.draws], axis=0))

    @property
    def gained(self) -> Interval:
        """By importance minus by chance, paired."""
        return (self.importance - self.chance).interval

    @property
    def apart(self) -> bool:
        """Whether the two can be told apart: the interval over patients leaves zero out, and every draw lies on the same side."""
        sides = {self.importance.estimate > each.estimate for each in self.draws}
        return not _holds_zero(self.gained) and sides == {self.gained.estimate > 0}


@dataclass(frozen=True)
class Deletion:
    """The trained base under every cut.

    clean: its score without a cut, None where neither weights nor stored probes are at hand. trained: validation macro-AUROC of the
    variants that were trained with deletion, {(part, share): mean over seeds}. stage_share: the last stage's part of the network's
    MACs. gaps: what could not be measured, as Markdown.
    """

    clean: Score | None
    cuts: tuple[Cut, ...]
    trained: dict[tuple[str, float], float]
    stage_share: float
    n_seeds: int
    gaps: str

    def of(self, part: str) -> list[Cut]:
        """The cuts of one part, the largest share first."""
        return [cut for cut in self.cuts if cut.part == part]

    def figure(self) -> Figure:
        return figures.closed(size_figures.deletion(self))

    def reading(self) -> str:
        """How far deletion goes unnoticed, whether its criterion beats chance, and whether it saves anything, from these numbers."""
        measured = [self._loss(), self._against_chance()] if self.clean else []
        return "\n\n".join(part for part in (*measured, self._saving(), self.gaps) if part)

    def _loss(self) -> str:
        told = []
        for part in PARTS:
            cuts = self.of(part)
            unseen = [cut.share for cut in cuts if _holds_zero((cut.importance - self.clean).interval)]
            last = cuts[-1].importance - self.clean
            told.append((f"For {part} the change's interval holds zero down to {percent(min(unseen))}" if unseen else
                         f"For {part} the change's interval leaves zero out at every share tried")
                        + f"; at {percent(cuts[-1].share)} the change is {tables.show_interval(last.interval, signed=True)}.")
        return (f"**What deletion costs the trained base.** Uncut it scores {tables.show_interval(self.clean.interval)} on the validation "
                f"fold ({self.n_seeds} seed{'s' * (self.n_seeds > 1)}). {' '.join(told)} An interval that holds zero does not show that "
                "nothing is lost; it shows that these patients cannot tell.")

    def _against_chance(self) -> str:
        told = []
        for part in PARTS:
            apart = [cut for cut in self.of(part) if cut.apart]
            sides = [f"importance scores {side} at {', '.join(shares)}" for side, shares in (
                ("higher", [percent(cut.share) for cut in apart if cut.gained.estimate > 0]),
                ("lower", [percent(cut.share) for cut in apart if cut.gained.estimate < 0])) if shares]
            widest = max(self.of(part), key=lambda cut: abs(cut.gained.estimate))
            told.append(f"For {part} {', '.join(sides) or 'the two cannot be told apart at any share'}; the widest gap is "
                        f"{tables.show_interval(widest.gained, signed=True)}, at {percent(widest.share)}.")
        return (f"**Importance against chance.** The control deletes as many at random, in {len(DRAWS)} draws that are the same for all "
                f"records. {' '.join(told)} Told apart means: the interval of the difference to the mean draw leaves zero out, and every "
                "draw lies on the same side. Each share stands for itself, without a correction for their number.")

    def _saving(self) -> str:
        half, heads = (next(cut for cut in self.of(part) if cut.share == HALF) for part in PARTS)
        least = self.of("tokens")[-1]
        return (f"**Is deletion a saving here?** The last stage does {percent(self.stage_share)} of this network's MACs, and its first "
                f"block always runs whole. {_left(half)}; {_left(least)}. {_left(heads)}: only the products inside attention shrink, for "
                "the maps to queries, keys, values and back are computed for all heads. Time is that of one record and one thread on the "
                "machine that made this page. It need not follow the MACs: the importance asks for attention weights, which the fused "
                "attention of the uncut network never writes down.")


def percent(share: float) -> str:
    """A share as a person reads it.

    >>> percent(0.35), percent(1.0)
    ('35 %', '100 %')
    """
    return f"{100 * share:.0f} %"


def _left(cut: Cut) -> str:
    return f"{percent(cut.share)} of the {cut.part} leave {percent(cut.macs)} of the MACs and {percent(cut.time)} of the time"


def _holds_zero(found: Interval) -> bool:
    return found.low <= 0 <= found.high


def settings(part: str, share: float, draw: int | None = None) -> dict[str, float | int]:
    """What the builder is asked for: a share of a part kept by importance, or by the draw of that number."""
    return {PARTS[part]: share} | ({} if draw is None else {"keep_draw": draw})


def measure_deletion(found: Comparison) -> Deletion:
    """Every run of the base under every cut and its control, on the validation fold; costs measured now on this machine."""
    base = replace(found, rows=[row for row in found.rows if row.value == found.page.axis.baseline])
    shares = FEW_SHARES if found.page.request.size.name == "smoke" else SHARES
    asked = [(part, share) for part in PARTS for share in shares[part]]
    probing = probes.probe_all(base, [Probe("settings", settings(*cut, draw)) for cut in asked for draw in (None, *DRAWS)])
    group = next(iter(probing.groups.values()), [])
    scores = next(iter(probes.macro_auroc(probing.groups).values()), None)
    costs = relative_costs(found.page, asked)
    cuts = [Cut(*cut, *(by_importance_and_draws(scores, *cut) if scores else (None, ())), *costs[cut]) for cut in asked]
    trained = {TRAINED[row.value]: float(np.mean([run.result["scores"]["validation"]["macro_auroc"] for run in row.runs]))
               for row in found.rows if row.value in TRAINED}
    return Deletion(scores[CLEAN] if scores else None, tuple(cuts), trained, last_stage_share(found.page), len(group), probing.gaps())


def by_importance_and_draws(scores: dict[Probe, Score], part: str, share: float) -> tuple[Score, tuple[Score, ...]]:
    """The score of a cut, and of each of its draws."""
    by_importance, *draws = (scores[Probe("settings", settings(part, share, draw))] for draw in (None, *DRAWS))
    return by_importance, tuple(draws)


def relative_costs(page: AxisPage, cuts: list[tuple[str, float]]) -> dict[tuple[str, float], tuple[float, float]]:
    """MACs and time of the page's base under each cut, over those without one."""
    repeats = 3 if page.request.size.name == "smoke" else 20
    whole = fresh(page, "base")
    all_macs, all_time = macs(whole, SIGNAL), latency(whole, SIGNAL, repeats=repeats)
    found = {}
    for cut in cuts:
        model = fresh(page, "base", **settings(*cut))
        found[cut] = (macs(model, SIGNAL) / all_macs, latency(model, SIGNAL, repeats=repeats) / all_time)
    return found


def last_stage_share(page: AxisPage) -> float:
    """The part of the base network's MACs that its last stage does."""
    model = fresh(page, "base").eval()
    with torch.inference_mode():
        tokens = model.last_tokens(torch.zeros(1, SIGNAL.n_leads, SIGNAL.n_samples))
    return macs(model.stages[-1], tokens) / macs(model, SIGNAL)


def fresh(page: AxisPage, name: str, **changes: float | int) -> nn.Module:
    """A variant of the page's size with initial weights from seed 0, with settings over its own."""
    with scoped_seed(0):
        return build_model("inception_former", SIGNAL, 9, **page.axis.variants[name].all_settings(page.request.size) | changes)
