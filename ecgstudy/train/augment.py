"""What a training batch is put through before the network sees it; validation and test records never are.

The study notes name three augmentations (random lead mask, random mask at either end, random noise) and give no parameters, so the
constants below are choices of this study. Signals are standardised, so zero is the mean of the training records. Random numbers come
from the step's own generator, so they are the same again after a resume. Masks are drawn on the CPU, the same for every device; noise,
a number for each sample, is drawn where the signals are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ecgstudy.train.seeds import generator_on

Augmentation = Callable[[Tensor, torch.Generator], Tensor]

LEAD_PROBABILITY = 0.2      # of a lead to be masked: 2.4 of twelve on average
LONGEST_SHARE = 0.3         # of the record that a mask at one end may cover: 3 of 10 seconds
NOISE_SIGMA = 0.1           # standard deviations of the training records


def noise(signals: Tensor, generator: torch.Generator) -> Tensor:
    """White Gaussian noise of NOISE_SIGMA on every sample of signals [B, L, T], recorded or padded."""
    drawn = torch.randn(signals.shape, generator=generator_on(signals.device, generator), device=signals.device)    # [B, L, T]
    return signals + NOISE_SIGMA * drawn


def lead_mask(signals: Tensor, generator: torch.Generator) -> Tensor:
    """Each lead of signals [B, L, T] zeroed with LEAD_PROBABILITY; where chance takes all of a record, one drawn lead is spared."""
    n_records, n_leads, _ = signals.shape
    masked = torch.rand(n_records, n_leads, generator=generator) < LEAD_PROBABILITY         # [B, L]
    spared = torch.randint(n_leads, (n_records,), generator=generator)                      # [B]
    lost = masked.all(dim=1)
    masked[lost, spared[lost]] = False
    return signals.masked_fill(masked[:, :, None].to(signals.device), 0.0)


def end_mask(signals: Tensor, generator: torch.Generator) -> Tensor:
    """A stretch of all leads of signals [B, L, T] zeroed, at the beginning or at the end; its length is uniform from nothing to
    LONGEST_SHARE of the record."""
    n_records, _, n_samples = signals.shape
    length = torch.randint(int(LONGEST_SHARE * n_samples) + 1, (n_records, 1), generator=generator)     # [B, 1]
    at_end = torch.rand(n_records, 1, generator=generator) < 0.5                            # [B, 1]
    time = torch.arange(n_samples)
    masked = torch.where(at_end, time >= n_samples - length, time < length)                 # [B, T]
    return signals.masked_fill(masked[:, None, :].to(signals.device), 0.0)


# In the order of application: noise first, so that what is masked afterwards is exactly zero.
AUGMENTATIONS: dict[str, Augmentation] = {"noise": noise, "lead_mask": lead_mask, "end_mask": end_mask}


def augment(signals: Tensor, names: Sequence[str], generator: torch.Generator) -> Tensor:
    """Signals [B, L, T] put through the named augmentations; the same tensor where there is none."""
    for name, change in AUGMENTATIONS.items():
        if name in names:
            signals = change(signals, generator)
    return signals
