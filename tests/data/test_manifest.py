"""The manifest is complete and checked; each mistake names the key and what belongs there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml
from recording_files import REAL, needs_real

from ecgstudy import files
from ecgstudy.data import chapman, cpsc, ptbxl
from ecgstudy.data.labels import TASKS, label_set
from ecgstudy.data.manifest import manifest, source, unsafe
from ecgstudy.errors import ConfigurationError
from ecgstudy.study.tables import reported


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
    ("doi", "https://doi.org/10.13026/34va-7q14", "without address"),
    ("license", "CC-BY-SA-4.0", "one of CC-BY-4.0, ODC-By-1.0"),
    ("population", "", "a text"),
    ("device", None, "a text"),
    ("rates", [], "rising"),
    ("rates", [500, 100], "rising"),
    ("rates", [500, "100"], "a whole number"),
    ("rates", [100], "none of cpsc.rates"),
    ("codes", "CPSC_SNOMEDS", "one of CPSC_SNOMED"),
    ("codes", "", "no code for AF, I-AVB"),
    ("codes", "CHAPMAN_SNOMED", "no code for I-AVB"),
    ("tasks", ["nine"], "a mapping of task"),
    ("tasks", {"nine": {"Normal": 0}}, "at least 1 for nine.Normal"),
    ("tasks", {}, "say what the counts were taken from"),
    ("counted", "", "say what the counts were taken from"),
    ("exclusions", {"records": [1]}, "a list of"),
    ("exclusions", [{"records": [], "reason": "no row"}], "a list of"),
    ("exclusions", [{"records": [True], "reason": "no row"}], "a list of"),
    ("exclusions", [{"records": ["A0001"], "reason": ""}], "a text"),
    ("exclusions", [{"records": ["A0001", "A0001"], "reason": "no row"}], "each id once"),
    ("nan", "interpolate", "one of refuse"),
    ("folds", False, "one of published, stratified, none"),
    ("patients", "yes", "one of published, single, unpublished"),
])
def test_a_wrong_value_names_its_key_and_what_belongs_there(content, written, key, value, expected):
    content = {"cpsc": content["cpsc"] | {key: value}}
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


@pytest.mark.parametrize(("change", "said"), [
    ({"nin": {"Normal": 1}}, "in cpsc.tasks, unknown task 'nin'; did you mean 'nine'"),
    ({"nine": {"Norml": 1}}, "in cpsc.tasks.nine, unknown class 'Norml'; did you mean 'Normal'"),
    ({"nine": {"Normal": 918, "AF": 1221}}, "cpsc.tasks.nine lacks I-AVB, LBBB"),
])
def test_counts_must_be_those_of_a_label_set(content, written, change, said):
    content["cpsc"]["tasks"] = change
    with pytest.raises(ConfigurationError, match=said):
        manifest(written(content))


def test_counts_stand_in_the_label_set_s_order_whatever_the_file_s(content, written):
    counts = content["cpsc"]["tasks"]["nine"]
    content["cpsc"]["tasks"]["nine"] = dict(reversed(counts.items()))
    assert list(manifest(written(content))["cpsc"].tasks["nine"]) == list(TASKS["cpsc"]["nine"].classes)


def test_every_task_of_a_published_data_set_has_its_counts():
    entries = manifest()
    assert {name: set(tasks) for name, tasks in TASKS.items() if name in entries} == {
        name: set(entry.tasks) for name, entry in entries.items() if name in TASKS}


def test_ptbxl_rhythm_counts_are_those_of_the_notes():
    notes = reported("dataset_counts")["ptbxl"]
    both = [train + test for train, test in zip(notes["train"], notes["test"], strict=True)]
    assert source("ptbxl").tasks["rhythm"] == dict(zip(notes["classes"], both, strict=True))


def test_the_withdrawn_recordings_are_listed_with_the_reason():
    excluded = source("ptbxl").excluded()
    assert len(excluded) == 38 and "137" in excluded and "1" not in excluded
    assert set(excluded.values()) == {"withdrawn by the publisher between 1.0.1 and 1.0.3: no row in its table"}
    assert source("ludb").excluded() == {}


def test_a_citation_names_article_version_doi_and_licence():
    article, release, licence = source("ludb").cite().splitlines()
    assert article.startswith("Kalyakulina AI") and "IEEE Access" in article
    assert "Version 1.0.1. https://doi.org/10.13026/eegm-h675" in release
    assert licence == "Licence: ODC-By-1.0, https://opendatacommons.org/licenses/by/1-0/"


@pytest.mark.parametrize("odd", [None, True, -1, 1.5, "x", [], {}, [[]], [{}], {1: 2}, {"nine": None}, {"nine": {1: 1}},
                                 [{"records": [[]], "reason": "r"}], float("nan"), "\u2028"], ids=repr)
def test_no_value_of_any_key_raises_anything_else(content, written, odd, monkeypatch):
    path = written({})
    for key in content["ptbxl"]:
        changed = {"ptbxl": content["ptbxl"] | {key: odd}}
        monkeypatch.setattr("ecgstudy.data.manifest._plain_yaml", lambda _, changed=changed: changed)
        try:
            manifest(path)
        except ConfigurationError as error:
            assert "ptbxl" in str(error) and key in str(error)


# Against the published files

@needs_real("ptb-xl")
def test_ptbxl_is_as_the_folder_and_its_table_say():
    entry, folder = source("ptbxl"), REAL / "ptb-xl"
    table = pd.read_csv(folder / "ptbxl_database.csv", usecols=["ecg_id", "patient_id"])
    on_disk = {int(path.name[:5]) for path in folder.glob("records100/*/*_lr.dat")}
    assert on_disk - set(table.ecg_id) == set(map(int, entry.excluded()))
    assert len(table) == entry.recordings and f"{table.patient_id.nunique():,} patients" in entry.population
    catalog = ptbxl.catalog(folder)
    for sex, word in (("male", "11,354 recordings of male"), ("female", "10,445 of female")):
        assert f"{(catalog.sex == sex).sum():,}" in word and word in entry.population
    assert not set(catalog.record_id) & set(entry.excluded())
    for task, counts in entry.tasks.items():
        found = label_set("ptbxl", task).encode(text.split(";") for text in catalog.statements).sum(axis=0)
        assert dict(zip(counts, found.tolist(), strict=True)) == counts


@needs_real("cpsc2018", "REFERENCE.csv")
def test_cpsc_counts_are_those_of_its_reference():
    reference = cpsc.read_reference(REAL / "cpsc2018/REFERENCE.csv")
    found = label_set("cpsc").encode(reference.values()).sum(axis=0).tolist()
    entry = source("cpsc")
    assert list(entry.tasks["nine"].values()) == found and entry.recordings == len(reference)


@needs_real("chapman", "Diagnostics.xlsx")
def test_chapman_counts_are_those_of_its_diagnostics():
    table = chapman.read_diagnostics(REAL / "chapman/Diagnostics.xlsx")
    entry = source("chapman")
    found = label_set("chapman").encode([rhythm] for rhythm in table.Rhythm).sum(axis=0).tolist()
    assert list(entry.tasks["rhythm"].values()) == found
    n_sex = table.Gender.str.strip().str.lower().value_counts()
    stated = (f"{len(table):,} patients", f"aged {table.PatientAge.min()} to {table.PatientAge.max()}",
              f"{n_sex['male']:,} men and {n_sex['female']:,} women")
    assert [words for words in stated if words not in entry.population] == []


@needs_real("ludb", "ludb.csv")
def test_ludb_is_as_its_table_says():
    table = pd.read_csv(REAL / "ludb/ludb.csv").map(lambda value: value.strip() if isinstance(value, str) else value)
    n_sex = table.Sex.value_counts()
    entry = source("ludb")
    assert len(table) == entry.recordings and f"{n_sex['M']} men and {n_sex['F']} women" in entry.population
