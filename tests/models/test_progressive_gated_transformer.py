"""MPGT: the whole network against a plain re-computation, its gate's limits, rows of equal length, the controls, and refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.convs import TokenConv
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models import progressive_gated_transformer as mpgt

SIGNAL = SignalSpec(12, 320, 100)
SMALL = {"width": 16, "stem_width": 8}


def built(signal=SIGNAL, **settings) -> torch.nn.Module:
    torch.manual_seed(0)
    model = build_model("progressive_gated_transformer", signal, 5, **(SMALL | settings)).eval()
    with torch.no_grad():
        for module in model.modules():          # norms that do something
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 2)
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.2, 0.2)
    return model


def records(n: int = 2, signal: SignalSpec = SIGNAL) -> torch.Tensor:
    return torch.randn(n, signal.n_leads, signal.n_samples, generator=torch.Generator().manual_seed(1))


# -- the network once more, from its weights and the formulas -----------------------------------------------------------

class Plain:
    """The network written out, one function a formula, on the weights of a model."""

    def __init__(self, model: torch.nn.Module, heads: int) -> None:
        self.weights, self.heads = model.state_dict(), heads

    def affine(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def layer_norm(self, name, x):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def batch_norm(self, name, x):
        mean, var, scale, shift = (self.weights[f"{name}.{part}"][:, None] for part in ("running_mean", "running_var", "weight", "bias"))
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def conv(self, name, x, stride):
        kernel = self.weights[f"{name}.weight"]
        x = F.pad(x, (kernel.shape[-1] // 2,) * 2).unfold(-1, kernel.shape[-1], stride)                   # [B, C, N, k]
        return torch.einsum("bcnk,ock->bon", x, kernel) + self.weights[f"{name}.bias"][:, None]

    def tokens(self, name, x, fine):
        x = F.gelu(self.batch_norm(f"{name}.extract.1", self.conv(f"{name}.extract.0", x, 2 if fine else 4)))
        if fine:
            x = x.unflatten(-1, (-1, 2)).amax(-1)
        else:
            padded = F.pad(x, (1, 1), value=-math.inf)
            x = torch.maximum(torch.maximum(padded[..., :-2], padded[..., 1:-1]), padded[..., 2:])
        x = F.gelu(self.batch_norm(f"{name}.extract.5", self.conv(f"{name}.extract.4", x, 1)))
        return x.unflatten(-1, (-1, 2)).mean(-1).transpose(1, 2) + self.weights[f"{name}.place.table"]

    def attend(self, name, x):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.affine(f"{name}.qkv", x).chunk(3, -1))
        mixed = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v
        return self.affine(f"{name}.project", mixed.transpose(1, 2).flatten(2))

    def feed_forward(self, name, x):
        return self.affine(f"{name}.reduce", F.gelu(self.affine(f"{name}.expand", x)))

    def convolve(self, name, x, dilation):
        for part in (0, 2):
            left, here, right = self.weights[f"{name}.{part}.conv.weight"][:, :, 0].unbind(-1)
            silence = torch.zeros_like(x[:, :dilation])
            before, after = torch.cat([silence, x[:, :-dilation]], 1), torch.cat([x[:, dilation:], silence], 1)
            x = (before @ left.T + x @ here.T + after @ right.T + self.weights[f"{name}.{part}.conv.bias"]).relu()
        return x

    def block(self, name, x, dilation):
        x = x + self.attend(f"{name}.0.layer.0", self.layer_norm(f"{name}.0.norm", x))
        x = x + self.feed_forward(f"{name}.1.layer.0", self.layer_norm(f"{name}.1.norm", x))
        x = x + self.convolve(f"{name}.2.layer.0", self.layer_norm(f"{name}.2.norm", x), dilation)
        return x + self.feed_forward(f"{name}.3.layer.0", self.layer_norm(f"{name}.3.norm", x))

    def logits(self, x, levels=3):
        fine, coarse = self.tokens("fine", x, True), self.tokens("coarse", x, False)
        for level in range(levels):
            fine = self.block(f"levels.{level}.fine", fine, 2**level)
            coarse = self.block(f"levels.{level}.coarse", coarse, 2**level)
            gate = 1 / (1 + (-self.affine(f"levels.{level}.merge.gate.weigh", fine).tanh()).exp())
            coarse = fine * gate + coarse
        return self.affine("head.classify", self.layer_norm("head.norm", coarse).mean(1))


@torch.no_grad()
def test_the_network_is_the_one_of_the_formulas():
    model, x = built(), records()
    torch.testing.assert_close(model(x), Plain(model, heads=4).logits(x), atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_a_gate_weighs_and_can_neither_shut_nor_open():
    gate = mpgt.Gate(4)
    torch.nn.init.constant_(gate.weigh.bias, 0)
    low, high = 1 / (1 + math.e), math.e / (1 + math.e)
    assert gate(torch.zeros(1, 1, 4)).eq(0.5).all()
    extremes = gate(torch.randn(1, 50, 4) * 1e4)
    assert low - 1e-6 <= extremes.min() < 0.27 and 0.73 < extremes.max() <= high + 1e-6


@torch.no_grad()
def test_every_level_has_its_own_gate_and_its_values_are_those_that_weigh():
    model, x = built(), records()
    values = mpgt.gate_values(model, x)
    assert list(values) == [1, 2, 3] and all(value.shape == (2, 40, 16) for value in values.values())
    fine, coarse = model.fine(x), model.coarse(x)
    for number, level in enumerate(model.levels, 1):
        fine, ungated = level.fine(fine), level.coarse(coarse)
        coarse = fine * values[number] + ungated
    torch.testing.assert_close(coarse.transpose(1, 2), model.forward_features(x))
    assert not any(gate._forward_hooks for gate in mpgt.gates(model).values())


@torch.no_grad()
def test_one_gate_waits_for_the_last_level_and_plain_sums_have_none():
    x = records()
    last = built(fusion="last")
    assert list(mpgt.gates(last)) == [3] and mpgt.gates(built(fusion="sum")) == {}
    fine, coarse = last.fine(x), last.coarse(x)
    for level in last.levels:
        fine, coarse = level.fine(fine), level.coarse(coarse)
    expected = fine * mpgt.gate_values(last, x)[3] + coarse
    torch.testing.assert_close(last.forward_features(x), expected.transpose(1, 2))


@torch.no_grad()
def test_one_branch_alone_is_that_branch_of_the_whole():
    """The fine row never sees the coarse one, so alone it is what it was within the whole network."""
    whole, x = built(), records()
    alone = built(fusion="fine")
    weights = whole.state_dict()
    moved = {name: weights[name.replace("branch.", "fine.").replace("blocks.", "levels.") if name.startswith("branch") else
                           f"levels.{name.split('.')[1]}.fine.{name.split('.', 2)[2]}" if name.startswith("blocks") else name]
             for name in alone.state_dict()}
    alone.load_state_dict(moved)
    fine = whole.fine(x)
    for level in whole.levels:
        fine = level.fine(fine)
    torch.testing.assert_close(alone.forward_features(x), fine.transpose(1, 2))


@pytest.mark.parametrize("n_samples", [5, 8, 250, 333, 334, 335, 999, 1000])
@torch.no_grad()
def test_both_rows_have_equally_many_tokens(n_samples):
    model = built(SignalSpec(12, n_samples, 100))
    x = records(1, SignalSpec(12, n_samples, 100))
    assert model.fine(x).shape == model.coarse(x).shape == (1, mpgt.n_tokens_of(n_samples), 16)


@torch.no_grad()
def test_a_token_of_either_row_stands_at_the_same_time():
    """Where one spike moves the extractors' output most: in both rows near the token that holds it."""
    model, quiet = built(), torch.zeros(1, 12, 320)
    loud = quiet.clone()
    loud[..., 164] = 5.0                                        # within token 20, samples 160 to 167
    for branch in (model.fine, model.coarse):
        moved = (branch.extract(loud) - branch.extract(quiet)).square().sum(1)[0]
        centre = (moved * torch.arange(40)).sum() / moved.sum()
        assert centre.item() == pytest.approx(20, abs=1)


def test_kernels_and_dilations_grow_with_the_sampling_rate():
    model = built(SignalSpec(12, 1600, 500))
    assert [branch.extract[0].kernel_size[0] for branch in (model.fine, model.coarse)] == [35, 255]
    dilations = [[m.conv.dilation[1] for m in level.coarse.modules() if isinstance(m, TokenConv)] for level in model.levels]
    assert dilations == [[5, 5], [10, 10], [20, 20]]


@pytest.mark.parametrize(("signal", "settings", "says"), [
    (SignalSpec(12, 4, 100), {}, "4 samples, too few for one token; give at least 5"),
    (SIGNAL, {"fusion": "progresive"}, "unknown fusion 'progresive'; did you mean 'progressive'"),
    (SIGNAL, {"width": 18}, "width is 18, which heads 4 does not divide"),
    (SIGNAL, {"levels": 0}, "levels is 0"),
    (SIGNAL, {"dropout": 1}, "dropout is 1; it must be at least 0 and below 1"),
    (SIGNAL, {"fine_kernels": (7, 4)}, "fine_kernels is 4; it must be odd"),
    (SIGNAL, {"coarse_kernels": (51,)}, r"coarse_kernels is \(51,\); give two kernels"),
])
def test_refuses_what_the_design_cannot_take(signal, settings, says):
    with pytest.raises(ConfigurationError, match=says):
        build_model("progressive_gated_transformer", signal, 5, **(SMALL | settings))
