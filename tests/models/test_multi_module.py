"""The multi-module network against plain re-computations: pieces, decibels, what is unknown, the fusion, and what it refuses."""

import math

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.multi_module import MODULES, Decibels, PersonModule, Segments

SIGNAL = SignalSpec(12, 300, 100)
PERSON = torch.tensor([[63.0, 1.0], [17.4, 0.0]])


def network(signal=SIGNAL, n_classes=4, **settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model("multi_module", signal, n_classes, **({"image_blocks": 1} | settings)).eval()


def records(n_records=2, n_samples=300):
    return torch.randn(n_records, 12, n_samples, generator=torch.Generator().manual_seed(5))


def test_pieces_are_seconds_and_the_last_is_filled_up():
    x = records(n_samples=250)
    pieces = Segments(100)(x)
    assert pieces.shape == (2, 3, 12, 100)
    torch.testing.assert_close(pieces[:, 1], x[..., 100:200])
    torch.testing.assert_close(pieces[:, 2, :, :50], x[..., 200:])
    assert (pieces[:, 2, :, 50:] == 0).all()


def test_decibels_are_those_of_a_transform_written_out():
    x = records(1, 100)
    image = Decibels(20, 10, 32)(x)
    assert image.shape == (1, 12, 17, 11)
    hann = np.zeros(32)                                             # 20 samples in the middle of 32
    hann[6:26] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(20) / 20)
    padded = np.pad(x[0, 3].numpy().astype(float), 16, mode="reflect")
    frames = np.stack([np.fft.rfft(padded[10 * n:10 * n + 32] * hann) for n in range(11)], axis=1)
    by_hand = 20 * np.log10(np.abs(frames) + 1e-3)
    by_hand = (by_hand - by_hand.mean()) / by_hand.std()
    np.testing.assert_allclose(image[0, 3].numpy(), by_hand, atol=2e-3)


def test_a_silent_piece_gives_an_empty_image():
    assert (Decibels(20, 10, 32)(torch.zeros(1, 2, 100)) == 0).all()


def test_a_person_becomes_one_hot_with_a_place_for_unknown():
    module = PersonModule(100)
    first = module.stack[0]
    for value, column in ((0.0, 0), (63.9, 63), (250.0, 99), (-1.0, 0), (math.nan, 100)):
        hot = torch.zeros(1, 101)
        hot[0, column] = 1
        expected = module.stack[1:](first(hot))
        torch.testing.assert_close(module(torch.tensor([value])), expected)


def test_no_person_is_an_unknown_person_and_a_known_one_changes_the_logits():
    model, x = network(), records()
    with torch.no_grad():
        unknown = model(x)
        torch.testing.assert_close(model(x, person=torch.full((2, 2), math.nan)), unknown)
        assert (model(x, person=PERSON) - unknown).abs().max() > 1e-4


def test_the_fusion_is_three_post_norm_layers_and_the_mean():
    """Written out with torch's own attention, one record at a time."""
    model, x = network(), records()
    with torch.no_grad():
        tokens = model.tokens(x, PERSON)
        assert list(tokens) == list(MODULES) and all(token.shape == (2, 64) for token in tokens.values())
        logits = model(x, person=PERSON)
        for b in range(2):
            e = torch.stack([token[b] for token in tokens.values()])                                # [4, 64]
            for layer in model.fusion:
                q, k, v = layer.attention.qkv(e).chunk(3, dim=-1)
                heads = [torch.softmax(q[:, i:i + 8] @ k[:, i:i + 8].T / 8**0.5, dim=-1) @ v[:, i:i + 8] for i in range(0, 64, 8)]
                e = layer.attention_norm(e + layer.attention.project(torch.cat(heads, dim=-1)))
                first, _, _, second = layer.feed_forward
                e = layer.feed_forward_norm(e + second(torch.relu(first(e))))
            torch.testing.assert_close(model.head.classify(e.mean(dim=0)), logits[b], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(model.head(model.forward_features(x, PERSON)), logits)


def test_each_signal_module_is_the_mean_of_its_recurrence_over_the_pieces():
    model, x = network(), records()
    with torch.no_grad():
        pieces, tokens = model.segments(x), model.tokens(x)
        for name in ("waveform", "spectrogram"):
            part = model.parts[name]
            features = torch.stack([part.cnn(part.prepare(pieces[:, i])) for i in range(3)], dim=1)
            torch.testing.assert_close(part.lstm(features)[0].mean(dim=1), tokens[name], atol=1e-5, rtol=1e-4)


def test_modules_can_be_left_out_when_it_is_built():
    model = network(modules=("spectrogram", "waveform"))
    assert list(model.parts) == ["waveform", "spectrogram"]
    with torch.no_grad():
        assert model.forward_features(records()).shape == (2, 64, 2)
        torch.testing.assert_close(model(records(), person=PERSON), model(records()))


def test_sizes_in_time_follow_the_sampling_rate():
    model = network(SignalSpec(12, 750, 250))
    image = model.parts["spectrogram"].prepare
    assert model.segments.length == 250 and (len(image.window), image.hop, image.transform) == (50, 25, 80)


@pytest.mark.parametrize(("settings", "message"), [
    ({"modules": ("waveform", "sexx")}, "did you mean 'sex'"),
    ({"modules": ("age", "sex")}, "modules are age, sex; give at least one of waveform and spectrogram"),
    ({"image_layers": 0}, "image_layers is 0"),
])
def test_refuses_what_the_design_cannot_take(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        network(**settings)


def test_refuses_a_record_shorter_than_a_piece():
    with pytest.raises(ConfigurationError, match="99 samples is shorter than one piece of 100"):
        network(SignalSpec(12, 99, 100))
