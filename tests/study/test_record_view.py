"""Page 01's view to measure in: its records are the simulator's to the microvolt, its words are true, and it asks nothing of a network."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from ecgstudy.data.labels import CPSC_CLASSES
from ecgstudy.data.synthetic import Settings, simulate
from ecgstudy.errors import ConfigurationError
from ecgstudy.leads import LEADS
from ecgstudy.study import record_view
from ecgstudy.study.record_list import record_list


@pytest.fixture(scope="module")
def simulation():
    return simulate(4, range(9), settings=Settings(scheme="balanced"))


def told(text):
    return json.loads(re.search(r"data = (\{.*\});", text)[1])


def unpacked(packed, n_samples):
    """Twelve leads in mV, byte by byte, as the script does."""
    values, value, shift = [], 0, 0
    for byte in base64.b64decode(packed):
        value, shift = value + (byte & 127) * 2 ** shift, shift + 7
        if byte < 128:
            values.append(-(value + 1) // 2 if value % 2 else value // 2)
            value = shift = 0
    uv = dict(zip(record_view.STORED, np.cumsum(np.reshape(values, (-1, n_samples)), axis=1), strict=True))
    uv["III"], uv["aVR"] = uv["II"] - uv["I"], -(uv["I"] + uv["II"]) / 2
    uv["aVL"], uv["aVF"] = (uv["I"] - uv["III"]) / 2, (uv["II"] + uv["III"]) / 2
    return np.array([uv[lead] for lead in LEADS]) / 1000


def test_every_lead_comes_back_to_a_microvolt(simulation):
    for record, signal in zip(record_view.packed(simulation)["records"], simulation.signals, strict=True):
        np.testing.assert_allclose(unpacked(record["packed"], 1000), signal, rtol=0, atol=1.01e-3)


@pytest.mark.parametrize("microvolts", [0, 1, -1, 63, 64, -64, -65, 8191, 8192, -8193, 32767, -32768])
def test_steps_of_every_size_come_back_exactly(microvolts):
    signal = np.zeros((12, 5))
    signal[:, 2] = microvolts / 1000
    found = unpacked(record_view.pack(signal), 5)[[LEADS.index(lead) for lead in record_view.STORED]]
    np.testing.assert_array_equal(np.round(1000 * found), np.round(1000 * signal[:8]))


def test_the_view_holds_the_listed_records_and_asks_for_nothing():
    text = record_view.view()
    assert len(text.encode()) <= record_view.LARGEST and text == record_view.view()
    assert not re.search(r"https?:|src=|@import|url\(|fetch|__[A-Z]+__", text)
    assert "<noscript>" in text and 'aria-live="polite"' in text
    data = told(text)
    assert [record["name"] for record in data["records"]] == [f"{name} (record {i})" for i, name in enumerate(CPSC_CLASSES)]
    assert data["records"][data["first"]]["name"] == "PVC (record 6)"
    assert data["leads"] == list(LEADS) and data["fs"] == 100 and data["seconds"] == 10
    other = record_list("attention_maps")["synthetic"]
    rule = record_list("record_view")
    assert (rule["seed"], rule["scheme"]) == (other["seed"], other["scheme"])               # page 10 shows three of them
    assert {entry["index"] for entry in other["records"].values()} <= set(rule["records"])


def test_beats_and_spans_are_the_simulators(simulation):
    masks = simulation.masks()
    t = np.arange(1000) * 10
    for row, record in enumerate(record_view.packed(simulation)["records"]):
        beats = simulation.beats[simulation.beats["record"] == row]
        np.testing.assert_allclose(record["r"], 1000 * beats["r"], atol=0.5)
        for name, found in zip(record_view.WAVES, record["waves"], strict=True):
            np.testing.assert_allclose(np.array(found, float), 1000 * beats[name], atol=0.5)       # None is NaN
        within, around = (sum(((t >= begin - more) & (t <= end + more) for begin, end in record["spans"]), np.zeros(1000, bool))
                          for more in (-0.5, 0.5))                                         # half a millisecond, by rounding
        assert not (within & ~masks[row].any(0)).any() and not (masks[row].any(0) & ~around).any()
        assert record["shows"] == [lead for lead, shows in zip(LEADS, simulation.leads[row].any(0), strict=True) if shows]


def test_words_say_who_when_and_where(simulation):
    records = {record["name"].split()[0]: record for record in record_view.packed(simulation)["records"]}
    drawn = simulation.parameters.iloc[2]
    assert f"of {drawn['age']:.0f} years" in records["I-AVB"]["about"] and f"PR {1000 * drawn['pr']:.0f} ms" in records["I-AVB"]["about"]
    assert "PR" not in records["AF"]["about"] and "QRS" in records["AF"]["about"]             # no P wave leads in atrial fibrillation
    assert records["Normal"]["truth"] == "Normal: no part of the record is evidence of a finding." and records["Normal"]["spans"] == []
    begin, end = simulation.spans.loc[simulation.spans["label"] == "PAC", ["start", "end"]].to_numpy().ravel()
    assert records["PAC"]["truth"] == f"PAC shows from {begin:.2f} to {end:.2f} s, on all twelve leads."
    n = (simulation.spans["label"] == "RBBB").sum()
    assert records["RBBB"]["truth"] == f"RBBB shows in {n} spans of time, on 4 of twelve leads (I, V1, V2, V6)."


def test_no_text_can_leave_the_script(simulation):
    evil = "</script><b onclick='x'>&amp;"
    text = record_view.fragment(replace(simulation, classes=(evil, *CPSC_CLASSES[1:])))
    assert text.count("</script>") == 1 and "<b onclick" not in text
    assert told(text)["records"][0]["name"] == f"{evil} (record 0)"


def test_what_is_too_large_is_refused(simulation):
    fine = simulate(4, range(9), fs=250, settings=Settings(scheme="balanced"))
    with pytest.raises(ConfigurationError, match=r"9 records at 250 Hz take \d+,\d+ bytes, more than 150,000; show fewer"):
        record_view.fragment(fine)
