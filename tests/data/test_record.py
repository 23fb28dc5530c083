"""One recording: every form is read exactly, every fault is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from recording_files import REAL, edit, heartbeat, needs_real, write_wfdb
from scipy.io import savemat

from ecgstudy.data.record import abridge, check, paired_headers, read_exclusions, read_header, read_headers, read_record
from ecgstudy.errors import DataError
from ecgstudy.leads import LEADS


@pytest.mark.parametrize("form", ["mat", "dat"])
def test_samples_come_back_in_millivolts(tmp_path, form):
    digital = heartbeat()
    record = read_record(write_wfdb(tmp_path, "A0001", digital, form=form))
    assert (record.record_id, record.fs, record.age, record.sex, record.dx) == ("A0001", 500, 60.0, "male", ("426783006",))
    assert record.signal.dtype == np.float32 and record.signal.shape == (12, 5000)
    np.testing.assert_array_equal(record.signal, digital.astype(np.float32) / np.float32(1000))


@pytest.mark.parametrize("suffix", ["", ".hea", ".mat"])
def test_path_may_name_any_of_the_pair(tmp_path, suffix):
    write_wfdb(tmp_path, "A0001", heartbeat(100))
    assert read_record(tmp_path / f"A0001{suffix}").record_id == "A0001"


@pytest.mark.parametrize(("gain", "millivolts"), [
    ("200/mV", 0.5), ("1000(100)/mV", 0.0), ("1/uV", 0.1), ("1/µV", 0.1), ("1e6/V", 0.1), ("100", 1.0)])
def test_declared_gain_baseline_and_unit_are_applied(tmp_path, gain, millivolts):
    record = read_record(write_wfdb(tmp_path, "A", np.full((12, 10), 100, np.int16), gain=gain))
    np.testing.assert_allclose(record.signal, millivolts, rtol=1e-6)


def test_leads_are_reordered_by_name_and_aliases_known(tmp_path):
    digital = heartbeat(50)
    names = [lead.upper() for lead in LEADS]
    record = read_record(write_wfdb(tmp_path, "A", digital[::-1], leads=names[::-1]))
    np.testing.assert_array_equal(record.signal, digital.astype(np.float32) / np.float32(1000))


@pytest.mark.parametrize("folder", ["with space", "Zürich-心電図"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_unusual_paths_and_windows_line_ends(tmp_path, folder, newline):
    record = read_record(write_wfdb(tmp_path / folder, "A0001", heartbeat(100), newline=newline))
    assert record.sex == "male" and record.signal.shape == (12, 100)


def test_what_a_header_leaves_open_stays_open(tmp_path):
    record = read_record(write_wfdb(tmp_path, "A", heartbeat(100), comments="# Age: NaN\n#Sex: Unknown\n#Dx: Unknown\n"))
    assert np.isnan(record.age) and record.sex == "" and record.dx == ()


@pytest.mark.parametrize(("old", "new", "said"), [
    ("A0001 12 500 5000", "A0001 12 500 4500", "has 120024 bytes, but its header declares 12 leads x 4500 samples: 108024 bytes"),
    ("A0001 12 500 5000", "A0001 11 500 5000", "declares 11 leads, but 12 signal lines"),
    ("A0001 12 500 5000", "B0001 12 500 5000", "named 'B0001'; expected 'A0001'"),
    ("A0001 12 500 5000", "A0001 12 0 5000", "sampling rate 0 Hz"),
    ("A0001 12 500 5000", "A0001 12 99999 5000", "sampling rate 99999 Hz; expected a whole number from 1 to 10000"),
    ("A0001 12 500 5000", f"A0001 12 500 {'9' * 5000}", "first line is"),
    ("1000/mV", f"1{'0' * 400}/mV", "lead I has gain 1000"),
    ("A0001 12 500 5000", "A0001 12 360.5 5000", "sampling rate 360.5 Hz"),
    ("A0001 12 500 5000", "A0001 12 500 0", "0 samples"),
    ("A0001 12 500 5000", "A0001 twelve", "first line is 'A0001 twelve'"),
    ("1000/mV", "1000/mmHg", "lead I is in 'mmHg'; expected one of mV, uV"),
    ("1000/mV", "0/mV", "lead I has gain 0"),
    ("1000/mV", "-1000/mV", "lead I has gain -1000"),
    ("16+24", "212", "format 212; expected 16"),
    ("0 I\n", "0 II\n", "named twice II; missing I"),
    ("0 aVL\n", "0 aVX\n", "unknown aVX; missing aVL"),
    ("A0001.mat", "B0001.mat", "signals in 2 files"),
    ("16+24 1000/mV", "nonsense", "cannot be read"),
])
def test_faulty_header_is_refused(tmp_path, old, new, said):
    path = write_wfdb(tmp_path, "A0001", heartbeat())
    edit(path, old, new)
    with pytest.raises(DataError) as refusal:
        read_record(path)
    assert said in str(refusal.value) and "A0001" in str(refusal.value)


def test_signal_file_outside_the_folder_is_refused(tmp_path):
    path = write_wfdb(tmp_path, "A0001", heartbeat())
    edit(path, "A0001.mat", "../A0001.mat", count=12)
    with pytest.raises(DataError, match="expected A0001.dat or A0001.mat beside it"):
        read_record(path)


@pytest.mark.parametrize("change", [lambda data: data[:-7], lambda data: data[:10], lambda data: b"",
                                    lambda data: data + bytes(24)])
@pytest.mark.parametrize("form", ["mat", "dat"])
def test_cut_or_longer_signal_file_is_refused(tmp_path, form, change):
    path = write_wfdb(tmp_path, "A0001", heartbeat(), form=form)
    signal = path.with_suffix(f".{form}")
    data = change(signal.read_bytes())
    signal.write_bytes(data)
    with pytest.raises(DataError, match=f"A0001.{form} has {len(data)} bytes.*fetch --repair"):
        read_record(path)


def test_one_flipped_bit_is_refused(tmp_path):
    path = write_wfdb(tmp_path, "A0001", heartbeat())
    data = bytearray(path.with_suffix(".mat").read_bytes())
    data[24 + 2 * 12 * 777 + 2 * 3] ^= 4        # sample 777 of aVR
    path.with_suffix(".mat").write_bytes(data)
    with pytest.raises(DataError, match="checksums differ .aVR sums to"):
        read_record(path)


@pytest.mark.parametrize("offset", [-65536, 65536, 0])
def test_checksum_is_compared_modulo_65536(tmp_path, offset):
    digital = heartbeat(100)
    path = write_wfdb(tmp_path, "A0001", digital)
    checksum = int(digital[0].sum(dtype=np.int64)) % 65536
    edit(path, f" {checksum} 0 I\n", f" {checksum + offset} 0 I\n")
    assert read_record(path).signal.shape == (12, 100)


def test_matlab_start_must_agree_with_the_header(tmp_path):
    path = write_wfdb(tmp_path, "A0001", heartbeat())
    data = bytearray(path.with_suffix(".mat").read_bytes())
    data[4] = 11                                # rows
    path.with_suffix(".mat").write_bytes(data)
    with pytest.raises(DataError, match="MATLAB v4 int16 matrix of 12 x 5000"):
        read_record(path)


@pytest.mark.parametrize("lost", [".hea", ".mat"])
def test_missing_half_is_refused(tmp_path, lost):
    path = write_wfdb(tmp_path, "A0001", heartbeat(100))
    write_wfdb(tmp_path, "A0002", heartbeat(100))
    path.with_suffix(lost).unlink()
    with pytest.raises(DataError, match="A0001"):
        read_record(tmp_path / "A0001")
    with pytest.raises(DataError, match="1 recordings lack one of their two files: .*A0001 has no"):
        paired_headers(tmp_path)
    assert [each.stem for each in paired_headers(tmp_path, exclude={"A0001"})] == ["A0002"]


def test_all_faulty_headers_are_named_at_once(tmp_path):
    for name in ("A0001", "A0002", "A0003"):
        write_wfdb(tmp_path, name, heartbeat(100))
    for name in ("A0001", "A0003"):
        edit(tmp_path / f"{name}.hea", "1000/mV", "0/mV")
    with pytest.raises(DataError, match=r"(?s)2 of 3 recordings .*exclude.txt.*A0001.*A0003"):
        read_headers(paired_headers(tmp_path), tmp_path)
    (tmp_path / "exclude.txt").write_text("A0001  # gain 0\r\n\n# none\nA0003\n")
    assert read_exclusions(tmp_path) == {"A0001", "A0003"}
    assert list(read_headers(paired_headers(tmp_path, read_exclusions(tmp_path)), tmp_path)) == ["A0002"]


def test_invalid_samples_and_implausible_amplitudes_are_refused(tmp_path):
    digital = heartbeat(1000)
    digital[4, 10:15] = -32768                  # format 16 marks invalid samples with it
    with pytest.raises(DataError, match="not finite .aVL 5."):
        check(read_record(write_wfdb(tmp_path, "A0001", digital)))
    for gain in ("1/mV", "1e5/mV"):
        with pytest.raises(DataError, match="A0002.mat: the median range of its leads is .* expected 0.05 to 20.0 mV"):
            check(read_record(write_wfdb(tmp_path, "A0002", heartbeat(), gain=gain)))
    with pytest.raises(DataError, match="A0003"):
        check(read_record(write_wfdb(tmp_path, "A0003", np.zeros((12, 100), np.int16))))


def test_matlab_structure(tmp_path):
    data = heartbeat(3000) / 1000
    savemat(tmp_path / "A0007.mat", {"ECG": {"sex": "Female", "age": 33, "data": data}})
    record = read_record(tmp_path / "A0007.mat")
    assert (record.record_id, record.fs, record.age, record.sex) == ("A0007", 500, 33.0, "female")
    np.testing.assert_allclose(record.signal, data, atol=1e-6)


@pytest.mark.parametrize(("content", "said"), [
    ({"ECG": {"sex": "Male", "age": 1, "data": np.ones((11, 50))}}, r"\(11, 50\), expected 12 leads"),
    ({"ECG": {"sex": "Male", "age": 1}}, "whole MATLAB structure"),
    ({"other": 1}, "whole MATLAB structure"),
])
def test_other_matlab_content_is_refused(tmp_path, content, said):
    savemat(tmp_path / "A0007.mat", content)
    with pytest.raises(DataError, match=f"A0007.mat.*{said}"):
        read_record(tmp_path / "A0007.mat")


def test_cut_matlab_structure_is_refused(tmp_path):
    savemat(tmp_path / "A0007.mat", {"ECG": {"sex": "Male", "age": 1, "data": heartbeat() / 1000}}, do_compression=True)
    whole = (tmp_path / "A0007.mat").read_bytes()
    for length in (0, 5, 200, len(whole) // 2, len(whole) - 50):
        (tmp_path / "A0007.mat").write_bytes(whole[:length])
        with pytest.raises(DataError, match="A0007.mat"):
            read_record(tmp_path / "A0007.mat")


def test_mutated_files_raise_nothing_but_data_errors(tmp_path):
    path = write_wfdb(tmp_path, "A0001", heartbeat(60))
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(500):
        mutated = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            mutated[rng.integers(len(mutated))] = rng.integers(256)
        path.write_bytes(mutated)
        try:
            read_record(path)
        except DataError:
            refused += 1
    assert refused > 150


def test_abridge():
    assert abridge("abc", 2) == "a, b and 1 more" and abridge([]) == ""


def real_records():
    patterns = ("ptb-xl/records100/0[0-4]000/0?00[1-3]_lr.hea", "cpsc2018/*/*.hea", "chapman/**/*.hea", "ludb/data/?.hea")
    return [path for pattern in patterns for path in sorted(REAL.glob(pattern))]


@needs_real("cpsc2018")
def test_raw_reading_equals_wfdb():
    wfdb = pytest.importorskip("wfdb")
    paths = real_records()
    assert len(paths) >= 21
    for path in paths:
        ours, theirs = read_record(path), wfdb.rdrecord(str(path.with_suffix("")))
        assert [name.casefold() for name in theirs.sig_name] == [lead.casefold() for lead in LEADS]
        assert ours.fs == theirs.fs
        np.testing.assert_allclose(ours.signal, theirs.p_signal.T, rtol=1e-6, atol=1e-7)
        assert read_header(path).n_samples == theirs.sig_len


@needs_real("cpsc2018-original")
def test_real_matlab_structures():
    records = {path.stem: check(read_record(path)) for path in sorted((REAL / "cpsc2018-original").glob("A*.mat"))}
    assert [(name, record.signal.shape[1], record.age, record.sex) for name, record in records.items()] == [
        ("A1980", 5000, 52, "male"), ("A1981", 7950, 48, "female"), ("A1982", 5000, 89, "male"), ("A1983", 7500, 49, "male"),
        ("A1984", 9500, 23, "female"), ("A6791", 5000, 73, "female")]
    assert all(record.fs == 500 and 0.3 < np.abs(record.signal).max() < 5 for record in records.values())
