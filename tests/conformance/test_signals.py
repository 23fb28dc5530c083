"""What every registered network owes its user: any signal that it claims, or a refusal before any work; counts; a batch it can learn."""

from __future__ import annotations

import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.models import SignalSpec, build_model, list_models
from ecgstudy.models.registry import model_entry
from ecgstudy.study.complexity import count_parameters
from ecgstudy.study.profiles import profile

STANDARD = SignalSpec(12, 1000, 100)
SIGNALS = [STANDARD, SignalSpec(8, 1250, 250), SignalSpec(2, 3000, 100), SignalSpec(1, 2500, 250), SignalSpec(12, 500, 100)]
SIZES = [(name, size) for name in list_models() for size in model_entry(name).sizes]
NARROW = {"inception_former": dict(profile("smoke").network), "resnet18": {"width": 8}, "resnet34": {"width": 8},
          "mobilenetv2": {"width": 0.25}, "stft_resnet34": {"width": 8}, "two_stream": {"width": 8}}


def narrow(name, signal, n_classes=5):
    """The network in the size of the short profiles."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(name, signal, n_classes, **NARROW.get(name, dict(model_entry(name).quick)))


def records(n_records, signal):
    shape = (n_records, signal.n_leads, signal.n_samples)
    return torch.randn(shape, generator=torch.Generator().manual_seed(signal.n_samples))


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda s: f"{s.n_leads}x{s.n_samples}at{s.fs:g}")
@pytest.mark.parametrize("name", list_models())
def test_takes_the_signal_or_refuses_at_construction(name, signal):
    try:
        model = narrow(name, signal).eval()
    except ConfigurationError as error:
        assert signal != STANDARD, f"{name} refuses the study's own signal: {error}"
        assert any(str(value) in str(error) for value in (signal.n_leads, signal.n_samples, f"{signal.fs:g}", f"{signal.seconds:g}"))
        return
    with torch.no_grad():
        logits = model(records(2, signal))
    assert logits.shape == (2, 5) and logits.isfinite().all()


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_every_size_has_the_parameters_that_were_worked_out_for_it(name, size):
    settings, expected = model_entry(name).sizes[size]
    assert count_parameters(build_model(name, STANDARD, 9, **settings)) == expected


@pytest.mark.parametrize("name", [name for name in list_models() if model_entry(name).sizes])
def test_a_paper_says_what_is_its_own_and_what_is_ours(name):
    entry = model_entry(name)
    assert len(entry.fidelity) > 40 and entry.choices and all(choice[0].isupper() or choice[0].isdigit() for choice in entry.choices)
    assert "study" in entry.sizes and not entry.sizes["study"][0], "the study configuration is the default"


@pytest.mark.parametrize("name", list_models())
def test_overfits_sixteen_records(name):
    """A network that cannot learn sixteen records by heart has a path that is cut."""
    signal = SignalSpec(12, 1000, 100) if model_entry(name).sizes else SignalSpec(12, 250, 100)
    model, x = narrow(name, signal, 2), records(16, signal)
    targets = (torch.arange(32).view(16, 2) % 3 == 0).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    model.train()
    for module in model.modules():          # dropout is there to hinder exactly this
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
    first = loss = None
    for _ in range(80):         # what averages over a whole record needs longer to tell noise from noise
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), targets)
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < first / 4:
            break
    assert loss.item() < first / 4
