r"""Contrastive transfer of what the teacher sees in a record: the CLT term of MVKT-ECG (Qin et al. 2023, arXiv 2301.12178).

Its form is that of contrastive representation distillation (Tian, Krishnan, Isola, ICLR 2020, arXiv 1910.10699). Two linear maps bring
the student's feature $f^s$ and the teacher's $f^t$ to unit vectors $u = \mathrm{norm}(W_s f^s)$ and $v = \mathrm{norm}(W_t f^t)$. Of every
training record a vector of each kind is remembered, in banks $U$ and $V$ with $n$ rows. For record $i$ and $K$ negatives $\mathcal N_i$

$$g^s_{ij} = \frac{\exp(V_j^\top u_i / \tau)}{Z_s},\qquad g^t_{ij} = \frac{\exp(U_j^\top v_i / \tau)}{Z_t},\qquad
h(g) = \frac{g}{g + K / n},$$

$$\mathcal L_{\mathrm{CLT}} = \sum_{m \in \{s, t\}} -\frac1B \sum_i
\Big[\log h(g^m_{ii}) + \sum_{j \in \mathcal N_i} \log\big(1 - h(g^m_{ij})\big)\Big].$$

$h$ is the answer to a question with two outcomes: does this pair come from one record, or from two of different diseases? Bounding the
mutual information of the two features from below is to answer it well. $Z_s$ and $Z_t$ are set once, at the first batch, to $n$ times the
mean exponential, so that a pair that means nothing has $g \approx 1/n$. The term then starts near $2[\log(1+K) + K\log(1+1/K)]$.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.layers.checks import require_count


def kinds_by_labels(targets: Tensor) -> Tensor:
    """Two records are of one kind where they share a label: targets [n, K] -> float32 [n, K + 1]; the last column is "no label at all"."""
    given = targets.float()
    return torch.cat([given, (given.sum(dim=1, keepdim=True) == 0).float()], dim=1)              # [n, K + 1]


def kinds_by_first(targets: Tensor) -> Tensor:
    """As in the official code: two records are of one kind where their first labels agree, whatever else they carry."""
    given = kinds_by_labels(targets)
    return F.one_hot(given.argmax(dim=1), given.shape[1]).float()                               # [n, K + 1]


RULES: dict[str, Callable[[Tensor], Tensor]] = {"labels": kinds_by_labels, "first": kinds_by_first}


class Contrast(nn.Module):
    """The projections, the banks and the loss. All that a resumed run needs lies in `state_dict`.

    student_dim, teacher_dim: widths of the two features. targets: [n, K] in {0, 1}, the labels of all n training records in their feed's
    order. dim: of the unit vectors. n_negatives: K of the formula. momentum: what the banks keep of a vector at an update.
    temperature: tau. rule: whom a record is set against, "labels": those it shares no label with, "first": those of another first label.
    Records without any label count as one more kind.

    The banks start from random unit vectors and the maps as `nn.Linear` does, from torch's global stream, as all fresh weights.

    Departures: the negatives of one batch come from one shuffled list, each record's from its own starting point, so that each
    record's are a fair draw and those of two records may overlap. A record without a single negative has nothing to be told from: it takes
    no part in the mean (its positive alone would be won by making all vectors equal).

    Raises ConfigurationError for sizes and constants out of range and for targets that are not a table of zeros and ones.
    """

    def __init__(self, student_dim: int, teacher_dim: int, targets: Tensor, *, dim: int = 128, n_negatives: int = 1024,
                 momentum: float = 0.5, temperature: float = 0.07, rule: str = "labels") -> None:
        super().__init__()
        targets = torch.as_tensor(targets)
        if targets.dim() != 2 or not len(targets) or not ((targets == 0) | (targets == 1)).all():
            raise ConfigurationError(f"targets has the shape {tuple(targets.shape)}; it must be a table of zeros and ones with a row for "
                                     "each training record")
        if not 0 <= momentum < 1:
            raise ConfigurationError(f"momentum is {momentum!r}; it must be at least 0 and below 1")
        if not temperature > 0:
            raise ConfigurationError(f"temperature is {temperature!r}; it must be above 0")
        require_known("rule", rule, RULES)
        self.n_negatives = require_count("n_negatives", n_negatives)
        self.momentum, self.temperature = momentum, temperature
        self.project_student = nn.Linear(require_count("student_dim", student_dim), require_count("dim", dim))
        self.project_teacher = nn.Linear(require_count("teacher_dim", teacher_dim), dim)
        self.register_buffer("kinds", RULES[rule](targets))
        self.register_buffer("bank_student", F.normalize(torch.randn(len(targets), dim), dim=1))     # U
        self.register_buffer("bank_teacher", F.normalize(torch.randn(len(targets), dim), dim=1))     # V
        self.register_buffer("z_student", torch.zeros(()))                                           # 0: not set yet
        self.register_buffer("z_teacher", torch.zeros(()))

    def project(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, Fs] and [B, Ft] -> the unit vectors u and v, [B, dim] each."""
        return (F.normalize(self.project_student(student.float()), dim=1), F.normalize(self.project_teacher(teacher.float()), dim=1))

    def loss(self, student: Tensor, teacher: Tensor, index: Tensor, generator: torch.Generator) -> Tensor:
        """The term for one batch, then the banks' update.

        student: features [B, Fs], which gradients pass; teacher: [B, Ft], of a network that does not learn. index: int64 [B], each
        record's place among the training records, none twice. generator: draws the negatives, on the CPU.
        """
        with torch.autocast(student.device.type, enabled=False):
            u, v = self.project(student, teacher.detach())
            times = self.draw(index, generator)                                                 # [B, n]
            total = (self._side(u, self.bank_teacher, index, times, "z_student")
                     + self._side(v, self.bank_student, index, times, "z_teacher"))
            self._remember(u.detach(), v.detach(), index)
        return total

    @torch.no_grad()
    def draw(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """How often each training record is a negative of each record of the batch: float32 [B, n], every row sums to K or, where
        no record is of another kind, to 0. Without replacement where there are K candidates, else with."""
        n, device, wanted = len(self.kinds), index.device, self.n_negatives
        order = torch.randperm(n, generator=generator).to(device)
        starts = torch.randint(n, (len(index), 1), generator=generator).to(device)
        chance = torch.rand(len(index), wanted, generator=generator).to(device)                 # [B, K]
        ring = order[(starts + torch.arange(n, device=device)) % n]                             # [B, n], the list from each start
        others = (self.kinds[index] @ self.kinds.T == 0).gather(1, ring)                        # [B, n]
        rank, count = others.cumsum(dim=1) - 1, others.sum(dim=1, keepdim=True)                 # [B, n], [B, 1]
        again = torch.zeros(len(index), wanted, dtype=torch.int64, device=device)
        drawn_rank = torch.minimum((chance * count).long(), count - 1).clamp(0, wanted - 1)
        again.scatter_add_(1, drawn_rank, torch.ones_like(again))
        by_rank = torch.where(count >= wanted, 1, again)                                        # [B, K]
        drawn = torch.where(others & (rank < wanted), by_rank.gather(1, rank.clamp(0, wanted - 1)), 0)
        return torch.zeros_like(drawn).scatter_(1, ring, drawn).float()                         # [B, n]

    def _side(self, anchors: Tensor, bank: Tensor, index: Tensor, times: Tensor, normaliser: str) -> Tensor:
        """One of the two sums: anchors [B, dim] against a bank [n, dim]. All n pairs are formed and weighed by how often they were drawn:
        one product of matrices, and no sum whose order depends on the device."""
        n, wanted = len(bank), self.n_negatives
        similar = anchors @ bank.T / self.temperature                                           # [B, n]
        raised = similar.exp()
        own = F.one_hot(index, n).to(raised.dtype)                                              # [B, n]
        z = getattr(self, normaliser)
        first = n * (raised.detach() * (own + times)).sum() / (own + times).sum()
        z.copy_(torch.where(z > 0, z, first))           # no branch: to look at z would be to wait for the device
        share, z = wanted / n, z.clone()
        joint = (raised / z + share).log()              # log h and log(1 - h) share it
        told = (own * (similar - z.log() - joint) + times * (math.log(share) - joint)).sum(dim=1)         # [B]
        takes_part = (times.sum(dim=1) > 0).to(told.dtype)
        return -(told * takes_part).sum() / takes_part.sum().clamp(min=1)

    @torch.no_grad()
    def _remember(self, u: Tensor, v: Tensor, index: Tensor) -> None:
        """The banks' rows of this batch move towards its vectors. New tensors: backward still needs the old ones."""
        for name, found in (("bank_student", u), ("bank_teacher", v)):
            bank = getattr(self, name)
            mixed = F.normalize(self.momentum * bank[index] + (1 - self.momentum) * found, dim=1)    # [B, dim]
            setattr(self, name, bank.index_copy(0, index, mixed))
