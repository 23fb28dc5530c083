"""The simulator: its physics, its truth, and how close it stays to real recordings.

What real recordings measure stands in `ecgstudy.data.synthetic.reference`.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from ecgstudy.data.dataset import open_prepared, verify
from ecgstudy.data.labels import CPSC_CLASSES, label_set
from ecgstudy.data.synthetic import Settings, draw_parameters, realism, render, simulate
from ecgstudy.data.synthetic.labels import COLUMN, LABEL_SETS, NOT_DRAWN
from ecgstudy.data.synthetic.prepared import SIMULATOR, prepare_synthetic, to_microvolts
from ecgstudy.data.synthetic.realism import median_beat
from ecgstudy.data.synthetic.rhythm import PVC
from ecgstudy.data.synthetic.timing import in_view, time_beats
from ecgstudy.data.synthetic.truth import lead_sets, span_table
from ecgstudy.errors import ConfigurationError
from ecgstudy.leads import LEADS, limb_residuals

SILENT = Settings(noise=0)


@pytest.fixture(scope="module")
def natural():
    return simulate(3, range(1024))


@pytest.fixture(scope="module")
def clean():
    """Balanced, without noise, at 500 Hz: for measuring waves."""
    return simulate(5, range(180), fs=500, settings=Settings(scheme="balanced", noise=0, look_alikes=0, hard=0))


def of_class(simulation, name):
    """Records whose only label is `name`."""
    return np.nonzero(simulation.labels[:, COLUMN[name]].astype(bool) & (simulation.labels.sum(1) == 1))[0]


# ---------------------------------------------------------------------------------------------------------- determinism

def test_a_record_does_not_depend_on_the_others_asked_for(natural):
    chosen = [700, 3, 77, 700]
    few = simulate(3, chosen)
    np.testing.assert_array_equal(few.signals, natural.signals[chosen])
    np.testing.assert_array_equal(few.noisy_labels, natural.noisy_labels[chosen])
    np.testing.assert_array_equal(few.leads, natural.leads[chosen])
    assert few.parameters.equals(natural.parameters.iloc[chosen].reset_index(drop=True))
    for row, index in enumerate(chosen):
        for table in ("beats", "spans"):
            mine, theirs = (t[t.record == i].drop(columns="record").reset_index(drop=True)
                            for t, i in ((getattr(few, table), row), (getattr(natural, table), index)))
            assert mine.equals(theirs)


def test_another_seed_makes_other_records():
    assert not np.array_equal(simulate(0, [0]).signals, simulate(1, [0]).signals)


def test_a_component_can_be_switched_off_alone():
    base, seconds = Settings(), 10.0
    index = np.arange(64)
    full = draw_parameters(0, index, base, seconds)
    noisy_labels = draw_parameters(0, index, dataclasses.replace(base, label_noise=1.0), seconds)
    np.testing.assert_array_equal(full.labels, noisy_labels.labels)
    np.testing.assert_array_equal(render(full), render(noisy_labels))
    silent = draw_parameters(0, index, SILENT, seconds)
    noise = render(full) - render(silent)
    louder = render(draw_parameters(0, index, dataclasses.replace(base, noise=2.0), seconds)) - render(silent)
    np.testing.assert_allclose(louder, 2 * noise, atol=2e-5)
    still = dataclasses.replace(silent.fibrillation, amplitude=0 * silent.fibrillation.amplitude)
    steady = dataclasses.replace(silent, fibrillation=still)
    moved = np.abs(render(silent) - render(steady)).max((1, 2)) > 0
    np.testing.assert_array_equal(moved, full.labels[:, COLUMN["AF"]])


def test_both_sampling_rates_show_the_same_record():
    slow, fast = (simulate(2, range(8), fs=fs, settings=SILENT).signals for fs in (100, 500))
    np.testing.assert_allclose(slow, fast[:, :, ::5], atol=1e-4)


@pytest.mark.parametrize("seconds", [6.0, 30.0])
def test_other_durations(seconds):
    simulation = simulate(0, range(256), seconds=seconds)
    assert simulation.signals.shape == (256, 12, seconds * 100)
    assert_spans_match_labels(simulation)


# -------------------------------------------------------------------------------------------------------------- physics

def test_limb_lead_identities(natural):
    assert max(max(limb_residuals(signal).values()) for signal in natural.signals[:200]) < 1e-5
    assert natural.signals.dtype == np.float32 and np.isfinite(natural.signals).all()


def test_silence_between_the_waves(clean):
    """Where no wave is, the clean signal of a sinus record is exactly zero, and no wave is lost."""
    for record in of_class(clean, "Normal")[:5]:
        t = np.arange(5000) / 500
        beats = clean.beats[clean.beats.record == record]
        outside = np.zeros(5000, bool)
        outside[(t > beats.r.iloc[0]) & (t < beats.r.iloc[-1])] = True
        for beat in beats.itertuples():
            gone = beat.t_peak + (beat.t_off - beat.t_peak) / 0.82
            outside &= ~((t >= beat.p_on) & (t <= beat.p_off)) & ~((t >= beat.qrs_on) & (t <= gone))
        assert outside.mean() > 0.1 and np.abs(clean.signals[record][:, outside]).max() < 1e-6
        for on, off in ((beats.p_on, beats.p_off), (beats.qrs_on, beats.qrs_off), (beats.t_on, beats.t_off)):
            inside = (t >= on.iloc[2]) & (t <= off.iloc[2])
            assert np.abs(clean.signals[record][:, inside]).max() > 0.03


@pytest.mark.parametrize("measured", [realism.limb_identities, realism.noise, realism.spectrum, realism.class_means, realism.amplitudes])
def test_measures_lie_where_real_recordings_do(measured):
    """`reference` says what real recordings measure; the data page shows the same table."""
    found = measured()
    assert found and [check for check in found if not check.inside] == []


def test_a_check_can_fail():
    assert realism.Check("R peak", "II", "mV", 0.5, 0.32, 1.27).inside
    assert not realism.Check("R peak", "II", "mV", 1.3, 0.32, 1.27).inside
    assert not realism.Check("R peak", "II", "mV", float("nan"), 0.32, 1.27).inside


# ---------------------------------------------------------------------------------------------------------------- truth

def assert_spans_match_labels(simulation):
    for k, name in enumerate(CPSC_CLASSES):
        carrying = set(np.nonzero(simulation.labels[:, k])[0]) if name != "Normal" else set()
        assert set(simulation.spans[simulation.spans.label == name].record) == carrying, name
    shown = simulation.leads.sum(2)
    needed = {"Normal": 0, "STD": 2, "STE": 2}
    for k, name in enumerate(CPSC_CLASSES):
        has = simulation.labels[:, k].astype(bool)
        assert (shown[has, k] >= needed.get(name, 1)).all() and not shown[~has, k].any()
    assert (simulation.spans.end > simulation.spans.start).all()


def test_every_label_has_spans_and_leads_and_no_other(natural):
    assert_spans_match_labels(natural)


def test_rare_label_sets_show_all_their_labels():
    """Two ectopic kinds, ST up and down, and every other published combination, over some 9,000 records' parameters."""
    parameters = draw_parameters(11, np.arange(9000), Settings(), 10.0)
    spans = span_table(parameters, time_beats(parameters))
    leads = lead_sets(parameters)
    for k, name in enumerate(CPSC_CLASSES[1:], 1):
        carrying = np.nonzero(parameters.labels[:, k])[0]
        assert set(spans[spans.label == name].record) == set(carrying), name
        assert leads[carrying, k].any(1).all()
    both = parameters.labels[:, COLUMN["STD"]] & parameters.labels[:, COLUMN["STE"]]
    assert not (leads[both, COLUMN["STD"]] & leads[both, COLUMN["STE"]]).any()


def test_masks_agree_with_spans(natural):
    masks = natural.masks()
    assert masks.shape == (1024, 9, 1000) and masks.dtype == bool
    for span in natural.spans.sample(200, random_state=0).itertuples():
        mask = masks[span.record, COLUMN[span.label]]
        inside = np.arange(int(np.ceil(span.start * 100)), min(int(np.floor(span.end * 100)), 999) + 1)
        assert mask[inside].all()
    unlabelled = ~natural.labels.astype(bool)
    unlabelled[:, 0] = True
    assert not masks[unlabelled].any()


def test_label_sets_are_the_published_ones():
    assert sum(LABEL_SETS.values()) == 6877
    counts = {name: sum(n for names, n in LABEL_SETS.items() if name in names) for name in CPSC_CLASSES}
    assert counts == {"Normal": 918, "AF": 1221, "I-AVB": 722, "LBBB": 236, "RBBB": 1857, "PAC": 616, "PVC": 700, "STD": 869,
                      "STE": 220}
    labels = draw_parameters(0, np.arange(6877), Settings(), 10.0).labels
    for names, count in LABEL_SETS.items():
        drawn = (labels[:, [COLUMN[name] for name in names]].all(1) & (labels.sum(1) == len(names))).sum()
        expected = 0 if names in NOT_DRAWN else count
        assert abs(drawn - expected) <= 5 * np.sqrt(count) + (names in NOT_DRAWN)


def test_label_noise_replaces_label_sets(natural):
    changed = (natural.labels != natural.noisy_labels).any(1)
    assert 0.02 < changed.mean() < 0.08 and (natural.noisy_labels[changed].sum(1) == 1).all()
    assert not (simulate(3, range(64), settings=Settings(label_noise=0)).noisy_labels != natural.labels[:64]).any()


def test_balanced_classes():
    np.testing.assert_array_equal(simulate(0, range(5, 23), settings=Settings(scheme="balanced")).labels,
                                  np.eye(9)[np.arange(5, 23) % 9])


# -------------------------------------------------------------------------------------------------- clinical plausibility

def test_criteria_of_each_class(natural):
    p = natural.parameters
    normal, avb = (natural.labels[:, COLUMN[name]].astype(bool) for name in ("Normal", "I-AVB"))
    blocked = natural.labels[:, [COLUMN["LBBB"], COLUMN["RBBB"]]].any(1)
    assert (p.pr[avb] > 0.200).all() and (p.pr[~avb].dropna() < 0.200).all()
    assert (p.qrs[blocked] >= 0.118).all() and (p.qrs[~blocked] <= 0.120).all()
    assert p.heart_rate[normal].between(60, 100).all()
    assert p.axis[normal].between(-30, 95).all()


def test_normal_carries_no_abnormal_look_alike():
    parameters = draw_parameters(0, np.arange(0, 9 * 1000, 9), Settings(scheme="balanced"), 10.0)
    look = parameters.look_alikes
    assert not (look.hypertrophy | look.t_inversion | look.left_axis).any() and look.sinus_arrhythmia.any()


def test_sinus_p_and_r_progression(clean):
    for record in of_class(clean, "Normal"):
        beat, at = median_beat(clean, record)
        p = beat[:, int((at.p_on + 0.4 * (at.p_off - at.p_on)) * 500)]
        assert p[LEADS.index("II")] > 0.02 and p[LEADS.index("aVR")] < -0.02
        qrs = beat[:, int(at.qrs_on * 500):int(at.qrs_off * 500)]
        assert qrs[LEADS.index("V4")].max() > qrs[LEADS.index("V1")].max()


def test_bundle_branch_blocks(clean):
    lead = LEADS.index
    for record in of_class(clean, "LBBB"):
        beat, at = median_beat(clean, record)
        qrs = beat[:, int(at.qrs_on * 500):int(at.qrs_off * 500)]
        assert -qrs[lead("V1")].min() > 3 * qrs[lead("V1")].max() and qrs[lead("V6")].max() > 3 * -qrs[lead("V6")].min()
        assert beat[lead("V1"), int(at.t_peak * 500)] > 0       # discordant
    for record in of_class(clean, "RBBB"):
        beat, at = median_beat(clean, record)
        middle = int((at.qrs_on + at.qrs_off) / 2 * 500)
        late = beat[:, middle:int(at.qrs_off * 500)]
        assert late[lead("V1")].max() > 0.15 and late[lead("V6")].min() < -0.05 and late[lead("I")].min() < 0


def test_atrial_fibrillation_and_ectopic_beats(natural):
    beats = natural.beats
    rhythm = beats.merge(natural.parameters[["heart_rate"]], left_on="record", right_index=True)
    assert (rhythm.p_on.isna() == rhythm.kind.isin(["AF", "PVC"])).all()
    variation = beats.groupby("record").r.apply(lambda r: np.diff(r).std() / np.diff(r).mean())
    assert variation[of_class(natural, "AF")].median() > 0.15 and variation[of_class(natural, "Normal")].median() < 0.05
    for kind in ("PAC", "PVC"):
        sinus = of_class(natural, kind)
        early = rhythm[(rhythm.kind == kind) & rhythm.record.isin(sinus)]
        before = rhythm.r.diff()[early.index]
        assert ((before < 0.95 * 60 / early.heart_rate) & (before > 0)).all()
    assert (beats[beats.kind == "PVC"].eval("qrs_off - qrs_on") >= 0.12).all()


def test_waves_follow_each_other_in_order():
    parameters = draw_parameters(21, np.arange(2048), Settings(), 10.0)
    beats = time_beats(parameters)
    shown = in_view(beats, 10.0)[:, 1:]
    after = {name: getattr(beats, name)[:, 1:][shown] for name in ("p_on", "p_off", "qrs_on")}
    before = {name: getattr(beats, name)[:, :-1][shown] for name in ("qrs_on", "qrs_off", "t_on", "t_peak", "t_off", "t_gone")}
    order = [*before.values(), after["qrs_on"]]
    assert all((later > earlier).all() for earlier, later in zip(order, order[1:], strict=False))
    has_p = np.isfinite(after["p_on"])
    assert (after["p_on"] > before["qrs_off"])[has_p].all() and (after["p_off"] < after["qrs_on"])[has_p].all()
    assert (after["p_on"] < before["t_off"])[has_p].mean() < 0.04       # a P wave on the T wave is rare


def test_a_sinus_p_marches_on_under_a_compensated_pvc():
    parameters = draw_parameters(0, np.arange(6, 9 * 300, 9), Settings(scheme="balanced"), 10.0)
    beats = time_beats(parameters)
    row, beat = np.nonzero(np.isfinite(beats.marching_p_on))
    assert len(row) > 50 and (beats.marching_p_on[row, beat] >= beats.qrs_on[row, beat]).all()
    assert parameters.rhythm.compensated[row].all() and (beats.kind[row, beat] == PVC).all()


def test_pvcs_are_not_told_by_amplitude_alone():
    """The largest deflection lies in a PVC less often than in four records of five."""
    simulation = simulate(9, range(6, 9 * 100, 9), settings=Settings(scheme="balanced"))
    peak = np.abs(simulation.signals - np.median(simulation.signals, 2, keepdims=True)).sum(1).argmax(1)
    assert 0.2 < simulation.masks()[np.arange(100), COLUMN["PVC"], peak].mean() < 0.8


def test_st_shifts_stand_in_their_leads(clean):
    for name, sign in (("STD", -1), ("STE", 1)):
        for record in of_class(clean, name):
            beat, at = median_beat(clean, record)
            level = sign * beat[:, int((at.qrs_off + 0.06) * 500)]
            assert level[clean.leads[record, COLUMN[name]]].max() > 0.08


# --------------------------------------------------------------------------------------------------------- prepared data

def test_prepared_folder(tmp_path):
    prepared = prepare_synthetic(tmp_path / "synthetic", 133, seed=4, settings=Settings(label_noise=1.0))
    verify(prepared)
    assert prepared.dataset == "synthetic" and prepared.fs == 100 and prepared.signals.shape == (133, 12, 1000)
    assert prepared.settings == {"scheme": "natural", "hard": 1.0, "look_alikes": 1.0, "label_noise": 1.0, "noise": 1.0,
                                 "seed": 4, "fs": 100, "simulator": SIMULATOR}
    table = prepared.table
    assert table.record_id[12] == "S000012" == table.patient_id[12]
    np.testing.assert_array_equal(table.fold, 1 + np.arange(133) % 10)
    assert set(table.sex) == {"male", "female"} and table.age.between(16, 95).all() and (table.n_samples == 1000).all()
    simulation = simulate(4, range(133), settings=Settings(label_noise=1.0))
    np.testing.assert_array_equal(prepared.signals, np.rint(simulation.signals * 1000))
    expected = np.where(table.fold.isin([9, 10]).to_numpy()[:, None], simulation.labels, simulation.noisy_labels)
    np.testing.assert_array_equal(label_set("synthetic").encode(prepared.statements()), expected)
    assert max(max(limb_residuals(signal).values()) for signal in prepared.signals) <= 2
    assert open_prepared(tmp_path / "synthetic").digest == prepared.digest


def test_microvolts_round_and_clip():
    np.testing.assert_array_equal(to_microvolts(np.array([0.0006, -0.0014, 40.0, -40.0])), [1, -1, 32767, -32768])


def test_speed():
    """At least 250 records a second of CPU time; some 1,400 were measured on one core."""
    simulate(0, range(64))
    began = time.process_time()
    simulate(1, range(256))
    assert 256 / (time.process_time() - began) > 250


@pytest.mark.parametrize("wrong, message", [
    ({"scheme": "equal"}, "balanced"), ({"hard": 2}, "hard is 2"), ({"label_noise": -1}, "between 0 and 1"),
    ({"noise": float("nan")}, "noise is nan")])
def test_settings_are_checked(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        Settings(**wrong)


def test_requests_are_checked(tmp_path):
    for request in ({"indices": []}, {"indices": [-1]}, {"seed": -1}, {"seconds": 3.0}, {"fs": 50}):
        with pytest.raises(ConfigurationError):
            simulate(**({"seed": 0, "indices": [0]} | request))
    with pytest.raises(ConfigurationError, match="n_records is 0"):
        prepare_synthetic(tmp_path, 0)


@pytest.mark.parametrize(("scheme", "published"), [("balanced_rhythms", "AFLT"), ("balanced_chapman", "SVT")])
def test_rhythm_schemes_are_prepared_with_their_own_statements(tmp_path, scheme, published):
    table = prepare_synthetic(tmp_path / scheme, 64, settings=Settings(scheme=scheme, label_noise=0.0)).table
    assert table["statements"].str.split(";").map(lambda found: published in found).any()
