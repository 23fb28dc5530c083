"""Page 04, the attention ablation: what each mechanism may look at, and what one layer costs as records grow."""

from __future__ import annotations

import numpy as np
import torch

from ecgstudy.data.synthetic import simulate
from ecgstudy.layers.attention.capture import capture_attention
from ecgstudy.leads import LEADS
from ecgstudy.models import build_model
from ecgstudy.progress import progress
from ecgstudy.study.axis_page import SIGNAL, AxisPage
from ecgstudy.study.complexity import AttentionCost, attention_cost
from ecgstudy.train.seeds import scoped_seed

TOKENS = (250, 500, 1000, 2000, 4000, 8000)         # 10 s to 5 minutes in stage 3, 25 tokens a second


def patterns(page: AxisPage) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """For each mechanism the attention [H, N, N] of the last layer of stage 3, untrained and at full width, and lead II [T] in mV.

    The record is simulated and the weights come from a seed, so that the picture does not depend on what was trained. In the
    last layer of the stage the windows of the shifted mechanism are shifted.
    """
    signal = simulate(seed=4, indices=[11]).signals                                       # [1, L, T] mV
    spread = torch.from_numpy(signal / signal.std())
    found = {}
    for name in page.names:
        with scoped_seed(0):
            model = build_model("inception_former", SIGNAL, 9, attention=name).eval()
        with capture_attention(model) as maps, torch.inference_mode():
            model(spread)
        last = [layer for layer in maps if layer.startswith("stages.2.")][-1]
        found[name] = maps[last][0].numpy()                                               # [H, N, N]
    return found, signal[0, LEADS.index("II")]


def token_counts(page: AxisPage) -> tuple[int, ...]:
    return TOKENS[:2] if page.request.size.name == "smoke" else TOKENS


def cost_curves(page: AxisPage) -> dict[str, list[AttentionCost]]:
    """One attention layer at each length, measured now on this machine."""
    names = page.names
    with progress(total=len(names) * len(token_counts(page)), desc="cost of one layer", unit="length") as bar:
        found: dict[str, list[AttentionCost]] = {name: [] for name in names}
        for name in names:
            for n_tokens in token_counts(page):
                found[name].append(attention_cost(name, n_tokens))
                bar.update()
    return found
