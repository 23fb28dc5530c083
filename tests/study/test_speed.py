"""Preparing gives the array of the obvious way to one unit, in a fraction of its time."""

from __future__ import annotations

import time

import pytest

from ecgstudy.errors import ConfigurationError
from ecgstudy.study import speed


@pytest.mark.parametrize(("form", "write", "units"), [("cpsc", speed.write_cpsc, 1), ("ptbxl", speed.write_ptbxl, 0)])
def test_the_same_array_to_one_unit_and_faster(tmp_path, monkeypatch, form, write, units):
    pytest.importorskip("wfdb")
    monkeypatch.setattr(time, "perf_counter", time.process_time)       # what others do on this machine does not count
    pace = speed.measure(form, form, write(tmp_path / form, 60), rounds=3)
    assert pace.n_records == 60 and pace.difference <= units
    assert pace.ratio > 3 and pace.ratio_fft > 3


def test_the_report_names_forms_and_ratios():
    text = speed.report([speed.Pace("CPSC form", 400, 1234.4, 100.2, 12.34, 1, 200, 6.17, 88)])
    assert text.splitlines()[1].split() == ["CPSC", "form", "400", "1234", "100", "12.3", "1", "200", "6.2", "88"]


@pytest.mark.parametrize("words", [["many"], ["1", "2"], ["-5"]])
def test_wrong_words_are_refused(words):
    with pytest.raises(ConfigurationError, match="usage"):
        speed.main(words)
