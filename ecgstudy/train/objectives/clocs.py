r"""CLOCS (Kiyasseh et al., ICML 2021): views of one person shall be alike, views of different persons not.

A *view* is one lead for half a record. Which views there are is the scheme: `cmsc` the two halves of one lead, `cmlc` all leads for one
stretch, `cmsmlc` all leads and both halves. For each pair $A < B$ of the $V$ views and the records $i, j$ of a batch, with
$s^{ij} = \cos(v_A^i, v_B^j) / \tau$,

$$\ell^{diag}_{A \to B} = -\frac1B \sum_i \log\frac{e^{s^{ii}}}{\sum_j e^{s^{ij}}}, \qquad
\ell^{off}_{A \to B} = -\frac1{|\mathcal P|}\sum_{(i, j) \in \mathcal P} \log\frac{e^{s^{ij}}}{\sum_l e^{s^{il}}}, \qquad
\mathcal P = \{i < j,\ p(i) = p(j)\}$$

where $p(i)$ is the patient of record $i$; $\ell_{B \to A}$ are the same with the sum of the denominator down the columns, the second over
$i > j$. A pair's loss is the mean of its four terms, or of the two diagonal ones where no patient stands in the batch twice. The
objective is the mean over all $\binom V2$ pairs.
"""

from __future__ import annotations

import math
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.train.feed import Batch

SCHEMES = ("cmsc", "cmlc", "cmsmlc")


class Whole(nn.Module):
    """Any registered model as the network that is contrasted: its views have all leads, and differ in time.

    It takes the model over as `encoder` and puts nothing in the place of its head, so that `encoder` has the names and the weights of
    everything else in it: `classifier.load_state_dict(whole.encoder.state_dict(), strict=False)` lacks the head alone. The model must
    take records of half the length it was built for.
    """

    leads_together = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if not hasattr(model, "head") or not hasattr(model, "forward_features"):
            raise ConfigurationError(f"{type(model).__name__} has no head or no forward_features; give a model of the registry")
        self.encoder = model
        self.encoder.head = nn.Identity()

    def embed(self, views: Tensor) -> Tensor:
        """The mean of the last feature map over its positions: [R, L, t] -> [R, C]"""
        return self.encoder.forward_features(views).flatten(2).mean(dim=-1)

    def forward(self, views: Tensor) -> Tensor:
        return self.embed(views)


def views_of(signals: Tensor, scheme: str, generator: torch.Generator, leads_together: bool = False) -> Tensor:
    """The views of each record, all leads of a segment as one view where `leads_together`: [B, L, T] -> [V, B, 1 or L, t], t = T // 2.

    One lead (cmsc) or one stretch (cmlc) is drawn for the whole batch, so that a view differs from its negatives in the heart and not in
    the lead. The views of cmsmlc go lead by lead, the segments of a lead side by side.

    Raises ConfigurationError for an unknown scheme, and for views of single leads where the network wants them together.
    """
    require_known("scheme", scheme, SCHEMES)
    n_leads, length = signals.shape[1], signals.shape[2] // 2
    halves = torch.stack([signals[..., :length], signals[..., length:2 * length]])              # [2, B, L, t]
    if leads_together:
        if scheme != "cmsc":
            raise ConfigurationError(f"scheme {scheme} makes every lead a view, and this network takes the leads together; use scheme cmsc")
        return halves
    if scheme == "cmsc":
        lead = _drawn(n_leads, generator)
        return halves[:, :, lead:lead + 1]                                                      # [2, B, 1, t]
    if scheme == "cmlc":
        start = _drawn(signals.shape[2] - length + 1, generator)
        return signals[..., start:start + length].transpose(0, 1).unsqueeze(2)                  # [L, B, 1, t]
    return halves.permute(2, 0, 1, 3).flatten(0, 1).unsqueeze(2)                                # [2 L, B, 1, t]


def _drawn(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=generator, device=generator.device))


def similarities(embeddings: Tensor) -> Tensor:
    """Cosines between the records of each pair of views, in the order of `combinations`: [V, B, E] -> [V (V - 1) / 2, B, B]"""
    unit = F.normalize(embeddings, dim=-1)
    first, second = zip(*combinations(range(len(unit)), 2), strict=True)
    return unit[list(first)] @ unit[list(second)].transpose(1, 2)


def pair_losses(logits: Tensor, patients: Tensor | None = None) -> Tensor:
    """The loss of each pair of views: similarities over temperature [P, B, B] -> [P]. patients: [B]; None: all different."""
    across, down = -logits.log_softmax(dim=2), -logits.log_softmax(dim=1)
    terms = _diagonal(across).mean(dim=1) + _diagonal(down).mean(dim=1)
    if patients is None:
        return terms / 2
    same = (patients[:, None] == patients[None, :]).to(logits.dtype)                            # [B, B]
    n_same = same.triu(1).sum()
    of_patients = (across * same.triu(1)).sum(dim=(1, 2)) + (down * same.tril(-1)).sum(dim=(1, 2))
    return (terms + of_patients / n_same.clamp_min(1)) / (2 + 2 * (n_same > 0))                 # no branch: it would wait for the device


def _diagonal(x: Tensor) -> Tensor:
    return x.diagonal(dim1=1, dim2=2)


def last_pair_only(losses: Tensor) -> Tensor:
    """What the published code descends instead of `losses.mean()`: [P] -> [].

    There the loss of a pair is assigned to the running sum where it should be added, and the sum is then divided by the number of pairs.
    So the last pair alone is learnt from: 1 of 66 for cmlc, V5 with V6; 1 of 276 for cmsmlc, the two segments of V6. One pair (cmsc) is
    not concerned. No run of the study uses this; it is here to be compared with.
    """
    return losses[-1] / len(losses)


@torch.no_grad()
def matched(logits: Tensor) -> Tensor:
    """The share of records whose own other view is the most similar of the batch, over pairs and both directions: [P, B, B] -> []"""
    own = torch.arange(logits.shape[-1], device=logits.device)
    return torch.stack([logits.argmax(dim=2) == own, logits.argmax(dim=1) == own]).float().mean()


def clocs(model: nn.Module, batch: Batch, generator: torch.Generator, *, scheme: str = "cmsc",
          temperature: float = 0.1) -> dict[str, Tensor]:
    r"""The loss above, and `accuracy`: how often a record's own other view is the most similar one (by luck: 1 / B).

    model: has `embed(views [R, 1 or L, t]) -> [R, E]` and `leads_together`. temperature: $\tau$. The labels are not read.

    Departures: one lead, or one stretch, is drawn for each batch, where the official data have all of them as instances; and the pairs
    are summed (`last_pair_only`). Raises ConfigurationError for an unknown scheme and a temperature that is not above 0.
    """
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
        raise ConfigurationError(f"temperature is {temperature!r}; it must be a number above 0, such as 0.1")
    views = views_of(batch.signals, scheme, generator, model.leads_together)
    embeddings = model.embed(views.flatten(0, 1))                                               # [V B, E]
    with torch.autocast(embeddings.device.type, enabled=False):
        logits = similarities(embeddings.float().unflatten(0, views.shape[:2])) / temperature   # [P, B, B]
        return {"loss": pair_losses(logits, batch.patients).mean(), "accuracy": matched(logits)}
