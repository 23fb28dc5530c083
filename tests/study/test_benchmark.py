"""Page 15: nobody is left out, all pairs are asked at once, and what is not told apart stays joined."""

import dataclasses
import json
import re

import numpy as np
import pytest

from ecgstudy import files
from ecgstudy.models import list_models
from ecgstudy.models.registry import model_entry
from ecgstudy.study import benchmark, benchmark_figures
from ecgstudy.study.axis_page import AxisPage, Comparison
from ecgstudy.study.comparison import compare
from ecgstudy.study.complexity import NetworkCost
from ecgstudy.study.names import readable
from ecgstudy.study.notebooks import read_notebook
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request
from ecgstudy.study.sweep import Outcome
from ecgstudy.study.variants import AXES, axis

ROOT = files.repository()
PAPERS = [name for name in list_models() if model_entry(name).sizes]
EXECUTED = ROOT / "book" / "executed" / "15_benchmark.ipynb"


def test_every_registered_model_is_in_the_benchmark_as_its_own_page_trains_it():
    variants = axis("benchmark").variants
    assert {variant.model for variant in variants.values()} == set(list_models())
    for name in PAPERS:
        assert variants[name] == AXES[name].variants[name]
    for name, page in (("inception_former", "inceptionformer"), ("resnet34", "inceptionformer"), ("mobilenetv2", "three_datasets"),
                       ("crossed_shunted", "stacking")):
        assert variants[name] == AXES[page].variants[name]


def test_every_paper_has_a_page_in_the_book_and_every_page_a_registered_model():
    contents = (ROOT / "book" / "_toc.yml").read_text(encoding="utf-8")
    assert {path.stem for path in (ROOT / "notebooks" / "papers").glob("*.ipynb")} == set(PAPERS)
    assert set(re.findall(r"file: notebooks/papers/(\w+)", contents)) == set(PAPERS)


@pytest.mark.skipif(not EXECUTED.is_file(), reason="page 15 has not been kept yet")
def test_the_kept_table_shows_every_registered_model():
    html = "".join("".join(output["data"]["text/html"]) for cell in read_notebook(EXECUTED)["cells"]
                   for output in cell.get("outputs", []) if "text/html" in output.get("data", {}))
    cells = set(re.findall(r"<td[^>]*>([^<]*)</td>", html))
    assert {readable(name) for name in axis("benchmark").variants} <= cells


# -- a page without training --------------------------------------------------------------------------------------------

NAMES = ("mina", "ecgnet", "resnet18", "resnet34")


@pytest.fixture
def found(made_run):
    """Four networks: one clearly best, two level, one clearly worst; the last has a single seed."""
    skills, runs, plan = {"mina": 4.0, "ecgnet": 1.5, "resnet18": 1.5, "resnet34": 0.2}, [], {}
    for name, skill in skills.items():
        for seed in range(1 if name == "resnet34" else 3):
            run = made_run(name, seed, skill)
            runs.append(run)
            plan[run.experiment] = name
    page = AxisPage(axis("benchmark"), Request("notebooks/15_benchmark", "synthetic", "nine", profile("smoke"), (0, 1, 2),
                                               {"networks": (*NAMES, "im_ecg")}, "name"))
    return Comparison(page, Outcome(runs), compare(runs, plan, "resnet18", 200))


COSTS = [NetworkCost(name, n, n, n, float(n)) for name, n in (("mina", 40), ("ecgnet", 10), ("resnet18", 20), ("resnet34", 5),
                                                              ("im_ecg", 50))]


def test_pairs_are_told_apart_only_where_they_differ_and_only_with_three_seeds(found):
    ranked = benchmark.ranking(found)
    assert ranked.names[0] == "mina" and set(ranked.names) == {"mina", "ecgnet", "resnet18"} and ranked.seeds == (0, 1, 2)
    assert ranked.apart[0, 1:].all() and not ranked.apart[1, 2] and (ranked.apart == ranked.apart.T).all()
    assert ranked.groups == ((1, 2),)
    told = benchmark.in_words(found, COSTS, ranked)
    assert "Of 3 pairs of the 3 networks with 3 seeds, 2 can be told apart" in told and "`mina`'s, apart from all others" in told
    assert "**Not run.** `im_ecg`." in told


def test_without_three_seeds_nothing_is_told_apart(found):
    rows = [dataclasses.replace(row, runs=row.runs[:2]) for row in found.rows]
    ranked = benchmark.ranking(dataclasses.replace(found, rows=rows))
    assert ranked.names == () and "nothing can be said" in benchmark.in_words(found, COSTS, ranked)
    assert "nothing can be told apart" in benchmark_figures.ranking_figure(ranked, "").axes[0].texts[0].get_text()


def test_a_seed_that_points_the_other_way_leaves_a_pair_together(found):
    row = next(row for row in found.rows if row.value == "mina")
    measured = row.measured["macro_auroc"]
    row.measured["macro_auroc"] = dataclasses.replace(measured, by_seed=measured.by_seed | {2: 0.1})
    ranked = benchmark.ranking(found)
    assert not ranked.apart[ranked.names.index("mina")].any()


def test_the_table_is_in_the_order_of_scores_and_names_what_was_not_run(found):
    html = benchmark.benchmark_table(found, COSTS).to_html()
    assert html.index("MINA") < html.index("ECGNet") < html.index("ResNet34") < html.index("IM-ECG")
    assert html.count("not run") == 1 and f"{found.rows[0].measured['macro_auroc'].interval.estimate:.3f}" in html


def test_the_front_holds_what_no_cheaper_network_exceeds(found):
    assert benchmark.front(found, COSTS, "macs")[-1] == "mina" and benchmark.front(found, COSTS, "macs")[0] == "resnet34"
    drawn = benchmark_figures.cost_figure(found, COSTS, "x")
    bold = {text.get_text() for text in drawn.axes[0].texts if text.get_fontweight() == "bold"}
    assert bold == {readable(name) for name in benchmark.front(found, COSTS, "macs")}
    assert len(drawn.axes[0].texts) == len(found.rows)


def test_names_never_stand_on_one_another():
    rng = np.random.default_rng(0)
    for n in (1, 5, 19):
        places = np.sort(rng.uniform(size=n))[::-1]
        moved = benchmark_figures.spread(list(places), 1 / 20)
        assert (-np.diff(moved) >= 1 / 20 - 1e-9).all() and 0 <= min(moved) and max(moved) <= 1


def test_published_numbers_are_quoted_and_none_of_ours_stands_among_them():
    page = AxisPage(axis("benchmark"), Request("notebooks/15_benchmark", "ptbxl", "nine", profile("smoke"), (0,),
                                               {"networks": ("resnet18",)}, "name"))
    html = benchmark.published_table(page).to_html()
    assert "xresnet1d101" in html and "0.957" in html and "#8a8a8a" in html and "here, smoke" not in html


def test_a_group_is_a_longest_run_of_neighbours_without_a_pair_apart():
    apart = np.zeros((5, 5), bool)
    for i, j in ((0, 3), (0, 4), (1, 4), (2, 4), (3, 4)):
        apart[i, j] = apart[j, i] = True
    assert benchmark.groups(apart) == ((0, 2), (1, 3))
    assert benchmark.groups(np.zeros((0, 0), bool)) == () and json.dumps(benchmark.groups(~np.eye(3, dtype=bool))) == "[]"
