"""Rows of kind compose: softmax and log_softmax, whose gradients need their results and nothing from inside."""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.graph.op import Op, common_float
from kgraph.graph.types import TensorType
from kgraph.ops.arithmetic import multiply, reciprocal, subtract
from kgraph.ops.axes import axes_of
from kgraph.ops.reduce import max_row, sum_row
from kgraph.ops.tensors import composed, floating
from kgraph.ops.transcendental import exp, log
from kgraph.tracing.trace import Symbol, primitive

Axes = tuple[int, ...]


def _same(x: TensorType, axes: Axes) -> TensorType:
    return x


def _below_largest(x: Any, axes: Axes) -> Any:
    """x less its largest element along the axes, so that exp of it cannot overflow."""
    return subtract(x, max_row(x, axes=axes, keepdims=True, of_none=True))


def _softmax(x: Any, axes: Axes) -> Any:
    e = exp(_below_largest(x, axes))
    return e * reciprocal(sum_row(e, axes=axes, keepdims=True))


def _log_softmax(x: Any, axes: Axes) -> Any:
    below = _below_largest(x, axes)
    return below - log(sum_row(exp(below), axes=axes, keepdims=True))


def _softmax_numpy(x: np.ndarray, axes: Axes) -> np.ndarray:
    e = np.exp(x - x.max(axes, keepdims=True, initial=-np.inf))
    return e / e.sum(axes, keepdims=True)


def _log_softmax_numpy(x: np.ndarray, axes: Axes) -> np.ndarray:
    below = x - x.max(axes, keepdims=True, initial=-np.inf)
    return below - np.log(np.exp(below).sum(axes, keepdims=True))


def _softmax_vjp(g: Symbol, y: Symbol, x: Symbol, axes: Axes) -> tuple[Any]:
    return (multiply(y, g - sum_row(multiply(g, y), axes=axes, keepdims=True)),)


def _log_softmax_vjp(g: Symbol, y: Symbol, x: Symbol, axes: Axes) -> tuple[Any]:
    return (g - exp(y) * sum_row(g, axes=axes, keepdims=True),)


softmax_row = primitive(
    Op(
        name="softmax",
        kind="compose",
        type=_same,
        numpy=_softmax_numpy,
        vjp=_softmax_vjp,
        opened=_softmax,
        casts=common_float,
    )
)
log_softmax_row = primitive(
    Op(
        name="log_softmax",
        kind="compose",
        type=_same,
        numpy=_log_softmax_numpy,
        vjp=_log_softmax_vjp,
        opened=_log_softmax,
        casts=common_float,
    )
)


@composed
def softmax(x: Any, axis: Any = -1) -> Any:
    """exp(x) / sum(exp(x)) along an axis or several: positive numbers whose sum is 1."""
    x = floating(x)
    return softmax_row(x, axes=axes_of(x, axis))


@composed
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """log(softmax(x)), without the cancellation of computing it in two steps."""
    x = floating(x)
    return log_softmax_row(x, axes=axes_of(x, axis))
