"""The manifest is complete and checked; each mistake names the key and what belongs there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ecgstudy import files
from ecgstudy.data.manifest import manifest, source, unsafe
from ecgstudy.errors import ConfigurationError


@pytest.fixture
def content() -> dict:
    return yaml.safe_load((files.repository() / "data_manifest.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def written(tmp_path):
    def write(content: object) -> Path:
        path = tmp_path / "data_manifest.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
        return path

    return write


def test_the_study_s_four_data_sets():
    entries = manifest()
    assert {name: entry.folder for name, entry in entries.items()} == {
        "cpsc": "cpsc2018", "ptbxl": "ptb-xl", "chapman": "chapman", "ludb": "ludb"}
    for entry in entries.values():
        assert entry.leads == 12 and entry.doi.startswith("10.13026/") and entry.version in entry.base
        assert all(address.startswith("https://") for address in entry.addresses()) and entry.mirrors
    assert "Diagnostics.xlsx" in entries["chapman"].by_hand


@pytest.mark.parametrize(("name", "wanted", "unwanted"), [
    ("cpsc", ["g1/A0001.hea", "g7/A6877.mat"], ["g1/RECORDS", "g1/sub/A0001.hea", "A0001.hea"]),
    ("ptbxl", ["ptbxl_database.csv", "records100/00000/00001_lr.dat"], ["records500/00000/00001_hr.dat", "records100/00000"]),
    ("chapman", ["WFDBRecords/01/010/JS00001.hea", "WFDBRecords/11/112/JS10646.mat", "WFDBRecords/11/111/JS10599.mat"],
     ["WFDBRecords/11/112/JS10647.mat", "WFDBRecords/45/450/JS45551.hea", "WFDBRecords/11/112/RECORDS"]),
    ("ludb", ["ludb.csv", "data/1.avf", "data/200.dat"], ["data/sub/1.dat", "LICENSE"]),
])
def test_patterns_choose_what_the_study_uses(name, wanted, unwanted):
    entry = source(name)
    assert [n for n in wanted if not entry.wants(n)] == []
    assert [n for n in unwanted if entry.wants(n)] == []


def test_chapman_s_numbers_end_at_10646():
    entry = source("chapman")
    numbers = [n for n in range(1, 46_000) if entry.wants(f"WFDBRecords/01/010/JS{n:05d}.hea")]
    assert numbers == list(range(1, 10_647))


def test_folders_follow_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("ECGSTUDY_DATA", str(tmp_path))
    assert source("ptbxl").path() == tmp_path / "ptb-xl"
    monkeypatch.delenv("ECGSTUDY_DATA")
    monkeypatch.setenv("ECGSTUDY_HOME", str(tmp_path / "home"))
    assert source("ptbxl").path() == tmp_path / "home" / "data" / "ptb-xl"


def test_an_unknown_data_set_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match="'ptbxll'; did you mean 'ptbxl'"):
        source("ptbxll")


@pytest.mark.parametrize(("key", "value", "expected"), [
    ("title", "", "a text"),
    ("version", 1.0, "a text"),
    ("base", "ftp://example.org/", "https://"),
    ("base", "https://example.org", "ends with /"),
    ("mirrors", "https://example.org/", "a list"),
    ("folder", "../elsewhere", "without '..'"),
    ("checksums", "/etc/passwd", "a relative name"),
    ("prefix", "training", "ends with /"),
    ("files", [], "at least 1"),
    ("example", "no/such.file", "matches none"),
    ("recordings", True, "a whole number"),
    ("fs", "500", "a whole number"),
    ("leads", 0, "at least 1"),
    ("seconds", [10], "two numbers"),
    ("seconds", [20, 10], "two numbers"),
    ("approximate_bytes", -1, "a whole number"),
    ("by_hand", None, "a text"),
])
def test_a_wrong_value_names_its_key_and_what_belongs_there(content, written, key, value, expected):
    content["cpsc"][key] = value
    with pytest.raises(ConfigurationError) as error:
        manifest(written(content))
    assert f"cpsc.{key}" in str(error.value) and expected in str(error.value)


def test_missing_and_misspelt_keys(content, written):
    content["ludb"]["licence"] = content["ludb"]["license"]
    with pytest.raises(ConfigurationError, match="in ludb, unknown key 'licence'; did you mean 'license'"):
        manifest(written(content))
    del content["ludb"]["licence"], content["ludb"]["fs"]
    with pytest.raises(ConfigurationError, match="ludb lacks fs"):
        manifest(written(content))


@pytest.mark.parametrize("text", ["", "[]", "cpsc: 3", "cpsc: [", "1: {}", "!!python/object:os.system {}", "\x00"])
def test_a_broken_file_raises_the_study_s_own_error(written, text):
    with pytest.raises(ConfigurationError, match="data_manifest.yaml"):
        manifest(written(text))


def test_a_missing_file_says_how_to_get_it_back(tmp_path):
    with pytest.raises(ConfigurationError, match="does not exist"):
        manifest(tmp_path / "data_manifest.yaml")


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../evil", "g1/../../evil", "..\\evil", "g1//A", "./a", "a\x00b", "g1/"])
def test_unsafe_names(name):
    assert unsafe(name)


def test_safe_names():
    assert unsafe("g1/A0001.hea") is None and unsafe("records100/00000/00001_lr.dat") is None
