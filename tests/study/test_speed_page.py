"""Page 17 says what the kept rows hold: targets met and missed, peers that are faster, and what was not measured."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from ecgstudy.bench import suites
from ecgstudy.bench.rounds import Spread
from ecgstudy.bench.rows import Row
from ecgstudy.bench.suites import Found
from ecgstudy.errors import ConfigurationError, DataError
from ecgstudy.study import speed_figures, speed_page
from ecgstudy.study.speed_page import SpeedPage

MACHINE = {"date": "2026-01-02", "commit": "abc", "device_name": "a chip", "cores": 2, "load": [0.1, 0.2], "torch": "2", "effort":
           {"rounds": 3, "quick": False, "clock": "processor"}, "versions": {"numpy": "2", "scipy": "1", "wfdb": "4", "torch-ecg": "absent",
                                                                              "neurokit2": "absent"}}
MISSED = Row("training", "a step against a product", "GMAC/s", 20, "a product", 40, Spread(0.45, 0.5, 0.55), "share of the limit", 0.7,
             profile=(("mm", 0.6), ("softmax", 0.3), ("other", 0.1)))
ROWS = (Row("preparation", "CPSC", "records/s", 1200, "wfdb", 100, Spread(11, 12, 13), target=10), MISSED,
        Row("training", "resnet18", "GMAC/s", 20, "torch_ecg", 25, Spread(0.7, 0.8, 0.9)),
        Row("simulator", "records", "records/s", 500, "neurokit2", skipped="neurokit2 cannot be imported"),
        Row("supply", "a batch", "ms", 1, "the step", 100, Spread(0.009, 0.01, 0.03), "share of the step", 0.02, True),
        *(Row("attention", f"{name} at {n} tokens", "ms", ms, "explicit", 4 * n, Spread(*[4 * n / ms] * 3))
          for name, n, ms in (("mhsa", 250, 500), ("mhsa", 8000, 9000), ("window", 250, 800), ("window", 8000, 1000))),
        Row("gpu", "training", "records/s", skipped="not measured here"))


@pytest.fixture
def page():
    return SpeedPage(Found("cpu-x", MACHINE, ROWS), ())


@pytest.mark.parametrize("said", [
    "2 of 3 are met", "a step against a product: 0.5 where at least 0.7 was asked (most time: `mm` 60%, `softmax` 30%)",
    "the target lies for a batch", "In 1 of 2 comparisons", "The peer is faster in 1: resnet18 beside torch_ecg (0.8 ×)",
    "a step against a product, 50%", "At 250 tokens `mhsa` is the cheapest", "at 8,000 tokens `window` is the cheapest layer, 9 × as",
    "Not measured: peers of simulator, records, training on a GPU"])
def test_the_words_follow_from_the_rows(page, said):
    assert said in speed_page.in_words(page)


def test_the_tables_hold_every_row_once(page):
    targets = speed_page.target_table(page).to_html()
    assert targets.count(">yes<") == 2 and targets.count(">no<") == 1 and "at most 0.02" in targets
    rows = speed_page.row_table(page).to_html()
    assert "neurokit2 cannot be imported" in rows and "no results of a GPU are kept" in rows and "mhsa" not in rows


def test_a_gpu_that_was_measured_is_shown(page):
    gpu = Row("gpu", "batch 64", "records/s", 12345, "plain", 3000, Spread(4, 4, 4))
    measured = SpeedPage(page.found, (gpu,))
    assert "12,345" in speed_page.row_table(measured).to_html()
    assert "GPU" not in speed_page.in_words(measured)


def test_the_pictures_show_each_row_in_its_place(page):
    drawn = [speed_figures.ratio_figure(page.against_peers(), "t"), speed_figures.limit_figure(page.limits(), "t"),
             speed_figures.attention_figure(page.found.of("attention"), "t"), speed_figures.profile_figure(page.missed(), "t")]
    names = [" ".join(text.get_text() for axis in figure.axes for text in axis.texts) for figure in drawn]
    assert "CPSC" in names[0] and "0.8 ×" in names[0] and "product" not in names[0]
    assert "50%" in names[1] and "CPSC" not in names[1]
    assert len(drawn[2].axes[0].lines) == 3
    assert "60%" in names[3] and "a step against a product" in drawn[3].axes[0].get_title(loc="left")
    nothing = [speed_figures.ratio_figure([], "t"), speed_figures.limit_figure([], "t"), speed_figures.attention_figure([], "t"),
               speed_figures.profile_figure([], "t")]
    for figure in drawn + nothing:
        figure.draw_without_rendering()
    plt.close("all")


GIVEN = {"machine": "auto", "suites": "all", "measure": False, "rounds": 1}


def test_parameters_are_checked_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(suites, "folder", lambda: tmp_path)
    with pytest.raises(DataError, match="bench --keep"):
        speed_page.ask(GIVEN)
    for wrong, message in (({"suites": "trainig"}, "did you mean 'training'"), ({"measure": "yes"}, "True or False"),
                           ({"rounds": 0}, "rounds is 0"), ({"sutes": "all"}, "did you mean 'suites'")):
        with pytest.raises(ConfigurationError, match=message):
            speed_page.ask(GIVEN | wrong)


def test_the_page_reads_the_first_cpu_and_every_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(suites, "folder", lambda: tmp_path)
    suites.keep(Found("cpu-x", MACHINE, ROWS), tmp_path / "cpu-x.json")
    suites.keep(Found("cuda-y", MACHINE, (Row("gpu", "batch 64", "records/s", 9.0),)), tmp_path / "cuda-y.json")
    page = speed_page.ask(GIVEN)
    assert page.found.kind == "cpu-x" and [row.name for row in page.gpu] == ["batch 64"]
    assert [row.suite for row in speed_page.ask(GIVEN | {"suites": "supply"}).found.rows] == ["supply"]
    with pytest.raises(ConfigurationError, match="did you mean 'cpu-x'"):
        speed_page.ask(GIVEN | {"machine": "cpu-z"})


def test_suites_that_were_measured_apart_are_told_apart(page):
    quick = MACHINE | {"effort": {"rounds": 5, "quick": True, "clock": "wall"}, "load": [9.0, 3.0], "date": "2026-02-03", "commit": "def",
                       "versions": MACHINE["versions"] | {"neurokit2": "0.3"}}
    mixed = Found("cpu-x", MACHINE | {"suites": {"training": MACHINE, "supply": quick}}, page.found.rows)
    told = speed_page.what_was_measured(SpeedPage(mixed, ()))
    for part in ("2026-01-02 to 2026-02-03", "`abc`, `def`", "a load of 0.1 to 9", "3 to 5 interleaved rounds",
                 "At small sizes only: supply.", "neurokit2 0.3", "by the wall", "one thread"):
        assert part in told, part
    assert "small sizes" not in speed_page.what_was_measured(page)
