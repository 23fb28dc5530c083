r"""Filling in what was hidden: the loss of a masked autoencoder on the patches of every lead.

$$\mathcal L = \frac{\sum_{l,i} m_{l,i}\,\frac1p \lVert \hat x_{l,i} - \tilde x_{l,i} \rVert_2^2}{\sum_{l,i} m_{l,i}}$$

with $m_{l,i} = 1$ where patch $i$ of lead $l$ was hidden and $\tilde x$ standardised patch by patch, so that 1 is what predicting
each patch's mean costs. ST-MEM (Na et al., ICLR 2024), after MAE (He et al., CVPR 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.models.st_mem import hidden_patches, standardise
from ecgstudy.train.feed import Batch


def masked(model: nn.Module, batch: Batch, generator: torch.Generator, *, share: float = 0.75) -> dict[str, Tensor]:
    """The mean squared error over hidden patches, `loss`; beside it, untrained, that over the patches that were seen, `seen`.

    model: as `models.st_mem.Masked`. Every record is cropped at a place of its own, and of every lead a share of the patches, drawn
    anew, is hidden. Raises ConfigurationError for a share that hides nothing, or leaves nothing.
    """
    x = random_crop(batch.signals, model.n_samples, generator)                                      # [B, L, n p]
    patches = model.patches(x)                                                                      # [B, L, n, p]
    kept = draw_kept(patches.shape[:3], share, generator).to(x.device)                              # [B, L, k]
    errors = patch_errors(model.reconstruct(x, kept), patches)                                      # [B, L, n]
    hidden = hidden_patches(kept, patches.shape[2])
    return {"loss": mean_where(errors, hidden), "seen": mean_where(errors, ~hidden).detach()}


def random_crop(x: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
    """Of each record `n_samples` in a row, from a place of its own: [B, L, T] -> [B, L, n_samples]. A shorter record stays whole."""
    if x.shape[-1] <= n_samples:
        return x
    start = torch.randint(x.shape[-1] - n_samples + 1, (len(x), 1), generator=generator)            # [B, 1]
    places = (start + torch.arange(n_samples)).to(x.device)                                         # [B, n_samples]
    return x.gather(2, places.unsqueeze(1).expand(-1, x.shape[1], -1))


def draw_kept(shape: Sequence[int], share: float, generator: torch.Generator) -> Tensor:
    """The places of the patches that are not hidden, drawn anew for each record and lead: shape (B, L, n) -> int64 [B, L, k].

    k = int(n (1 - share)), 7 of 30.
    """
    n_patches = shape[-1]
    is_number = isinstance(share, int | float) and not isinstance(share, bool)
    n_kept = int(n_patches * (1 - share)) if is_number else 0
    if not 0 < n_kept < n_patches:
        raise ConfigurationError(f"share is {share!r}; of {n_patches} patches it must leave at least one and hide at least one: give more "
                                 f"than 0 and at most {1 - 1 / n_patches:.3g}")
    return torch.rand(*shape, generator=generator).argsort(dim=-1)[..., :n_kept]


def patch_errors(predicted: Tensor, patches: Tensor) -> Tensor:
    """Mean squared error of each patch against its standardised self: both [..., p] -> [...]"""
    return (predicted.float() - standardise(patches.float())).square().mean(dim=-1)


def mean_where(errors: Tensor, chosen: Tensor) -> Tensor:
    """The mean of those that are chosen, both of one shape."""
    return (errors * chosen).sum() / chosen.sum()
