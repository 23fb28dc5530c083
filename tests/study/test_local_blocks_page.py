"""Page 06: blocks counted and measured as they are, trained weights told from fresh ones, verdicts under the question they answer."""

import numpy as np
import pytest
import torch

from ecgstudy.layers.channel import CoordinateAttention
from ecgstudy.layers.convs import DepthwiseConv
from ecgstudy.study import comparison, runs
from ecgstudy.study import local_blocks_figures as draw
from ecgstudy.study import local_blocks_page as local
from ecgstudy.study.axis_page import AxisPage, Comparison
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request
from ecgstudy.study.sweep import Outcome
from ecgstudy.study.variants import axis
from ecgstudy.train.checkpoint import save_weights


def page_of(*names, size="smoke"):
    return AxisPage(axis("local_blocks"), Request("06_local_blocks", "synthetic", "nine", profile(size), (0,), {"blocks": names}))


def compared(made_run, skills):
    """A comparison of made-up runs, {variant: skill}, three seeds each."""
    page = page_of(*skills)
    made = [(name, made_run(name, seed, skill)) for name, skill in skills.items() for seed in range(3)]
    for _, run in made:
        run.result["training"] = {"scaling": {"mean": 1.0, "deviation": 200.0}}
    page.__dict__["plan"] = names = {run.experiment: name for name, run in made}
    finished = [run for _, run in made]
    return Comparison(page, Outcome(finished=finished), comparison.compare(finished, names, "plain", 200))


def test_every_variant_but_the_baseline_answers_one_question():
    asked = [name for names in local.QUESTIONS.values() for name in names]
    assert sorted([*asked, "plain"]) == sorted(local.VARIANTS)
    assert set(local.FORMULAS) < set(local.VARIANTS)


@pytest.mark.parametrize(("name", "n_parameters"), [
    ("plain", 266_752), ("inverted_residual", 271_616), ("modulation", 464_384)])
def test_one_block_has_the_known_number_of_parameters(name, n_parameters):
    assert local.count_parameters(local.local_block(name, 256)) == n_parameters


def test_the_block_table_counts_each_chosen_block_and_shows_its_kernels():
    text = local.block_table(page_of("plain", "kernels_3_5_7_9"))
    assert "266,752" in text and "| plain |" in text and "coordinate" not in text
    assert r"\mathrm{MSDW}_{3,7,11,19}" in text and r"\mathrm{MSDW}_{3,5,7,9}" in text
    assert all(line.count("|") == 8 for line in text.splitlines() if line.startswith("|"))
    assert local.local_block("modulation", 64).token_mixer.weigh[-1].conv.kernel_size[1] == 11       # what its formula says


@pytest.mark.parametrize(("name", "tokens", "whole"), [
    ("plain", 19, False), ("dw_mlp", 21, False), ("kernels_3", 3, False), ("inverted_residual", 19, False), ("squeeze_excite", 19, True),
    ("coordinate", 19, True)])
def test_a_block_reaches_as_far_as_its_kernels_and_its_gate(name, tokens, whole):
    found = local.reaches(page_of(name))[name]
    assert found.by_stage == pytest.approx({1: tokens / 100, 2: tokens / 50, 3: tokens / 25}) and found.whole_record is whole
    assert 0.3 < found.by_depth["smoke"] < found.by_depth["full"] < 3


def test_modulation_stands_in_stages_2_and_3_only():
    assert local.reaches(page_of("modulation"))["modulation"].by_stage == pytest.approx({2: 0.22, 3: 0.44})


def test_reach_is_measured_on_what_it_is_given():
    twice = torch.nn.Sequential(DepthwiseConv(4, 5), DepthwiseConv(4, 3))
    assert local.reach(twice, torch.zeros(1, 40, 4)) == 7
    assert local.reach(twice[1], torch.zeros(1, 40, 4)) == 3


def test_gains_of_a_mean_and_of_a_difference():
    frequencies, found = local.gains(np.array([[1, 1, 1], [-0.5, 0, 0.5]]) / [[3], [1]], 50)
    assert frequencies[0] == 0 and frequencies[-1] == 25
    assert found[0, 0] == pytest.approx(1) and found[1, 0] == pytest.approx(0)
    assert frequencies[found[1].argmax()] == pytest.approx(12.5) and found[1].max() == pytest.approx(1)


def test_without_weights_the_network_is_the_untrained_one_and_says_so(made_run):
    found = local.network(compared(made_run, {"plain": 1.0}), "plain")
    assert found.trained is None and "untrained" in found.state and local.moved(found) == ""
    again = local.network(compared(made_run, {"plain": 1.0}), "plain")
    assert all(torch.equal(a, b) for a, b in zip(found.fresh.parameters(), again.fresh.parameters(), strict=True))


def test_weights_of_the_page_are_used_and_their_way_is_measured(made_run):
    page = compared(made_run, {"plain": 1.0})
    model = local.network(page, "plain").fresh
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    save_weights(runs.folder() / page.outcome.finished[0].key / "weights.safetensors", model)
    found = local.network(page, "plain")
    assert "trained on this page, seed 0" in found.state and found.scale == (1.0, 200.0)
    assert local.moved(found).count("50 %") == 3
    assert len(draw.responses(found, "kernels").axes) == 12


def test_gates_are_those_of_the_layers(made_run):
    page = compared(made_run, {"plain": 1.0})
    squeezed, coordinated = (local.network(page, name) for name in ("squeeze_excite", "coordinate"))
    layers = [layer for layer in coordinated.fresh.modules() if isinstance(layer, CoordinateAttention)]
    torch.nn.init.zeros_(layers[0].token_gate.weight)
    with torch.no_grad():
        layers[0].token_gate.bias.copy_(torch.linspace(-1, 1, 8))
    first, last = local.gates(squeezed, coordinated, local.example())
    assert (first.stage, last.stage) == (1, 3)
    assert first.over_time.shape == (8, 1000) and last.over_time.shape == (16, 250) and last.squeeze_excite.shape == (16,)
    assert np.allclose(first.over_time, 1 / (1 + np.exp(-np.linspace(-1, 1, 8)))[:, None])
    assert first.share_over_time == pytest.approx(0, abs=1e-6)
    assert 0 < last.share_over_time < 1
    assert local.states([squeezed, coordinated]).count("untrained") == 1


def test_verdicts_stand_under_their_question(made_run):
    text = local.by_question(compared(made_run, {"plain": 1.0, "coordinate": 3.0, "glu": 1.0}))
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(lines) == 2 and "`coordinate` better" in lines[0] and "gate" in lines[0]
    assert "`glu`" in lines[1] and "mixer" in lines[1] and "all 2 comparisons" in text
    assert local.by_question(compared(made_run, {"glu": 1.0})) == ""


def test_limits_name_a_stage_that_is_too_shallow():
    assert any("stage 2 is too shallow" in each for each in local.limits(page_of("plain", "modulation")))
    assert not any("shallow" in each for each in local.limits(page_of("plain", "modulation", size="full")))
    assert not any("shallow" in each for each in local.limits(page_of("plain")))
