"""Does what a network learns from simulated records hold on recorded ones? The table of plan `simulated_to_real`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from ecgstudy.evaluate.bootstrap import Interval, interval, patient_weights, replicate_scores
from ecgstudy.study import ledger, plans, tables
from ecgstudy.study.ledger import Run
from ecgstudy.study.names import readable

CLASSES = ("LBBB", "RBBB", "AF", "PVC")     # shapes and rhythms that the simulator draws by their criteria
TARGET = 0.80                               # macro-AUROC over CLASSES that would call the simulator useful for them
COMMAND = "python -m ecgstudy sweep simulated_to_real --profile {}"


def stored(runs: Sequence[Run], profile: str) -> list[Run]:
    """The runs of the plan that a ledger holds."""
    wanted = {(e.model, e.settings, e.tested_on, e.epochs) for e in plans.simulated_to_real(profile_name=profile)}
    return [run for run in runs if (e := run.experiment).profile == profile and (e.model, e.settings, e.tested_on, e.epochs) in wanted]


def macro_auroc(runs: Sequence[Run], n_replicates: int = 1000) -> Interval:
    """Macro-AUROC over CLASSES on the other data set's test fold: mean over the runs' seeds, interval over patients."""
    columns = [runs[0].experiment.labels.classes.index(name) for name in CLASSES]
    first = runs[0].predictions
    weights = patient_weights(first.test_patients, n_replicates, np.random.default_rng(0))
    draws = [replicate_scores(run.test_probability()[:, columns], first.test_targets[:, columns], np.full(len(columns), 0.5), weights)
             for run in runs]
    point = np.mean([np.take(run.result["scores"]["test"]["auroc"], columns) for run in runs])
    return interval(float(point), np.mean([draw["macro_auroc"] for draw in draws], axis=0))


def table(runs: Sequence[Run]) -> Styler:
    """A row a network: AUROC of each of the four classes and their mean with its interval; all nine classes for completeness."""
    lines = []
    for model in dict.fromkeys(run.experiment.model for run in runs):
        group = [run for run in runs if run.experiment.model == model]
        auroc = np.mean([[np.nan if v is None else v for v in run.result["scores"]["test"]["auroc"]] for run in group], axis=0)
        by_name = dict(zip(group[0].experiment.labels.classes, auroc, strict=True))
        order = (*CLASSES, *(name for name in by_name if name not in CLASSES))
        mean = tables.show_interval(macro_auroc(group), joint="<br>")
        lines.append({"network": readable(model), "mean of four": mean}
                     | {name: tables.show(by_name[name]) for name in order})
    return tables.style(pd.DataFrame(lines), f"Trained, stopped and thresholded on simulated records alone; AUROC on PTB-XL's test fold "
                                             f"({len(runs[0].predictions.test_records):,} records), mean over "
                                             f"{len({run.experiment.seed for run in runs})} seeds. The four classes first.")


def shown(profile: str) -> list[Any]:
    """What page 01 shows of this: the line, and under it the table where the committed ledger holds runs."""
    from IPython.display import Markdown

    runs = stored(ledger.read_all(), profile)
    return [Markdown(reading(runs, profile)), *([table(runs)] if runs else [])]


def reading(runs: Sequence[Run], profile: str) -> str:
    """What the table says against TARGET, or how to make it, as Markdown."""
    head = "**From simulated to recorded.** "
    if not runs:
        return f"{head}No run of this plan is in the ledger for the `{profile}` profile. `{COMMAND.format(profile)}` makes it, with PTB-XL."
    found = {model: macro_auroc([run for run in runs if run.experiment.model == model])
             for model in dict.fromkeys(run.experiment.model for run in runs)}
    told = "; ".join(f"`{model}` {tables.show_interval(value)}" for model, value in found.items())
    met = [f"`{model}`" for model, value in found.items() if value.estimate >= TARGET]
    return (f"{head}Mean AUROC over {', '.join(CLASSES)} without having seen one recorded ECG: {told}. The mark of {TARGET:.2f} that this "
            f"study set beforehand is reached by {', '.join(met) or 'neither'}. A simulator that passes is good for testing explanations "
            "of these classes; it does not replace recordings, and a class that scores low is one that is drawn differently from how it is "
            "recorded.")
