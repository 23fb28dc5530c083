r"""What a class's logit is drawn from: several methods, one interface, each saying what it cannot give.

| method | what | leads | time |
| --- | --- | --- | --- |
| grad_cam | $\mathrm{ReLU}(\sum_c \bar g_c A_c)$ on the last map, $\bar g_c$ the mean gradient | if the map has a row a lead | a column |
| hires_cam | $\mathrm{ReLU}(\sum_c g_c \odot A_c)$ on the last map, each gradient at its own place | as above | a column |
| gradient_x_input | $x \odot \partial z / \partial x$ | yes | a sample |
| integrated_gradients | $x \odot \int_0^1 \partial z(\alpha x) / \partial x\, d\alpha$ | yes | a sample |
| occlusion_lead | how much the logit falls when one lead is zero | yes | none |
| occlusion_beat | how much the logit falls when one beat is zero in all leads | none | a beat |
| magnitude | $\lvert x \rvert$: a baseline that has not seen the network | yes | a sample |
| random | noise: a baseline | yes | a sample |

Zero is the mean of the training records, because the input is scaled. Grad-CAM: Selvaraju et al., ICCV 2017. HiResCAM: Draelos and
Carin, arXiv 2011.08891. Integrated gradients: Sundararajan et al., ICML 2017. All of these, and occlusion, are Captum's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.attr import FeatureAblation, InputXGradient, IntegratedGradients, LayerGradCam, LayerGradientXActivation
from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError, require_known
from ecgstudy.explain.grid import trace_grid
from ecgstudy.layers.pooling import ClassTokenHead
from ecgstudy.layers.spectrogram import Spectrogram

STEPS = 16              # of the integral
AGREES = 1e-3           # how far head(forward_features(x)) may be from forward(x)
CAMS, BASELINES = ("grad_cam", "hires_cam"), ("magnitude", "random")


@dataclass(frozen=True, eq=False)
class Attribution:
    """Maps of one method.

    values: float32 [B, L, T]; above zero speaks for the class. has_leads: whether the leads differ because the method tells them
    apart; where not, every lead holds the same curve. resolution_s: seconds between two values that the method itself gives; the
    length of the record where it gives no time.
    """

    method: str
    values: np.ndarray
    has_leads: bool
    resolution_s: float
    fs: float

    @property
    def has_time(self) -> bool:
        """Whether the method tells times apart at all."""
        return self.resolution_s < self.values.shape[-1] / self.fs

    def over_time(self) -> np.ndarray:
        """What speaks for the class at each sample, mean over leads: [B, T], not negative."""
        return np.maximum(self.values, 0).mean(axis=1)

    def by_lead(self) -> np.ndarray:
        """Each lead's share of what speaks for the class: [B, L]; NaN where the method knows no leads or the map is empty."""
        total = np.maximum(self.values, 0).sum(axis=2)                                          # [B, L]
        whole = total.sum(axis=1, keepdims=True)
        shares = np.divide(total, whole, out=np.full_like(total, np.nan), where=whole > 0)
        return shares if self.has_leads else np.full_like(shares, np.nan)


@dataclass(frozen=True, eq=False)
class _Asked:
    """One call of `attribute`, checked. x: [B, L, T]. target: int64 [B]. beats: int64 [B, S] or None. inputs: keyword tensors of the
    model's forward."""

    model: nn.Module
    x: Tensor
    target: Tensor
    beats: Tensor | None
    generator: torch.Generator | None
    fs: float
    inputs: dict[str, Tensor]

    def logits(self, x: Tensor, *inputs: Tensor) -> Tensor:
        """The model's forward with its extra inputs as positional ones, which is how Captum hands them on."""
        return self.model(x, **dict(zip(self.inputs, inputs, strict=True)))

    @property
    def extra(self) -> tuple[Tensor, ...] | None:
        return tuple(self.inputs.values()) or None


Found = tuple[Tensor | np.ndarray, bool, float]         # values [B, L, T], has_leads, resolution in seconds


def attribute(model: nn.Module, record: Tensor | np.ndarray, target: int | Tensor, method: str, *, beats: Tensor | None = None,
              generator: torch.Generator | None = None, fs: float = 100) -> Attribution:
    """Maps of the class `target` for records as the model is fed them.

    model: in evaluation mode. record: [L, T] or [B, L, T], scaled. target: a class's place, or one for each record, int64 [B].
    beats: int64 [S] or [B, S], samples of the R-peaks, -1 beyond the last; for occlusion_beat, and for models that ask for beats.
    generator: for `random`. Raises ConfigurationError for an unknown method, a class that the model does not have, a model in training
    mode, and where the method cannot be applied to this model, with the reason.
    """
    require_known("method", method, METHODS)
    if model.training:
        raise ConfigurationError("the model is in training mode, where dropout and batch statistics change its answer; call eval() first")
    x = torch.as_tensor(record, dtype=torch.float32)
    x = (x if x.ndim == 3 else x.unsqueeze(0)).detach()                                         # [B, L, T]
    if x.ndim != 3:
        raise ConfigurationError(f"record has the shape {tuple(x.shape)}; give [L, T] or [B, L, T]")
    beats = None if beats is None else torch.as_tensor(beats, dtype=torch.int64).reshape(len(x), -1)    # [B, S]
    inputs = {"beats": beats} if beats is not None and "beats" in inspect.signature(model.forward).parameters else {}
    classes = torch.as_tensor(target, dtype=torch.int64).expand(len(x)) if isinstance(target, int) else torch.as_tensor(target)
    with torch.no_grad():
        n_classes = model(x[:1], **{name: value[:1] for name, value in inputs.items()}).shape[1]
    if classes.shape != (len(x),) or not 0 <= int(classes.min()) <= int(classes.max()) < n_classes:
        raise ConfigurationError(f"target is {target!r}; give one of the model's classes, 0 to {n_classes - 1}, or one for each of the "
                                 f"{len(x)} records")
    values, has_leads, resolution = _METHODS[method](_Asked(model, x, classes, beats, generator, fs, inputs))
    return Attribution(method, np.asarray(values, np.float32), has_leads, resolution, fs)


# -- on the last map ------------------------------------------------------------------------------------------------------

def _grad_cam(asked: _Asked) -> Found:
    features = _features(asked)
    maps = LayerGradCam(asked.logits, asked.model.head).attribute(
        asked.x, asked.target, asked.extra, attribute_to_layer_input=True)                      # [B, 1, N] or [B, 1, F, N]
    return _on_the_record(asked, features, maps.detach())


def _hires_cam(asked: _Asked) -> Found:
    features = _features(asked)
    products = LayerGradientXActivation(asked.logits, asked.model.head).attribute(
        asked.x, asked.target, asked.extra, attribute_to_layer_input=True)                      # [B, C, N] or [B, C, F, N]
    return _on_the_record(asked, features, products.detach().sum(dim=1, keepdim=True))


def _on_the_record(asked: _Asked, features: Tensor, maps: Tensor) -> Found:
    """Maps [B, 1, N] or [B, 1, rows, N] of the last map, what speaks against the class set to zero, over leads and samples.

    Rows that are no leads (frequencies, views) are averaged: nothing tells which lead they hold.
    """
    grid = trace_grid(asked.model, asked.x, features)
    rows = maps[:, 0].relu() if maps.ndim == 4 else maps.relu()                                 # [B, rows, N]
    n_leads, n_samples = asked.x.shape[1:]
    has_leads = maps.ndim == 4 and rows_are_leads(asked.model, features, n_leads)
    rows = rows if has_leads else rows.mean(dim=1, keepdim=True)                                # [B, L or 1, N]
    values = grid.to_samples(rows.numpy(), n_samples)                                           # [B, L or 1, T]
    return np.broadcast_to(values, asked.x.shape), has_leads, grid.step / asked.fs


def rows_are_leads(model: nn.Module, features: Tensor, n_leads: int) -> bool:
    """Whether a last map [B, C, rows, N] has a row for each lead: as many rows as leads, and no spectrogram that made them."""
    return features.ndim == 4 and features.shape[2] == n_leads and not any(isinstance(part, Spectrogram) for part in model.modules())


@torch.no_grad()
def _features(asked: _Asked) -> Tensor:
    """The last map of the records, checked: the head must read it, and nothing else."""
    model = asked.model
    features = model.forward_features(asked.x, **asked.inputs)
    if isinstance(model.head, ClassTokenHead):
        raise ConfigurationError("the head of this model reads a class token, which has no place in time, so a class activation map is "
                                 "zero everywhere else; choose a method that works on the input, such as integrated_gradients")
    try:
        apart = (model.head(features) - asked.logits(asked.x, *asked.inputs.values())).abs().max().item()
    except (RuntimeError, TypeError, ValueError):
        apart = float("inf")
    if not apart < AGREES:
        raise ConfigurationError(f"the logits of {type(model).__name__} are not a function of its last map alone (head_on_features is "
                                 "False in the registry), so what the map holds is not what the class is drawn from; choose a method that "
                                 "works on the input, such as integrated_gradients")
    return features


# -- on the input ---------------------------------------------------------------------------------------------------------

def _gradient_x_input(asked: _Asked) -> Found:
    values = InputXGradient(asked.logits).attribute(asked.x.requires_grad_(), asked.target, asked.extra)
    return values.detach(), True, 1 / asked.fs


def _integrated_gradients(asked: _Asked) -> Found:
    values = IntegratedGradients(asked.logits).attribute(asked.x, 0.0, asked.target, asked.extra, n_steps=STEPS,
                                                         internal_batch_size=max(64, len(asked.x)))
    return values.detach(), True, 1 / asked.fs


def _occlusion_lead(asked: _Asked) -> Found:
    n_leads, n_samples = asked.x.shape[1:]
    return _ablated(asked, torch.arange(n_leads).view(1, -1, 1).expand(1, -1, n_samples)), True, n_samples / asked.fs


def _occlusion_beat(asked: _Asked) -> Found:
    if asked.beats is None:
        raise ConfigurationError("occlusion_beat needs to know the beats; give beats, the samples of the R-peaks, -1 beyond the last")
    cells = beat_cells(asked.beats, asked.x.shape[2])                                           # [B, T]
    typical = np.median([asked.x.shape[2] / len(row.unique()) for row in cells])
    return _ablated(asked, cells.unsqueeze(1).expand_as(asked.x)), False, float(typical / asked.fs)


@torch.no_grad()
def _ablated(asked: _Asked, cells: Tensor) -> Tensor:
    """How far the logit falls when one cell is zero, at every sample of the cell. cells: int64, of the shape of x or one for all."""
    return FeatureAblation(asked.logits).attribute(asked.x, 0.0, asked.target, asked.extra, feature_mask=cells)


def beat_cells(beats: Tensor, n_samples: int) -> Tensor:
    """The beat that each sample belongs to, int64 [B, T]: beats [B, S] part at the middle between two R-peaks."""
    cells = torch.zeros(len(beats), n_samples, dtype=torch.int64)
    for row, found in zip(cells, beats, strict=True):
        peaks = found[found >= 0]
        middles = (peaks[1:] + peaks[:-1] + 1) // 2
        row += torch.bucketize(torch.arange(n_samples), middles, right=True)
    return cells


# -- baselines ------------------------------------------------------------------------------------------------------------

def _magnitude(asked: _Asked) -> Found:
    return asked.x.abs(), True, 1 / asked.fs


def _random(asked: _Asked) -> Found:
    if asked.generator is None:
        raise ConfigurationError("the method 'random' needs a generator; give one, such as torch.Generator().manual_seed(0)")
    return torch.rand(asked.x.shape, generator=asked.generator), True, 1 / asked.fs


_METHODS: dict[str, Callable[[_Asked], Any]] = {
    "grad_cam": _grad_cam, "hires_cam": _hires_cam, "gradient_x_input": _gradient_x_input,
    "integrated_gradients": _integrated_gradients, "occlusion_lead": _occlusion_lead, "occlusion_beat": _occlusion_beat,
    "magnitude": _magnitude, "random": _random,
}
METHODS = tuple(_METHODS)
