"""Activations by name, as in `keras.activations`: functions of a tensor, on symbols and arrays alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kgraph import ops
from kgraph.named import find
from kgraph.ops.arithmetic import cast, minimum, where
from kgraph.ops.compare import greater, less
from kgraph.ops.creating import dtype_of
from kgraph.ops.nn import (
    celu,
    elu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    linear,
    log_sigmoid,
    mish,
    relu6,
    selu,
    silu,
    soft_shrink,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh_shrink,
    threshold,
)
from kgraph.ops.probabilities import log_softmax, softmax
from kgraph.ops.tensors import tensor
from kgraph.ops.transcendental import exp, sigmoid, softplus, tanh

Activation = Callable[..., Any]


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """max(x, 0), or Keras's general form of it.

    x where it is above the threshold, negative_slope * (x - threshold) below, and never above max_value.
    """
    x = tensor(x)
    if threshold:
        above = where(greater(x, threshold), x, 0)
        below = where(less(x, threshold), (x - threshold) * negative_slope, 0) if negative_slope else None
        y = above if below is None else above + below
    elif negative_slope and max_value is None:
        return leaky_relu(x, negative_slope)
    else:
        y = leaky_relu(x, negative_slope) if negative_slope else ops.relu(x)
    return y if max_value is None else minimum(y, cast(max_value, dtype_of(y)))


def gelu(x: Any, approximate: bool = False) -> Any:
    """x times the normal distribution's cumulative function at x; approximate: by tanh."""
    return ops.gelu(x, approximate)


def exponential(x: Any) -> Any:
    """e to the power of x."""
    return exp(x)


ALL: tuple[Activation, ...] = (
    celu,
    elu,
    exponential,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    linear,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh,
    tanh_shrink,
    threshold,
)
swish, hard_swish = silu, hard_silu
NAMES: Mapping[str, Activation] = {one.__name__: one for one in ALL} | {"swish": silu, "hard_swish": hard_silu}


def get(identifier: Any) -> Activation:
    """The activation of a name, of what `serialize` made, or a function as it is; None is `linear`.

    Raises ArgumentError for an unknown name, with those that look like it.
    """
    return linear if identifier is None else find(identifier, NAMES, "activation")


def deserialize(config: Any, custom_objects: Mapping[str, Activation] | None = None) -> Activation:
    """The activation of what `serialize` made; custom_objects are other functions by name."""
    return find(config, {**NAMES, **(custom_objects or {})}, "activation")


def serialize(activation: Activation) -> str:
    """The name of an activation. One that is not among these needs `custom_objects` where it is read back."""
    return getattr(activation, "__name__", type(activation).__name__)
