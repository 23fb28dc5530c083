"""Page 06, local blocks: what each one computes and costs, how far it sees, what training made of its kernels and gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ecgstudy.data.synthetic import Simulation, simulate
from ecgstudy.layers.channel import CoordinateAttention, SqueezeExcite
from ecgstudy.layers.convs import MultiScaleDepthwiseConv
from ecgstudy.leads import LEADS
from ecgstudy.models import build_model
from ecgstudy.models.inception_blocks import spell
from ecgstudy.models.registry import model_entry
from ecgstudy.study import runs, tables
from ecgstudy.study.axis_page import SIGNAL, AxisPage, Comparison
from ecgstudy.study.complexity import count_parameters, macs
from ecgstudy.study.names import readable
from ecgstudy.study.profiles import Profile, profile
from ecgstudy.study.variants import Variant, axis, sizes
from ecgstudy.train.checkpoint import load_weights
from ecgstudy.train.experiment import Setting
from ecgstudy.train.seeds import scoped_seed

VARIANTS = axis("local_blocks").variants
QUESTIONS = {
    "Does a gate behind the convolution help?": ("squeeze_excite", "coordinate"),
    "Does another form of block help?": ("inverted_residual", "modulation"),
    "Does the channel mixer matter?": ("dw_mlp", "glu", "conv_glu"),
    "Do the kernels matter?": ("kernels_3", "kernels_19", "kernels_3_5_7_9"),
}
PLACES = ((64, 1000), (256, 250))               # (C, N) of a block in stages 1 and 3 of the full network
MIX_TIME = r"\mathrm{MSDW}_{K}(x)"
MIX_CHANNELS = r"W_2\,\mathrm{GELU}(W_1 x)"
FORMULAS = {                                    # variant -> over time, over channels; what is missing is the plain block's
    "squeeze_excite": (r"u \odot \sigma(W_b\,\mathrm{ReLU}(W_a \bar u)),\ u = " + MIX_TIME, MIX_CHANNELS),
    "coordinate": (r"u \odot \sigma(W_t\,y) \odot \sigma(W_c\,y_0),\ [y; y_0] = \delta(\mathrm{BN}(W_a [u; \bar u])),\ u = " + MIX_TIME,
                   MIX_CHANNELS),
    "inverted_residual": (r"\mathrm{BN}\,W_2\,\mathrm{GELU}(\mathrm{BN}\,\mathrm{MSDW}_{K}(\mathrm{GELU}(\mathrm{BN}\,W_1 x)))", ""),
    "modulation": (r"W_p(\mathrm{DW}_{11}(\mathrm{GELU}(W_a x)) \odot W_v x)", MIX_CHANNELS),
    "dw_mlp": (MIX_TIME, r"W_2\,\mathrm{GELU}(u + \mathrm{DW}_3\,u),\ u = W_1 x"),
    "glu": (MIX_TIME, r"W_2(\mathrm{GELU}(W_a x) \odot W_b x)"),
    "conv_glu": (MIX_TIME, r"W_2(\mathrm{GELU}(\mathrm{DW}_3 W_a x) \odot W_b x)"),
}


# -- one block ----------------------------------------------------------------------------------------------------------

def local_letter(variant: Variant) -> str:
    """The letter of a variant's own convolving block: that of its pattern which is neither Local nor Global, else Local."""
    pattern = "".join(variant.settings.get("pattern", ()))
    return next((letter for letter in pattern if letter not in "LG"), "L")


def local_block(name: str, width: int, **changed: Setting) -> nn.Module:
    """One local block [B, N, width] -> [B, N, width] of a variant, with fresh weights, in evaluation mode.

    changed: settings over the variant's own. The block is the first of a network that is as small as it may be otherwise.
    """
    settings = VARIANTS[name].all_settings(profile("full")) | {
        "widths": (width, 8, 8), "depths": (1,) * 3, "pattern": (local_letter(VARIANTS[name]),) * 3} | changed
    with scoped_seed(0):
        return build_model("inception_former", SIGNAL, 9, **settings).stages[0][0].eval()


def formulas(name: str) -> tuple[str, str]:
    """What a variant's block adds over time and over channels, as LaTeX with its kernels; the second is empty where one does both."""
    kernels = VARIANTS[name].settings.get("kernels", model_entry("inception_former").settings["kernels"])
    over_time, over_channels = FORMULAS.get(name, (MIX_TIME, MIX_CHANNELS))
    return over_time.replace("_{K}", f"_{{{','.join(map(str, kernels))}}}"), over_channels


def block_table(page: AxisPage) -> str:
    """Formulas, parameters and MACs of one block of each chosen variant, counted now, as Markdown."""
    places = [f"C = {width}, N = {n}: parameters | MACs" for width, n in PLACES]
    lines = ["| block | over time | over channels | " + " | ".join(places) + " |", "| --- | --- | --- |" + " ---: |" * 2 * len(PLACES)]
    for name in page.names:
        over_time, over_channels = (f"${part}$" if part else "in the same step" for part in formulas(name))
        cells = [readable(name), over_time, over_channels]
        for width, n in PLACES:
            block = local_block(name, width)
            cells += [f"{count_parameters(block):,}", tables.mega(macs(block, torch.zeros(1, n, width)))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n" + _convolution_share()


def _convolution_share() -> str:
    """How little of the plain block is its convolution, in a sentence."""
    shares = []
    for width, n in PLACES:
        block, tokens = local_block("plain", width), torch.zeros(1, n, width)
        shares.append(f"{100 * macs(block.token_mixer, tokens) / macs(block, tokens):.0f} % at C = {width}")
    return f"Of the plain block's MACs its multi-scale convolution makes {' and '.join(shares)}; the rest is the MLP."


# -- how far a block sees -----------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Reach:
    """How much of the record one output token depends on, in seconds.

    by_stage: one block, {stage: seconds}, of the stages that hold it. by_depth: stem and stages 1 and 2 together, {profile: seconds}.
    Both by what is convolved; `whole_record` says that a gate also carries the mean over the whole record to every token.
    """

    by_stage: dict[int, float]
    by_depth: dict[str, float]
    whole_record: bool


def reaches(page: AxisPage) -> dict[str, Reach]:
    """The reach of each chosen variant, found by gradients: which inputs move the middle output."""
    profiles = {size.name: size for size in (page.request.size, profile("full"))}
    (width, n_tokens), ungated = PLACES[0], {"gate": "none"}
    tokens = torch.zeros(1, n_tokens, width)
    found = {}
    for name in page.names:
        convolved = reach(local_block(name, width, **ungated), tokens)
        found[name] = Reach({stage: convolved * 2**(stage - 1) / SIGNAL.fs for stage in stages_of(name)},
                            {each: _before_attention(name, size, ungated) for each, size in profiles.items()},
                            whole_record=reach(local_block(name, width), tokens) == n_tokens)
    return found


def stages_of(name: str) -> list[int]:
    """The stages, from 1, of the full network that hold a variant's own local block."""
    pattern = VARIANTS[name].settings.get("pattern", model_entry("inception_former").settings["pattern"])
    return [stage for stage, letters in enumerate(pattern, 1) if local_letter(VARIANTS[name]) in letters]


def reach(module: Callable[[Tensor], Tensor], example: Tensor) -> int:
    """How many steps along time of the input, first to last, the middle output token depends on.

    example: the input's shape, time on axis 1 as in tokens [1, N, C]; random values take the place of its own.
    """
    x = torch.empty_like(example).normal_(generator=torch.Generator().manual_seed(0)).requires_grad_()
    with torch.enable_grad():
        middle = module(x)
        gradient, = torch.autograd.grad(middle[0, middle.shape[1] // 2].sum(), x)
    moved = gradient[0].abs().sum(dim=-1).nonzero()                                       # [moved, 1]
    return int(moved.max() - moved.min()) + 1


def _before_attention(name: str, size: Profile, changed: dict[str, Setting]) -> float:
    """Seconds of the record that a token at the end of stage 2 depends on: no attention stands before it."""
    front = {"widths": sizes(size)["widths"][:3], "depths": (*sizes(size)["depths"][:2], 1)}       # what follows stage 2 is cut short
    with scoped_seed(0):
        model = build_model("inception_former", SIGNAL, 9, **VARIANTS[name].all_settings(size) | front | changed).eval()
    kept: list[Tensor] = []

    def second_stage(samples: Tensor) -> Tensor:
        model(samples.transpose(1, 2))                                                    # [1, T, L] -> [1, L, T]
        return kept[-1]

    handle = model.stages[1].register_forward_hook(lambda module, received, output: kept.append(output))
    try:
        return reach(second_stage, torch.zeros(1, SIGNAL.n_samples, SIGNAL.n_leads)) / SIGNAL.fs
    finally:
        handle.remove()


# -- what training made of it -------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Network:
    """A variant's network of this page as it began and, where its weights are on this machine, as it was trained.

    scale: (mean, deviation) in microvolts that it was fed with; None before training.
    """

    fresh: nn.Module
    trained: nn.Module | None
    scale: tuple[float, float] | None
    seed: int

    @property
    def newest(self) -> nn.Module:
        return self.fresh if self.trained is None else self.trained

    @property
    def state(self) -> str:
        return "untrained: its weights are not on this machine" if self.trained is None else f"as trained on this page, seed {self.seed}"


def network(found: Comparison, name: str) -> Network:
    """The first seed's network of a variant, from the weights of a run of this page where they are kept."""
    asked = found.page.request
    for run in found.outcome.finished:
        weights = runs.folder() / run.key / "weights.safetensors"
        if found.page.plan[run.experiment] == name and weights.is_file():
            fresh, trained = (_build(name, asked.size, len(run.result["data"]["classes"]), run.experiment.seed) for _ in range(2))
            load_weights(weights, trained)
            scaling = run.result["training"]["scaling"]
            return Network(fresh, trained, (scaling["mean"], scaling["deviation"]), run.experiment.seed)
    return Network(_build(name, asked.size, 9, asked.seeds[0]), None, None, asked.seeds[0])


def states(networks: Sequence[Network]) -> str:
    """The state of several networks in one phrase: shared where they agree."""
    return "; ".join(dict.fromkeys(each.state for each in networks))


def _build(name: str, size: Profile, n_classes: int, seed: int) -> nn.Module:
    with scoped_seed(seed):
        return build_model("inception_former", SIGNAL, n_classes, **VARIANTS[name].all_settings(size)).eval()


def gains(kernels: np.ndarray, fs: float, n_frequencies: int = 129) -> tuple[np.ndarray, np.ndarray]:
    """Frequency response of kernels [C, k] on samples at `fs` Hz: frequencies [F] in Hz, 0 to fs / 2, and gains [C, F]."""
    n = 2 * (n_frequencies - 1)
    return np.fft.rfftfreq(n, 1 / fs), np.abs(np.fft.rfft(kernels, n, axis=1))


def kernels(model: nn.Module) -> dict[int, dict[int, np.ndarray]]:
    """Depth-wise kernels of the first multi-scale convolution of each stage that has one: {stage: {size: [C / G, size]}}.

    The sizes of one convolution must differ, as the plain block's do.
    """
    found = {}
    for stage, blocks in enumerate(model.stages, 1):
        for layer in blocks.modules():
            if isinstance(layer, MultiScaleDepthwiseConv):
                found[stage] = {scale.conv.kernel_size[1]: scale.conv.weight.detach()[:, 0, 0].numpy() for scale in layer.scales}
                break
    return found


def moved(network: Network) -> str:
    """How far training moved the kernels, in a phrase; empty for an untrained network."""
    if network.trained is None:
        return ""
    before, after = kernels(network.fresh), kernels(network.trained)
    parts = []
    for stage, layers in before.items():
        changes = [np.linalg.norm(after[stage][size] - old, axis=1) / np.linalg.norm(old, axis=1) for size, old in layers.items()]
        parts.append(f"{100 * np.median(np.concatenate(changes)):.0f} % in stage {stage}")
    return f"training moved a kernel by {', '.join(parts)} of its norm (median)"


@dataclass(frozen=True)
class Gates:
    """Gate values, 0 shut to 1 open, of one local block over one record.

    over_time: coordinate attention's gate of each token and channel [C, N]. coordinate, squeeze_excite: the gates of a channel for
    the whole record [C].
    """

    stage: int
    over_time: np.ndarray
    coordinate: np.ndarray
    squeeze_excite: np.ndarray

    @property
    def share_over_time(self) -> float:
        """How much of the variance of `over_time` lies within channels; what lies between them a gate without time could give."""
        values = self.over_time.astype(np.float64)
        return float(values.var(axis=1).mean() / values.var())


def gates(squeezed: Network, coordinated: Network, record: Simulation) -> list[Gates]:
    """The gates of the first and the last gated block of both networks over the first of the simulated records."""
    squeeze = _gate_values(squeezed, record, SqueezeExcite, "excite")
    over_time = _gate_values(coordinated, record, CoordinateAttention, "token_gate")
    coordinate = _gate_values(coordinated, record, CoordinateAttention, "channel_gate")
    return [Gates(over_time[i][0], over_time[i][1].T, coordinate[i][1][0], squeeze[i][1][0]) for i in (0, -1)]


def _gate_values(network: Network, record: Simulation, kind: type[nn.Module], name: str) -> list[tuple[int, np.ndarray]]:
    """(stage, σ values [1 or N, C] of the map `name`) of every gate of that kind, in order."""
    model = network.newest
    maps = [(stage, getattr(layer, name)) for stage, blocks in enumerate(model.stages, 1) for layer in blocks.modules()
            if isinstance(layer, kind)]
    seen: dict[nn.Module, np.ndarray] = {}

    def keep(module: nn.Module, received: tuple[Tensor, ...], output: Tensor) -> None:
        seen[module] = output[0].sigmoid().numpy()

    handles = [module.register_forward_hook(keep) for _, module in maps]
    try:
        with torch.inference_mode():
            model(_fed(network, record))
    finally:
        for handle in handles:
            handle.remove()
    return [(stage, seen[module]) for stage, module in maps]


def example() -> Simulation:
    """The simulated record that the page's figures show."""
    return simulate(seed=4, indices=[11])


def lead_ii(record: Simulation) -> np.ndarray:
    """Lead II [T] of the first record, in mV."""
    return record.signals[0, LEADS.index("II")]


def _fed(network: Network, record: Simulation) -> Tensor:
    """The record [1, L, T] as the network is fed with it."""
    microvolts = 1000 * record.signals[:1]
    mean, deviation = network.scale or (0.0, microvolts.std())
    return torch.from_numpy(((microvolts - mean) / deviation).astype(np.float32))


# -- the reading --------------------------------------------------------------------------------------------------------

def by_question(found: Comparison) -> str:
    """The verdicts grouped by the page's four questions, as Markdown; empty where nothing is compared with the baseline."""
    baseline = found.page.axis.baseline
    compared = {row.value: row.difference["macro_auroc"] for row in found.rows if row.difference["macro_auroc"]}
    lines = []
    for question, names in QUESTIONS.items():
        told = [f"`{name}` {each.verdict} ({tables.show_interval(each.interval, signed=True)}, p {tables.show_p(each)})"
                for name in names if (each := compared.get(name))]
        if told:
            lines.append(f"- **{question}** {'; '.join(told)}.")
    if not lines:
        return ""
    n = len(compared)
    return (f"Question by question, macro-AUROC against `{baseline}`. p is corrected over "
            f"{f'all {n} comparisons' if n > 1 else 'the one comparison'} of this page, not within a question.\n\n" + "\n".join(lines))


def limits(page: AxisPage) -> list[str]:
    """What the page's own settings keep it from saying."""
    told = ["reductions, expansions and kernels are the notes' or the papers' own, not tuned for each block"]
    pattern, depths = VARIANTS["modulation"].settings["pattern"], sizes(page.request.size)["depths"]
    without = [str(stage) for stage, (asked, spelled) in enumerate(zip(pattern, spell(pattern, depths), strict=False), 1)
               if "M" in asked and "M" not in spelled]
    if "modulation" in page.names and without:
        told.append(f"stage {' and '.join(without)} is too shallow in this profile to hold modulation, which stands in later stages alone")
    return told
