"""MVKT-ECG's page: the fitted map and its cosines against scikit-learn and loops, counts, and what is drawn and said."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import StandardScaler

from ecgstudy.study.axis_page import AxisPage, Comparison
from ecgstudy.study.papers import mvkt_ecg as page
from ecgstudy.study.papers.validation import ValidationRecords
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request
from ecgstudy.study.sweep import Outcome
from ecgstudy.study.variants import axis

N = 60
DRAW = np.random.default_rng(0)
TEACHER = DRAW.normal(size=(N, 6))
TARGETS = (DRAW.random((N, 3)) < 0.4).astype(int)


def test_the_map_is_a_ridge_regression_of_the_first_half_asked_on_the_second():
    mine = np.concatenate([TEACHER @ DRAW.normal(size=(6, 4)) + DRAW.normal(size=(N, 4)), np.ones((N, 1))], axis=1)
    found, half = page.align(mine, TEACHER, TARGETS), N // 2
    x, y = (StandardScaler().fit(each[:half]).transform(each) for each in (mine, TEACHER))
    mapped = Ridge(alpha=half, fit_intercept=False).fit(x[:half], y[:half]).predict(x[half:])
    np.testing.assert_allclose(found.cosines, cosine_similarity(mapped, y[half:]), atol=1e-8)
    nearest = [int(np.argmax(row)) == i for i, row in enumerate(found.cosines)]
    assert found.found_first == pytest.approx(np.mean(nearest))


def test_pairs_are_parted_by_the_labels_that_they_share():
    found = page.align(TEACHER, TEACHER, TARGETS)
    asked = TARGETS[N // 2:]
    for i in range(len(asked)):
        for j in range(len(asked)):
            share = bool((asked[i] & asked[j]).any()) or not asked[i].any() and not asked[j].any()
            assert (found.own[i, j], found.alike[i, j], found.other[i, j]) == (i == j, share and i != j, not share and i != j)


def test_a_student_that_knows_the_teachers_feature_names_the_record_and_one_that_knows_nothing_does_not():
    turned = TEACHER @ np.linalg.qr(DRAW.normal(size=(6, 6)))[0]
    assert page.align(turned, TEACHER, TARGETS).found_first > 0.9 and page.align(turned, TEACHER, TARGETS).apart > 0.5
    stranger = page.align(DRAW.normal(size=(N, 6)), TEACHER, TARGETS)
    assert stranger.found_first < 0.3 and abs(stranger.apart) < 0.2
    assert np.isnan(page.align(TEACHER, TEACHER, np.ones((N, 1), int)).apart)


@pytest.fixture
def found():
    """The page without one run."""
    asked = Request("papers/mvkt_ecg", "cpsc", "nine", profile("smoke"), (0,), {"networks": ("mvkt_ecg",)}, "name")
    return Comparison(AxisPage(axis("mvkt_ecg"), asked), Outcome(), [])


def test_where_nothing_was_run_an_untrained_student_is_asked(found, monkeypatch):
    monkeypatch.delenv("ECGSTUDY_DATA", raising=False)          # the page's data set is not at hand
    seen = page.aligned(found)
    assert list(seen.students) == [page.UNTRAINED] and seen.teacher == "fresh weights" and seen.n_records == 32
    assert seen.students[page.UNTRAINED].cosines.shape == (32, 32)


def test_features_are_what_the_last_linear_map_reads(found):
    model = page.untrained(found.page, "II")
    x = torch.randn(3, 12, 1000, generator=torch.Generator().manual_seed(0))
    records = ValidationRecords(x.numpy(), x, np.zeros((3, 9), int), list("abc"), tuple("abcdefghi"), 100)
    with torch.no_grad():
        torch.testing.assert_close(model.head.classify(torch.from_numpy(page.features(model, records))), model(x))
        silenced = x.clone()
        silenced[:, [row for row in range(12) if row != 1]] = 0
        torch.testing.assert_close(model(silenced), model(x))                   # lead II, and no other


def test_the_students_are_those_of_the_axis():
    variants = axis("mvkt_ecg").variants
    assert {page.student(lead, way) for lead in ("I", "II") for way in page.WAYS} | {"mvkt_ecg", "resnet18"} == set(variants)


def test_every_count_is_met(monkeypatch):
    monkeypatch.setattr(page, "macs", lambda model, signal: 0)
    text = page.count_table().to_html()
    assert text.count(">yes<") == 8 and ">no<" not in text and all(f"{count:,}" in text for pair in page.COUNTS.values() for count in pair)


def test_the_scheme_shows_both_rows_and_three_terms():
    drawn = page.scheme_figure()
    told = " ".join(text.get_text() for text in drawn.axes[0].texts)
    assert all(word in told for word in ("frozen", "student", "CLT", "MKD", "BCE", "12 leads", "lead I", "1 mV, 1 s"))
    plt.close(drawn)


def test_the_features_are_drawn_and_told_from_their_own_numbers():
    mine = TEACHER + DRAW.normal(size=(N, 6))
    stranger = page.align(DRAW.normal(size=(N, 6)), TEACHER, TARGETS)
    seen = page.Aligned({page.UNTRAINED: stranger, "both": page.align(mine, TEACHER, TARGETS)}, "fresh weights", N // 2)
    drawn = page.alignment_figure(seen)
    assert [axis.get_ylabel() for axis in drawn.axes] == ["untrained", "+ both"]
    for axis_, each in zip(drawn.axes, seen.students.values(), strict=True):
        assert axis_.texts[0].get_text() == f"{100 * each.found_first:.1f} %\nfound first"
        means = sorted(line.get_xdata()[0] for line in axis_.lines)
        assert means == pytest.approx(sorted(float(each.cosines[pairs].mean()) for pairs in (each.own, each.alike, each.other)))
    plt.close(drawn)
