"""What the dual-branch page measures, against counts by hand."""

import numpy as np
import torch

from ecgstudy.models import SignalSpec, build_model
from ecgstudy.study.papers import dual_branch_token_select as page
from ecgstudy.train.objectives import multilabel

SMALL = {"stem_width": 8, "dim": 16, "depths": (1, 1), "collect_from": (1, 1), "heads": 2}


def test_kept_shares_are_counted_by_where_a_token_begins():
    kept = np.zeros((2, 10), bool)                          # a token every 0.2 s
    kept[0, 5] = kept[1, 4] = True
    share, n_beats = page.around_beats(kept, 0.2, [np.array([100]), np.array([90, 190])], 100)
    assert n_beats == 3 and share.shape == (5,)             # from -0.4 to 0.6 s
    # record 0: the token at 1.0 s begins at the peak. Record 1: the one at 0.8 s lies 0.1 s before the peak at 0.9 s.
    # Bins [-0.4, -0.2), [-0.2, 0), [0, 0.2), ...: each holds one token a beat; none begins more than 0.2 s after the last peak.
    np.testing.assert_allclose(share, [0, 1 / 3, 1 / 2, 0, 0])


def test_without_beats_nothing_is_known():
    share, n_beats = page.around_beats(np.ones((1, 10), bool), 0.2, [np.zeros(0, int)], 100)
    assert n_beats == 0 and np.isnan(share).all()


def test_what_records_keep_in_common():
    assert page.shared(np.array([[1, 1, 0, 0]] * 3, bool)) == 1
    assert page.shared(np.array([[1, 1, 0, 0], [0, 0, 1, 1]], bool)) == 0
    kept = np.random.default_rng(0).permuted(np.tile([True] * 20 + [False] * 20, (60, 1)), axis=1)
    pairs = [(kept[a] & kept[b]).sum() / 20 for a in range(60) for b in range(60) if a != b]
    assert abs(page.shared(kept) - np.mean(pairs)) < 1e-9 and abs(page.shared(kept) - 0.5) < 0.03


class _Feed:
    """Eight records of noise."""

    def __len__(self):
        return 8

    def batch(self, index):
        from ecgstudy.train.feed import Batch
        x = torch.randn(8, 12, 300, generator=torch.Generator().manual_seed(0))
        return Batch(x[index], torch.zeros(8, 3)[index])


def test_watching_tells_the_correlation_of_each_step_and_the_loss_raises_it():
    last = {}
    for weight in (0.0, 5.0):
        torch.manual_seed(0)
        model = build_model("dual_branch_token_select", SignalSpec(12, 300, 100), 3, relation_weight=weight, **SMALL).train()
        curve = page.watch(model, _Feed(), multilabel, 8, 5e-3)
        assert curve.shape == (8,) and np.abs(curve).max() <= 1
        last[weight] = curve[-1]
    assert last[5.0] > last[0.0]
