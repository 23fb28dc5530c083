"""What makes this paper the paper, against plain re-computations: beats cut at R-peaks, rhythm, shared softmax kernels, a bag of beats."""

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.light_conv import LightConv, LightConvAttention
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.heartbeats import cut, into_slots, locate
from ecgstudy.models.lightweight_transformer import rhythm

SIGNAL = SignalSpec(12, 1000, 100)
PEAKS = torch.tensor([[20, 110, 180, 300, 380, 470, 980], [50, 400, 430, 700, -1, -1, -1]])


def network(signal=SIGNAL, **settings):
    torch.manual_seed(0)
    return build_model("lightweight_transformer", signal, 9, **{"widths": (8, 8, 16), "kernels": (3, 7)} | settings).eval()


def records(n=2, signal=SIGNAL):
    return torch.randn(n, signal.n_leads, signal.n_samples, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("kernel", "n_heads"), [(3, 2), (7, 4), (15, 8)])
def test_light_conv_is_its_sum(kernel, n_heads):
    torch.manual_seed(0)
    layer, x = LightConv(8, kernel, n_heads), torch.randn(2, 25, 8)
    w = np.exp(layer.weight.detach().numpy().astype(float))
    w /= w.sum(axis=1, keepdims=True)
    expected = np.zeros(x.shape)
    for t in range(25):
        for c in range(8):                                      # the paper counts channels and heads from one
            head = -(-(c + 1) * n_heads // 8) - 1
            for j in range(1, kernel + 1):
                seen = t + j - (kernel + 1) // 2
                if 0 <= seen < 25:
                    expected[:, t, c] += w[head, j - 1] * x[:, seen, c].numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, atol=1e-5)


def test_light_conv_attention_gates_before_it_averages():
    torch.manual_seed(0)
    layer, x = LightConvAttention(8, 3, 2), torch.randn(1, 9, 8)
    value, gate = layer.widen(x).chunk(2, dim=-1)
    torch.testing.assert_close(layer(x), layer.project(layer.mix(value * torch.sigmoid(gate))))
    assert sum(p.numel() for p in LightConvAttention(128, 7, 8).parameters()) == 49_592


def test_beats_are_cut_at_their_peaks_with_zeros_outside():
    x = records()
    beats = cut(x, PEAKS, 36, 100)
    assert beats.shape == (11, 100, 12)
    expected = []
    for record, peaks in zip(x.numpy(), PEAKS.tolist(), strict=True):
        for peak in (peak for peak in peaks if peak >= 0):
            window = np.zeros((100, 12), np.float32)
            for i, sample in enumerate(range(peak - 36, peak + 64)):
                if 0 <= sample < 1000:
                    window[i] = record[:, sample]
            expected.append(window)
    np.testing.assert_array_equal(beats.numpy(), np.stack(expected))


def test_slots_give_each_record_its_own_beats():
    held = PEAKS >= 0
    slots = into_slots(torch.arange(1.0, 12.0)[:, None], held)[..., 0]
    assert slots[0].tolist() == [1, 2, 3, 4, 5, 6, 7] and slots[1].tolist() == [8, 9, 10, 11, 0, 0, 0]


def test_rhythm_is_that_of_the_intervals():
    found = rhythm(PEAKS, 100)
    for record, peaks in enumerate([[p for p in row if p >= 0] for row in PEAKS.tolist()]):
        rr = np.diff(peaks) / 100
        for i in range(len(peaks)):
            before, after = rr[max(i - 1, 0)], rr[min(i, len(rr) - 1)]
            start = max(min(i - 3, len(rr) - 5), 0)
            near = rr[start:start + 5].mean()
            np.testing.assert_allclose(found[record, i].numpy(), [before, after, before / rr.mean(), near], rtol=1e-5)
    assert (found[1, 4:] == 0).all()


def test_records_without_beats_get_even_centres():
    found = locate(records(), torch.tensor([[500, 600, -1, -1], [50, 120, 300, 390]]), 100, 24)
    assert found[0].tolist() == list(range(40, 1000, 80)) and found[1].tolist() == [50, 120, 300, 390] + [-1] * 8
    flat = locate(torch.zeros(1, 12, 1000), None, 100, 24)
    assert flat[0].tolist() == list(range(40, 1000, 80))
    assert locate(records(), torch.arange(100, 940, 20).expand(2, -1), 100, 24).shape == (2, 24)


def test_beats_that_are_not_given_are_found():
    x = torch.zeros(1, 12, 1000)
    x[:, 1, 60::90] = 5.0                                       # spikes in lead II
    x[:, 1, 61::90] = 2.0
    found = locate(x, None, 100, 24)
    near = (found[0][found[0] >= 0][:, None] - torch.arange(60, 1000, 90)).abs().amin(dim=1)
    assert len(near) >= 9 and (near <= 1).all()
    torch.testing.assert_close(network()(x), network()(x, beats=found))


def test_the_bag_does_not_see_empty_slots():
    model, x = network(), records()
    with torch.no_grad():
        together = model(x, beats=PEAKS)
        alone = torch.cat([model(x[:1], beats=PEAKS[:1]), model(x[1:], beats=PEAKS[1:, :4])])
        features, held = model.read(x, PEAKS)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    own = features[1, :, :4]
    expected = model.head.classify(torch.cat([own.mean(dim=1), own.amax(dim=1)]))
    torch.testing.assert_close(together[1], expected, atol=1e-5, rtol=1e-4)
    assert held[:, :7].tolist() == (PEAKS >= 0).tolist() and not held[:, 7:].any() and (features[1, :, 4:] == 0).all()


def test_empty_slots_do_not_enter_the_batch_statistics():
    few, many = network().train(), network().train()
    x, padded = records(), torch.cat([PEAKS, torch.full((2, 10), -1)], dim=1)
    few(x, beats=PEAKS), many(x, beats=padded)
    torch.testing.assert_close(few.embed[0].norm.running_var, many.embed[0].norm.running_var)


def test_order_and_place_matter_only_through_rhythm():
    model, x = network(), records(1)
    moved = x.roll(7, dims=-1)
    peaks = torch.tensor([[100, 200, 310, 400, 520]])
    torch.testing.assert_close(model(x, beats=peaks), model(moved, beats=peaks + 7), atol=1e-5, rtol=1e-4)


def test_every_parameter_gets_a_gradient_and_the_kernels_of_time_scale():
    model = network(SignalSpec(12, 2500, 250)).train()
    model(records(2, SignalSpec(12, 2500, 250)), beats=(PEAKS * 2.5).long().where(PEAKS >= 0, -1)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.length == 250 and model.before == 90 and model.encoder[1].token_mixer[0].mix.weight.shape[1] == 19


@pytest.mark.parametrize(("signal", "settings", "told"), [
    (SignalSpec(12, 250, 100), {}, "at least 3 s"), (SIGNAL, {"widths": (8, 8)}, "give 3"), (SIGNAL, {"widths": (8, 8, 12)}, "use 8 or 16"),
    (SIGNAL, {"mixer": "lightconv"}, "light_conv"), (SIGNAL, {"dropout": 1.0}, "below 1")])
def test_refusals_name_the_fix(signal, settings, told):
    with pytest.raises(ConfigurationError, match=told):
        network(signal, **settings)
