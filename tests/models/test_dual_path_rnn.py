"""The dual-path RNN: shapes, each path against a plain loop over columns or rows, what a path can see, and refusals."""

from __future__ import annotations

import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.dual_path_rnn import Path

SIGNAL = SignalSpec(12, 1000, 100)


def built(signal: SignalSpec = SIGNAL, **settings):
    torch.manual_seed(0)
    return build_model("dual_path_rnn", signal, 9, **({"width": 8, "hidden": 4, "blocks": 1} | settings)).eval()


def records(n_records: int = 2, signal: SignalSpec = SIGNAL) -> torch.Tensor:
    return torch.randn(n_records, signal.n_leads, signal.n_samples, generator=torch.Generator().manual_seed(1))


def segments() -> torch.Tensor:
    return torch.randn(2, 8, 6, 5, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_shapes():
    model, x = built(width=64), records()
    frames = model.encoder(x)
    cut = model.segmentation.cut(frames)
    assert frames.shape == (2, 64, 251) and cut.shape == (2, 64, 24, 23)
    assert model.paths(cut).shape == cut.shape and model.forward_features(x).shape == (2, 64, 251)
    assert torch.equal(model.head(model.forward_features(x)), model(x))


@torch.no_grad()
def path_by_hand(path: Path, given: torch.Tensor) -> torch.Tensor:
    """One sequence at a time, and the norm written out: no batch of sequences, no permutation, no GroupNorm."""
    read = torch.zeros_like(given)
    for b in range(given.shape[0]):
        lines = given.shape[3] if path.inside else given.shape[2]
        for i in range(lines):
            line = given[b, :, :, i] if path.inside else given[b, :, i, :]              # [C, steps]
            walked = path.project(path.lstm(line.T.unsqueeze(0))[0][0]).T               # [C, steps]
            if path.inside:
                read[b, :, :, i] = walked
            else:
                read[b, :, i, :] = walked
        mean, variance = read[b].mean(), read[b].var(correction=0)
        read[b] = path.norm.weight[:, None, None] * (read[b] - mean) / (variance + 1e-8).sqrt() + path.norm.bias[:, None, None]
    return given + read


@pytest.mark.parametrize("direction", ["intra", "inter"])
def test_a_path_is_its_formula(direction):
    torch.manual_seed(0)
    path = Path(direction, 8, 4).eval()
    torch.nn.init.normal_(path.norm.weight)
    torch.nn.init.normal_(path.norm.bias)
    with torch.no_grad():
        torch.testing.assert_close(path(segments()), path_by_hand(path, segments()), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("direction", "touched"), [("intra", (slice(None), 2)), ("inter", (1, slice(None)))])
def test_states_hear_of_their_own_column_or_row_alone(direction, touched):
    """One value is moved, at position 1 of segment 2: inside segments only that segment's states move, across them only that row's."""
    path = Path(direction, 8, 4).eval()
    moved = segments()
    moved[0, 0, 1, 2] += 1
    with torch.no_grad():
        change = (path.states(moved) - path.states(segments())).abs().sum(dim=-1)[0]
    change = change.T if path.inside else change                                        # [K, S]
    expected = torch.zeros(6, 5, dtype=torch.bool)
    expected[touched] = True
    assert torch.equal(change > 0, expected)


@torch.no_grad()
def test_without_the_paths_the_frames_come_back_doubled():
    model, x = built(), records()
    model.paths = torch.nn.Identity()
    assert torch.equal(model.forward_features(x), 2 * model.encoder(x))


def test_the_order_of_the_paths():
    assert [path.inside for path in built(blocks=2).paths] == [True, False, True, False]
    assert [path.inside for path in built(blocks=2, paths="inter").paths] == [False, False]


def test_gradient_reaches_the_first_and_last_samples():
    model, x = built(), records().requires_grad_()
    model(x).sum().backward()
    assert (x.grad[..., 0] != 0).all() and (x.grad[..., -1] != 0).all()


@pytest.mark.parametrize("signal", [SignalSpec(1, 1250, 250), SignalSpec(2, 3000, 100), SignalSpec(8, 5000, 500)])
def test_a_frame_is_40_milliseconds_at_every_rate(signal):
    model = built(signal)
    with torch.no_grad():
        frames = model.encoder(records(1, signal))
        assert model(records(1, signal)).shape == (1, 9)
    assert frames.shape[-1] == signal.seconds / 0.04 + 1


def test_half_precision_training_step():
    model = built()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(records()).square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(("settings", "says"), [
    ({"paths": "intre"}, "did you mean 'intra'"), ({"hop": 30}, "hop is 30"), ({"blocks": 0}, "blocks is 0"),
    ({"segment": 300}, "a record of 1000 samples has 251 frames")])
def test_refusals(settings, says):
    with pytest.raises(ConfigurationError, match=says):
        built(**settings)


def test_the_shortest_record_is_taken_and_one_sample_less_is_refused():
    built(SignalSpec(1, 92, 100))
    with pytest.raises(ConfigurationError, match="give at least 92 samples"):
        built(SignalSpec(1, 91, 100))
