"""What page 05 draws is what the network adds, and what it reads of moved and longer records is what the probes hold."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ecgstudy.layers.attention.mhsa import MHSA
from ecgstudy.models import build_model
from ecgstudy.study import position_page, probed
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.position_page import Change, Robustness
from ecgstudy.study.probed import Probed
from ecgstudy.study.probes import CLEAN, Probe, Probing

SMALL = {"widths": (8, 16, 16, 16), "depths": (1, 1, 2, 2), "heads": 4}
MOVED = Change("moved by 4 s", "moving the window by 4 s", Probe("shift", 4.0), Probe("blank", 4.0))


def network(**settings):
    return build_model("inception_former", SIGNAL, 9, **SMALL, **settings).eval()


def test_the_vectors_of_places_are_those_of_the_network():
    learned = network(position="learned")
    np.testing.assert_array_equal(position_page.place_vectors(learned), learned.entries[2][0].table.detach().numpy())
    waves = position_page.similarity(position_page.place_vectors(network(position="sinusoidal")))
    assert waves.shape == (250, 250)
    np.testing.assert_allclose(waves[10:20, 10:20], waves[100:110, 100:110], atol=1e-5)     # a matter of distance alone
    assert waves[0, 0] == pytest.approx(1, abs=1e-5) and waves[0, 5] < 0.99


def test_the_bias_curve_is_the_bias_of_the_layer():
    model = network(position="relative")
    distance, curves = position_page.bias_curves(model)
    layer = position_page.first_of(model, MHSA).relative(250).detach().numpy()              # [H, N, N]
    at = {round(seconds / position_page.TOKEN): column for column, seconds in enumerate(distance)}
    for query, key in ((0, 249), (7, 7), (100, 60)):
        np.testing.assert_array_equal(curves[:, at[query - key]], layer[:, query, key])


@pytest.mark.parametrize(("settings", "reach"), [({"position": "cpe"}, 1), ({"position": "lepe", "position_kernel": 5}, 2),
                                                 ({"position": "value"}, 1)])
def test_a_convolution_shows_a_place_at_the_ends_alone(settings, reach):
    impulse, constant = position_page.answers(position_page.local_convolution(network(**settings)))
    seen = np.flatnonzero(np.abs(impulse).max(axis=1) > 1e-6) - len(impulse) // 2
    assert list(seen) == list(range(-reach, reach + 1))
    apart = np.abs(constant - constant[len(constant) // 2]).max(axis=1) > 1e-6
    assert apart[:reach].all() and apart[-reach:].all() and not apart[reach:-reach].any()


@pytest.fixture
def probing(made_run):
    """Three seeds of three encodings; `learned` loses its skill where a record is moved."""
    def entry(name, seed):
        run = made_run(name, seed, 1.5)
        clean, targets = run.predictions.validation_logits, run.predictions.validation_targets
        noise = np.random.default_rng(seed).normal(size=clean.shape).astype(np.float32)
        logits = np.stack([clean, clean, noise if name == "learned" else clean])
        told = [probe.to_json() for probe in (CLEAN, MOVED.reference, MOVED.probe)]
        result = {"experiment": run.result["experiment"], "key": run.key, "probes": told,
                  "macro_auroc": probed._scores(run.experiment, logits, targets)}
        return Probed(result, logits, targets, run.predictions.validation_records, run.predictions.test_patients)
    return Probing({name: [entry(name, seed) for seed in range(3)] for name in ("none", "learned", "cpe")})


def test_what_is_lost_by_moving_is_found_and_called(probing):
    found = Robustness((MOVED,), probing, "none")
    assert found.change("learned", MOVED).estimate < -0.2 and found.change("cpe", MOVED).estimate == 0
    verdicts = {name: difference.verdict for (name, _), difference in found.against_baseline.items()}
    assert verdicts == {"learned": "worse", "cpe": "undecided"}
    text = found.reading()
    assert "`learned` takes it worse than `none`" in text and "`cpe` takes it" not in text
    assert "moved by 4 s" in found.table().to_html()
    figure = found.figure()
    assert [axis.get_title() for axis in figure.axes] == ["", "", "moving alone", ""]
    plt.close(figure)


def test_one_seed_is_not_called(probing):
    found = Robustness((MOVED,), Probing({name: group[:1] for name, group in probing.groups.items()}), "none")
    assert "no encoding can be told from `none`" in found.reading()


def test_without_probes_the_gap_is_the_reading(made_run):
    found = Robustness((MOVED,), Probing({}, {"none": [made_run("mhsa", 0, 1.0)]}), "none")
    assert "**Not probed.** `none` seed 0" in found.reading() and "No run of this page" in found.table().to_html()
    plt.close(found.figure())


def test_only_simulated_patients_are_recorded_again():
    kinds = {dataset: {each.probe.kind for each in position_page.changes(dataset, False)} for dataset in ("synthetic", "ptbxl")}
    assert kinds["synthetic"] - kinds["ptbxl"] == {"recording"}
    assert len(position_page.changes("ptbxl", True)) == 2


def test_a_moved_token_meets_another_vector():
    """Why absolute places may suffer: the same tokens later in the record get other vectors, distances stay."""
    absolute, relative = network(position="learned"), network(position="relative")
    tokens = torch.zeros(1, 250, 16)
    assert not torch.allclose(absolute.entries[2](tokens)[0, :200], absolute.entries[2](tokens)[0, 50:])
    bias = position_page.first_of(relative, MHSA).relative(250)
    torch.testing.assert_close(bias[:, :200, :200], bias[:, 50:, 50:])
