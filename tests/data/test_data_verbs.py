"""`data cite`, `data croissant` and `data fetch --budget`: what they print, and what they refuse."""

from __future__ import annotations

import json

import pytest

from ecgstudy.cli import main
from ecgstudy.data import fetch as fetching
from ecgstudy.data.fetch import fetch_source
from ecgstudy.data.manifest import manifest, source
from ecgstudy.errors import ConfigurationError


class Asked(Exception):
    """The network would have been asked."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    def refuse():
        raise Asked

    monkeypatch.setattr(fetching, "Client", refuse)
    monkeypatch.setenv("ECGSTUDY_DATA", str(tmp_path / "data"))


def test_cite_one_and_all(capsys):
    assert main(["data", "cite", "ptbxl"]) == 0
    one = capsys.readouterr().out
    assert "Wagner P" in one and "https://doi.org/10.13026/kfzx-aw45" in one and "CC-BY-4.0" in one and "Kalyakulina" not in one
    assert main(["data", "cite", "all"]) == 0
    assert capsys.readouterr().out.strip().split("\n\n") == [entry.cite() for entry in manifest().values()]


@pytest.mark.parametrize("verb", ["cite", "croissant"])
def test_an_unknown_data_set_is_answered_with_the_nearest(verb, capsys):
    assert main(["data", verb, "ptbx"]) == 2
    assert "unknown data set 'ptbx'; did you mean 'ptbxl'" in capsys.readouterr().err


def test_croissant_prints_json_alone(capsys):
    assert main(["data", "croissant", "ludb"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "ludb"


def test_a_fetch_beyond_the_budget_is_refused_before_the_network_is_asked(capsys, tmp_path):
    assert main(["data", "fetch", "cpsc", "--budget", "0.5"]) == 2
    said = capsys.readouterr().err
    assert "about 1.3 GB" in said and "budget of 500.0 MB" in said and "data fetch cpsc" in said
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("budget", ["2", "1.3", "inf"])
def test_a_fetch_within_the_budget_goes_ahead(budget):
    with pytest.raises(Asked):
        main(["data", "fetch", "cpsc", "--budget", budget])


@pytest.mark.parametrize(("budget", "said"), [("0", "above 0"), ("-1", "above 0"), ("nan", "above 0"), ("much", "invalid float")])
def test_a_budget_that_is_none(budget, said, capsys):
    assert main(["data", "fetch", "cpsc", "--budget", budget]) == 2
    assert said in capsys.readouterr().err


def test_what_an_earlier_fetch_completed_does_not_count(tmp_path):
    entry = source("cpsc")
    names = [f"g1/A000{i}.hea" for i in range(1, 5)]
    (tmp_path / "g1").mkdir()
    (tmp_path / f"SHA256SUMS-{entry.version}.txt").write_text("".join(f"{'0' * 64}  {name}\n" for name in names))
    for name in names[:3]:
        (tmp_path / name).touch()
    with pytest.raises(ConfigurationError, match="about 325.0 MB, more than the budget of 300.0 MB"):
        fetch_source(entry, tmp_path, budget=300e6)
    with pytest.raises(Asked):
        fetch_source(entry, tmp_path, budget=330e6)
    (tmp_path / names[3]).touch()
    assert fetch_source(entry, tmp_path, budget=1) == tmp_path


def test_ludb_can_be_fetched_as_status_says():
    with pytest.raises(Asked):
        main(["data", "fetch", "ludb"])
