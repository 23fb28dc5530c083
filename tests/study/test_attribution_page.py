"""Page 11's bed holds what it says, its scores follow the maps, and its words follow the scores."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ecgstudy.data.labels import CPSC_CLASSES
from ecgstudy.errors import ConfigurationError, DataError
from ecgstudy.study import attribution_bed, attribution_figures, attribution_page
from ecgstudy.study.attribution_bed import ABNORMAL, REMOVED, Asked, Network, make_bed, networks, score_maps, with_decoy
from ecgstudy.study.attribution_page import Study
from ecgstudy.study.profiles import profile
from ecgstudy.study.record_list import record_list
from ecgstudy.study.request import Request

METHODS = ("grad_cam", "gradient_x_input", "occlusion_lead", "magnitude", "random")


@pytest.fixture(scope="module")
def bed():
    return make_bed(profile("smoke"))


@pytest.fixture(autouse=True)
def close_all():
    yield
    plt.close("all")


def request_of(names, methods=METHODS):
    return Request("11_grad_cam", "synthetic", "nine", profile("smoke"), (0,), {"networks": names, "methods": methods})


def test_each_record_has_its_evidence_and_loses_it(bed):
    assert [CPSC_CLASSES[k] for k in bed.target] == list(CPSC_CLASSES)
    for row, label in enumerate(CPSC_CLASSES):
        change = np.abs(bed.removed[row] - bed.simulation.signals[row]).max(axis=0)
        assert bed.masks[row].any() == (label in ABNORMAL) == (change.max() > 0.01) == bed.leads[row].any()
        if label in ("STD", "STE", "LBBB", "RBBB"):                    # these lose it in place: the change touches each span
            assert change[bed.masks[row]].mean() > change[~bed.masks[row]].mean()
    assert set(REMOVED) == set(ABNORMAL)


def test_the_decoy_is_tallest_and_no_evidence(bed):
    made, spike = with_decoy(bed.simulation.signals, bed.masks, 100, np.random.default_rng(0))
    for row in range(len(made)):
        at = round(spike[row] * 100)
        centred = np.abs(made[row] - np.median(made[row], axis=1, keepdims=True))
        assert (abs(centred.argmax(axis=1) - at) <= 2).all()
        near = slice(max(0, at - 8), at + 9)
        assert not bed.masks[row][near].any() and 40 <= at < 960


class Knowing(nn.Module):
    """Knows the bed: its logit of a record's class is what the record has on the class's evidence, so gradients point there alone."""

    def __init__(self, x, bed):
        super().__init__()
        self.sign = nn.Parameter(torch.stack([torch.from_numpy(mask.astype(np.float32)) * torch.sign(signal.mean(0))
                                              for mask, signal in zip(bed.masks, x, strict=True)]))

    def forward(self, x):
        return torch.einsum("blt,kt->bk", x, self.sign) / 12


def knowing(bed):
    plain = Network("knowing", nn.Identity(), None, "made by hand", True)
    x = plain.scaled(bed.simulation.signals)
    network = Network("knowing", Knowing(x, bed).eval(), None, "made by hand", True)
    return Asked(network, bed, x, np.flatnonzero(bed.target), np.ones(len(x)), np.array([bed.first("PVC")]))


def test_a_network_that_knows_the_evidence_scores_fully(bed):
    scored = score_maps(knowing(bed), ("grad_cam", "gradient_x_input", "magnitude"))
    assert "not a function" in scored.refused["grad_cam"] or "last map" in scored.refused["grad_cam"]
    own = scored.table[(scored.table["method"] == "gradient_x_input") & (scored.table["weights"] == "trained")]
    assert (own["energy"] > 0.999).all() and (own["pointing"] == 1).all()
    assert own.set_index("label")["phase"].drop(["PAC", "PVC", "AF"]).eq(1).all()
    assert own["decoy"].dropna().eq(0).all() and own["decoy"].notna().sum() == 2
    magnitude = scored.table[(scored.table["method"] == "magnitude") & (scored.table["weights"] == "trained")]
    assert magnitude["decoy"].dropna().eq(1).all()
    assert (magnitude["energy"] < own["energy"].to_numpy()).all()
    assert own["lowered"].dropna().tolist() == [1] and magnitude["lowered"].dropna().tolist() == [0]
    x = network_input(bed)
    sums = {row: np.abs(x[row]).mean(axis=0).sum() for row in range(len(x))}
    asked_for = bed.first(ABNORMAL[0])                          # the only normal record is asked for the first class
    assert magnitude.set_index("record")["normal"].dropna().to_dict() == {asked_for: pytest.approx(sums[0] / sums[asked_for], rel=1e-4)}


def network_input(bed):
    return knowing(bed).network.scaled(bed.simulation.signals).numpy()


def test_a_lowered_pvc_is_no_longer_what_is_tallest_and_nothing_else_moves(bed):
    row = bed.first("PVC")
    mask = bed.masks[row]
    signal = np.where(mask, 4 * bed.simulation.signals[row], bed.simulation.signals[row])
    low = attribution_bed.lower(signal, mask, 100)
    tall, lowered = (np.abs(each - np.median(each, axis=1, keepdims=True)).mean(axis=0) for each in (signal, low))
    inside = np.arange(1000)[40:960]
    assert mask[inside[tall[40:960].argmax()]] and not mask[inside[lowered[40:960].argmax()]]
    far = ~attribution_bed.spread(mask, 6)
    np.testing.assert_allclose(low[:, far], signal[:, far], atol=1e-6)
    np.testing.assert_array_equal(np.delete(bed.lowered, row, axis=0), np.delete(bed.simulation.signals, row, axis=0))
    flat = np.where(mask, 0.0, signal)
    np.testing.assert_allclose(attribution_bed.lower(flat, mask, 100)[:, mask], 0, atol=1e-6)     # what is low stays


@pytest.fixture(autouse=True)
def heads(monkeypatch):
    """The network made by hand has no last map; it says so as a network of the registry does."""
    monkeypatch.setattr(Knowing, "head", nn.Identity(), raising=False)
    monkeypatch.setattr(Knowing, "forward_features", lambda self, x: x, raising=False)


def test_only_correct_records_are_scored(bed):
    network = networks(["resnet18"], "synthetic", "", profile("smoke"))[0]
    asked = attribution_bed.ask(network, bed)
    with torch.no_grad():
        ranked = network.model(network.scaled(bed.simulation.signals)).argmax(dim=1).numpy()
    assert list(asked.correct) == [row for row in range(9) if ranked[row] == bed.target[row] and row]
    table = score_maps(asked, METHODS).table
    assert set(table["record"] if len(table) else ()) == set(asked.correct)
    assert not network.trained and network.told == "fresh weights"


def made_up(values):
    """A study of one network and twelve records of two classes whose fitting scores are given: {method: (trained, anew)}."""
    rows = [{"network": "ResNet18", "method": method, "weights": weights, "label": ("PVC", "RBBB")[i % 2], "record": i,
             "asked": value + 0.01 * (i // 2), "asked_chance": 0.1, "precision": value, "resolution": 0.01, "correlation_1": 0.1,
             "fall": (2.0, -0.1)[i % 2]}
            for method, pair in values.items() for weights, value in zip(("trained", "anew"), pair, strict=True) for i in range(12)]

    class Told:
        network = Network("ResNet18", None, None, "by hand", True)
        fall, target, correct = np.arange(9.0), np.arange(9), np.arange(1, 9)
        bed = None

    Told.bed = Told
    scored = attribution_bed.Scored(Told, pd.DataFrame(rows), {}, {"hires_cam": "a reason"})
    return Study(request_of(("resnet18",)), None, [scored])


@pytest.mark.parametrize(("values", "verdict"), [
    ({"grad_cam": (0.9, 0.3), "magnitude": (0.5, 0.5)}, True), ({"grad_cam": (0.5, 0.3), "magnitude": (0.5, 0.5)}, False),
    ({"grad_cam": (0.9, 0.9), "magnitude": (0.5, 0.5)}, False), ({"grad_cam": (0.05, 0.01), "magnitude": (0.0, 0.0)}, False)])
def test_a_map_survives_where_it_beats_magnitude_new_weights_and_chance(values, verdict):
    found = made_up(values)
    assert found.survives("ResNet18", "grad_cam") is verdict
    assert ("passed by Grad-CAM" in found.reading()) == verdict
    assert ("<b>" in found.class_table().to_html()) == verdict
    assert ("No method passes" in found.reading()) != verdict
    assert found.gain("ResNet18", "grad_cam").estimate == pytest.approx(values["grad_cam"][0] - values["magnitude"][0])
    assert "does not lower its logit of RBBB:" in found.reading()


def test_a_map_like_that_of_new_weights_or_of_a_fresh_network_is_not_passed():
    found = made_up({"grad_cam": (0.9, 0.3), "magnitude": (0.5, 0.5)})
    found.table["correlation_1"] = 0.8
    assert found.survives("ResNet18", "grad_cam") is False
    found = made_up({"grad_cam": (0.9, 0.3), "magnitude": (0.5, 0.5)})
    object.__setattr__(found.scored[0].asked.network, "trained", False)
    assert found.survives("ResNet18", "grad_cam") is None and "Fresh weights" in found.reading()


def test_the_mean_over_classes_and_its_interval_are_those_of_a_loop():
    found = made_up({"grad_cam": (0.4, 0.3), "magnitude": (0.5, 0.5)})
    values = found.values("ResNet18", "grad_cam", "asked")
    by_class = [values.loc[values["label"] == label, "value"].mean() for label in ("PVC", "RBBB")]
    score = found.score("ResNet18", "grad_cam", "asked")
    assert score.estimate == pytest.approx(np.mean(by_class))
    assert score.interval.low < score.estimate < score.interval.high
    gain = found.gain("ResNet18", "grad_cam").interval                 # the same draws: the classes' own spread cancels
    assert gain.high - gain.low < 1e-9


def test_a_gain_is_taken_on_the_classes_that_the_method_has():
    found = made_up({"grad_cam": (0.9, 0.3), "magnitude": (0.5, 0.5)})
    own = (found.table["method"] == "grad_cam") & (found.table["label"] == "RBBB")
    found.table.loc[own, ["asked", "asked_chance"]] = np.nan
    found.table.loc[(found.table["method"] == "magnitude") & (found.table["label"] == "RBBB"), "asked"] = 0.0
    assert found.gain("ResNet18", "grad_cam").estimate == pytest.approx(0.4)
    own = found.score("ResNet18", "grad_cam", "asked").estimate
    assert found.gain("ResNet18", "grad_cam", "chance").estimate == pytest.approx(own - 0.1)


def test_cells_wider_than_a_beat_do_not_say_where_in_it(bed):
    table = score_maps(knowing(bed), ("occlusion_beat",)).table
    assert table.loc[table["label"] == "RBBB", "asked"].isna().all() and table.loc[table["label"] == "PVC", "asked"].notna().all()


def test_tables_and_what_is_not_given():
    found = made_up({"grad_cam": (0.9, 0.3), "magnitude": (0.5, 0.5)})
    assert "a reason" in found.refusals() and "HiResCAM" in found.refusals()
    assert "STE" in found.network_table().to_html() and "survives" in found.check_table().to_html()
    assert "insertion" in found.place_table().to_html()


def test_a_task_without_known_evidence_is_refused():
    with pytest.raises(ConfigurationError, match="nine"):
        networks(["resnet18"], "ptbxl", "rhythm", profile("smoke"))


def test_record_lists_say_why():
    found = record_list("grad_cam")
    assert all(part["why"] for part in found.values())
    assert set(attribution_figures.pictured()) <= set(ABNORMAL)
    with pytest.raises(DataError, match="no list"):
        record_list("nothing")


def test_figures(bed):
    names = ("im_ecg", "resnet18")
    scored = [score_maps(attribution_bed.ask(network, bed), ("grad_cam", "magnitude"))
              for network in networks(names, "synthetic", "", profile("smoke"))]
    found = Study(request_of(names, ("grad_cam", "magnitude")), bed, scored)
    assert "no recordings" in attribution_figures.recorded(found).axes[0].texts[0].get_text().lower()
    assert [network.name for network in found.readers] == ["IM-ECG", "ResNet18"]
    page = attribution_figures.twelve_leads(found, "RBBB")
    assert "RBBB: Grad-CAM (IM-ECG, fresh weights" in page.axes[0].texts[-4].get_text() + " ".join(t.get_text() for t in page.axes[0].texts)
    strips = attribution_figures.side_by_side(found, "I-AVB").axes[0]
    assert len(strips.images) == 4                                     # two networks, two methods
    assert attribution_figures.deletion_and_insertion(found).axes
    spans = attribution_figures._spans(np.array([0, 1, 1, 0, 1], bool), 100)
    assert spans == [(0.01, 0.02), (0.04, 0.04)]


def test_words_without_recordings(monkeypatch, tmp_path):
    monkeypatch.setenv("ECGSTUDY_DATA", str(tmp_path))
    assert "LUDB is not on this machine" in attribution_page.on_recordings(made_up({"magnitude": (0.5, 0.5)}))
