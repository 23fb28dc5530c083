"""Suites measure what they say, skip a peer that is absent with the reason, and keep what they found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ecgstudy.bench import attention, inference, peers, preparation, recordings, simulator, suites
from ecgstudy.bench.rounds import Effort
from ecgstudy.cli import main
from ecgstudy.data.prepare import prepare
from ecgstudy.errors import ConfigurationError, DataError

ONCE = Effort(rounds=1, quick=True)


@pytest.fixture
def no_peers(monkeypatch):
    """As on a machine without torch_ecg and NeuroKit2."""
    monkeypatch.delenv("ECGSTUDY_PEERS", raising=False)
    for name in ("torch_ecg", "neurokit2"):
        monkeypatch.setitem(__import__("sys").modules, name, None)


@pytest.mark.parametrize(("form", "write", "units"), [("cpsc", recordings.write_cpsc, 1), ("ptbxl", recordings.write_ptbxl, 0)])
def test_preparing_gives_the_array_of_the_obvious_way_to_one_unit_and_faster(tmp_path, form, write, units):
    pytest.importorskip("wfdb")
    poly, fft = preparation.pace(form, form, write(tmp_path / form, 60), Effort(rounds=3))
    assert poly.ratio.median > 3 and fft.ratio.median > 3
    assert int(poly.note.split(": ")[1].split()[0]) <= units
    assert poly.ours / poly.peer == pytest.approx(poly.ratio.median, rel=0.5)


def test_the_obvious_way_reads_what_was_written(tmp_path):
    pytest.importorskip("wfdb")
    prepared = prepare("ptbxl", source=recordings.write_ptbxl(tmp_path / "ptbxl", 3), home=tmp_path / "home")
    obvious = preparation.ObviousWay(preparation._by_poly)(preparation._paths(tmp_path / "ptbxl", prepared))
    assert obvious.std() > 50 and np.array_equal(obvious, prepared.signals)


def test_a_peer_that_is_absent_is_named_and_nothing_else_is_lost(tmp_path, no_peers):
    (row,) = simulator.measure(ONCE, tmp_path)
    assert row.ours > 0 and row.ratio is None and row.met is None
    assert "neurokit2 cannot be imported" in row.skipped and "peers.txt" in row.skipped
    with pytest.raises(peers.Absent, match="torch_ecg cannot be imported"):
        peers.torch_ecg_network("resnet_18", 12, 9)


def test_attention_has_a_row_for_each_mechanism_and_length(tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "TOKENS", (50, 100))
    found = attention.curves(attention.measure(ONCE, tmp_path))
    assert set(found) == set(attention.ATTENTIONS) and all(set(line) == {50, 100} for line in found.values())
    assert len({line[50].peer for line in found.values()}) == 1


def test_a_run_is_kept_and_read_and_other_suites_stay(tmp_path, no_peers):
    path = tmp_path / "here.json"
    first = suites.run(["simulator"], ONCE)
    suites.keep(first, path)
    second = suites.run(["gpu"], ONCE)
    suites.keep(second, path)
    held = suites.read(path)
    assert held.of("simulator") == first.of("simulator") and held.of("gpu") == second.of("gpu")
    assert set(held.machine["suites"]) == {"simulator", "gpu"} and held.machine["versions"]["torch"]
    suites.keep(suites.run(["simulator"], ONCE), path)
    assert len(suites.read(path).of("simulator")) == 1


def test_an_unknown_suite_and_an_old_file_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="did you mean 'training'"):
        suites.run(["trainig"], ONCE)
    (tmp_path / "old.json").write_text(json.dumps({"format": 0}))
    with pytest.raises(DataError, match="format 0, expected 1"):
        suites.read(tmp_path / "old.json")


def test_the_command_shows_a_table_and_keeps_the_file(tmp_path, no_peers, capsys):
    assert main(["bench", "simulator", "--quick", "--rounds", "1", "--out", str(tmp_path / "b.json")]) == 0
    shown = capsys.readouterr().out
    assert "12 leads, 10 s at 100 Hz" in shown and "kept in" in shown and "not measured: simulator" in shown
    assert suites.read(tmp_path / "b.json").of("simulator")
    assert main(["bench", "simulater"]) == 2
    assert "did you mean 'simulator'" in capsys.readouterr().err


def test_inference_compares_one_record_and_a_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "BATCHES", (1, 2))
    rows = inference.measure(ONCE, tmp_path)
    assert [row.name for row in rows] == ["base, quick size: batch 1", "base, quick size: batch 2"]
    assert all(row.ratio.median > 0 for row in rows)
