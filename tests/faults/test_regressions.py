"""Inputs that once escaped the study's own errors, each kept as it was found."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pytest
from fuzz_targets import Manifest, Matlab5, PredictionArchive, PreparedFolder, Result
from recording_files import edit, heartbeat, write_wfdb
from scipy.io import loadmat, savemat

from ecgstudy import files
from ecgstudy.data.dataset import open_prepared
from ecgstudy.data.manifest import manifest
from ecgstudy.data.matlab5 import read_structure
from ecgstudy.data.record import read_header, read_record
from ecgstudy.errors import ConfigurationError, DataError
from ecgstudy.study import ledger


@pytest.mark.parametrize(("place", "value", "said"), [
    (313, 75, "elements stand where|declares|type"),    # a length in ECG.sex: scipy.io.loadmat ends in a segmentation fault
    (377, 128, "declares|cannot be|type|elements"),     # a length in ECG.age: a bus error there
])
def test_lengths_that_ended_the_process(tmp_path, place, value, said):
    target = Matlab5(tmp_path)
    data = bytearray(target.wholes[0])
    data[place] = value
    target.path.write_bytes(data)
    with pytest.raises(DataError, match=f"A0001.mat is not a whole MATLAB structure ECG.*({said})"):
        read_record(target.path)


@pytest.mark.parametrize("compressed", [False, True])
def test_the_own_reader_gives_what_scipy_gives(tmp_path, compressed):
    whole = {"sex": "Fémale", "age": 4, "data": heartbeat(300) / 1000, "code": np.arange(6, dtype=np.int16).reshape(2, 3)}
    savemat(tmp_path / "a.mat", {"other": 1.0, "ECG": whole}, do_compression=compressed)
    ours, theirs = read_structure(tmp_path / "a.mat", "ECG"), loadmat(tmp_path / "a.mat")["ECG"][0, 0]
    assert list(ours) == list(whole) and ours["sex"] == theirs["sex"].item() == "Fémale"
    for name in ("age", "data", "code"):
        np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.parametrize("content", [{"ECG": {"sex": "Male", "age": 1, "data": np.ones((12, 9)) * 1j}},
                                     {"ECG": {"sex": "Male", "age": [], "data": np.ones((12, 9))}},
                                     {"ECG": [{"sex": "Male", "age": 1, "data": np.ones((12, 9))}] * 2}, {"ECG": np.eye(3)}])
def test_complex_empty_and_other_arrays_are_refused(tmp_path, content):
    savemat(tmp_path / "A0001.mat", content)            # the imaginary part was once dropped in silence
    with pytest.raises(DataError, match="not a whole MATLAB structure"):
        read_record(tmp_path / "A0001.mat")


def test_a_compressed_variable_that_unpacks_to_more_than_any_recording_is_refused(tmp_path):
    body = zlib.compress(bytes(2**26 + 100))
    (tmp_path / "A0001.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\1IM" + struct.pack("<II", 15, len(body)) + body)
    with pytest.raises(DataError, match="cut short or longer than 67108864 bytes"):
        read_record(tmp_path / "A0001.mat")


def test_digits_of_other_scripts_and_endless_headers_are_refused(tmp_path):
    path = write_wfdb(tmp_path, "A0001", heartbeat(50))
    edit(path, "A0001 12 500 50", "A0001 12 500 ٥0")
    with pytest.raises(DataError, match="its first line is"):
        read_header(path)
    path.write_bytes(b"# " + bytes(70_000))
    with pytest.raises(DataError, match="longer than 65536 bytes and no header"):
        read_header(path)


@pytest.mark.parametrize(("old", "new", "said"), [
    (b'"CPSC2018"', b"&a [&b [x, x], *b]", "alias stands in line 2"),
    (b"6877", b"!!int ''", "not valid YAML"),           # IndexError in the YAML reader
    (b"6877", b"!!bool maybe", "not valid YAML"),       # KeyError
    (b"6877", b"!!timestamp soon", "not valid YAML"),   # AttributeError
    (b"6877", b"9" * 400, "recordings is 9999"),
    (b"[6, 144]", b"[6, .inf]", "seconds is"),
    (b"[6, 144]", b"[6, 1" + b"0" * 400 + b"]", "seconds is"),         # OverflowError
    (b'"CPSC2018"', b"[" * 50_000, "not valid YAML"),
])
def test_values_that_a_yaml_reader_cannot_make(tmp_path, old, new, said):
    target = Manifest(tmp_path)
    target.path.write_bytes(target.whole.replace(old, new, 1))
    with pytest.raises(ConfigurationError, match=said):
        manifest(target.path)


def test_a_few_lines_of_aliases_do_not_fill_memory(tmp_path):
    lines = ["a0: &a0 [x, x]", *(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 12))]
    (tmp_path / "data_manifest.yaml").write_text("\n".join(lines))
    with pytest.raises(ConfigurationError, match="alias stands in line 2"):
        manifest(tmp_path / "data_manifest.yaml")


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        files.read_json(tmp_path)
    with pytest.raises(ConfigurationError, match="directory"):
        manifest(tmp_path)


@pytest.mark.parametrize("change", [
    {"thresholds": [0.5] * 8}, {"thresholds": [None] * 9}, {"thresholds": [[0.5]] * 9}, {"thresholds": None}, {"thresholds": 0.5},
    {"predictions": {"file": "x" * 300, "sha256": ""}}, {"predictions": {"file": "../a.npz", "sha256": ""}},
    {"predictions": {"file": "a\0b", "sha256": ""}}, {"data": {"digest": float("nan")}}, {"data": {"digest": [[]] * 3}}])
def test_results_of_other_types(tmp_path, change):
    target = Result(tmp_path)
    target.path.write_text(json.dumps(target.result | change))
    with pytest.raises(DataError, match="a.json"):
        ledger.read_run(target.path)


@pytest.mark.parametrize("change", [{"weight_decay": float("nan")}, {"learning_rate": float("inf")}, {"settings": [[]]},
                                    {"seed": float("nan")}])
def test_experiments_that_have_no_key(tmp_path, change):
    target = Result(tmp_path)
    target.path.write_text(json.dumps(target.result | {"experiment": target.result["experiment"] | change}))
    with pytest.raises((DataError, ConfigurationError)):
        ledger.read_run(target.path)


@pytest.mark.parametrize(("name", "array"), [
    ("test_logits", np.zeros((12, 9), "U3")), ("test_targets", np.full((12, 9), 7)), ("test_targets", np.zeros((12, 9), "datetime64[s]")),
    ("test_logits", np.array(3.0)), ("test_patients", np.array(["P"] * 11)), ("validation_targets", np.full((12, 9), -1))])
def test_predictions_of_other_types(tmp_path, name, array):
    target = PredictionArchive(tmp_path)
    buffer = io.BytesIO()
    np.savez(buffer, **target.arrays | {name: array})
    target.predictions.write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match=f"a.npz: the {name.split('_')[0]} arrays are not logits"):
        ledger.Predictions.read(target.predictions)


def test_an_archive_that_unpacks_to_more_than_any_run_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("test_logits.npy", "w") as member:
            for _ in range(257):
                member.write(bytes(2**20))
    with pytest.raises(DataError, match="269484032 bytes when unpacked, expected at most 268435456"):
        ledger.Predictions.read(tmp_path / "a.npz")


@pytest.mark.parametrize("change", [{"fs": "100"}, {"fs": 0}, {"settings": []}, {"leads": []}, {"content_sha256": None}, {"dataset": 3}])
def test_a_prepared_folder_described_in_other_types(tmp_path, change):
    target = PreparedFolder(tmp_path)
    described = json.loads(target.wholes["prepared.json"]) | change
    del described["digest"]
    files.write_json(target.folder / "prepared.json", described | {"digest": files.digest(described)})
    with pytest.raises(DataError, match="prepare the data again"):
        open_prepared(target.folder)


@pytest.mark.parametrize("start", [b"\x93NUMPY\x01\x00\x76\x00{'descr': '<i2', (", b"\x93NUMPY\x01\x00\x76\x00", b"\x93NUMPY\x09\x00",
                                   b"PK\3\4"])
def test_array_headers_that_no_parser_reads(tmp_path, start):
    target = PreparedFolder(tmp_path)
    whole = target.wholes["signals.npy"]
    (target.folder / "signals.npy").write_bytes(start.ljust(128) + whole[128:])
    with pytest.raises(DataError, match="prepare the data again"):
        open_prepared(target.folder)
