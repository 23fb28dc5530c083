"""A rule that lets the test fold choose is never below its twin, and each rule chooses what it says it chooses."""

import dataclasses

import numpy as np
import pytest

from ecgstudy.evaluate.thresholds import fit_thresholds
from ecgstudy.study import ledger, scoring_rules
from ecgstudy.study.plans import PLANS
from ecgstudy.study.profiles import profile
from ecgstudy.study.protocol_plan import WATCHED, protocol, recipe_axis, step_after
from ecgstudy.study.scoring_rules import PROTOCOL, RULES, SHARES, macro_f1, one_threshold


@pytest.fixture
def run(made_run):
    """A run whose validation fold is other records than its test fold, with the protocol's thresholds."""
    made, other = made_run("mhsa", 0, 1.5), made_run("window", 0, 1.5).predictions
    predictions = dataclasses.replace(made.predictions, validation_logits=other.test_logits, validation_targets=other.test_targets)
    thresholds = fit_thresholds(1 / (1 + np.exp(-predictions.validation_logits.astype(float))), predictions.validation_targets)
    result = made.result | {"thresholds": thresholds.tolist(), "training": {"best_epoch": 2}}
    return with_predictions(ledger.Run(result, None), predictions)


@pytest.fixture
def watched(run):
    """The same with three epochs, of which the second was chosen and the third separates the test fold perfectly."""
    kept = run.predictions.test_logits
    epochs = np.stack([kept * 0.1 - 1, kept, 20.0 * run.predictions.test_targets - 10]).astype(np.float16)
    return with_predictions(run, dataclasses.replace(run.predictions, oracle_epoch_logits=epochs))


def with_predictions(run, predictions):
    made = ledger.Run(run.result, None)
    made.__dict__["predictions"] = predictions
    return made


def test_one_threshold_is_the_best_of_all_cuts():
    generator = np.random.default_rng(3)
    targets = generator.random((60, 4)) < [0.5, 0.2, 0.1, 0.0]
    probability = np.clip(0.3 * targets + generator.random((60, 4)) * 0.7, 0, 1)
    found = one_threshold(probability, targets)
    scores = {cut: macro_f1(probability > cut, targets) for cut in scoring_rules.CUTS}
    assert scores[found] == max(scores.values()) and found == max(cut for cut, score in scores.items() if score == scores[found])
    assert one_threshold(probability, np.zeros_like(targets)) == 0.5


def test_no_oracle_is_below_its_twin_and_only_oracles_have_one(run, watched):
    scored = scoring_rules.score_rules([run], [watched], 50)
    assert list(scored) == list(RULES)
    for name, found in scored.items():
        assert name.startswith("oracle_") == bool(RULES[name].twin) == (found.optimism is not None)
        if found.optimism:
            assert found.optimism.estimate >= 0
        assert (found.against_protocol is None) == (name == PROTOCOL)
        assert found.score.low < found.score.estimate < found.score.high or found.score.estimate == 1
    assert scored["oracle_per_class"].optimism == scored["oracle_per_class"].against_protocol
    assert scored["oracle_per_class"].optimism.estimate > 0


def test_the_protocol_rule_gives_the_stored_score(run):
    expected = macro_f1(run.test_probability() > run.thresholds, run.predictions.test_targets)
    assert scoring_rules.score_rules([run], [], 20)[PROTOCOL].score.estimate == pytest.approx(expected)


def test_the_test_fold_reaches_oracles_alone(run, watched):
    """With other test labels every honest rule decides as before, and every oracle but none of its twins changes its mind."""
    rows = np.arange(400)
    shuffled = np.random.default_rng(1).permutation(watched.predictions.test_targets)
    other = with_predictions(watched, dataclasses.replace(watched.predictions, test_targets=shuffled))
    for name, rule in RULES.items():
        same = np.array_equal(rule.decide(watched, rows), rule.decide(other, rows))
        assert same == (not rule.twin), name


def test_the_epoch_oracle_finds_the_best_epoch_and_the_chosen_one_is_in_full_precision(watched):
    scored = scoring_rules.score_rules([], [watched], 20)
    assert set(scored) == {"oracle_epoch", "oracle_epoch_one"} and scored["oracle_epoch"].score.estimate == 1
    np.testing.assert_array_equal(scoring_rules.epoch_probability(watched)[1], watched.test_probability())
    chosen, gained = scoring_rules.epoch_auroc([watched], 50)
    assert chosen.estimate + gained.estimate == pytest.approx(1) and gained.low > 0


def test_where_the_chosen_epoch_is_the_best_the_oracle_adds_nothing(watched):
    first = watched.predictions.oracle_epoch_logits[:2]
    poor = np.stack([np.zeros_like(first[0]), first[1]])
    only = with_predictions(watched, dataclasses.replace(watched.predictions, oracle_epoch_logits=poor))
    found = scoring_rules.score_rules([], [only], 20)["oracle_epoch"].optimism
    assert (found.estimate, found.low, found.high) == (0, 0, 0)


def test_optimism_grows_as_records_become_few(run, watched):
    found = scoring_rules.optimism_by_size([run], [watched], n_draws=12)
    assert set(found) == {name for name, rule in RULES.items() if rule.twin}
    quarter, half, whole = (draws.mean() for draws in found["oracle_per_class"])
    assert quarter > half > whole > 0 and [len(draws) for draws in found["oracle_one"]] == [12, 12, 1]
    assert whole == scoring_rules.score_rules([run], [], 20)["oracle_per_class"].optimism.estimate


def test_patients_are_drawn_whole(made_run):
    alike = made_run("mhsa", 0, 1.0, n_patients=40)
    rows = scoring_rules._draw(alike, SHARES[0], np.random.default_rng(0))
    assert len(rows) == 100 and len(np.unique(alike.predictions.test_patients[rows])) == 10


def test_a_single_label_task_has_no_threshold_to_choose(run, watched):
    exclusive = ledger.Run(watched.result | {"thresholds": None, "experiment": chapman().to_json()}, None)
    k = len(exclusive.experiment.labels.classes)
    targets = np.eye(k, dtype=np.uint8)[np.arange(400) % k]
    logits = (2 * targets + np.random.default_rng(0).normal(size=(400, k))).astype(np.float32)
    epochs = np.stack([logits, logits, 9.0 * targets]).astype(np.float16)
    exclusive.__dict__["predictions"] = dataclasses.replace(watched.predictions, test_logits=logits, test_targets=targets,
                                                            oracle_epoch_logits=epochs)
    scored = scoring_rules.score_rules([exclusive], [exclusive], 20)
    assert list(scored) == [PROTOCOL, "oracle_epoch"] and scored["oracle_epoch"].score.estimate == 1
    assert len(scoring_rules.optimism_by_size([exclusive], [exclusive], 2)["oracle_epoch"]) == len(SHARES)


def chapman():
    return protocol("chapman", "", "smoke", [WATCHED])[0]


def test_without_runs_there_is_nothing():
    assert scoring_rules.score_rules([], []) == {} == scoring_rules.optimism_by_size([], [])


class TestPlan:
    def test_in_the_full_profile_the_step_is_the_notes(self):
        assert step_after(profile("full")) == 20 and [step_after(profile(name)) for name in ("smoke", "quick")] == [1, 3]

    @pytest.mark.parametrize("name", ["smoke", "quick", "full"])
    def test_the_base_runs_are_those_of_every_other_page(self, name):
        size = profile(name)
        plan = recipe_axis(size).experiments("ptbxl", "nine", size, seeds=[0, 1])
        base = [experiment for experiment, recipe in plan.items() if recipe == size.schedule]
        assert base == PLANS["attention_ablation"]("ptbxl", "nine", name, ["mhsa"], [0, 1])
        assert len(plan) == 14 and len({experiment.key("data") for experiment in plan}) == 14

    def test_a_recipe_changes_only_what_it_names(self):
        found = {recipe: experiment for experiment, recipe in recipe_axis(profile("quick")).experiments(
            "ptbxl", "nine", profile("quick"), seeds=[2]).items()}
        base = found["cosine"].to_json()
        changed = {recipe: {k: v for k, v in e.to_json().items() if base.get(k) != v} for recipe, e in found.items()}
        assert changed == {"cosine": {}, "step": {"schedule": "step", "schedule_step": 3}, "noise": {"augmentation": ["noise"]},
                           "lead_mask": {"augmentation": ["lead_mask"]}, "end_mask": {"augmentation": ["end_mask"]},
                           "all_three": {"augmentation": ["end_mask", "lead_mask", "noise"]}, "watched": {"watch_test": True}}
