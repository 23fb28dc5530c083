"""The contrastive term: its value against a double loop, its start, whom it draws, what it remembers, and that a copy goes on alike."""

from __future__ import annotations

import math

import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.train.objectives.contrast import Contrast

N, DIM = 30, 6
LABELS = torch.eye(3)[torch.arange(N) % 3]


def made(targets=LABELS, **settings):
    torch.manual_seed(0)
    return Contrast(5, 7, targets, **({"dim": DIM, "n_negatives": 8} | settings))


def features(n, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, generator=generator), torch.randn(n, 7, generator=generator)


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


def unit(row):
    length = math.sqrt(sum(value * value for value in row))
    return [value / length for value in row]


def affine(layer, row):
    weight, bias = layer.weight.tolist(), layer.bias.tolist()
    return [sum(w * x for w, x in zip(weights, row, strict=True)) + b for weights, b in zip(weight, bias, strict=True)]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


class Plain:
    """The formula with loops over records and their negatives."""

    def __init__(self, contrast):
        self.c, self.z = contrast, {}
        self.banks = {"s": contrast.bank_teacher.tolist(), "t": contrast.bank_student.tolist()}          # V for u, U for v
        self.n, self.k, self.tau = len(contrast.kinds), contrast.n_negatives, contrast.temperature

    def __call__(self, student, teacher, index, negatives):
        """negatives: for each record the list of its draws."""
        vectors = {"s": [unit(affine(self.c.project_student, row)) for row in student.tolist()],
                   "t": [unit(affine(self.c.project_teacher, row)) for row in teacher.tolist()]}
        total, taking_part = 0.0, [b for b in range(len(index)) if negatives[b]]
        for m in ("s", "t"):
            raised = [[math.exp(dot(vectors[m][b], self.banks[m][j]) / self.tau) for j in (index[b], *negatives[b])]
                      for b in range(len(index))]
            if m not in self.z:
                self.z[m] = self.n * sum(map(sum, raised)) / sum(map(len, raised))
            for b in taking_part:
                h = [g / self.z[m] / (g / self.z[m] + self.k / self.n) for g in raised[b]]
                total -= (math.log(h[0]) + sum(math.log(1 - each) for each in h[1:])) / len(taking_part)
        for m, seen in (("s", vectors["t"]), ("t", vectors["s"])):                                      # V remembers v, U remembers u
            for b, i in enumerate(index):
                mixed = [self.c.momentum * old + (1 - self.c.momentum) * new for old, new in zip(self.banks[m][i], seen[b], strict=True)]
                self.banks[m][i] = unit(mixed)
        return total


def listed(times):
    """Counts [B, n] -> for each record the list of its negatives, each as often as it was drawn."""
    return [[j for j, n in enumerate(row) for _ in range(int(n))] for row in times.tolist()]


@pytest.mark.parametrize("n_negatives", [8, 25])        # of 20 candidates: without and with replacement
def test_value_and_memory_are_those_of_the_loops_over_three_batches(n_negatives):
    contrast = made(n_negatives=n_negatives)
    plain = Plain(contrast)
    for step, index in enumerate(([3, 0, 17], [5, 3, 9, 11], [0, 17, 29])):
        student, teacher = features(len(index), step)
        place = torch.tensor(index)
        negatives = listed(contrast.draw(place, generator(step)))
        expected = plain(student, teacher, index, negatives)
        assert float(contrast.loss(student, teacher, place, generator(step)).detach()) == pytest.approx(expected, rel=1e-4)
        torch.testing.assert_close(contrast.bank_teacher, torch.tensor(plain.banks["s"]), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(contrast.bank_student, torch.tensor(plain.banks["t"]), atol=1e-5, rtol=1e-4)
    assert float(contrast.z_student) == pytest.approx(plain.z["s"], rel=1e-4)           # of the first batch, still
    assert float(contrast.z_teacher) == pytest.approx(plain.z["t"], rel=1e-4)


def test_it_starts_at_15_9_for_1024_negatives():
    """Where all pairs are alike g is exactly 1 / n; random unit vectors of 128 numbers come near."""
    expected = 2 * (math.log(1025) + 1024 * math.log(1 + 1 / 1024))
    assert expected == pytest.approx(15.9, abs=0.05)
    contrast = made(torch.eye(3)[torch.arange(3000) % 3], dim=128, n_negatives=1024)
    student, teacher = features(32)
    alike = made(torch.eye(3)[torch.arange(3000) % 3], dim=128, n_negatives=1024)
    alike.bank_student.zero_(), alike.bank_teacher.zero_()
    assert float(alike.loss(student, teacher, torch.arange(32), generator()).detach()) == pytest.approx(expected, rel=1e-5)
    assert float(contrast.loss(student, teacher, torch.arange(32), generator()).detach()) == pytest.approx(expected, abs=2.5)


# -- whom it draws ------------------------------------------------------------------------------------------------------

def shares(a, b):
    return bool((a * b).any()) or not a.any() and not b.any()


MIXED = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 1, 1], [0, 0, 0], [1, 0, 1]]).repeat(5, 1).float()


def test_negatives_share_no_label_and_no_label_is_a_kind_of_its_own():
    contrast = made(MIXED, n_negatives=6)
    everyone = torch.arange(len(MIXED))
    seen = sum(contrast.draw(everyone, generator(seed)) for seed in range(200))
    for i in range(len(MIXED)):
        for j in range(len(MIXED)):
            assert bool(seen[i, j] > 0) == (not shares(MIXED[i], MIXED[j])), (i, j)


def test_by_the_first_label_records_with_a_further_label_in_common_are_set_against_each_other():
    contrast = made(MIXED, n_negatives=6, rule="first")
    seen = sum(contrast.draw(torch.arange(len(MIXED)), generator(seed)) for seed in range(200))
    first = [next((k for k in range(3) if row[k]), 3) for row in MIXED.tolist()]
    for i in range(len(MIXED)):
        for j in range(len(MIXED)):
            assert bool(seen[i, j] > 0) == (first[i] != first[j])


def test_without_replacement_where_there_are_enough_and_with_it_where_there_are_not():
    enough = made(n_negatives=20).draw(torch.arange(6), generator())
    assert set(enough.unique().tolist()) == {0.0, 1.0} and (enough.sum(dim=1) == 20).all()
    few = made(n_negatives=50).draw(torch.arange(6), generator())
    assert (few.sum(dim=1) == 50).all() and few.max() > 1 and (few[0, ::3] == 0).all()


@pytest.mark.parametrize("n_negatives", [5, 30])
def test_every_candidate_is_drawn_as_often_as_another(n_negatives):
    contrast, times = made(n_negatives=n_negatives), 3000
    seen = sum(contrast.draw(torch.tensor([4]), generator(seed)) for seed in range(times))[0]
    candidates = seen[[j for j in range(N) if j % 3 != 1]]
    expected = times * n_negatives / 20
    assert candidates.sum() == times * n_negatives and (candidates - expected).abs().max() < 5 * expected**0.5


def test_draws_come_from_the_generator_alone():
    contrast, index = made(), torch.arange(4)
    first = contrast.draw(index, generator())
    torch.manual_seed(99)
    assert torch.equal(contrast.draw(index, generator()), first) and not torch.equal(contrast.draw(index, generator(4)), first)


def test_a_record_without_a_negative_takes_no_part():
    """All share the first label, but for two: those two against the rest, and a third that shares with everyone."""
    targets = torch.zeros(12, 2)
    targets[:, 0] = 1
    targets[3:5] = torch.tensor([0.0, 1.0])
    targets[7] = 1
    student, teacher = features(3)
    whole, part = made(targets), made(targets)
    index = torch.tensor([3, 7, 0])
    times = whole.draw(index, generator())
    assert times.sum(dim=1).tolist() == [8, 0, 8]
    plain = Plain(part)
    found = whole.loss(student, teacher, index, generator())
    assert float(found.detach()) == pytest.approx(plain(student, teacher, index.tolist(), listed(times)), rel=1e-4)
    alone = made(torch.ones(12, 2)).loss(student, teacher, index, generator())
    assert alone == 0
    alone.backward()


# -- learning and going on ----------------------------------------------------------------------------------------------

def test_gradient_reaches_the_student_and_both_maps_but_not_the_teacher():
    contrast = made()
    student, teacher = (each.requires_grad_() for each in features(4))
    contrast.loss(student, teacher, torch.arange(4), generator()).backward()
    assert student.grad.abs().sum() > 0 and teacher.grad is None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in contrast.parameters())


def test_it_learns_to_tell_records_apart():
    contrast, (student, _) = made(dim=16), features(N)
    teacher = torch.cat([student, student[:, :2]], dim=1)                       # it sees the same thing, in its own way
    optimizer = torch.optim.Adam(contrast.parameters(), lr=3e-2)
    losses = []
    for step in range(60):
        loss = contrast.loss(student, teacher, torch.arange(N), generator(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 1
    u, v = contrast.project(student, teacher)
    assert (u @ v.T).diagonal().mean() > (u @ v.T)[LABELS @ LABELS.T == 0].mean() + 0.4


def test_the_banks_keep_unit_vectors_and_only_the_batch_moves():
    contrast, index = made(), torch.tensor([2, 8])
    before = contrast.bank_student.clone()
    contrast.loss(*features(2), index, generator())
    moved = (contrast.bank_student != before).any(dim=1)
    assert moved.nonzero().flatten().tolist() == [2, 8]
    torch.testing.assert_close(contrast.bank_student.norm(dim=1), torch.ones(N))


def test_a_copy_made_from_the_state_goes_on_to_the_same_bits():
    contrast = made()
    contrast.loss(*features(4), torch.arange(4), generator())
    torch.manual_seed(5)
    copy = Contrast(5, 7, torch.eye(3)[torch.arange(N) % 3], dim=DIM, n_negatives=8)
    copy.load_state_dict({name: value.clone() for name, value in contrast.state_dict().items()})
    for step in range(3):
        values = [each.loss(*features(4, step), torch.arange(4) + step, generator(step)) for each in (contrast, copy)]
        assert torch.equal(*values)
    assert all(torch.equal(value, copy.state_dict()[name]) for name, value in contrast.state_dict().items())


@pytest.mark.parametrize(("settings", "says"), [
    ({"momentum": 1.0}, "momentum is 1.0"), ({"temperature": 0.0}, "temperature is 0.0"), ({"n_negatives": 0}, "n_negatives is 0"),
    ({"rule": "label"}, "unknown rule 'label'; did you mean 'labels'"),
    ({"targets": torch.ones(4)}, "it must be a table of zeros and ones"),
    ({"targets": torch.full((4, 2), 2.0)}, "it must be a table of zeros and ones"), ({"dim": 0}, "dim is 0")])
def test_refuses_constants_out_of_range(settings, says):
    with pytest.raises(ConfigurationError, match=says):
        made(**settings)
