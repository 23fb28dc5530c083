"""The rhythm schemes of the simulator: rates, atrial waves, truth, and what an intervention may move."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.signal import resample_poly

from ecgstudy.data.labels import CHAPMAN_SNOMED, label_set
from ecgstudy.data.synthetic import Settings, classes_of, draw_parameters, render, simulate, without
from ecgstudy.data.synthetic.interventions import FEATURES
from ecgstudy.data.synthetic.labels import COLUMN
from ecgstudy.data.synthetic.pacing import INVISIBLE
from ecgstudy.data.synthetic.timing import time_beats
from ecgstudy.errors import ConfigurationError
from ecgstudy.leads import LEADS, limb_residuals

RHYTHMS, CHAPMAN = classes_of("rhythms"), classes_of("chapman")
SILENT = {scheme: Settings(scheme=scheme, noise=0, look_alikes=0) for scheme in ("balanced_rhythms", "balanced_chapman", "balanced")}
# Ventricular rate of the shown beats, 1/min, and its smallest and largest allowed value.
RHYTHM_RATES = {"SR": (60, 100), "AFIB": (45, 170), "STACH": (100, 151), "SARRH": (50, 98), "SBRAD": (39, 60), "PACE": (59, 76),
                "AFLT": (55, 172), "SVTAC": (130, 220), "SVARR": (50, 160)}
# Mean ventricular rate that Chapman-Shaoxing's measurements give, and how far a sample of ours may lie from it.
CHAPMAN_RATES = {"SB": (55, 2), "SR": (76, 4), "SA": (73, 4), "AFIB": (95, 9), "AF": (115, 16), "ST": (112, 5), "SVT": (168, 9),
                 "AT": (116, 12), "AVNRT": (172, 8), "AVRT": (171, 14), "SAAWR": (64, 5)}


@pytest.fixture(scope="module")
def rhythms():
    return simulate(5, range(12 * 25), fs=100, settings=SILENT["balanced_rhythms"])


@pytest.fixture(scope="module")
def chapman():
    return simulate(6, range(11 * 40), fs=100, settings=SILENT["balanced_chapman"])


def of_class(simulation, name):
    return np.nonzero(simulation.labels[:, simulation.classes.index(name)])[0]


def beats_of(simulation, record):
    return simulation.beats[simulation.beats.record == record]


def rate_of(simulation, record):
    """Beats a minute, from the mean of the intervals that the record shows."""
    return 60 / np.diff(beats_of(simulation, record).r).mean()


# ------------------------------------------------------------------------------------------------------------- the schemes

def test_classes_are_the_published_ones():
    assert RHYTHMS == label_set("ptbxl", "rhythm").classes and len(RHYTHMS) == 12
    assert set(CHAPMAN) == set(CHAPMAN_SNOMED.values())
    assert set(CHAPMAN) == {s for members in label_set("chapman").members.values() for s in members}
    assert classes_of("natural") == classes_of("balanced") == tuple(COLUMN)
    with pytest.raises(ConfigurationError, match="chapman"):
        classes_of("chapmen")


def test_nine_class_records_are_those_of_before():
    """Sums over records made before the rhythms came."""
    expected = {"natural": ([1591.96308, 1385.60406, 1929.06426, 2307.35212], 7245.729246249894, 1155),
                "balanced": ([1591.96308, 1514.54195, 1889.63268, 2307.35212], 7205.164936955232, 1010)}
    for scheme, (sizes, r, spans) in expected.items():
        made = simulate(7, range(40, 150), settings=Settings(scheme=scheme))
        np.testing.assert_allclose(np.abs(made.signals.astype(float)).sum((1, 2))[[0, 1, 50, 100]], sizes, rtol=1e-6)
        np.testing.assert_allclose(made.beats.r.sum(), r, rtol=1e-9)
        assert len(made.spans) == spans


@pytest.mark.parametrize("scheme", ["rhythms", "balanced_rhythms", "chapman", "balanced_chapman"])
def test_a_record_does_not_depend_on_the_others_asked_for(scheme):
    chosen, all_of_them = [130, 3, 77], range(140)
    few, many = (simulate(3, which, settings=Settings(scheme=scheme)) for which in (chosen, all_of_them))
    np.testing.assert_array_equal(few.signals, many.signals[chosen])
    np.testing.assert_array_equal(few.labels, many.labels[chosen])
    np.testing.assert_array_equal(few.leads, many.leads[chosen])
    for table in ("beats", "spans", "events"):
        for row, index in enumerate(chosen):
            mine, theirs = (t[t.record == i].drop(columns="record").reset_index(drop=True)
                            for t, i in ((getattr(few, table), row), (getattr(many, table), index)))
            assert mine.equals(theirs)
    assert not np.array_equal(few.signals, simulate(4, chosen, settings=Settings(scheme=scheme)).signals)


def test_frequencies():
    """The published order, but no rhythm below about 1 %, and pairs only of bigeminy with its basic rhythm."""
    labels = draw_parameters(0, np.arange(3200), Settings(scheme="rhythms"), 10.0).labels
    share = dict(zip(RHYTHMS, labels.mean(0), strict=True))
    assert 0.68 < share["SR"] < 0.78 and 0.05 < share["AFIB"] < 0.09 and min(share.values()) > 0.006
    pairs = labels[labels.sum(1) > 1]
    assert 0 < len(pairs) < 40 and pairs[:, RHYTHMS.index("BIGU")].all() and pairs.sum(1).max() == 2
    chapman = draw_parameters(0, np.arange(1920), Settings(scheme="chapman"), 10.0).labels
    assert (chapman.sum(1) == 1).all() and (chapman.mean(0) > 0.006).all() and 0.32 < chapman[:, CHAPMAN.index("SB")].mean() < 0.39


def test_balanced_rhythms_come_in_turn(rhythms, chapman):
    for made, classes in ((rhythms, RHYTHMS), (chapman, CHAPMAN)):
        assert made.classes == classes
        np.testing.assert_array_equal(made.labels.argmax(1), np.arange(len(made.labels)) % len(classes))


# --------------------------------------------------------------------------------------------------------------- physics

@pytest.mark.parametrize("scheme", ["balanced_rhythms", "balanced_chapman"])
def test_both_sampling_rates_show_the_same_record(scheme):
    slow, fast = (simulate(2, range(24), fs=fs, settings=Settings(scheme=scheme, noise=0)).signals for fs in (100, 500))
    down = resample_poly(fast, 1, 5, axis=2)
    for record in range(24):
        assert np.corrcoef(slow[record].ravel(), down[record].ravel())[0, 1] > 0.99, record
    assert max(max(limb_residuals(signal).values()) for signal in slow) < 1e-5


@pytest.mark.parametrize("seconds", [6.0, 60.0])
@pytest.mark.parametrize("scheme", ["balanced_rhythms", "balanced_chapman"])
def test_other_durations(scheme, seconds):
    made = simulate(0, range(60, 100), seconds=seconds, settings=Settings(scheme=scheme))
    assert made.signals.shape == (40, 12, 100 * seconds) and np.isfinite(made.signals).all()
    assert_spans_match_labels(made)
    last = made.beats.groupby("record").r.max()
    assert (last > seconds - 2.5).all() and (made.beats.groupby("record").r.min() < 2.0).all()


def test_waves_follow_each_other_in_order(rhythms, chapman):
    for made in (rhythms, chapman):
        for _, beats in made.beats.groupby("record"):
            assert (np.diff(beats.r) > 0.23).all()
            assert (beats.qrs_off > beats.qrs_on).all() and (beats.t_peak > beats.qrs_off).all() and (beats.t_off > beats.t_peak).all()
            assert (beats.t_off.to_numpy()[:-1] < beats.qrs_on.to_numpy()[1:]).all()
            assert (beats.p_off.dropna() < beats.qrs_on[beats.p_off.notna()]).all()
            assert not (beats.p_on.to_numpy()[1:] < beats.qrs_off.to_numpy()[:-1]).any()


# ----------------------------------------------------------------------------------------------------------------- rates

@pytest.mark.parametrize("name", RHYTHM_RATES)
def test_rates_of_ptbxl_rhythms(rhythms, name):
    low, high = RHYTHM_RATES[name]
    rates = [rate_of(rhythms, record) for record in of_class(rhythms, name)]
    assert low <= min(rates) and max(rates) <= high, (min(rates), max(rates))


@pytest.mark.parametrize("name", CHAPMAN_RATES)
def test_rates_of_chapman_rhythms(chapman, name):
    mean, tolerance = CHAPMAN_RATES[name]
    assert abs(np.mean([rate_of(chapman, record) for record in of_class(chapman, name)]) - mean) < tolerance


def test_regular_and_irregular(rhythms):
    def spread(record):
        rr = np.diff(beats_of(rhythms, record).r)
        return rr.std() / rr.mean()
    variation = {name: np.median([spread(record) for record in of_class(rhythms, name)]) for name in RHYTHMS}
    assert variation["AFIB"] > 0.15 and variation["SVARR"] > 0.10 and variation["BIGU"] > 0.15
    assert variation["SVTAC"] < 0.01 and variation["PACE"] < 1e-9 and variation["STACH"] < 0.03 and 0.003 < variation["SR"] < 0.04
    assert min(spread(record) for record in of_class(rhythms, "AFIB")) > 0.12
    for record in of_class(rhythms, "SARRH"):
        assert np.ptp(np.diff(beats_of(rhythms, record).r)) > 0.12


# ------------------------------------------------------------------------------------------------------------- each rhythm

def test_p_waves_where_they_must_be(rhythms):
    for name in ("SR", "STACH", "SARRH", "SBRAD"):
        beats = rhythms.beats[rhythms.beats.record.isin(of_class(rhythms, name))]
        assert (beats.p_on.notna() == (beats.kind != "PVC")).all()
    for name in ("AFIB", "AFLT", "SVTAC"):
        assert rhythms.beats[rhythms.beats.record.isin(of_class(rhythms, name))].p_on.isna().all()


def test_flutter_waves_by_lead():
    """One wave some 300 times a minute: deep in II, III and aVF, upright in V1, small in I and aVL, and no rest between."""
    parameters = draw_parameters(5, np.arange(RHYTHMS.index("AFLT"), 12 * 25, 12), SILENT["balanced_rhythms"], 10.0)
    still = without(parameters, "flutter_waves")
    waves = render(parameters, 500) - render(still, 500)
    rate = 60 * parameters.flutter.rate
    assert ((rate >= 240) & (rate <= 340)).all()
    peak, trough = waves.max(2), -waves.min(2)
    for lead in ("II", "III", "aVF"):
        assert (trough[:, LEADS.index(lead)] > 1.2 * peak[:, LEADS.index(lead)]).all(), lead
        assert (trough[:, LEADS.index(lead)] > 0.06).all()
    v1 = LEADS.index("V1")
    assert (peak[:, v1] > 1.2 * trough[:, v1]).all()
    size = waves.std(2)
    assert (size[:, [LEADS.index("I"), LEADS.index("aVL")]].max(1) < 0.6 * size[:, LEADS.index("II")]).all()
    quiet = np.abs(waves[:, LEADS.index("II")]) < 0.02
    longest = [max(map(len, "".join("01"[int(q)] for q in row).split("0"))) for row in quiet]
    assert max(longest) < 30                                                    # 60 ms


def test_flutter_is_conducted_n_to_one(rhythms):
    ratios = []
    for record in of_class(rhythms, "AFLT"):
        waves = rhythms.events[(rhythms.events.record == record) & (rhythms.events.event == "flutter wave")].start.to_numpy()
        cycle = np.diff(waves).mean()
        ratio = np.diff(beats_of(rhythms, record).r) / cycle
        np.testing.assert_allclose(ratio, np.rint(ratio), atol=0.01)
        assert 2 <= ratio.min() + 0.01 and ratio.max() < 4.01
        ratios.append(round(float(np.median(ratio))))
    assert {2, 4} <= set(ratios)


def test_pacing(rhythms):
    """Pulses shortly before what they drive; the paced QRS wide, left-bundle-like with a superior axis, its T discordant."""
    parameters = draw_parameters(5, np.arange(RHYTHMS.index("PACE"), 12 * 25, 12), SILENT["balanced_rhythms"], 10.0)
    beats = time_beats(parameters)
    signals = render(without(parameters, "pacing_pulses"), 500)
    checked = 0
    for row in range(25):
        paced = np.nonzero((beats.kind[row] == 5) & (beats.r[row] > 0.5) & (beats.r[row] < 9))[0]
        pulses = beats.pulse[row][np.isfinite(beats.pulse[row])]
        for beat in paced[:3]:
            before = beats.qrs_on[row, beat] - pulses
            assert ((before > 0.002) & (before < 0.030)).any()
            qrs = signals[row][:, int(500 * beats.qrs_on[row, beat]):int(500 * beats.qrs_off[row, beat])]
            area, t = qrs.sum(1), signals[row][:, int(500 * beats.t_peak[row, beat])]
            lead = LEADS.index
            assert area[lead("V1")] < 0 and area[lead("II")] < 0 and area[lead("aVF")] < 0 and area[lead("aVL")] > 0
            assert t[lead("II")] > 0.05 and t[lead("V1")] > 0
            checked += 1
        if len(paced):
            assert 0.149 <= beats.qrs_off[row, paced[0]] - beats.qrs_on[row, paced[0]] <= 0.2
    assert checked > 45
    visible = parameters.pacing.vector.any(1).mean()
    assert abs(visible - (1 - INVISIBLE)) < 0.25
    assert np.linalg.norm(parameters.pacing.vector, axis=1).max() <= 2


def test_a_pulse_is_narrow_at_500_hz_and_low_passed_at_100():
    parameters = draw_parameters(5, np.arange(RHYTHMS.index("PACE"), 12 * 25, 12), SILENT["balanced_rhythms"], 10.0)
    silent = without(parameters, "pacing_pulses")
    fast, slow = (render(parameters, fs) - render(silent, fs) for fs in (500, 100))
    seen = np.abs(fast).max((1, 2)) > 0.2
    assert seen.any() and (np.abs(slow).max((1, 2))[seen] < 0.6 * np.abs(fast).max((1, 2))[seen]).all()
    np.testing.assert_allclose(fast[:, LEADS.index("II")].sum(1) / 500, slow[:, LEADS.index("II")].sum(1) / 100, rtol=0.05, atol=2e-4)


def test_early_beats_come_in_their_pattern(rhythms):
    for name, period, least in (("BIGU", 2, 3), ("TRIGU", 3, 2)):
        for record in of_class(rhythms, name):
            kinds = beats_of(rhythms, record).kind.to_numpy()
            early = np.nonzero(np.isin(kinds, ["PAC", "PVC"]))[0]
            assert len(early) >= least and (np.diff(early) == period).all()
    both = rhythms.beats[rhythms.beats.record.isin(of_class(rhythms, "BIGU"))].kind
    assert {"PAC", "PVC", "sinus"} == set(both)


def test_paroxysms_start_and_stop_within_the_record(rhythms):
    stops = 0
    for record in of_class(rhythms, "PSVT"):
        beats = beats_of(rhythms, record)
        run = (beats.kind == "reentry").to_numpy()
        assert run.sum() >= 4 and not run[0] and (np.diff(run.astype(int)) == 1).sum() == 1
        rr = np.diff(beats.r)[run[1:]]
        assert 150 <= 60 / rr[1:].mean() <= 250
        stops += not run[-1]
    assert 10 <= stops < 25


def test_retrograde_p_waves_are_negative_below(rhythms):
    """Where a P wave follows the QRS it points up; over an accessory pathway it stands in the ST segment."""
    parameters = draw_parameters(6, np.arange(CHAPMAN.index("AVRT"), 11 * 20, 11), SILENT["balanced_chapman"], 10.0)
    waves = render(parameters, 500) - render(without(parameters, "p_waves"), 500)
    beats = time_beats(parameters)
    assert (waves.min(2)[:, LEADS.index("II")] < -0.05).all() and (waves.max(2)[:, LEADS.index("II")] < 1e-6).all()
    assert (waves.max(2)[:, LEADS.index("V1")] > 0.02).all()
    lag = parameters.atria.waves.offset
    assert ((lag > 0.07) | np.isnan(lag)).all() and np.isnan(beats.p_on).all()


def test_wandering_rhythms_show_three_p_shapes(rhythms):
    parameters = draw_parameters(5, np.arange(RHYTHMS.index("SVARR"), 12 * 25, 12), SILENT["balanced_rhythms"], 10.0)
    beats = time_beats(parameters)
    inside = (beats.wave_on > 0) & (beats.wave_off < 10)
    shapes = [set(parameters.atria.waves.shape[row][inside[row]]) | ({0} if (beats.kind[row] == 0).any() else set()) for row in range(25)]
    assert min(map(len, shapes)) >= 3


# ----------------------------------------------------------------------------------------------------------------- truth

def assert_spans_match_labels(made):
    for k, name in enumerate(made.classes):
        carrying = np.nonzero(made.labels[:, k])[0]
        assert set(made.spans[made.spans.label == name].record) == set(carrying), name
        assert made.leads[carrying, k].any(1).all() and not made.leads[made.labels[:, k] == 0, k].any()
    assert (made.spans.end >= made.spans.start).all() and made.spans.start.min() >= 0


@pytest.mark.parametrize("scheme", ["rhythms", "balanced_rhythms", "chapman", "balanced_chapman"])
def test_spans_match_labels(scheme):
    made = simulate(1, range(640), settings=Settings(scheme=scheme))
    assert_spans_match_labels(made)
    masks = made.masks()
    assert masks.shape == (640, len(made.classes), 1000)
    np.testing.assert_array_equal(masks.any(2), made.labels.astype(bool))


def test_flutter_leads(rhythms):
    shown = rhythms.leads[of_class(rhythms, "AFLT"), RHYTHMS.index("AFLT")]
    assert shown[:, [LEADS.index(name) for name in ("II", "III", "aVF")]].mean() > 0.95


# --------------------------------------------------------------------------------------------------------- interventions

def moved_by(scheme, feature, n=132):
    """Parameters, and where [R, T] the record changes without the feature."""
    parameters = draw_parameters(5, np.arange(n), dataclasses.replace(SILENT[scheme], noise=1.0), 10.0)
    changed = without(parameters, feature)
    return parameters, changed, np.abs(render(parameters, 100) - render(changed, 100)).max(1) > 1e-6


def allowed(intervals, n=132):
    """bool [R, T] from arrays start, end [R, B]."""
    t = np.arange(1000) / 100
    start, end = (np.nan_to_num(x, nan=-9.0)[..., None] for x in intervals)
    return ((t >= start) & (t <= end)).any(1)


def test_only_records_with_the_feature_change():
    cases = {("balanced_rhythms", "f_waves"): "AFIB", ("balanced_rhythms", "flutter_waves"): "AFLT", ("balanced_rhythms", "pacing"): "PACE",
             ("balanced_chapman", "flutter_waves"): "AF", ("balanced", "f_waves"): "AF", ("balanced", "long_pr"): "I-AVB"}
    for (scheme, feature), name in cases.items():
        parameters, changed, moved = moved_by(scheme, feature)
        carrying = parameters.labels[:, classes_of(scheme).index(name)]
        if feature == "f_waves":
            carrying = parameters.findings[:, COLUMN["AF"]]             # some paced atria fibrillate
        np.testing.assert_array_equal(moved.any(1), carrying, err_msg=feature)
        still_labelled = changed.labels[:, classes_of(scheme).index(name)].any()
        assert still_labelled == (feature == "f_waves")
    for feature, names in (("bundle_branch_block", ("LBBB", "RBBB")), ("st_shift", ("STD", "STE")), ("ectopy", ("PAC", "PVC"))):
        parameters, changed, moved = moved_by("balanced", feature)
        np.testing.assert_array_equal(moved.any(1), parameters.labels[:, [COLUMN[name] for name in names]].any(1), err_msg=feature)
        assert not changed.labels[:, [COLUMN[name] for name in names]].any()


def test_f_waves_and_flutter_waves_go_and_the_beats_stay():
    for feature in ("f_waves", "flutter_waves"):
        parameters, changed, _ = moved_by("balanced_rhythms", feature)
        before, after = time_beats(parameters), time_beats(changed)
        for field in dataclasses.fields(before):
            np.testing.assert_array_equal(getattr(before, field.name), getattr(after, field.name))


def test_bundle_branch_blocks_go_and_only_qrs_and_t_change():
    parameters, changed, moved = moved_by("balanced", "bundle_branch_block")
    before, after = time_beats(parameters), time_beats(changed)
    for name in ("p_on", "p_off", "qrs_on", "t_off", "t_gone"):
        np.testing.assert_allclose(getattr(before, name), getattr(after, name), atol=1e-9, err_msg=name)
    blocked = parameters.labels[:, COLUMN["LBBB"]] | parameters.labels[:, COLUMN["RBBB"]]
    assert ((after.qrs_off - after.qrs_on)[blocked] < 0.12).all()
    assert not (moved & ~allowed((before.qrs_on, before.t_gone))).any()


def test_st_shifts_go_and_only_st_and_t_change():
    parameters, changed, moved = moved_by("balanced", "st_shift")
    beats = time_beats(parameters)
    assert not (moved & ~allowed((beats.qrs_off - 0.021, beats.t_gone))).any()
    for field in dataclasses.fields(beats):
        np.testing.assert_array_equal(getattr(beats, field.name), getattr(time_beats(changed), field.name))
    quiet = render(dataclasses.replace(changed, noise=draw_parameters(5, np.arange(132), SILENT["balanced"], 10.0).noise), 500)
    for row in np.nonzero(parameters.labels[:, COLUMN["STD"]])[0]:
        at = beats.qrs_off[row][(beats.qrs_off[row] > 1) & (beats.qrs_off[row] < 9)] + 0.03
        assert quiet[row][:, (at * 500).astype(int)].min() > -0.05


def test_ectopic_beats_become_usual_and_their_neighbours_stay():
    for scheme in ("balanced", "balanced_rhythms"):
        parameters, changed, moved = moved_by(scheme, "ectopy")
        early = np.isin(parameters.rhythm.kind, (2, 3))
        early[:, [0, -1]] = False
        np.testing.assert_array_equal(changed.rhythm.r[~early], parameters.rhythm.r[~early])
        assert not np.isin(changed.rhythm.kind[:, 1:-1], (2, 3)).any()
        before, after = time_beats(parameters), time_beats(changed)
        beside = early | np.roll(early, 1, 1) | np.roll(early, -1, 1)
        spans = np.where(early | np.roll(early, 1, 1), np.fmin(np.fmin(before.p_on, after.p_on), before.qrs_on), before.qrs_off)
        spans = np.where(beside, np.nan_to_num(spans, nan=-9), np.nan)
        assert not (moved & ~allowed((spans, np.fmax(before.t_gone, after.t_gone))) & ~marches(before)).any()


def marches(beats):
    """bool [R, T]: where a sinus P falls into a PVC."""
    return allowed((beats.marching_p_on, beats.marching_p_on + 0.15))


def test_regular_beats_keep_their_number_and_shape():
    parameters, changed, _ = moved_by("balanced_rhythms", "irregular_rr")
    before, after = time_beats(parameters), time_beats(changed)
    for row in np.nonzero(parameters.labels[:, RHYTHMS.index("AFIB")] | parameters.labels[:, RHYTHMS.index("SARRH")])[0]:
        old, new = (np.sort(x.r[row][(x.r[row] > -1e-9) & (x.r[row] < 10)]) for x in (before, after))
        assert len(old) <= len(new) <= len(old) + 2 and np.ptp(np.diff(new)) < 1e-6
        assert np.abs(new - old[0]).min() < 1e-6 and np.abs(new - old[-1]).min() < 1e-6
    np.testing.assert_allclose(before.qrs_off - before.qrs_on, after.qrs_off - after.qrs_on, atol=1e-9)
    np.testing.assert_array_equal(changed.atria.vector, parameters.atria.vector)
    assert changed.waves is parameters.waves and changed.fibrillation is parameters.fibrillation


def test_pacing_goes_and_the_qrs_narrows_at_its_onset():
    parameters, changed, moved = moved_by("balanced_rhythms", "pacing")
    before, after = time_beats(parameters), time_beats(changed)
    np.testing.assert_allclose(before.qrs_on, after.qrs_on, atol=1e-9)
    np.testing.assert_allclose(before.wave_on, after.wave_on, atol=1e-9)
    assert np.isnan(after.pulse).all()
    pulses = allowed((before.pulse - 0.05, before.pulse + 0.05))
    assert not (moved & ~pulses & ~allowed((before.qrs_on, np.fmax(before.t_gone, after.t_gone)))).any()


def test_unknown_features_are_named():
    parameters = draw_parameters(0, np.arange(1), Settings(), 10.0)
    with pytest.raises(ConfigurationError, match="did you mean 'f_waves'"):
        without(parameters, "f_wave")
    for feature in FEATURES:
        assert render(without(parameters, feature)).shape == (1, 12, 1000)
