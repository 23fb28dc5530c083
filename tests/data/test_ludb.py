"""LUDB: its two quirks on small files in the published form, and the whole real data set."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import wfdb
from recording_files import REAL, edit, heartbeat, needs_real, write_wfdb

from ecgstudy.data.ludb import COLUMNS, FS, boundaries, catalog, read_ludb_record
from ecgstudy.data.record import read_record
from ecgstudy.errors import DataError
from ecgstudy.leads import LEADS, limb_residuals

HEADER = ",".join(["ID", "Sex", "Age", *COLUMNS])


def add_row(folder, name):
    """Another row in ludb.csv."""
    with open(folder / "ludb.csv", "a", encoding="utf-8") as file:
        file.write(f"{name},M,50,Sinus rhythm,,,,,,,,\n")


def write_ludb(folder, *, marks=(("(", 100), ("N", 120), (")", 140)), n_records=1):
    """Records 1 to n: header gains differ by lead, and every lead carries the same marks."""
    samples = np.array([sample for _, sample in marks])
    rows = [HEADER]
    for i in range(1, n_records + 1):
        header = write_wfdb(folder / "data", str(i), heartbeat(seed=i), form="dat", leads=[lead.lower() for lead in LEADS],
                            comments="#<age>: >89\n#<sex>: F\n")
        lines = header.read_text().splitlines()
        lines[1:13] = [line.replace("1000/mV", f"{700 + 90 * k}({k})/mV") for k, line in enumerate(lines[1:13])]
        header.write_text("\n".join(lines) + "\n")
        wfdb.wrann(str(i), "marks", samples, symbol=[symbol for symbol, _ in marks], write_dir=str(folder / "data"))
        written = (folder / f"data/{i}.marks").read_bytes()
        for lead in LEADS:
            (folder / f"data/{i}.{lead.lower()}").write_bytes(written)
        rows.append(f'{i},"F\n",">89\n","Sinus rhythm\nWandering atrial pacemaker",Electric axis of the heart: normal,,,,,,,')
    (folder / "ludb.csv").write_text("\n".join(rows) + "\n")
    return folder


def first_lead(folder):
    """Wave, onset, peak and offset in samples of each wave of lead I."""
    table = boundaries("1", folder)
    assert list(dict.fromkeys(table.lead)) == list(LEADS)
    rows = table[table.lead == "I"]
    return [(row.wave, *(None if math.isnan(t) else round(t * FS) for t in (row.onset, row.peak, row.offset)))
            for row in rows.itertuples()]


def test_stored_units_at_one_gain(tmp_path):
    record = read_ludb_record(write_ludb(tmp_path) / "data/1.hea")
    np.testing.assert_array_equal(np.rint(record.signal * 1000), heartbeat(seed=1))
    assert not np.allclose(record.signal, read_record(record.source).signal)
    assert (record.record_id, record.age, record.sex, record.fs) == ("1", 90.0, "female", 500)


def test_catalog_rows(tmp_path):
    table = catalog(write_ludb(tmp_path, n_records=11))
    assert list(table.record_id) == [str(i) for i in range(1, 12)]
    first = table.iloc[0]
    assert (first.age, first.sex, first.fs, first.path.name) == (90.0, "female", 500, "1.hea")
    assert first.statements == "Sinus rhythm;Wandering atrial pacemaker" and first.axis.endswith("normal") and first.pacing == ""


def test_gaps_are_logged_and_repeated_rows_refused(tmp_path, caplog):
    add_row(write_ludb(tmp_path), 2)
    assert list(catalog(tmp_path).record_id) == ["1"] and "1 rows of ludb.csv have no recording" in caplog.text
    add_row(tmp_path, 2)
    with pytest.raises(DataError, match="names 2 twice"):
        catalog(tmp_path)


@pytest.mark.parametrize(("old", "new", "said"), [
    ("\n1,", "\n7,", "1 recordings have no row in ludb.csv: 1"),
    ("\n1,", "\nx,", "row 1: expected the columns"),
    (",Rhythms", ",Rhythm", "row 1: expected the columns ID, Sex, Age, Rhythms"),
])
def test_damaged_table_is_refused(tmp_path, old, new, said):
    edit(write_ludb(tmp_path) / "ludb.csv", old, new)
    with pytest.raises(DataError, match=said):
        catalog(tmp_path)


@pytest.mark.parametrize(("symbols", "expected"), [
    ("(p)(N)(t)", [("P", 0, 1, 2), ("QRS", 3, 4, 5), ("T", 6, 7, 8)]),
    ("N)(t)", [("QRS", None, 0, 1), ("T", 2, 3, 4)]),
    ("(p)N()(t)", [("P", 0, 1, 2), ("QRS", 4, 3, 5), ("T", 6, 7, 8)]),
    ("()(t)", [("QRS", 0, None, 1), ("T", 2, 3, 4)]),
    ("(t)()N", [("T", 0, 1, 2), ("QRS", 3, 5, 4)]),
    ("((tt))(p)", [("T", 0, 2, 4), ("T", 1, 3, 5), ("P", 6, 7, 8)]),
    ("(p)(t", [("P", 0, 1, 2), ("T", 3, 4, None)]),
])
def test_marks_become_waves_as_published(tmp_path, symbols, expected):
    assert first_lead(write_ludb(tmp_path, marks=[(symbol, 10 + k) for k, symbol in enumerate(symbols)])) == [
        (wave, *(None if k is None else 10 + k for k in times)) for wave, *times in expected]


@pytest.mark.parametrize("symbols", [")(p)", "((p)(N)", "(p)N", "()(p)", "(p)V"])
def test_marks_that_form_no_wave_are_refused(tmp_path, symbols):
    write_ludb(tmp_path, marks=[(symbol, 10 + k) for k, symbol in enumerate(symbols)])
    with pytest.raises(DataError, match=r"1\.i: the marks .* do not form a wave"):
        boundaries("1", tmp_path)


def test_absent_and_damaged_annotations_are_refused(tmp_path):
    write_ludb(tmp_path)
    (tmp_path / "data/1.v3").write_bytes(b"\x01")
    with pytest.raises(DataError, match=r"1\.v3 is not a whole annotation file"):
        boundaries("1", tmp_path)
    (tmp_path / "data/1.v3").unlink()
    with pytest.raises(DataError, match=r"1\.v3 does not exist.*data fetch ludb --repair"):
        boundaries("1", tmp_path)


# The real data set

@pytest.fixture(scope="module")
def real():
    return catalog(REAL / "ludb")


@needs_real("ludb")
def test_real_counts(real):
    assert len(real) == 200 and Counter(real.sex) == {"male": 115, "female": 85}
    assert real.age.min() == 11 and real.age.max() == 90 and real.age.notna().all()
    first = Counter(text.split(";")[0] for text in real.statements)
    assert first == {"Sinus rhythm": 143, "Sinus bradycardia": 25, "Atrial fibrillation": 15, "Sinus arrhythmia": 8,
                     "Sinus tachycardia": 4, "Atrial flutter, typical": 3, "Irregular sinus rhythm": 2}
    assert (real.axis == "").sum() == 10


@needs_real("ludb")
def test_real_limb_identities_hold_in_stored_units_only(real):
    for path in real.path:
        record = read_ludb_record(path)
        assert record.signal.shape == (12, 5000) and record.fs == 500
        units = np.rint(record.signal * 1000)
        residuals = limb_residuals(units)
        assert residuals["III"] == 0 and max(residuals.values()) <= 0.5
        assert max(limb_residuals(read_record(path).signal).values()) > 0.1
    assert Counter(real.sex) == Counter(read_ludb_record(path).sex for path in real.path)


@needs_real("ludb")
@pytest.mark.slow
def test_real_waves_are_those_that_the_publisher_counts(real):
    tables = [boundaries(record_id, REAL / "ludb") for record_id in real.record_id]
    assert Counter(wave for table in tables for wave in table.wave) == {"P": 16797, "QRS": 21966, "T": 19661}    # it says 19,666 T
    assert dict(sum(table[["onset", "peak", "offset"]].isna().sum() for table in tables)) == {"onset": 103, "peak": 1, "offset": 1}


@pytest.fixture(scope="module")
def some(real):
    """The boundaries of every tenth recording, and of those with the oddest marks, by record id."""
    return {record_id: boundaries(record_id, REAL / "ludb") for record_id in [*real.record_id[::10], "7", "8", "95", "116", "198"]}


@needs_real("ludb")
def test_real_boundaries_enclose_their_peaks(some):
    for record_id, table in some.items():
        assert set(table.lead) == set(LEADS)
        whole = table.dropna()
        assert (whole.onset < whole.offset).all() and (whole.offset <= 10).all() and len(whole) > 100
        outside = np.maximum(whole.onset - whole.peak, whole.peak - whole.offset)
        assert (outside <= 0.0101).all(), record_id                 # a few peaks lie just outside
        if record_id != "116":                                      # whose T waves were drawn several times over
            assert table.groupby("lead").peak.apply(lambda peak: peak.dropna().is_monotonic_increasing).all()


@needs_real("ludb")
def test_real_beats_are_p_then_qrs_then_t(real, some):
    """In sinus rhythm, what follows a P is a QRS and what follows a QRS is a T, but for single beats."""
    following = Counter()
    for record_id in set(some) & set(real.record_id[real.statements == "Sinus rhythm"]):
        for _, rows in some[record_id].groupby("lead"):
            following.update(zip(rows.wave, rows.wave[1:], strict=False))
    for wave, expected in (("P", "QRS"), ("QRS", "T")):
        n = sum(count for (first, _), count in following.items() if first == wave)
        assert n > 500 and following[wave, expected] > 0.98 * n, following
