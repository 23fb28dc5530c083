"""Randomness arrives as a generator, one for each purpose, each a function of the run's seed alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch


def torch_generator(seed: int, *purpose: int) -> torch.Generator:
    """A CPU generator for (seed, purpose...), e.g. the shuffle of one epoch; independent between purposes."""
    state = np.random.SeedSequence([seed, *purpose]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


def generator_on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """The generator itself where it draws on that device, else one on the device that it seeds."""
    if generator.device.type == device.type:
        return generator
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=generator)))


@contextlib.contextmanager
def scoped_seed(seed: int) -> Iterator[None]:
    """Seed torch's global stream inside the block and put it back afterwards: initialisers read no generator of ours."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
