"""LUDB's marks as parts of the beat, and which recordings carry a class."""

import os

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ecgstudy.data import ludb
from ecgstudy.leads import LEADS
from ecgstudy.study import attribution_ludb
from ecgstudy.study.attribution_bed import Network

needs_ludb = pytest.mark.skipif(not os.environ.get("ECGSTUDY_DATA"), reason="set ECGSTUDY_DATA to a folder with ludb/ to test on LUDB")
BEAT = [("P", 1.00, 1.10), ("QRS", 1.20, 1.29), ("T", 1.45, 1.60), ("QRS", 2.20, 2.30)]


def waves(leads=LEADS, beat=BEAT):
    return pd.DataFrame([(lead, wave, on, (on + off) / 2, off) for lead in leads for wave, on, off in beat],
                        columns=["lead", "wave", "onset", "peak", "offset"])


def test_every_sample_between_the_marks_belongs_to_one_part():
    parts, read = attribution_ludb.parts_of(waves())
    assert list(np.flatnonzero(read)[[0, -1]]) == [100, 230]
    np.testing.assert_array_equal(np.sum(list(parts.values()), axis=0), read.astype(int))
    assert list(np.flatnonzero(parts["P"])[[0, -1]]) == [100, 110] and list(np.flatnonzero(parts["PR"])) == list(range(111, 120))
    assert parts["QRS"].sum() == 10 + 11 and parts["T"].sum() == 16


def test_a_wave_needs_half_of_the_leads():
    few, many = (attribution_ludb.parts_of(pd.concat([waves(LEADS[:n]), waves(LEADS[n:], BEAT[1:])]))[0] for n in (5, 6))
    assert not few["P"].any() and many["P"].sum() == 11


def test_marks_that_were_not_set_are_left_out():
    broken = waves()
    broken.loc[broken["wave"] == "T", "offset"] = np.nan
    parts, _ = attribution_ludb.parts_of(broken)
    assert not parts["T"].any() and parts["QRS"].any()


def test_labels_are_read_from_the_published_lines():
    catalog = pd.DataFrame({
        "record_id": ["1", "2", "3"], "path": ["a", "b", "c"], "statements": ["Atrial fibrillation", "Sinus rhythm", ""],
        "conduction": ["", "Incomplete right bundle branch block;I degree av block", "Complete left bundle branch block"],
        "extrasystoles": ["Ventricular extrasystole, type: single pvc", "", ""]})
    found = attribution_ludb.carriers(catalog)
    assert list(zip(found["record_id"], found["label"], strict=True)) == [("1", "AF"), ("1", "PVC"), ("2", "I-AVB"), ("3", "LBBB")]


class Answers(nn.Module):
    """Always the same class, whose gradient is one everywhere."""

    def __init__(self, k):
        super().__init__()
        self.k = k

    def forward(self, x):
        return x.abs().mean(dim=(1, 2)).unsqueeze(1) * nn.functional.one_hot(torch.tensor(self.k), 9) - 1e3 * (1 - nn.functional.one_hot(
            torch.tensor(self.k), 9))


def test_a_class_is_given_at_its_own_threshold():
    x, k = torch.full((2, 12, 1000), 0.5), np.array([2, 3])
    assert Network("fresh", Answers(2), None, "", False).gives(x, k).tolist() == [True, False]
    trained = Network("trained", Answers(2), None, "", True, (0.7,) * 9)
    assert trained.gives(x, k).tolist() == [False, False]                           # sigmoid(0.5) is 0.62
    assert trained.gives(2 * x, k).tolist() == [True, False]                        # sigmoid(1) is 0.73


@needs_ludb
def test_an_even_map_has_density_one_in_every_part_and_magnitude_gathers_in_the_qrs():
    folder = attribution_ludb.source()
    assert attribution_ludb.carriers(ludb.catalog(folder))["label"].value_counts()["I-AVB"] == 10
    found = attribution_ludb.measure([Network("always I-AVB", Answers(2).eval(), None, "", True)], folder, ("magnitude", "random"))
    assert set(found["label"]) == {"I-AVB"} and found["record"].nunique() == 10
    by_method = found.groupby("method")["expected"].mean()
    assert by_method["random"] == pytest.approx(1, abs=0.05) and by_method["magnitude"] < 1          # what is tall is the QRS
    assert "I-AVB" in attribution_ludb.table(found).to_html()


def test_density_is_the_share_of_the_map_over_that_of_the_time():
    parts, read = attribution_ludb.parts_of(waves())
    curve = np.zeros(1000)
    curve[parts["QRS"]] = 3.0
    curve[parts["T"]] = 1.0
    curve[~read] = 100.0                                        # outside the marks nothing is read
    total = 3 * 21 + 16
    assert attribution_ludb.density(curve, parts["QRS"], read) == pytest.approx(3 * 21 / total / (21 / 131))
    assert attribution_ludb.density(curve, parts["P"], read) == 0
    assert np.isnan(attribution_ludb.density(np.zeros(1000), parts["QRS"], read))


def made_up(own, magnitude):
    """Densities of a method and of |x| on the same recordings of one class."""
    rows = [{"network": "N", "told": "by hand", "method": method, "label": "LBBB", "record": str(i), "expected": value + 0.01 * i}
            for method, value in (("grad_cam", own), ("magnitude", magnitude)) for i in range(8)]
    return pd.DataFrame(rows)


def test_bold_is_what_lies_above_magnitude_on_the_same_recordings_and_above_an_even_map():
    for own, magnitude, bold in ((2.0, 1.0, True), (1.0, 1.0, False), (0.5, 1.0, False), (0.9, 0.2, False)):
        shown = attribution_ludb.table(made_up(own, magnitude)).data
        assert ("<b>" in shown["LBBB<br>QRS"][0]) == bold and shown["LBBB<br>QRS"][2] == "<i>8</i>"
        assert shown["LBBB<br>QRS"][0].replace("<b>", "").startswith(f"{own + 0.035:.2f}"[:3])
    few = attribution_ludb.table(made_up(2.0, 1.0).groupby("method").head(4)).data
    assert "[" not in few["LBBB<br>QRS"][0] and "<b>" not in few["LBBB<br>QRS"][0]
