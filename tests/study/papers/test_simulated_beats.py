"""Detected beats of simulated records carry the kind of the true beat that they are."""

import numpy as np
import pytest
import torch

from ecgstudy.study.papers.simulated_beats import NEAR, simulated_beats


@pytest.fixture(scope="module")
def beats():
    return simulated_beats(None, 8, 24)


def test_kinds_are_those_of_the_true_beats(beats):
    true = beats.simulation.beats
    for record, slot in np.argwhere(beats.held):
        near = true[(true["record"] == record) & ((true["r"] - beats.peaks[record, slot].item() / 100).abs() < NEAR)]
        kind = beats.kinds[record, slot]
        assert kind == "" if near.empty else kind in set(near["kind"])
    assert (beats.kinds[~beats.held] == "").all()


def test_detections_are_counted_against_the_truth(beats):
    true, found, others = beats.detected()
    in_record = beats.simulation.beats["r"].between(0, 10, inclusive="neither")
    assert true == in_record.sum() and 0.8 * true < found <= true and others <= true - found + 5


def test_records_are_scaled_as_a_network_gets_them(beats):
    assert beats.x.shape == (8, 12, 1000) and abs(float(beats.x.std()) - 1) < 1e-3
    kinds = [set(row) - {""} for row in beats.kinds]
    assert len(kinds[beats.record_of_many_kinds()]) == max(len(each) for each in kinds if "sinus" in each)
    assert beats.peaks.dtype == torch.int64
