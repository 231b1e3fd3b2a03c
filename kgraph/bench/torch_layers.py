"""A chain of layers in torch.nn, with our weights in its layouts; images lie as (N, C, H, W)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from kgraph.bench.case import Case
from kgraph.bench.chain import Link
from kgraph.bench.torch_calls import Made

Back = Callable[..., np.ndarray]  # arrays like the parameters -> an array like our variable
Weights = dict[int, tuple[list[torch.Tensor], Back]]  # by the variable's identity
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class Chain(nn.Module):
    """The layers one after the other; with a second argument, the mean squared distance from it."""

    def __init__(self, chain: Sequence[Link], channels_last: bool) -> None:
        super().__init__()
        self.weights: Weights = {}
        found: list[nn.Module] = []
        for link in chain:
            module, weights = LAYERS[link.kind](link)
            self.weights |= weights
            found += [module, *activation(link)]
        self.layers = nn.Sequential(*found)
        self.channels_last = channels_last
        if channels_last:
            self.layers.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor, target: torch.Tensor | None = None) -> tuple[torch.Tensor]:
        value = self.layers(x)
        return (value if target is None else nn.functional.mse_loss(value, target),)

    def given(self, arrays: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Arrays as the layers want them, images with their channels first."""
        kind = torch.channels_last if self.channels_last else torch.contiguous_format
        return [image(torch.from_numpy(one), kind) if one.ndim == 4 else torch.from_numpy(one) for one in arrays]


def image(x: torch.Tensor, kind: Any) -> torch.Tensor:
    """An image as torch has it."""
    return x.permute(0, 3, 1, 2).contiguous(memory_format=kind)


def activation(link: Link) -> list[nn.Module]:
    """The module for a layer's activation, if it has one."""
    name = link.config.get("activation", "linear")
    if name == "linear" or link.kind in ("LSTM", "GRU"):
        return []
    return [nn.Softmax(-1) if name == "softmax" else ACTIVATIONS[name]()]


def read_outputs(found: Sequence[torch.Tensor]) -> list[np.ndarray]:
    """Outputs as ours are."""
    return [(one.permute(0, 2, 3, 1) if one.ndim == 4 else one).detach().numpy() for one in found]


def made_for(case: Case, chain: Sequence[Link], channels_last: bool) -> Made:
    """A module that computes the loss, and where the weights are in it."""
    module = Chain(chain, channels_last)
    pairs = [module.weights[id(variable)] for variable in case.model.trainable_variables]

    def read(found: Sequence[np.ndarray]) -> list[np.ndarray]:
        rest = iter(found)
        return [back(*(next(rest) for _ in parameters)) for parameters, back in pairs]

    wanted = [one for parameters, _ in pairs for one in parameters]
    return Made(module, module.given([*case.inputs, *case.targets]), wanted, read)


def put(parameter: torch.Tensor, value: np.ndarray) -> torch.Tensor:
    """A parameter with another value."""
    parameter.data = torch.from_numpy(np.array(value, order="C"))
    return parameter


def same(value: np.ndarray) -> np.ndarray:
    """What lies in torch as it does in ours."""
    return value


def _dense(link: Link) -> tuple[nn.Module, Weights]:
    kernel, bias = link.layer.kernel, link.layer.bias
    made = nn.Linear(*kernel.shape)
    weight = put(made.weight, kernel.numpy().T)
    return made, {id(kernel): ([weight], np.transpose), id(bias): ([put(made.bias, bias.numpy())], same)}


def _embedding(link: Link) -> tuple[nn.Module, Weights]:
    table = link.layer.embeddings
    made = nn.Embedding(*table.shape)
    return made, {id(table): ([put(made.weight, table.numpy())], same)}


class Looped(nn.Module):
    """torch.nn.LSTM or GRU, and which part of its results a layer gives."""

    def __init__(self, rnn: nn.RNNBase, sequences: bool) -> None:
        super().__init__()
        self.rnn, self.sequences = rnn, sequences

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        every, last = self.rnn(x)
        if self.sequences:
            return every
        last = last[0] if isinstance(last, tuple) else last
        return torch.cat((last[0], last[1]), -1) if self.rnn.bidirectional else last[0]


def _looped(link: Link) -> tuple[nn.Module, Weights]:
    cells, is_lstm = link.cells, link.unit == "LSTM"
    kind = nn.LSTM if is_lstm else nn.GRU
    made = kind(link.entering[-1], cells[0].units, batch_first=True, bidirectional=len(cells) == 2)
    weights: Weights = {}
    for cell, end in zip(cells, ("", "_reverse"), strict=False):
        there = [getattr(made, f"{name}_l0{end}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        for variable, parameter in zip((cell.kernel, cell.recurrent_kernel), there, strict=False):
            value = variable.numpy() if is_lstm else reset_first(variable.numpy())
            weights[id(variable)] = [put(parameter, value.T)], np.transpose if is_lstm else _transposed
        bias = cell.bias.numpy()
        if is_lstm:  # torch has two biases where one is enough
            put(there[3], np.zeros_like(bias)).requires_grad_(False)
            weights[id(cell.bias)] = [put(there[2], bias)], same
        else:
            pair = [put(one, value) for one, value in zip(there[2:], reset_first(bias), strict=True)]
            weights[id(cell.bias)] = pair, lambda *both: reset_first(np.stack(both))
    return Looped(made, link.sequences), weights


def reset_first(value: np.ndarray) -> np.ndarray:
    """The gates of a GRU in torch's order, with the first two exchanged; and back."""
    update, reset, new = np.split(value, 3, axis=-1)
    return np.concatenate([reset, update, new], axis=-1)


def _transposed(value: np.ndarray) -> np.ndarray:
    return reset_first(value.T)


def _convolution(link: Link) -> tuple[nn.Module, Weights]:
    kernel, bias, config = link.layer.kernel, link.layer.bias, link.config
    depthwise = link.kind == "DepthwiseConv2D"
    channels, count = link.entering[-1], bias.shape[0]
    groups = channels if depthwise else config["groups"]
    made = nn.Conv2d(channels, count, config["kernel_size"], config["strides"], config["padding"], groups=groups)
    turned = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
    value = kernel.numpy().transpose(turned)
    back = np.argsort(turned)
    weight = put(made.weight, value.reshape(count, -1, *value.shape[2:]))
    return made, {
        id(kernel): ([weight], lambda one: one.reshape(value.shape).transpose(back)),
        id(bias): ([put(made.bias, bias.numpy())], same),
    }


class Flattened(nn.Module):
    """Images as rows, in our order."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1)


LAYERS: Mapping[str, Callable[[Link], tuple[nn.Module, Weights]]] = {
    "Dense": _dense,
    "Embedding": _embedding,
    "Flatten": lambda link: (Flattened(), {}),
    "LSTM": _looped,
    "GRU": _looped,
    "Bidirectional": _looped,
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "MaxPooling2D": lambda link: (nn.MaxPool2d(link.config["pool_size"], link.config["strides"]), {}),
}
