"""Fetching from a local server that serves well, cuts, lies, and is not there."""

from __future__ import annotations

import errno
import hashlib
import http.server
import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ecgstudy import files
from ecgstudy.data import fetch as fetching
from ecgstudy.data import transfer
from ecgstudy.data.fetch import advice, available, fetch, fetch_source
from ecgstudy.data.manifest import source
from ecgstudy.errors import ConfigurationError, DataError, LockedError
from ecgstudy.progress import LineProgress

PREFIX = "/release/training/cpsc_2018/"
FIRST_ANSWER = transfer.FIRST_ANSWER
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` {path: bytes}; the sets below name the paths at which it misbehaves."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.asked = {}, []
        self.cut, self.busy, self.silent = {}, {}, set()        # path -> how often still
        self.short, self.slow, self.moved = set(), set(), {}    # says less than it sends; a block at a time; path -> new path
        self.ranges = True

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server_port}/release/"

    def paths(self):
        return [path for path, _ in self.asked]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_): ...

    def do_GET(self):
        server, begin = self.server, 0
        wanted = self.headers.get("Range")
        server.asked.append((self.path, wanted))
        if self.path in server.silent:
            time.sleep(3)
        if self.path in server.moved:
            return self.answer(302, b"", {"Location": server.moved[self.path]})
        if self.path not in server.content:
            return self.answer(404, b"no such file")
        if server.busy.get(self.path, 0) > 0:
            server.busy[self.path] -= 1
            return self.answer(503, b"busy")
        body, status, headers = server.content[self.path], 200, {}
        if wanted and server.ranges:
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if begin >= len(body):
                return self.answer(416, b"")
            status, headers = 206, {"Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"}
        body = body[begin:]
        if server.cut.get(self.path, 0) > 0:
            server.cut[self.path] -= 1
            self.answer(status, body[:len(body) // 2], headers, length=len(body))
            self.close_connection = True
            return None
        if self.path in server.short:
            return self.answer(status, body[:1000], headers)
        return self.answer(status, body, headers)

    def answer(self, status, body, headers=(), length=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for key, value in dict(headers).items():
            self.send_header(key, value)
        self.end_headers()
        step = 20_000 if self.path in self.server.slow else max(len(body), 1)
        for start in range(0, len(body), step):
            self.wfile.write(body[start:start + step])
            self.wfile.flush()
            time.sleep(0.02 if step < len(body) else 0)


def release(server, extra_lines=()):
    """Ten recordings in the layout of the Challenge, with a checksum list that holds more than the study uses."""
    content = {}
    for number in range(1, 11):
        for ending, size in ((".hea", 300), (".mat", 200_000)):
            name = f"g{(number - 1) // 5 + 1}/A{number:04d}{ending}"
            content[name] = hashlib.shake_128(name.encode()).digest(size)
    server.content = {PREFIX + name: body for name, body in content.items()}
    lines = [f"{hashlib.sha256(body).hexdigest()} training/cpsc_2018/{name}" for name, body in content.items()]
    lines += [f"{'0' * 64} training/ptb/p1/s0001.mat", f"{'1' * 64} LICENSE.txt", *extra_lines]
    server.content["/release/SHA256SUMS.txt"] = "\n".join(lines).encode()
    return content


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(transfer, "BACK_OFF", 0.01)


@pytest.fixture
def server():
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        running.files = release(running)
        yield running
        running.shutdown()


@pytest.fixture
def entry(server):
    return replace(source("cpsc"), base=server.base, mirrors=(), recordings=10)


def stored(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*")
            if p.is_file() and p.name not in (".fetch.lock", "SHA256SUMS-1.0.3.txt")}


def test_it_fetches_the_publisher_s_layout_and_nothing_else(server, tmp_path):
    folder = fetch("cpsc", tmp_path / "with spaces é", base=server.base.rstrip("/"))
    assert folder == tmp_path / "with spaces é"
    assert stored(folder) == server.files


def test_the_folder_follows_the_environment(server, tmp_path, monkeypatch):
    monkeypatch.setenv("ECGSTUDY_DATA", str(tmp_path))
    assert fetch("cpsc", base=server.base) == tmp_path / "cpsc2018"


def test_a_complete_folder_needs_no_network(server, entry, tmp_path):
    fetch_source(entry, tmp_path)
    asked = len(server.asked)
    assert fetch_source(entry, tmp_path) == tmp_path
    assert len(server.asked) == asked


def test_only_what_is_missing_is_fetched_again(server, entry, tmp_path):
    fetch_source(entry, tmp_path)
    (tmp_path / "g2/A0007.mat").unlink()
    assert not available(entry, tmp_path)
    server.asked.clear()
    fetch_source(entry, tmp_path)
    assert server.paths() == ["/release/SHA256SUMS.txt", PREFIX + "g2/A0007.mat"]
    assert stored(tmp_path) == server.files and available(entry, tmp_path)


def test_the_kept_list_can_be_checked_by_hand(server, entry, tmp_path):
    fetch_source(entry, tmp_path)
    lines = (tmp_path / "SHA256SUMS-1.0.3.txt").read_text().splitlines()
    assert len(lines) == 20
    assert all(files.sha256(tmp_path / name) == value for value, name in (line.split("  ") for line in lines))


def test_a_download_cut_in_the_middle_is_resumed_where_it_broke_off(server, entry, tmp_path):
    server.cut[PREFIX + "g1/A0003.mat"] = 2
    fetch_source(entry, tmp_path)
    assert stored(tmp_path) == server.files
    offsets = [int(r[6:-1]) if r else 0 for path, r in server.asked if path.endswith("A0003.mat")]
    lost = [100_000 - offsets[1], (200_000 + offsets[1]) // 2 - offsets[2]]       # the server sent half of the rest each time
    assert len(offsets) == 3 and all(0 <= bytes_lost < transfer.BLOCK for bytes_lost in lost)


def test_a_download_that_keeps_breaking_off_is_resumed_by_the_same_command(server, entry, tmp_path):
    server.cut[PREFIX + "g1/A0003.mat"] = transfer.ATTEMPTS
    with pytest.raises(DataError, match="g1/A0003.mat could not be fetched.*data fetch cpsc"):
        fetch_source(entry, tmp_path, workers=1)
    received = (tmp_path / "g1/A0003.mat.part").stat().st_size
    assert received > 100_000 and not (tmp_path / "g1/A0003.mat").exists()
    server.asked.clear()
    fetch_source(entry, tmp_path)
    assert (PREFIX + "g1/A0003.mat", f"bytes={received}-") in server.asked
    assert PREFIX + "g1/A0001.mat" not in server.paths()
    assert stored(tmp_path) == server.files


def test_ctrl_c_leaves_a_folder_that_the_same_command_completes(server, entry, tmp_path, monkeypatch):
    class Interrupted(LineProgress):
        def update(self, n=1):
            if self.n >= 4:
                raise KeyboardInterrupt
            super().update(n)

    with monkeypatch.context() as patch:
        patch.setattr(fetching, "progress", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch_source(entry, tmp_path, workers=2)
    assert not available(entry, tmp_path)
    assert all(stored(tmp_path)[name] == body for name, body in server.files.items() if (tmp_path / name).exists())
    fetch_source(entry, tmp_path)
    assert stored(tmp_path) == server.files


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_of_other_bytes_is_thrown_away(server, entry, tmp_path, ranges):
    server.ranges = ranges              # without them the server sends the whole file again: restarted, not appended
    (tmp_path / "g1").mkdir()
    (tmp_path / "g1/A0001.mat.part").write_bytes(b"x" * 50_000)
    (tmp_path / "g1/A0002.mat.part").write_bytes(b"x" * 300_000)        # longer than the file
    fetch_source(entry, tmp_path)
    assert stored(tmp_path) == server.files


def test_a_server_that_lies_about_the_length_is_not_believed(server, entry, tmp_path):
    """It says and sends 1,000 bytes, as if that were the whole file: only the hash can tell."""
    server.short.add(PREFIX + "g1/A0003.mat")
    with pytest.raises(DataError, match="A0003.mat"):
        fetch_source(entry, tmp_path)
    assert not (tmp_path / "g1/A0003.mat").exists() and not available(entry, tmp_path)
    server.short.clear()
    fetch_source(entry, tmp_path)
    assert stored(tmp_path) == server.files


def test_a_redirection_is_followed(server, entry, tmp_path):
    server.content["/elsewhere.mat"] = server.content[PREFIX + "g2/A0007.mat"]
    server.moved[PREFIX + "g2/A0007.mat"] = "/elsewhere.mat"
    fetch_source(entry, tmp_path)
    assert stored(tmp_path) == server.files and "/elsewhere.mat" in server.paths()


def test_a_slow_server_is_waited_for(server, entry, tmp_path, monkeypatch):
    """Slower in all than the time-out between two blocks, which is what counts."""
    monkeypatch.setattr(transfer, "TIMEOUT", (5.0, 0.15))
    server.slow.add(PREFIX + "g1/A0004.mat")
    fetch_source(entry, tmp_path)
    assert stored(tmp_path) == server.files and server.paths().count(PREFIX + "g1/A0004.mat") == 1


def test_a_busy_server_is_asked_again(server, entry, tmp_path):
    server.busy[PREFIX + "g1/A0002.hea"] = 2
    fetch_source(entry, tmp_path)
    assert server.paths().count(PREFIX + "g1/A0002.hea") == 3


def test_a_missing_file_is_not_asked_for_again(server, entry, tmp_path):
    del server.content[PREFIX + "g1/A0002.hea"]
    with pytest.raises(DataError, match="404"):
        fetch_source(entry, tmp_path)
    assert server.paths().count(PREFIX + "g1/A0002.hea") == 1


def test_a_web_page_instead_of_a_file_is_refused_and_shown(server, entry, tmp_path):
    server.content[PREFIX + "g1/A0004.mat"] = PAGE
    with pytest.raises(DataError, match="sends a web page.*DOCTYPE html"):
        fetch_source(entry, tmp_path)
    assert not list(tmp_path.glob("g1/A0004.mat*"))


def test_a_web_page_instead_of_the_list_is_refused_before_writing(server, entry, tmp_path):
    server.content["/release/SHA256SUMS.txt"] = b"\n  " + PAGE
    with pytest.raises(DataError, match="sends a web page"):
        fetch_source(entry, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_wrong_hash_is_refused(server, entry, tmp_path):
    server.content[PREFIX + "g1/A0004.mat"] = b"x" * 200_000
    with pytest.raises(DataError, match="g1/A0004.mat.*has SHA-256 .* but the list says"):
        fetch_source(entry, tmp_path)
    assert not list(tmp_path.glob("g1/A0004.mat*"))


def test_the_mirror_is_tried_for_a_list_and_for_a_file(server, entry, tmp_path):
    with Server() as bad:
        threading.Thread(target=bad.serve_forever, args=(0.02,), daemon=True).start()
        bad.content = server.content | {PREFIX + "g1/A0004.mat": b"x" * 200_000, "/release/SHA256SUMS.txt": PAGE}
        fetch_source(replace(entry, base=bad.base, mirrors=(server.base,)), tmp_path)
        bad.shutdown()
    assert stored(tmp_path) == server.files
    assert server.paths() == ["/release/SHA256SUMS.txt", PREFIX + "g1/A0004.mat"]


@pytest.mark.parametrize(("line", "said"), [
    (f"{'0' * 64} ../evil", "climbs out"),
    (f"{'0' * 64} training/cpsc_2018/g1/../../../evil.mat", "climbs out"),
    (f"{'0' * 64} /etc/evil", "absolute"),
    (f"{'0' * 64} training/cpsc_2018/g1/A0001.hea", "second, different"),
    ("not a checksum", "expected a SHA-256"),
])
def test_a_list_that_cannot_be_trusted_is_refused_before_writing(server, entry, tmp_path, line, said):
    release(server, [line])
    with pytest.raises(DataError, match=said):
        fetch_source(entry, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_list_cut_short_or_of_something_else_is_refused(server, entry, tmp_path):
    server.cut["/release/SHA256SUMS.txt"] = 1
    with pytest.raises(DataError, match="broke off"):
        fetch_source(entry, tmp_path)
    server.content["/release/SHA256SUMS.txt"] = f"{'0' * 64} LICENSE.txt".encode()
    with pytest.raises(DataError, match="none of them"):
        fetch_source(entry, tmp_path)


def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_without_a_network_it_says_within_seconds_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGSTUDY_DATA", str(tmp_path))
    began = time.monotonic()
    with pytest.raises(DataError) as error:
        fetch("cpsc", base=f"http://127.0.0.1:{closed_port()}/")
    assert time.monotonic() - began < 10
    said = str(error.value)
    assert str(tmp_path / "cpsc2018") in said and "does not exist" in said
    assert "python -m ecgstudy data fetch cpsc" in said and "-p dataset synthetic" in said
    assert "cpsc2018/g1/A0001.hea" in said and "ECGSTUDY_DATA" in said
    assert not (tmp_path / "cpsc2018").exists()


def test_a_server_that_never_answers_is_given_up_within_seconds(server, entry, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "FIRST_ANSWER", 0.3)
    server.silent.add("/release/SHA256SUMS.txt")
    began = time.monotonic()
    with pytest.raises(DataError, match="did not answer within 0.3 s"):
        fetch_source(entry, tmp_path)
    assert time.monotonic() - began < 2
    assert FIRST_ANSWER * len(source("cpsc").addresses()) < 10


def test_a_damaged_file_is_named_and_replaced_only_when_asked(server, entry, tmp_path):
    fetch_source(entry, tmp_path)
    (tmp_path / "g1/A0001.mat").write_bytes(b"damaged")
    (tmp_path / "g1/A0002.mat").unlink()
    with pytest.raises(DataError, match="1 of 20 files.*g1/A0001.mat.*--repair"):
        fetch_source(entry, tmp_path)
    assert (tmp_path / "g1/A0001.mat").read_bytes() == b"damaged"
    fetch_source(entry, tmp_path, repair=True)
    assert stored(tmp_path) == server.files


def test_a_disk_that_is_too_small_is_refused_before_writing(server, entry, tmp_path):
    with pytest.raises(DataError, match="needs about .* but .* free"):
        fetch_source(replace(entry, approximate_bytes=10**18), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_disk_that_fills_up_leaves_no_part_and_is_named(server, entry, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(transfer, "blocks", full)
    with pytest.raises(DataError, match="No space left on device.*1.3 GB.*ECGSTUDY_DATA"):
        fetch_source(entry, tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_that_cannot_be_written_is_named(server, entry, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written to .*file/cpsc2018"):
        fetch_source(entry, tmp_path / "file" / "cpsc2018")


def test_two_fetches_into_one_folder(server, entry, tmp_path):
    with files.lock(tmp_path / ".fetch.lock"), pytest.raises(LockedError):
        fetch_source(entry, tmp_path)


def test_a_copy_placed_by_hand_counts_as_available(entry, tmp_path):
    assert not available(entry, tmp_path)
    (tmp_path / "g1").mkdir()
    (tmp_path / "g1/A0001.hea").write_text("")
    assert available(entry, tmp_path)


def test_the_advice_tells_what_has_to_be_placed_by_hand(tmp_path):
    assert "Diagnostics.xlsx" in advice(source("chapman"), tmp_path)


def test_a_release_with_its_publisher_s_own_list(server, tmp_path):
    """Ten recordings of LUDB as they stand on disk, against the checksums that PhysioNet publishes."""
    copy = Path(os.environ.get("ECGSTUDY_DATA", "")) / "ludb"
    if "ECGSTUDY_DATA" not in os.environ or not (copy / "SHA256SUMS.txt").is_file():
        pytest.skip("needs LUDB with its SHA256SUMS.txt in ECGSTUDY_DATA")
    lines = (copy / "SHA256SUMS.txt").read_text().splitlines(keepends=True)
    server.content = {f"/release/{p.relative_to(copy)}": p.read_bytes() for p in (copy / "data").glob("10?.*")}
    server.content["/release/SHA256SUMS.txt"] = "".join(line for line in lines if " data/10" in line and "data/10." not in line
                                                        or "LICENSE" in line).encode()
    folder = fetch_source(replace(source("ludb"), base=server.base, mirrors=(), recordings=10), tmp_path)
    assert len(list(folder.glob("data/10?.hea"))) == 10
    assert len(list(folder.glob("data/*"))) == 10 * 14


def test_settings_are_checked_before_any_work(tmp_path):
    with pytest.raises(ConfigurationError, match="did you mean 'cpsc'"):
        fetch("cpsc2", tmp_path)
    with pytest.raises(ConfigurationError, match="workers is 0"):
        fetch("cpsc", tmp_path, workers=0)
