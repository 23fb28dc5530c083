"""Page 08: the contrast is a difference of differences on shared draws, and the verdict follows from it alone."""

import numpy as np
import pytest

from ecgstudy.study import frequency_claim as claim
from ecgstudy.study.frequency_claim import ATTENDING, BANDS, CONVOLUTION, NETWORKS
from ecgstudy.study.probed import Probed
from ecgstudy.study.probes import CLEAN, Score

HIGH = np.array([start >= 15 for start, _ in BANDS])
LOW = np.array([end <= 10 for _, end in BANDS])


def network(high, low, seeds=(0, 1, 2), spread=0.001, seed_shift=0.0):
    """Losses of a network: `high` in high bands, `low` in low ones; draws around them, each seed moved by `seed_shift` more."""
    generator = np.random.default_rng([int(1000 * high), int(1000 * low)])
    points = np.where(HIGH, high, np.where(LOW, low, 0.5))
    return {seed: [Score(point + seed_shift * seed * HIGH[i], point + seed_shift * seed * HIGH[i] + generator.normal(0, spread, 200))
                   for i, point in enumerate(points)] for seed in seeds}


def family(convolution, attending):
    return {CONVOLUTION: convolution} | dict.fromkeys(ATTENDING, attending)


def test_the_parts_leave_the_middle_band_out():
    assert [BANDS[i] for i in claim.PARTS["low"]] == [(0.5, 2), (2, 5), (5, 10)]
    assert [BANDS[i] for i in claim.PARTS["high"]] == [(15, 20), (20, 30), (30, 45)]


def test_a_contrast_is_a_difference_of_differences():
    found = claim.contrast("hilo_sa", network(0.05, 0.01), network(0.02, 0.04))
    assert found.high.estimate == pytest.approx(0.03) and found.low.estimate == pytest.approx(-0.03)
    assert found.tilt.estimate == pytest.approx(0.06) and found.tilt.low < 0.06 < found.tilt.high
    assert found.as_claimed and found.leans == 1 and len(found.by_seed) == 3


def test_draws_are_paired():
    """Two networks that move together under every draw differ without doubt."""
    shared = network(0.05, 0.01, spread=0.05)
    other = {seed: [Score(band.estimate - 0.01, band.draws - 0.01) for band in bands] for seed, bands in shared.items()}
    high = claim.contrast("hilo_sa", shared, other).high
    assert high.low == pytest.approx(0.01) and high.high == pytest.approx(0.01)


@pytest.mark.parametrize(("convolution", "attending", "verdict"), [
    (network(0.05, 0.01), network(0.02, 0.04), "supported"),
    (network(0.02, 0.04), network(0.05, 0.01), "contradicted"),
    (network(0.05, 0.04), network(0.02, 0.04), "undecided"),                            # the high half alone
    (network(0.05, 0.01, spread=0.2), network(0.02, 0.04, spread=0.2), "undecided"),    # too few patients
    (network(0.05, 0.01, (0, 1)), network(0.02, 0.04, (0, 1)), "undecided"),            # too few seeds
    (network(0.05, 0.01, seed_shift=-0.02), network(0.02, 0.04), "undecided")])         # one seed points the other way
def test_the_verdict_follows_from_the_intervals_and_seeds(convolution, attending, verdict):
    found = claim.contrasts(family(convolution, attending))
    assert claim.verdict(found) == verdict
    assert f"claim about frequencies: {verdict}" in claim.told(found)


def test_one_network_that_differs_is_enough_to_leave_it_undecided():
    losses = family(network(0.05, 0.01), network(0.02, 0.04)) | {"hilo_sa": network(0.05, 0.01)}
    found = claim.contrasts(losses)
    assert claim.verdict(found) == "undecided"
    assert "met against: `inception_former`, `mhsa_linear`" in claim.told(found)


def test_a_lean_short_of_the_claim_is_told():
    text = claim.told(claim.contrasts(family(network(0.05, 0.04), network(0.02, 0.04))))
    assert "met against: none" in text and "convolutions lean on higher frequencies" in text


def test_without_the_networks_it_is_untested():
    losses = family(network(0.05, 0.01), network(0.02, 0.04))
    del losses["hilo_sa"]
    assert claim.verdict(claim.contrasts(losses)) == "untested" and "missing: `hilo_sa`" in claim.told(claim.contrasts(losses))
    del losses[CONVOLUTION]
    assert claim.contrasts(losses) == [] and "not at hand" in claim.told([])


def test_losses_are_clean_minus_stopped(experiment):
    targets = np.eye(9, dtype=np.uint8)[np.arange(90) % 9]
    noise = np.random.default_rng(0).normal(size=targets.shape)
    logits = np.stack([4 * targets + noise] + [noise if i == 2 else 4 * targets + noise for i in range(len(BANDS))]).astype(np.float32)
    told = [each.to_json() for each in (CLEAN, *claim.PROBES)]
    from sklearn.metrics import roc_auc_score
    auroc = [roc_auc_score(targets, each) for each in logits]
    ids = np.arange(90).astype(str)
    entry = Probed({"experiment": experiment.to_json(), "probes": told, "macro_auroc": auroc}, logits, targets, ids, ids)
    (bands,) = claim.losses({CONVOLUTION: [entry]})[CONVOLUTION].values()
    assert bands[2].estimate == pytest.approx(auroc[0] - auroc[3]) and bands[2].interval.low > 0.2
    assert all(band.estimate == 0 and not band.draws.any() for i, band in enumerate(bands) if i != 2)


def test_the_figure_shows_each_network_and_survives_none():
    losses = family(network(0.05, 0.01), network(0.02, 0.04))
    bands, tested = claim.figure(losses, "title").axes
    assert [line.get_label() for line in bands.get_lines()[1:]] == ["InceptionNext", "InceptionFormer", "InceptionHiLoSA",
                                                                   "InceptionMHSALinear"]
    assert len(tested.get_lines()) == 1 + 3 * len(ATTENDING)
    assert len({claim.mark(name) for name in NETWORKS}) == len(NETWORKS)
    assert "no probes at hand" in [text.get_text() for text in claim.figure({}, "title").axes[0].texts]
