"""Public functions that make tensors: zeros, ones, eye, arange, one_hot and their like.

With sizes known now they compute at once; with a size known only at the call they record.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.sizes import Dim, Size, axes_of
from kgraph.graph.types import is_float, promote, standard_dtype, type_of
from kgraph.ops import move
from kgraph.ops.arithmetic import add, cast, divide, multiply, subtract, where
from kgraph.ops.compare import equal, greater_equal
from kgraph.ops.move import iota, on_diagonal, shape_of
from kgraph.ops.shapes import broadcast_to, counted, diagonal, dims, expand_dims, moveaxis, one_axis, ravel, reshape
from kgraph.ops.transcendental import power
from kgraph.tracing.trace import Symbol, as_symbol, function, is_symbolic, stacked


def dtype_of(x: Any) -> str:
    """The dtype of a symbol, variable, array, number or nest of lists; Python numbers have Keras's default ones."""
    x = stacked(x)
    kind = getattr(x, "dtype", None)
    if kind is not None:
        return standard_dtype(kind)
    if isinstance(x, Size):
        return "int32"
    if isinstance(x, (bool, int, float)):
        return promote(type_of(x).dtype)
    return {"f": standard_dtype(None), "i": "int32"}.get(np.asarray(x).dtype.kind) or np.asarray(x).dtype.name


@function
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """A tensor of this shape filled with a value, which is broadcast. dtype defaults to `config.floatx()`."""
    value = cast(fill_value, standard_dtype(dtype))
    return move.broadcast_to(value, shape=dims(shape))


@function
def zeros(shape: Any, dtype: Any = None) -> Any:
    """A tensor of zeros; dtype defaults to `config.floatx()`."""
    return full(shape, 0, dtype)


@function
def ones(shape: Any, dtype: Any = None) -> Any:
    """A tensor of ones; dtype defaults to `config.floatx()`."""
    return full(shape, 1, dtype)


@function
def empty(shape: Any, dtype: Any = None) -> Any:
    """A tensor whose contents do not matter: zeros."""
    return zeros(shape, dtype)


@function
def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """A tensor of x's shape, and dtype unless another is given, filled with a value."""
    value = cast(fill_value, standard_dtype(dtype or dtype_of(x)))
    if is_symbolic((x,)):  # recorded, so that no array of the size of x is kept
        value = as_symbol(value)
    return move.broadcast_to(value, shape=shape_of(x))


@function
def zeros_like(x: Any, dtype: Any = None) -> Any:
    """Zeros of x's shape, and dtype unless another is given."""
    return full_like(x, 0, dtype)


@function
def ones_like(x: Any, dtype: Any = None) -> Any:
    """Ones of x's shape, and dtype unless another is given."""
    return full_like(x, 1, dtype)


@function
def empty_like(x: Any, dtype: Any = None) -> Any:
    """A tensor of x's shape whose contents do not matter: zeros."""
    return zeros_like(x, dtype)


# ranges ----------------------------------------------------------------------------------------------------------


@function
def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """start, start + step, ... below stop; with one argument, 0 up to it. Ends may be sizes known only at the call.

    step: 1 by default. dtype: int32 where all ends are integers, else `config.floatx()`. Raises ArgumentError without a
    start, and for a step of 0.
    """
    if start is None:
        raise ArgumentError("arange wants a number, not None; for an axis of open length, take ops.shape(x)[axis]")
    step = 1 if step is None else step
    start, stop, step = map(counted, (0, start, step) if stop is None else (start, stop, step))
    ends = (start, stop, step)
    kind = standard_dtype(dtype) if dtype is not None else promote(*map(dtype_of, ends))
    if builtins.any(isinstance(end, Symbol) for end in ends):
        raise ArgumentError("arange with ends known only at the call has no known size; use sizes from ops.shape")
    if isinstance(step, (int, float, np.number)) and step == 0:
        raise ArgumentError(f"arange from {start} to {stop} in steps of 0 has no end")
    if not axes_of(ends):
        return np.arange(start, stop, step).astype(kind)
    if not isinstance(step, int) or not builtins.all(isinstance(end, (int, Size)) for end in (start, stop)):
        raise ArgumentError(
            f"arange from {start} to {stop} in steps of {step}: with such sizes, steps must be integers"
        )
    span = stop - start if step > 0 else start - stop
    line = iota(shape=((span + abs(step) - 1) // abs(step),), axis=0, dtype=kind)
    line = line if step == 1 else multiply(line, step)
    return line if isinstance(start, int) and start == 0 else add(line, cast(start, kind))


@function
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """num values from start to stop in equal steps; tensors as ends get a new axis. retstep: also give the step.

    ArgumentError: num is negative.
    """
    if num < 0:
        raise ArgumentError(f"linspace makes a number of values from 0 on, not {num}")
    kind = standard_dtype(dtype) if dtype is not None else promote(dtype_of(start), dtype_of(stop), "float")
    work = kind if is_float(kind) else standard_dtype(None)
    start, stop = cast(start, work), cast(stop, work)
    span = subtract(stop, start)
    step = divide(span, num - 1 if endpoint else num) if num > endpoint else full_like(span, np.nan)
    rank = len(shape_of(step))
    line = np.arange(num).reshape((num,) + (1,) * rank).astype(work)
    if endpoint and num > 1:
        part = multiply(line / np.asarray(num - 1, work), span)
        values = where(line == num - 1, stop, add(start, part))
    else:
        values = add(start, multiply(line, step) if num > 1 else np.zeros_like(line))
        values = broadcast_to(values, (num, *shape_of(step)))
    values = moveaxis(values, 0, axis) if axis else values
    values = cast(values, kind)
    return (values, step) if retstep else values


@function
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: float = 10, dtype: Any = None, axis: int = 0
) -> Any:
    """num values from base**start to base**stop, in equal ratios."""
    kind = standard_dtype(dtype) if dtype is not None else promote(dtype_of(start), dtype_of(stop), "float")
    exponents = linspace(start, stop, num, endpoint, dtype=kind if is_float(kind) else None, axis=axis)
    return cast(power(base, exponents), kind)


@function
def meshgrid(*x: Any, indexing: str = "xy") -> list[Any]:
    """Vectors as the coordinates of a grid, each in full; indexing "xy" exchanges the first two axes of "ij"."""
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"indexing must be 'xy' or 'ij', not {indexing!r}")
    count = len(x)
    sizes: list[Dim] = [shape_of(one)[0] if shape_of(one) else 1 for one in x]
    order = [1, 0, *range(2, count)] if indexing == "xy" and count > 1 else list(range(count))
    whole = tuple(sizes[axis] for axis in order)
    places = [order.index(number) for number in range(count)]
    lines = [tuple(sizes[n] if axis == place else 1 for axis in range(count)) for n, place in enumerate(places)]
    return [broadcast_to(reshape(one, line), whole) for one, line in zip(x, lines, strict=True)]


# diagonals -------------------------------------------------------------------------------------------------------


def _offsets(rows: Dim, columns: Dim, lead: int = 0) -> tuple[Any, Any]:
    """Row and column numbers that broadcast to (..., rows, columns)."""
    front = (1,) * lead
    row = iota(shape=(*front, rows, 1), axis=lead, dtype="int32")
    return row, iota(shape=(*front, 1, columns), axis=lead + 1, dtype="int32")


@function
def eye(N: Dim, M: Dim | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Ones on the k-th diagonal of (N, M), M defaulting to N; zeros elsewhere."""
    row, column = _offsets(N, N if M is None else M)
    return cast(equal(add(row, k), column), standard_dtype(dtype))


@function
def identity(n: Dim, dtype: Any = None) -> Any:
    """The identity matrix (n, n)."""
    return eye(n, dtype=dtype)


@function
def tri(N: Dim, M: Dim | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Ones at and below the k-th diagonal of (N, M), zeros above."""
    row, column = _offsets(N, N if M is None else M)
    return cast(greater_equal(add(row, k), column), standard_dtype(dtype))


@function
def tril(x: Any, k: int = 0) -> Any:
    """x with zeros above the k-th diagonal of its last two axes."""
    return _triangle(x, k, "greater_equal")


@function
def triu(x: Any, k: int = 0) -> Any:
    """x with zeros below the k-th diagonal of its last two axes."""
    return _triangle(x, k, "less_equal")


def _triangle(x: Any, k: int, compare: str) -> Any:
    have = shape_of(x)
    if len(have) < 2:
        raise ArgumentError(f"a triangle of a tensor of {len(have)} axes; it needs two")
    row, column = _offsets(have[-2], have[-1], len(have) - 2)
    kept = FUNCTIONS[compare](add(row, k), column)
    return where(kept, x, cast(0, dtype_of(x)))


@function
def diag(x: Any, k: int = 0) -> Any:
    """The k-th diagonal of a matrix, or the matrix that has a vector there."""
    have = shape_of(x)
    if len(have) == 2:
        return diagonal(x, k)
    if len(have) != 1:
        raise ArgumentError(f"diag of a tensor of {len(have)} axes; it takes one or two")
    length = have[0] + abs(k)
    above, left = max(-k, 0), max(k, 0)
    inner = on_diagonal(x, (have[0], have[0]), 0, 1)
    ends = {"low": (above, left), "high": (left, above), "interior": (0, 0)}
    return move.pad(inner, 0, **ends) if length != have[0] else inner


@function
def diagflat(x: Any, k: int = 0) -> Any:
    """The matrix with all elements of x on its k-th diagonal."""
    return diag(ravel(x), k)


@function
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal of two axes."""
    values = diagonal(x, offset, axis1, axis2)
    small = dtype_of(values) in ("bool", "int8", "int16", "uint8", "uint16")
    if small:
        values = cast(values, "uint32" if dtype_of(values).startswith("u") else "int32")
    return FUNCTIONS["sum"](values, axis=-1)


# classes ---------------------------------------------------------------------------------------------------------


@function
def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    """A new axis of num_classes elements: 1 at the class, 0 elsewhere; classes outside give zeros.

    x: integers; dtype defaults to `config.floatx()`. There are no sparse tensors here: sparse must be False.
    """
    if sparse:
        raise ArgumentError("one_hot: there are no sparse tensors here")
    if not hasattr(x, "dtype"):
        x = np.asarray(x, np.int32)
    rank = len(shape_of(x))
    place = one_axis(axis, rank + 1)
    classes = expand_dims(x if dtype_of(x) in ("int32", "int64") else cast(x, "int32"), place)
    line = iota(shape=(1,) * place + (num_classes,) + (1,) * (rank - place), axis=place, dtype=dtype_of(classes))
    return cast(equal(classes, line), standard_dtype(dtype))


@function
def multi_hot(inputs: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    """1 at each class that occurs in a row of inputs, 0 elsewhere: (batch, n) gives (batch, num_classes)."""
    hot = one_hot(inputs, num_classes, axis=axis, dtype=dtype, sparse=sparse)
    return FUNCTIONS["max"](hot, axis=1 if len(shape_of(inputs)) > 1 else 0)
