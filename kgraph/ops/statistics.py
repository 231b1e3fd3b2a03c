"""Public functions that reduce along axes: sum, mean, var, max, argmax, logsumexp, norm, ...

axis: None for all axes, a number, or a sequence of them; negative ones count from the end. keepdims: leave the reduced
axes in with size 1. Sums of booleans and of small integers are int32 (unsigned ones uint32), as in Keras.
"""

from __future__ import annotations

import builtins
import math
from functools import partial
from typing import Any

from kgraph.errors import ArgumentError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.sizes import product
from kgraph.ops import reduce
from kgraph.ops.arithmetic import (
    absolute,
    cast,
    divide,
    maximum,
    minimum,
    multiply,
    number,
    square,
    stop_gradient,
    subtract,
    where,
)
from kgraph.ops.axes import axes_of, axis_of, is_pattern
from kgraph.ops.compare import isfinite, not_equal
from kgraph.ops.creating import dtype_of
from kgraph.ops.move import shape_of
from kgraph.ops.shapes import ravel, reshape
from kgraph.ops.tensors import composed, floating, narrowed, roomy, tensor
from kgraph.ops.transcendental import exp, log, power, sqrt

_WIDER = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}


def _along(row: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """A row along axes; along none of them, every element is its own result."""
    axes = axes_of(x, axis)
    return x if axes == () else row(x, axes=axes, keepdims=builtins.bool(keepdims))


def _wide(x: Any) -> Any:
    """Small integers in the dtype of their sums."""
    if is_pattern(x):
        return x
    dtype = dtype_of(x)
    return cast(x, _WIDER[dtype]) if dtype in _WIDER else tensor(x)


@composed
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum along axes."""
    return _along(reduce.sum_row, _wide(x), axis, keepdims)


@composed
def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """The product along axes, computed in `dtype` where one is given."""
    return _along(reduce.prod_row, _wide(x) if dtype is None else cast(x, dtype), axis, keepdims)


@composed
def max(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The largest element along axes, or `initial` where that is larger; NaN where there is one."""
    return _extreme(reduce.max_row, maximum, x, axis, keepdims, initial)


@composed
def min(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The smallest element along axes, or `initial` where that is smaller; NaN where there is one."""
    return _extreme(reduce.min_row, minimum, x, axis, keepdims, initial)


def _extreme(row: Any, between: Any, x: Any, axis: Any, keepdims: bool, initial: Any) -> Any:
    x = x if is_pattern(x) else tensor(x)
    if initial is None:
        return _along(row, x, axis, keepdims)
    return between(_along(partial(row, of_none=True), x, axis, keepdims), cast(initial, dtype_of(x)))


@composed
def amax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest element along axes."""
    return max(x, axis, keepdims)


@composed
def amin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest element along axes."""
    return min(x, axis, keepdims)


@composed
def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether one element along axes is true."""
    return _along(reduce.any_row, x if is_pattern(x) else cast(x, "bool"), axis, keepdims)


@composed
def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether all elements along axes are true."""
    return _along(reduce.all_row, x if is_pattern(x) else cast(x, "bool"), axis, keepdims)


@composed
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The position of the first largest element along an axis, as int32; without one, in row-major order."""
    return _position(reduce.argmax_row, x, axis, keepdims)


@composed
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The position of the first smallest element along an axis, as int32; without one, in row-major order."""
    return _position(reduce.argmin_row, x, axis, keepdims)


def _position(row: Any, x: Any, axis: int | None, keepdims: bool) -> Any:
    if axis is not None:
        return row(x, axes=(axis_of(x, axis),), keepdims=keepdims)
    found = row(ravel(x), axes=(0,), keepdims=False)
    return reshape(found, (1,) * len(shape_of(x))) if keepdims else found


# means and spreads -------------------------------------------------------------------------------------------------


def count_of(x: Any, axis: Any) -> Any:
    """How many elements a reduction along axes makes one of: a number, or a symbol where that is not known yet."""
    return number(product(shape_of(x)[place] for place in axes_of(x, axis)))


@composed
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean along axes; of integers, in `config.floatx()`."""
    x = floating(x)
    return narrowed(_mean(roomy(x), axis, keepdims), x)


def _mean(x: Any, axis: Any, keepdims: bool) -> Any:
    count = count_of(x, axis)
    total = sum(x, axis, keepdims)
    if not isinstance(count, int):
        return divide(total, cast(count, dtype_of(total)))
    return divide(total, float(count))


@composed
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean square distance from the mean, along axes."""
    x = floating(x)
    return narrowed(_var(roomy(x), axis, keepdims), x)


def _var(x: Any, axis: Any, keepdims: bool) -> Any:
    centred = subtract(x, _mean(x, axis, keepdims=True))
    return _mean(square(centred), axis, keepdims)


@composed
def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The root of the variance along axes."""
    x = floating(x)
    return narrowed(sqrt(_var(roomy(x), axis, keepdims)), x)


@composed
def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> tuple[Any, Any]:
    """Mean and variance along axes. synchronized means nothing here, with one device."""
    x = floating(x)
    wide = roomy(x)
    centre = _mean(wide, axes, keepdims=True)
    spread = _mean(square(subtract(wide, centre)), axes, keepdims)
    return narrowed(centre if keepdims else _mean(wide, axes, False), x), narrowed(spread, x)


@composed
def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """The mean along axes, weighted where weights are given: of x's shape, or one for each element of the axis."""
    if weights is None:
        return mean(x, axis)
    axes = axes_of(x, axis)
    x, weights = floating(x), floating(weights)
    if shape_of(weights) != shape_of(x):
        if len(shape_of(weights)) != 1 or len(axes) != 1:
            raise ArgumentError("weights must have the shape of x, or be a vector for one axis")
        weights = reshape(weights, tuple(-1 if place == axes[0] else 1 for place in range(len(shape_of(x)))))
        weights = FUNCTIONS["broadcast_to"](weights, shape_of(x))
    return divide(sum(multiply(x, weights), axes), sum(weights, axes))


@composed
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) along axes, without overflow on the way."""
    x = floating(x)
    largest = stop_gradient(max(x, axis, keepdims=True))
    largest = where(isfinite(largest), largest, 0)
    total = log(sum(exp(subtract(x, largest)), axis, keepdims))
    if not keepdims and not is_pattern(x):
        largest = reshape(largest, reduce.reduced(shape_of(x), axes_of(x, axis), False))
    return total + largest


@composed
def count_nonzero(x: Any, axis: Any = None) -> Any:
    """How many elements along axes are not 0, as int32."""
    return sum(cast(not_equal(x, 0), "int32"), axis)


@composed
def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Along an axis, the sum of each element and those before it; without one, in row-major order."""
    return _running(reduce.cumsum_row, x, axis, dtype)


@composed
def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Along an axis, the product of each element and those before it; without one, in row-major order."""
    return _running(reduce.cumprod_row, x, axis, dtype)


def _running(row: Any, x: Any, axis: int | None, dtype: Any) -> Any:
    x = x if dtype is None else cast(x, dtype)
    return row(ravel(x), axis=0) if axis is None else row(x, axis=axis_of(x, axis))


# norms -------------------------------------------------------------------------------------------------------------


@composed
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors (one axis) or matrices (two). ord None: the root of the sum of squares.

    For vectors ord is a number, inf or -inf; for matrices "fro", 1, -1, inf or -inf.
    """
    x = floating(x)
    axes = axes_of(x, axis)
    if ord is None or (ord == 2 and len(axes) == 1) or (ord == "fro" and len(axes) == 2):
        return sqrt(sum(square(x), axes, keepdims))
    size = absolute(x)
    if len(axes) == 1:
        return _vector_norm(size, ord, axes, keepdims)
    if len(axes) == 2 and ord in (1, -1, math.inf, -math.inf):
        rows, columns = axes if axis is None else (axis_of(x, one) for one in axis)
        summed, kept = (rows, columns) if builtins.abs(ord) == 1 else (columns, rows)
        found = (max if ord > 0 else min)(sum(size, summed, keepdims=True), kept, keepdims=True)
        return found if keepdims else reshape(found, reduce.reduced(shape_of(x), axes, False))
    raise ArgumentError(f"norm: no ord {ord!r} for {len(axes)} axes")


def _vector_norm(size: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if isinstance(ord, str):
        raise ArgumentError(f"norm: no ord {ord!r} for vectors")
    if ord == math.inf:
        return max(size, axes, keepdims)
    if ord == -math.inf:
        return min(size, axes, keepdims)
    if ord == 0:
        return sum(cast(not_equal(size, 0), dtype_of(size)), axes, keepdims)
    if ord == 1:
        return sum(size, axes, keepdims)
    return power(sum(power(size, float(ord)), axes, keepdims), 1.0 / ord)
