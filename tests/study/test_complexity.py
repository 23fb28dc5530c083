"""Counts against the figures that the study notes print, and against counts by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.attention import MHSA
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study import complexity

SIGNAL = SignalSpec(12, 1000, 100)


def printed(model: nn.Module, inputs) -> tuple[str, str]:
    return (complexity.notes_print(complexity.notes_parameters(model)),
            complexity.notes_print(complexity.notes_macs(model, inputs)))


@pytest.fixture(scope="module")
def base() -> nn.Module:
    return build_model("inception_former", SIGNAL, 9)


def test_base_network_as_printed(base):
    assert printed(base, SIGNAL) == ("12.45M", "2.14G")
    assert printed(base.stem, SIGNAL) == ("36.72K", "36.74M")


@pytest.mark.parametrize("two_ways", [False, True])
def test_an_lstm_is_a_product_with_all_its_weights_at_every_step(two_ways):
    lstm = nn.LSTM(5, 3, num_layers=2, batch_first=True, bidirectional=two_ways)
    weights = sum(parameter.numel() for name, parameter in lstm.named_parameters() if name.startswith("weight"))
    assert complexity.macs(lstm, torch.zeros(2, 7, 5)) == 2 * 7 * weights


@pytest.mark.parametrize(("stage", "shape", "figures"), [
    (0, (1, 1000, 64), ("35.07K", "35.07M")), (1, (1, 500, 128), ("271.36K", "135.68M")),
    (2, (1, 250, 256), ("3.18M", "793.09M")), (3, (1, 125, 512), ("8.41M", "1.05G"))])
def test_blocks_as_printed(base, stage, shape, figures):
    assert printed(base.stages[stage], torch.zeros(shape)) == figures


@pytest.mark.parametrize(("name", "settings", "figures"), [
    ("inception_former", {"widths": (64, 128, 256), "depths": (2, 4, 8)}, ("3.64M", "1.04G")),
    ("inception_former", {"depths": (2, 4, 8, 2)}, ("8.25M", "1.61G")),
    ("resnet18", {}, ("3.85M", "176.57M")), ("resnet34", {}, ("7.23M", "357.74M")), ("mobilenetv2", {}, ("2.19M", "96.60M"))])
def test_ablations_and_baselines_as_printed(name, settings, figures):
    assert printed(build_model(name, SIGNAL, 9, **settings), SIGNAL) == figures


@pytest.mark.parametrize(("attention", "parameters", "billions", "true_macs"), [
    ("mhsa", 12_451_321, "2.137", 2_319_492_608), ("spatial_reduction", 15_081_977, "2.136", 2_221_139_456),
    ("bi_level_routing", 12_469_753, "2.140", 2_208_772_608), ("window", 12_451_321, "2.137", 2_153_092_608),
    ("shifted_window", 12_451_321, "2.137", 2_153_092_608), ("shunted", 20_346_361, "2.407", 2_527_642_880),
    ("hilo", 11_795_961, "1.882", 1_893_662_208)])
def test_attention_variants(attention, parameters, billions, true_macs):
    model = build_model("inception_former", SIGNAL, 9, attention=attention)
    assert complexity.notes_parameters(model) == parameters      # the notes' tool does not see a table of relative biases
    assert f"{complexity.notes_macs(model, SIGNAL) / 1e9:.3f}" == billions
    assert complexity.macs(model, SIGNAL) == true_macs


def test_true_count_adds_the_attention_products_and_leaves_norms_out(base):
    products = 4 * 2 * 250**2 * 256 + 4 * 2 * 125**2 * 512
    norms = 2 * 4 * 64 * 1000 + 18 * 2 * 4 * 64_000              # two in the stem, two in each block of 64,000 numbers
    assert complexity.macs(base, SIGNAL) == complexity.notes_macs(base, SIGNAL) + products - norms


def test_rules_of_the_notes_by_hand():
    signal = torch.zeros(2, 4, 20)
    assert complexity.notes_macs(nn.Conv1d(4, 6, 3, groups=2), signal) == 2 * 6 * 18 * (2 * 3)
    assert complexity.notes_macs(nn.BatchNorm1d(4), signal) == 4 * 160
    assert complexity.notes_macs(nn.BatchNorm1d(4, affine=False), signal) == 2 * 160
    assert complexity.notes_macs(nn.AdaptiveAvgPool1d(1), signal) == 8 * (20 + 1)
    assert complexity.notes_macs(nn.AvgPool1d(5), signal) == 2 * 4 * 4
    assert complexity.notes_macs(nn.Sequential(nn.GELU(), nn.Softmax(-1)), signal) == 0
    assert complexity.notes_macs(nn.Linear(20, 3), signal) == 8 * 20 * 3 == complexity.macs(nn.Linear(20, 3), signal)


def test_frozen_parameters_are_not_counted():
    layer = nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    assert complexity.count_parameters(layer) == 6


@pytest.mark.parametrize(("count", "text"), [(12_451_321, "12.45M"), (2_137_220_608, "2.14G"), (36_720, "36.72K"), (9, "9.00B")])
def test_notes_print(count, text):
    assert complexity.notes_print(count) == text


def test_measuring_leaves_the_model_as_it_was():
    model = build_model("resnet18", SIGNAL, 9, width=8).train()
    model.stem.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    complexity.macs(model, SIGNAL)
    complexity.notes_macs(model, SIGNAL)
    assert complexity.latency(model, SIGNAL, batch=2, repeats=2) > 0
    assert model.training and model.stages.training and not model.stem.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_saved_bytes_of_full_attention_by_hand():
    layer = MHSA(32, 4)
    cost = complexity.attention_cost("mhsa", 50, dim=32, heads=4, repeats=1)
    one = 50 * 32 * 4                                            # bytes of [1, N, D]
    # the input, q with k and v, and the output, with a number a row beside them; never the N x N weights of the explicit path
    assert 5 * one <= cost.saved_bytes < 6 * one
    assert cost.saved_bytes == complexity.saved_bytes(layer, torch.zeros(1, 50, 32)) and cost.forward_milliseconds > 0
    assert complexity.attention_cost("mhsa", 100, dim=32, heads=4, repeats=1).saved_bytes == 2 * cost.saved_bytes


def test_refuses_an_unknown_attention_and_no_repeats():
    with pytest.raises(ConfigurationError, match="did you mean 'window'"):
        complexity.attention_cost("windw", 50)
    with pytest.raises(ConfigurationError, match="repeats is 0"):
        complexity.attention_cost("mhsa", 50, dim=32, repeats=0)
