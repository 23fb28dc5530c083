"""Which device and which number format a run uses, chosen by what is there."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator

import torch

from ecgstudy.errors import ConfigurationError, require_known


def resolve_device(name: str = "auto") -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; ConfigurationError at once for `cuda` without one."""
    require_known("device", name, ("auto", "cpu", "cuda"))
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("device 'cuda' was asked for, but this machine has no CUDA device; use 'auto' or 'cpu'")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def resolve_precision(name: str, device: torch.device) -> str:
    """`auto` is bf16 on CUDA and fp32 on the CPU, where bf16 is emulated and several times slower."""
    return ("bf16" if device.type == "cuda" else "fp32") if name == "auto" else name


def fits(n_bytes: int, device: torch.device) -> bool:
    """Whether data of that size may lie in the device's memory: they take at most half of what is free there now."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    else:
        try:
            with open("/proc/meminfo", encoding="ascii") as file:
                free = next(1024 * int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
        except (OSError, StopIteration):
            return True                         # a system that does not tell
    return n_bytes <= free / 2


def describe(device: torch.device) -> dict[str, str | int]:
    """What stands in a result's environment: device, its name, threads and versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {"device": device.type, "device_name": name, "threads": torch.get_num_threads(), "cores": os.cpu_count() or 0,
            "torch": torch.__version__, "python": platform.python_version(), "system": platform.system()}


def processor() -> str:
    """What the processor calls itself."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for the block. Two that share a core with another program wait for each other, and take many times as long as one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
