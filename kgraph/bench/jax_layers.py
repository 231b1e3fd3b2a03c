"""A chain of layers in jax: lax.scan over time, with the products of all inputs ahead; convolutions of XLA."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kgraph.bench.case import Case
from kgraph.bench.chain import Link
from kgraph.bench.jax_calls import Run

Weight = Callable[[Any], Any]  # a variable of ours -> jax's array
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda x: x,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softmax": jax.nn.softmax,
}


def made_for(case: Case, chain: Sequence[Link], mode: str, unroll: int) -> tuple[Run, dict[str, Any], list[str]]:
    """The function that computes the outputs, or the loss, its params, and their names in the order of the weights."""
    variables = case.model.trainable_variables
    names = [str(number) for number in range(len(variables))]
    known = dict(zip(map(id, variables), names, strict=True))
    params = {name: jnp.asarray(variable.numpy()) for name, variable in zip(names, variables, strict=True)}
    return partial(run, chain, known, mode != "forward", unroll), params, names


def run(
    chain: Sequence[Link],
    known: Mapping[int, str],
    with_loss: bool,
    unroll: int,
    params: Mapping[str, Any],
    given: Sequence[Any],
) -> list[Any]:
    """The outputs; called by jax on tracers."""
    value = given[0]
    for link in chain:
        value = LAYERS[link.kind](link, lambda variable: params[known[id(variable)]], value, unroll)
    return [jnp.mean(jnp.square(given[1] - value))] if with_loss else [value]


def _activated(link: Link, x: Any) -> Any:
    return ACTIVATIONS[link.config["activation"]](x)


def _dense(link: Link, weight: Weight, x: Any, unroll: int) -> Any:
    return _activated(link, x @ weight(link.layer.kernel) + weight(link.layer.bias))


def _embedding(link: Link, weight: Weight, x: Any, unroll: int) -> Any:
    return jnp.take(weight(link.layer.embeddings), x, axis=0)


def _looped(link: Link, weight: Weight, x: Any, unroll: int) -> Any:
    step = {"LSTM": _lstm, "GRU": _gru}[link.unit]
    parts = []
    for backwards, cell in enumerate(link.cells):
        bias = weight(cell.bias)
        entering = jnp.swapaxes(x, 0, 1) @ weight(cell.kernel) + (bias if link.unit == "LSTM" else bias[0])
        start = jnp.zeros((x.shape[0], cell.units), x.dtype)
        first = (start, start) if link.unit == "LSTM" else (start,)
        one = partial(step, weight(cell.recurrent_kernel), bias)
        last, every = lax.scan(one, first, entering, reverse=bool(backwards), unroll=unroll)
        parts.append(jnp.swapaxes(every, 0, 1) if link.sequences else last[0])
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)


def _lstm(recurrent: Any, bias: Any, carried: Any, entering: Any) -> Any:
    hidden, cell = carried
    i, f, new, o = jnp.split(entering + hidden @ recurrent, 4, axis=-1)
    cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(new)
    hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
    return (hidden, cell), hidden


def _gru(recurrent: Any, bias: Any, carried: Any, entering: Any) -> Any:
    (hidden,) = carried
    parts = zip(jnp.split(entering, 3, axis=-1), jnp.split(hidden @ recurrent + bias[1], 3, axis=-1), strict=True)
    (z, z_inner), (r, r_inner), (new, inner) = parts
    z, r = jax.nn.sigmoid(z + z_inner), jax.nn.sigmoid(r + r_inner)
    hidden = z * hidden + (1 - z) * jnp.tanh(new + r * inner)
    return (hidden,), hidden


def _convolution(link: Link, weight: Weight, x: Any, unroll: int) -> Any:
    kernel, groups = weight(link.layer.kernel), link.config.get("groups", 1)
    if link.kind == "DepthwiseConv2D":
        groups = x.shape[-1]
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    padding = link.config["padding"].upper()
    layout = ("NHWC", "HWIO", "NHWC")
    value = lax.conv_general_dilated(
        x, kernel, link.config["strides"], padding, dimension_numbers=layout, feature_group_count=groups
    )
    return _activated(link, value + weight(link.layer.bias))


def _pooled(link: Link, weight: Weight, x: Any, unroll: int) -> Any:
    window, strides = ((1, *link.config[key], 1) for key in ("pool_size", "strides"))
    return lax.reduce_window(x, -np.inf, lax.max, window, strides, "VALID")


LAYERS: Mapping[str, Callable[[Link, Weight, Any, int], Any]] = {
    "Dense": _dense,
    "Embedding": _embedding,
    "Flatten": lambda link, weight, x, unroll: x.reshape(x.shape[0], -1),
    "LSTM": _looped,
    "GRU": _looped,
    "Bidirectional": _looped,
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "MaxPooling2D": _pooled,
}
