"""Distillation: both divergences against double loops, the weighted sum, a teacher that never moves, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.leads import OnLeads
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.train.feed import Batch
from ecgstudy.train.objectives.contrast import Contrast
from ecgstudy.train.objectives.distil import Pupil, against_rest, bernoulli_kl, distil, softmax_kl

N, K = 24, 4


def logits(seed, n=5):
    return 2 * torch.randn(n, K, generator=torch.Generator().manual_seed(seed))


def softmax(row):
    raised = [math.exp(z) for z in row]
    return [e / sum(raised) for e in raised]


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.5])
def test_the_softmax_form_is_the_formula(temperature):
    student, teacher = logits(0), logits(1)
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        p, q = softmax([z / temperature for z in t]), softmax([z / temperature for z in s])
        for k in range(K):
            total += p[k] * math.log(p[k] / q[k])
    assert float(softmax_kl(student, teacher, temperature)) == pytest.approx(temperature**2 * total / len(student), rel=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_bernoulli_form_is_the_formula(temperature):
    student, teacher = logits(2), logits(3)
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        for k in range(K):
            p, q = sigmoid(t[k] / temperature), sigmoid(s[k] / temperature)
            total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert float(bernoulli_kl(student, teacher, temperature)) == pytest.approx(temperature**2 * total / (2 * len(student)), rel=1e-4)


@pytest.mark.parametrize("divergence", [softmax_kl, bernoulli_kl])
def test_a_divergence_is_least_at_the_teacher_and_finite_far_from_it(divergence):
    teacher = logits(4)
    assert float(divergence(teacher, teacher, 2.0)) == pytest.approx(0, abs=1e-6)
    student = (teacher + 0.3 * logits(5)).requires_grad_()
    found = divergence(student, teacher, 2.0)
    assert found > 0
    found.backward()
    assert divergence((student - 0.01 * student.grad / student.grad.norm()).detach(), teacher, 2.0) < found
    extreme = divergence(torch.full((1, K), 200.0).requires_grad_(), torch.tensor([[-200.0, 200.0, 0.0, 50.0]]), 1.0)
    assert extreme.isfinite()


def test_the_bernoulli_form_has_the_gradient_of_the_difference_of_probabilities():
    """At T = 1 the derivative by a student's logit is half of sigmoid(student) - sigmoid(teacher), over the batch."""
    student, teacher = logits(6).requires_grad_(), logits(7)
    bernoulli_kl(student, teacher).backward()
    torch.testing.assert_close(student.grad, (student.detach().sigmoid() - teacher.sigmoid()) / (2 * len(teacher)), atol=1e-6, rtol=1e-4)


def test_each_class_against_the_rest_has_the_softmax_as_its_sigmoid():
    z = logits(8)
    torch.testing.assert_close(against_rest(z).sigmoid(), z.softmax(dim=1))
    torch.testing.assert_close(against_rest(z + 7), against_rest(z), atol=1e-5, rtol=1e-5)


# -- the objective ------------------------------------------------------------------------------------------------------

def made(contrast=True, student_lead=0):
    torch.manual_seed(0)
    teacher = build_model("mvkt_ecg", SignalSpec(12, 200, 100), K, width=8)
    teacher(torch.randn(4, 12, 200))                                            # norms' statistics that a further pass would move
    student = OnLeads(build_model("mvkt_ecg", SignalSpec(1, 200, 100), K, width=8), [student_lead])
    targets = torch.eye(K)[torch.arange(N) % K]
    return Pupil(student, teacher, Contrast(128, 128, targets, n_negatives=8) if contrast else None)


def batch(places=range(6)):
    index = torch.tensor(list(places))
    x = torch.randn(N, 12, 200, generator=torch.Generator().manual_seed(1))
    return Batch(x[index], torch.eye(K)[index % K], index=index, patients=index)


def generator():
    return torch.Generator().manual_seed(2)


MVKT = {"divergence": "bernoulli", "labels": 1.0, "knowledge": 1.0, "transfer": 0.8}
MVMS = {"divergence": "softmax", "temperature": 2.0, "labels": 0.5, "knowledge": 0.5}


def test_the_loss_is_the_weighted_sum_of_its_terms():
    pupil, given = made().train(), batch()
    found = distil(pupil, given, generator(), **MVKT)
    assert set(found) == {"loss", "labels", "knowledge", "transfer"} and all(found[name] > 0 for name in found)
    assert not any(found[name].requires_grad for name in ("labels", "knowledge", "transfer"))
    assert float(found["loss"].detach()) == pytest.approx(float(found["labels"] + found["knowledge"] + 0.8 * found["transfer"]), rel=1e-6)


def test_each_term_is_that_of_the_two_networks_logits():
    pupil, given = made(contrast=False).train(), batch()
    found = distil(pupil, given, generator(), **MVMS)
    pupil.eval()
    with torch.no_grad():
        theirs = pupil.teacher(given.signals)
        pupil.student.train()
        mine = pupil(given.signals)
    assert float(found["labels"]) == pytest.approx(float(F.binary_cross_entropy_with_logits(mine, given.targets)), rel=1e-5)
    assert float(found["knowledge"]) == pytest.approx(float(softmax_kl(mine, theirs, 2.0)), rel=1e-5)
    assert float(found["loss"].detach()) == pytest.approx(0.5 * float(found["labels"]) + 0.5 * float(found["knowledge"]), rel=1e-6)
    assert found["transfer"] == 0


def test_classes_that_exclude_each_other_have_their_own_entropy_and_bernoulli_form():
    pupil, given = made(contrast=False).eval(), batch()
    found = distil(pupil, given, generator(), divergence="bernoulli", multilabel=False)
    mine, theirs = pupil(given.signals), pupil.teacher(given.signals)
    assert float(found["labels"]) == pytest.approx(float(F.cross_entropy(mine, given.targets).detach()), rel=1e-5)
    p, q = theirs.softmax(dim=1).tolist(), mine.softmax(dim=1).tolist()
    total = sum(p[b][k] * math.log(p[b][k] / q[b][k]) + (1 - p[b][k]) * math.log((1 - p[b][k]) / (1 - q[b][k]))
                for b in range(len(p)) for k in range(K))
    assert float(found["knowledge"]) == pytest.approx(total / (2 * len(p)), rel=1e-3)


def test_labels_alone_do_not_ask_the_teacher():
    pupil, given = made(contrast=False).train(), batch()
    pupil.teacher.forward = None
    found = distil(pupil, given, generator(), divergence="none")
    assert found["loss"] == found["labels"] and found["knowledge"] == found["transfer"] == 0


def test_the_teacher_is_byte_identical_after_steps_and_the_student_and_the_projections_are_not():
    pupil = made().train()
    before = {name: value.clone() for name, value in pupil.state_dict().items()}
    optimizer = torch.optim.AdamW(pupil.parameters(), lr=1e-3, weight_decay=0.1)
    losses = []
    for step in range(8):
        found = distil(pupil, batch(range(3 * step, 3 * step + 3)), torch.Generator().manual_seed(step), **MVKT)
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        losses.append(found["loss"].item())
    after = pupil.state_dict()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert not any(name.startswith("teacher") for name in moved) and np.isfinite(losses).all()
    assert {"student.model.stem.0.weight", "contrast.project_student.weight", "contrast.project_teacher.weight", "contrast.bank_student",
            "contrast.bank_teacher", "contrast.z_student"} <= moved


def test_the_teacher_stays_in_evaluation_mode_and_without_gradients():
    pupil = made()
    pupil.eval().train()
    assert pupil.student.training and pupil.contrast.training and not any(module.training for module in pupil.teacher.modules())
    assert not any(p.requires_grad for p in pupil.teacher.parameters()) and all(p.requires_grad for p in pupil.student.parameters())


@torch.no_grad()
def test_the_pupil_answers_as_its_student():
    pupil, given = made().eval(), batch()
    torch.testing.assert_close(pupil(given.signals), pupil.student(given.signals))


def test_away_from_training_no_memory_is_touched():
    pupil, given = made().eval(), batch()
    before = {name: value.clone() for name, value in pupil.contrast.state_dict().items()}
    found = distil(pupil, given, generator(), **MVKT)
    assert found["transfer"] == 0 and found["knowledge"] > 0
    assert all(torch.equal(value, before[name]) for name, value in pupil.contrast.state_dict().items())


def test_half_precision_reaches_the_networks_and_not_the_memory():
    pupil, given = made().train(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        found = distil(pupil, given, generator(), **MVKT)
    found["loss"].backward()
    full = distil(made().train(), given, generator(), **MVKT)
    assert found["transfer"].dtype == torch.float32 and pupil.contrast.bank_student.dtype == torch.float32
    assert all(float(found[name]) == pytest.approx(float(full[name]), rel=0.05) for name in ("labels", "transfer"))


def test_a_six_view_teacher_teaches_one_view():
    torch.manual_seed(0)
    signal = SignalSpec(12, 200, 100)
    student = OnLeads(build_model("mvms_ecg", SignalSpec(2, 200, 100), K, views="one", width=4), [6, 7])
    pupil = Pupil(student, build_model("mvms_ecg", signal, K, width=4)).train()
    found = distil(pupil, batch(), generator(), **MVMS)
    found["loss"].backward()
    assert all(p.grad is not None for p in pupil.student.parameters()) and all(p.grad is None for p in pupil.teacher.parameters())


@pytest.mark.parametrize(("settings", "says"), [
    ({"divergence": "sofmax"}, "unknown divergence 'sofmax'; did you mean 'softmax'"), ({"temperature": 0.0}, "temperature is 0.0"),
    ({"knowledge": -1.0}, "knowledge weighs -1.0"), ({"labels": math.nan}, "labels weighs nan"),
    ({"transfer": 0.8}, "transfer weighs 0.8 and the pupil has no contrast")])
def test_refuses_what_cannot_be_weighed(settings, says):
    with pytest.raises(ConfigurationError, match=says):
        distil(made(contrast=False), batch(), generator(), **settings)
