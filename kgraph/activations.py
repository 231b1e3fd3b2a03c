"""Activations by name, as in `keras.activations`: functions of a tensor, on symbols and arrays alike."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from kgraph import ops
from kgraph.errors import ArgumentError
from kgraph.ops import minimum, where
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
    log_softmax,
    mish,
    relu6,
    selu,
    silu,
    soft_shrink,
    softmax,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    tanh_shrink,
    threshold,
)  # fmt: skip
from kgraph.ops.transcendental import exp, sigmoid, softplus, tanh


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """max(x, 0), or Keras's general form of it.

    x where it is at least the threshold, negative_slope * (x - threshold) below, and never above max_value.
    """
    if threshold == 0.0:
        made = ops.relu(x) if negative_slope == 0.0 else leaky_relu(x, negative_slope)
    else:
        made = where(x >= threshold, x, (x - threshold) * negative_slope)
    return made if max_value is None else minimum(made, max_value)


def gelu(x: Any, approximate: bool = False) -> Any:
    """x times the share of the normal distribution below x; approximate, which `ops.gelu` is by default: by tanh."""
    return ops.gelu(x, approximate=approximate)


def sparsemax(x: Any, axis: int = -1) -> Any:
    """The probabilities nearest to x. Martins, Astudillo, 2016."""
    raise NotImplementedError("sparsemax needs a sort, which kgraph.ops does not have yet")


def exponential(x: Any) -> Any:
    """exp(x)."""
    return exp(x)


def hard_swish(x: Any) -> Any:
    """hard_silu by its other name."""
    return hard_silu(x)


def swish(x: Any) -> Any:
    """silu by its other name."""
    return silu(x)


_ALL: tuple[Callable[..., Any], ...] = (
    celu, elu, exponential, gelu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_swish, hard_tanh, leaky_relu, linear,
    log_sigmoid, log_softmax, mish, relu, relu6, selu, sigmoid, silu, soft_shrink, softmax, softplus, softsign,
    sparse_plus, sparse_sigmoid, sparsemax, squareplus, swish, tanh, tanh_shrink, threshold,
)  # fmt: skip
NAMES: dict[str, Callable[..., Any]] = {activation.__name__: activation for activation in _ALL}


def get(identifier: Any) -> Callable[..., Any]:
    """The activation of a name, a config made by `serialize`, or a callable; None is `linear`.

    Raises ArgumentError for an unknown name, with those that look like it.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, dict):
        identifier = identifier["config"] if isinstance(identifier.get("config"), str) else identifier["class_name"]
    if isinstance(identifier, str):
        if identifier in NAMES:
            return NAMES[identifier]
        near = difflib.get_close_matches(identifier, NAMES, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(sorted(NAMES))}"
        raise ArgumentError(f"unknown activation {identifier!r}{hint}")
    if callable(identifier):
        return identifier
    raise ArgumentError(f"an activation is a name or a function, not {identifier!r}")


def serialize(activation: Callable[..., Any]) -> Any:
    """The name of an activation."""
    return getattr(activation, "__name__", type(activation).__name__)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Callable[..., Any]:
    """The activation of a name, looked up among custom_objects first."""
    if custom_objects and isinstance(config, str) and config in custom_objects:
        return custom_objects[config]
    return get(config)


__all__ = [*NAMES, "deserialize", "get", "serialize"]
