"""XResNet1d and MVKT-ECG's network: blocks against plain re-computations, counts for twelve leads and for one, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.xresnet1d import XBlock, XResNet1d
from ecgstudy.study.complexity import count_parameters, macs

TWELVE, ONE = SignalSpec(12, 1000, 100), SignalSpec(1, 1000, 100)
COUNTS = {18: (3_872_457, 3_871_401, 0.182), 34: (7_246_793, 7_245_737, 0.362), 50: (16_010_441, 16_009_385, 0.800),
          101: (28_317_897, 28_316_841, 1.57)}


@pytest.mark.parametrize("depth", COUNTS)
def test_teacher_and_student_have_the_counts_of_the_official_network(depth):
    teacher, student, billions = COUNTS[depth]
    with torch.device("meta"):
        assert count_parameters(build_model("mvkt_ecg", ONE, 9, depth=depth)) == student
        assert count_parameters(build_model("xresnet1d", TWELVE, 9, depth=depth)) == teacher
    if depth in (18, 101):
        found = macs(build_model("mvkt_ecg", TWELVE, 9, depth=depth), TWELVE) / 1e9
        assert found == pytest.approx(billions, abs=5e-3 if depth > 50 else 5e-4)


@pytest.mark.parametrize(("depth", "channels"), [(18, 64), (50, 256)])
@torch.no_grad()
def test_stages_have_the_shapes_of_the_table(depth, channels):
    model = build_model("xresnet1d", ONE, 4, depth=depth, width=8).eval()
    x, shapes = model.pool(model.stem(torch.randn(2, 1, 1000))), []
    assert x.shape == (2, 8, 250)
    for stage in model.stages:
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(channels // 8 * 2**i, n) for i, n in enumerate((250, 125, 63, 32))]


# -- the block, from its weights and sums -------------------------------------------------------------------------------

class Plain:
    """A block [C, N] -> [C', ceil(N / stride)] by loops."""

    def __init__(self, block: XBlock):
        self.w = {name: value.double().numpy() for name, value in block.state_dict().items()}

    def conv(self, name, x, stride):
        kernel = self.w[f"{name}.weight"]                                       # [out, in, k]
        half = kernel.shape[2] // 2
        out = np.zeros((len(kernel), -(-x.shape[1] // stride)))
        for place in range(out.shape[1]):
            for j in range(kernel.shape[2]):
                if 0 <= (sample := stride * place + j - half) < x.shape[1]:
                    out[:, place] += kernel[:, :, j] @ x[:, sample]
        return out

    def norm(self, name, x):
        mean, var, scale, shift = (self.w[f"{name}.{part}"][:, None] for part in ("running_mean", "running_var", "weight", "bias"))
        return (x - mean) / np.sqrt(var + 1e-5) * scale + shift

    def __call__(self, x, stride, strides, convolved):
        """strides: of the convolutions of the residual path. convolved: where the shortcut's convolution stands, None for none."""
        y = x
        for i, each in enumerate(strides):
            y = self.norm(f"residual.{3 * i + 1}", self.conv(f"residual.{3 * i}", y, each))
            y = np.maximum(y, 0) if i < len(strides) - 1 else y
        if stride == 2:
            x = np.stack([x[:, 2 * n:2 * n + 2].mean(axis=1) for n in range(-(-x.shape[1] // 2))], axis=1)
        if convolved is not None:
            x = self.norm(f"shortcut.{convolved + 1}", self.conv(f"shortcut.{convolved}", x, 1))
        return np.maximum(x + y, 0)


@pytest.mark.parametrize("n", [12, 13])
@pytest.mark.parametrize(("dim", "stride", "expansion", "strides", "convolved"), [
    (6, 1, 1, (1, 1), None), (4, 1, 1, (1, 1), 0), (6, 2, 1, (2, 1), None), (4, 2, 1, (2, 1), 1),
    (24, 1, 4, (1, 1, 1), None), (5, 2, 4, (1, 2, 1), 1)])
@torch.no_grad()
def test_the_block_is_the_one_that_is_described(dim, stride, expansion, strides, convolved, n):
    torch.manual_seed(1)
    block = XBlock(dim, 6, stride, expansion)
    block(torch.randn(8, dim, 40))                                              # norms that do something
    x = torch.randn(1, dim, n)
    found = block.eval()(x)[0]
    assert found.shape == (6 * expansion, -(-n // stride))
    np.testing.assert_allclose(found.numpy(), Plain(block)(x[0].double().numpy(), stride, strides, convolved), atol=1e-5)


@torch.no_grad()
def test_the_head_reads_mean_and_maximum_and_the_stem_its_three_kernels():
    torch.manual_seed(0)
    model = XResNet1d(3, 4, 18, 8).eval()
    x = torch.randn(2, 3, 200)
    features = model.forward_features(x)
    embedded = model.embed(x)
    for b in range(2):
        for c in range(64):
            assert float(embedded[b, c]) == pytest.approx(sum(map(float, features[b, c])) / features.shape[-1], abs=1e-5)
            assert float(embedded[b, 64 + c]) == max(map(float, features[b, c]))
    torch.testing.assert_close(model(x), embedded @ model.head.classify.weight.T + model.head.classify.bias)
    assert [(c.in_channels, c.out_channels, c.kernel_size, c.stride) for c in model.stem if isinstance(c, torch.nn.Conv1d)] == [
        (3, 4, (3,), (2,)), (4, 8, (3,), (1,)), (8, 8, (3,), (1,))]


def test_convolutions_start_from_kaiming_in_fan_out_mode():
    torch.manual_seed(0)
    conv = XResNet1d(12, 4, 18, 32).stages[3][1].residual[0]                    # 256 -> 256, kernel 3
    assert float(conv.weight.detach().std()) == pytest.approx((2 / (256 * 3)) ** 0.5, rel=0.01)
    norms = [m.weight for m in XResNet1d(1, 2, 50, 4).modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert all(bool((weight == 1).all()) for weight in norms)


def test_the_two_entries_are_one_network():
    torch.manual_seed(3)
    paper = build_model("mvkt_ecg", SignalSpec(2, 300, 100), 3, width=8)
    torch.manual_seed(3)
    plain = build_model("xresnet1d", SignalSpec(2, 300, 100), 3, depth=18, width=8)
    assert all(torch.equal(a, b) for a, b in zip(paper.state_dict().values(), plain.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", ["mvkt_ecg", "xresnet1d"])
@pytest.mark.parametrize(("settings", "says"), [
    ({"depth": 152}, "depth is 152; it must be one of 18, 34, 50, 101"), ({"depth": True}, "depth is True"),
    ({"depth": [18]}, r"depth is \[18\]"), ({"width": 1}, "width is 1")])
def test_refuses_what_is_no_xresnet(name, settings, says):
    with pytest.raises(ConfigurationError, match=says):
        build_model(name, ONE, 3, **settings)
