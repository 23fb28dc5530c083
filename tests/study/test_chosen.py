"""Weights that ship are those of their card, and nothing else is loaded."""

import json

import pytest
import torch

from ecgstudy.errors import ConfigurationError, DataError
from ecgstudy.study import chosen, runs


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(chosen, "folder", lambda: tmp_path / "weights")


def test_a_kept_network_comes_back_as_it_was(run, tiny):
    chosen.keep(run, "mhsa_tiny")
    found = chosen.load("mhsa_tiny")
    x = torch.randn(2, 12, 1000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(found.model(x), runs.build_with_weights(run.experiment, tiny).eval()(x), atol=1e-5, rtol=0)
    assert chosen.names() == ["mhsa_tiny"] and found.told == "trained on synthetic, smoke profile, seed 0"
    assert found.experiment == run.experiment and found.scaling == runs.scaling_of(run.experiment, tiny)
    assert list(found.classes) == run.result["data"]["classes"] and not found.model.training
    assert chosen.keep(run, "mhsa_tiny").is_file()                              # once more is no error


def test_what_is_not_its_cards_is_refused(run, tmp_path):
    card = chosen.keep(run, "mhsa_tiny")
    sound, weights = json.loads(card.read_text()), card.with_suffix(".safetensors").read_bytes()
    card.with_suffix(".safetensors").write_bytes(weights[:-1] + b"x")
    with pytest.raises(DataError, match="not the file that its card describes"):
        chosen.load("mhsa_tiny")
    card.with_suffix(".safetensors").write_bytes(weights)
    for edited, complaint in ((sound | {"experiment": sound["experiment"] | {"seed": 5}}, "was edited"), ({}, "not the card of a network"),
                              (sound | {"training": {}}, "not the card of a network")):
        card.write_text(json.dumps(edited))
        with pytest.raises(DataError, match=complaint):
            chosen.load("mhsa_tiny")


def test_names_and_sizes_are_checked(run, monkeypatch):
    with pytest.raises(ConfigurationError, match="use letters"):
        chosen.keep(run, "../mhsa")
    chosen.keep(run, "mhsa_tiny")
    with pytest.raises(ConfigurationError, match="did you mean 'mhsa_tiny'"):
        chosen.load("mhsa_tyni")
    monkeypatch.setattr(chosen, "LARGEST", 10)
    with pytest.raises(DataError, match="at most 10 a file"):
        chosen.keep(run, "other")
    runs.weights_path(run.experiment, run.result["data"]["digest"]).unlink()
    with pytest.raises(DataError, match="train the run on this machine first"):
        chosen.keep(run, "third")


def test_every_network_that_ships_is_sound():
    """The committed ones, read from where they really lie."""
    from ecgstudy import files
    real = files.repository() / "book" / "weights"
    paths = sorted(real.glob("*.safetensors"))
    assert sum(path.stat().st_size for path in paths) <= chosen.ALL and {p.stem for p in paths} == {p.stem for p in real.glob("*.json")}
    chosen.folder = lambda: real                    # put back by the fixture
    assert [chosen.load(path.stem).name for path in paths] == [path.stem for path in paths]
