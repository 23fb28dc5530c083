"""MVMS-Net's page: angles of the leads, means by class, the parts of a logit, and what is drawn."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ecgstudy.leads import LEADS
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.mvms_ecg import VIEWS
from ecgstudy.study.papers import mvms_ecg as page
from ecgstudy.study.papers.validation import ValidationRecords

SIGNAL = SignalSpec(12, 120, 100)
CLASSES = ("Normal", "PVC", "STE")


@pytest.fixture
def seen():
    torch.manual_seed(0)
    model = build_model("mvms_ecg", SIGNAL, len(CLASSES), width=4).eval()
    x = torch.randn(4, 12, 120, generator=torch.Generator().manual_seed(1))
    targets = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 1, 0]])
    return page.Subject(model, None, ValidationRecords(x.numpy(), x, targets, list("abcd"), CLASSES, 100))


def test_the_limb_leads_point_where_einthoven_and_goldberger_say():
    """III is II - I and the augmented leads lie between; with aVR, aVL and aVF the six directions are 30 degrees apart."""
    def step(lead):
        angle = np.radians(page.FRONTAL[lead])
        return np.array([np.cos(angle), np.sin(angle)])
    np.testing.assert_allclose(step("III"), step("II") - step("I"), atol=1e-9)
    for lead, parts in {"aVR": -(step("I") + step("II")), "aVL": step("I") - step("III"), "aVF": step("II") + step("III")}.items():
        np.testing.assert_allclose(step(lead), parts / np.linalg.norm(parts), atol=1e-9)


def test_every_lead_is_drawn_once_in_the_colour_of_its_view():
    drawn = page.chest_figure(dict.fromkeys(VIEWS, 0.5), "title")
    names = {text.get_text(): text.get_color() for axis in drawn.axes[:2] for text in axis.texts if text.get_text() in LEADS}
    assert names == {lead: page.COLOURS[view] for view, leads in VIEWS.items() for lead in leads}
    assert sorted({**page.FRONTAL, **page.HORIZONTAL}) == sorted(LEADS) and page.ON_CHEST.keys() == page.HORIZONTAL.keys()
    dots = [line.get_xdata()[0] for line in drawn.axes[0].lines]
    assert dots == sorted(dots) and dots[0] < 0 < dots[1]                   # V1 right of the sternum, the others on to the left
    plt.close(drawn)


@torch.no_grad()
def test_gates_and_parts_are_the_heads(seen):
    gates, parts = page.gates_and_parts(seen)
    assert gates.shape == (4, 6) and parts.shape == (4, 3, 6) and 0 < gates.min() < gates.max() < 1
    logits = seen.model(seen.records.scaled) - seen.model.head.classify.bias
    np.testing.assert_allclose(parts.sum(axis=-1), logits.numpy(), atol=1e-5)
    assert page.mean_gates(seen)["septal"] == pytest.approx(float(gates[:, 2].mean()))


def test_means_are_over_the_records_with_and_without_a_class(seen):
    values = np.arange(24.0).reshape(4, 6)
    with_class, without = page.by_class(values, seen.records.targets)
    np.testing.assert_allclose(with_class[0], values[[0, 2]].mean(axis=0))
    np.testing.assert_allclose(without[1], values[0])
    assert np.isnan(with_class[2]).all()
    own = np.stack([values, 10 * values, values], axis=1)                   # a row for each class
    np.testing.assert_allclose(page.by_class(own, seen.records.targets)[0][1], 10 * values[1:].mean(axis=0))


def test_the_picture_and_the_words(seen):
    drawn = page.class_figure(seen)
    assert [text.get_text() for text in drawn.axes[0].get_yticklabels()] == ["Normal (2)", "PVC (3)", "STE (0)"]
    told = page.in_words(seen)
    assert "On 4 validation records" in told and "PVC " in told and "STE " not in told
