"""Peers from the package index, which live in a folder of their own.

torch_ecg asks for pandas below 3, and this study is run with pandas 3: the two do not fit one environment. Its networks and its reader do
not touch what differs, so it is installed without its dependencies' say, beside the environment:

    pip install --no-deps --target FOLDER -r book/benchmarks/peers.txt
    ECGSTUDY_PEERS=FOLDER python -m ecgstudy bench

Where a peer cannot be imported its rows are left out, and say why.
"""

from __future__ import annotations

import copy
import importlib
import importlib.metadata
import logging
import os
import sys
import warnings
from types import ModuleType

from torch import nn

VERSIONED = ("torch", "numpy", "scipy", "pandas", "wfdb", "torch-ecg", "neurokit2")


class Absent(Exception):
    """A peer is not here; the message says why, and how to have it."""


def peer(name: str) -> ModuleType:
    """The imported module of that name, also from the folder in ECGSTUDY_PEERS; Absent where it cannot be had."""
    _reach()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(name)
    except ImportError as error:
        raise Absent(f"{name.partition('.')[0]} cannot be imported ({error}); install book/benchmarks/peers.txt as its first lines say") \
            from None
    logging.getLogger(name.partition(".")[0]).setLevel(logging.ERROR)
    return module


def torch_ecg_network(cnn: str, n_leads: int, n_classes: int) -> nn.Module:
    """torch_ecg's classifier [B, L, T] -> [B, K] over the named convolutional network, without recurrence and attention."""
    config = copy.deepcopy(peer("torch_ecg.model_configs").ECG_CRNN_CONFIG)
    config.cnn.name, config.rnn.name, config.attn.name = cnn, "none", "none"
    classes = [f"class {k}" for k in range(n_classes)]
    return peer("torch_ecg.models.ecg_crnn").ECG_CRNN(classes=classes, n_leads=n_leads, config=config)


def _reach() -> None:
    folder = os.environ.get("ECGSTUDY_PEERS", "")
    if folder and folder not in sys.path:
        sys.path.append(folder)         # last, so that it hides nothing of the environment


def versions() -> dict[str, str]:
    """Versions of the libraries and peers that a number depends on; "absent" for what is not here."""
    _reach()
    found = {}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
