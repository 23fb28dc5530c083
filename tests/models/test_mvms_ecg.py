"""MVMS-Net: which leads a view sees, its block and its gates against plain re-computations, the student, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ecgstudy.errors import ConfigurationError
from ecgstudy.leads import LEADS
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.mvms_ecg import VIEWS, Res2Block

SIGNAL = SignalSpec(12, 320, 100)


def built(signal=SIGNAL, **settings) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model("mvms_ecg", signal, 5, **({"width": 8} | settings)).eval()


def records(n: int = 2, signal: SignalSpec = SIGNAL) -> torch.Tensor:
    return torch.randn(n, signal.n_leads, signal.n_samples, generator=torch.Generator().manual_seed(1))


def test_each_lead_belongs_to_one_view():
    assert sorted(lead for leads in VIEWS.values() for lead in leads) == sorted(LEADS) and len(VIEWS) == 6
    assert built().leads == [[3], [0, 4], [6, 7], [8, 9], [10, 11], [1, 2, 5]]


@pytest.mark.parametrize("lead", ["aVR", "II", "V3"])
@torch.no_grad()
def test_a_lead_is_seen_by_its_view_alone(lead):
    model, x = built(), records(1)
    silenced = x.clone()
    silenced[:, LEADS.index(lead)] = 0
    moved = (model.forward_features(silenced) - model.forward_features(x)).abs().amax(dim=(0, 1, 3))
    assert [view for view, change in zip(VIEWS, moved, strict=True) if change > 0] == [v for v, leads in VIEWS.items() if lead in leads]


# -- the block, from its weights and the formulas -----------------------------------------------------------------------

def mish(x):
    return x * np.tanh(np.log1p(np.exp(x)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Plain:
    """A block [C, N] -> [C', ceil(N / 2)] as sums and loops."""

    def __init__(self, block):
        self.w = {name: value.double().numpy() for name, value in block.state_dict().items()}

    def norm(self, name, x):
        mean, var, scale, shift = (self.w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return (x - mean[:, None]) / np.sqrt(var + 1e-5)[:, None] * scale[:, None] + shift[:, None]

    def part(self, i, x, stride):
        kernel = self.w[f"parts.{i}.0.weight"]                                  # [out, in, k]
        half = kernel.shape[2] // 2
        out = np.zeros((len(kernel), -(-x.shape[1] // stride)))
        for place in range(out.shape[1]):
            for j in range(kernel.shape[2]):
                sample = stride * place + j - half
                if 0 <= sample < x.shape[1]:
                    out[:, place] += kernel[:, :, j] @ x[:, sample]
        return mish(self.norm(f"parts.{i}.1", out))

    def pool(self, x):
        padded = np.pad(x, ((0, 0), (1, 1)))
        return np.stack([padded[:, 2 * n:2 * n + 3].sum(axis=1) / 3 for n in range(-(-x.shape[1] // 2))], axis=1)

    def gate(self, x):
        def affine(name, y):
            return self.w[f"attention.{name}.weight"] @ y + self.w[f"attention.{name}.bias"][:, None]

        def narrow(y):
            y = self.norm("attention.norm", affine("squeeze", y))
            return y * np.clip(y + 3, 0, 6) / 6
        return x * sigmoid(affine("token_gate", narrow(x))) * sigmoid(affine("channel_gate", narrow(x.mean(axis=1, keepdims=True))))

    def __call__(self, x, hierarchical):
        wide = self.w["expand.weight"][:, :, 0] @ x
        wide = self.pool(wide) if hierarchical else wide
        u = np.split(self.norm("expand_norm", mish(wide)), 4)
        if hierarchical:
            first = self.part(0, u[0], 1)
            second = self.part(1, u[1] + first, 1)
            outputs = [first, second, self.part(2, u[2] + second, 1), u[3]]
        else:
            outputs = [self.part(i, u[i], 2) for i in range(3)] + [self.pool(u[3])]
        joined = self.norm("reduce.1", self.w["reduce.0.weight"][:, :, 0] @ np.concatenate(outputs))
        shortcut = self.w["shortcut.0.weight"][:, :, 0] @ x[:, ::2] + self.w["shortcut.0.bias"][:, None]
        return mish(self.gate(joined) + self.norm("shortcut.1", shortcut))


@pytest.mark.parametrize("hierarchical", [False, True])
@pytest.mark.parametrize("n", [21, 24])
@torch.no_grad()
def test_the_block_is_the_one_of_the_formulas(hierarchical, n):
    torch.manual_seed(2)
    block = Res2Block(6, 16, 5, hierarchical=hierarchical)
    block(torch.randn(8, 6, 40))                                                # norms that do something
    block.eval()
    x = torch.randn(1, 6, n)
    np.testing.assert_allclose(block(x)[0].numpy(), Plain(block)(x[0].double().numpy(), hierarchical), atol=2e-5)


@pytest.mark.parametrize(("hierarchical", "reaches"), [(False, [2, 2, 2, 1]), (True, [2, 4, 6, 0])])
def test_only_a_hierarchical_block_has_several_scales(hierarchical, reaches):
    """How many places to the side the four parts see, on their own input: kernel 5, and the pool of 3 or what was pooled before."""
    torch.manual_seed(0)
    block = Res2Block(4, 16, 5, hierarchical=hierarchical).eval()
    seen = []
    block.reduce[0].register_forward_pre_hook(lambda _, received: seen.append(received[0]))
    wide = []
    block.expand_norm.register_forward_hook(lambda _, __, output: wide.append(output) or output.retain_grad())
    block(torch.randn(1, 4, 80, requires_grad=True))
    found = []
    for part in seen[0].chunk(4, dim=1):
        block.zero_grad()
        wide[0].grad = None
        middle = part.shape[-1] // 2
        part[..., middle].sum().backward(retain_graph=True)
        places = wide[0].grad[0].abs().sum(0).nonzero().flatten() - middle * (1 if hierarchical else 2)
        found.append(int(places.abs().max()))
    assert found == reaches


@torch.no_grad()
def test_the_gated_sum_and_its_parts():
    model, x = built(), records()
    maps = model.forward_features(x)
    vectors = maps.mean(dim=-1)
    z = []
    for row in vectors:                                                         # [C, V]
        f = sum(torch.sigmoid(weigh.weight[0] @ row[:, v] + weigh.bias[0]) * row[:, v] for v, weigh in enumerate(model.head.weigh))
        z.append(model.head.classify.weight @ f + model.head.classify.bias)
    torch.testing.assert_close(model(x), torch.stack(z), atol=1e-5, rtol=1e-4)
    parts = model.head.contributions(maps)
    assert parts.shape == (2, 5, 6)
    torch.testing.assert_close(parts.sum(dim=-1) + model.head.classify.bias, model(x), atol=1e-5, rtol=1e-4)
    assert model.head.gates(vectors).shape == (2, 1, 6)


@torch.no_grad()
def test_the_student_is_one_view_on_whatever_leads_there_are():
    for n_leads in (1, 12):
        signal = SignalSpec(n_leads, 320, 100)
        student, x = built(signal, views="one"), records(2, signal)
        features = student.forward_features(x)
        assert features.shape == (2, 16, 74)                                    # (320 - 24) / 4
        torch.testing.assert_close(student(x), F.linear(features.mean(-1), student.head.classify.weight, student.head.classify.bias))


def test_kernels_grow_with_the_sampling_rate():
    model = built(SignalSpec(12, 1600, 500))
    assert model.views[0][0][0].kernel_size == (125,) and model.views[0][1].parts[0][0].kernel_size == (75,)


@pytest.mark.parametrize(("signal", "settings", "says"), [
    (SignalSpec(8, 320, 100), {}, "the signal has 8; use views one"),
    (SignalSpec(12, 24, 100), {}, "the signal has 24 samples, fewer than the stem's kernel of 25; give at least 0.25 s"),
    (SIGNAL, {"views": "sixx"}, "unknown views 'sixx'; did you mean 'six'"),
    (SIGNAL, {"hierarchical": 1}, "hierarchical is 1; it must be true or false"),
    (SIGNAL, {"width": 1}, "width is 1"),
    (SIGNAL, {"kernel": 14}, "kernel is 14; it must be odd"),
])
def test_refuses_what_the_design_cannot_take(signal, settings, says):
    with pytest.raises(ConfigurationError, match=says):
        build_model("mvms_ecg", signal, 5, **({"width": 8} | settings))
