"""ST-MEM's page: millivolts and means against slow loops, kinds of patches, lead similarities, what is drawn and said."""

from __future__ import annotations

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ecgstudy.data.synthetic import simulate
from ecgstudy.leads import LEADS
from ecgstudy.models import SignalSpec
from ecgstudy.models.registry import build_pretrainer, model_entry
from ecgstudy.models.st_mem import standardise
from ecgstudy.study import axis_page, pretraining
from ecgstudy.study.axis_page import Comparison
from ecgstudy.study.papers import st_mem as page
from ecgstudy.study.papers.validation import ValidationRecords
from ecgstudy.study.pretraining import Pretrained
from ecgstudy.study.sweep import Outcome

SIGNAL = SignalSpec(12, 1000, 100)
SMALL = {"width": 16, "depth": 1, "heads": 2, "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
HISTORY = ({"validation_loss": 1.1, "validation_seen": 1.2}, {"validation_loss": 0.9, "validation_seen": 0.8})


def network(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_pretrainer("st_mem", SIGNAL, **SMALL).eval()


@pytest.fixture(scope="module")
def seen():
    made, simulation = simulate(4, range(5)), simulate(page.SEED, range(6))
    scaled = torch.from_numpy((made.signals / made.signals.std()).astype(np.float32))
    records = ValidationRecords(made.signals, scaled, made.labels, list("abcde"), made.classes, 100)
    net = Pretrained(network(1), network(), "pretrained on synthetic, smoke profile, seed 0", HISTORY, SimpleNamespace())
    return page.Subject(net, records, simulation, page.scaled(simulation, None))


@torch.no_grad()
def test_two_networks_are_asked_the_same(seen):
    first, second = (page.fill(model, seen.x, 3) for model in (seen.net.model, seen.net.untrained))
    assert np.array_equal(first.hidden, second.hidden) and not np.array_equal(first.predicted, second.predicted)
    assert first.predicted.shape == (6, 12, 30, 30) and first.errors.shape == first.hidden.shape == (6, 12, 30)
    assert (first.hidden.sum(axis=-1) == 23).all() and not np.array_equal(page.fill(seen.net.model, seen.x, 4).hidden, first.hidden)
    target = standardise(seen.net.model.patches(seen.x)).numpy()
    assert first.errors[2, 5, 7] == pytest.approx(float(((first.predicted[2, 5, 7] - target[2, 5, 7]) ** 2).mean()), rel=1e-5)


def test_back_to_millivolts_with_the_true_mean_and_deviation():
    true = np.random.default_rng(0).normal(0.3, 0.2, (3, 4, 30))
    standard = (true - true.mean(axis=-1, keepdims=True)) / true.std(axis=-1, keepdims=True)
    np.testing.assert_allclose(page.in_millivolts(standard, true), true)


def test_means_are_over_the_chosen_alone():
    errors, chosen = np.arange(24.0).reshape(2, 3, 4), np.zeros((2, 3, 4), bool)
    chosen[0, 1, 2:], chosen[0, 2, 0] = True, True
    found = page.mean_of(errors, chosen, (1, 2))
    assert found[0] == pytest.approx((6 + 7 + 8) / 3) and np.isnan(found[1])


def test_the_typical_record_is_the_median():
    errors = np.array([5.0, 1, 3, 2, 4])[:, None, None] * np.ones((1, 2, 3))
    assert page.typical(page.Filled(errors, errors, np.ones((5, 2, 3), bool))) == 2


def test_a_patch_is_of_the_first_wave_that_it_holds(seen):
    kinds, beats, fs = page.patch_kinds(seen.simulation, seen.net.model), seen.simulation.beats, 100
    assert kinds.shape == (6, 30)
    for record in range(6):
        for i in range(30):
            samples = range(50 + 30 * i, 80 + 30 * i)
            wanted = 3
            for kind, (on, off) in ((2, ("p_on", "p_off")), (1, ("t_on", "t_off")), (0, ("qrs_on", "qrs_off"))):
                for begin, end in beats.loc[beats["record"] == record, [on, off]].dropna().to_numpy(float):
                    if any(round(begin * fs) <= sample <= round(end * fs) for sample in samples):
                        wanted = kind
            assert kinds[record, i] == wanted
    assert set(np.unique(kinds)) >= {0, 1}


def test_errors_by_lead_and_by_kind_are_means_of_records(seen):
    by_lead, by_kind = page.errors_by(seen, seen.net.model)
    assert by_lead.mean.shape == (12,) and by_kind.mean.shape == (4,)
    kinds = page.patch_kinds(seen.simulation, seen.net.model)
    filled = [page.fill(seen.net.model, seen.x, page.SEED + draw) for draw in range(page.DRAWS)]
    own = []
    for record in range(6):
        own.append(np.mean([f.errors[record, 4, i] for f in filled for i in range(30) if f.hidden[record, 4, i]]))
    assert by_lead.mean[4] == pytest.approx(np.mean(own), rel=1e-5)
    assert by_lead.reach[4] == pytest.approx(1.96 * np.std(own, ddof=1) / np.sqrt(6), rel=1e-5)
    waves = [np.mean([f.errors[r, lead, i] for f in filled for lead in range(12) for i in range(30)
                      if f.hidden[r, lead, i] and kinds[r, i] == 0]) for r in range(6) if (kinds[r] == 0).any()]
    assert by_kind.mean[0] == pytest.approx(np.mean(waves), rel=1e-5)


@torch.no_grad()
def test_a_flat_line_costs_one_for_every_lead_and_wave(seen):
    flat = network(2)
    flat.decoder.predict.weight.zero_()
    flat.decoder.predict.bias.zero_()
    by_lead, by_kind = page.errors_by(seen, flat)
    np.testing.assert_allclose(by_lead.mean, 1, atol=0.02)
    np.testing.assert_allclose(by_kind.mean[~np.isnan(by_kind.mean)], 1, atol=0.02)


@torch.no_grad()
def test_similarities_of_leads():
    model = network(3)
    found, vectors = page.lead_cosines(model), model.encoder.leads.double().numpy()
    assert found[2, 9] == pytest.approx(vectors[2] @ vectors[9] / np.linalg.norm(vectors[2]) / np.linalg.norm(vectors[9]))
    signals = np.random.default_rng(1).normal(size=(3, 12, 200))
    signals[:, 3] = -2 * signals[:, 0] + 1
    signals[1, 5] = 0                                                       # a lead that does not move says nothing of its record
    correlations = page.lead_correlations(signals)
    assert correlations[0, 3] == pytest.approx(-1) and np.isfinite(correlations).all()
    assert correlations[4, 5] == pytest.approx(np.mean([np.corrcoef(signals[r, 4], signals[r, 5])[0, 1] for r in (0, 2)]))
    assert [page.agreement(sign * correlations, correlations) for sign in (1, -1)] == pytest.approx([1, -1])


def test_scaled_as_the_network_was_fed(seen):
    found = page.scaled(seen.simulation, {"mean": 10.0, "deviation": 200.0})
    assert found[3, 4, 500].item() == pytest.approx((1000 * seen.simulation.signals[3, 4, 500] - 10) / 200, rel=1e-4)
    assert seen.x.std().item() == pytest.approx(1, abs=1e-3)


def test_the_pictures(seen, monkeypatch):
    kept = []
    monkeypatch.setattr(axis_page, "save_picture", lambda figure, request: kept.append(request))
    drawn = page.filled_figure(seen, SimpleNamespace(page=SimpleNamespace(request="asked")))
    assert kept == ["asked"]
    assert [axis.get_title(loc="left") for axis in drawn.axes] == [lead for pair in zip(LEADS[:6], LEADS[6:], strict=True) for lead in pair]
    filled = page.fill(seen.net.model, seen.records.scaled, page.SEED)
    row = page.typical(filled)
    lines = [line for line in drawn.axes[0].lines if line.get_color() == page.FILLED]
    hidden = np.flatnonzero(filled.hidden[row, 0, :15])
    assert [line.get_xdata()[0] for line in lines] == pytest.approx(list(0.3 * hidden)) and len(drawn.axes[0].patches) == 15 - len(hidden)
    true = seen.records.millivolts[row, 0, 50:950].reshape(30, 30)
    wanted = filled.predicted[row, 0, hidden[0]] * true[hidden[0]].std() + true[hidden[0]].mean()
    np.testing.assert_allclose(lines[0].get_ydata(), wanted, atol=1e-5)
    leads = page.lead_figure(seen)
    np.testing.assert_allclose(leads.axes[1].images[0].get_array(), page.lead_cosines(seen.net.model))
    errors = page.error_figure(seen)
    assert [text.get_text() for text in errors.axes[1].get_xticklabels()] == ["QRS", "T, no QRS", "P alone", "no wave"]
    plt.close("all")


def test_the_words_are_the_numbers(seen):
    told = page.in_words(seen)
    by_lead, _ = page.errors_by(seen, seen.net.model)
    assert f"costs {by_lead.mean.mean():.2f} on average" in told and LEADS[int(by_lead.mean.argmin())] in told
    assert ("nothing of a hidden patch's shape is known" in told) == (by_lead.mean.mean() >= 1)
    assert "Over 2 epochs" in told and "from 1.100 to 0.900" in told and "ended at 0.800" in told and "before pretraining it was" in told
    fresh = page.Subject(Pretrained(seen.net.untrained, seen.net.untrained, "fresh weights", (), None), *list(vars(seen).values())[1:])
    told = page.in_words(fresh)
    assert "nothing was learned yet" in told and "Pretraining" not in told


def test_counts_and_cost():
    shown = page.count_table().data
    for name, (_, _, *expected) in page.COUNTS.items():
        line = shown[shown[("", "size")] == name].iloc[0]
        assert [line[("pretraining", "with tables")], line[("classifier", "with tables")]] == [f"{count:,}" for count in expected]
        assert [line[("notes", f"{part}, expected")] for part in ("pretraining", "classifier")] == [f"{count:,}" for count in expected]
    told = page.cost_in_words(axis_page.ask(model_parameters(), "st_mem"))
    assert "7 are kept, so 23 (76.7%) are hidden" in told and "108 tokens" in told and "384 tokens" in told


def model_parameters() -> dict:
    """What the notebook's parameters cell says."""
    return {"dataset": "synthetic", "task": "", "profile": "smoke", "networks": "all", "seeds": "auto", "missing": "train"}


def test_reported_scores_stand_grey():
    table = page.reported_table()
    assert {column[0] for column in table.data.columns} == {"notes"}
    assert table.data[("notes", "fine-tuned")].tolist()[-2:] == ["0.933", "0.934"] and table.data[("notes", "linear")].tolist()[-1] == "–"


def test_a_page_that_was_not_asked_for_the_pretrained_runs_shows_fresh_weights():
    asked = axis_page.ask(model_parameters() | {"networks": "st_mem"}, "st_mem")
    net = pretraining.pretrained(Comparison(asked, Outcome(), []), *page.WANTED)
    assert net.weights == "fresh weights" and net.run is None
    assert net.model.encoder.leads.shape == (12, model_entry("st_mem").quick["width"])
