"""Preparing: exact samples, declared padding, reuse by settings and content, refusal without a trace."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recording_files import REAL, edit, heartbeat, needs_real, write_ptbxl, write_reference, write_wfdb
from scipy.io import savemat

from ecgstudy.bench import recordings
from ecgstudy.data import prepare as prepare_module
from ecgstudy.data.dataset import verify
from ecgstudy.data.prepare import condition, prepare
from ecgstudy.data.record import Record
from ecgstudy.errors import ConfigurationError, DataError
from ecgstudy.signal import resample
from ecgstudy.study import streaming


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGSTUDY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ECGSTUDY_DATA", raising=False)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_array_holds_the_recorded_microvolts(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        prepared = prepare("ptbxl", source=write_ptbxl(tmp_path / "raw"))
    assert (prepared.dataset, prepared.fs, prepared.signals.shape) == ("ptbxl", 100, (20, 12, 1000))
    assert prepared.signals.dtype == np.int16
    for row, i in enumerate(range(1, 21)):
        np.testing.assert_array_equal(prepared.signals[row], heartbeat(1000, 100, seed=i))
    assert prepared.table.iloc[0].to_dict() == {"record_id": "1", "patient_id": "1", "fold": 2, "age": 90.0, "sex": "female",
                                               "n_samples": 1000, "statements": "NORM;SR"}
    assert "20 of the 21799 published recordings" in caplog.text
    verify(prepared)


def test_long_records_are_cut_and_short_ones_padded(tmp_path):
    write_wfdb(tmp_path / "raw", "A0001", heartbeat(3001, seed=1))
    write_wfdb(tmp_path / "raw", "A0002", heartbeat(9000, seed=2))
    prepared = prepare("cpsc", source=tmp_path / "raw")
    assert prepared.table.n_samples.tolist() == [601, 1000]
    assert not prepared.signals[0, :, 601:].any() and prepared.signals[0, :, :601].any(axis=1).all()
    expected = resample(heartbeat(9000, seed=2) / 1000, 500, 100)[:, :1000]
    np.testing.assert_allclose(prepared.signals[1] / 1000, expected, atol=6e-4)


def test_age_and_sex_inside_the_recording_reach_the_table(tmp_path):
    (tmp_path / "raw").mkdir()
    savemat(tmp_path / "raw/A0001.mat", {"ECG": {"sex": "Female", "age": 77, "data": heartbeat() / 1000}})
    write_reference(tmp_path / "raw/REFERENCE.csv", {"A0001": "2,,", "A0002": "3,,"})
    row = prepare("cpsc", source=tmp_path / "raw").table.iloc[0]
    assert (row.age, row.sex, row.statements) == (77.0, "female", "AF")


def test_second_call_reuses_and_any_change_of_labels_makes_another(tmp_path):
    source = write_ptbxl(tmp_path / "raw", 12)
    first = prepare("ptbxl", source=source)
    stamp = (first.folder / "signals.npy").stat().st_mtime_ns
    again = prepare("ptbxl", source=source)
    assert again.folder == first.folder and (again.folder / "signals.npy").stat().st_mtime_ns == stamp
    shutil.copytree(source, tmp_path / "elsewhere")
    assert prepare("ptbxl", source=tmp_path / "elsewhere").digest == first.digest       # the place is no part of the data
    edit(source / "ptbxl_database.csv", "'SR'", "'AFIB'")
    assert prepare("ptbxl", source=source).folder != first.folder


@pytest.mark.parametrize("damage", ["cut", "flip", "table", "description"])
def test_damaged_or_unfinished_folder_is_made_again(tmp_path, damage, caplog):
    source = write_ptbxl(tmp_path / "raw", 12)
    first = prepare("ptbxl", source=source)
    signals = first.folder / "signals.npy"
    data = bytearray(signals.read_bytes())
    if damage == "cut":
        signals.write_bytes(data[:-100])
    elif damage == "flip":
        data[-1] ^= 1
        signals.write_bytes(data)
    elif damage == "table":
        edit(first.folder / "table.csv", "NORM", "PVC")
    else:
        (first.folder / "prepared.json").unlink()
    second = prepare("ptbxl", source=source)
    assert second.digest == first.digest
    verify(second)
    assert damage == "description" or "prepare the data again" in caplog.text


def test_all_faults_are_named_and_nothing_is_written(tmp_path):
    source = write_ptbxl(tmp_path / "raw", 12)
    for i in (2, 5):
        path = source / f"records100/00000/{i:05d}_lr.dat"
        path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"(?s)2 of 12 recordings in .*exclude.txt.*00002_lr.dat has 23998 bytes.*00005_lr.dat"):
        prepare("ptbxl", source=source)
    assert leftovers(tmp_path / "home") == []
    (source / "exclude.txt").write_text("00002_lr # cut\n00005_lr # cut\n")
    prepared = prepare("ptbxl", source=source)
    assert len(prepared.table) == 10 and prepared.settings["excluded"] == ["00002_lr", "00005_lr"]


def test_the_same_recording_twice_is_refused(tmp_path):
    source = write_ptbxl(tmp_path / "raw", 12)
    write_wfdb(source / "records100/00000", "00007_lr", heartbeat(1000, 100, seed=3), fs=100, form="dat", gain="1000.0(0)/mV")
    with pytest.raises(DataError, match="00007_lr.hea: the same signal as .*00003_lr.hea"):
        prepare("ptbxl", source=source)


def test_a_patient_in_two_folds_is_refused(tmp_path):
    source = write_ptbxl(tmp_path / "raw", 12)
    edit(source / "ptbxl_database.csv", "\n2,2.0,", "\n2,1.0,")
    with pytest.raises(DataError, match=r"1 patients are in more than one fold: 1 \(folds 2, 3\)"):
        prepare("ptbxl", source=source)


def record(signal: np.ndarray) -> Record:
    return Record("A0001", signal.astype(np.float32), 100, 50.0, "male", (), Path("A0001.mat"))


def test_clipping_is_counted_and_unfinite_samples_refused():
    signal = heartbeat(1000, 100) / 1000
    signal[3, 5:8] = [40.0, -40.0, 32.767]
    stored, recorded, clipped = condition(record(signal))
    assert stored[3, 5:8].tolist() == [32767, -32767, 32767] and (recorded, clipped) == (1000, 2)
    signal[3, 5] = np.inf
    with pytest.raises(DataError, match="A0001.mat: samples that are not finite .aVR 1."):
        condition(record(signal))


def test_folder_is_found_by_its_published_name(tmp_path, monkeypatch):
    write_ptbxl(tmp_path / "home/data/ptb-xl", 10)
    assert len(prepare("ptbxl").table) == 10
    monkeypatch.setenv("ECGSTUDY_DATA", str(tmp_path / "shelf"))
    write_ptbxl(tmp_path / "shelf/ptb-xl", 11)
    assert len(prepare("ptbxl").table) == 11


def test_absent_data_names_folder_command_and_alternative(tmp_path):
    with pytest.raises(DataError) as refusal:
        prepare("cpsc")
    for part in (str(tmp_path / "home/data/cpsc2018"), "python -m ecgstudy data fetch cpsc", "-p dataset synthetic"):
        assert part in str(refusal.value)
    with pytest.raises(ConfigurationError, match="unknown dataset 'cpcs'; did you mean 'cpsc'"):
        prepare("cpcs")


def test_prepared_folder_alone_is_enough(tmp_path, monkeypatch):
    source = write_ptbxl(tmp_path / "raw", 12)
    small = prepare("ptbxl", source=source)
    shutil.rmtree(source)
    large = prepare("ptbxl", source=write_ptbxl(tmp_path / "raw", 14))
    shutil.rmtree(source)
    monkeypatch.setenv("ECGSTUDY_HOME", str(tmp_path / "bare"))
    shutil.copytree(small.folder, tmp_path / "bare/prepared/ptbxl-small")
    assert prepare("ptbxl").digest == small.digest
    shutil.copytree(large.folder, tmp_path / "bare/prepared/ptbxl-large")
    assert prepare("ptbxl").digest == large.digest
    (tmp_path / "bare/prepared/ptbxl-large/table.csv").write_text("")
    assert prepare("ptbxl").digest == small.digest


def test_too_little_disk_names_the_bytes(tmp_path, monkeypatch):
    source = write_ptbxl(tmp_path / "raw", 12)
    monkeypatch.setattr(prepare_module.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    with pytest.raises(DataError, match=r"needs 290400 bytes and .* has 1000 free.*ECGSTUDY_HOME"):
        prepare("ptbxl", source=source)
    assert leftovers(tmp_path / "home") == []


def test_the_simulators_folder_is_made_once_for_each_size(tmp_path, monkeypatch):
    first = prepare("synthetic", n_records=64)
    assert first.dataset == "synthetic" and len(first.table) == 64
    monkeypatch.setattr("ecgstudy.data.synthetic.prepared.prepare_synthetic", lambda *_: pytest.fail("it was simulated again"))
    assert prepare("synthetic", n_records=64).digest == first.digest
    with pytest.raises(pytest.fail.Exception):
        prepare("synthetic", n_records=65)


def test_a_bare_machine_opens_a_prepared_folder(tmp_path):
    prepared = prepare("ptbxl", source=write_ptbxl(tmp_path / "raw", 12))
    shutil.rmtree(tmp_path / "raw")
    program = ("import sys\n"
               "for name in ('wfdb', 'openpyxl', 'tqdm', 'torch', 'yaml', 'requests', 'sklearn'): sys.modules[name] = None\n"
               "from ecgstudy.data.prepare import prepare\n"
               "print(prepare('ptbxl').digest)\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == prepared.digest


@needs_real("cpsc2018")
@needs_real("chapman")
def test_what_there_is_of_the_real_sets_is_prepared(monkeypatch, caplog):
    monkeypatch.setenv("ECGSTUDY_DATA", str(REAL))
    cpsc = prepare("cpsc")
    assert len(cpsc.table) == 10 and "10 of the 6877 published recordings" in caplog.text
    assert 0.3 < np.median(np.ptp(cpsc.signals, axis=2)) / 1000 < 5
    chapman = prepare("chapman")
    assert chapman.table.statements.tolist() == ["AFIB", "SB", "SB", "SB", "SR", "SB", "ST", "SB", "SR", "ST", "SR"]


@pytest.mark.slow
@needs_real("ptb-xl")
def test_all_of_ptbxl_equals_its_raw_samples(tmp_path):
    prepared = prepare("ptbxl", source=REAL / "ptb-xl")
    table = pd.read_csv(REAL / "ptb-xl/ptbxl_database.csv", usecols=["ecg_id", "filename_lr"])
    assert prepared.signals.shape == (21799, 12, 1000) and (prepared.table.n_samples == 1000).all()
    assert prepared.table.record_id.tolist() == table.ecg_id.astype(str).tolist()
    for row in range(0, 21799, 7):
        raw = np.fromfile(REAL / "ptb-xl" / f"{table.filename_lr[row]}.dat", "<i2").reshape(1000, 12).T
        np.testing.assert_array_equal(prepared.signals[row], raw)
    described = json.loads((prepared.folder / "prepared.json").read_text())
    assert described["settings"]["fs"] == 100 and str(tmp_path) not in json.dumps(described)
    shutil.rmtree(prepared.folder)


def test_memory_does_not_grow_with_the_records(tmp_path):
    """Each size in a process of its own; what may grow is the table and the headers, a few kB a record, of which the signal has 24."""
    few, many = 300, 1200
    for n in (few, many):
        recordings.write_ptbxl(tmp_path / str(n), n)
    for form in ("simulator", "published"):
        small, large = (streaming.measure(form, n, source=tmp_path / str(n)) for n in (few, many))
        assert (small.n_records, large.n_records) == (few, many) and large.signals_bytes > 24_000 * many
        assert large.peak_bytes < 1.15 * small.peak_bytes + large.table_bytes, (form, small, large)
