"""The command line: thin verbs over the floors below.

argparse, not a richer library: `python -m ecgstudy sweep` must run on a bare GPU machine that has torch, NumPy, SciPy,
scikit-learn, pandas and safetensors only.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ecgstudy import files
from ecgstudy.errors import ConfigurationError, StudyError, require_known, unknown

DATASETS = ("synthetic", "synthetic_rhythm", "ptbxl", "cpsc", "chapman")
RECORDED = (*DATASETS[2:], "ludb")      # whose recordings can be checked; LUDB has boundaries of waves and no task


class Parser(argparse.ArgumentParser):
    """argparse that raises the study's own error, with the nearest valid word."""

    def error(self, message: str) -> None:
        raise ConfigurationError(f"{message}; see `{self.prog} --help`")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            raise unknown("command" if isinstance(action, argparse._SubParsersAction) else action.dest, value, action.choices)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 done, 2 usage, 3 data, 4 a run failed, 5 locked by another process."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        options = parser().parse_args(arguments)
        return options.verb(options) or 0
    except StudyError as error:
        print(f"ecgstudy: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("ecgstudy: stopped; finished work is kept, and the same command goes on", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """Every verb with its options."""
    top = Parser(prog="ecgstudy", description="A reproducible study of deep learning on the 12-lead ECG.")
    verbs = top.add_subparsers(metavar="COMMAND", required=True)

    run = _verb(verbs, "run", _run, "run a page's notebook; names are checked before a kernel starts")
    run.add_argument("notebook", help="number, name or path, e.g. 04")
    run.add_argument("out", nargs="?", type=Path, default=Path("out.ipynb"), help="executed copy (default: out.ipynb)")
    run.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="repeatable")

    sweep = _verb(verbs, "sweep", _sweep, "walk a plan, skip finished runs, publish each result")
    sweep.add_argument("plan", help="e.g. attention_ablation")
    sweep.add_argument("--dataset", choices=DATASETS, default="synthetic")
    sweep.add_argument("--task", default="", help="default: the data set's first task")
    sweep.add_argument("--profile", default="auto", help="smoke, quick or full (default: full with a GPU, else quick)")
    sweep.add_argument("--only", default="all", help='some of the plan\'s variants, e.g. "mhsa,window" (default: all)')
    sweep.add_argument("--seeds", default="", help='e.g. "0,1,2" (default: the profile\'s own)')
    sweep.add_argument("--time-budget", type=float, metavar="SECONDS", help="stop training then, saved; the same command goes on")
    sweep.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    sweep.add_argument("--workers", type=int, metavar="N", help="runs at a time (default: one a core; one on a GPU); on Ray: a GPU's")
    sweep.add_argument("--on", default="", metavar="RAY", help="'ray' for Ray on this machine, or the address of a Ray cluster")
    sweep.add_argument("--ledger", type=Path, default=None, help="folder that results are published to (default: book/results)")

    export = _verb(verbs, "export", _export, "write a trained network as a file that runs without this package, with its model card")
    export.add_argument("name", nargs="?", help="a network that ships, or the key or folder of a finished run")
    export.add_argument("--list", action="store_true", help="what can be exported")
    export.add_argument("--out", type=Path, default=Path("exported"), help="folder to write to (default: exported)")
    export.add_argument("--format", default="onnx,torch", help="onnx, torch or both (default: onnx,torch)")
    export.add_argument("--opset", type=int, default=18, help="version of ONNX's operators (default: 18)")

    data = verbs.add_parser("data", help="fetch, prepare and list the data sets").add_subparsers(metavar="COMMAND", required=True)
    for name, verb, text in (("fetch", _fetch, "download a data set; resumes where it stopped"),
                             ("prepare", _prepare, "make its one array and table")):
        added = _verb(data, name, verb, text)
        added.add_argument("dataset", choices=(*DATASETS[:2], *RECORDED) if name == "fetch" else DATASETS)
        if name == "fetch":
            added.add_argument("--budget", type=float, metavar="GB", help="refuse where about more than this is missing")
            added.add_argument("--repair", action="store_true", help="check every file against its hash and replace what differs")
    _verb(data, "cite", _cite, "what a paper names: article, DOI, licence").add_argument("dataset", help="e.g. ptbxl, or all")
    _verb(data, "croissant", _croissant, "its description for machines, as JSON").add_argument("dataset", help="e.g. ptbxl")
    check = _verb(data, "check", _check, "look at every recording on disk and say what is odd; nothing is changed")
    check.add_argument("dataset", choices=RECORDED)
    _verb(data, "status", _status, "what is here, what is missing, how large it is")

    bench = _verb(verbs, "bench", _bench, "measure this study's code beside named peers and beside the machine itself")
    bench.add_argument("suites", nargs="*", metavar="SUITE", help="e.g. training (default: all)")
    bench.add_argument("--rounds", type=int, default=7, help="interleaved rounds; medians count (default: 7)")
    bench.add_argument("--quick", action="store_true", help="small sizes, for a look")
    bench.add_argument("--clock", default="processor", help="processor: one thread's time, for a shared machine; wall: all threads")
    bench.add_argument("--out", type=Path, metavar="FILE", help="keep the results as JSON, beside suites that it holds already")
    bench.add_argument("--keep", action="store_true", help="the same, in this machine's file of book/benchmarks")

    _verb(verbs, "models", _models, "list the registered models")
    return top


def _verb(verbs: argparse._SubParsersAction, name: str, call: Callable, text: str) -> argparse.ArgumentParser:
    added = verbs.add_parser(name, help=text, description=text)
    added.set_defaults(verb=call)
    return added


def _run(options: argparse.Namespace) -> None:
    from ecgstudy.study.notebooks import run_notebook

    out = run_notebook(options.notebook, options.out, {name: _literal(value) for name, value in options.parameter})
    print(f"executed page: {out}")


def _literal(text: str) -> object:
    """A parameter as papermill reads it: a JSON number or truth value, else the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (int, float, bool)) else text


def _sweep(options: argparse.Namespace) -> int:
    from ecgstudy.study import ledger, plans
    from ecgstudy.study.profiles import profile
    from ecgstudy.study.request import at_hand
    from ecgstudy.study.sweep import Outcome, sweep
    from ecgstudy.train import parallel
    from ecgstudy.train.device import resolve_device

    plan = plans.PLANS[require_known("plan", options.plan, plans.PLANS)]
    size = profile(options.profile)
    if not options.on:
        resolve_device(options.device)
    seeds = options.seeds.replace(" ", "").split(",") if options.seeds else []
    if not all(seed.isdigit() for seed in seeds):
        raise ConfigurationError(f"--seeds is {options.seeds!r}; give whole numbers such as 0,1,2")
    names = [] if options.only == "all" else options.only.replace(" ", "").split(",")
    experiments = plan(options.dataset, options.task, size.name, names, [int(seed) for seed in seeds])
    deadline = None if options.time_budget is None else time.monotonic() + options.time_budget
    with parallel.together():
        outcome, prepared = Outcome(), at_hand(options.dataset, size)
        for name in dict.fromkeys(e.tested_on for e in experiments):
            part = sweep([e for e in experiments if e.tested_on == name], prepared, tested=at_hand(name, size) if name else None,
                         device=options.device, publish_to=options.ledger or ledger.folder(), workers=options.workers, on=options.on,
                         time_budget=None if deadline is None else max(0.0, deadline - time.monotonic()))
            outcome = outcome + part
        if parallel.rank() > 0:
            return 0
    print(f"{len(outcome.finished)} finished, {len(outcome.failed)} failed, {len(outcome.missing)} still to do")
    for experiment, why in outcome.failed:
        print(f"failed: {experiment.model} {dict(experiment.settings)} seed {experiment.seed}: {why}")
    return 4 if outcome.failed else 0


def _export(options: argparse.Namespace) -> None:
    from ecgstudy.study.export import export, exportable

    if options.list:
        print("\n".join(exportable()))
        return
    if not options.name:
        raise ConfigurationError("no network is named; `python -m ecgstudy export --list` says which there are")
    made = export(options.name, options.out, [each for each in options.format.replace(" ", "").split(",") if each], options.opset)
    for form, path in made.files.items():
        print(f"{path}: logits within {made.differences[form]:.1g} of the network's, {made.milliseconds[form]:.1f} ms a record on one core")
    print(f"{made.card}: model card (the network itself takes {made.milliseconds['eager']:.1f} ms)")


def _fetch(options: argparse.Namespace) -> None:
    if options.dataset in ("synthetic", "synthetic_rhythm"):
        raise ConfigurationError(f"{options.dataset} is simulated, not fetched; use `python -m ecgstudy data prepare {options.dataset}`")
    from ecgstudy.data.fetch import fetch

    budget = None if options.budget is None else options.budget * 1e9
    print(f"{options.dataset} is in {fetch(options.dataset, repair=options.repair, budget=budget)}")


def _prepare(options: argparse.Namespace) -> None:
    from ecgstudy.data.prepare import prepare

    prepared = prepare(options.dataset)
    print(f"{options.dataset}: {len(prepared.table)} records in {prepared.folder}, digest {prepared.digest[:12]}")


def _cite(options: argparse.Namespace) -> None:
    from ecgstudy.data.manifest import manifest

    entries = manifest()
    names = entries if options.dataset == "all" else [require_known("data set", options.dataset, (*entries, "all"))]
    print("\n\n".join(entries[name].cite() for name in names))


def _croissant(options: argparse.Namespace) -> None:
    from ecgstudy.data.croissant import croissant
    from ecgstudy.data.manifest import source

    print(json.dumps(croissant(source(options.dataset)), indent=2, ensure_ascii=False))


def _check(options: argparse.Namespace) -> int:
    from ecgstudy.data.quality import KINDS, check, write_report

    report = check(options.dataset)
    path = write_report(report)
    print(f"{report.dataset}: {report.n_records} recordings")
    for kind, records, share, examples in report.table.itertuples(index=False):
        print(f"{records:6}  {share:7.2%}  {kind:18}  {KINDS[kind]}{f': {examples}' if examples else ''}")
    print(f"every finding: {path}")
    return 3 if any(finding.kind == "refused" for finding in report.findings) else 0


def _status(options: argparse.Namespace) -> None:
    from ecgstudy.data.fetch import available
    from ecgstudy.data.manifest import manifest
    from ecgstudy.data.prepare import FOLDERS, find_source
    from ecgstudy.data.quality import recordings

    print(f"downloads and prepared data: {files.home()}")
    print("synthetic  the embedded simulator: always here")
    for name, entry in manifest().items():
        folder = entry.path() if available(entry) else find_source(name, files.home()) if name in FOLDERS else None
        where = (f"{len(recordings(name, folder)):,} of them in {folder}" if folder else
                 f"not here; `python -m ecgstudy data fetch {name}`")
        size = f"{entry.recordings:,} recordings, about {entry.approximate_bytes / 1e6:,.0f} MB"
        print(f"{name:10} {entry.title}, {size}, {entry.license}: {where}")


def _bench(options: argparse.Namespace) -> None:
    from ecgstudy.bench import suites
    from ecgstudy.bench.rounds import Effort
    from ecgstudy.bench.rows import report

    found = suites.run(options.suites, Effort(options.rounds, options.quick, options.clock))
    print(report(list(found.rows)))
    for path in filter(None, (options.out, suites.folder() / f"{found.kind}.json" if options.keep else None)):
        print(f"kept in {suites.keep(found, path)}")


def _models(options: argparse.Namespace) -> None:
    from ecgstudy.models import list_models

    print("\n".join(list_models()))
