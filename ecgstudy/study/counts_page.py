"""Page 03, the own network: every count that the study notes print beside ours, one block counted by hand, and what counts leave open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import pandas as pd
import torch
from pandas.io.formats.style import Styler
from torch import Tensor, nn

from ecgstudy.errors import unknown
from ecgstudy.models import build_model
from ecgstudy.models.registry import model_entry
from ecgstudy.study import complexity, tables
from ecgstudy.study.axis_page import SIGNAL
from ecgstudy.study.complexity import notes_print
from ecgstudy.study.profiles import profile
from ecgstudy.study.variants import axis

N_CLASSES = 9               # of CPSC2018, which the notes count with
LONGEST_KERNEL = 31         # in the search for what the counts leave open


# -- the printed counts -------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Counted:
    """What a row of the notes' counts stands for here: a variant of an axis, and the part of it, as a dotted path; empty for all."""

    words: str
    axis: str
    variant: str
    part: str = ""


COUNTED = {
    "inceptionformer": Counted("InceptionFormer", "inceptionformer", "inception_former"),
    "inceptionformer.stem": Counted("its stem", "inceptionformer", "inception_former", "stem"),
    "inceptionformer.block0": Counted("blocks of stage 1", "inceptionformer", "inception_former", "stages.0"),
    "inceptionformer.block1": Counted("blocks of stage 2", "inceptionformer", "inception_former", "stages.1"),
    "inceptionformer.block2": Counted("blocks of stage 3", "inceptionformer", "inception_former", "stages.2"),
    "inceptionformer.block3": Counted("blocks of stage 4", "inceptionformer", "inception_former", "stages.3"),
    "inceptionformer_3_stages": Counted("without stage 4", "size_and_tokens", "three_stages"),
    "inceptionformer_depths_2_4_8_2": Counted("depths 2, 4, 8, 2", "size_and_tokens", "short_last_stage"),
    "inceptionformer_sparse_tokens": Counted("with semantic tokens", "size_and_tokens", "semantic_tokens"),
    "sparse_attention_block": Counted("their token block", "size_and_tokens", "semantic_tokens", "entries.3"),
    "inceptionformer_tiny": Counted("Tiny", "size_and_tokens", "tiny"),
    "resnet18": Counted("ResNet18", "inceptionformer", "resnet18"),
    "resnet34": Counted("ResNet34", "inceptionformer", "resnet34"),
    "mobilenetv2": Counted("MobileNetV2", "inceptionformer", "mobilenetv2"),
}


@dataclass(frozen=True)
class Count:
    """One printed row beside ours: `printed` and `ours` are (parameters, MACs) in the notes' notation, by the notes' rule;
    n_parameters and macs are the true counts."""

    words: str
    shape: tuple[int, ...]
    printed: tuple[str, str]
    ours: tuple[str, str]
    n_parameters: int
    macs: int

    @property
    def equal(self) -> bool:
        """Both figures, to the last printed digit."""
        return self.printed == self.ours


def counts(names: tuple[str, ...] = ()) -> list[Count]:
    """Rows of `counts` in the notes' reported numbers, by default all, counted now on built networks at full width.

    Raises ConfigurationError for a row that is not reported, or reported and not known here.
    """
    told = tables.reported("counts")
    built: dict[tuple[str, str], nn.Module] = {}
    found = []
    for name in names or told:
        for kind, rows in (("printed count", told), ("counted network", COUNTED)):
            if name not in rows:
                raise unknown(kind, name, rows)
        counted = COUNTED[name]
        variant = counted.axis, counted.variant
        if variant not in built:
            built[variant] = full_variant(*variant)
        found.append(_count(counted, built[variant], told[name]))
    return found


def full_variant(axis_name: str, variant: str) -> nn.Module:
    """The network of a page's variant at full width, for the notes' signal and classes."""
    chosen = axis(axis_name).variants[variant]
    return build_model(chosen.model, SIGNAL, N_CLASSES, **chosen.all_settings(profile("full")))


def _count(counted: Counted, network: nn.Module, told: dict) -> Count:
    module = network.get_submodule(counted.part)
    received = example(network, module, told.get("input"))
    ours = complexity.notes_parameters(module), complexity.notes_macs(module, received)
    return Count(counted.words, tuple(received.shape), (told["params"], told["macs"]), (notes_print(ours[0]), notes_print(ours[1])),
                 complexity.count_parameters(module), complexity.macs(module, received))


def example(network: nn.Module, module: nn.Module, shape: list[int] | None) -> Tensor:
    """An input for a part of a network. shape: as the notes print it, [1, C, N]; blocks here take [1, N, C]. None: what reaches the part
    inside the network."""
    record = complexity.example_input(network, SIGNAL)                                    # [1, L, T]
    if shape is None:
        received: list[Tensor] = []
        handle = module.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
        with complexity.measuring(network):
            network(record)
        handle.remove()
        return received[0]
    return record if shape == list(record.shape) else torch.zeros(shape).transpose(1, 2)


def count_table(found: list[Count]) -> Styler:
    """Printed and own counts by the notes' rule, whether they are equal, and the true counts."""
    lines = [{("", "network or part"): row.words,
              (tables.NOTES, "parameters"): row.printed[0], (tables.NOTES, "MACs"): row.printed[1],
              ("ours, notes' rule", "parameters"): row.ours[0], ("ours, notes' rule", "MACs"): row.ours[1],
              ("", "equal"): "yes" if row.equal else "no",
              ("ours, true", "parameters"): f"{row.n_parameters:,}", ("ours, true", "MACs"): tables.mega(row.macs)} for row in found]
    table = pd.DataFrame(lines)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return tables.style(table, "Every count that the notes print (grey), and ours of the full networks with nine classes: by the notes' "
                               "rule in their notation, and the true ones. Each part is given the input that the notes state.")


def verdict(found: list[Count]) -> str:
    """Whether every figure is met, as Markdown."""
    figures = [(row, name, told, ours) for row in found
               for name, told, ours in zip(("parameters", "MACs"), row.printed, row.ours, strict=True)]
    off = [f"{row.words}, {name}: {told} printed, {ours} here" for row, name, told, ours in figures if told != ours]
    if off:
        return f"**{len(figures) - len(off)} of {len(figures)} printed figures are met.** Not met: {'; '.join(off)}."
    return f"**All {len(figures)} printed figures of the {len(found)} rows are met to the last printed digit.**"


# -- one block by hand --------------------------------------------------------------------------------------------------

def by_hand(width: int = 64, n_tokens: int = 1000) -> Styler:
    """One Local block of the built network, layer by layer: parameters, and MACs a token by either rule, in units of its width C."""
    block = full_variant("inceptionformer", "inception_former").stages[0][0]
    tokens = torch.zeros(1, n_tokens, width)
    lines = []
    for name, words in (("token_norm", "norm"), ("token_mixer", "depth-wise convolution, four kernels"), ("channel_norm", "norm"),
                        ("channel_mixer", "MLP, C → 2C → C"), ("", "the block")):
        module = block.get_submodule(name)
        lines.append({"layer": words, "parameters": in_width(complexity.count_parameters(module), width),
                      "MACs, notes' rule": in_width(complexity.notes_macs(module, tokens) // n_tokens, width),
                      "true MACs": in_width(complexity.macs(module, tokens) // n_tokens, width)})
    return tables.style(pd.DataFrame(lines), f"The first Local block, C = {width}, read off the built layers; MACs a token. At "
                                             f"{n_tokens:,} tokens the notes' two figures of stage 1 share their digits for this reason.")


def in_width(count: int, width: int) -> str:
    """A count as a polynomial of the width.

    >>> in_width(4 * 64**2 + 18 * 64, 64)
    '4C² + 18C'
    """
    assert count % width == 0, f"{count} is no multiple of the width {width}"
    square, linear = divmod(count // width, width)
    parts = [f"{square}C²"] * bool(square) + [f"{linear}C"] * bool(linear)
    return " + ".join(parts) or "0"


# -- what the counts leave open -----------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Design:
    """A block that might have been: C-wide, with `square` C² weights in its linear maps, a depth-wise convolution of `kernel` weights a
    channel on average (0: none), biases of `bias` C numbers in all, and `norms` norms. words: its choices, for the table."""

    words: tuple[str, ...]
    square: int
    kernel: float
    bias: int
    norms: int

    def parameters(self, width: int) -> float:
        return self.square * width**2 + (self.kernel + self.bias + 2 * self.norms) * width

    def macs(self, width: int) -> float:
        """For one token, by the notes' rule: no bias, four for each number that a norm sees."""
        return self.square * width**2 + (self.kernel + 4 * self.norms) * width


def local_designs() -> Iterator[Design]:
    """Depth-wise convolution, then an MLP; the four kernels average a multiple of one half, for the sum of four odd numbers is even."""
    for ratio, halves, convolution, mlp, norms in product(range(1, 5), range(2, 2 * LONGEST_KERNEL + 1), (0, 1), (0, 1), range(4)):
        yield Design((f"ratio {ratio}", f"kernels of {halves / 2:g} on average", _biased(convolution=convolution, MLP=mlp),
                      f"{norms} norms"), 2 * ratio, halves / 2, convolution + (ratio + 1) * mlp, norms)


def global_designs() -> Iterator[Design]:
    """Self-attention, then an MLP."""
    for ratio, values, projection, mlp, norms in product(range(1, 5), (0, 1), (0, 1), (0, 1), range(4)):
        yield Design((f"ratio {ratio}", _biased(**{"Q, K, V": values, "projection": projection, "MLP": mlp}), f"{norms} norms"),
                     4 + 2 * ratio, 0, 3 * values + projection + (ratio + 1) * mlp, norms)


def _biased(**layers: int) -> str:
    return f"bias in {', '.join(name for name, has in layers.items() if has)}" if any(layers.values()) else "no bias"


@dataclass(frozen=True)
class Search:
    """What was tried for one kind of block, and the designs that meet the printed counts."""

    block: str
    rows: str
    n_tried: int
    left: list[Design]


def search() -> list[Search]:
    """Every Local design against stages 1 and 2, then, with what is left, every Global design against stages 3 and 4."""
    told = tables.reported("counts")
    depths = dict(model_entry("inception_former").settings)["depths"]
    local = list(local_designs())
    left = [design for design in local if meets(told, {"inceptionformer.block0": [design] * depths[0],
                                                       "inceptionformer.block1": [design] * depths[1]})]
    attending = list(global_designs())
    beside = [design for design in attending if any(
        meets(told, {"inceptionformer.block2": [other, design] * (depths[2] // 2), "inceptionformer.block3": [design] * depths[3]})
        for other in left)]
    return [Search("Local", "stages 1 and 2", len(local), left), Search("Global", "stages 3 and 4", len(attending), beside)]


def meets(told: dict, stages: dict[str, list[Design]]) -> bool:
    """Whether stages of these blocks print as the notes print them: {row of `counts`: its blocks}."""
    return all((told[name]["params"], told[name]["macs"]) == printed(blocks, *told[name]["input"][1:])
               for name, blocks in stages.items())


def printed(blocks: list[Design], width: int, n_tokens: int) -> tuple[str, str]:
    """Parameters and MACs of consecutive blocks in the notes' notation."""
    return (notes_print(sum(block.parameters(width) for block in blocks)),
            notes_print(n_tokens * sum(block.macs(width) for block in blocks)))


def search_table(found: list[Search]) -> Styler:
    """Each design that meets the counts, one a row."""
    lines = [{"block": one.block, "must meet": one.rows, "left": ", ".join(design.words)}
             for one in found for design in one.left]
    return tables.style(pd.DataFrame(lines), "Designs of either block that print as the notes print. Tried: MLP ratios 1 to 4, none to "
                        f"three norms, bias or none in each layer, kernels up to {LONGEST_KERNEL}.")


def kernel_sets(average: float = 10, n: int = 4) -> int:
    """How many sets of n different odd kernels have this average: the counts cannot tell them apart."""
    return sum(sum(kernels) == n * average for kernels in combinations(range(1, LONGEST_KERNEL + 1, 2), n))


def left_open(found: list[Search]) -> str:
    """What the searches and the counts of the variants decide, and what they do not, as Markdown."""
    by_block = {one.block: one for one in found}
    survivors, base = by_block["Local"].left, model_entry("inception_former").settings
    own = sum(base["kernels"]) / len(base["kernels"])
    halved = build_model("inception_former", SIGNAL, N_CLASSES, **axis("size_and_tokens").variants["tiny"].all_settings(profile("full"))
                         | {"stem_kernels": base["stem_kernels"]})
    told = tables.reported("counts")["inceptionformer_tiny"]
    figures = notes_print(complexity.notes_parameters(halved)), notes_print(complexity.notes_macs(halved, SIGNAL))
    return (f"Of {by_block['Local'].n_tried:,} Local designs {len(survivors)} print as the notes print, and of "
            f"{by_block['Global'].n_tried:,} Global designs {len(by_block['Global'].left)}. The kernels here, {_list(base['kernels'])}, "
            f"average {own:g}; so do {kernel_sets(own)} sets of {len(base['kernels'])} different odd kernels up to {LONGEST_KERNEL}.\n\n"
            f"Tiny is not the base at half width: with the base's stem kernels {_list(base['stem_kernels'])} it would print "
            f"{figures[0]} and {figures[1]}, where the notes have {told['params']} and {told['macs']}.")


def _list(values: Sequence[int]) -> str:
    return ", ".join(str(value) for value in values)
