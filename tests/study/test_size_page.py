"""Page 07: costs against counts by hand, the reading against scores that are known, pictures against what the network keeps."""


import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ecgstudy.models import build_model
from ecgstudy.study import probes, size_page, size_traces
from ecgstudy.study.axis_page import SIGNAL, AxisPage, Comparison
from ecgstudy.study.comparison import compare
from ecgstudy.study.probes import Probe, Score
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request
from ecgstudy.study.size_page import Cut, Deletion
from ecgstudy.study.sweep import Outcome
from ecgstudy.study.variants import axis
from ecgstudy.train.seeds import scoped_seed


def page(size="smoke"):
    names = tuple(axis("size_and_tokens").variants)
    return AxisPage(axis("size_and_tokens"), Request("07_size_and_tokens", "synthetic", "nine", profile(size), (0,), {"sizes": names}))


@pytest.fixture
def found(run, tiny, monkeypatch):
    """The page with one run of its base, whose data are the tiny ones."""
    monkeypatch.setattr(probes, "at_hand", lambda dataset, size: tiny)
    return Comparison(page(), Outcome([run]), compare([run], {run.experiment: "base"}, "base", 50))


@pytest.fixture
def without_runs():
    return Comparison(page(), Outcome(), [])


# --- cost and score of deletion --------------------------------------------------------------------------------------------------

def test_last_stage_share_by_hand():
    stage = 4 * (125 * 8 * 512**2 + 2 * 125**2 * 512)           # maps of qkv, output and MLP; products inside attention
    assert size_page.last_stage_share(page("full")) == stage / 2_319_492_608        # the whole network, as page 04 counts it


def test_costs_of_a_cut_by_hand():
    """Smoke: the second of two blocks works on half of 125 tokens of width 16."""
    costs = size_page.relative_costs(page(), [("tokens", 0.5), ("heads", 0.5)])
    whole = size_page.macs(size_page.fresh(page(), "base"), size_page.SIGNAL)
    def block(n):
        return n * 8 * 16**2 + 2 * n**2 * 16
    assert costs["tokens", 0.5][0] == pytest.approx(1 - (block(125) - block(62)) / whole)
    assert costs["heads", 0.5][0] == pytest.approx(1 - 125**2 * 16 / whole)
    assert all(time > 0 for _, time in costs.values())


def test_every_cut_is_measured_with_its_control(found):
    deletion = size_page.measure_deletion(found)
    assert [(cut.part, cut.share) for cut in deletion.cuts] == [("tokens", 0.5), ("tokens", 0.1), ("heads", 0.5)]
    assert deletion.n_seeds == 1 and deletion.gaps == "" and deletion.trained == {}
    assert all(len({each.estimate for each in (cut.importance, *cut.draws)}) > 1 for cut in deletion.cuts)
    assert deletion.clean.estimate == pytest.approx(found.rows[0].runs[0].result["scores"]["validation"]["macro_auroc"], abs=1e-3)
    assert len(deletion.figure().axes) == 4


def test_chance_is_the_mean_over_the_draws():
    drawn = {Probe("settings", {"keep_heads": 0.5, "keep_draw": draw}): Score(draw / 10, np.full(3, draw)) for draw in size_page.DRAWS}
    own = Score(0.9, np.zeros(3))
    importance, draws = size_page.by_importance_and_draws(drawn | {Probe("settings", {"keep_heads": 0.5}): own}, "heads", 0.5)
    chance = Cut("heads", 0.5, importance, draws, 1, 1).chance
    assert importance is own and chance.estimate == pytest.approx(0.1) and chance.draws.tolist() == [1, 1, 1]


def test_one_draw_on_the_other_side_tells_nothing_apart():
    draws = [score(value, -0.001) for value in (0.80, 0.81, 0.85)]
    assert Cut("heads", 0.5, score(0.9), tuple(draws), 1, 1).apart
    assert Cut("heads", 0.5, score(0.7), tuple(draws), 1, 1).apart
    assert not Cut("heads", 0.5, score(0.84), tuple(draws), 1, 1).apart
    assert not Cut("heads", 0.5, score(0.9, 0.2), tuple(draws), 1, 1).apart


def test_without_weights_the_gap_is_named_and_the_costs_stand(found, run):
    probes.weights(run).unlink()
    deletion = size_page.measure_deletion(found)
    text = deletion.reading()
    assert deletion.clean is None and "Not probed" in text and "Is deletion a saving here?" in text and "against chance" not in text
    assert "not measured" in deletion.figure().axes[0].texts[0].get_text()


def score(value, spread=0.001):
    return Score(value, value + spread * np.linspace(-1, 1, 101))


def told(tokens, heads):
    """The reading of a deletion whose cuts score (importance, chance)."""
    cuts = [Cut(part, share, score(own), (score(control, -0.001),) * 3, 0.9, 1.1) for part, scores in (("tokens", tokens), ("heads", heads))
            for share, (own, control) in scores.items()]
    return Deletion(score(0.9, -0.002), tuple(cuts), {}, 0.25, 2, "").reading()


def test_reading_names_where_importance_differs_from_chance_and_in_which_direction():
    text = told({0.5: (0.9, 0.88), 0.1: (0.8, 0.85)}, {0.5: (0.7, 0.7)})
    assert "For tokens importance scores higher at 50 %, importance scores lower at 10 %; the widest gap is −0.050" in text
    assert "For heads the two cannot be told apart at any share" in text
    assert "For tokens the change's interval holds zero down to 50 %; at 10 % the change is −0.100" in text
    assert "For heads the change's interval leaves zero out at every share tried" in text
    assert "25 % of this network's MACs" in text and "50 % of the heads leave 90 % of the MACs and 110 % of the time" in text
    assert "better" not in text and "worse" not in text and "2 seeds" in text


# --- over the trace --------------------------------------------------------------------------------------------------------------

def test_lift_is_a_ratio_of_shares():
    evidence = np.zeros((40, 10), bool)
    evidence[:, :2] = True
    kept = np.zeros_like(evidence)
    kept[:, [0, 9]] = True                                      # half of the kept tokens in a fifth of the places
    lift = size_traces.lift(kept, evidence, 100)
    assert lift.estimate == pytest.approx(2.5) == pytest.approx(lift.low) and "more than" in size_traces.even(lift)
    spread = size_traces.lift(np.full((40, 10), 0.3), evidence, 100)
    assert spread.estimate == pytest.approx(1) and "not told apart" in size_traces.even(spread)
    assert "less than" in size_traces.even(size_traces.lift(~evidence | (np.arange(10) == 1), evidence, 100))


def test_token_centres():
    mask = np.zeros(1000, bool)
    mask[8:17] = True                                           # tokens 1 (8) and 2 (16), and no longer 0 (0)
    assert np.flatnonzero(size_traces.at_token_centres(mask, 125)).tolist() == [1, 2]
    assert size_traces.at_token_centres(mask, 63).tolist() == [False, True] + [False] * 61


def test_tokens_stand_where_a_spike_moves_them_most():
    local = dict(profile("smoke").network) | {"pattern": ("L", "L", "L", "L")}         # attention would carry the spike everywhere
    with scoped_seed(0):
        model = build_model("inception_former", SIGNAL, 9, **local).eval()
    features = [model.forward_features(torch.zeros(1, 12, 1000))]
    for sample in (160, 480):
        x = torch.zeros(1, 12, 1000)
        x[..., sample] = 50
        with torch.no_grad():
            features.append(model.forward_features(x))
        moved = (features[-1] - features[0]).abs().sum(dim=1)[0]
        on_the_spike = np.arange(1000) == sample
        token, = np.flatnonzero(size_traces.at_token_centres(on_the_spike, moved.shape[-1]))
        around = moved[token - 3:token + 4]
        assert (torch.arange(-3.0, 4) @ around / around.sum()).abs() < 0.3    # half a token late would be 0.5


def test_the_record_shown_has_two_premature_beats_and_nothing_else():
    record = size_traces.shown_record()
    assert len(record.spans) == 2 and record.trace.shape == (1000,)
    drawn = size_traces.simulate(seed=size_traces.SEED, indices=[size_traces.SHOWN_RECORD])
    assert drawn.labels[0].sum() == 1 and drawn.labels[0, drawn.classes.index("PVC")]


def test_kept_tokens_of_a_trained_run(found, run):
    kept = size_traces.kept_tokens(found)
    alive = np.isfinite(kept.importance)
    assert kept.weights == "weights of seed 0" and alive.sum(axis=1).tolist() == [125, 31] and not (alive[1] & ~alive[0]).any()
    np.testing.assert_allclose(np.nanmean(kept.importance, axis=1), 1, rtol=1e-5)
    dropped, stayed = kept.importance[0][~alive[1]], kept.importance[0][alive[1]]
    assert dropped.max() <= stayed.min()
    assert len(kept.figure().axes) == 4 and "(weights of seed 0)" in kept.reading()


def test_the_weights_are_the_runs_own(found, run):
    seen = size_traces.network(found, "base", keep_tokens=0.25)
    weights = load_file(probes.weights(run))
    assert all(torch.equal(value, weights[name]) for name, value in seen.model.state_dict().items())
    assert seen.scaling.deviation == run.result["training"]["scaling"]["deviation"]


def test_without_weights_the_pictures_say_so(without_runs):
    kept, semantic = size_traces.kept_tokens(without_runs), size_traces.semantic_tokens(without_runs)
    for shown in (kept, semantic):
        assert "fresh weights" in shown.reading() and "fresh weights" in shown.figure().get_suptitle()


def test_semantic_tokens_attend_to_the_record(without_runs):
    semantic = size_traces.semantic_tokens(without_runs)
    assert semantic.attention.shape == (25, 125) and 0 < semantic.among < 1 and -1 <= semantic.alike <= 1
    np.testing.assert_allclose(semantic.attention.sum(axis=1), 1, rtol=1e-5)


def test_settings_are_those_of_the_trained_variants():
    for name, cut in size_page.TRAINED.items():
        assert axis("size_and_tokens").variants[name].settings == size_page.settings(*cut)
    assert size_page.settings("heads", 0.5, 2) == {"keep_heads": 0.5, "keep_draw": 2}
