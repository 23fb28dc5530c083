"""Every data set's Croissant document is sound by our own reading and by MLCommons' validator."""

from __future__ import annotations

import json
import socket
from fnmatch import fnmatchcase

import pytest

from ecgstudy.data.croissant import PUBLISHED_TABLES, croissant
from ecgstudy.data.dataset import COLUMNS
from ecgstudy.data.manifest import manifest, source

NAMES = ("cpsc", "ptbxl", "chapman", "ludb")


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def document(name):
    return croissant(source(name))


def objects(document) -> dict[str, dict]:
    found = [*document["distribution"], *document["recordSet"], *(f for r in document["recordSet"] for f in r["field"])]
    by_id = {each["@id"]: each for each in found}
    assert len(by_id) == len(found), "an @id stands twice"
    return by_id


def references(value) -> set[str]:
    """Every @id that something points to."""
    if isinstance(value, list):
        return set().union(*map(references, value))
    if not isinstance(value, dict):
        return set()
    if value.keys() == {"@id"}:
        return {value["@id"]}
    return set().union(*map(references, value.values()))


def test_all_data_sets_are_described():
    assert set(NAMES) == set(manifest())


def test_it_says_what_the_manifest_says(name, document):
    entry = source(name)
    assert json.loads(json.dumps(document)) == document
    assert document["@type"] == "sc:Dataset" and document["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert (document["name"], document["version"], document["citeAs"], document["url"]) == (
        name, entry.version, entry.citation, entry.base)
    assert document["license"].startswith("https://") and document["sameAs"].endswith(entry.doi)
    assert entry.population in document["description"]


def test_everything_referred_to_exists(document):
    content = {key: value for key, value in document.items() if key != "@context"}
    assert references(content) - objects(document).keys() == set()


def test_files_have_a_format_and_a_place(name, document):
    entry = source(name)
    found = objects(document)
    assert found["checksums"]["contentUrl"] == entry.checksums and entry.base + entry.checksums in found["checksums"]["description"]
    for each in document["distribution"]:
        assert each["encodingFormat"] and each["@type"] in ("cr:FileObject", "cr:FileSet")
        if each["@type"] == "cr:FileObject":        # without a container it would need an address and a hash of its own
            assert each["containedIn"]["@id"] in ("release", "prepared") and "://" not in each["contentUrl"]
        else:
            assert each["includes"]


def test_patterns_and_named_files_cover_what_the_manifest_fetches(name, document):
    entry = source(name)
    found = objects(document)
    named = {each["contentUrl"] for each in document["distribution"] if each["@type"] == "cr:FileObject"}
    covered = [entry.prefix + pattern in named or entry.prefix + pattern in found["recordings"]["includes"] for pattern in entry.files]
    assert all(covered)
    assert any(fnmatchcase(entry.prefix + entry.example, p) for p in [*named, *found["recordings"]["includes"]])


def test_fields_are_columns_of_the_prepared_table(name, document):
    fields = [field["name"] for field in document["recordSet"][0]["field"]]
    if name in PUBLISHED_TABLES:
        assert fields == ["record_id", "age", "sex", "statements"]
    else:
        assert fields == ["record_id", "age", "sex", "fold", "statements"] and set(fields) <= set(COLUMNS)
    assert document["recordSet"][0]["key"] == {"@id": "records/record_id"}


@pytest.mark.parametrize("name", PUBLISHED_TABLES, indirect=True)
def test_published_tables_have_these_columns(name):
    pd = pytest.importorskip("pandas")
    from recording_files import REAL

    table, columns = PUBLISHED_TABLES[name]
    path = REAL / source(name).folder / table
    if not path.exists():
        pytest.skip(f"needs {source(name).folder}/{table} in the folder ECGSTUDY_DATA")
    assert set(columns.values()) <= set(pd.read_csv(path, nrows=1).columns)


def test_the_validator_of_mlcommons_accepts_it(document, monkeypatch):
    mlcroissant = pytest.importorskip("mlcroissant", reason="the validator is in the extra `dev`")

    def no_network(*_):
        raise AssertionError("the document needs the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    issues = mlcroissant.Dataset(jsonld=document).metadata.ctx.issues       # raises ValidationError where there are errors
    assert issues.errors == set()
    assert all("datePublished" in warning for warning in issues.warnings)    # the publisher's dates are not in the manifest


def test_the_validator_can_refuse(monkeypatch):
    mlcroissant = pytest.importorskip("mlcroissant", reason="the validator is in the extra `dev`")
    document = croissant(source("cpsc"))
    document["recordSet"][0]["field"][0]["source"]["fileObject"]["@id"] = "absent"
    with pytest.raises(Exception, match="absent"):
        mlcroissant.Dataset(jsonld=document)
