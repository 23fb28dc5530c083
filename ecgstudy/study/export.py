"""A trained network as one file that runs without this package: ONNX, or torch's own exported program.

    ecgstudy export hilo_synthetic --out exported

The file takes the recording as it is, in millivolts, [B, 12, T] for any B, because the run's scaling is folded in; it gives logits and
probabilities [B, K]. Class names, order of leads, sampling rate and thresholds are inside, so that it can be used alone. Each file is run
against the network once it is written, and removed where the two differ. A model card with the latency stands beside it.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ecgstudy import files
from ecgstudy.data.dataset import MILLIVOLT
from ecgstudy.errors import ConfigurationError, DataError, RunError, require_known, unknown
from ecgstudy.leads import LEADS
from ecgstudy.models.registry import model_entry
from ecgstudy.study import chosen, ledger, runs
from ecgstudy.study.chosen import SIGNAL, TOLD, Chosen
from ecgstudy.study.export_card import Exported, model_card
from ecgstudy.train.checkpoint import load_weights
from ecgstudy.train.device import one_thread
from ecgstudy.train.feed import Scaling

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
TOLERANCE = 1e-4            # largest difference of a logit between a file and its network, in shares of the largest logit above 1
CHECKED_BATCHES = (1, 5)
OPSETS, OPSET = range(18, 21), 18
OUTPUTS = ("logits", "probabilities")

# torch has two ways into ONNX: a recording of one pass, quick and plain; and a translation of its exported program, which knows more
# operators and takes several times as long. A network goes the first way unless it stands here.
TRANSLATED = ("dual_path_rnn", "multi_module", "multi_res_trans", "st_mem", "stft_resnet34", "two_stream")
# What cannot be written, and why, by format. A test holds this table to what happens.
BEATS = "it cuts a record at its R-peaks, so that the number of pieces depends on what is in the record, and not on its shape alone"
REFUSED: dict[str, dict[str, str]] = {
    "onnx": {"mina": "its band filters work on a Fourier transform, which torch cannot write as ONNX",
             "multimodal_mil": "it pools to lengths that do not divide its maps, which the recording cannot write; and to translate it, "
                               + BEATS},
    "torch": {"lightweight_transformer": BEATS, "multimodal_mil": BEATS},
}


class Program(nn.Module):
    """What is exported: signal [B, L, T] in mV, then what else the model asks for, by `inputs` -> logits and probabilities [B, K]."""

    def __init__(self, model: nn.Module, scaling: Scaling, multilabel: bool, inputs: Sequence[str] = ()) -> None:
        super().__init__()
        self.model, self.multilabel, self.inputs = model, multilabel, tuple(inputs)
        self.gain, self.offset = MILLIVOLT / scaling.deviation, scaling.mean / scaling.deviation

    def forward(self, signal: Tensor, *others: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model(signal * self.gain - self.offset, **dict(zip(self.inputs, others, strict=True)))
        return logits, logits.sigmoid() if self.multilabel else logits.softmax(dim=-1)


def exportable() -> list[str]:
    """The names that `export` takes: the networks that ship, and the runs whose weights are in runs/, by key."""
    kept = sorted(path.parent.name for path in runs.folder().glob("*/weights.safetensors") if path.with_name("result.json").is_file())
    return [*chosen.names(), *kept]


def network(name: str) -> Chosen:
    """The network that ships under `name`, or that of a finished run: its folder, its key, or the key's first digits (eight or more).

    Raises ConfigurationError for any other name, DataError where a run is damaged or lacks its weights.
    """
    if name in chosen.names():
        return chosen.load(name)
    place = Path(name)
    if not (place / "result.json").is_file():
        begun = [key for key in exportable()[len(chosen.names()):] if len(name) >= 8 and key.startswith(name)]
        if len(begun) != 1:
            raise unknown("network that ships, or key or folder of a finished run", name, exportable())
        place = runs.folder() / begun[0]
    run = ledger.read_run(place / "result.json")
    weights = place / "weights.safetensors"
    if not weights.is_file():
        raise DataError(f"{weights} does not exist; a result alone cannot be exported, train the run on this machine first")
    model = runs.build(run.experiment, SIGNAL)
    load_weights(weights, model)
    card = {each: run.result[each] for each in TOLD} | {"sha256": files.sha256(weights)}
    return Chosen(f"{run.experiment.model}_{run.key[:12]}", model.eval(), run.experiment, Scaling(**run.result["training"]["scaling"]),
                  tuple(run.result["data"]["classes"]), card)


def export(name: str, out: Path, formats: Sequence[str] = tuple(SUFFIXES), opset: int = OPSET) -> Exported:
    """Write the network `name` into the folder `out`, once for each format, check each file, and write the model card.

    Raises ConfigurationError for unknown names, formats or opsets, for a network that cannot be written, and where ONNX is not installed;
    RunError where a file does not give the network's outputs, which is then removed.
    """
    if not formats:
        raise ConfigurationError(f"no format is given; choose of {', '.join(SUFFIXES)}")
    for each in formats:
        require_known("format", each, SUFFIXES)
    if opset not in OPSETS:
        raise ConfigurationError(f"opset is {opset}; this version writes {OPSETS[0]} to {OPSETS[-1]}")
    kept = network(name)
    for each in formats:
        if reason := REFUSED[each].get(kept.experiment.model):
            raise ConfigurationError(f"{kept.experiment.model} cannot be written as {each}: {reason}")
    written, differences = {}, {}
    for each in formats:
        path = Path(out) / f"{kept.name}{SUFFIXES[each]}"
        content = to_onnx(kept, opset) if each == "onnx" else to_torch(kept)
        written[each] = files.write_atomically(path, lambda file, content=content: file.write(content))
        differences[each] = check(path, kept)
    made = Exported(written, differences, latency(kept, written), Path(out) / f"{kept.name}.md")
    files.write_text(made.card, model_card(kept, made))
    return made


def about(kept: Chosen) -> dict[str, str]:
    """What a file tells of itself: all that a stranger needs to feed it and to read it. Lists are JSON."""
    experiment = kept.experiment
    return {"name": kept.name, "model": experiment.model, "trained": kept.told, "dataset": experiment.dataset, "task": experiment.task,
            "run": kept.card["key"], "weights_sha256": kept.card["sha256"],
            "leads": json.dumps(LEADS), "unit": "mV", "fs": str(SIGNAL.fs), "n_samples": str(SIGNAL.n_samples),
            "classes": json.dumps(kept.classes), "multilabel": json.dumps(experiment.labels.multilabel),
            "thresholds": json.dumps(kept.card["thresholds"]), "note": "research code; not a medical device"}


# -- the two forms -------------------------------------------------------------------------------------------------------

def to_onnx(kept: Chosen, opset: int = OPSET) -> bytes:
    """The program as ONNX, weights inside. ConfigurationError where the packages are missing, RunError where torch cannot write it."""
    onnx = _installed("onnx")
    if translated := kept.experiment.model in TRANSLATED:
        _installed("onnxscript")
    program, example, names = _program(kept), _example(kept, 2), _input_names(kept)
    with _writing(kept, "onnx"):
        if translated:
            model = torch.onnx.export(_exported_program(kept), example, input_names=names, output_names=list(OUTPUTS), opset_version=opset,
                                      dynamo=True, verbose=False).model_proto
        else:
            buffer = io.BytesIO()
            torch.onnx.export(program, example, buffer, input_names=names, output_names=list(OUTPUTS), opset_version=opset, dynamo=False,
                              dynamic_axes={each: {0: "batch"} for each in (*names, *OUTPUTS)})
            model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, about(kept))
    return model.SerializeToString()


def to_torch(kept: Chosen) -> bytes:
    """The program as torch.export stores it (.pt2), what `about` tells inside as about.json."""
    buffer = io.BytesIO()
    with _writing(kept, "torch"):
        torch.export.save(_exported_program(kept), buffer, extra_files={"about.json": json.dumps(about(kept))})
    return buffer.getvalue()


def _program(kept: Chosen) -> Program:
    return Program(kept.model, kept.scaling, kept.experiment.labels.multilabel, model_entry(kept.experiment.model).inputs).eval()


def _exported_program(kept: Chosen) -> torch.export.ExportedProgram:
    example, batch = _example(kept, 2), torch.export.Dim("batch")
    shapes = ({0: batch}, tuple({0: batch} for _ in example[1:]))[:len(example)]       # the others are one argument, left out where none
    with torch.no_grad():
        return torch.export.export(_program(kept), example, dynamic_shapes=shapes)


@contextlib.contextmanager
def _writing(kept: Chosen, form: str) -> Iterator[None]:
    """Torch's exporters say a lot, and raise errors of many kinds."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad(), one_thread():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise RunError(f"{kept.name} could not be written as {form}: {type(error).__name__}: {str(error):.300}") from error
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def _installed(name: str):
    try:
        return __import__(name)
    except ImportError:
        raise ConfigurationError(f"ONNX needs the package {name}; install it with `pip install 'ecgstudy[export]'`, or export with "
                                 "`--format torch`") from None


# -- what goes in, and whether the right thing comes out -------------------------------------------------------------------

def records(n_records: int, seed: int = 0) -> np.ndarray:
    """Simulated recordings float32 [B, 12, T] in mV, of the length that every network of the study reads."""
    from ecgstudy.data.synthetic import simulate

    return simulate(seed, range(n_records), fs=SIGNAL.fs, seconds=SIGNAL.seconds).signals


def expected(kept: Chosen, signals: np.ndarray) -> np.ndarray:
    """The network's own logits [B, K] for signals in mV, scaled as in training and not by the exported program."""
    x = torch.from_numpy(signals).mul(MILLIVOLT).sub_(kept.scaling.mean).div_(kept.scaling.deviation)
    inputs = dict(zip(model_entry(kept.experiment.model).inputs, _others(kept, len(signals)), strict=True))
    with torch.inference_mode():
        return kept.model(x, **inputs).numpy()


def check(path: Path, kept: Chosen) -> float:
    """The largest difference of a logit between a file and its network on simulated recordings, batches of one and of five: as a share of
    the largest logit where that is above 1, for rounding grows with it.

    RunError above TOLERANCE, where probabilities do not follow, or where the file does not run; it is then removed.
    """
    try:
        answer, largest = opened(path, kept), 0.0
        for n in CHECKED_BATCHES:
            signals = records(n, seed=n)
            wanted, (logits, probability) = expected(kept, signals), answer(signals)
            follows = _squashed(wanted, kept.experiment.labels.multilabel)
            difference = float(np.abs(logits - wanted).max() / max(1.0, np.abs(wanted).max()))
            if not difference <= TOLERANCE or not np.abs(probability - follows).max() <= TOLERANCE:
                raise RunError(f"{path.name} gives other outputs than {kept.name}: a logit differs by {difference:.2g} (of the largest, or "
                               f"of 1) in a batch of {n}, at most {TOLERANCE:g} is accepted; it was removed")
            largest = max(largest, difference)
        return largest
    except Exception as error:
        path.unlink(missing_ok=True)
        if isinstance(error, (RunError, ConfigurationError)):
            raise
        raise RunError(f"{path.name} does not run ({type(error).__name__}: {str(error):.300}); it was removed") from error


def opened(path: Path, kept: Chosen) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """An exported file as a function of signals in mV that gives logits and probabilities, on one thread."""
    if path.suffix == ".onnx":
        runtime = _installed("onnxruntime")
        settings = runtime.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        session, names = runtime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"]), _input_names(kept)

        def answer(signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            others = [each.numpy() for each in _others(kept, len(signals))]
            return tuple(session.run(list(OUTPUTS), dict(zip(names, (signals, *others), strict=True))))
        return answer

    program = torch.export.load(path).module()

    def answer_torch(signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            return tuple(each.numpy() for each in program(torch.from_numpy(signals), *_others(kept, len(signals))))
    return answer_torch


def latency(kept: Chosen, written: dict[str, Path], rounds: int = 11) -> dict[str, float]:
    """Median milliseconds of processor time for one record on one core: the network as it is (`eager`), and each file, by turns."""
    signals = records(1)
    ways: dict[str, Callable] = {"eager": lambda signals: expected(kept, signals)}
    ways |= {form: opened(path, kept) for form, path in written.items()}
    seconds: dict[str, list[float]] = {form: [] for form in ways}
    with one_thread():
        for turn in range(rounds + 1):
            for form, answer in ways.items():
                began = time.thread_time()
                answer(signals)
                if turn:                                # the first call prepares
                    seconds[form].append(time.thread_time() - began)
    return {form: 1000 * statistics.median(each) for form, each in seconds.items()}


def _squashed(logits: np.ndarray, multilabel: bool) -> np.ndarray:
    x = torch.from_numpy(logits)
    return (x.sigmoid() if multilabel else x.softmax(dim=-1)).numpy()


def _input_names(kept: Chosen) -> list[str]:
    return ["signal", *model_entry(kept.experiment.model).inputs]


def _example(kept: Chosen, n_records: int) -> tuple[Tensor, ...]:
    return torch.from_numpy(records(n_records)), *_others(kept, n_records)


def _others(kept: Chosen, n_records: int) -> list[Tensor]:
    """Plain values of what else a model asks for: a beat a second, ten of them, nine or eight; fifty years, a woman and a man by turns."""
    beats = torch.arange(50, SIGNAL.n_samples, SIGNAL.fs).repeat(n_records, 1)
    for i in range(n_records):
        beats[i, beats.shape[1] - i % 3:] = -1
    plain = {"beats": beats, "person": torch.tensor([[50.0, i % 2] for i in range(n_records)])}
    return [plain[name] for name in model_entry(kept.experiment.model).inputs]
