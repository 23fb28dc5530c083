r"""Distillation: a student learns from the labels and from a frozen teacher.

Two ways to ask for the teacher's answer. The *soft-max form* of MVMS-Net (Yang et al. 2023; Hinton et al. 2015, arXiv 1503.02531) compares
one distribution over all K labels, softened by a temperature,

$$T^2\,\frac1B\sum_b \mathrm{KL}\big(\mathrm{softmax}(z^t_b / T)\,\|\,\mathrm{softmax}(z^s_b / T)\big),$$

as if the labels excluded each other. The *Bernoulli form*, MKD of MVKT-ECG (Qin et al. 2023), compares a distribution of two points for
each label, $P_{bc} = (\sigma(z_{bc} / T), 1 - \sigma(z_{bc} / T))$:

$$T^2\,\frac1{2B}\sum_b\sum_c \mathrm{KL}\big(P^t_{bc}\,\|\,P^s_{bc}\big).$$
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.pooling import embedding
from ecgstudy.train.feed import Batch
from ecgstudy.train.objectives.contrast import Contrast

# -- the teacher's answer -----------------------------------------------------------------------------------------------

def softmax_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """The soft-max form, from logits [B, K]; mean over the batch."""
    return temperature**2 * F.kl_div((student / temperature).log_softmax(dim=1), (teacher / temperature).log_softmax(dim=1),
                                     log_target=True, reduction="batchmean")


def bernoulli_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """The Bernoulli form, from logits [B, K]: sum over labels, mean over the batch, halved as in the official code, whose mean runs over
    the two points as well. That code divides probabilities by the temperature, which softens nothing; here it divides logits."""
    total = torch.zeros((), device=student.device)
    for sign in (1, -1):                                                                    # the label's two points: there, not there
        wanted, given = F.logsigmoid(sign * teacher / temperature), F.logsigmoid(sign * student / temperature)
        total = total + (wanted.exp() * (wanted - given)).sum(dim=1).mean()
    return temperature**2 * total / 2


def against_rest(logits: Tensor) -> Tensor:
    """Each class against the rest: logits [B, K] of classes that exclude each other -> [B, K] whose sigmoids are the soft-max
    probabilities."""
    own = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    others = logits[:, None, :].masked_fill(own, -torch.inf)                                # [B, K, K]
    return logits - others.logsumexp(dim=2)                                                 # [B, K]


DIVERGENCES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"softmax": softmax_kl, "bernoulli": bernoulli_kl}
NO_DIVERGENCE = "none"


# -- pupil and objective ------------------------------------------------------------------------------------------------

class Pupil(nn.Module):
    """A student with its teacher beside it: what is trained, and the logits of the student alone.

    teacher: frozen, without gradients and always in evaluation mode, so that its norms' statistics stay as they were. contrast: the
    term that compares features, or None. With one, logits of both networks must be `head(forward_features(x))`.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, contrast: Contrast | None = None) -> None:
        super().__init__()
        self.student, self.teacher, self.contrast = student, teacher.requires_grad_(False).eval(), contrast

    def train(self, mode: bool = True) -> Pupil:
        """Training mode for all but the teacher."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, x: Tensor, **inputs: Tensor | None) -> Tensor:
        """x: [B, L, T] -> the student's logits [B, K]"""
        return self.student(x, **inputs)


def distil(model: Pupil, batch: Batch, generator: torch.Generator, *, divergence: str = "softmax", temperature: float = 1.0,
           labels: float = 1.0, knowledge: float = 1.0, transfer: float = 0.0, multilabel: bool = True) -> dict[str, Tensor]:
    """labels x cross-entropy + knowledge x divergence from the teacher + transfer x CLT.

    divergence: "softmax", "bernoulli", or "none". Classes that exclude each other (multilabel False) have an ordinary cross-entropy, and
    their Bernoulli form is that of each class against the rest. generator: draws the negatives of CLT. MVMS-Net: labels and knowledge 0.5,
    soft-max, temperature 2; MVKT-ECG: 1, 1, transfer 0.8, Bernoulli, temperature 1.

    Returns loss and, unweighted, labels, knowledge and transfer, each 0 where it is not asked for. Outside training mode there is no
    place in the memory for a record, so transfer is 0 and the loss goes without it.
    Raises ConfigurationError for an unknown divergence, a temperature or a weight out of range, and transfer without a contrast.
    """
    _require(model, divergence, temperature, {"labels": labels, "knowledge": knowledge, "transfer": transfer})
    x, inputs, targets = batch.signals, batch.inputs, batch.targets
    contrasted = transfer > 0 and model.training
    asked = divergence != NO_DIVERGENCE and knowledge > 0
    mine = _answer(model.student, x, inputs, contrasted)
    with torch.no_grad():
        theirs = _answer(model.teacher, x, inputs, contrasted) if asked or contrasted else mine
    nothing = torch.zeros((), device=x.device)
    said, told = mine[0].float(), theirs[0].float()
    terms = {"labels": F.binary_cross_entropy_with_logits(said, targets) if multilabel else F.cross_entropy(said, targets),
             "knowledge": nothing, "transfer": nothing}
    if asked:
        if divergence == "bernoulli" and not multilabel:
            said, told = against_rest(said), against_rest(told)
        terms["knowledge"] = DIVERGENCES[divergence](said, told, temperature)
    if contrasted:
        terms["transfer"] = model.contrast.loss(mine[1], theirs[1], batch.index, generator)
    loss = labels * terms["labels"] + knowledge * terms["knowledge"] + transfer * terms["transfer"]
    return {"loss": loss, **{name: term.detach() for name, term in terms.items()}}


def _answer(model: nn.Module, x: Tensor, inputs: dict[str, Tensor], embedded: bool) -> tuple[Tensor, Tensor | None]:
    """Logits [B, K], and where asked for the feature [B, F] that they come from, in one pass."""
    if not embedded:
        return model(x, **inputs), None
    features = model.forward_features(x, **inputs)
    return model.head(features), embedding(model, features)


def _require(model: Pupil, divergence: str, temperature: float, weights: dict[str, float]) -> None:
    require_known("divergence", divergence, (*DIVERGENCES, NO_DIVERGENCE))
    if not temperature > 0:
        raise ConfigurationError(f"temperature is {temperature!r}; it must be above 0")
    for name, weight in weights.items():
        if not weight >= 0:
            raise ConfigurationError(f"{name} weighs {weight!r}; a weight must be 0 or more")
    if weights["transfer"] > 0 and model.contrast is None:
        raise ConfigurationError(f"transfer weighs {weights['transfer']:g} and the pupil has no contrast; give it one, or transfer 0")
