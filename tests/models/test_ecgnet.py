"""ECGNet against a slow recomputation of its formulas; its shapes, its branches, its refusals."""

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.ecgnet import MultiKernelConv, PreActivationBlock, Recurrence

SIGNAL = SignalSpec(12, 1000, 100)
NARROW = {"maps": 2, "widen": 4, "hidden": 5}


def built(signal=SIGNAL, **settings):
    torch.manual_seed(0)
    return build_model("ecgnet", signal, 9, **settings).eval()


def records(n_samples=1000, n_records=2):
    return torch.randn(n_records, 12, n_samples, generator=torch.Generator().manual_seed(1))


def convolved(x, weight):
    """Every output of a stride-1 convolution with equal padding, sample by sample. x: [C, T]; weight: [D, C, k]."""
    k = weight.shape[-1]
    padded = np.pad(x, ((0, 0), (k // 2, k // 2)))
    return np.stack([(weight * padded[None, :, t:t + k]).sum(axis=(1, 2)) for t in range(x.shape[1])], axis=1)


def normed(x, layer):
    mean, var, weight, bias = (getattr(layer, name).detach().double().numpy()[:, None]
                               for name in ("running_mean", "running_var", "weight", "bias"))
    return (x - mean) / np.sqrt(var + layer.eps) * weight + bias


def test_the_first_layer_is_one_convolution_a_kernel_size_joined_as_channels():
    torch.manual_seed(0)
    layer, x = MultiKernelConv(3, 2, (3, 5)), torch.randn(1, 3, 20)
    expected = np.concatenate([convolved(x[0].double().numpy(), scale.weight.detach().double().numpy()) for scale in layer.scales])
    np.testing.assert_allclose(layer(x)[0].detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("dim", "out_dim", "halve"), [(4, 4, False), (4, 6, True), (4, 4, True)])
def test_a_block_is_the_formula(dim, out_dim, halve):
    torch.manual_seed(0)
    block = PreActivationBlock(dim, out_dim, 3, halve=halve)
    block.train()
    for _ in range(3):
        block(torch.randn(8, dim, 30) * 2 + 1)                          # norms that are not the identity
    block.eval()
    x = torch.randn(1, dim, 11)
    norm_a, _, _, conv_a, norm_b, _, _, conv_b = block.residual
    y = x[0].double().numpy()
    for norm, conv in ((norm_a, conv_a), (norm_b, conv_b)):
        y = convolved(np.maximum(normed(y, norm), 0), conv.weight.detach().double().numpy())
    kept = x[0].double().numpy()
    if halve:
        y, kept = (np.maximum(each[:, 0:10:2], each[:, 1:11:2]) for each in (y, kept))
    if dim != out_dim:
        kept = block.shortcut.weight.detach().double().numpy()[..., 0] @ kept
    np.testing.assert_allclose(block(x)[0].detach().numpy(), y + kept, atol=1e-5)


def test_the_recurrence_is_the_lstm_over_raw_samples():
    torch.manual_seed(0)
    recurrence, x = Recurrence(12, 5), records(30, 1)
    weights = [getattr(recurrence.lstm, f"{name}_l0").detach().double().numpy()
               for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    hidden, cell, states = np.zeros(5), np.zeros(5), []
    for sample in x[0].double().numpy().T:
        gates = weights[0] @ sample + weights[1] @ hidden + weights[2] + weights[3]
        opened, kept, new, shown = np.split(gates, 4)
        cell = sigmoid(kept) * cell + sigmoid(opened) * np.tanh(new)
        hidden = sigmoid(shown) * np.tanh(cell)
        states.append(hidden)
    np.testing.assert_allclose(recurrence(x)[0].detach().numpy(), np.stack(states, axis=1), atol=1e-5)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_logits_come_from_the_mean_of_the_map_and_the_last_state():
    model, x = built(**NARROW), records()
    maps, states = model.branches(x)
    joined = torch.cat([maps.mean(-1), states[:, :, -1]], dim=1)
    linear = model.head.classify[-1]
    torch.testing.assert_close(model(x), joined @ linear.weight.T + linear.bias)
    assert torch.equal(model.forward_features(x), maps)


def test_shapes_at_each_stage_of_the_study_configuration():
    model, shapes = built(), []
    for block in model.trunk.blocks:
        block.register_forward_hook(lambda module, _, output: shapes.append(tuple(output.shape[1:])))
    maps, states = model.branches(records(n_records=1))
    assert shapes[2] == (32, 500)
    assert shapes[3:18] == [(32, 500)] * 3 + [(48, 250)] * 4 + [(64, 125)] * 4 + [(80, 62)] * 4
    assert maps.shape == (1, 80, 62) and states.shape == (1, 40, 1000)


@pytest.mark.parametrize(("branches", "shape"), [("cnn", (2, 20, 62)), ("lstm", (2, 5, 1000))])
def test_either_branch_alone_is_a_network(branches, shape):
    model = built(branches=branches, **NARROW)
    assert model.forward_features(records()).shape == shape and model(records()).shape == (2, 9)
    assert (model.trunk is None) == (branches == "lstm") and (model.recurrence is None) == (branches == "cnn")


def test_kernels_keep_their_seconds_at_another_rate():
    model = built(SignalSpec(12, 2500, 250), **NARROW)
    assert [scale.kernel_size[0] for scale in model.trunk.first.scales] == [39, 43, 49, 53]
    assert model.trunk.blocks[2].kernel_size == (43,)


@pytest.mark.parametrize(("signal", "settings", "words"), [
    (SignalSpec(12, 14, 100), {}, ("14 samples", "at least 15")),
    (SIGNAL, {"branches": "gru"}, ("unknown branches 'gru'", "clstm")),
    (SIGNAL, {"kernels": (15, 16)}, ("kernels is 16", "odd")),
    (SIGNAL, {"maps": 0}, ("maps is 0",)),
    (SIGNAL, {"halve_every": 0}, ("halve_every is 0",)),
])
def test_refusals_name_the_value_and_the_fix(signal, settings, words):
    with pytest.raises(ConfigurationError) as refused:
        built(signal, **settings)
    assert all(word in str(refused.value) for word in words)


def test_the_shortest_record_that_is_taken_leaves_one_step():
    assert built(SignalSpec(12, 15, 100), **NARROW).forward_features(records(15)).shape[-1] == 1
