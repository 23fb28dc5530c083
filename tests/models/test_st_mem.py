"""ST-MEM: both halves against a slow re-computation from their weights, what is hidden and from whom, counts, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ecgstudy.errors import ConfigurationError
from ecgstudy.models import SignalSpec, build_model
from ecgstudy.models.registry import build_pretrainer, model_entry
from ecgstudy.models.st_mem import hidden_patches, standardise
from ecgstudy.study.complexity import count_parameters

STUDY = SignalSpec(12, 1000, 100)
SIGNAL = SignalSpec(3, 70, 100)                     # six patches of ten a lead, and ten samples that are not read
SMALL = {"width": 12, "depth": 2, "heads": 3, "patch": 10, "crop": 60, "decoder_width": 8, "decoder_depth": 2, "decoder_heads": 2}
OFFICIAL = {"width": 768, "depth": 12, "heads": 12, "decoder_width": 256, "decoder_depth": 4, "decoder_heads": 4}
KEPT = torch.tensor([[[4, 1], [0, 5], [3, 2]], [[2, 3], [5, 4], [1, 0]]])       # not in the order of time


def built(signal=SIGNAL, pretrainer=False, **settings) -> torch.nn.Module:
    torch.manual_seed(0)
    build = build_pretrainer if pretrainer else lambda name, signal, **own: build_model(name, signal, 5, **own)
    model = build("st_mem", signal, **(SMALL | settings)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():       # vectors that begin near zero, and norms that begin as none, say nothing
            if weight.ndim < 2 or name.endswith("leads"):
                weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name))) / 2)
    return model


def records(n: int = 2, signal: SignalSpec = SIGNAL) -> torch.Tensor:
    return torch.randn(n, signal.n_leads, signal.n_samples, generator=torch.Generator().manual_seed(1))


def everything(model: torch.nn.Module) -> int:
    """Parameters, and the numbers that are fixed: the tables of places."""
    return sum(each.numel() for each in (*model.parameters(), *model.buffers()))


# -- both halves, from their weights and the formulas -------------------------------------------------------------------

class Plain:
    """One record, in NumPy and loops: `encode` [L, T] -> [L, k + 2, D], `decode` of that -> [L, n, p]."""

    def __init__(self, model, heads, decoder_heads=2):
        self.w = {name: value.double().numpy() for name, value in model.state_dict().items()}
        self.heads, self.decoder_heads = heads, decoder_heads

    def affine(self, name, x):
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def norm(self, name, x):
        out = np.empty_like(x)
        for i in np.ndindex(x.shape[:-1]):
            out[i] = (x[i] - x[i].mean()) / math.sqrt(x[i].var() + 1e-5) * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]
        return out

    def blocks(self, name, x, heads):
        """x: [N, D]"""
        depth, dim = 1 + max(int(key.removeprefix(f"{name}.").split(".")[0]) for key in self.w if key.startswith(f"{name}.")), x.shape[1]
        for block in (f"{name}.{i}" for i in range(depth)):
            q, k, v = np.split(self.affine(f"{block}.token_mixer.qkv", self.norm(f"{block}.token_norm", x)), 3, axis=1)
            mixed, size = np.zeros_like(x), dim // heads
            for h in range(heads):
                own = slice(h * size, (h + 1) * size)
                for i in range(len(x)):
                    weights = np.array([math.exp(q[i, own] @ k[j, own] / math.sqrt(size)) for j in range(len(x))])
                    mixed[i, own] = weights @ v[:, own] / weights.sum()
            x = x + self.affine(f"{block}.token_mixer.project", mixed)
            hidden = self.affine(f"{block}.channel_mixer.expand", self.norm(f"{block}.channel_norm", x))
            hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
            x = x + self.affine(f"{block}.channel_mixer.reduce", hidden)
        return x

    def encode(self, patches, kept):
        """patches: [L, n, p]; kept: [L, k]"""
        lines = []
        for lead, chosen in enumerate(kept):
            separator = self.w["encoder.separator"] + 0.0                       # its place is a row of zeros
            own = [separator]
            for i in chosen:
                token = self.norm("encoder.embed.0", patches[lead, i][None])
                token = self.norm("encoder.embed.2", self.affine("encoder.embed.1", token))[0]
                own.append(token + place(i, len(separator)))
            lines.extend(token + self.w["encoder.leads"][lead] for token in (*own, separator))
        return self.blocks("encoder.blocks", np.array(lines), self.heads).reshape(len(kept), -1, len(separator))

    def decode(self, tokens, kept, n):
        tokens = self.affine("decoder.narrow", self.norm("norm", tokens))
        leads = []
        for line, chosen in zip(tokens, kept, strict=True):
            own = [line[0]]
            for i in range(n):
                found = [line[1 + j] for j in range(len(chosen)) if chosen[j] == i]
                own.append((found[0] if found else self.w["decoder.mask"]) + place(i, tokens.shape[-1]))
            own.append(line[-1])
            decoded = self.affine("decoder.predict", self.norm("decoder.norm", self.blocks("decoder.blocks", np.array(own),
                                                                                           self.decoder_heads)))
            leads.append(decoded[1:-1])
        return np.array(leads)


def place(i, dim):
    return np.array([(math.cos if j % 2 else math.sin)(i / 10000 ** ((j - j % 2) / dim)) for j in range(dim)])


@torch.no_grad()
def test_the_encoder_is_the_one_of_the_formulas():
    model, x = built(pretrainer=True), records()
    plain, patches = Plain(model, 3), model.patches(x)
    assert patches.shape == (2, 3, 6, 10)
    assert torch.equal(patches[0, 1, 2], x[0, 1, 25:35])                        # five samples before the middle sixty
    for found, one, kept in zip(model.encoder(x, KEPT), patches, KEPT, strict=True):
        np.testing.assert_allclose(found.numpy(), plain.encode(one.double().numpy(), kept.tolist()), atol=2e-5)
    whole = plain.encode(patches[0].double().numpy(), [range(6)] * 3)
    np.testing.assert_allclose(model.encoder(x[:1])[0].numpy(), whole, atol=2e-5)


@torch.no_grad()
def test_the_reconstruction_is_the_one_of_the_formulas():
    """Norm and output map once, behind both blocks; every patch in the place that it came from; separators with their own places."""
    model, x = built(pretrainer=True), records()
    predicted, plain = model.reconstruct(x, KEPT), Plain(model, 3)
    assert predicted.shape == (2, 3, 6, 10) and torch.equal(model(x, KEPT), predicted)
    for found, tokens, kept in zip(predicted, model.encoder(x, KEPT), KEPT, strict=True):
        np.testing.assert_allclose(found.numpy(), plain.decode(tokens.double().numpy(), kept.tolist(), 6), atol=2e-5)


@torch.no_grad()
def test_features_and_head():
    model, x = built(), records()
    features = model.forward_features(x)
    assert features.shape == (2, 12, 3, 6)
    torch.testing.assert_close(features, model.encoder(x)[:, :, 1:-1].permute(0, 3, 1, 2))
    mean = np.array([[[features[b, c, lead, i] for lead in range(3) for i in range(6)] for c in range(12)] for b in range(2)]).mean(axis=2)
    plain = Plain(model, 3)
    np.testing.assert_allclose(model(x).numpy(), plain.affine("head.classify", plain.norm("head.norm", mean.astype(float))), atol=2e-5)


# -- what the study notes' excerpt has otherwise ------------------------------------------------------------------------

def test_the_decoder_has_its_own_depth_and_ends_once():
    """One norm and one output map behind the last block, however many blocks there are."""
    for depth in (1, 3):
        model = built(pretrainer=True, decoder_depth=depth)
        assert len(model.decoder.blocks) == depth and len(model.encoder.blocks) == SMALL["depth"]
        order = []
        for name in ("norm", "predict", *(f"blocks.{i}" for i in range(depth))):
            model.decoder.get_submodule(name).register_forward_hook(lambda *_, name=name, order=order: order.append(name))
        model.reconstruct(records(), KEPT)
        assert order == [*(f"blocks.{i}" for i in range(depth)), "norm", "predict"]


@torch.no_grad()
def test_patches_come_back_in_the_order_of_time():
    """The order in which the kept patches are handed over is nobody's business, and a seen patch stands where it was."""
    model, x = built(pretrainer=True), records()
    torch.testing.assert_close(model.reconstruct(x, KEPT.flip(-1)), model.reconstruct(x, KEPT), atol=1e-5, rtol=1e-4)
    received = []
    model.decoder.blocks.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    model.reconstruct(x, KEPT)
    lines = (received[0] - model.decoder.places).unflatten(0, (2, 3))[:, :, 1:-1]          # without the places and the separators
    hidden = hidden_patches(KEPT, 6)
    for b, lead, i in np.ndindex(2, 3, 6):
        assert bool(hidden[b, lead, i]) == (i not in KEPT[b, lead].tolist())
        assert torch.allclose(lines[b, lead, i], model.decoder.mask, atol=1e-6) == bool(hidden[b, lead, i])


@torch.no_grad()
def test_separators_have_places_of_their_own():
    """A row of zeros at either end of both tables, so that the first patch, not the separator, has the first place."""
    model = built(pretrainer=True)
    for half in (model.encoder, model.decoder):
        table = half.places.numpy()
        assert table.shape[0] == 8 and not table[0].any() and not table[-1].any()
        for i in range(6):
            np.testing.assert_allclose(table[1 + i], place(i, table.shape[1]), atol=1e-6)
    received, x = [], records(1)
    model.encoder.blocks.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0].unflatten(1, (3, -1))))
    for row in (0, -1):                                     # another row there moves that end alone
        model.encoder.places[row] += 1
        model.encoder(x)
    moved = (received[1] - received[0])[0]
    torch.testing.assert_close(moved[:, -1], torch.ones(3, 12))
    assert not moved[:, :-1].any()


def test_targets_are_standardised_patch_by_patch():
    x = torch.randn(2, 3, 4, 50, generator=torch.Generator().manual_seed(2)) * 3 + 7
    found = standardise(x)
    for at in np.ndindex(2, 3, 4):
        values = x[at].double().numpy()
        np.testing.assert_allclose(found[at].numpy(), (values - values.mean()) / np.sqrt(values.var() + 1e-6), atol=1e-4)
    assert not standardise(torch.full((2, 5), 4.0)).any()


# -- who sees what ------------------------------------------------------------------------------------------------------

@torch.no_grad()
def test_hidden_patches_are_hidden():
    model, x = built(pretrainer=True), records()
    hidden = hidden_patches(KEPT, 6)
    noise = torch.randn(2, 3, 6, 10, generator=torch.Generator().manual_seed(3))
    for changed, equal in ((hidden, True), (~hidden, False)):
        other = x.clone()
        other[..., 5:65] += (noise * changed.unsqueeze(-1)).flatten(-2)
        assert torch.equal(model.reconstruct(other, KEPT), model.reconstruct(x, KEPT)) == equal


def test_a_lead_hears_of_the_others_through_the_encoder_alone():
    model, x = built(pretrainer=True), records(1).requires_grad_()
    tokens = model.encoder(x, KEPT[:1])
    tokens.retain_grad()
    model.decoder(model.norm(tokens), KEPT[:1], 6)[0, 1].square().sum().backward()
    assert [bool(tokens.grad[0, lead].any()) for lead in range(3)] == [False, True, False]
    assert all(x.grad[0, lead].any() for lead in range(3))


@torch.no_grad()
def test_a_patch_is_seen_without_its_amplitude():
    encoder, x = built(pretrainer=True).encoder, records()
    scale, shift = torch.rand(2, 3, 6, 1) + 1, torch.randn(2, 3, 6, 1)
    patches = encoder.patches(x)
    torch.testing.assert_close(encoder.embed(patches * scale + shift), encoder.embed(patches), atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_leads_and_places_are_told_apart():
    model, x = built(), records(1)
    assert (model.encoder(x.flip(1)).flip(1) - model.encoder(x)).abs().max() > 1e-3
    same = x[..., :10].repeat(1, 1, 7)                      # one patch over and over, shifted by half of itself in the middle sixty
    tokens = model.forward_features(same)
    assert (tokens[..., 1:] - tokens[..., :-1]).abs().amax(dim=(0, 1, 2)).min() > 1e-3


def test_the_encoder_is_handed_on():
    pretrained, classifier = built(pretrainer=True), build_model("st_mem", SIGNAL, 5, **SMALL)
    classifier.encoder.load_state_dict(pretrained.encoder.state_dict())
    x = records()
    assert torch.equal(classifier.encoder(x), pretrained.encoder(x))
    assert {name.split(".")[0] for name, _ in classifier.named_parameters()} == {"encoder", "head"}


def test_gradient_reaches_every_parameter_of_the_pretrainer():
    model = built(pretrainer=True)
    (model.reconstruct(records(), KEPT) - 1).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


# -- counts, signals, refusals ------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("signal", "settings", "pretraining", "classifier"), [
    (STUDY, {}, (3_103_962, 3_114_202), (2_680_197, 2_686_341)),
    (STUDY, OFFICIAL | {"width": 384, "heads": 6}, (24_578_138, 24_598_618), (21_315_525, 21_327_813)),
    (SignalSpec(12, 2250, 250), OFFICIAL, (88_501_985, 88_534_753), (85_132_959, 85_157_535)),
], ids=["study", "reference", "official"])
def test_counts_without_and_with_the_fixed_tables(signal, settings, pretraining, classifier):
    with torch.device("meta"):
        masked, model = build_pretrainer("st_mem", signal, **settings), build_model("st_mem", signal, 9, **settings)
    assert (count_parameters(masked), everything(masked)) == pretraining
    assert (count_parameters(model), everything(model)) == classifier
    assert masked.encoder.n_patches == 30
    if settings == OFFICIAL:
        assert everything(masked.decoder) == 3_384_139 and count_parameters(masked.encoder) + count_parameters(masked.norm) == 85_126_038


@torch.no_grad()
def test_the_middle_nine_seconds_are_read():
    model = built(STUDY, patch=30, crop=900)
    x = records(1, STUDY)
    for place, seen in ((49, False), (50, True), (949, True), (950, False)):
        changed = x.clone()
        changed[..., place] += 1
        assert (not torch.equal(model(changed), model(x))) == seen


@pytest.mark.parametrize(("signal", "patch", "n_patches"), [
    (SignalSpec(12, 2500, 250), 75, 30), (SignalSpec(1, 3000, 300), 90, 30), (SignalSpec(12, 320, 100), 30, 10), (STUDY, 30, 30)])
@torch.no_grad()
def test_patches_grow_with_the_sampling_rate_and_single_leads_go(signal, patch, n_patches):
    masked, x = built(signal, pretrainer=True, patch=30, crop=900), records(2, signal)
    assert (masked.encoder.patch, masked.encoder.n_patches, masked.n_samples) == (patch, n_patches, patch * n_patches)
    kept = torch.zeros(2, signal.n_leads, 1, dtype=torch.int64)
    assert masked.reconstruct(x, kept).shape == (2, signal.n_leads, n_patches, patch)
    assert built(signal, patch=30, crop=900)(x).shape == (2, 5)


@torch.no_grad()
def test_a_shorter_record_than_the_network_was_built_for():
    masked, x = built(pretrainer=True), records()[..., :43]
    predicted = masked.reconstruct(x, KEPT.clamp_max(3).select(-1, 0).unsqueeze(-1))
    assert predicted.shape == (2, 3, 4, 10) and predicted.isfinite().all()
    assert built()(x).isfinite().all()


@pytest.mark.parametrize(("signal", "settings", "says"), [
    (SignalSpec(12, 39, 100), {}, "the signal has 39 samples, which hold 3 patches of 10; at least 4 are needed, which is 40 samples"),
    (SIGNAL, {"crop": 15}, "crop is 15 samples of this signal, which hold 1 patch of 10"),
    (SIGNAL, {"patch": 0}, "patch is 0"),
    (SIGNAL, {"width": 13}, "width is 13, which heads 3 does not divide"),
    (SIGNAL, {"depth": 0}, "depth is 0"),
    (SIGNAL, {"decoder_depth": 0}, "decoder_depth is 0"),
    (SIGNAL, {"decoder_width": 9}, "decoder_width is 9, which decoder_heads 2 does not divide; use 8 or 10"),
])
def test_refuses_what_the_design_cannot_take(signal, settings, says):
    for build in (lambda: built(signal, **settings), lambda: built(signal, pretrainer=True, **settings)):
        with pytest.raises(ConfigurationError, match=says):
            build()


def test_the_pretrainer_takes_the_models_own_settings():
    import inspect

    entry = model_entry("st_mem")
    own = {name: p.default for name, p in inspect.signature(entry.pretrainer).parameters.items() if name != "signal"}
    assert own == entry.settings
