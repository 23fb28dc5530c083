"""What a network costs: parameters, multiply-accumulates, seconds, memory for the backward pass.

Two countings of multiply-accumulates (MACs) stand side by side. `macs` counts every matrix product and convolution, those inside
attention included, and nothing else. `notes_macs` follows the counting tool behind the study notes' tables (thop from 0.1 on), so
that our networks can be compared with the printed figures digit by digit. The notes print its figures as "FLOPs"; they are MACs.
"""

from __future__ import annotations

import contextlib
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils.flop_counter import FlopCounterMode

from ecgstudy.layers.attention import attention_class
from ecgstudy.layers.checks import require_count
from ecgstudy.signal import SignalSpec
from ecgstudy.train.device import one_thread

ADAPTIVE_POOLS = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
FIXED_POOLS = (nn.AvgPool1d, nn.AvgPool2d)
NOTES_COUNTED = (_ConvNd, nn.Linear, _BatchNorm, nn.LayerNorm)      # the modules whose parameters the notes' tool sees


def count_parameters(model: nn.Module) -> int:
    """All trainable numbers of a model."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def macs(model: nn.Module, inputs: SignalSpec | Tensor) -> int:
    """Multiply-accumulates of one forward pass: matrix products and convolutions, those inside attention and recurrent layers included.

    inputs: a signal, counted for one record, or an example tensor for a part of a network, such as [1, 1000, 64] for a stage.
    """
    example = example_input(model, inputs)
    with measuring(model), _plain_recurrence(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(example)
    return counter.get_total_flops() // 2


@contextlib.contextmanager
def _plain_recurrence() -> Iterator[None]:
    """Without oneDNN, whose recurrent layers are one operator to the counter, an LSTM is the matrix products that it is made of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TF32 acceleration", UserWarning)       # the switch itself, about hardware that is not here
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def notes_macs(model: nn.Module, inputs: SignalSpec | Tensor) -> int:
    """Multiply-accumulates of one forward pass by the notes' rule.

    Convolutions and linear maps count without their bias, a norm with weights counts 4 an element, average pooling 1 an output
    element, adaptive average pooling one more than its kernel. Activations, softmax and the products inside attention count 0.
    """
    total = 0

    def add(module: nn.Module, received: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += notes_rule(module, received[0], output)

    handles = [module.register_forward_hook(add) for module in model.modules()
               if isinstance(module, NOTES_COUNTED + ADAPTIVE_POOLS + FIXED_POOLS)]
    try:
        with measuring(model):
            model(example_input(model, inputs))
    finally:
        for handle in handles:
            handle.remove()
    return total


def notes_rule(module: nn.Module, received: Tensor, output: Tensor) -> int:
    """What the notes' tool counts for one call of a module."""
    if isinstance(module, _ConvNd):
        return output.numel() * module.weight[0].numel()
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    if isinstance(module, ADAPTIVE_POOLS):
        return received.numel() + output.numel()      # (kernel + 1) an output element, and kernel * outputs = inputs
    if isinstance(module, FIXED_POOLS):
        return output.numel()
    return received.numel() * (2 if module.weight is None else 4)


def notes_parameters(model: nn.Module) -> int:
    """Parameters as the notes' tool counts them: those of convolutions, linear maps and norms.

    A parameter that a composite module holds itself, such as a table of relative biases, is not seen.
    """
    seen = (module for module in model.modules() if isinstance(module, NOTES_COUNTED))
    return sum(parameter.numel() for module in seen for parameter in module.parameters())


def notes_print(count: float) -> str:
    """A count in the notes' notation.

    >>> notes_print(12_451_321), notes_print(2_137_220_608), notes_print(36_720)
    ('12.45M', '2.14G', '36.72K')
    """
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")):
        if count > size:
            return f"{count / size:.2f}{letter}"
    return f"{count:.2f}B"


def latency(model: nn.Module, signal: SignalSpec, batch: int = 1, repeats: int = 20) -> float:
    """Median seconds of a forward pass of `batch` records in evaluation mode, after a warm-up, on the model's own device."""
    example = example_input(model, signal, batch)
    with measuring(model):
        return median_seconds(lambda: model(example), example.device, repeats)


@dataclass(frozen=True)
class NetworkCost:
    """A whole network on one record: parameters, both countings, and milliseconds of a forward pass."""

    name: str
    n_parameters: int
    macs: int
    notes_macs: int
    milliseconds: float


def network_cost(name: str, model: nn.Module, signal: SignalSpec, repeats: int = 20) -> NetworkCost:
    """Measure `model` on one record of `signal`, under the name that a table gives it."""
    return NetworkCost(name, count_parameters(model), macs(model, signal), notes_macs(model, signal),
                       1000 * latency(model, signal, repeats=repeats))


@dataclass(frozen=True)
class AttentionCost:
    """One attention layer at one length: milliseconds of a forward pass, and bytes of activations kept for the backward pass."""

    attention: str
    n_tokens: int
    forward_milliseconds: float
    saved_bytes: int


def attention_cost(name: str, n_tokens: int, dim: int = 256, heads: int = 4, repeats: int = 3) -> AttentionCost:
    """Measure the layer `name` of `ecgstudy.layers.attention`, with its default settings, on one record of [1, n_tokens, dim].

    saved_bytes is what autograd holds between a forward and a backward pass, each storage once, without the layer's parameters.
    It is not the peak of the process: buffers that come and go inside an operator are not seen. Bi-level routing cuts every
    length into the same number of windows, so at its default settings it grows with the square of the length.
    """
    layer = attention_class(name)(dim, heads)
    x = torch.zeros(1, require_count("n_tokens", n_tokens), dim).normal_(generator=torch.Generator().manual_seed(0))
    with measuring(layer):
        seconds = median_seconds(lambda: layer(x), x.device, repeats)
    return AttentionCost(name, n_tokens, 1000 * seconds, saved_bytes(layer, x))


def saved_bytes(model: nn.Module, x: Tensor) -> int:
    """Bytes that autograd keeps of a forward pass for its backward pass, without the parameters."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(x.detach().requires_grad_())     # held until the count is taken, so that no address is used twice
        total = sum(kept.values())
    del output
    return total


def median_seconds(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median seconds of `call` after one untimed call. A GPU is waited for. A CPU works with one thread and its processor time is taken,
    so that the figure does not depend on how many cores there are, or on what else they do."""
    clock = time.perf_counter if device.type == "cuda" else time.thread_time

    def timed() -> float:
        began = clock()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock() - began

    with one_thread():
        timed()
        return statistics.median(timed() for _ in range(require_count("repeats", repeats)))


def example_input(model: nn.Module, inputs: SignalSpec | Tensor, batch: int = 1) -> Tensor:
    """The given tensor, or noise of a signal's shape [batch, L, T], on the model's device."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    if isinstance(inputs, Tensor):
        return inputs.to(device)
    shape = (require_count("batch", batch), inputs.n_leads, inputs.n_samples)
    return torch.empty(shape).normal_(generator=torch.Generator().manual_seed(0)).to(device)


@contextlib.contextmanager
def measuring(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients for the block; every module's own mode is put back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
