"""Page 09's own parts: what the streams see, the notes' F1 in the right rows, and gains that are called only where they are earned."""

from __future__ import annotations

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ecgstudy.data.labels import CPSC_CLASSES
from ecgstudy.evaluate.metrics import score
from ecgstudy.study import ledger, time_frequency
from ecgstudy.study.axis_page import AxisPage, Comparison
from ecgstudy.study.comparison import compare
from ecgstudy.study.profiles import profile
from ecgstudy.study.request import Request
from ecgstudy.study.sweep import Outcome
from ecgstudy.study.variants import axis

ENVIRONMENT = {"device_name": "a CPU", "commit": "0123456789abcdef", "edited": False, "finished": "2026-01-01T00:00Z"}
AF = CPSC_CLASSES.index("AF")
ENOUGH = 400        # draws: the smallest p that they allow, 2 in 401, stays below 0.05 after correction over nine classes


def compared(runs, streams=("time", "frequency", "two_stream")):
    """The page's comparison of runs that `made_run` made under a stream's name."""
    for run in runs:
        run.result.update({"environment": ENVIRONMENT, "training": {"best_epoch": 1, "seconds": 60.0}})
        run.result["data"]["digest"] = "d" * 64
    names = {run.experiment: dict(run.experiment.settings)["attention"] for run in runs}
    page = AxisPage(axis("time_frequency"),
                    Request("09_time_frequency", "synthetic", "nine", profile("quick"), (0, 1, 2), {"streams": tuple(streams)}))
    page.__dict__["plan"] = names
    return Comparison(page, Outcome(finished=list(runs)), compare(runs, names, "time", 100))


def with_test_logits(run, logits):
    """The same run with other logits on test, and the scores that they give."""
    stored = dataclasses.replace(run.predictions, test_logits=logits)
    run.__dict__["predictions"] = stored
    run.result["scores"] = {"test": ledger.scores_to_json(score(logits, stored.test_targets, CPSC_CLASSES, True, run.thresholds))}
    return run


def knows_af(run):
    logits = run.predictions.test_logits.copy()
    logits[:, AF] += 4 * run.predictions.test_targets[:, AF]
    return with_test_logits(run, logits)


class TestGains:
    def test_the_class_that_a_stream_knows_is_called_and_no_other(self, made_run):
        pairs = [(made_run("time", seed, 1.0), made_run("time", seed, 1.0)) for seed in range(3)]
        for _, other in pairs:
            other.result["experiment"]["settings"] = {"attention": "two_stream"}
        found = compared([each for base, other in pairs for each in (base, knows_af(other))])
        gains = time_frequency.class_gains(found, ENOUGH)
        assert [gain.name for gain in gains if gain.difference.verdict == "better"] == ["AF"]
        same = [gain for gain in gains if gain.name != "AF"]
        assert len(same) == 8 and all(g.difference.interval.low == g.difference.interval.high == 0 for g in same)   # paired draws
        words = time_frequency.gains_in_words(gains)
        assert "of 9 comparisons 1 can be decided: `two_stream` is better on **AF** (+" in words and "luck of a seed" not in words

    def test_the_mean_gain_is_the_difference_of_the_macro_mean(self, made_run):
        found = compared([made_run(name, seed, skill) for seed in range(2) for name, skill in (("time", 1.0), ("frequency", 1.5))])
        mean = np.mean([gain.difference.interval.estimate for gain in time_frequency.class_gains(found, 50)])
        assert mean == pytest.approx(found.rows[1].difference["macro_auroc"].interval.estimate)

    def test_one_seed_never_decides(self, made_run):
        gains = time_frequency.class_gains(compared([made_run("time", 0, 0.5), made_run("frequency", 0, 4.0)]), ENOUGH)
        assert min(gain.difference.p_holm for gain in gains) < 0.05
        assert {gain.difference.verdict for gain in gains} == {"undecided"}
        words = time_frequency.gains_in_words(gains)
        assert "of 9 comparisons none can be decided. The patients alone would separate `frequency` on " in words
        assert "better" not in words and "with 1 seed this is not told apart from the luck of a seed" in words

    def test_p_is_corrected_over_every_stream_and_class(self, made_run):
        base, other = made_run("time", 0, 1.0), made_run("frequency", 0, 1.3)
        alone = time_frequency.class_gains(compared([base, other]), 300)
        both = time_frequency.class_gains(compared([base, other, made_run("two_stream", 0, 1.3)]), 300)
        assert [gain.difference.interval for gain in both[:9]] == [gain.difference.interval for gain in alone]
        assert all(b.difference.p_holm >= a.difference.p_holm for a, b in zip(alone, both[:9], strict=True))
        assert any(b.difference.p_holm > a.difference.p_holm for a, b in zip(alone, both[:9], strict=True))

    def test_a_class_of_few_positives_is_shown_and_not_tested(self, made_run, monkeypatch):
        monkeypatch.setattr(time_frequency, "FEWEST_POSITIVES", 45)         # Normal, AF, I-AVB and LBBB have 45 of 400, the rest 44
        found = compared([made_run(name, seed, skill) for seed in range(3) for name, skill in (("time", 1.0), ("frequency", 4.0))])
        gains = time_frequency.class_gains(found, ENOUGH)
        assert [np.isnan(gain.difference.p_holm) for gain in gains] == [False] * 4 + [True] * 5
        assert {gain.difference.verdict for gain in gains[4:]} == {"undecided"}
        assert "4 classes with at least 45 positive" in time_frequency.gains_in_words(gains)

    def test_a_class_that_the_fold_lacks_is_left_out(self, made_run):
        found = []
        for name in ("time", "frequency"):
            run = made_run(name, 0, 1.0)
            targets = run.predictions.test_targets.copy()
            targets[:, AF] = 0
            run.__dict__["predictions"] = dataclasses.replace(run.predictions, test_targets=targets)
            found.append(with_test_logits(run, run.predictions.test_logits))
        assert [gain.name for gain in time_frequency.class_gains(compared(found), 50)] == [n for n in CPSC_CLASSES if n != "AF"]

    def test_without_the_time_stream_nothing_is_compared(self, made_run):
        gains = time_frequency.class_gains(compared([made_run("frequency", 0, 1.0)], ["frequency"]), 50)
        assert gains == [] and "nothing is tested" in time_frequency.gains_in_words(gains)
        plt.close(time_frequency.gains_figure(gains, "none"))

    def test_the_figure_fills_only_what_is_decided(self, made_run):
        runs = [made_run("time", seed, 1.0) for seed in range(3)] + [knows_af(made_run("two_stream", seed, 1.0)) for seed in range(3)]
        gains = time_frequency.class_gains(compared(runs), ENOUGH)
        figure = time_frequency.gains_figure(gains, "gains")
        filled = [line for line in figure.axes[0].lines if line.get_marker() == "o" and line.get_markerfacecolor() != "white"]
        assert len(filled) == sum(gain.difference.verdict != "undecided" for gain in gains) >= 1
        plt.close(figure)


class TestF1:
    def test_the_notes_order_becomes_ours(self):
        told = dict(zip(CPSC_CLASSES, time_frequency.notes_f1(["time"])["time"], strict=True))
        assert told == {"I-AVB": 0.8844, "AF": 0.9231, "LBBB": 0.88, "RBBB": 0.95, "Normal": 0.7514, "PAC": 0.6392, "STD": 0.8024,
                        "STE": 0.7692, "PVC": 0.7669}

    def test_ours_and_the_notes_stand_side_by_side(self, made_run):
        runs = [made_run("time", 0, 2.0), made_run("two_stream", 0, 2.0)]
        table = time_frequency.f1_table(compared(runs).rows)
        assert list(table.data["notes"].columns) == list(table.data["test F1"].columns) == ["time", "Two streams"]
        line = table.data[table.data[("", "class")] == "STE"].iloc[0]
        assert line[("notes", "Two streams")] == "0.7805" and float(line[("test F1", "time")]) == pytest.approx(
            runs[0].result["scores"]["test"]["f1"][CPSC_CLASSES.index("STE")], abs=6e-4)
        assert table.data.iloc[-1][("", "class")] == "mean" and "#8a8a8a" in table.to_html()

    def test_other_classes_have_no_notes(self, made_run):
        run = made_run("time", 0, 2.0)
        run.result["experiment"].update({"dataset": "ptbxl", "task": "rhythm"})
        html = time_frequency.f1_table(compared([run]).rows).to_html()
        assert "notes" not in html and "CPSC2018" not in html


class TestPicture:
    @pytest.mark.parametrize("index", time_frequency.SHOWN)
    def test_the_shown_records_are_what_their_titles_say(self, index):
        from ecgstudy.data.synthetic import simulate

        simulation = simulate(time_frequency.SEED, [index])
        stated = [name for name, is_true in zip(simulation.classes, simulation.labels[0], strict=True) if is_true]
        assert stated == [time_frequency.SHOWN[index].split(":")[0]]

    def test_only_the_regular_rhythm_is_a_comb(self):
        def contrast(seen):
            """Magnitude at the multiples of the heart rate over that halfway between, up to the QRS band's end."""
            multiples = seen.beats_a_second * np.arange(1, 8)
            teeth = [seen.whole[np.round(10 * (multiples + shift * seen.beats_a_second)).astype(int)].mean() for shift in (0, 0.5)]
            return teeth[0] / teeth[1]

        regular, irregular = (time_frequency.look(index, title) for index, title in time_frequency.SHOWN.items())
        assert regular.image.shape == (51, 41) and contrast(regular) > 5 > 2 > contrast(irregular)

    def test_cells_are_centred_on_their_time_and_frequency(self):
        assert time_frequency._cells(np.zeros((51, 41))) == (-0.125, 10.125, -0.5, 50.5)

    def test_it_names_the_band_and_the_comb(self):
        figure = time_frequency.what_the_streams_see()
        words = [text.get_text() for axis in figure.axes for text in axis.texts] + [t.get_text() for t in figure.legends[0].texts]
        assert "QRS band, 5 to 15 Hz" in words and "multiples of the heart rate" in words
        plt.close(figure)


def test_the_reading_names_size_as_a_rival_explanation(made_run):
    found = compared([made_run(name, seed, 1.0) for seed in range(3) for name in ("time", "two_stream")])
    text = time_frequency.reading(found, time_frequency.class_gains(found, 100))
    assert "3.9 times the parameters" in text and "not tuned" in text and "sweep time_frequency" in text
    only = compared([made_run("time", 0, 1.0)], ["time"])
    assert "times the parameters" not in time_frequency.reading(only, [])
