"""A probe measures what it says, on the validation fold alone, and what is stored cannot be bent."""

import dataclasses

import numpy as np
import pytest

from ecgstudy import files
from ecgstudy.data.splits import split
from ecgstudy.errors import ConfigurationError, DataError, RunError
from ecgstudy.study import ledger, probed, probes, runs
from ecgstudy.study.axis_page import AxisPage, Comparison
from ecgstudy.study.comparison import compare
from ecgstudy.study.probes import CLEAN, Probe
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request
from ecgstudy.study.sweep import Outcome
from ecgstudy.study.variants import axis
from ecgstudy.train.checkpoint import save_weights

PAGE = "04_attention_ablation"
SHIFT, LONGER = Probe("shift", 2.0), Probe("length", 15.0)


@pytest.fixture
def found(run, tiny, monkeypatch):
    """A compared page of one run, whose data are the tiny ones."""
    monkeypatch.setattr(probes, "at_hand", lambda dataset, size: tiny)
    asked = Request(PAGE, "synthetic", "nine", profile("smoke"), (0,), {"attentions": ("mhsa",)})
    return Comparison(AxisPage(axis("attention_ablation"), asked), Outcome([run]), compare([run], {run.experiment: "mhsa"}, "mhsa", 50))


RECORD = np.arange(1.0, 1001.0, dtype=np.float32)[None, None]


def test_shift_moves_what_blank_leaves_in_place():
    moved, kept = probes.shift(RECORD, 100, 2.0), probes.blank(RECORD, 100, 2.0)
    assert moved.shape == kept.shape == RECORD.shape
    np.testing.assert_array_equal(moved[0, 0], [*range(201, 1001), *[0] * 200])
    np.testing.assert_array_equal(kept[0, 0], [*[0] * 200, *range(201, 1001)])


def test_length_adds_zeros_at_the_end():
    longer = probes.length(RECORD, 100, 15.0)
    assert longer.shape == (1, 1, 1500) and not longer[..., 1000:].any()
    np.testing.assert_array_equal(longer[..., :1000], RECORD)


@pytest.mark.parametrize(("band", "kept", "gone"), [((10, 20), (3, 35), (14,)), ((0, 5), (10, 35), (1,)), ((20, 50), (3, 8), (35,))])
def test_band_stop_removes_its_band_and_nothing_else(band, kept, gone):
    time = np.arange(1000) / 100
    for frequencies, share in ((kept, (0.9, 1.1)), (gone, (0, 0.1))):
        for hertz in frequencies:
            tone = np.sin(2 * np.pi * hertz * time)[None, None].astype(np.float32)
            middle = probes.band_stop(tone, 100, band)[..., 200:800]
            assert share[0] <= middle.std() / tone[..., 200:800].std() <= share[1]


def test_noise_is_the_simulators_grows_with_its_factor_and_leaves_padding_alone(tiny):
    short = dataclasses.replace(tiny, table=tiny.table.assign(n_samples=[600, *[1000] * (len(tiny.table) - 1)]))
    clean = np.asarray(tiny.signals, np.float32)
    one, five = (probes.changed(short, Probe("noise", factor)).signals - clean for factor in (1, 5))
    np.testing.assert_allclose(five, 5 * one, atol=0.05)
    assert not one[0, :, 600:].any() and one[1, :, 600:].any()
    np.testing.assert_allclose(one[:, 2], one[:, 1] - one[:, 0], atol=0.05)                  # III = II - I
    assert 10 < np.median(one[1:, 6:].std(axis=-1)) < 120 and not np.allclose(one[1], one[2])
    with pytest.raises(ConfigurationError, match="noise is 0 times"):
        probes.changed(tiny, Probe("noise", 0))


def test_band_stop_leaves_padding_alone(tiny):
    short = tiny.table.assign(n_samples=[600, *[1000] * (len(tiny.table) - 1)])
    fold = dataclasses.replace(tiny, signals=np.where(np.arange(1000) < short["n_samples"].to_numpy()[:, None, None], tiny.signals, 0),
                               table=short)
    made = probes.changed(fold, Probe("band_stop", (5, 10))).signals
    assert not made[0, :, 600:].any() and made[1, :, 600:].any()
    np.testing.assert_allclose(made[0, :, :600], probes.band_stop(fold.signals[0, :, :600], 100, (5, 10)), atol=1e-3)


@pytest.mark.parametrize(("kind", "value", "message"), [
    ("shift", 10.0, "cannot be taken"), ("length", 8.0, "make it longer"), ("band_stop", (20, 10), "low < high"),
    ("band_stop", (0, 60), "leaves something")])
def test_a_change_that_cannot_be_made_is_refused(kind, value, message):
    with pytest.raises(ConfigurationError, match=message):
        probes.SIGNAL_CHANGES[kind](RECORD, 100, value)


def test_a_probe_is_hashable_and_survives_json():
    for probe in (CLEAN, SHIFT, Probe("band_stop", [1, 5]), Probe("settings", {"kernels": [3, 3], "keep": 0.5})):
        assert Probe(*probed._plain(probe.to_json())) == probe and hash(probe)
    with pytest.raises(ConfigurationError, match="did you mean 'shift'"):
        Probe("shfit", 1)
    with pytest.raises(ConfigurationError, match="take a dictionary"):
        Probe("settings", 1)


def test_the_clean_probe_is_the_run_and_the_test_fold_stays_shut(run, tiny, monkeypatch):
    closed = split(tiny, run.experiment.labels)
    monkeypatch.setattr(probes, "split", lambda *a: dataclasses.replace(closed, _test=None))
    entry = probes.probe(run, [SHIFT, LONGER], tiny)
    assert set(entry.records) == set(tiny.table["record_id"][tiny.table["fold"] == 9])
    np.testing.assert_allclose(entry.logits[0], run.predictions.validation_logits, rtol=1e-3, atol=1e-4)        # half precision
    assert entry.macro_auroc[0] == pytest.approx(run.result["scores"]["validation"]["macro_auroc"], abs=2e-3)
    assert entry.logits.shape == (3, *run.predictions.validation_logits.shape)
    assert not np.allclose(entry.logits[0], entry.logits[1]) and not np.allclose(entry.logits[0], entry.logits[2])


def test_settings_are_built_over_the_runs_own_and_must_fit_its_weights(run, tiny):
    entry = probes.probe(run, [Probe("settings", {"heads": 2})], tiny)
    assert not np.allclose(entry.logits[0], entry.logits[1])
    with pytest.raises(RunError, match="does not hold this model's weights"):
        probes.probe(run, [Probe("settings", {"attention": "window"})], tiny)           # its bias was never learnt


def test_other_data_and_other_weights_are_refused(run, tiny, make_tiny):
    with pytest.raises(DataError, match="other data"):
        probes.probe(run, [SHIFT], make_tiny("other", seed=3))
    model = runs.build(dataclasses.replace(run.experiment, seed=5), tiny.spec)
    for weight in model.head.parameters():
        weight.data.mul_(20)
    save_weights(probes.weights(run), model)
    with pytest.raises(DataError, match="away from the stored ones"):
        probes.probe(run, [SHIFT], tiny)


def test_a_page_measures_then_reads_then_publishes_then_needs_no_weights(found, run, monkeypatch):
    first = probes.probe_all(found, [SHIFT])
    assert list(first.groups) == ["mhsa"] and not first.missing and first.gaps() == ""
    monkeypatch.setattr(probes, "probe", lambda *a, **k: pytest.fail("it measured again"))
    assert probes.probe_all(found, [SHIFT]).groups["mhsa"][0].result == first.groups["mhsa"][0].result
    published = probed.publish(run, PAGE)
    assert published.parent == ledger.folder() / "probes" and published.with_suffix(".npz").is_file()
    for path in (runs.folder() / run.key).iterdir():
        path.unlink()
    run.__dict__["predictions"] = run.predictions
    assert probes.probe_all(found, [SHIFT]).groups["mhsa"][0].key == run.key
    lacking = probes.probe_all(found, [SHIFT, LONGER])
    assert lacking.groups == {} and "`mhsa` seed 0" in lacking.gaps()


def test_without_data_the_gap_is_named(found, monkeypatch):
    monkeypatch.setattr(probes, "_data", lambda found: None)
    assert list(probes.probe_all(found, [SHIFT]).missing) == ["mhsa"]


def test_what_is_stored_reads_back_whole_and_cannot_be_bent(run, tiny, tmp_path):
    path = probed.save(probes.probe(run, [SHIFT], tiny), tmp_path / "kept", PAGE)
    assert path.name.endswith(f"{run.key[:12]}-{PAGE}.json")
    entry, text, arrays = probed.read(path), path.read_text(), path.with_suffix(".npz")
    probed.require_of(run, entry)
    assert [Probe(*told) for told in entry.result["probes"]] == [CLEAN, SHIFT]
    told = files.read_json(path)
    for change in ({"macro_auroc": [0.9, 0.9]}, {"key": "0" * 64}, {"probes": [["clean", 0.0], ["shift", 3.0]]}):
        files.write_json(path, told | change)
        with pytest.raises(DataError, match="was edited"):
            probed.read(path)
        sealed = {name: value for name, value in (told | change).items() if name != "digest"}
        files.write_json(path, sealed | {"digest": files.digest(sealed)})       # edited by one who also makes the digest anew
        if "probes" not in change:
            with pytest.raises(DataError, match="not those of its logits"):
                probed.read(path)
    for damage in ("", "[]", "{}", '{"schema": 1}', text.replace('"schema": 1', '"schema": 2')):
        path.write_text(damage)
        with pytest.raises(DataError):
            probed.read(path)
    path.write_text(text)
    arrays.write_bytes(arrays.read_bytes()[:-1])
    with pytest.raises(DataError, match="not the file that was scored"):
        probed.read(path)


def test_differences_are_paired(run, tiny):
    entry = probes.probe(run, [SHIFT], tiny)
    scores = probes.macro_auroc({"a": [entry], "b": [entry, entry]}, 100)
    assert scores["a"][CLEAN].estimate == pytest.approx(entry.macro_auroc[0])
    change = scores["a"][SHIFT] - scores["a"][CLEAN]
    assert change.estimate == pytest.approx(entry.macro_auroc[1] - entry.macro_auroc[0])
    nothing = (scores["b"][SHIFT] - scores["b"][CLEAN]) - change
    assert abs(nothing.interval.low) < 1e-12 > abs(nothing.interval.high)           # the same run on the same draws


def test_a_new_recording_is_of_the_same_simulated_patients(tmp_path):
    from ecgstudy.data.synthetic.prepared import prepare_synthetic

    fold = prepare_synthetic(tmp_path / "simulated", 12)
    np.testing.assert_array_equal(probes.changed(fold, Probe("recording", 10.0)).signals, fold.signals)
    assert probes.changed(fold, Probe("recording", 20.0)).signals.shape == (12, 12, 2000)
    with pytest.raises(ConfigurationError, match="'length' pads any"):
        probes.changed(dataclasses.replace(fold, dataset="ptbxl"), Probe("recording", 20.0))
