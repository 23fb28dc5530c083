"""Page 10's view to play with: one HTML fragment that carries its records, maps and script, and asks no network for anything.

A map is stored as multiples of an even spread in sixteen steps, zero and fifteen even steps of the logarithm, two values a byte.
Neighbouring queries are averaged and neighbouring keys added until everything fits. Beside attention stand maps of the record's own
class, one value a key, as multiples of their mean.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgstudy import files
from ecgstudy.errors import ConfigurationError
from ecgstudy.explain import attention
from ecgstudy.study.attention_page import Page, Part, numbered
from ecgstudy.study.attention_records import LEAD, Shown
from ecgstudy.study.attribution_bed import TITLES
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.ecg_page import GAIN

LARGEST = 480_000                       # bytes of the whole fragment
ATTRIBUTED = ("grad_cam", "gradient_x_input")      # maps of the class that stand beside attention
LEVELS, FAINTEST = 15, 1 / 32
STEPS = ((0.16, 0.08), (0.16, 0.16), (0.32, 0.16), (0.32, 0.32))     # seconds between queries and between keys, the finest that fits
DARK = ("--paper: #16181d; --fine: #3a2626; --coarse: #5b3535; --ink: #eee; --soft: #bbb; --rule: #555; --heat: 255, 165, 60; "
        "--less: 170, 150, 235; --beat: rgba(90, 160, 240, .28); --mark: #6fb1ff;")


def view(page: Page) -> str:
    """The fragment for the first mechanism of the page and all shown records, recordings with the network trained on such.

    Recordings whose network has other layers or heads are left out: the view has one list of each.
    """
    first = page.parts[0]
    return fragment([part for part in page.parts if _shape(part) == _shape(first)], page.example)


def _shape(part: Part) -> tuple:
    """What two networks must share to stand in one view."""
    return numbered(part.layers), [each.maps.shape[1:] for each in part.layers]


def fragment(parts: Sequence[Part], example: int) -> str:
    """HTML with everything inside. Raises ConfigurationError where it cannot be made small enough."""
    template = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    for steps in STEPS:
        data = packed(parts, example, *steps)
        own = "attention-" + files.digest(data)[:10]
        text = template.replace("__DARK__", DARK).replace("__DATA__", json.dumps(data, separators=(",", ":"))).replace("__ID__", own)
        if len(text.encode()) <= LARGEST:
            return text
    raise ConfigurationError(f"{len(data['records'])} records of {len(data['layers'])} layers take {len(text.encode()):,} bytes even with "
                             f"a key every {steps[1]} s, more than {LARGEST:,}; show fewer records")


def packed(parts: Sequence[Part], example: int, query_step: float, key_step: float) -> dict[str, Any]:
    """What the script reads: traces in thousandths of a millivolt, and maps as `pack` gives them: layer by layer, head by head, then the
    rollout, then those of the record's own class that every network of the view has."""
    layers, records = parts[0].layers, [record for part in parts for record in part.records]
    n_keys, n_heads = int(np.ceil(round(SIGNAL.seconds / key_step, 6))), layers[0].maps.shape[1]
    classes = {method: [curve for part in parts for curve in part.attributed(method)] for method in ATTRIBUTED}
    classes = {method: [at_keys(curve, key_step, n_keys) for curve in curves] for method, curves in classes.items()
               if all(len(curve) for curve in curves)}
    told = []
    whose = [part.network.told for part in parts for _ in part.records]
    for record, maps in zip(records, (maps for part in parts for maps in _attention(part, query_step, key_step)), strict=True):
        maps += [curves[len(told)][None] for curves in classes.values()]
        told.append({"name": f"{record.label} ({record.name})", "label": record.label, "network": whose[len(told)],
                     "trace": np.round(1000 * record.trace).astype(int).tolist(), "spans": np.round(record.spans, 3).tolist(),
                     "maps": [pack(each) for each in maps]})
    shown, rollout = records[example], len(layers) * n_heads
    return {"fs": SIGNAL.fs, "seconds": SIGNAL.seconds, "lead": LEAD, "levels": LEVELS, "heads": n_heads, "first": example,
            "layers": [f"stage {stage}, {number}" for stage, number, _ in numbered(layers)], "rollout": rollout,
            "classes": [[TITLES[method], rollout + 1 + i] for i, method in enumerate(classes)],
            "queries": len(maps[0]), "keys": n_keys, "query_step": query_step, "key_step": key_step, "rise": _rise(records),
            "at": shown.spans[0][0] if shown.spans else shown.start + shown.seconds / 2, "records": told}


def _attention(part: Part, query_step: float, key_step: float) -> Iterator[list[np.ndarray]]:
    """Each record's maps: every head of every layer, and last the rollout."""
    first, last = part.layers[0], part.layers[-1]
    back = attention.rollout(part.layers)[:, int(last.class_token):]                    # [R, N, N of the first layer]
    places = [attention.between_places(each) for each in part.layers]
    for row in range(len(part.records)):
        yield [coarser(weights, each.seconds_per_token, each.seconds_per_token, query_step, key_step)
               for each, maps in zip(part.layers, places, strict=True) for weights in maps[row]] + [
            coarser(back[row], last.seconds_per_token, first.seconds_per_token, query_step, key_step)]


def at_keys(curve: np.ndarray, key_step: float, n_keys: int) -> np.ndarray:
    """A curve over samples [T] at the keys [n_keys], as multiples of its mean; zeros where it is empty."""
    found = attention.to_tokens(curve, key_step, SIGNAL.fs, n_keys)
    return found / found.mean() if found.any() else found


def coarser(weights: np.ndarray, query_seconds: float, key_seconds: float, query_step: float, key_step: float) -> np.ndarray:
    """A map [N, M], rows to the sum of 1, on places `query_step` and `key_step` seconds apart, in multiples of an even spread.

    The result is 1 on average. A token that lies across two new cells gives each its part.
    """
    down, across = (_overlap(n, seconds, step) for n, seconds, step in
                    ((weights.shape[0], query_seconds, query_step), (weights.shape[1], key_seconds, key_step)))
    found = (down / down.sum(axis=0)).T @ weights @ across                              # [N', M']
    return found * found.shape[1]


def _overlap(n: int, seconds: float, step: float) -> np.ndarray:
    """The part of each of n tokens' cells that lies in each new cell, [n, n']: both centred on their places, the outer ones open."""
    n_new = int(np.ceil(round(n * seconds / step, 6)))
    begin, end = ((np.arange(n) + side) * seconds for side in (-0.5, 0.5))
    left, right = ((np.arange(n_new) + side) * step for side in (-0.5, 0.5))
    left[0], right[-1] = -np.inf, np.inf
    return np.maximum(np.minimum(end[:, None], right) - np.maximum(begin[:, None], left), 0) / seconds


def pack(values: np.ndarray) -> dict[str, Any]:
    """A map of numbers from 0 as {"low", "top", "packed"}: base64 of half bytes, row by row, a zero added to an odd count.

    Step 0 is what lies below `low`, and steps 1 to 15 go from `low`, never less than FAINTEST, to `top` by equal factors.
    """
    low, top = max(float(values.min()), FAINTEST), max(float(values.max()), 1.01 * FAINTEST)
    size = np.log(top / low) / (LEVELS - 1) or 1.0
    steps = 1 + np.log(np.maximum(values.ravel(), 1e-12) / low) / size
    steps = np.clip(np.round(np.where(steps < 0.5, 0, steps)), 0, LEVELS).astype(np.uint8)
    steps = np.append(steps, np.zeros(steps.size % 2, np.uint8))
    return {"low": round(low, 4), "top": round(top, 4), "packed": base64.b64encode((steps[0::2] << 4) | steps[1::2]).decode()}


def _rise(records: Sequence[Shown]) -> list[float]:
    """Millimetres of paper below and above the zero line, whole 5-mm squares that hold every record."""
    lowest, highest = min(each.trace.min() for each in records), max(each.trace.max() for each in records)
    return [float(5 * np.ceil(np.clip(GAIN * reach + 1, 5, 30) / 5)) for reach in (-lowest, highest)]
