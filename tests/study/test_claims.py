"""Claims are data that name only what exists, nobody is left out, and every kind of test reaches every verdict from runs alone."""

import dataclasses

import numpy as np
import pytest
import yaml

from ecgstudy import files
from ecgstudy.errors import ConfigurationError, DataError
from ecgstudy.evaluate.bootstrap import Interval
from ecgstudy.models import list_models
from ecgstudy.models.registry import model_entry
from ecgstudy.study import claim_verdicts, claims, comparison, counts_page, frequency_claim
from ecgstudy.study.claim_verdicts import MET, NOT_COMPARABLE, NOT_MET, NOT_RUN, UNTOLD, Evidence, Place, places, verdicts
from ecgstudy.study.claims import Bands, Better, Claim, Claims, Counts, Noise, NoWorse, Number, Order, Records
from ecgstudy.study.comparison import Difference
from ecgstudy.study.frequency_claim import ATTENDING, Contrast
from ecgstudy.study.probes import CLEAN, Probe, Score

QUICK, FULL = Place("ptbxl", "nine", "quick"), Place("ptbxl", "nine", "full")
AXIS, DRAWS = "attention_ablation", 200
TOLD = yaml.safe_load((files.repository() / "book" / "claims.yaml").read_text(encoding="utf-8"))
ENTRY = next(each for each in TOLD["claims"] if each["id"] == "attention-shift")


# -- the file -----------------------------------------------------------------------------------------------------------

def test_every_reported_section_and_every_paper_has_a_claim():
    reported = yaml.safe_load((files.repository() / "book" / "reported.yaml").read_text(encoding="utf-8"))
    wanted = set(reported) - {"classes", "papers"} | {f"papers.{name}" for name in reported["papers"]}     # classes: names alone
    found = claims.claims().claims
    assert set().union(*(claim.sections for claim in found)) == wanted
    papers = {name for name in list_models() if model_entry(name).sizes}
    assert len(papers) == 16 and {claim.source for claim in found} == papers | {"notes", "ptbxl_benchmark"}


def test_printed_numbers_are_looked_up():
    found = {claim.id: claim for claim in claims.claims().claims}
    assert dict(found["attention-shift"].reported) == {"window": 0.8261, "shifted": 0.8129}
    assert dict(found["cpc-tuned"].reported)["CPC"] == 0.942


@pytest.mark.parametrize("change, complaint", [
    ({"verdict": "met"}, "verdict, which no claim has"),
    ({"not_comparable": "other data"}, "not both"),
    ({"source": "minna"}, "mina"),
    ({"page": "04_attention"}, "which the book does not have"),
    ({"reported": {"window": "attention_ablation.windoow.test_f1"}}, "windoow"),
    ({"data": ["cpsc", "nein"]}, "nein"),
    ({"test": {"kind": "beter"}}, "better"),
    ({"test": ENTRY["test"] | {"axis": "attention_ablatoin"}}, "attention_ablation"),
    ({"test": ENTRY["test"] | {"others": ["windw"]}}, "window"),
    ({"test": ENTRY["test"] | {"metric": "f1"}}, "macro_f1"),
    ({"test": ENTRY["test"] | {"margin": 0.1}}, "margin"),
    ({"test": {"kind": "number", "axis": AXIS, "metric": "macro_f1", "variant": "mhsa"}}, "one printed value"),
    ({"test": {"kind": "count", "rows": ["resnet19"]}}, "resnet18"),
])
def test_a_claim_that_names_what_does_not_exist_is_refused(change, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        claims.read(ENTRY | change)


def test_two_claims_of_one_id_are_refused(tmp_path):
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump({"margin": 0.01, "claims": [ENTRY, ENTRY]}))
    with pytest.raises(ConfigurationError, match="two claims of the id attention-shift"):
        claims.claims(tmp_path / "claims.yaml")


# -- verdicts from made ledgers -----------------------------------------------------------------------------------------

def claim(test, data=("ptbxl", "nine"), reported=(), source="notes", name="it", why=""):
    return Claim(name, source, "04_attention_ablation", "A claim.", reported, (), data, test, why)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(claim_verdicts, "N_REPLICATES", DRAWS)


@pytest.fixture
def placed(made_run):
    """Makes the run that a variant stands for at a place, with logits of a skill; `like` copies another run's predictions."""
    def make(variant, seed, skill, place=QUICK, axis=AXIS, like=None):
        experiment = next(e for e in claim_verdicts.wanted_of(axis, variant, place) if e.seed == seed)
        made = like or made_run(variant, seed, skill)
        run = dataclasses.replace(made, result=made.result | {"experiment": experiment.to_json(), "key": experiment.key("0" * 64)})
        run.__dict__["predictions"] = made.predictions
        return run
    return make


@pytest.fixture
def ledger_of(placed):
    """Runs of variants {name: skill}, with as many seeds as asked."""
    return lambda skills, n_seeds=3, place=QUICK: [placed(name, seed, skill, place) for name, skill in skills.items()
                                                   for seed in range(n_seeds)]


def one(told, runs, **rest):
    return verdicts(Claims((told,), 0.01), Evidence(runs, **rest))[0]


@pytest.mark.parametrize("skills, n_seeds, word, why", [
    ({"mhsa": 4.0, "window": 1.0, "hilo": 1.0}, 3, MET, "above zero"),
    ({"mhsa": 1.0, "window": 4.0, "hilo": 0.5}, 3, NOT_MET, "1 of 2 comparisons goes the other way"),
    ({"mhsa": 4.0, "window": 4.0, "hilo": 1.0}, 3, UNTOLD, "1 of 2 decided; else the interval holds zero"),
    ({"mhsa": 4.0, "window": 1.0, "hilo": 1.0}, 1, UNTOLD, "1 seed"),
    ({"mhsa": 4.0, "window": 1.0}, 3, NOT_RUN, "sweep attention_ablation --dataset ptbxl --task nine --profile full"),
])
def test_better(ledger_of, skills, n_seeds, word, why):
    found = one(claim(Better(AXIS, "macro_auroc", "mhsa", ("window", "hilo"))), ledger_of(skills, n_seeds))
    assert found.word == word and why in found.why
    assert len(found.measured) == (0 if word == NOT_RUN else 2)


@pytest.mark.parametrize("skills, word", [((4.0, 2.0, 0.8), MET), ((2.0, 4.0, 0.8), NOT_MET), ((4.0, 4.0, 0.8), UNTOLD)])
def test_order(ledger_of, skills, word):
    runs = ledger_of(dict(zip(("mhsa", "window", "hilo"), skills, strict=True)))
    assert one(claim(Order(AXIS, "macro_auroc", ("mhsa", "window", "hilo"))), runs).word == word


def test_no_worse(ledger_of, placed):
    told = claim(NoWorse(AXIS, "macro_auroc", "window", ("mhsa",)))
    base = ledger_of({"mhsa": 2.0})
    alike = [placed("window", seed, 0, like=run) for seed, run in enumerate(base)]
    assert one(told, base + alike).word == MET                                  # equal to the last logit
    assert one(told, base[:1] + alike[:1]).word == UNTOLD                       # but not with one seed
    assert one(told, base + ledger_of({"window": 0.3})).word == NOT_MET
    assert one(told, ledger_of({"mhsa": 0.6, "window": 0.6})).word == UNTOLD      # an interval that holds zero is not enough
    assert one(told, base).word == NOT_RUN


def test_number(ledger_of):
    runs = ledger_of({"shunted": 2.0}, place=FULL)
    test = Number(AXIS, "macro_auroc", "shunted")
    measured = np.mean([run.result["scores"]["test"]["macro_auroc"] for run in runs])
    assert one(claim(test, reported=(("AUROC", measured),)), runs).word == MET
    assert "above the printed" in one(claim(test, reported=(("AUROC", 0.5),)), runs).why
    assert one(claim(test, reported=(("AUROC", 0.999),)), runs).word == NOT_MET
    assert one(claim(test, reported=(("AUROC", measured),)), runs[:2]).word == UNTOLD
    assert one(claim(test, reported=(("AUROC", measured),), data=("cpsc", "nine")), runs).word == NOT_RUN      # of other recordings
    short = one(claim(test, reported=(("AUROC", measured),)), ledger_of({"shunted": 2.0}))
    assert short.word == NOT_RUN and short.measured and "full network" in short.why                           # and never of a short run


def test_not_comparable(ledger_of):
    found = one(claim(None, why="single beats"), ledger_of({"mhsa": 1.0}))
    assert (found.word, found.why) == (NOT_COMPARABLE, "single beats")


def test_count(monkeypatch):
    row = counts_page.Count("ResNet18", (1, 12, 1000), ("3.85M", "1M"), ("3.85M", "1M"), 3_850_000, 1)
    monkeypatch.setattr(counts_page, "counts", lambda names: [row] * len(names))
    assert one(claim(Counts(("resnet18", "resnet34")), data=None), []).measured == ("4 of 4 printed figures are equal",)
    row = dataclasses.replace(row, ours=("3.85M", "2M"))
    found = one(claim(Counts(("resnet18",)), data=None), [])
    assert found.word == NOT_MET and "ResNet18" in found.why and found.as_claimed


def test_records(placed, monkeypatch):
    place = Place("ptbxl", "nine", "quick")
    run = placed("resnet18", 0, 1.0, place, "three_datasets")
    here = dict(zip(run.result["scores"]["test"]["classes"], run.result["scores"]["test"]["positives"], strict=True))
    told = claim(Records("ptbxl"))
    for n_more, word in ((0, MET), (1, NOT_MET)):
        printed = {"classes": list(here), "test": [n + n_more for n in here.values()]}
        monkeypatch.setattr(claim_verdicts, "printed", lambda printed=printed: {"dataset_counts": {"ptbxl": printed}})
        found = one(told, [run])
        assert found.word == word and found.as_claimed                           # a count of the test fold needs no full run
    assert one(told, []).word == NOT_RUN


def contrast(network, sign, n_seeds=3):
    side = Interval(0.02 * sign, *sorted((0.01 * sign, 0.03 * sign)), 100)
    other = Interval(-0.02 * sign, *sorted((-0.01 * sign, -0.03 * sign)), 100)
    return Contrast(network, side, other, side, ((0.02 * sign, -0.02 * sign),) * n_seeds)


@pytest.mark.parametrize("contrasts, word", [
    ([contrast(name, 1) for name in ATTENDING], MET), ([contrast(name, -1) for name in ATTENDING], NOT_MET),
    ([contrast(name, 1, n_seeds=2) for name in ATTENDING], UNTOLD), ([contrast(ATTENDING[0], 1)], NOT_RUN), ([], NOT_RUN)])
def test_bands(placed, monkeypatch, contrasts, word):
    runs = [placed(name, 0, 1.0, axis="stacking") for name in frequency_claim.NETWORKS]
    monkeypatch.setattr(frequency_claim, "contrasts", lambda losses: contrasts)
    assert one(claim(Bands()), runs, entry=lambda *_: None).word == word
    assert one(claim(Bands()), runs[:2], entry=lambda *_: None).word == NOT_RUN


@pytest.mark.parametrize("gain, n_seeds, word", [(0.1, 3, MET), (-0.1, 3, NOT_MET), (0.1, 2, UNTOLD), (0.0, 3, UNTOLD)])
def test_noise(placed, monkeypatch, gain, n_seeds, word):
    first, other, noise = "cpc_tuned_100", "cpc_ssl_scratch_100", Probe("noise", 10.0)
    runs = [placed(name, seed, 1.0, axis="self_supervised") for name in (first, other) for seed in range(n_seeds)]
    pretrained = {run.key for run in runs if run.experiment.begins_with is not None}
    assert len(pretrained) == n_seeds

    def scores(groups):
        draws = np.random.default_rng(0).normal(0, 0.01, 300)
        return {seed: {CLEAN: Score(0.9, np.full(300, 0.9)), noise: Score(each := 0.7 + gain * (entry in pretrained), each + draws * (
            1 if entry in pretrained else 0))} for seed, (entry,) in groups.items()}

    monkeypatch.setattr(claim_verdicts.probes, "macro_auroc", scores)
    told = claim(Noise("self_supervised", first, other, 10.0))
    found = one(told, runs, entry=lambda run, page, wanted: run.key)
    assert found.word == word and found.seeds == n_seeds
    assert one(told, runs, entry=lambda *_: None).word == NOT_RUN


# -- where, and against how many ----------------------------------------------------------------------------------------

def test_the_best_place_is_taken_and_told(ledger_of):
    told = claim(Better(AXIS, "macro_auroc", "mhsa", ("window",)), data=("cpsc", "nine"))
    assert places(told) == [Place("cpsc", "nine", "full"), FULL, Place("cpsc", "nine", "quick"), QUICK]
    short = ledger_of({"mhsa": 1.0, "window": 4.0})
    found = one(told, short)
    assert found.word == NOT_MET and found.place == QUICK and found.away == ("quick profile", "other recordings")
    own = ledger_of({"mhsa": 4.0, "window": 1.0}, place=Place("cpsc", "nine", "full"))
    found = one(told, short + own)
    assert found.word == MET and found.as_claimed
    half = [run for run in own if run.experiment != own[-1].experiment][:3]         # one side alone is no comparison
    assert one(told, short + half).place == QUICK


def test_a_place_that_is_named_is_the_only_one(ledger_of):
    told = claim(Better(AXIS, "macro_auroc", "mhsa", ("window",)))
    runs = ledger_of({"mhsa": 4.0, "window": 1.0})
    asked = Claims((told,), 0.01)
    assert verdicts(asked, Evidence(runs), ("synthetic", "nine"))[0].word == NOT_RUN
    assert verdicts(asked, Evidence(runs), None, "full")[0].word == NOT_RUN
    assert verdicts(asked, Evidence(runs), ("ptbxl", "nine"), "quick")[0].word == MET


def test_differences_are_those_of_the_pages_and_corrected_over_one_source_and_axis(ledger_of):
    """With one baseline the family is a page's, whose comparison gives the same interval and p."""
    runs = ledger_of({"mhsa": 2.0, "window": 1.7, "hilo": 2.2})
    names = {run.experiment: name for name, run in zip([n for n in ("mhsa", "window", "hilo") for _ in range(3)], runs, strict=True)}
    rows = {row.value: row.difference["macro_auroc"] for row in comparison.compare(runs, names, "mhsa", DRAWS)}
    asked = Claims((claim(Better(AXIS, "macro_auroc", "window", ("mhsa",)), name="a"),
                    claim(Better(AXIS, "macro_auroc", "hilo", ("mhsa",)), name="b"),
                    claim(Better(AXIS, "macro_auroc", "hilo", ("mhsa",)), source="mina", name="c")), 0.01)
    evidence = Evidence(runs)
    made = claim_verdicts._differences(asked, evidence, {"a": QUICK, "b": QUICK, "c": QUICK})
    assert made["notes", AXIS, QUICK, "macro_auroc", "window", "mhsa"] == rows["window"]
    assert made["notes", AXIS, QUICK, "macro_auroc", "hilo", "mhsa"] == rows["hilo"]
    alone = made["mina", AXIS, QUICK, "macro_auroc", "hilo", "mhsa"]
    assert alone.interval == rows["hilo"].interval and alone.p_holm <= rows["hilo"].p_holm


def test_runs_on_other_test_records_are_refused(placed):
    first, second = placed("mhsa", 0, 1.0), placed("window", 0, 1.0)
    second.__dict__["predictions"] = dataclasses.replace(second.predictions, test_records=np.roll(second.predictions.test_records, 1))
    with pytest.raises(DataError, match="different records"):
        one(claim(Better(AXIS, "macro_auroc", "mhsa", ("window",))), [first, second])


@pytest.mark.parametrize("difference, reason", [
    (Difference(Interval(0.02, 0.01, 0.03, 100), 0.2, 3, True), "not after Holm"),
    (Difference(Interval(0.02, 0.01, 0.03, 100), 0.01, 3, False), "the seeds disagree"),
    (Difference(Interval(0.02, -0.01, 0.03, 100), 0.2, 3, True), "the interval holds zero")])
def test_what_keeps_a_claim_open_is_said(difference, reason):
    assert claim_verdicts.judge_better([difference]) == (UNTOLD, reason)
