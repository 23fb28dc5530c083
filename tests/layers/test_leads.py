"""A network of some leads reads those and no others; what is no choice of leads is refused; and the vector of a record."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.leads import OnLeads
from ecgstudy.layers.pooling import embedding
from ecgstudy.models import SignalSpec, build_model


def student(name="mvkt_ecg", n_leads=2, **settings) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, SignalSpec(n_leads, 200, 100), 3, **({"width": 8} | settings)).eval()


@torch.no_grad()
def test_it_is_the_network_on_the_chosen_leads_in_their_order():
    inner, x = student(), torch.randn(2, 12, 200)
    chosen = torch.stack([x[:, 4], x[:, 0]], dim=1)
    model = OnLeads(inner, [4, 0])
    torch.testing.assert_close(model(x), inner(chosen))
    torch.testing.assert_close(model.forward_features(x), inner.forward_features(chosen))
    torch.testing.assert_close(model.embed(x), inner.embed(chosen))
    torch.testing.assert_close(model.head(model.forward_features(x)), model(x))
    assert not torch.allclose(OnLeads(inner, [0, 4])(x), model(x))


def test_no_gradient_reaches_another_lead():
    x = torch.randn(2, 12, 200, requires_grad=True)
    OnLeads(student(), [7, 1])(x).sum().backward()
    assert [row for row in range(12) if x.grad[:, row].any()] == [1, 7]


@pytest.mark.parametrize("settings", [{"views": "one"}, {}])
@torch.no_grad()
def test_a_network_without_an_embedding_gives_the_mean_over_all_positions(settings):
    model, x = student("mvms_ecg", 12, **settings), torch.randn(2, 12, 200)
    features = model.forward_features(x)
    expected = torch.tensor([[sum(map(float, channel.flatten())) / channel.numel() for channel in record] for record in features])
    torch.testing.assert_close(embedding(model, features), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(OnLeads(model, range(12)).embed(x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rows", [[], [1, 1], [-1], ["I"], [True, 2], [0.0]])
def test_refuses_what_is_no_choice_of_leads(rows):
    with pytest.raises(ConfigurationError, match="at least one lead, by whole numbers from 0, and none twice"):
        OnLeads(student(), rows)


def test_refuses_fewer_leads_than_it_reads_and_losses_that_it_would_lose():
    with pytest.raises(ConfigurationError, match="has 2 leads and rows asks for number 7"):
        OnLeads(student(), [0, 7])(torch.randn(1, 2, 200))
    own = student()
    own.training_outputs = lambda x: (x, {})
    with pytest.raises(ConfigurationError, match="XResNet1d has losses of its own"):
        OnLeads(own, [0, 1])
