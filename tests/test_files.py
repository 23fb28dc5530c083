"""Files: whole or untouched, and locked between processes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from ecgstudy import files
from ecgstudy.errors import DataError, LockedError


def test_write_replaces_whole(tmp_path):
    path = tmp_path / "new folder" / "ü.json"
    files.write_json(path, {"b": 1, "a": [1.5, "é"]})
    files.write_json(path, {"b": 2})
    assert files.read_json(path) == {"b": 2} and os.listdir(path.parent) == ["ü.json"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt()])
def test_failed_write_keeps_the_old_file(tmp_path, error):
    path = files.write_text(tmp_path / "a.txt", "old")

    def write(file):
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        files.write_atomically(path, write)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_full_disk_is_a_data_error(tmp_path):
    path = files.write_text(tmp_path / "a.txt", "old")

    def write(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match="a.txt could not be written .No space left on device.*ECGSTUDY_HOME"):
        files.write_atomically(path, write)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_unwritable_folder_is_a_data_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not be written"):
        files.write_text(tmp_path / "file" / "a.txt", "x")


def test_killed_writer_leaves_the_old_file(tmp_path):
    path = files.write_text(tmp_path / "a.txt", "old")
    program = ("import os, signal, sys\nfrom pathlib import Path\nfrom ecgstudy import files\n"
               "def write(file):\n    file.write(b'half')\n    file.flush()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
               "files.write_atomically(Path(sys.argv[1]), write)\n")
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == -9
    assert path.read_text() == "old"


def test_not_a_number_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"auc": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe{}", b"", b"[" * 100_000])
def test_damaged_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match="a.json is not valid JSON"):
        files.read_json(tmp_path / "a.json")


def test_absent_json_is_named(tmp_path):
    with pytest.raises(DataError, match="b.json does not exist"):
        files.read_json(tmp_path / "b.json")


def test_digests(tmp_path):
    assert files.digest({"a": 1, "b": [2.5]}) == files.digest({"b": [2.5], "a": 1}) != files.digest({"a": 1, "b": [2]})
    assert files.sha256(files.write_text(tmp_path / "a", "abc")).startswith("ba7816bf8f01cfea")


def test_home_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGSTUDY_HOME", str(tmp_path))
    assert files.home() == tmp_path
    monkeypatch.delenv("ECGSTUDY_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert files.home() == tmp_path / "cache" / "ecgstudy"


def test_lock_excludes_and_names_its_holder(tmp_path):
    with files.lock(tmp_path / "x.lock"):
        with pytest.raises(LockedError, match=f"held by process {os.getpid()}"), files.lock(tmp_path / "x.lock"):
            pass
    with files.lock(tmp_path / "x.lock"):
        pass


def test_lock_of_a_dead_process_is_free(tmp_path):
    program = ("import os, signal, sys\nfrom pathlib import Path\nfrom ecgstudy import files\n"
               "with files.lock(Path(sys.argv[1])):\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path / "x.lock")], check=False).returncode == -9
    with files.lock(tmp_path / "x.lock"):
        pass
