"""The catalogs: labels, folds and gaps of each data set, on small trees in the published forms and on the real tables."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from recording_files import REAL, edit, heartbeat, needs_real, write_ptbxl, write_reference, write_wfdb
from scipy.io import savemat

from ecgstudy.data import chapman, cpsc, ptbxl
from ecgstudy.data.labels import CHAPMAN_SNOMED, CPSC_CLASSES, CPSC_SNOMED, PTBXL_STATEMENTS, label_set
from ecgstudy.errors import DataError

COLUMNS = ["record_id", "patient_id", "path", "fold", "age", "sex", "fs", "statements"]


def test_code_tables_cover_the_classes():
    assert set(CPSC_SNOMED.values()) == set(CPSC_CLASSES)
    rhythm = label_set("chapman")
    assert {statement for members in rhythm.members.values() for statement in members} == set(CHAPMAN_SNOMED.values())
    assert len(PTBXL_STATEMENTS) == 71
    assert all(set(label_set("ptbxl", task).classes) <= PTBXL_STATEMENTS for task in ("nine", "rhythm"))


# PTB-XL

def test_ptbxl_rows(tmp_path):
    table = ptbxl.catalog(write_ptbxl(tmp_path))
    assert list(table.columns) == COLUMNS and len(table) == 20
    first = table.iloc[0]
    assert (first.record_id, first.patient_id, first.fold, first.age, first.sex, first.fs) == ("1", "1", 2, 90.0, "female", 100)
    assert first.statements == "NORM;SR" and first.path.name == "00001_lr.hea"


def test_ptbxl_prefers_100_hz_and_takes_500(tmp_path):
    write_ptbxl(tmp_path, 2)
    (tmp_path / "records100").rename(tmp_path / "records500")
    for path in sorted(tmp_path.rglob("0*_lr.*")):
        path.rename(path.with_name(path.name.replace("_lr", "_hr")))
    assert list(ptbxl.catalog(tmp_path).fs) == [500, 500]
    write_ptbxl(tmp_path, 1)
    assert list(ptbxl.catalog(tmp_path).fs) == [100]


def test_ptbxl_gaps_are_logged_and_halves_refused(tmp_path, caplog):
    write_ptbxl(tmp_path, 3)
    write_wfdb(tmp_path / "records100/00000", "00099_lr", heartbeat(100), form="dat")
    for suffix in ("hea", "dat"):
        (tmp_path / f"records100/00000/00002_lr.{suffix}").unlink()
    with caplog.at_level(logging.INFO):
        assert list(ptbxl.catalog(tmp_path).record_id) == ["1", "3"]
    for said in ("1 recordings on disk have no row", "1 rows have no recording", "00002_lr"):
        assert said in caplog.text
    (tmp_path / "records100/00000/00003_lr.dat").unlink()
    with pytest.raises(DataError, match="00003_lr has no signal file"):
        ptbxl.catalog(tmp_path)


@pytest.mark.parametrize(("old", "new", "said"), [
    ("'NORM'", "'NORN'", "ecg_id 1: unknown statement 'NORN'; did you mean 'NORM'"),
    ("{'NORM'", "{'NORM", "scp_codes of ecg_id 1"),
    ("strat_fold", "fold", "expected the columns"),
    ("1,1.0,", "1,,", "rows without patient"),
])
def test_ptbxl_faulty_table_is_refused(tmp_path, old, new, said):
    edit(write_ptbxl(tmp_path, 2) / "ptbxl_database.csv", old, new)
    with pytest.raises(DataError, match=said):
        ptbxl.catalog(tmp_path)


def test_ptbxl_absent_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="neither records100/ nor records500/.*data fetch ptbxl"):
        ptbxl.catalog(tmp_path)


@pytest.fixture(scope="module")
def real_ptbxl():
    return ptbxl.catalog(REAL / "ptb-xl")


def counts(table: pd.DataFrame, label_set_, folds) -> list[int]:
    rows = table[table.fold.isin(list(folds))]
    return label_set_.encode(text.split(";") for text in rows.statements).sum(axis=0).tolist()


@needs_real("ptb-xl")
def test_ptbxl_rhythm_counts_are_those_of_the_notes(real_ptbxl):
    rhythm = label_set("ptbxl", "rhythm")
    assert counts(real_ptbxl, rhythm, range(1, 10)) == [1362, 66, 74, 266, 22, 695, 573, 15074, 744, 143, 24, 18]
    assert counts(real_ptbxl, rhythm, [10]) == [152, 7, 8, 28, 2, 77, 64, 1674, 82, 14, 3, 2]
    with_rhythm = rhythm.encode(text.split(";") for text in real_ptbxl.statements).any(axis=1)
    assert (with_rhythm & (real_ptbxl.fold < 10)).sum() == 18932 and (with_rhythm & (real_ptbxl.fold == 10)).sum() == 2098


@needs_real("ptb-xl")
def test_ptbxl_nine_counts_ages_and_statements(real_ptbxl):
    assert counts(real_ptbxl, label_set("ptbxl", "nine"), range(1, 11)) == [9514, 1514, 793, 536, 541, 398, 1143, 1009, 28]
    assert len(real_ptbxl) == 21799 and real_ptbxl.age.max() == 90 and (real_ptbxl.age == 90).sum() == 293
    assert Counter(real_ptbxl.sex) == {"male": 11354, "female": 10445}
    assert set(pd.read_csv(REAL / "ptb-xl/scp_statements.csv").iloc[:, 0]) == PTBXL_STATEMENTS


# CPSC2018

def test_reference_reads_labels(tmp_path):
    path = write_reference(tmp_path / "REFERENCE.csv", {"A0001": "5,,", "A0953": "6,6,", "A0003": "9,2,1", "A0004": ",,"})
    assert cpsc.read_reference(path) == {"A0001": ("RBBB",), "A0953": ("PAC",), "A0003": ("Normal", "AF", "STE"), "A0004": ()}
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(cpsc.read_reference(path)) == 4


@pytest.mark.parametrize(("content", "said"), [
    ("Recording,First_label,Second_label,Third_label\nA1,10,,\n", "record A1: unknown label '10'"),
    ("Recording,First_label,Second_label,Third_label\nA1,1,,\nA1,2,,\n", "names 'A1' twice"),
    ("Recording,First_label,Second_label,Third_label\nA1,1\n", "cut short"),
    ("Recording,First_label\nA1,1\n", "lacks a column"),
    ("", "is empty"),
])
def test_faulty_reference_is_refused(tmp_path, content, said):
    (tmp_path / "REFERENCE.csv").write_text(content)
    with pytest.raises(DataError, match=said):
        cpsc.read_reference(tmp_path / "REFERENCE.csv")


@pytest.mark.parametrize("folders", [("g1", "g2"), ("", "")])
def test_cpsc_challenge_form_in_folders_or_flat(tmp_path, folders):
    write_wfdb(tmp_path / folders[0], "A0002", heartbeat(100), comments="#Age: 41\n#Sex: F\n#Dx: 164889003,59118001\n")
    write_wfdb(tmp_path / folders[1], "A0001", heartbeat(100), comments="#Age: 42\n#Sex: Male\n#Dx: 426783006\n")
    table = cpsc.catalog(tmp_path)
    assert list(table.columns) == COLUMNS
    assert table[["record_id", "age", "sex", "statements", "fs"]].to_numpy().tolist() == [
        ["A0001", 42.0, "male", "Normal", 500], ["A0002", 41.0, "female", "AF;RBBB", 500]]


def test_cpsc_header_and_reference_must_agree(tmp_path):
    write_wfdb(tmp_path, "A0001", heartbeat(100), comments="#Dx: 164889003\n")
    write_reference(tmp_path / "REFERENCE.csv", {"A0001": "5,,"})
    with pytest.raises(DataError, match=r"disagrees with 1 headers: A0001 \(AF in its header, RBBB in the table\)"):
        cpsc.catalog(tmp_path)


def test_cpsc_unknown_code_names_the_nearest(tmp_path):
    write_wfdb(tmp_path, "A0001", heartbeat(100), comments="#Dx: 164889004\n")
    with pytest.raises(DataError, match="A0001.hea: unknown SNOMED CT code '164889004'; did you mean '164889003'"):
        cpsc.catalog(tmp_path)


def test_cpsc_gaps_are_counted_and_listed(tmp_path, caplog):
    for name, code in (("A0001", "59118001"), ("A0002", "426783006"), ("A0003", "")):
        write_wfdb(tmp_path, name, heartbeat(100), comments=f"#Dx: {code}\n")
    write_reference(tmp_path / "REFERENCE.csv", {"A0001": "5,,", "A0009": "1,,", "A0003": ",,"})
    assert list(cpsc.catalog(tmp_path).record_id) == ["A0001"]
    assert "1 labelled records have no recording" in caplog.text and "A0009" in caplog.text
    assert "2 recordings have no label" in caplog.text and "A0002" in caplog.text
    assert "1 records have no label and are left out: A0003" in caplog.text


def test_cpsc_original_form_needs_its_reference(tmp_path):
    savemat(tmp_path / "A0001.mat", {"ECG": {"sex": "Male", "age": 5, "data": heartbeat(100) / 1000}})
    with pytest.raises(DataError, match="neither .hea headers nor REFERENCE.csv.*data fetch cpsc"):
        cpsc.catalog(tmp_path)
    write_reference(tmp_path / "REFERENCE.csv", {"A0001": "7,8,"})
    table = cpsc.catalog(tmp_path)
    assert table[["record_id", "statements", "fs"]].to_numpy().tolist() == [["A0001", "PVC;STD", 500]]


def test_a_record_keeps_its_fold_whatever_else_is_on_disk(tmp_path):
    write_reference(tmp_path / "REFERENCE.csv", {f"A{i:04d}": f"{i % 9 + 1},," for i in range(200)})
    code = {name: code for code, name in CPSC_SNOMED.items()}
    folds = {}
    for i in (3, 50, 120):
        write_wfdb(tmp_path, f"A{i:04d}", heartbeat(100), comments=f"#Dx: {code[CPSC_CLASSES[i % 9]]}\n")
        table = cpsc.catalog(tmp_path)
        found = dict(zip(table.record_id, table.fold, strict=True))
        assert folds.items() <= found.items()
        folds = found


@needs_real("cpsc2018")
def test_real_reference_counts():
    reference = cpsc.read_reference(REAL / "cpsc2018/REFERENCE.csv")
    found = Counter(name for classes in reference.values() for name in classes)
    assert len(reference) == 6877 and reference["A0953"] == ("PAC",)
    assert found == {"Normal": 918, "AF": 1221, "I-AVB": 722, "LBBB": 236, "RBBB": 1857, "PAC": 616, "PVC": 700, "STD": 869,
                     "STE": 220}


@needs_real("cpsc2018")
def test_real_challenge_labels_equal_the_reference():
    table = cpsc.catalog(REAL / "cpsc2018")
    assert dict(zip(table.record_id, table.statements, strict=True)) == {
        "A0001": "RBBB", "A0002": "Normal", "A0003": "AF", "A0004": "AF", "A0005": "PVC", "A0006": "RBBB", "A0689": "AF",
        "A2712": "AF", "A5215": "RBBB;PAC", "A5432": "PAC"}


@needs_real("cpsc2018-original")
def test_real_original_labels():
    table = cpsc.catalog(REAL / "cpsc2018-original")
    assert dict(zip(table.record_id, table.statements, strict=True)) == {
        "A1980": "PAC", "A1981": "STD", "A1982": "I-AVB", "A1983": "Normal", "A1984": "STD", "A6791": "RBBB"}


# Chapman-Shaoxing

def write_chapman(folder, monkeypatch, rhythms=("AFIB", "SB", "ST")):
    """Records JS00001… with a Diagnostics.xlsx of as many rows."""
    monkeypatch.setattr(chapman, "N_RECORDS", len(rhythms))
    code = {name: code for code, name in CHAPMAN_SNOMED.items()}
    for i, rhythm in enumerate(rhythms, start=1):
        write_wfdb(folder / "WFDBRecords/01", f"JS{i:05d}", heartbeat(seed=i),
                   comments=f"#Age: {40 + i}\n#Sex: Male\n#Dx: 55827005,{code[rhythm]}\n")
    rows = [{"FileName": f"M{i}", "Rhythm": rhythm, "PatientAge": 41 + i, "Gender": "MALE"} for i, rhythm in enumerate(rhythms)]
    pd.DataFrame(rows).to_excel(folder / "Diagnostics.xlsx", index=False)
    return folder


def test_chapman_rhythms_come_from_the_table(tmp_path, monkeypatch):
    table = chapman.catalog(write_chapman(tmp_path, monkeypatch))
    assert list(table.columns) == COLUMNS
    assert table[["record_id", "age", "sex", "statements", "fs"]].to_numpy().tolist() == [
        ["JS00001", 41.0, "male", "AFIB", 500], ["JS00002", 42.0, "male", "SB", 500], ["JS00003", 43.0, "male", "ST", 500]]


@pytest.mark.parametrize(("old", "new", "said"), [
    ("#Age: 42", "#Age: 43", r"JS00002 \(age 43 in its header, 42 in the table\)"),
    ("#Sex: Male", "#Sex: Female", r"JS00002 \(female in its header, MALE in the table\)"),
    ("426177001", "426783006", r"JS00002 \(codes 55827005,426783006 in its header, SB = 426177001 in the table\)"),
])
def test_chapman_disagreement_is_refused(tmp_path, monkeypatch, old, new, said):
    edit(write_chapman(tmp_path, monkeypatch) / "WFDBRecords/01/JS00002.hea", old, new)
    with pytest.raises(DataError, match=f"contradicts 1 of 3 headers: {said}"):
        chapman.catalog(tmp_path)


def test_chapman_table_must_be_whole(tmp_path, monkeypatch):
    write_chapman(tmp_path, monkeypatch)
    monkeypatch.setattr(chapman, "N_RECORDS", 4)
    with pytest.raises(DataError, match="has 3 whole rows, expected 4"):
        chapman.catalog(tmp_path)
    (tmp_path / "Diagnostics.xlsx").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="Diagnostics.xlsx cannot be read"):
        chapman.catalog(tmp_path)


def test_chapman_without_table_and_beyond_its_records(tmp_path, monkeypatch, caplog):
    write_chapman(tmp_path, monkeypatch)
    (tmp_path / "Diagnostics.xlsx").unlink()
    write_wfdb(tmp_path / "WFDBRecords/46", "JS45551", heartbeat(100))
    with caplog.at_level(logging.INFO):
        assert list(chapman.catalog(tmp_path).statements) == ["AFIB", "SB", "ST"]
    assert "1 recordings beyond JS3 belong to Ningbo" in caplog.text and "derived from the SNOMED CT codes" in caplog.text
    write_wfdb(tmp_path, "HR00001", heartbeat(100))
    with pytest.raises(DataError, match="not of this data set: HR00001"):
        chapman.catalog(tmp_path)


@needs_real("chapman")
def test_real_chapman_rows_belong_to_their_records(monkeypatch, caplog):
    diagnostics = chapman.read_diagnostics(REAL / "chapman/Diagnostics.xlsx")
    monkeypatch.setattr(chapman, "read_diagnostics", lambda path: diagnostics)      # reading the workbook takes seconds
    table = chapman.catalog(REAL / "chapman")          # raises where age, sex or rhythm disagree
    assert len(table) == 11 and "10635 rows of Diagnostics.xlsx have no recording" in caplog.text
    groups = label_set("chapman").encode([rhythm] for rhythm in diagnostics.Rhythm).sum(axis=0)
    assert groups.tolist() == [2225, 2307, 3889, 2225] and np.sum(groups) == 10646
