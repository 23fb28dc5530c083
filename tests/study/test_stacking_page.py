"""Page 08: the strips are read from the networks, and the table counts what they show."""

import pytest
import torch
from matplotlib.colors import to_hex
from torch import nn

from ecgstudy.layers.blocks import Residual
from ecgstudy.models import build_model
from ecgstudy.study import stacking_page
from ecgstudy.study.axis_page import SIGNAL, AxisPage
from ecgstudy.study.complexity import count_parameters
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request
from ecgstudy.study.stacking_page import KINDS
from ecgstudy.study.variants import axis

NARROW = {"widths": (8, 16, 16, 16), "heads": 4}


def page_of(*names):
    stacking = axis("stacking")
    return AxisPage(stacking, Request(stacking.page, "synthetic", "nine", profile("smoke"), (0,), {"networks": names}))


def spelled(model):
    """Each stage's cells as letters; a single residual in lower case."""
    letters = {"multi-scale convolution": "L", "convolution, inverted residual": "R", "convolutional modulation": "M",
               "attention, full": "G", "attention, HiLo": "H", "attention, shunted": "U"}
    told = ([letters[cell.kind.label] if cell.paired else letters[cell.kind.label].lower() for cell in stage]
            for stage in stacking_page.cells(model))
    return ["".join(stage) for stage in told]


@pytest.mark.parametrize(("settings", "expected"), [
    ({"depths": (2, 1, 4, 2)}, ["LL", "L", "LGLG", "GG"]),
    ({"depths": (1, 1, 4, 1), "pattern": ("L", "L", "LLGG", "L")}, ["L", "L", "LLGG", "L"]),
    ({"depths": (1, 1, 2, 1), "pattern": ("L", "M", "S", "S")}, ["L", "M", "LgLLgL", "LgL"]),
    ({"depths": (1, 1, 2, 1), "pattern": ("R", "R", "P", "P"), "attention": "hilo"}, ["r", "r", "rHrH", "rH"]),
    ({"depths": (1, 1, 2, 1), "attention": "shunted"}, ["L", "L", "LU", "U"]),
    ({"depths": (1, 1, 2, 1), "gate": "squeeze_excite", "position": "cpe"}, ["L", "L", "LG", "G"])])
def test_cells_are_the_blocks_in_order(settings, expected):
    assert spelled(build_model("inception_former", SIGNAL, 9, **NARROW, **settings)) == expected


def test_an_unknown_mixer_is_not_drawn_as_something_else():
    with pytest.raises(TypeError, match="Linear is no token mixer"):
        stacking_page.kind_of(Residual(8, norm=nn.LayerNorm, layer=lambda dim: nn.Linear(dim, dim)))


def test_strips_draw_every_cell_once_in_its_colour():
    networks = {name: build_model("inception_former", SIGNAL, 9, **axis("stacking").variants[name].all_settings(profile("smoke")))
                for name in ("inception_next", "sandwich")}
    (plot,) = stacking_page.strips(networks).axes
    cells = [cell for model in networks.values() for stage in stacking_page.cells(model) for cell in stage]
    assert [to_hex(patch.get_facecolor()) for patch in plot.patches] == [cell.kind.colour for cell in cells]
    assert [text.get_text() for text in plot.get_yticklabels()] == ["InceptionNext", "SandwichNet"]
    assert len({kind.colour for kind in KINDS.values()}) == len(KINDS)


def test_the_table_counts_the_built_networks():
    page = page_of("inception_former", "mhsa_linear")
    networks = stacking_page.full_width(page)
    assert all(parameter.device == torch.device("meta") for parameter in networks["mhsa_linear"].parameters())
    table = stacking_page.family_table(page, networks).data
    assert list(table["pattern"]) == ["L · L · LG · G", "L · L · LLLLGGGG · G"]
    assert list(table["parameters"]) == [f"{count_parameters(model):,}" for model in networks.values()] == ["12,451,321"] * 2
    assert table["MACs"].iloc[0] == "2,319.5 M"      # the notes' 2,137.2 M, attention products and the stem's pool apart


def test_every_network_of_the_page_is_described():
    assert set(stacking_page.MEMBERS) == set(axis("stacking").variants)
