"""Page 13: its rows are the axis's, its numbers those of the runs, what is missing is named, and the words say what the numbers say."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ecgstudy.study import distillation_page as page
from ecgstudy.study import tables
from ecgstudy.study.axis_page import AxisPage, Comparison
from ecgstudy.study.class_gaps import EVERY_CLASS
from ecgstudy.study.comparison import compare
from ecgstudy.study.distillation_figures import gap_figure
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request
from ecgstudy.study.sweep import Outcome
from ecgstudy.study.variants import axis

LEAD_I = {"teacher": 3.0, "lead_I_bce": 0.5, "lead_I_kd": 1.5, "lead_I_clt": 0.5, "lead_I_both": 1.4}
VIEWS = {"six_views": 2.5, "view_V1_V2_bce": 1.0, "view_V1_V2_kd": 1.4, "view_V1_V2_published": 1.0, "view_all_bce": 2.0,
         "view_all_kd": 2.2}


@pytest.fixture
def lesson(made_runs, tmp_path, monkeypatch):
    """The page with runs of a given skill under each of its names."""
    def make(skills, n_seeds=3, n_replicates=60):
        runs, plan = made_runs(skills, n_seeds)
        asked = AxisPage(axis("distillation"), Request("13_distillation", "synthetic", "nine", profile("smoke"), tuple(range(n_seeds)),
                                                       {"networks": tuple(skills)}, "name"))
        asked.__dict__["plan"] = plan
        return page.Lesson(Comparison(asked, Outcome(runs), compare(runs, plan, "lead_I_bce", 10)), n_replicates=n_replicates)
    return make


def shown(pieces) -> str:
    return "\n".join(piece.to_html() if hasattr(piece, "to_html") else piece.data for piece in pieces)


def test_every_row_of_the_axis_is_shown_and_no_other():
    students = {page.student(lead, way) for lead in page.SINGLE_LEADS for way in page.WAYS}
    views = {page.view(name, way) for name in page.VIEWS for way in ("bce", *page.LESSONS)}
    assert {page.TEACHER, page.SIX_VIEWS} | students | views == set(axis("distillation").variants)
    assert page.VIEWS["inferior"] == "II, III, aVF" and page.VIEWS["I_aVL"] == "I, aVL" and page.VIEWS["all"] == "all twelve"


def test_ways_are_set_against_labels_alone_and_the_gone_are_named(lesson):
    told = lesson(LEAD_I, n_replicates=400)
    found = page.against_labels(told)
    for name in ("teacher", "lead_I_kd", "lead_I_clt", "lead_I_both"):
        points = [told.rows[each].measured["macro_auroc"].interval.estimate for each in (name, "lead_I_bce")]
        assert found[name, "lead_I_bce"].interval.estimate == pytest.approx(points[0] - points[1])
    assert found["lead_I_kd", "lead_I_bce"].verdict == "better" and found["lead_I_clt", "lead_I_bce"].verdict == "undecided"
    text = shown(page.ways_table(told))
    assert "Students of lead I:" in text and "Students of lead II" not in text
    assert "Not run: `lead_II_bce`, `lead_II_kd`, `lead_II_clt`, `lead_II_both`." in text
    estimate = found["lead_I_kd", "lead_I_bce"].interval
    assert tables.show_interval(estimate, signed=True, joint="<br>") in text and text.count("<tr>") >= 5


def test_the_pictures_of_one_lead(lesson):
    told = lesson(LEAD_I)
    drawn = page.ways_picture(told)
    assert [axis.get_title(loc="left") for axis in drawn.axes] == ["student of lead I"]
    assert [text.get_text() for text in drawn.axes[0].get_yticklabels()] == list(page.WAYS.values())
    assert told.found.page.request.picture().is_file()
    gaps = page.lead_gaps(told)["I"]
    assert [gap.name for gap in gaps] == [EVERY_CLASS, *told.test["classes"]] and all(0 < gap.share < 1 for gap in gaps)
    drawn = page.gap_picture(told)
    said = [text.get_text() for text in drawn.axes[0].texts]
    assert said == [f"{100 * gaps[0].share:.0f} %", "closed", *(f"{100 * gap.share:.0f} %" for gap in gaps[1:])]
    assert drawn.axes[0].get_yticklabels()[1].get_text() == f"{gaps[1].name} ({gaps[1].positives})"


def test_without_the_three_rows_a_sentence_stands_in_the_pictures_place(lesson):
    told = lesson({"teacher": 2.0, "lead_I_bce": 1.0})
    assert page.gap_picture(told).data.startswith("No gap can be drawn. Not run: `lead_I_both`")
    assert "nothing to set a lesson against" in page.view_picture(told).data and "Not run: `six_views`" in page.view_table(told).data
    assert page.ways_picture(lesson({"teacher": 2.0})).data == "No student of one lead was run."
    assert page.told_by_class(told) == page.told_by_view(told) == ""


def test_where_both_was_not_run_the_gap_is_that_of_another_way(lesson):
    told = lesson({name: skill for name, skill in LEAD_I.items() if name != "lead_I_both"})
    assert page.taught_way(told) == "clt" and page.taught_way(lesson(LEAD_I, 1)) == "both"
    assert page.lead_gaps(told)["I"][0].taught == pytest.approx(told.rows["lead_I_clt"].measured["macro_auroc"].interval.estimate)


def test_views_are_drawn_from_the_runs(lesson):
    told = lesson(LEAD_I | VIEWS)
    drawn = page.view_picture(told)
    above, bernoulli, published = (axis for axis in drawn.axes if axis.get_title(loc="left"))
    rows = [told.rows["view_V1_V2_bce"], told.rows["view_all_bce"]]
    np.testing.assert_allclose(above.images[0].get_array(), tables.class_auroc(rows))
    gain = tables.class_auroc([told.rows["view_V1_V2_kd"]])[0] - tables.class_auroc(rows[:1])[0]
    np.testing.assert_allclose(bernoulli.images[0].get_array()[0], gain)
    assert np.isnan(np.ma.filled(published.images[0].get_array()[1], np.nan)).all()             # view_all_published was not run
    assert [label.get_text() for label in above.get_yticklabels()] == ["V1, V2", "all twelve"]
    sure = [gap.gain.low > 0 or gap.gain.high < 0 for gap in told.gaps("view_all_bce", "view_all_bce", "view_all_kd")[1:]]
    dots = sorted(round(line.get_xdata()[0] - 0.4) for line in bernoulli.lines if line.get_ydata()[0] > 0.5)
    assert dots == [k for k, each in enumerate(sure) if each]
    plt.close(drawn)


def test_the_table_of_views_names_what_is_gone(lesson):
    told = lesson(LEAD_I | VIEWS)
    text = page.view_table(told).to_html()
    assert "six views, the teacher" in text and "`view_aVR_bce`" in text and "`view_all_published`" in text
    found = page.view_differences(told)
    assert set(found) == {("view_V1_V2_kd", "view_V1_V2_bce"), ("view_V1_V2_published", "view_V1_V2_bce"), ("view_all_kd", "view_all_bce")}


def test_the_words_say_what_the_numbers_say(lesson):
    told = lesson(LEAD_I | VIEWS)
    leads = page.told_by_lead(told)
    gap = page.against_labels(told)["teacher", "lead_I_bce"].interval
    assert tables.show_interval(gap, signed=True) in leads and "answers (MKD) +0." in leads and "Lead II" not in leads
    classes = page.told_by_class(told)
    widest = max(page.lead_gaps(told)["I"][1:], key=lambda each: each.gap.estimate)
    assert f"in 9 of 9 classes with at least 20 positives, widest first {widest.name}" in classes
    views = page.told_by_view(told)
    assert "By labels alone V1, V2 has" in views and "Six networks of one view each against one network of all leads: +0." in views
    forms = page.differences(told.measured, [("view_V1_V2_kd", "view_V1_V2_published")])
    ahead = int(next(iter(forms.values())).interval.estimate > 0)
    assert f"The Bernoulli form has the higher mean in {ahead} of 1 views" in views
    whole = page.reading(told).data
    assert leads in whole and views in whole and "**What cannot.**" in whole and "may" not in leads


def test_one_seed_gives_no_verdict(lesson):
    assert "(1 seed, no verdict)" in page.told_by_lead(lesson(LEAD_I, 1))


def test_a_class_without_records_is_drawn_as_such_and_a_loss_in_its_colour(lesson):
    gaps = page.lead_gaps(lesson(LEAD_I | {"lead_I_both": 0.0}))["I"]
    assert gaps[0].share < 0
    nothing = type(gaps[0])("none", 0, *[float("nan")] * 3, gaps[1].gap, gaps[1].gain, 1)
    drawn = gap_figure({"student": [*gaps[:2], nothing]}, "title")
    assert "no such record" in [text.get_text() for text in drawn.axes[0].texts]
    assert page.LIMITS and drawn.axes[0].lines[1].get_color() == "#d1495b"
    plt.close(drawn)
