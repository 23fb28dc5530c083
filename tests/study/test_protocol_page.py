"""Page 02 shows oracles in grey, keeps the watched run out of the comparison, and says what is missing."""

import dataclasses

import numpy as np
import pytest

from ecgstudy.evaluate.thresholds import fit_thresholds
from ecgstudy.study import ledger, protocol_page
from ecgstudy.study.axis_page import AxisPage
from ecgstudy.study.profiles import profile
from ecgstudy.study.protocol_page import GREY, Protocol
from ecgstudy.study.protocol_plan import RECIPES, WATCHED, recipe_axis
from ecgstudy.study.request import Request
from ecgstudy.study.sweep import Outcome


def page(names=RECIPES):
    size = profile("quick")
    return AxisPage(recipe_axis(size), Request("02_protocol", "synthetic", "nine", size, (0, 1, 2), {"recipes": tuple(names)}))


@pytest.fixture
def found(made_run):
    """A page whose runs are made up: all recipes alike but noise, which helps. `found(names)` finishes those named."""
    def make(names=RECIPES):
        asked = page()
        plan = asked.plan
        runs = [finished(made_run("mhsa" if name == "watched" else name, e.seed, 3.0 if name == "noise" else 1.5), e)
                for e, name in plan.items() if name in names]
        return Protocol(asked, Outcome(finished=runs, missing=[e for e, name in plan.items() if name not in names]))

    def finished(made, experiment):
        stored = made.predictions
        kept = np.stack([stored.test_logits * 0.5, stored.test_logits]).astype(np.float16) if experiment.watch_test else None
        thresholds = fit_thresholds(1 / (1 + np.exp(-stored.validation_logits.astype(float))), stored.validation_targets)
        run = ledger.Run(made.result | {"experiment": experiment.to_json(), "thresholds": thresholds.tolist(),
                                        "training": {"best_epoch": 2, "seconds": 60.0, "history": [{}, {}]},
                                        "environment": {"device_name": "a CPU", "commit": "0123456789", "edited": False, "finished": "now"},
                                        "data": made.result["data"] | {"digest": "d" * 64}}, None)
        run.__dict__["predictions"] = dataclasses.replace(stored, oracle_epoch_logits=kept)
        return run

    return make


def test_oracle_rows_are_grey_and_no_other(found):
    table = found().rule_table()
    html = table.to_html()
    assert GREY.split(";")[0] in html
    styled = table._compute().ctx
    names = table.data["rule"]
    grey = {names[i] for (i, _), style in styled.items() if ("color", "#8a8a8a") in style}
    assert grey == {name for name in names if name.startswith("oracle_")} and len(grey) == 4 and len(names) == 7


def test_the_watched_run_is_in_no_comparison(found):
    made = found()
    assert [row.value for row in made.recipes.rows] == [name for name in RECIPES if name != WATCHED]
    assert len(made.watched) == 3 and "watched" not in made.recipe_table().to_html()


def test_the_reading_calls_what_is_earned_and_names_the_optimism(found):
    text = found().reading()
    assert "`noise` is better" in text and "epoch and one threshold on test +" in text and "Over 3 seeds the SD is" in text
    assert "in grey are no reference" not in text and "this study's choices" in text and "Provenance of the 21 runs" in text


def test_what_was_not_made_is_said_and_nothing_breaks(found):
    only_base = found(["cosine"])
    assert list(only_base.rule_table().data["rule"]) == ["protocol", "fixed", "one", "oracle_one", "oracle_per_class"]
    assert "`watched` seeds 0, 1, 2" in only_base.reading()
    nothing = found([])
    for show in (nothing.rule_table, nothing.optimism_figure, nothing.recipe_table, nothing.recipe_figure, nothing.spread_figure):
        shown = show()
        assert "have not been made" in shown.data
    assert "No recipe is here" in nothing.reading()


def test_only_watched_runs_still_give_their_rules(found):
    made = found(["watched"])
    assert list(made.rule_table().data["rule"]) == ["oracle_epoch", "oracle_epoch_one"] and "have not been made" in made.recipe_table().data


def test_the_figures_are_drawn(found):
    made = found()
    assert len(made.optimism_figure().axes[0].get_lines()) > 4
    labels = [label.get_text() for label in made.spread_figure().axes[0].get_yticklabels()]
    assert labels == ["mean of seeds", "seed 0", "seed 1", "seed 2"]


def test_the_words_before_the_work(found):
    assert "`step` divides the rate by ten after 3 of 4 epochs" in protocol_page.what_runs(page())
    assert "every 20 epochs" in protocol_page.notes_recipe() and "no benefit recorded" in protocol_page.notes_recipe()
