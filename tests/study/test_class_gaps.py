"""Gaps between teacher and student: values from the runs' own scores, shares, seeds in common, and corrected differences."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecgstudy.evaluate.bootstrap import Interval
from ecgstudy.study.class_gaps import EVERY_CLASS, ClassGap, class_gaps, common_seeds, differences, macro, scored
from ecgstudy.study.comparison import compare


@pytest.fixture
def rows(made_run):
    """Rows by name: skill and seeds of each."""
    def make(**wanted):
        runs, plan = [], {}
        for name, (skill, seeds) in wanted.items():
            for seed in seeds:
                run = made_run(name, seed, skill)
                runs.append(run)
                plan[run.experiment] = name
        return compare(runs, plan, next(iter(wanted)), 50)
    return make


THREE = {"strong_one": (3.0, (0, 1)), "weak": (0.3, (0, 1)), "middle": (1.5, (1, 2))}


def test_values_are_the_aurocs_of_the_runs(rows):
    found = rows(**THREE)
    measured = scored(found, 20)
    for row in found:
        for run in row.runs:
            by_class = measured[row.value][run.experiment.seed]
            assert by_class.shape == (21, 9)
            expected = [roc_auc_score(run.predictions.test_targets[:, k], run.predictions.test_logits[:, k]) for k in range(9)]
            np.testing.assert_allclose(by_class[0], expected)
            np.testing.assert_allclose(macro(by_class)[0], run.result["scores"]["test"]["macro_auroc"])


def test_a_gap_is_paired_over_the_seeds_in_common(rows):
    found = rows(**THREE)
    measured, test = scored(found, 200), found[0].runs[0].result["scores"]["test"]
    assert common_seeds(measured, ("strong_one", "weak")) == [0, 1] and common_seeds(measured, tuple(THREE)) == [1]
    gaps = class_gaps(measured, "strong_one", "weak", "middle", test)
    assert [gap.name for gap in gaps] == [EVERY_CLASS, *test["classes"]] and {gap.n_seeds for gap in gaps} == {1}
    for k, gap in enumerate(gaps[1:]):
        strong, weak, middle = (measured[name][1][0, k] for name in THREE)
        assert gap.gap.estimate == pytest.approx(strong - weak) and gap.gain.estimate == pytest.approx(middle - weak)
        assert gap.share == pytest.approx((middle - weak) / (strong - weak)) and 0 < gap.share < 1
        assert gap.gap.low < gap.gap.estimate < gap.gap.high and gap.positives == test["positives"][k]
    assert gaps[0].teacher == pytest.approx(np.mean([gap.teacher for gap in gaps[1:]]))


def test_without_a_gap_there_is_no_share(rows):
    found = rows(weak=(0.3, (0,)), slight=(0.3, (0,)), middle=(1.5, (0,)))
    gaps = class_gaps(scored(found, 200), "weak", "slight", "middle", found[0].runs[0].result["scores"]["test"])
    assert all(math.isnan(gap.share) for gap in gaps if gap.gap.low <= 0) and any(gap.gap.low <= 0 for gap in gaps)
    nothing = ClassGap("x", 3, 0.9, 0.8, 0.85, Interval(0.1, float("nan"), float("nan"), 0), Interval(0.05, 0, 1, 9), 1)
    assert math.isnan(nothing.share)


def test_a_missing_row_leaves_no_gap(rows):
    found = rows(**THREE)
    measured = scored(found, 20)
    assert class_gaps(measured, "strong_one", "weak", "gone", found[0].runs[0].result["scores"]["test"]) == []
    assert differences(measured, [("gone", "weak")]) == {} and scored([]) == {}


def test_a_class_that_the_fold_lacks_is_left_out_of_the_mean(rows):
    found = rows(**THREE)
    for row in found:
        for run in row.runs:
            blanked = run.predictions.test_targets.copy()
            blanked[:, 4] = 0
            run.__dict__["predictions"] = dataclasses.replace(run.predictions, test_targets=blanked)
    measured = scored(found, 20)
    by_class = measured["weak"][0]
    assert np.isnan(by_class[:, 4]).all()
    np.testing.assert_allclose(macro(by_class), np.delete(by_class, 4, axis=1).mean(axis=1))


def test_differences_are_those_of_a_comparison_and_corrected_over_all_pairs(rows):
    found = rows(weak=(0.3, (0, 1, 2)), middle=(1.5, (0, 1, 2)), slight=(0.32, (0, 1, 2)))
    told = differences(scored(found, 300), [("middle", "weak"), ("slight", "weak"), ("middle", "slight")])
    better = told["middle", "weak"]
    assert better.verdict == "better" and better.n_seeds == 3
    assert better.interval.estimate == pytest.approx(found[1].difference["macro_auroc"].interval.estimate)
    alone = differences(scored(found, 300), [("middle", "weak")])["middle", "weak"]
    assert better.p_holm == pytest.approx(3 * alone.p_holm) and told["slight", "weak"].verdict == "undecided"
