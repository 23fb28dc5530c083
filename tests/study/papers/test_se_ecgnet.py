"""SE-ECGNet's page: the gates' factors against the network's own, class means, and the spread that chance gives."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study.papers import se_ecgnet
from ecgstudy.study.papers.validation import ValidationRecords

SIGNAL = SignalSpec(12, 320, 100)


@pytest.fixture
def seen():
    torch.manual_seed(0)
    model = build_model("se_ecgnet", SIGNAL, 2, width=4, mixed_width=8, depths=(2, 1, 1), reduction=2).eval()
    x = torch.randn(40, 12, SIGNAL.n_samples)
    x[::2] *= 4                                                             # the first class is loud
    targets = np.eye(2, dtype=int)[np.arange(40) % 2]
    return se_ecgnet.Evidence(model, None, ValidationRecords(x.numpy(), x, targets, [str(i) for i in range(40)], ("loud", "quiet"), 100))


def test_the_factors_are_those_that_the_network_used(seen):
    model, x = seen.model, seen.records.scaled
    with torch.no_grad():
        image = model.stem(x.unsqueeze(1))
        block = model.shrink[0]
        scanned = block.scan(image)
        np.testing.assert_allclose(seen.gates["shrink.0.gate"], (block.gate(scanned) / scanned).nanmean(dim=(2, 3)).numpy(), rtol=1e-3)
    names = list(seen.gates)
    assert len(names) == 2 + 3 * (1 + 2) and names[:2] == ["shrink.0.gate", "shrink.1.gate"]
    assert se_ecgnet.last_gates(names, 1) == ("branches.1.by_lead.0.gate", "branches.1.mixed.0.gate")
    assert all(len(weights) == 40 and ((weights > 0) & (weights < 1)).all() for weights in seen.gates.values())


def test_class_means_are_means_over_the_classes_records():
    weights, targets = np.array([[1.0], [2.0], [3.0], [10.0]]), np.array([[1, 0], [1, 0], [1, 1], [0, 1]])
    np.testing.assert_allclose(se_ecgnet.class_means(weights, targets), [[2.0], [np.nan]])      # two records are too few
    assert np.isnan(se_ecgnet.spread(weights, targets))


def test_the_spread_is_above_chance_where_the_record_tells_the_class(seen):
    apart, chance = se_ecgnet.spreads(seen)["shrink.0.gate"]
    assert apart > 2 * chance > 0
    assert "farther apart than with shuffled labels" in se_ecgnet.words(seen)


def test_what_the_paper_reports_is_read_from_the_reported_numbers():
    assert "99.2 %" in se_ecgnet.paper_scores() and "89.4 %" in se_ecgnet.paper_scores()


def test_figures_have_a_place_for_every_class_and_gate(seen):
    figure = se_ecgnet.gate_figure(seen)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["loud (20)", "quiet (20)"]
    depth = se_ecgnet.depth_figure(seen)
    assert [len(line.get_xdata()) for line in depth.axes[0].lines[:6]] == [5] * 6
    plt.close("all")
