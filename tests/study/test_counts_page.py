"""Page 03's counts: every figure that the notes print is met, to the digit, and the page would say so if one drifted."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.study import complexity, counts_page, tables
from ecgstudy.study.counts_page import COUNTED, Count

REPORTED = tables.reported("counts")


@pytest.fixture(scope="module")
def counted() -> dict[str, Count]:
    return dict(zip(REPORTED, counts_page.counts(), strict=True))


@pytest.fixture(scope="module")
def searched():
    return {one.block: one for one in counts_page.search()}


@pytest.mark.parametrize("name", REPORTED)
def test_the_printed_count_is_met(counted, name):
    row = counted[name]
    assert row.ours == (REPORTED[name]["params"], REPORTED[name]["macs"])
    assert row.printed == row.ours and row.equal


def test_every_reported_row_is_known_and_no_other():
    assert set(COUNTED) == set(REPORTED)


@pytest.mark.parametrize(("name", "n_parameters"), [
    ("inceptionformer", 12_451_321), ("inceptionformer_3_stages", 3_644_153), ("inceptionformer_depths_2_4_8_2", 8_245_753),
    ("inceptionformer_sparse_tokens", 17_204_217), ("inceptionformer_tiny", 3_128_001), ("sparse_attention_block", 4_752_896),
    ("resnet18", 3_853_449), ("resnet34", 7_227_785), ("mobilenetv2", 2_192_873)])
def test_true_parameters(counted, name, n_parameters):
    """Those of the semantic tokens hold the learned tokens, which the notes' tool does not see."""
    assert counted[name].n_parameters == n_parameters


def test_parts_of_the_network_are_fed_what_the_notes_state(counted):
    """The notes give channels before tokens; where they give no input, it is what reaches the part inside the network."""
    assert counted["inceptionformer.stem"].shape == (1, 12, 1000)
    assert counted["inceptionformer.block2"].shape == (1, 250, 256)
    assert counted["sparse_attention_block"].shape == (1, 125, 512)
    assert counted["mobilenetv2"].shape == (1, 12, 1000)


def test_a_drifted_count_is_said(counted):
    row = counted["resnet18"]
    drifted = dataclasses.replace(row, ours=("3.86M", row.ours[1]))
    told = counts_page.verdict([counted["resnet34"], drifted])
    assert "3 of 4 printed figures are met" in told and "ResNet18, parameters: 3.85M printed, 3.86M here" in told
    assert list(counts_page.count_table([row, drifted]).data[("", "equal")]) == ["yes", "no"]
    assert counts_page.verdict([row]).startswith("**All 2 printed figures of the 1 rows")


def test_a_row_that_is_not_reported_is_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'resnet18'"):
        counts_page.counts(("resnet81",))


def test_a_local_block_by_hand():
    table = counts_page.by_hand().data
    assert list(table["parameters"]) == ["2C", "11C", "2C", "4C² + 3C", "4C² + 18C"]
    assert list(table["MACs, notes' rule"]) == ["4C", "10C", "4C", "4C²", "4C² + 18C"]
    assert list(table["true MACs"]) == ["0", "10C", "0", "4C²", "4C² + 10C"]


def test_the_search_keeps_the_blocks_that_were_built(searched):
    stages = counts_page.full_variant("inceptionformer", "inception_former").stages
    for kind, block, width in (("Local", stages[0][0], 64), ("Local", stages[2][0], 256), ("Global", stages[3][0], 512)):
        kept = searched[kind].left[0]
        assert kept.parameters(width) == complexity.count_parameters(block)
        assert kept.macs(width) == complexity.notes_macs(block, torch.zeros(1, 1, width))


def test_what_the_counts_leave_open(searched):
    assert (searched["Local"].n_tried, searched["Global"].n_tried) == (4 * 61 * 2 * 2 * 4, 4 * 2 * 2 * 2 * 4)
    assert [design.kernel for design in searched["Local"].left] == [10, 18]
    assert [(design.square, design.bias, design.norms) for design in searched["Global"].left] == [(8, 7, 2)]
    told = counts_page.left_open(list(searched.values()))
    assert "average 10; so do 34 sets" in told and "536.07M" in told
    assert len(counts_page.search_table(list(searched.values())).data) == 3


def test_other_figures_would_leave_no_design():
    told = {"inceptionformer.block0": {"input": [1, 64, 1000], "params": "35.07K", "macs": "35.08M"}}
    assert not any(counts_page.meets(told, {"inceptionformer.block0": [design] * 2}) for design in counts_page.local_designs())


def test_kernel_sets_by_hand():
    assert counts_page.kernel_sets(average=4, n=2) == 2             # 1 and 7, 3 and 5
    assert counts_page.kernel_sets(average=1, n=2) == 0


def test_a_count_in_units_of_the_width():
    assert counts_page.in_width(0, 8) == "0" and counts_page.in_width(64, 8) == "1C²" and counts_page.in_width(24, 8) == "3C"
    with pytest.raises(AssertionError, match="no multiple"):
        counts_page.in_width(9, 8)
