"""What a model asks for beside the signal reaches it, record by record; auxiliary losses train; a model without either is untouched."""

import numpy as np
import pytest
import torch
from torch import nn

from ecgstudy.data.beats import beats
from ecgstudy.errors import ConfigurationError
from ecgstudy.models import registry
from ecgstudy.study import runs
from ecgstudy.train.feed import Feed, Scaling, beats_of, person_of
from ecgstudy.train.objectives import multilabel

CPU = torch.device("cpu")


class Asking(nn.Module):
    """Logits from the first R-peak and the age alone, and an auxiliary loss on a parameter of its own."""

    def __init__(self, n_classes):
        super().__init__()
        self.head, self.apart = nn.Linear(2, n_classes), nn.Parameter(torch.ones(()))

    def forward(self, x, beats=None, person=None):
        return self.head(torch.stack([beats[:, 0] / 1000, person[:, 0] / 100], dim=1))

    def training_outputs(self, x, beats=None, person=None):
        return self(x, beats, person), {"apart": self.apart**2}


@pytest.fixture
def asking(monkeypatch):
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))

    @registry.register(paper="none", inputs=("beats", "person"))
    def asking(signal, n_classes):
        return Asking(n_classes)


def test_a_feed_gives_each_record_its_own(tiny):
    rows = np.array([5, 3, 8])
    feed = Feed(tiny, rows, np.zeros((len(tiny.table), 9), np.uint8), Scaling(0.0, 1000.0), CPU, ("beats", "person"))
    batch = feed.batch(torch.tensor([2, 0]))
    found = beats(tiny)
    assert batch.inputs["beats"].tolist() == found[[8, 5], :batch.inputs["beats"].shape[1]].tolist()
    assert batch.inputs["person"].tolist() == [[50.0, 0.0], [50.0, 0.0]] and len(batch) == 2
    assert Feed(tiny, rows, np.zeros((len(tiny.table), 9), np.uint8), Scaling(0.0, 1.0), CPU).batch(torch.tensor([0])).inputs == {}


def test_what_is_unknown_is_nan(tiny):
    table = tiny.table.copy()
    table["age"] = table["age"].astype(float)
    table.loc[0, ["age", "sex"]] = [np.nan, ""]
    tiny.__dict__["table"] = table
    found = person_of(tiny, np.array([0, 1]))
    assert found[0].isnan().all() and found[1].tolist() == [50.0, 0.0]
    assert beats_of(tiny, np.array([0])).dtype == torch.int64


def test_an_auxiliary_loss_is_added_and_reaches_its_parameter(tiny, asking):
    targets = np.eye(9, dtype=np.uint8)[np.arange(len(tiny.table)) % 9]
    feed = Feed(tiny, np.arange(8), targets, Scaling(0.0, 1000.0), CPU, ("beats", "person"))
    model = Asking(9)
    losses = multilabel(model, feed.batch(torch.arange(8)), torch.Generator())
    assert losses["loss"].item() == pytest.approx(losses["labels"].item() + 1.0)
    losses["loss"].backward()
    assert model.apart.grad.item() == pytest.approx(2.0)


def test_a_model_with_inputs_runs_from_end_to_end(tiny, experiment, asking):
    import dataclasses

    run = runs.run(dataclasses.replace(experiment, model="asking", settings=()), tiny)
    assert run.result["training"]["best_epoch"] >= 1 and np.isfinite(run.predictions.test_logits).all()


def test_an_unknown_input_or_setting_is_refused_at_registration():
    def named(signal, n_classes, *, width=1): ...

    with pytest.raises(ConfigurationError, match="did you mean 'beats'"):
        registry.register(paper="none", inputs=("beat",))
    with pytest.raises(ConfigurationError, match="did you mean 'width'"):
        registry.register(paper="none", quick={"widht": 2})(named)
    with pytest.raises(ConfigurationError, match="did you mean 'width'"):
        registry.register(paper="none", sizes={"study": ({"widht": 2}, 1)})(named)
