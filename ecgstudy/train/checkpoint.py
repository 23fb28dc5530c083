"""Crash-safe checkpoints: the newest and the one before it, each written whole or not at all, each bound to its run's key.

A run resumed on the CPU from either reaches the same bytes as one that was never interrupted.
Where several processes train one run, the first writes and reads for all.
"""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from ecgstudy import files
from ecgstudy.errors import RunError
from ecgstudy.train import parallel

logger = logging.getLogger(__name__)


def save_weights(path: Path, model: nn.Module) -> None:
    """Write a model's parameters and buffers as safetensors, a copy of what they are now."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    parallel.first_only(lambda: files.write_atomically(path, lambda file: file.write(safetensors.torch.save(state))))


def load_weights(path: Path, model: nn.Module) -> None:
    """Load what `save_weights` wrote; RunError where the file is damaged or belongs to another model."""
    try:
        model.load_state_dict(safetensors.torch.load(Path(path).read_bytes()))
    except (OSError, safetensors.SafetensorError, RuntimeError) as error:
        raise RunError(f"{path} does not hold this model's weights ({error}); remove the run's folder and train again") from None


class Checkpoints:
    """The two checkpoints and the best weights of one run's folder.

    save(state) keeps `state`; load() returns the newest readable one, or None. Both refuse another run's checkpoint by its key.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = Path(folder), key
        self.newest, self.previous = self.folder / "checkpoint.pt", self.folder / "checkpoint.previous.pt"

    def best_path(self, epoch: int) -> Path:
        """Where the weights of a best epoch lie; named by epoch so that no checkpoint points at another epoch's weights."""
        return self.folder / f"best-{epoch:03d}.safetensors"

    def save(self, state: dict[str, Any]) -> None:
        parallel.first_only(lambda: self._save(state))

    def _save(self, state: dict[str, Any]) -> None:
        if self.newest.exists():
            os.replace(self.newest, self.previous)
        files.write_atomically(self.newest, lambda file: torch.save(state | {"key": self.key}, file))
        keep = {self.best_path(state["best_epoch"])} if state["best_epoch"] is not None else set()
        previous = self._read(self.previous)
        if previous is not None and previous["best_epoch"] is not None:
            keep.add(self.best_path(previous["best_epoch"]))
        for path in set(self.folder.glob("best-*.safetensors")) - keep:
            path.unlink()

    def load(self) -> dict[str, Any] | None:
        return parallel.first_only(self._load)

    def _load(self) -> dict[str, Any] | None:
        for path in (self.newest, self.previous):
            state = self._read(path)
            if state is not None:
                if state["key"] != self.key:
                    raise RunError(f"{path} belongs to the run {state['key'][:12]}, not to {self.key[:12]}; choose another folder")
                return state
        return None

    def clear(self) -> None:
        """Remove what only a run in progress needs; the finished run keeps its chosen weights elsewhere."""
        def remove() -> None:
            for path in (*self.folder.glob("best-*.safetensors"), self.newest, self.previous):
                path.unlink(missing_ok=True)

        parallel.first_only(remove)

    @staticmethod
    def _read(path: Path) -> dict[str, Any] | None:
        if not path.exists():
            return None
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            return state if {"key", "best_epoch", "epoch", "step"} <= set(state) else None
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, TypeError, ValueError, KeyError) as error:
            logger.warning("%s cannot be read (%s); the checkpoint before it is used", path, type(error).__name__)
            return None
