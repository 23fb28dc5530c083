"""A data set's description for machines: Croissant 1.0, the JSON-LD vocabulary of MLCommons for machine-learning data sets.

Source: the Croissant Format Specification, version 1.0 (http://mlcommons.org/croissant/1.0). Search engines and loaders read it;
the study itself reads the manifest, of which this is another form.

The publisher's checksum list vouches for every file of a release, and a release is a folder, not an archive. So the release is a
set of files, and the list and the named tables lie in it by their relative paths; the specification asks for a hash only of files
that have an address of their own.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from ecgstudy.data.manifest import LICENSES, Source

CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/",
    "sc": "https://schema.org/", "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/", "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
} | {term: f"cr:{term}" for term in (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format", "includes",
    "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace",
    "samplingRate", "separator", "source", "subField", "transform")}

FORMATS = {".csv": "text/csv", ".hea": "text/plain", ".txt": "text/plain", "": "text/plain"}      # else bytes of the publisher's own
BYTES = "application/octet-stream"

# Columns of the prepared table that describe a record: name, type, meaning.
FIELDS = (
    ("record_id", "sc:Text", "the publisher's name of the recording"),
    ("age", "sc:Float", "age in years; empty where it is not published"),
    ("sex", "sc:Text", "male, female, or empty where it is not published"),
    ("fold", "sc:Integer", "1 to 8 train, 9 validates, 10 tests"),
    ("statements", "sc:Text", "the published labels, joined by ';'"),
)

# Data sets that the study does not prepare: the publisher's table and what it calls these columns. They have no folds.
PUBLISHED_TABLES = {"ludb": ("ludb.csv", {"record_id": "ID", "age": "Age", "sex": "Sex", "statements": "Rhythms"})}


def croissant(entry: Source) -> dict[str, Any]:
    """The Croissant document of one data set, ready for json.dumps.

    The record table is the `table.csv` that the study prepares; for a data set that it does not prepare, the publisher's.
    """
    prepared = entry.name not in PUBLISHED_TABLES
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": entry.name,
        "alternateName": entry.title,
        "description": f"{entry.title}. {entry.population} {entry.labels}",
        "license": LICENSES[entry.license],
        "url": entry.base,
        "sameAs": f"https://doi.org/{entry.doi}",
        "version": entry.version,
        "citeAs": entry.citation,
        "isLiveDataset": False,
        "distribution": [*_published(entry), *(_prepared(entry) if prepared else ())],
        "recordSet": [_record_set(entry)],
    }


def _published(entry: Source) -> list[dict[str, Any]]:
    """The release as its publisher lays it out: the checksum list, each file that the manifest names, and the recordings."""
    named = [name for name in entry.files if not any(sign in name for sign in "*?[")]
    patterns = [entry.prefix + pattern for pattern in entry.files if pattern not in named]
    formats = sorted({_format(pattern) for pattern in patterns if not pattern.endswith("*")} or {"text/plain", BYTES})
    release = _file_set("release", [entry.prefix + "**", entry.checksums], [BYTES],
                        f"All files of the release at {entry.base}; paths are relative to it.")
    return [release,
            _file("checksums", entry.checksums, "release", f"SHA-256 of every file of the release; full address {entry.base}"
                                                           f"{entry.checksums}", "text/plain"),
            *(_file(name, entry.prefix + name, "release", f"{entry.base}{entry.prefix}{name}", _format(name)) for name in named),
            _file_set("recordings", patterns, formats, f"{entry.recordings:,} recordings, {entry.leads} leads, {entry.fs} Hz. "
                                                       f"{entry.layout}", within="release")]


def _prepared(entry: Source) -> list[dict[str, Any]]:
    """What the study makes of the release, on the reader's own machine."""
    return [_file_set("prepared", ["table.csv", "signals.npy", "prepared.json"], ["text/csv", BYTES, "application/json"],
                      f"Made from the release by `python -m ecgstudy data prepare {entry.name}`; not distributed."),
            _file("table.csv", "table.csv", "prepared", "One row a recording.", "text/csv")]


def _file(name: str, path: str, within: str, description: str, form: str) -> dict[str, Any]:
    return {"@type": "cr:FileObject", "@id": name, "name": name, "description": description, "contentUrl": path,
            "containedIn": {"@id": within}, "encodingFormat": form}


def _file_set(name: str, includes: list[str], formats: list[str], description: str, within: str = "") -> dict[str, Any]:
    return {"@type": "cr:FileSet", "@id": name, "name": name, "description": description, "includes": includes,
            "encodingFormat": formats} | ({"containedIn": {"@id": within}} if within else {})


def _record_set(entry: Source) -> dict[str, Any]:
    table, columns = PUBLISHED_TABLES.get(entry.name, ("table.csv", {name: name for name, _, _ in FIELDS}))
    fields = [{"@type": "cr:Field", "@id": f"records/{name}", "name": name, "description": meaning, "dataType": kind,
               "source": {"fileObject": {"@id": table}, "extract": {"column": columns[name]}}}
              for name, kind, meaning in FIELDS if name in columns]
    return {"@type": "cr:RecordSet", "@id": "records", "name": "records", "key": {"@id": "records/record_id"},
            "description": f"One record a recording. {entry.labels}", "field": fields}


def _format(name: str) -> str:
    return FORMATS.get(PurePosixPath(name).suffix, BYTES)
