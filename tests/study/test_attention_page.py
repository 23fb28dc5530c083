"""Page 10: its records follow their rule, its scores are those of plain loops, its pictures and its view show the maps."""

import base64
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ecgstudy.data.labels import CPSC_CLASSES
from ecgstudy.data.synthetic import Settings, simulate
from ecgstudy.errors import ConfigurationError
from ecgstudy.explain import attribution, localisation
from ecgstudy.leads import LEADS
from ecgstudy.study import attention_figures, attention_ludb, attention_page, attention_records, attention_scores, attention_view, chosen
from ecgstudy.study.attention_page import MAPS
from ecgstudy.study.attention_scores import Scored
from ecgstudy.study.profiles import profile
from ecgstudy.train.experiment import Experiment
from ecgstudy.train.feed import Scaling

ASKED = {"dataset": "synthetic", "task": "", "profile": "smoke", "networks": "mhsa,hilo", "records": "all", "real": ""}


@pytest.fixture(scope="module")
def page():
    return attention_page.ask(ASKED)


@pytest.fixture(scope="module")
def question(page):
    return attention_scores.ask(page)


def test_simulated_records_are_those_of_the_rule():
    rule = attention_records.listed()["synthetic"]
    made = simulate(rule["seed"], range(9), settings=Settings(scheme=rule["scheme"]))
    for label, entry in rule["records"].items():
        only = (made.labels[:, made.classes.index(label)] == 1) & (made.labels.sum(axis=1) == 1)
        assert entry["index"] == np.flatnonzero(only)[0]
        own = made.spans[(made.spans["record"] == entry["index"]) & (made.spans["label"] == label)]
        expected = np.floor(round((own["start"].min() - 2) / 0.2, 6)) * 0.2 if len(own) else 0.0
        assert entry["start"] == pytest.approx(expected)


@pytest.mark.skipif(not os.environ.get("ECGSTUDY_DATA"), reason="needs PTB-XL")
def test_recorded_ones_are_those_of_the_rule():
    pytest.importorskip("sleepecg")
    from ecgstudy.data import ptbxl
    from ecgstudy.data.beats import find_beats
    from ecgstudy.data.record import read_record

    rule = attention_records.listed()["ptbxl"]
    folder = Path(os.environ["ECGSTUDY_DATA"]) / "ptb-xl"
    table = ptbxl.catalog(folder)
    fold = table[table["fold"] == rule["fold"]].sort_values("record_id", key=lambda ids: ids.astype(int))
    statements = fold["statements"].map(lambda text: set(text.split(";")))
    for label, entry in rule["records"].items():
        wanted = {"NORM", "SR"} | ({label} - {"Normal"})
        found = fold[statements == wanted].iloc[0]
        assert found["record_id"] == entry["record_id"]
        if label != "Normal":
            signal = read_record(Path(found["path"])).signal
            peaks = find_beats(signal, signal.shape[1] / 10) * 10 / signal.shape[1]
            early = peaks[1 + np.diff(peaks).argmin()]
            expected = min(np.floor(round((early - 2) / 0.2, 6)) * 0.2, 5.0)
            assert entry["start"] == pytest.approx(expected, abs=0.21)      # the list was made at 100 Hz


def test_a_record_has_its_spans_and_its_trace(page):
    record = page.shown[[each.label for each in page.shown].index("PVC")]
    made = simulate(4, [6], settings=Settings(scheme="balanced"))
    own = made.spans[made.spans["label"] == "PVC"]
    np.testing.assert_allclose(record.spans, own[["start", "end"]])
    lead = made.signals[0, LEADS.index("II")]
    np.testing.assert_allclose(record.trace, lead - np.median(lead))
    assert page.example == 1 and len(page.shown) == 3


def test_scored_records_carry_one_label_and_amplitude_is_the_mean_distance():
    bed = attention_records.bed("PAC", profile("smoke"))
    k = bed.simulation.classes.index("PAC")
    assert (bed.simulation.labels.sum(axis=1) == 1).all() and bed.simulation.labels[:, k].all() and bed.inside.any(axis=1).all()
    signal = bed.simulation.signals[2]
    by_hand = np.mean([[abs(value - np.median(lead)) for value in lead[:50]] for lead in signal], axis=0)
    np.testing.assert_allclose(bed.amplitude[2, :50], by_hand, rtol=1e-5)


@pytest.mark.parametrize(("parameter", "value", "told"), [("networks", "mhsa,hlio", "hilo"), ("records", "PVX", "PVC"),
                                                          ("dataset", "cpsc", "lists records of"), ("real", "ptb", "ptbxl")])
def test_unknown_values_are_refused_with_what_is_accepted(parameter, value, told):
    with pytest.raises(ConfigurationError, match=told):
        attention_page.ask(ASKED | {parameter: value})


def test_observed_in_batches_is_observed_at_once(page, monkeypatch):
    each, signals = page.networks[0], page.beds[0].simulation.signals
    whole = attention_page.observed(each, signals, fresh=False)
    monkeypatch.setattr(attention_page, "BATCH", 4)
    parts = attention_page.observed(each, signals, fresh=False)
    for name in MAPS:
        np.testing.assert_allclose(parts.curves[name][0], whole.curves[name][0], rtol=1e-4)
        assert whole.curves[name][0].mean() == pytest.approx(1, rel=1e-4)                   # in multiples of an even spread
    assert [layer[:2] for layer in whole.layers] == [(3, 1), (4, 1), (4, 2)]
    assert [each.shape for each in whole.distance] == [(6, 4)] * 3


def made_up(inside, skill, seed=0):
    """A curve of tokens of 80 ms that knows the spans as well as `skill` says."""
    truth = inside[:, ::8].astype(float)
    return skill * truth + np.random.default_rng(seed).random(truth.shape), 0.08


def test_a_map_that_knows_the_beat_is_told_from_its_rivals():
    bed = attention_records.bed("PAC", profile("quick"))
    found = attention_scores.scored(bed, made_up(bed.inside, 3), made_up(bed.inside, 0, 1), localisation.auroc)
    for rival in ("fresh", "another"):
        assert found.gain(rival).low > 0.2 and abs(found.mean(rival).estimate - 0.5) < 0.1
    assert found.mean("shown").estimate <= found.mean("ceiling").estimate
    assert found.gain("fresh").estimate == pytest.approx(found.of["shown"].mean() - found.of["fresh"].mean())


def test_records_without_a_score_are_left_out():
    values = np.array([0.6, np.nan, 0.8, 0.7])
    found = Scored({"shown": values, "amplitude": np.array([0.5, 0.5, 0.5, 0.5])})
    assert found.mean("shown").estimate == pytest.approx(0.7) and found.gain("amplitude").estimate == pytest.approx(0.2)
    assert 0.6 <= found.mean("shown").low <= found.mean("shown").high <= 0.8


def test_table_and_reading_are_the_scores(page, question):
    table = question.table().data
    assert len(table) == 4 and set(table[("", "label")]) == {"PVC", "PAC"}
    own = question.auroc["mhsa", "PVC", MAPS[0]]
    assert table.iloc[0][("last layer", "AUROC")].startswith(f"{own.of['shown'].mean():.3f}")
    bounds = question.table().caption
    for bed in page.beds:
        chance = localisation.chance_of_pointing(bed.inside, 100).mean()
        assert f"{bed.label}: |x| scores {question.auroc['hilo', bed.label, MAPS[0]].of['amplitude'].mean():.3f}" in bounds
        assert f"chance in {chance:.2f}" in bounds
    text = question.reading()
    best = max(question.names, key=lambda name: question.auroc[name, "PAC", MAPS[0]].of["shown"].mean())
    assert f"**PAC.** Attention received in the last layer scores {question.auroc[best, 'PAC', MAPS[0]].of['shown'].mean():.3f}" in text
    assert f"(`{best}`)" in text and "fresh weights, so nothing is said about what training does" in text
    assert not any(key[2] == "fresh" for key in question.verdicts)


def test_verdicts_follow_the_scores(page, question):
    n = len(page.beds[0].inside)
    rng = np.random.default_rng(0)
    for gain, verdict in ((0.3, "more"), (-0.3, "less"), (0.0, "undecided")):
        of = {"shown": 0.5 + gain + 0.01 * rng.normal(size=n)} | {rival: 0.5 + 0.01 * rng.normal(size=n) for rival in
                                                                     ("fresh", "another", "amplitude", "ceiling")}
        scores = {(name, label, MAPS[0]): Scored(of) for name in question.names for label in question.labels}
        asked = attention_scores.Question(page, question.auroc | scores, question.pointing, question.recognised)
        assert set(asked.verdicts.values()) == {verdict}
        assert attention_scores.WORDS[verdict] in asked.reading()


def test_networks_that_ship_are_shown_beside_their_beginnings(monkeypatch, experiment):
    shipped = chosen.Chosen("mhsa_synthetic", torch.nn.Identity(), experiment, Scaling(2.0, 100.0), tuple("ABC"), {"thresholds": [0.5] * 3})
    monkeypatch.setattr(chosen, "names", lambda: ["mhsa_synthetic"])
    monkeypatch.setattr(chosen, "load", lambda name: shipped)
    page = attention_page.ask(ASKED | {"profile": "quick"})
    trained, fresh = page.networks
    assert trained.untrained is not None and trained.scaling.deviation == 100.0 and fresh.untrained is None
    assert page.mixed and page.called(fresh) == "HiLo *" and page.called(trained) == "MHSA (full)"
    assert isinstance(experiment, Experiment) and "* fresh weights" in page.whose and f"seed {experiment.seed}" in page.whose
    np.testing.assert_allclose(trained.inputs(np.ones((1, 12, 4))), (1000 - 2) / 100)
    told = page.what_is_shown()
    assert "`mhsa` (trained on" in told and "`hilo` with fresh weights" in told


def test_pictures_are_drawn_to_scale(page, question):
    before = set(plt.get_fignums())
    figure = attention_figures.stages(page)
    axis, = figure.axes
    assert figure.get_figwidth() * 25.4 == pytest.approx(axis.get_xlim()[1])               # millimetres on paper
    assert len(axis.images) == 3 * 3 + 1                                                   # layers x records, and the scale
    trace = next(line for line in axis.lines if len(line.get_xdata()) == 501)
    assert np.ptp(trace.get_xdata()) == pytest.approx(125)                                 # five seconds at 25 mm/s
    assert np.ptp(trace.get_ydata()) == pytest.approx(10 * np.ptp(page.shown[0].trace[:501]))
    assert page.request.picture().is_file()
    heads = attention_figures.heads(page)
    assert len(heads.axes[0].images) == 4 + 1 + 4
    assert len(attention_figures.mechanisms(page).axes[0].images) == 3 * 2 + 1
    assert len(attention_figures.distances(page).axes) == 4 and len(attention_figures.gathered(question).axes) == 2
    assert set(plt.get_fignums()) <= before


def test_a_strip_stands_where_its_tokens_do(page):
    values = np.linspace(0.5, 2, 125)
    figure, axis, _, top = attention_figures.strips_under_traces([(page.shown[1], [attention_figures.Strip("x", values, 0.08)])], "t")
    left, right = axis.images[0].get_extent()[:2]
    begin = attention_figures.LEFT + 25 * (0 - page.shown[1].start)
    assert left == pytest.approx(begin - 1) and right == pytest.approx(begin + 25 * 124 * 0.08 + 1)
    assert top == pytest.approx(np.quantile(values, 0.998))
    plt.close(figure)


# -- the view -----------------------------------------------------------------------------------------------------------

def unpacked(told, shape):
    """As the script does."""
    raw = np.frombuffer(base64.b64decode(told["packed"]), np.uint8)
    steps = np.stack([raw >> 4, raw & 15], axis=1).ravel()[:np.prod(shape)]
    return np.where(steps > 0, told["low"] * (told["top"] / told["low"]) ** ((steps - 1) / 14), 0).reshape(shape)


def test_the_view_holds_the_maps_to_a_step(page):
    text = attention_view.view(page)
    assert len(text) < attention_view.LARGEST
    assert not re.search(r"https?:|src=|@import|url\(|fetch|__[A-Z]+__", text)              # nothing is asked of a network
    data = json.loads(re.search(r"data = (\{.*\});", text)[1])
    assert data["layers"] == ["stage 3, 1", "stage 4, 1", "stage 4, 2"] and data["heads"] == 4
    shape = (data["queries"], data["keys"])
    assert data["classes"] == [["Grad-CAM", 13], ["gradient × input", 14]]
    assert [len(record["maps"]) for record in data["records"]] == [3 * 4 + 1 + 2] * 3
    own = attribution.attribute(page.networks[0].model, page.networks[0].inputs(np.stack([each.millivolts for each in page.shown]))[1:2],
                                CPSC_CLASSES.index("PVC"), "gradient_x_input").over_time()[0]
    near = np.floor(np.arange(1000) / (100 * data["key_step"]) + 0.5).astype(int)
    by_hand = np.array([own[near == k].mean() for k in range(data["keys"])])
    told = data["records"][1]["maps"][14]
    strong = by_hand > 2 * told["low"] * by_hand.mean()
    np.testing.assert_allclose(np.log(unpacked(told, (data["keys"],)))[strong], np.log(by_hand / by_hand.mean())[strong],
                               atol=np.log(told["top"] / told["low"]) / 28 + 5e-3)
    layer = page.maps["mhsa"][1]
    expected = attention_view.coarser(layer.maps[2, 3], 0.08, 0.08, data["query_step"], data["key_step"])
    told = data["records"][2]["maps"][1 * 4 + 3]
    step = (told["top"] / told["low"]) ** (1 / 14)
    np.testing.assert_allclose(np.log(unpacked(told, shape)), np.log(expected), atol=np.log(step) / 2 + 2e-3)
    np.testing.assert_allclose(np.array(data["records"][1]["trace"]) / 1000, page.shown[1].trace, atol=6e-4)


def test_coarser_maps_keep_their_sums_and_places():
    generator = np.random.default_rng(0)
    weights = generator.random((250, 250))
    weights /= weights.sum(axis=1, keepdims=True)
    found = attention_view.coarser(weights, 0.04, 0.04, 0.16, 0.08)
    assert found.shape == (63, 125)
    np.testing.assert_allclose(found.mean(axis=1), 1)
    keys = weights[:, 2 * 7] + weights[:, 2 * 7 - 1] / 2 + weights[:, 2 * 7 + 1] / 2        # key 7 stands at 0.56 s, as token 14 did
    queries = keys[[4 * 5 - 2, 4 * 5 - 1, 4 * 5, 4 * 5 + 1, 4 * 5 + 2]] @ [0.5, 1, 1, 1, 0.5] / 4
    assert found[5, 7] == pytest.approx(queries * 125)
    np.testing.assert_allclose(attention_view.coarser(weights, 0.04, 0.04, 0.04, 0.04), weights * 250)


def test_zeros_and_single_values_are_packed():
    flat = attention_view.pack(np.ones((3, 3)))
    np.testing.assert_allclose(unpacked(flat, (3, 3)), 1, rtol=0.01)
    windows = np.kron(np.eye(3), np.full((5, 5), 3.0))
    np.testing.assert_allclose(unpacked(attention_view.pack(windows), (15, 15)), windows, rtol=1e-3)


def test_what_does_not_fit_is_made_coarser_or_refused(page, monkeypatch):
    fine = len(attention_view.view(page))
    monkeypatch.setattr(attention_view, "LARGEST", fine - 1)
    coarse = attention_view.view(page)
    assert len(coarse) < fine and '"key_step":0.16' in coarse
    monkeypatch.setattr(attention_view, "LARGEST", 10_000)
    with pytest.raises(ConfigurationError, match="show fewer records"):
        attention_view.view(page)


def test_a_class_token_is_shown_by_what_it_reads():
    page = attention_page.ask(ASKED | {"networks": "class_token", "records": "PVC"})
    layer = page.maps["class_token"][-1]
    assert layer.class_token and not page.maps["class_token"][0].class_token
    row = layer.maps[0, :, 0, 1:]
    np.testing.assert_allclose(attention_page.times_even(layer)[0], row / row.sum(axis=1, keepdims=True) * row.shape[1], rtol=1e-4)
    assert len(attention_figures.heads(page).axes[0].images) == 4 + 1 + 4
    data = json.loads(re.search(r"data = (\{.*\});", attention_view.view(page))[1])
    assert [name for name, _ in data["classes"]] == ["gradient × input"]            # a class activation map has no place for it


# -- recordings beside --------------------------------------------------------------------------------------------------

def test_recordings_stand_beside_with_their_own_network(monkeypatch):
    made = attention_page.ask(ASKED).shown[:2]
    taken = [replace(each, name=f"ptbxl record {i}", spans=()) for i, each in enumerate(made)]
    monkeypatch.setattr(attention_records, "recorded", lambda dataset, labels, size: taken if dataset == "ptbxl" else [])
    page = attention_page.ask(ASKED | {"real": "ptbxl"})
    assert [len(part.records) for part in page.parts] == [3, 2] and page.parts[1].network is page.reader is not page.networks[0]
    told = page.what_is_shown()
    assert "PVC (ptbxl record 1)" in told and "AUROC, pointing and ceiling need that truth" in told
    assert len(attention_figures.stages(page).axes[0].images) == 5 * 3 + 1
    data = json.loads(re.search(r"data = (\{.*\});", attention_view.view(page))[1])
    assert [record["name"] for record in data["records"]][3:] == ["Normal (ptbxl record 0)", "PVC (ptbxl record 1)"]
    alone = attention_page.ask(ASKED | {"dataset": "ptbxl", "real": "ptbxl"})          # what the page shows anyway is not shown twice
    assert len(alone.parts) == 1 and len(alone.shown) == 2 and "AUROC, pointing and ceiling" in alone.what_is_shown()


def test_without_recordings_the_page_says_so(monkeypatch):
    monkeypatch.setattr(attention_records, "recorded", lambda dataset, labels, size: [])
    page = attention_page.ask(ASKED | {"real": "ptbxl"})
    assert len(page.parts) == 1 and "ptbxl is not on this machine" in page.what_is_shown()


def test_parts_of_the_beat_are_scored_against_an_even_spread(page):
    qrs = np.linspace(1.9, 2.1, 30)
    even, low = np.linspace(0.9, 1.1, 30), np.linspace(0.4, 0.5, 30)
    parts = {"P": low, "PR": even, "QRS": qrs, "T": even, "rest": low}
    found = attention_ludb.Recordings(page.networks[0], {(MAPS[0], "trained"): parts, ("|x|", ""): parts})
    assert found.score(MAPS[0], "trained", "QRS").estimate == pytest.approx(2.0)
    text = found.reading()
    assert "more than an even spread to QRS; less than an even spread to P, rest" in text and "before training" not in text
    assert "2.000" in found.table().to_html() and len(found.table().data) == 2
    few = attention_ludb.Recordings(page.networks[0], {("|x|", ""): {"P": np.array([1.0, np.nan]), "QRS": np.ones(2)}})
    assert few.score("|x|", "", "P").estimate == 1 and np.isnan(few.score("|x|", "", "P").low) and few.n_records == 2


@pytest.mark.skipif(not os.environ.get("ECGSTUDY_DATA"), reason="needs LUDB")
def test_an_even_map_of_ludb_is_even_in_every_part_and_amplitude_gathers_in_the_qrs(page):
    pytest.importorskip("wfdb")
    folder = attention_ludb.source()
    if folder is None:
        pytest.skip("no LUDB")
    found = attention_ludb.measure(page.networks[0], folder, 6)
    assert found.n_records == 6 and ("last layer", "before training") not in found.densities
    for part in ("P", "QRS", "T", "rest"):
        assert found.score("rollout", "trained", part).estimate == pytest.approx(1, abs=0.2)        # fresh weights spread evenly
    assert found.score("|x|", "", "QRS").estimate > 1.5
