"""R-peaks against the simulator's truth and LUDB's cardiologists, within the 150 ms that testing standards grant; kept once."""

import os

import numpy as np
import pytest

from ecgstudy.data import beats as module
from ecgstudy.data.beats import MOST, beats, find_beats
from ecgstudy.data.synthetic import simulate
from ecgstudy.errors import AbsentError


def matched(found, true, tolerance):
    """How many true peaks have a found one within the tolerance."""
    return sum(np.abs(found - each).min(initial=10**6) <= tolerance for each in true)


def test_finds_the_simulators_beats():
    """Normal and fibrillating records: nearly every QRS of the truth, and hardly one that is not there."""
    simulation = simulate(0, range(40))
    hits = truths = founds = 0
    for record in range(40):
        spans = simulation.beats[simulation.beats["record"] == record]
        true = (spans["r"].to_numpy() * 100).round()
        true = true[(true > 20) & (true < 980)]
        found = find_beats(simulation.signals[record], 100)
        hits, truths, founds = hits + matched(found, true, 15), truths + len(true), founds + len(found)
    assert hits / truths > 0.95 and founds / truths < 1.08


def test_flat_and_missing_leads_have_no_beats():
    assert len(find_beats(np.zeros((12, 1000)), 100)) == 0
    assert len(find_beats(np.ones((1, 1000)), 100, ["V6"])) == 0


def test_peaks_are_found_once_and_kept(tiny, monkeypatch):
    found = beats(tiny)
    assert found.shape == (len(tiny.table), MOST) and found.dtype == np.int16
    assert all((np.diff(row[row >= 0]) > 0).all() and (row[(row >= 0).sum():] == -1).all() for row in found)
    monkeypatch.setattr(module, "find_beats", None)        # a second search would fail
    assert np.array_equal(beats(tiny), found)


def test_without_the_detector_it_says_where_to_go(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sleepecg", None)
    with pytest.raises(AbsentError, match="needs the package sleepecg"):
        find_beats(np.random.default_rng(0).normal(size=(12, 1000)), 100)


@pytest.mark.skipif(not os.environ.get("ECGSTUDY_DATA"), reason="set ECGSTUDY_DATA to a folder with ludb/ to test on LUDB")
def test_finds_what_cardiologists_marked_in_ludb():
    from pathlib import Path

    from ecgstudy.data.ludb import boundaries, read_ludb_record

    folder = Path(os.environ["ECGSTUDY_DATA"]) / "ludb"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    hits = truths = 0
    for name in ("1", "2", "8", "20", "50", "100"):
        record, waves = read_ludb_record(folder / "data" / f"{name}.hea"), boundaries(name, folder)
        found = find_beats(record.signal, record.fs)
        true = waves.query("lead == 'II' and wave == 'QRS'")["peak"].dropna().to_numpy() * record.fs
        hits, truths = hits + matched(found, true, 0.15 * record.fs), truths + len(true)
    assert truths > 40 and hits / truths > 0.97
