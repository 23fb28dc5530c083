"""Page 04, the attention ablation: what it runs, what it draws, and the reading that its numbers allow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ecgstudy import files
from ecgstudy.data.labels import label_set
from ecgstudy.data.synthetic import simulate
from ecgstudy.layers.attention.capture import capture_attention
from ecgstudy.leads import LEADS
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.progress import progress
from ecgstudy.study import plans, tables
from ecgstudy.study.comparison import SIGNIFICANT, Row, axis_value
from ecgstudy.study.complexity import AttentionCost, NetworkCost, attention_cost, network_cost
from ecgstudy.study.request import Request
from ecgstudy.study.sweep import Outcome
from ecgstudy.train.experiment import Experiment
from ecgstudy.train.seeds import scoped_seed

SIGNAL = SignalSpec(n_leads=12, n_samples=1000, fs=100)
TOKENS = (250, 500, 1000, 2000, 4000, 8000)         # 10 s to 5 minutes in stage 3, 25 tokens a second
BASELINE = "mhsa"
FEWEST_POSITIVES = 20       # of a class on the test fold, before its score is read on its own


def experiments(page: Request) -> list[Experiment]:
    """The page's plan."""
    return plans.attention_ablation(page.dataset, page.task, page.size.name, page.axes["attentions"], page.seeds)


def what_runs(page: Request) -> str:
    """What this page will do, as Markdown, before it does it."""
    size = page.size
    sizes = dict(size.network)
    network = (f"a narrow network (widths {_list(sizes['widths'])}; depths {_list(sizes['depths'])}; {sizes['heads']} heads)"
               if sizes else "the full network (widths 64, 128, 256, 512; depths 2, 4, 8, 4; 8 heads)")
    records = f"{size.n_training:,} training records" if size.n_training else "all training records"
    return (f"**This page:** data set `{page.dataset}`, task `{page.task}`, profile `{size.name}`: {network}, {records}, at most "
            f"{size.epochs} epoch{'s' * (size.epochs > 1)}, seed{'s' * (len(page.seeds) > 1)} {_list(page.seeds)}, mechanisms "
            f"{_list(page.axes['attentions'])}.")


def notes_f1() -> dict[str, float]:
    """The notes' test F1 of each mechanism that they tested."""
    return {name: told["test_f1"] for name, told in tables.reported("attention_ablation").items() if "test_f1" in told}


def patterns(page: Request) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """For each mechanism the attention [H, N, N] of the last layer of stage 3, untrained and at full width, and lead II [T] in mV.

    The record is simulated and the weights come from a seed, so that the picture does not depend on what was trained. In the
    last layer of the stage the windows of the shifted mechanism are shifted.
    """
    signal = simulate(seed=4, indices=[11]).signals                                       # [1, L, T] mV
    spread = torch.from_numpy(signal / signal.std())
    found = {}
    for name in page.axes["attentions"]:
        with scoped_seed(0):
            model = build_model("inception_former", SIGNAL, 9, attention=name).eval()
        with capture_attention(model) as maps, torch.inference_mode():
            model(spread)
        last = [layer for layer in maps if layer.startswith("stages.2.")][-1]
        found[name] = maps[last][0].numpy()                                               # [H, N, N]
    return found, signal[0, LEADS.index("II")]


def save_picture(figure: Figure, page: Request) -> None:
    """Write the page's main picture to where the command line says it is."""
    files.write_atomically(page.picture(), lambda file: figure.savefig(file, format="png", dpi=150))


def token_counts(page: Request) -> tuple[int, ...]:
    return TOKENS[:2] if page.size.name == "smoke" else TOKENS


def cost_curves(page: Request) -> dict[str, list[AttentionCost]]:
    """One attention layer at each length, measured now on this machine."""
    names = page.axes["attentions"]
    with progress(total=len(names) * len(token_counts(page)), desc="cost of one layer", unit="length") as bar:
        found: dict[str, list[AttentionCost]] = {name: [] for name in names}
        for name in names:
            for n_tokens in token_counts(page):
                found[name].append(attention_cost(name, n_tokens))
                bar.update()
    return found


def cost_table(page: Request) -> Styler:
    """Cost of the network on this page beside that of the full one, for each mechanism."""
    n_classes = len(label_set(page.dataset, page.task).classes)
    repeats = 3 if page.size.name == "smoke" else 20

    def measure(name: str, settings: dict) -> NetworkCost:
        return network_cost(name, build_model("inception_former", SIGNAL, n_classes, **settings, attention=name), SIGNAL, repeats)

    names = page.axes["attentions"]
    return tables.cost_table([measure(name, dict(page.size.network)) for name in names], [measure(name, {}) for name in names],
                             "attention")


def reading(page: Request, rows: Sequence[Row], outcome: Outcome) -> str:
    """What can and what cannot be concluded, as Markdown, from the numbers of this run alone."""
    parts = [part for part in (_decided(rows), _spread(rows), _widest_class(rows), _limits(page, rows), _gaps(outcome)) if part]
    command = (f"python -m ecgstudy sweep attention_ablation --dataset {page.dataset} --task {page.task} --profile full "
               "--time-budget 3600")
    parts.append(f"**What would settle it.** The full profile, five seeds, on recordings: `{command}` (repeat it until it says that "
                 "nothing is left; it skips what is finished), then this page again with `-p profile full`.")
    return "\n\n".join(parts) + "\n\n" + _provenance(outcome)


def _decided(rows: Sequence[Row]) -> str:
    compared = [(row.value, row.difference["macro_auroc"]) for row in rows if row.difference["macro_auroc"]]
    if not compared:
        return f"**What can be concluded.** Nothing about differences: `{BASELINE}` or its rivals are not in this table."
    told = [f"`{value}` is {found.verdict} ({tables.show_interval(found.interval, signed=True)}, corrected p {tables.show_p(found)})"
            for value, found in compared if found.verdict != "undecided"]
    undecided = [f"`{value}`" for value, found in compared if found.verdict == "undecided"]
    text = "**What can be concluded.** On macro-AUROC, against full attention: " + "; ".join(told) + "." if told else (
        "**What can be concluded.** On macro-AUROC no mechanism can be told from full attention here.")
    if undecided and told:
        text += f" Undecided: {', '.join(undecided)}."
    near = [f"`{value}` ({tables.show_interval(found.interval, signed=True)})" for value, found in compared
            if found.verdict == "undecided" and found.p_holm < SIGNIFICANT]
    if near:
        text += (f" The patients alone would separate {', '.join(near)}, but with {compared[0][1].n_seeds} "
                 f"seed{'s' * (compared[0][1].n_seeds > 1)} this is not told apart from the luck of a seed, so no verdict is given.")
    return text


def _spread(rows: Sequence[Row]) -> str:
    best = max(rows, key=lambda row: row.measured["macro_auroc"].interval.estimate)
    worst = min(rows, key=lambda row: row.measured["macro_auroc"].interval.estimate)
    gap = best.measured["macro_auroc"].interval.estimate - worst.measured["macro_auroc"].interval.estimate
    widths = [row.measured["macro_auroc"].interval.high - row.measured["macro_auroc"].interval.low for row in rows]
    text = (f"From the highest (`{best.value}`) to the lowest (`{worst.value}`) mean lie {gap:.3f} of macro-AUROC; one 95 % interval over "
            f"patients is about {np.median(widths):.3f} wide.")
    deviations = [row.measured["macro_auroc"].deviation for row in rows if len(row.runs) > 1]
    if deviations:
        text += f" Another seed of the same mechanism moves the score by about {np.median(deviations):.3f} (one SD)."
    return text


def _widest_class(rows: Sequence[Row]) -> str:
    """The class that the mechanisms differ in most, among those with enough positives to say so; empty where there is none."""
    found = tables.class_auroc(rows)                                                      # [values, K]
    counted = np.array(rows[0].runs[0].result["scores"]["test"]["positives"]) >= FEWEST_POSITIVES
    gap = np.where(counted & ~np.isnan(found).any(axis=0), np.ptp(found, axis=0), -1.0)
    if gap.max(initial=-1.0) < 0 or len(rows) < 2:
        return ""
    k = int(gap.argmax())
    best, worst = int(found[:, k].argmax()), int(found[:, k].argmin())
    name = rows[0].runs[0].result["scores"]["test"]["classes"][k]
    return (f"Among classes with at least {FEWEST_POSITIVES} positive test records the mechanisms differ most in **{name}**: from "
            f"{found[worst, k]:.3f} (`{rows[worst].value}`) to {found[best, k]:.3f} (`{rows[best].value}`). It is the largest of "
            "several such gaps, picked after looking: a hint to test, not a finding.")


def _limits(page: Request, rows: Sequence[Row]) -> str:
    limits = []
    if page.size.name != "full":
        limits.append(f"this is the `{page.size.name}` profile: a narrow network, few records, few epochs; an order found here need "
                      "not hold at full width")
    if min(len(row.runs) for row in rows) < 5:
        fewest = min(len(row.runs) for row in rows)
        limits.append(f"{fewest} seed{'s' * (fewest > 1)} a mechanism, not the five of the full profile")
    if page.dataset == "synthetic":
        limits.append("the records are simulated: they test whether a mechanism *can* find known evidence, not how it fares in a clinic")
    elif page.dataset != "cpsc":
        limits.append(f"these are {page.dataset} records, so the notes' CPSC2018 numbers in grey are no reference for them")
    limits.append("heads, windows and rates are the notes' or the papers' own, not tuned for each mechanism")
    text = "; ".join(limits)
    return f"**What cannot.** {text[0].upper()}{text[1:]}."


def _gaps(outcome: Outcome) -> str:
    gone = outcome.missing + [experiment for experiment, _ in outcome.failed]
    names = ", ".join(f"`{dict(e.settings)['attention']}` seed {e.seed}" for e in gone)
    return f"**Missing rows.** {names}: not finished in this run; the same command goes on where it stopped." if gone else ""


def _provenance(outcome: Outcome) -> str:
    """Where each number comes from, folded away under the reading."""
    head = ("run", "attention", "seed", "best epoch", "minutes", "device", "commit", "data", "finished (UTC)")
    lines = [head, ("---",) * len(head)]
    for run in outcome.finished:
        training, made = run.result["training"], run.result["environment"]
        lines.append((run.key[:12], axis_value(run, "attention"), run.experiment.seed, training["best_epoch"],
                      f"{training['seconds'] / 60:.1f}", made["device_name"], made["commit"][:10] + " + edits" * made["edited"],
                      run.result["data"]["digest"][:10], made["finished"]))
    table = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    return f"<details><summary>Provenance of the {len(outcome.finished)} runs</summary>\n\n{table}\n\n</details>"


def _list(values: Sequence) -> str:
    return ", ".join(str(value) for value in values)
