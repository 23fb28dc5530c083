"""Costs on paper: the law of a length against counts, costs against plain arithmetic, and what is stored against what was measured."""

from __future__ import annotations

import json

import pytest

from ecgstudy import files
from ecgstudy.errors import ConfigurationError, DataError, RunError
from ecgstudy.study import scale, streaming
from ecgstudy.study.scale import Cost

ASKED = {"n_records": 1_000_000, "epochs": 30, "holter_hours": 24.0, "n_runs": 1000, "gpu_tflops": 180.0, "price_gpu_hour": 3.0,
         "price_core_hour": 0.05, "price_gb_month": 0.025}


@pytest.fixture(scope="module")
def law():
    return scale.length_law()


@pytest.fixture
def rates(monkeypatch):
    """From what is committed."""
    monkeypatch.setattr("ecgstudy.study.ledger.folder", lambda: files.repository() / "book" / "results")
    return scale.ask(ASKED)


@pytest.mark.parametrize("n_samples", [8, 1600, 5000])
def test_the_law_meets_counts_that_it_was_not_made_from(law, n_samples):
    assert law(n_samples) == pytest.approx(scale.counted(n_samples), rel=1e-9)


def test_only_attention_grows_with_the_square(law):
    """Two products of N x N x D a block: four blocks of 256 channels on a quarter of the samples, four of 512 on an eighth."""
    assert law.square == pytest.approx(2 * (4 * 256 / 4 ** 2 + 4 * 512 / 8 ** 2))


def test_a_million_records_by_plain_arithmetic(rates, law):
    files, prepared, gpu, core = scale.million(rates, law)
    assert files.n_bytes == 1_000_000 * 12 * 5000 * 2
    assert prepared.n_bytes == pytest.approx(1_000_000 * 12 * 1000 * 2, rel=0.01)           # and a table
    assert gpu.gpu_hours == pytest.approx(800_000 * 30 * 3 * 2 * scale.counted(1000) / 180e12 / 3600)
    assert core.core_hours == pytest.approx(800_000 * 30 * rates.training_seconds / 3600)
    assert Cost("all", 2e9, 3, 4).dollars(rates) == pytest.approx(2 * 0.025 + 3 * 0.05 + 4 * 3.0)


def test_a_long_recording(rates, law):
    windows, whole = scale.holter(rates, law)
    assert windows.n_macs == pytest.approx(8640 * (scale.counted(1000) + 6 * 512 ** 2))
    assert whole.n_macs > 500 * windows.n_macs and whole.held_bytes == 2 * (8_640_000 / 4) ** 2
    assert scale.holter_bytes(rates) == 8_640_000 * 12 * 2
    windows, whole = scale.holter(rates, law, 10 / 3600)
    assert whole.n_macs == pytest.approx(windows.n_macs, rel=0.01)


def test_many_runs(rates, law):
    results, weights, gpu, core = scale.many_runs(rates, law, 100)
    assert weights.n_bytes == 1000 * 12_451_321 * 4 and results.n_bytes == pytest.approx(1000 * rates.run_bytes)
    assert core.core_hours == pytest.approx(1000 * 100 * 30 * rates.training_seconds / 3600)
    assert gpu.gpu_hours / core.core_hours == pytest.approx(6 * scale.counted(1000) / 180e12 / rates.training_seconds)


def test_the_stored_sizes_keep_their_promise(rates):
    """Ten times PTB-XL: memory level, bytes exact, processor time in proportion."""
    small, middle, large = rates.streamed
    assert large.n_records == 10 * middle.n_records == 100 * small.n_records == 218_000
    assert all(each.signals_bytes == each.n_records * 24_000 + 128 for each in (*rates.streamed, *rates.published))
    assert large.peak_bytes - small.peak_bytes < 0.05 * large.signals_bytes
    assert 0.5 < large.cpu_seconds / (10 * middle.cpu_seconds) < 2


def test_sentences_carry_the_tables_numbers(rates, law):
    text = scale.in_words(rates, law, scale.PTBXL_TRAINING)
    windows, whole = scale.holter(rates, law)
    for part in ("24 GB", f"{whole.n_macs / windows.n_macs:,.0f} times", "1,000 runs", "17,440 records", "9.3 TB",
                 scale.duration(scale.million(rates, law)[2].gpu_hours)):
        assert part in text, part


@pytest.mark.parametrize(("name", "value"), [("n_records", 0), ("epochs", -1), ("gpu_tflops", float("inf")), ("price_gpu_hour", "3"),
                                             ("n_runs", True)])
def test_a_number_that_is_none_is_refused(name, value):
    with pytest.raises(ConfigurationError, match=f"{name} is {value!r}; it must be a number above 0"):
        scale.ask(ASKED | {name: value})


def test_an_empty_ledger_is_told():
    with pytest.raises(DataError, match="holds no finished run"):
        scale.ask(ASKED)


def test_missing_measurements_name_their_command(tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "stored", lambda: tmp_path / "scale.json")
    (tmp_path / "scale.json").write_text(json.dumps({"measured": []}))
    with pytest.raises(DataError, match="python -m ecgstudy.study.streaming"):
        scale.ask(ASKED)


def test_measuring_stores_each_size_once(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "stored", lambda: tmp_path / "scale.json")
    monkeypatch.setattr(streaming, "SIZES", {"simulator": (20, 40), "published": (20,)})
    monkeypatch.setattr(streaming, "training_seconds", lambda: {"cpu_seconds_per_record": 1.5})
    assert streaming.main([]) == 0 and streaming.main(["published"]) == 0
    stored = json.loads((tmp_path / "scale.json").read_text())
    assert [(each["form"], each["n_records"]) for each in stored["measured"]] == [("published", 20), ("simulator", 20), ("simulator", 40)]
    assert stored["training"] == {"cpu_seconds_per_record": 1.5} and stored["machine"]
    assert all(each["signals_bytes"] == each["n_records"] * 24_000 + 128 and each["peak_bytes"] > 1e7 for each in stored["measured"])


def test_wrong_parts_and_failures_are_told(tmp_path):
    with pytest.raises(ConfigurationError, match="unknown part 'trainig'; did you mean 'training'"):
        streaming.main(["trainig"])
    with pytest.raises(RunError, match="preparing 5 records .published. failed"):
        streaming.measure("published", 5, source=tmp_path / "absent")
