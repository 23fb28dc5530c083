"""Cutting a sequence and joining it again, against plain loops; and that half-overlapping segments double it without rounding."""

from __future__ import annotations

import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.segments import Segmentation

CASES = [(24, 12, 251), (24, 12, 126), (24, 12, 24), (45, 22, 1501), (7, 3, 50), (5, 5, 23)]


def frames(n_frames: int) -> torch.Tensor:
    return torch.randn(2, 3, n_frames, generator=torch.Generator().manual_seed(n_frames))


def cut_by_hand(u: torch.Tensor, length: int, hop: int) -> torch.Tensor:
    """Every frame of every segment looked up by its formula, zero outside the sequence."""
    n_frames, segments = u.shape[-1], []
    for s in range((n_frames + length) // hop + 1):
        places = [s * hop + k - length for k in range(length)]
        segments.append(torch.stack([u[..., n] if 0 <= n < n_frames else torch.zeros(u.shape[:-1]) for n in places], dim=-1))
    return torch.stack(segments, dim=-1)


@pytest.mark.parametrize(("length", "hop", "n_frames"), CASES)
def test_cut_is_its_formula(length, hop, n_frames):
    segmentation, u = Segmentation(length, hop), frames(n_frames)
    segments = segmentation.cut(u)
    assert segments.shape == (2, 3, length, segmentation.count(n_frames))
    assert torch.equal(segments, cut_by_hand(u, length, hop))


@pytest.mark.parametrize(("length", "hop", "n_frames"), CASES)
def test_join_adds_every_frame_up_where_it_came_from(length, hop, n_frames):
    segmentation, added = Segmentation(length, hop), torch.zeros(2, 3, n_frames)
    segments = torch.randn(2, 3, length, segmentation.count(n_frames), generator=torch.Generator().manual_seed(0))
    for s, start in enumerate(segmentation.starts(n_frames).tolist()):
        for k in range(length):
            if 0 <= start + k < n_frames:
                added[..., start + k] += segments[..., k, s]
    torch.testing.assert_close(segmentation.join(segments, n_frames), added)


@pytest.mark.parametrize("n_frames", [24, 126, 251, 502, 751])
def test_half_overlap_doubles_exactly(n_frames):
    segmentation, u = Segmentation(24, 12), frames(n_frames)
    assert torch.equal(segmentation.join(segmentation.cut(u), n_frames), 2 * u)
    assert segmentation.coverage(n_frames).unique().tolist() == [2]


def test_the_published_lengths_cover_some_frames_three_times():
    segmentation = Segmentation(45, 22)
    covered = segmentation.coverage(1501)
    assert segmentation.count(1501) == 71 and (covered == 3).sum() == 68 and (covered == 2).sum() == 1501 - 68
    u = frames(1501)
    torch.testing.assert_close(segmentation.join(segmentation.cut(u), 1501), u * covered)


@pytest.mark.parametrize(("length", "hop", "says"), [(12, 13, "hop is 13"), (0, 1, "length is 0"), (4, 0, "hop is 0")])
def test_refusals(length, hop, says):
    with pytest.raises(ConfigurationError, match=says):
        Segmentation(length, hop)
