"""Page 08: what one attention layer and one local layer do to a tone that runs over the tokens.

An attention matrix A [N, N] is a linear filter along the tokens, though not the same one for every query. Its gain at token
frequency f is what it leaves of a tone there, as a root mean square over queries: the rows' Fourier transform. A depth-wise kernel's
gain is its frequency response, as a root mean square over channels. How strong a layer is as a whole is set by the weights around
it, so each gain is divided by its own root mean square over frequencies: 1 everywhere is a layer that favours none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import nn

from ecgstudy.data.labels import label_set
from ecgstudy.data.synthetic import simulate
from ecgstudy.layers.attention import HiLoAttention, capture_attention
from ecgstudy.layers.convs import DepthwiseConv, MultiScaleDepthwiseConv
from ecgstudy.models import build_model
from ecgstudy.study import figures, probes
from ecgstudy.study.axis_page import SIGNAL, Comparison
from ecgstudy.study.frequency_claim import NETWORKS, mark
from ecgstudy.study.names import readable
from ecgstudy.train.checkpoint import load_weights
from ecgstudy.train.seeds import scoped_seed

STAGE = 2                               # the third: the last one in which convolutions and attention meet
TOKEN_RATE = SIGNAL.fs / 2**STAGE       # tokens a second there
N_RECORDS = 8
LINES = ("-", "--")
SHOWN = (1e-3, 20.0)                    # gains in the drawing; what lies below is as good as gone


@dataclass(frozen=True)
class Response:
    """One layer's relative gain [F] from no frequency to half the token rate. layer: attention or convolution."""

    network: str
    layer: str
    label: str
    gain: np.ndarray


def responses(found: Comparison) -> list[Response]:
    """The last attention and the last local layer of stage 3, in each network that the claim is about.

    Trained weights of the first seed that has them at hand, else fresh ones, and the label says so.
    """
    signal = simulate(seed=4, indices=range(N_RECORDS)).signals                           # [B, L, T] mV
    x, made = torch.from_numpy(signal / signal.std()), []
    for name in (name for name in NETWORKS if name in found.page.names):
        model, state = network(found, name)
        kernels = [module for module in model.stages[STAGE].modules() if isinstance(module, MultiScaleDepthwiseConv)]
        made += [Response(name, "convolution", f"{readable(name)}{state}", relative(kernel_gain(kernels[-1])))] if kernels else []
        made += [Response(name, "attention", f"{readable(name)}{part}{state}", relative(map_gain(maps)))
                 for part, maps in attention_maps(model, x).items()]
    return made


def network(found: Comparison, name: str) -> tuple[nn.Module, str]:
    """A network of the page in evaluation mode, and what to add to its name: nothing where it is trained."""
    asked = found.page.request
    n_classes, settings = len(label_set(asked.dataset, asked.task).classes), found.page.axis.variants[name].all_settings(asked.size)
    with scoped_seed(0):
        model = build_model("inception_former", SIGNAL, n_classes, **settings)
    kept = [path for row in found.rows if row.value == name for run in row.runs if (path := probes.weights(run)).is_file()]
    if kept:
        load_weights(kept[0], model)
    return model.eval(), "" if kept else " (fresh)"


def attention_maps(model: nn.Module, x: torch.Tensor) -> dict[str, np.ndarray]:
    """Maps [B, H, N, N] of the stage's last attention layer; HiLo's two kinds of head apart, no entry where there is no attention."""
    with capture_attention(model) as maps, torch.inference_mode():
        model(x)
    names = [name for name in maps if name.startswith(f"stages.{STAGE}.")]
    if not names:
        return {}
    layer, weights = model.get_submodule(names[-1]), maps[names[-1]].numpy()
    if not isinstance(layer, HiLoAttention):
        return {"": weights}
    n_high = layer.high_project.in_features // layer.head_dim
    return {" windows": weights[:, :n_high], " means": weights[:, n_high:]}


def map_gain(maps: np.ndarray) -> np.ndarray:
    """Attention [..., N, N] -> gain [N // 2 + 1] at each token frequency; 1 at none, because each row sums to 1."""
    spectra = np.abs(np.fft.rfft(maps.astype(np.float64), axis=-1)) ** 2
    return np.sqrt(spectra.reshape(-1, spectra.shape[-1]).mean(axis=0))


def kernel_gain(layer: MultiScaleDepthwiseConv, n_tokens: int = SIGNAL.n_samples // 2**STAGE) -> np.ndarray:
    """Depth-wise kernels of all scales -> gain [n_tokens // 2 + 1] at each token frequency."""
    kernels = [module.conv.weight.detach().double().flatten(1).numpy() for module in layer.modules() if isinstance(module, DepthwiseConv)]
    spectra = np.concatenate([np.abs(np.fft.rfft(kernel, n_tokens, axis=-1)) ** 2 for kernel in kernels])     # [C, F]
    return np.sqrt(spectra.mean(axis=0))


def relative(gain: np.ndarray) -> np.ndarray:
    """A gain over its root mean square over frequencies."""
    return gain / np.sqrt((gain**2).mean())


def upper_share(gain: np.ndarray) -> float:
    """The share of the squared gain [F] that lies in the upper half of the frequencies; a half where none is favoured."""
    power = gain**2
    return float(power[len(power) // 2:].mean() / (power[len(power) // 2:].mean() + power[:len(power) // 2].mean()))


def told(made: Sequence[Response]) -> str:
    """What the responses say, in numbers, as Markdown."""
    parts = []
    for layer, name in (("attention", "attention"), ("convolution", "depth-wise kernels")):
        if shares := [f"{each.label} {upper_share(each.gain):.0%}" for each in made if each.layer == layer]:
            parts.append(f"{name}: {', '.join(shares)}")
    if not parts:
        return ""
    return (f"**The direct look.** Share of the squared gain above {TOKEN_RATE / 4:g} Hz of token frequency, where 50% is no preference; "
            f"{'; '.join(parts)}. One layer of one seed, on simulated records: a description, not a test.")


def figure(made: Sequence[Response], title: str) -> Figure:
    """Relative gain over token frequency: attention left, local layers right, on the same scale."""
    with plt.rc_context(figures.STYLE):
        drawn, axes = plt.subplots(1, 2, figsize=(9.5, 4.6), sharey=True, layout="constrained")
        named: dict[str, Line2D] = {}
        for axis, layer, name in zip(axes, ("attention", "convolution"), ("Attention matrix", "Depth-wise kernels"), strict=True):
            named |= _draw(axis, [each for each in made if each.layer == layer])
            axis.set(yscale="log", xlabel="token frequency (Hz)", title=name, xlim=(-0.2, TOKEN_RATE / 2), ylim=SHOWN)
        axes[0].set_ylabel("gain, relative to its root mean square")
        drawn.legend(handles=list(named.values()), loc="outside lower center", ncols=3, fontsize=9)
        drawn.suptitle(title, fontsize=11, x=0.01, ha="left")
        return figures.closed(drawn)


def _draw(axis: Axes, made: Sequence[Response]) -> dict[str, Line2D]:
    """The curves of one kind of layer; returns each line by its label."""
    axis.axhline(1, color=figures.GREY, lw=0.8)
    lines: dict[str, Line2D] = {}
    for i, each in enumerate(made):
        second = i > 0 and made[i - 1].network == each.network
        lines[each.label], = axis.plot(np.linspace(0, TOKEN_RATE / 2, len(each.gain)), each.gain, color=mark(each.network)[0], lw=1.4,
                                       ls=LINES[second], label=each.label)
    axis.grid(color="#e5e5e5", lw=0.8)
    axis.set_axisbelow(True)
    return lines
