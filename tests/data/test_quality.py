"""Each fault is made here, and must be found, named, and told apart from a clean recording."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from recording_files import REAL, edit, needs_real, write_ptbxl, write_wfdb

from ecgstudy import files
from ecgstudy.cli import RECORDED, main
from ecgstudy.data import quality
from ecgstudy.data.quality import DATASETS, KINDS, Finding, Report, check, inspect, read_report, recordings, write_report
from ecgstudy.data.record import Record, read_record
from ecgstudy.errors import AbsentError, ConfigurationError, DataError, RunError
from ecgstudy.leads import LEADS


def beats(fs: int = 500, seconds: int = 10) -> np.ndarray:
    """Limb leads that obey their identities and chest leads with R progression: P, QRS and T each second, int16 uV [12, T]."""
    t = np.arange(seconds * fs) / fs
    noise = np.random.default_rng(0).normal(0, 4, (12, t.size))

    def lead(r: float, s: float) -> np.ndarray:
        bump = lambda at, width, height: height * np.exp(-(((t % 1) - at) / width) ** 2)        # noqa: E731
        return bump(0.3, 0.04, 0.12 * (r - s)) + bump(0.5, 0.012, r) - bump(0.54, 0.012, s) + bump(0.8, 0.06, 0.25 * (r - s))

    one, two = lead(900, 100) + noise[0], lead(1300, 150) + noise[1]
    three = two - one
    limb = [one, two, three, -(one + two) / 2, (one - three) / 2, (two + three) / 2]
    chest = [lead(200 + 200 * k, 1100 - 190 * k) + noise[6 + k] for k in range(6)]
    return np.rint([*limb, *chest]).astype(np.int16)


def record_of(folder: Path, digital: np.ndarray, fs: int = 500, leads=LEADS) -> Record:
    return read_record(write_wfdb(folder, "R1", digital, fs=fs, leads=leads))


def kinds(findings) -> list[str]:
    return [finding.kind for finding in findings]


@pytest.fixture
def clean():
    return beats()


@pytest.mark.parametrize("fs", [100, 500])
def test_a_clean_recording_has_no_findings(tmp_path, fs):
    assert inspect(record_of(tmp_path, beats(fs), fs)) == []


def test_coarse_steps_explain_larger_departures(tmp_path, clean):
    coarse = (np.rint(clean / 25) * 25).astype(np.int16)        # III departs by 25 uV, aVR by 37
    assert inspect(record_of(tmp_path, coarse)) == []


# Limb leads

@pytest.mark.parametrize("pair", [("I", "II"), ("III", "aVF"), ("aVR", "aVL"), ("II", "V1"), ("aVL", "V6")])
def test_swapped_columns_are_named(tmp_path, clean, pair):
    names = list(LEADS)
    i, k = map(names.index, pair)
    names[i], names[k] = names[k], names[i]
    found = inspect(record_of(tmp_path, clean, leads=names))
    assert kinds(found) == ["limb_identities", "suspected_swap"]
    assert found[1].leads == pair and "exchanged" in found[1].detail and found[0].leads


def test_a_lead_upside_down_is_named(tmp_path, clean):
    clean[3] *= -1
    found = inspect(record_of(tmp_path, clean))
    assert kinds(found) == ["limb_identities", "suspected_swap"]
    assert found[1].leads == ("aVR",) and "upside down" in found[1].detail


def test_limb_leads_in_another_order_are_named(tmp_path, clean):
    names = ["II", "III", "I", *LEADS[3:]]
    swap = inspect(record_of(tmp_path, clean, leads=names))[1]
    assert swap.leads == ("I", "II", "III") and "taken as II, III, I, aVR" in swap.detail


def test_a_swap_is_named_beside_invalid_samples(tmp_path, clean):
    clean[7, 100:125] = -32768
    found = inspect(record_of(tmp_path, clean, leads=["II", "I", *LEADS[2:]]))
    assert kinds(found) == ["not_finite", "limb_identities", "suspected_swap"] and found[2].leads == ("I", "II")


def test_a_contradiction_that_nothing_explains_names_no_swap(tmp_path, clean):
    clean[2, 700:720] += 30
    found = inspect(record_of(tmp_path, clean))
    assert kinds(found) == ["limb_identities"] and found[0].leads == ("III", "aVL", "aVF")
    assert "III by 0.03" in found[0].detail


def test_flat_limb_leads_do_not_hide_the_contradiction(tmp_path, clean):
    clean[3:6] = 0
    found = inspect(record_of(tmp_path, clean))
    assert kinds(found) == ["flat", "limb_identities"] and found[1].leads == ("aVR", "aVL", "aVF")


def test_swapped_chest_leads_go_unseen_because_nothing_binds_them(tmp_path, clean):
    assert inspect(record_of(tmp_path, clean[[0, 1, 2, 3, 4, 5, 7, 6, 8, 9, 10, 11]])) == []


def reversed_arms(digital: np.ndarray) -> np.ndarray:
    """What is recorded with RA and LA exchanged."""
    exchanged = digital[[0, 2, 1, 4, 3, 5, 6, 7, 8, 9, 10, 11]]
    exchanged[0] *= -1
    return exchanged


def test_reversed_arm_electrodes_are_suspected_though_the_identities_hold(tmp_path, clean):
    found = inspect(record_of(tmp_path, reversed_arms(clean)))
    assert kinds(found) == ["suspected_reversal"]
    assert found[0].leads == ("I", "II", "III", "aVR", "aVL") and "RA and LA" in found[0].detail


# Samples

def test_flat_leads_and_stretches(tmp_path, clean):
    clean[6], clean[10, 1000:1600] = 17, clean[10, 999]
    found = inspect(record_of(tmp_path, clean))
    assert kinds(found) == ["flat"] and found[0].leads == ("V1", "V5")
    assert found[0].detail == "V1 10.00 s at one value; V5 1.20 s at one value"
    clean[10, 1000:1400] = beats()[10, 1000:1400]
    assert inspect(record_of(tmp_path, clean))[0].leads == ("V1",)


def test_saturated_samples(tmp_path, clean):
    low, high = clean.copy(), clean.copy()
    high[8, 2000:2030] = low[8, 2000:2024] = 4000               # 60 ms, and 48 ms
    found = inspect(record_of(tmp_path, high))
    assert found == [Finding("R1", "saturated", ("V3",), "V3 30 samples at 4.000 mV")]
    assert inspect(record_of(tmp_path, low)) == []
    high[8, 2000:2030] = -4000
    assert "at -4.000 mV" in inspect(record_of(tmp_path, high))[0].detail


def test_a_quiet_baseline_is_not_saturation(tmp_path, clean):
    clean[9] = np.maximum(clean[9], -10)
    assert inspect(record_of(tmp_path, clean)) == []


def test_samples_that_are_no_number(tmp_path, clean):
    clean[7, 100:125], clean[0, 3] = -32768, -32768             # format 16 marks an invalid sample so
    found = inspect(record_of(tmp_path, clean))
    assert kinds(found) == ["not_finite"] and found[0].leads == ("I", "V2")
    assert found[0].detail == "I 0.02% of its samples; V2 0.50% of its samples"


def test_infinite_samples_are_found(tmp_path, clean, recwarn):
    record = record_of(tmp_path, clean)
    record.signal[11, 40:42] = np.inf, -np.inf
    assert inspect(record) == [Finding("R1", "not_finite", ("V6",), "V6 0.04% of its samples")] and not recwarn.list


def test_nothing_but_invalid_samples_warns_of_nothing(tmp_path, clean, recwarn):
    found = inspect(record_of(tmp_path, np.full_like(clean, -32768)))
    assert kinds(found) == ["not_finite"] and len(found[0].leads) == 12 and not recwarn.list


def test_implausible_amplitude_of_single_leads(tmp_path, clean):
    clean[6], clean[7] = clean[6] // 50, clean[7] * 9
    found = inspect(record_of(tmp_path, clean))
    assert kinds(found) == ["amplitude"] and found[0].leads == ("V1", "V2") and "expected 0.1 to 10" in found[0].detail


@pytest.mark.parametrize(("fs", "seconds", "expected"), [
    (500, 6, ["length"]), (100, 30, ["length"]), (250, 10, ["sampling_rate"]), (250, 12, ["length", "sampling_rate"]),
])
def test_length_and_rate(tmp_path, fs, seconds, expected):
    found = inspect(record_of(tmp_path, beats(fs, seconds), fs))
    assert kinds(found) == expected
    assert f"{seconds} s, expected 10 s" in found[0].detail or f"{fs} Hz, expected 100 or 500" in found[0].detail


def test_one_sample_is_inspected_without_a_fault(tmp_path, clean):
    assert "length" in kinds(inspect(record_of(tmp_path, clean[:, :1])))


# A whole data set

@pytest.fixture
def tree(tmp_path):
    """Twelve recordings in PTB-XL's form; the 3rd is cut, the 5th lost its header, the 7th its samples, in the 9th V1 is flat."""
    folder = write_ptbxl(tmp_path / "ptb-xl", 12)
    for i in range(1, 13):
        digital = beats(100)
        digital[6] *= i != 9
        write_wfdb(folder / "records100/00000", f"{i:05d}_lr", digital, fs=100, form="dat", gain="1000.0(0)/mV", comments="")
    record = folder / "records100/00000"
    (record / "00003_lr.dat").write_bytes((record / "00003_lr.dat").read_bytes()[:-100])
    (record / "00005_lr.hea").unlink()
    (record / "00007_lr.dat").unlink()
    return folder


def test_check_counts_each_kind_and_goes_on_after_a_refusal(tree):
    report = check("ptbxl", tree)
    assert (report.dataset, report.n_records) == ("ptbxl", 12)
    assert [(finding.record_id, finding.kind) for finding in report.findings] == [
        ("00003_lr", "refused"), ("00005_lr", "refused"), ("00007_lr", "refused"), ("00009_lr", "flat")]
    assert "bytes, but its header declares" in report.findings[0].detail
    table = report.table.set_index("kind")
    assert list(table.index) == list(KINDS) and table.records.sum() == 4
    assert table.loc["refused"].tolist() == [3, 0.25, "00003_lr, 00005_lr, 00007_lr"]
    assert table.loc["length"].tolist() == [0, 0.0, ""]


def test_several_processes_give_the_same_report(tree, monkeypatch):
    monkeypatch.setattr(quality, "CHUNK", 5)
    assert check("ptbxl", tree, workers=2) == check("ptbxl", tree, workers=1)


def test_a_killed_process_is_told():
    with pytest.raises(RunError, match="was killed"):
        list(quality._each(os._exit, [1, 1], workers=2))


def test_workers_must_be_positive(tree):
    with pytest.raises(ConfigurationError, match="workers is 0"):
        check("ptbxl", tree, workers=0)


def test_a_record_with_two_findings_of_a_kind_counts_once():
    findings = (Finding("a", "saturated", ("I",), "low"), Finding("a", "saturated", ("II",), "high"))
    assert Report("ludb", 4, findings).table.set_index("kind").loc["saturated"].tolist() == [1, 0.25, "a"]


def test_withdrawn_and_excluded_recordings_are_left_out(tree, caplog):
    edit(tree / "ptbxl_database.csv", "00012_lr", "00099_lr")
    (tree / "exclude.txt").write_text("00003_lr   # cut\n")
    names = [path.stem for path in recordings("ptbxl", tree)]
    assert names == [f"{i:05d}_lr" for i in range(1, 12) if i != 3]
    edit(tree / "ptbxl_database.csv", "filename_lr", "file")
    assert len(recordings("ptbxl", tree)) == 11 and "withdrawn are checked too" in caplog.text


def test_ningbo_is_left_out_of_chapman(tmp_path, clean):
    for name in ("JS00001", "JS10646", "JS10647", "JS45000"):
        write_wfdb(tmp_path / name, name, clean)
    assert [path.stem for path in recordings("chapman", tmp_path)] == ["JS00001", "JS10646"]
    assert check("chapman", tmp_path) == Report("chapman", 2, ())


def test_ludb_is_read_in_its_stored_units(tmp_path, clean):
    header = write_wfdb(tmp_path / "data", "1", clean, form="dat")
    lines = header.read_text().splitlines()
    header.write_text("\n".join([lines[0], lines[1].replace("1000/mV", "1900(4)/mV"), *lines[2:]]) + "\n")
    assert kinds(inspect(read_record(header))) == ["limb_identities"]
    assert check("ludb", tmp_path).findings == ()


def test_unknown_and_absent_data_sets(tmp_path, monkeypatch):
    assert RECORDED == DATASETS
    monkeypatch.setenv("ECGSTUDY_DATA", str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError, match="did you mean 'ptbxl'"):
        check("ptblx")
    for dataset in DATASETS:
        with pytest.raises(AbsentError, match=f"data fetch {dataset}"):
            check(dataset)
    with pytest.raises(AbsentError, match="holds no recordings"):
        check("cpsc", tmp_path)


# The command line

def test_data_check_prints_the_table_and_exits_with_3_where_records_are_refused(tree, capsys, monkeypatch):
    monkeypatch.setenv("ECGSTUDY_DATA", str(tree.parent))
    assert main(["data", "check", "ptbxl"]) == 3
    told = capsys.readouterr().out
    assert "ptbxl: 12 recordings" in told and str(files.home() / "quality/ptbxl.json") in told
    assert "     3   25.00%  refused " in told and "00003_lr, 00005_lr, 00007_lr" in told and all(kind in told for kind in KINDS)
    assert read_report("ptbxl") == check("ptbxl", tree)


def test_data_check_exits_with_0_where_all_can_be_read(tmp_path, clean, capsys, monkeypatch):
    monkeypatch.setenv("ECGSTUDY_DATA", str(tmp_path))
    clean[6] = 0
    write_wfdb(tmp_path / "cpsc2018/g1", "A0001", clean)
    assert main(["data", "check", "cpsc"]) == 0
    assert "     1  100.00%  flat " in capsys.readouterr().out


def test_data_check_of_an_absent_data_set_exits_with_3_and_leaves_no_report(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ECGSTUDY_DATA", str(tmp_path))
    assert main(["data", "check", "ludb"]) == 3
    assert "data fetch ludb" in capsys.readouterr().err and not quality.report_path("ludb").exists()


# The report on disk

REPORT = Report("cpsc", 9, (Finding("A0001", "refused", (), "ä cut"), Finding("A0002", "flat", ("I", "V6"), "I 2 s; V6 3 s")))


def test_report_round_trip():
    assert read_report("cpsc") is None
    path = write_report(REPORT)
    assert path == files.home() / "quality" / "cpsc.json" and read_report("cpsc") == REPORT
    before = path.read_bytes()
    assert write_report(REPORT).read_bytes() == before and [each.name for each in path.parent.iterdir()] == ["cpsc.json"]


@pytest.mark.parametrize("damage", [
    lambda content: content.pop("findings"),
    lambda content: content.update(n_records=1),
    lambda content: content.update(n_records="9"),
    lambda content: content.update(schema=0),
    lambda content: content.update(dataset="ludb"),
    lambda content: content.update(findings=7),
    lambda content: content["findings"][0].pop("detail"),
    lambda content: content["findings"][0].update(kind="fault"),
    lambda content: content["findings"][1].update(leads=["I", "V7"]),
    lambda content: content["findings"][1].update(leads=None),
    lambda content: content["findings"][1].update(record_id=3),
])
def test_damaged_reports_are_refused(damage):
    path = write_report(REPORT)
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="not a whole report of cpsc.*data check cpsc"):
        read_report("cpsc")


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"dataset": "cpsc"'])
def test_reports_that_are_no_report_are_refused(text):
    write_report(REPORT).write_text(text)
    with pytest.raises(DataError, match=r"cpsc\.json"):
        read_report("cpsc")


# Real recordings

@needs_real("ptb-xl/records100/00000")
def test_real_arm_reversal_is_mostly_found_and_seldom_invented(tmp_path):
    paths = sorted((REAL / "ptb-xl/records100/00000").glob("*.hea"))[:300]
    real = [read_record(path) for path in paths]
    found = [kinds(inspect(record)) for record in real]
    assert sum("suspected_reversal" in each for each in found) <= 2 and not any("suspected_swap" in each for each in found)
    exchanged = [Record(record.record_id, reversed_arms(record.signal), record.fs, record.age, record.sex, (), record.source)
                 for record in real]
    assert sum("suspected_reversal" in kinds(inspect(record)) for record in exchanged) > 0.55 * len(real)


@needs_real("ptb-xl/records100/12000")
@pytest.mark.parametrize(("name", "kind", "leads"), [
    ("12722", "flat", ("V4", "V5", "V6")), ("02907", "saturated", ("V3",)), ("00421", "amplitude", ("V4",)),
    ("06965", "limb_identities", ("III", "aVL", "aVF")), ("14144", "suspected_reversal", ("I", "II", "III", "aVR", "aVL")),
])
def test_real_oddities_of_ptbxl(name, kind, leads):
    found = inspect(read_record(REAL / f"ptb-xl/records100/{name[:2]}000/{name}_lr.hea"))
    assert leads in [finding.leads for finding in found if finding.kind == kind]


@needs_real("ptb-xl/records100/00000")
def test_real_swapped_columns_are_named():
    record = read_record(REAL / "ptb-xl/records100/00000/00001_lr.hea")
    for i in range(6):
        for k in range(i + 1, 12):
            order = list(range(12))
            order[i], order[k] = k, i
            swapped = Record(record.record_id, record.signal[order], record.fs, record.age, record.sex, (), record.source)
            swaps = [finding.leads for finding in inspect(swapped) if finding.kind == "suspected_swap"]
            assert swaps == [(LEADS[i], LEADS[k])]


@needs_real("ludb")
def test_real_ludb():
    report = check("ludb", REAL / "ludb")
    records = report.table.set_index("kind").records
    assert report.n_records == 200 and records["saturated"] == 2 and records["amplitude"] == 3 and records.sum() == 5
