"""Public functions that bring elements to a mean, a spread or a length: layer_normalization, normalize, ..."""

from __future__ import annotations

from typing import Any

from kgraph import config
from kgraph.errors import ArgumentError
from kgraph.graph.types import promote
from kgraph.ops.arithmetic import cast, divide, maximum, minimum, multiply, negative, square, subtract
from kgraph.ops.axes import axes_of, axis_of
from kgraph.ops.creating import dtype_of
from kgraph.ops.move import shape_of
from kgraph.ops.shapes import reshape
from kgraph.ops.statistics import mean, norm, sum
from kgraph.ops.tensors import composed, floating
from kgraph.ops.transcendental import rsqrt


def _working(x: Any) -> Any:
    """x in at least float32, in which statistics are computed."""
    return cast(floating(x), promote(dtype_of(x), "float32"))


@composed
def layer_normalization(
    x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: float | None = None, **kwargs: Any
) -> Any:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta along axes. Ba et al., 2016.

    gamma, beta: of the shape of the axes, or None. epsilon defaults to `config.epsilon()`. The result has x's dtype.
    """
    rms_scaling = kwargs.pop("rms_scaling", False)
    if kwargs:
        raise ArgumentError(f"layer_normalization has no arguments {sorted(kwargs)}")
    dtype, x = dtype_of(x), _working(x)
    axes = axes_of(x, axis)
    centred = subtract(x, mean(x, axes, keepdims=True))
    inverse = rsqrt(mean(square(centred), axes, keepdims=True) + (config.epsilon() if epsilon is None else epsilon))
    result = multiply(x if rms_scaling else centred, inverse)
    if gamma is not None:
        result = multiply(result, _along(cast(gamma, dtype_of(x)), x, axes))
    if beta is not None and not rms_scaling:
        result = result + _along(cast(beta, dtype_of(x)), x, axes)
    return cast(result, dtype)


def _along(value: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """A weight of the shape of the axes, with size 1 along the others."""
    have = shape_of(x)
    if len(shape_of(value)) == len(have) or axes == (len(have) - 1,):
        return value
    return reshape(value, tuple(size if place in axes else 1 for place, size in enumerate(have)))


@composed
def rms_normalization(x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None) -> Any:
    """x / sqrt(mean(x * x) + epsilon) * scale along axes. epsilon defaults to `config.epsilon()`."""
    dtype, x = dtype_of(x), _working(x)
    epsilon = config.epsilon() if epsilon is None else epsilon
    if not shape_of(x):
        x = reshape(x, (1,))
    result = multiply(x, rsqrt(mean(square(x), axis, keepdims=True) + epsilon))
    return cast(result if scale is None else multiply(result, cast(scale, dtype_of(x))), dtype)


@composed
def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> Any:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset; each of them has one element for each of the axis."""
    x = floating(x)
    place = axis_of(x, axis)
    line = tuple(-1 if one == place else 1 for one in range(len(shape_of(x))))
    inverse = rsqrt(reshape(variance, line) + epsilon)
    inverse = inverse if scale is None else multiply(inverse, reshape(scale, line))
    shift = negative(multiply(reshape(mean, line), inverse))
    shift = shift if offset is None else shift + reshape(offset, line)
    return multiply(x, inverse) + shift


@composed
def normalize(x: Any, axis: Any = -1, order: int = 2, epsilon: float | None = None) -> Any:
    """x / norm(x, order) along axes; norms below epsilon count as epsilon, which defaults to `config.epsilon()`."""
    if not isinstance(order, int) or order < 1:
        raise ArgumentError(f"normalize: order must be an integer from 1 on, not {order!r}")
    x = floating(x)
    x = x if shape_of(x) else reshape(x, (1,))
    epsilon = config.epsilon() if epsilon is None else epsilon
    if order == 2:
        return multiply(x, minimum(rsqrt(sum(square(x), axis, keepdims=True)), 1.0 / epsilon))
    return divide(x, maximum(norm(x, order, axis, keepdims=True), epsilon))


@composed
def l2_normalize(x: Any, axis: Any = -1, epsilon: float = 1e-12) -> Any:
    """x / sqrt(max(sum(x * x), epsilon)) along axes, as in Keras 2."""
    x = floating(x)
    return multiply(x, rsqrt(maximum(sum(square(x), axis, keepdims=True), epsilon)))
