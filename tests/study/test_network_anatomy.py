"""The network taken to pieces: sums, products and reaches against counts by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ecgstudy.layers.attention import MHSA
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study import complexity
from ecgstudy.study import network_anatomy as anatomy
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.train.seeds import scoped_seed


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return anatomy.full_network()


@pytest.fixture(scope="module")
def pieces(network) -> list[anatomy.Piece]:
    return anatomy.dissect(network)


def test_the_pieces_are_the_network(network, pieces):
    assert sum(piece.n_parameters for piece in pieces) == complexity.count_parameters(network)
    assert sum(piece.macs for piece in pieces) == complexity.macs(network, SIGNAL)
    letters = "".join(anatomy.KINDS[piece.kind][0] for piece in pieces)
    assert letters == "S" + "LL" + "F" + "LLLL" + "F" + "LGLGLGLG" + "F" + "GGGG" + "H"
    assert not any(module._forward_hooks for module in network.modules())


def test_shapes_by_stage(pieces):
    stages = {piece.part: (piece.n_tokens, piece.width) for piece in pieces}
    assert [stages[f"stage {i}"] for i in (1, 2, 3, 4)] == [(1000, 64), (500, 128), (250, 256), (125, 512)]
    assert stages["head"] == (1, 9)


def test_attention_products_by_hand(pieces):
    """2 N² C multiply-accumulates a global block, nothing elsewhere."""
    for piece in pieces:
        assert piece.products == (2 * piece.n_tokens**2 * piece.width if piece.kind == "global" else 0)


def test_reach_by_hand(pieces):
    """Convolutions add kernel - 1 times the samples between tokens. The stem's kernel of 39 lies in the second quarter of the channels,
    which the first local block convolves with 7; from the second block on the kernel of 19 reaches over everything."""
    stem = 1 + 6 + 4 + 38
    first, second = stem + 6, stem + 6 + 18
    fused = second + 2
    stage_2 = [fused + 2 * 18 * (i + 1) for i in range(4)]
    fused_again = stage_2[-1] + 4
    expected = [stem, first, second, fused, *stage_2, fused_again, fused_again + 4 * 18]
    assert [round(piece.sees * SIGNAL.fs) for piece in pieces[:len(expected)]] == expected
    assert all(piece.sees == SIGNAL.seconds for piece in pieces[len(expected):])


def test_samples_seen_of_one_convolution():
    record = torch.randn(1, 2, 50, generator=torch.Generator().manual_seed(0)).requires_grad_()
    output = nn.Conv1d(2, 3, 7, padding=3)(record)
    assert anatomy.samples_seen(output[0, :, 25], record) == 7
    assert anatomy.samples_seen(output[0, :, 0], record) == 4               # the edge of the record


def test_weight_macs_leave_the_products_out():
    layer, tokens = MHSA(8, 2), torch.zeros(1, 10, 8)
    assert anatomy.weight_macs(layer, tokens) == 10 * 4 * 8 * 8
    assert complexity.macs(layer, tokens) - anatomy.weight_macs(layer, tokens) == 2 * 10**2 * 8


def test_the_table_adds_up(pieces):
    table = anatomy.stage_table(pieces).data
    assert list(table["part"]) == ["stem", "stage 1", "fusion 1", "stage 2", "fusion 2", "stage 3", "fusion 3", "stage 4", "head", "all"]
    row = table.set_index("part").loc["stage 3"]
    assert row["blocks"] == "LGLGLGLG" and row["tokens"] == "250" and row["ms each"] == "40"
    assert table.iloc[-1]["parameters"] == "12,451,321" and table.iloc[-1]["products"] == "192.0 M"


def test_the_drawing_shows_what_was_measured(pieces):
    above, below = anatomy.drawing(pieces).axes
    assert [bar.get_height() for bar in above.patches] == [piece.width for piece in pieces]
    tokens = [label.get_text().split("\n")[1] for label in below.get_xticklabels()]
    assert tokens == ["1,000 tokens", "500 tokens", "250 tokens", "125 tokens"]
    assert [text.get_text() for text in below.texts][0] == "0.49" and below.texts[-1].get_text() == "10.00"
    shares = [text.get_text() for text in anatomy.shares(pieces, "").axes[0].texts]
    assert sum(float(share.removesuffix(" %")) for share in shares if "<" not in share) == pytest.approx(100, abs=0.5)


def test_a_longer_record_and_a_narrow_network():
    signal = SignalSpec(12, 2000, 100)
    with scoped_seed(0):            # with some draws all eight channels of the measured token are cut off by the stem's ReLU
        model = build_model("inception_former", signal, 5, widths=(8, 16, 16), depths=(1, 1, 2), heads=4)
    found = anatomy.dissect(model, signal)
    assert found[-1].width == 5 and found[-2].n_tokens == 500 and found[-1].sees == 20
