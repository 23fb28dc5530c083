"""CPC's page: one anchor's scores, accuracy by step against a loop, label efficiency and its pairs, the reported numbers, words."""

from __future__ import annotations

import dataclasses
import math
import types

import numpy as np
import pytest
import torch

from ecgstudy.models import SignalSpec
from ecgstudy.models.registry import build_pretrainer
from ecgstudy.study.comparison import compare
from ecgstudy.study.papers import cpc_ssl as page
from ecgstudy.study.papers.validation import ValidationRecords
from ecgstudy.study.pretraining import Pretrained
from ecgstudy.train.objectives.cpc import draw

SIGNAL = SignalSpec(12, 260, 25)


def network(start: int):
    torch.manual_seed(start)
    return build_pretrainer("cpc_ssl", SIGNAL, width=8, context=6).eval()


def made(n: int = 3, run: object | None = None, history: tuple = ()) -> page.Subject:
    x = torch.randn(n, 12, 260, generator=torch.Generator().manual_seed(1))
    targets = np.eye(2, dtype=int)[np.arange(n) % 2]
    records = ValidationRecords(x.numpy(), x, targets, list("abcdefgh")[:n], ("AF", "Normal"), 25)
    return page.Subject(Pretrained(network(0), network(1), "whose weights", history, run), records, distance=3, distractors=7)


# -- one anchor ---------------------------------------------------------------------------------------------------------

@torch.no_grad()
def test_the_curve_scores_every_sample_against_one_expectation():
    model, x = network(0), made().records.scaled
    curve = page.score_curve(model, x[1], 40)
    expectation = model(x[1:2])[0, 40]
    np.testing.assert_allclose(curve, (model.latents(x[1:2])[0] @ expectation).numpy(), atol=1e-5)


def test_a_rank_counts_what_scores_as_high():
    assert [page.rank(np.array([3.0, 1.0, 2.0, 2.0]), i) for i in range(4)] == [1, 4, 3, 3]


def test_the_example_is_the_first_normal_record_and_its_anchor_lies_before_the_steepest_place():
    records = made().records
    quiet = np.zeros((3, 12, 260))
    quiet[1, :, 120:] = 1.0                             # the step is in the middle, at 4.8 s
    quiet[1, :, 20:60:2] = 9.0                          # and something steeper where it is not looked for
    records = dataclasses.replace(records, millivolts=quiet)
    row, anchor = page.example(records, 3)
    assert row == 1 and anchor + 3 in (119, 120)
    strange = dataclasses.replace(records, classes=("AF", "PVC"))
    assert page.example(strange, 3)[0] == 0


@pytest.mark.parametrize(("run", "n_panels"), [(None, 2), ("a run", 3)])
def test_the_anchors_picture_shows_a_panel_for_each_network(run, n_panels):
    seen = made(run=run)
    drawn = page.anchor_figure(seen)
    assert len(drawn.axes) == n_panels
    row, anchor = page.example(seen.records, 3)
    model = seen.pretrained.model if run else seen.pretrained.untrained
    curve = page.score_curve(model, seen.records.scaled[row], anchor)
    np.testing.assert_allclose(drawn.axes[1].lines[0].get_ydata(), curve)
    assert drawn.axes[1].lines[1].get_xdata()[0] == pytest.approx((anchor + 3) / 25)
    assert f"ranks {page.rank(curve, anchor + 3)} of 260" in drawn.axes[1].get_title(loc="left")


# -- accuracy by step ---------------------------------------------------------------------------------------------------

@torch.no_grad()
def test_accuracy_by_step_is_that_of_a_loop():
    model, x = network(0), made(2).records.scaled
    found = page.accuracy_by_step(model, x, torch.Generator().manual_seed(5), (2, 250), distractors=4, anchors=20)
    generator = torch.Generator().manual_seed(5)
    z, expected = model.latents(x), model(x)
    told = np.zeros((2, 2))
    for s, k in enumerate((2, 250)):
        drawn = draw(2, 260, generator, k, 4, min(20, 260 - k))
        for b in range(2):
            right = []
            for t, (positive, *others) in zip(drawn.anchors[b].tolist(), drawn.candidates[b].tolist(), strict=True):
                assert positive == t + k and len(others) == 4
                score = [float(z[b, j] @ expected[b, t]) for j in (positive, *others)]
                right.append(score[0] > max(score[1:]))
            told[b, s] = np.mean(right)
    np.testing.assert_allclose(found, told, atol=1e-6)


def test_a_network_that_knows_the_time_recognises_its_own_distance_alone():
    """Latents that say where they are, and an expectation three samples on: right there, and nowhere else."""
    n = 40
    phase = 2 * math.pi * torch.arange(n) / n
    z = torch.stack([phase.cos(), phase.sin()], dim=1)[None]
    turned = torch.stack([(phase + 3 * 2 * math.pi / n).cos(), (phase + 3 * 2 * math.pi / n).sin()], dim=1)[None]
    model = types.SimpleNamespace(latents=lambda x: z.expand(len(x), -1, -1), context=lambda z: turned.expand(len(z), -1, -1),
                                  predictor=torch.nn.Identity())
    found = page.accuracy_by_step(model, torch.zeros(2, 12, n), torch.Generator().manual_seed(0), (1, 3, 6), distractors=200)
    assert found[:, 1].tolist() == [1.0, 1.0] and found[:, [0, 2]].max() == 0


@pytest.mark.parametrize("run", [None, "a run"])
def test_the_steps_picture_and_its_words(run, monkeypatch):
    saved = []
    monkeypatch.setattr(page.axis_page, "save_picture", lambda figure, request: saved.append(request))
    history = ({"training_loss": 2.0, "validation_loss": 1.9}, {"training_loss": 1.8, "validation_loss": 1.7}) if run else ()
    seen = made(run=run, history=history)
    measured = page.curves(seen)
    found = types.SimpleNamespace(page=types.SimpleNamespace(request="the request"), rows=[])
    drawn = page.step_figure(seen, found, measured)
    assert saved == ["the request"] and len(drawn.axes) == (2 if run else 1)
    assert seen.steps[:4] == [1, 2, 3, 4] and all(values.shape == (3, len(seen.steps)) for values in measured.values())
    assert list(measured) == (["pretrained", "fresh weights"] if run else ["fresh weights"])
    told = page.in_words(seen, found, measured)
    fresh = measured["fresh weights"].mean(axis=0)[seen.steps.index(3)]
    assert f"{fresh:.1%}" in told and "chance is 12.5%" in told and ("No pretrained weights" in told) == (run is None)
    if run:
        assert list(drawn.axes[1].lines[1].get_ydata()) == [1.9, 1.7] and "trained for" in drawn.axes[0].texts[0].get_text()


@pytest.mark.parametrize(("held", "place", "ends"), [
    ([1, 0, 1, 1, 1, 0, 1], 3, (2, 4)), ([1, 1], 0, (0, 1)), ([0, 1], 1, (1, 1)), ([1, 0], 0, (0, 0))])
def test_an_unbroken_stretch(held, place, ends):
    assert page._around(np.array(held, bool), place) == ends


# -- label efficiency ---------------------------------------------------------------------------------------------------

@pytest.fixture
def rows(made_run):
    """A tenth of the labels: fine-tuned well, from scratch badly, three seeds each; every label: from scratch alone; a probe."""
    skills = {"cpc_tuned_10": 3.0, "cpc_ssl_scratch_10": 0.3, "cpc_ssl": 2.0, "cpc_probe_1": 1.0, "resnet18": 1.0}
    made = {name: [made_run(name, seed, skill) for seed in range(3 if name.endswith("_10") else 1)] for name, skill in skills.items()}
    runs = [run for each in made.values() for run in each]
    return compare(runs, {run.experiment: name for name, each in made.items() for run in each}, "resnet18", n_replicates=50)


def test_rows_are_sorted_by_way_and_share(rows):
    found = page.efficiency(rows)
    assert {way: {percent: row.value for percent, row in each.items()} for way, each in found.items()} == {
        "fine-tuned": {10: "cpc_tuned_10"}, "linear probe": {1: "cpc_probe_1"},
        "from scratch": {10: "cpc_ssl_scratch_10", 100: "cpc_ssl"}}
    assert page.efficiency([]) == {}


def test_gains_are_paired_at_one_share(rows):
    found = page.gains(rows)
    by_name = {row.value: row for row in rows}
    assert list(found) == [10] and found[10].n_seeds == 3 and found[10].verdict == "better"
    points = [by_name[name].measured["macro_auroc"].interval.estimate for name in ("cpc_tuned_10", "cpc_ssl_scratch_10")]
    assert found[10].interval.estimate == pytest.approx(points[0] - points[1])
    assert "with 10 % of the labels +" in page._gains_in_words(found) and page._gains_in_words({}) == ""


def test_the_picture_has_a_line_for_each_way_and_the_papers_scores(rows):
    found = types.SimpleNamespace(rows=rows, outcome=types.SimpleNamespace(finished=[rows[0].runs[0]]))
    (axis,) = page.efficiency_figure(found).axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["fine-tuned", "linear probe", "from scratch"]
    assert {"fine-tuned 0.942", "from scratch 0.932", "linear probe 0.927"} <= {text.get_text() for text in axis.texts}
    table = page._labels_in_words(page.efficiency(rows))
    assert table.count("|") == 5 * 5 and "| linear probe | 0." in table and "–" in table


def test_reported_and_pretraining_tables():
    shown = page.reported_table().to_html() + page.pretraining_table().to_html()
    for number in ("0.942", "0.711", "SimCLR", "mean of 10 runs", "796,672", "4,202,496", "262,144", "5,261,312", "1,319,936"):
        assert number in shown
    assert "no</td>" not in shown
