"""Named variants: what each page compares, one axis a page, and how a name becomes experiments.

A variant adds to the profile's own network only what it changes, so that two pages that compare the same network ask for equal
experiments and share their runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecgstudy.errors import require_known
from ecgstudy.models import list_models
from ecgstudy.models.registry import model_entry
from ecgstudy.study.distillation_plan import MVKT_ROWS, MVMS_ROWS
from ecgstudy.study.profiles import Profile, supervised
from ecgstudy.study.self_supervised_plan import PERCENTS, ROWS, rows_of
from ecgstudy.train.experiment import Experiment, Setting

Sizes = dict[str, Any]      # widths, depths and heads of the own network
FULL_WIDTH = 64             # of the first stage; other models narrow with it


@dataclass(frozen=True)
class Variant:
    """One row of a page.

    settings: over the profile's network. resize: changes that depend on its widths and depths. change: of the ordinary run, where it
    is not trained like the others. notes: where reported.yaml holds the notes' F1 on test and on validation, as dotted paths; empty
    where they report none.
    """

    settings: dict[str, Setting] = field(default_factory=dict)
    resize: Callable[[Sizes], dict[str, Setting]] | None = None
    model: str = "inception_former"
    notes: tuple[str, str] = ("", "")
    change: Callable[[Experiment, Profile], Experiment] = lambda experiment, size: experiment

    def experiment(self, dataset: str, task: str, size: Profile, seed: int) -> Experiment:
        """The variant's run of one seed."""
        return self.change(supervised(dataset, task, size, self.model, self.all_settings(size), seed), size)

    def all_settings(self, size: Profile) -> dict[str, Setting]:
        """The model's settings in a profile."""
        resized = self.resize(sizes(size)) if self.resize else {}
        if self.model != "inception_former":
            narrowed = model_entry(self.model).quick if size.name != "full" else {}
            return dict(narrowed) | self.settings | resized
        return dict(size.network) | {"attention": "mhsa"} | self.settings | resized


@dataclass(frozen=True)
class Axis:
    """What one page compares.

    page: its notebook. parameter: the notebook's parameter that chooses among `variants`. label: what one of them is called.
    """

    page: str
    parameter: str
    label: str
    baseline: str
    variants: dict[str, Variant]

    @property
    def name(self) -> str:
        """The page's name without its folder and number: what its plan is called."""
        return re.sub(r"^(.*/)?(\d+_)?", "", self.page)

    def experiments(self, dataset: str, task: str, size: Profile, names: Sequence[str] = (),
                    seeds: Sequence[int] = ()) -> dict[Experiment, str]:
        """Every run with the name of its variant. Seeds are the outer loop, so that a plan cut short by its time budget leaves whole
        comparisons behind."""
        for name in names:
            require_known(self.label, name, self.variants)
        return {self.variants[name].experiment(dataset, task, size, seed): name
                for seed in (seeds or size.seeds) for name in (names or self.variants)}


def sizes(size: Profile) -> Sizes:
    """Widths, depths and heads of a profile's own network."""
    defaults = model_entry("inception_former").settings
    return {name: dict(size.network).get(name, defaults[name]) for name in ("widths", "depths", "heads")}


def first_stages(n: int) -> Callable[[Sizes], dict[str, Setting]]:
    """Only the first n stages."""
    return lambda s: {"widths": s["widths"][:n], "depths": s["depths"][:n],
                      "pattern": model_entry("inception_former").settings["pattern"][:n]}


def halved_depths(*stages: int) -> Callable[[Sizes], dict[str, Setting]]:
    """Half as many blocks in the given stages."""
    return lambda s: {"depths": tuple(d // 2 if i in stages else d for i, d in enumerate(s["depths"]))}


def halved_widths(s: Sizes) -> dict[str, Setting]:
    return {"widths": tuple(w // 2 for w in s["widths"])}


def first_width(s: Sizes) -> dict[str, Setting]:
    """As wide as the own network's first stage."""
    return {"width": s["widths"][0]}


def relative_width(s: Sizes) -> dict[str, Setting]:
    """Narrowed by as much as the own network's first stage."""
    return {"width": s["widths"][0] / FULL_WIDTH}


def _reported(section: str, split: bool = False) -> tuple[str, str]:
    return (f"{section}.test.f1", f"{section}.validation.f1") if split else (f"{section}.test_f1", f"{section}.validation_f1")


BASE = Variant(notes=_reported("local_block.ms_dwconv_mhsa", split=True))
SHUNTED = Variant({"attention": "shunted"}, notes=_reported("inceptionnext_shunted_cross_stack", split=True))
HILO = Variant({"attention": "hilo"})
RESNET18 = Variant(model="resnet18", resize=first_width, notes=("size.resnet18.best_f1", ""))
MOBILENET = Variant(model="mobilenetv2", resize=relative_width, notes=("size.mobilenetv2.best_f1", ""))
RESNET34 = Variant(model="resnet34", resize=first_width, notes=("size.resnet34.best_f1", ""))
FREQUENCY = Variant(model="stft_resnet34", resize=first_width, notes=("time_frequency.frequency.f1", ""))
TWO_STREAM = Variant(model="two_stream", resize=first_width, notes=("time_frequency.two_stream.f1", ""))
ATTENTIONS = ("mhsa", "spatial_reduction", "bi_level_routing", "window", "shifted_window", "shunted", "hilo")
TESTED_IN_NOTES = ATTENTIONS[:5]

_DISTILLED = {"teacher": Variant(model="mvkt_ecg")} | {
    name: Variant(model="mvkt_ecg", change=change) for name, change in MVKT_ROWS.items()} | {"six_views": Variant(model="mvms_ecg")} | {
    name: Variant({"views": "one"}, model="mvms_ecg", change=change) for name, change in MVMS_ROWS.items()}

_PAGES = (
    Axis("03_inceptionformer", "networks", "network", "inception_former", {
        "inception_former": BASE,
        "resnet18": RESNET18,
        "resnet34": RESNET34,
        "mobilenetv2": MOBILENET,
    }),
    Axis("04_attention_ablation", "attentions", "attention", "mhsa", {
        name: Variant({"attention": name}, notes=_reported(f"attention_ablation.{name}") if name in TESTED_IN_NOTES else ("", ""))
        for name in ATTENTIONS}),
    Axis("05_position_encoding", "positions", "position encoding", "none", {
        "none": BASE,
        "learned": Variant({"position": "learned"}),
        "sinusoidal": Variant({"position": "sinusoidal"}),
        "relative": Variant({"position": "relative"}),
        "cpe": Variant({"position": "cpe"}),
        "lepe": Variant({"position": "lepe"}),
        "lepe_5": Variant({"position": "lepe", "position_kernel": 5}),
        "value": Variant({"position": "value"}),
    }),
    Axis("06_local_blocks", "blocks", "local block", "plain", {
        "plain": BASE,
        "squeeze_excite": Variant({"gate": "squeeze_excite"}, notes=_reported("local_block.ms_dwconv_se_mhsa", split=True)),
        "coordinate": Variant({"gate": "coordinate"}, notes=_reported("local_block.ms_dwconv_ca_mhsa", split=True)),
        "inverted_residual": Variant({"pattern": ("R", "R", "RG", "G")}),
        "modulation": Variant({"pattern": ("L", "LM", "MG", "G")}, notes=("convolutional_modulation.gap.test_f1", "")),
        "dw_mlp": Variant({"mixer": "dw_mlp"}),
        "glu": Variant({"mixer": "glu"}),
        "conv_glu": Variant({"mixer": "conv_glu"}),
        "kernels_3": Variant({"kernels": (3, 3, 3, 3)}),
        "kernels_19": Variant({"kernels": (19, 19, 19, 19)}),
        "kernels_3_5_7_9": Variant({"kernels": (3, 5, 7, 9)}),
    }),
    Axis("07_size_and_tokens", "sizes", "variant", "base", {
        "base": BASE,
        "three_stages": Variant(resize=first_stages(3), notes=("size.first_3_stages.best_f1", "")),
        "short_last_stage": Variant(resize=halved_depths(3), notes=("size.depths_2_4_8_2.best_f1", "")),
        "tiny": Variant({"stem_kernels": (11, 7, 3)}, halved_widths, notes=("size.tiny.best_f1", "")),
        "semantic_tokens": Variant({"semantic_tokens": True}, notes=("size.sparse_tokens.best_f1", "")),
        "class_token": Variant({"pooling": "class_token"}),
        "tokens_50": Variant({"keep_tokens": 0.5}),
        "tokens_25": Variant({"keep_tokens": 0.25}),
        "heads_50": Variant({"keep_heads": 0.5}),
    }),
    Axis("08_stacking", "networks", "network", "inception_former", {
        "inception_next": Variant({"pattern": ("L", "L", "L", "L")}),
        "mhsa_linear": Variant({"pattern": ("L", "L", "LLLLGGGG", "G")}),
        "inception_former": BASE,
        "shunt_sa": Variant({"attention": "shunted", "rates": (1, 2)}),
        "hilo_sa": HILO,
        "sandwich": Variant({"pattern": ("L", "L", "S", "S")}, halved_depths(2, 3)),
        "sandwich_pro": Variant({"pattern": ("R", "R", "P", "P"), "attention": "hilo"}, halved_depths(2, 3)),
        "crossed_shunted": SHUNTED,
    }),
    Axis("09_time_frequency", "streams", "stream", "time", {
        "time": RESNET34,
        "frequency": FREQUENCY,
        "two_stream": TWO_STREAM,
    }),
    Axis("12_self_supervised", "runs", "run", "cpc_ssl_scratch_100",
         {name: Variant(model=model, change=change) for name, (model, change) in ROWS.items()}),
    Axis("13_distillation", "networks", "network", "lead_I_bce", _DISTILLED),
    Axis("14_three_datasets", "networks", "network", "crossed_shunted", {
        "crossed_shunted": SHUNTED, "inception_former": BASE, "resnet18": RESNET18, "resnet34": RESNET34, "mobilenetv2": MOBILENET,
    }),
)

def _pretrained(model: str, methods: Sequence[str], percents: Sequence[int]) -> dict[str, Variant]:
    """The runs of page 12 that belong to a paper's page, but for the one that is the paper's network trained like any other."""
    return {name: Variant(model=model, change=ROWS[name][1]) for name in rows_of(methods, percents) if name != f"{model}_scratch_100"}


# What each paper's own idea is compared with: its network with the idea left out, or only a part of it.
_COMPARED = {
    "dual_branch_token_select": {name: Variant(settings, model="dual_branch_token_select") for name, settings in (
        ("all_tokens", {"keep": 1.0}), ("random_tokens", {"keep_draw": 0}), ("no_relation", {"relation_weight": 0.0}))},
    "dual_path_rnn": {f"{path}_alone": Variant({"paths": path}, model="dual_path_rnn") for path in ("intra", "inter")},
    "mina": {"no_hints": Variant({"knowledge": ()}, model="mina")},
    "multi_module": {"signal_alone": Variant({"modules": ("waveform", "spectrogram")}, model="multi_module"),
                     "waveform_alone": Variant({"modules": ("waveform",)}, model="multi_module")},
    "ecgnet": {f"{branch}_alone": Variant({"branches": branch}, model="ecgnet") for branch in ("cnn", "lstm")},
    "multi_res_trans": {f"{pooling}_alone": Variant({"pooling": pooling}, model="multi_res_trans") for pooling in ("mean", "max")},
    "lightweight_transformer": {"self_attention": Variant({"mixer": "attention"}, model="lightweight_transformer")},
    "multimodal_mil": {"own_modality": Variant({"reach": "own"}, model="multimodal_mil")},
    "progressive_gated_transformer": {name: Variant({"fusion": fusion}, model="progressive_gated_transformer") for name, fusion in (
        ("last_gate", "last"), ("no_gate", "sum"), ("fine_alone", "fine"), ("coarse_alone", "coarse"))},
    "mvms_ecg": {"hierarchical": Variant({"hierarchical": True}, model="mvms_ecg"),
                 "student": Variant({"views": "one"}, model="mvms_ecg")},
    "cpc_ssl": _pretrained("cpc_ssl", ("cpc",), PERCENTS),
    "clocs": _pretrained("clocs", ("cmsc", "cmlc", "cmsmlc"), (100,)),
    "st_mem": _pretrained("st_mem", ("st_mem",), (100,)),
    "mvkt_ecg": {name: Variant(model="mvkt_ecg", change=change) for name, change in MVKT_ROWS.items()},
}

# Each paper's network, with what it compares it to, beside a plain baseline, on the paper's own page.
_PAPERS = (Axis(f"papers/{name}", "networks", "network", "resnet18",
                {name: Variant(model=name), **_COMPARED.get(name, {}), "resnet18": RESNET18})
           for name in list_models() if model_entry(name).sizes)

# Every registered network, as it was trained for the page that is its own.
_NARROWED = {"inception_former": BASE, "resnet18": RESNET18, "resnet34": RESNET34, "mobilenetv2": MOBILENET,
             "stft_resnet34": FREQUENCY, "two_stream": TWO_STREAM}
_BENCHMARK = Axis("15_benchmark", "networks", "network", "resnet18",
                  {name: _NARROWED.get(name, Variant(model=name)) for name in list_models()} | {"crossed_shunted": SHUNTED})

AXES = {axis.name: axis for axis in (*_PAGES, *_PAPERS, _BENCHMARK)}


def axis(name: str) -> Axis:
    """The axis of a page, by its name; ConfigurationError with the nearest name where there is none."""
    return AXES[require_known("plan", name, AXES)]

