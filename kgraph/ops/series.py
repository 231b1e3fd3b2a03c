"""Functions of neighbours, pairs and powers along an axis: diff, trapezoid, vander, correlate, cdist, windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kgraph import config, tree
from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.sizes import Size, shown
from kgraph.graph.types import numpy_dtype
from kgraph.ops import statistics
from kgraph.ops.arithmetic import (
    absolute,
    add,
    cast,
    divide,
    floor_divide,
    mod,
    multiply,
    sign,
    square,
    subtract,
    where,
)
from kgraph.ops.axes import axis_of
from kgraph.ops.compare import equal, less
from kgraph.ops.creating import dtype_of, linspace
from kgraph.ops.indexing import take
from kgraph.ops.joining import concatenate, stack
from kgraph.ops.loops import map as map_slices
from kgraph.ops.move import part, shape_of
from kgraph.ops.pointwise import log10
from kgraph.ops.products import matmul
from kgraph.ops.shapes import expand_dims, flip, reshape, swapaxes
from kgraph.ops.tensors import composed, floating, tensor
from kgraph.ops.transcendental import exp, log, sqrt
from kgraph.tracing.trace import function


@composed
def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """Each element along an axis less the one before it, n times. ArgumentError: n is negative."""
    a = tensor(a)
    place = axis_of(a, axis)
    if n < 0:
        raise ArgumentError(f"diff: n must not be negative, and is {n}")
    for _ in range(n):
        rest = shape_of(a)[place] - 1
        later, earlier = part(a, place, 1, rest), part(a, place, 0, rest)
        a = FUNCTIONS["not_equal"](later, earlier) if dtype_of(a) == "bool" else subtract(later, earlier)
    return a


@composed
def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest along axes less the least."""
    return subtract(statistics.max(x, axis, keepdims), statistics.min(x, axis, keepdims))


@composed
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral along an axis of the lines between the elements of y, which lie at x or dx apart."""
    y = floating(y)
    place = axis_of(y, axis)
    rest = shape_of(y)[place] - 1
    steps = dx
    if x is not None:
        x = floating(x)
        vector = len(shape_of(x)) == 1
        steps = diff(x, axis=0 if vector else axis)
        if vector:
            steps = reshape(steps, tuple(rest if one == place else 1 for one in range(len(shape_of(y)))))
    middle = add(part(y, place, 1, rest), part(y, place, 0, rest))
    return multiply(statistics.sum(multiply(middle, steps), place), 0.5)


@composed
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of the elements of a vector, N of each (default: as many as elements), the highest first.

    ShapeError: x is no vector. ArgumentError: no N where the size is known only at the call.
    """
    x = tensor(x)
    if len(shape_of(x)) != 1:
        raise ShapeError(f"vander of a vector, not of shape {shown(shape_of(x))}")
    count = shape_of(x)[0] if N is None else N
    if isinstance(count, Size):
        raise ArgumentError("vander: how many powers there are must be known; say it with N")
    powers = [FUNCTIONS["ones_like"](x)]
    for _ in range(count - 1):
        powers.append(multiply(powers[-1], x))
    if count <= 0:
        return FUNCTIONS["zeros"]((shape_of(x)[0], 0), dtype_of(x))
    return stack(powers if increasing else powers[::-1], 1)


@composed
def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:  # fmt: skip
    """num values from start to stop whose neighbours have equal quotients; both ends have the same sign."""
    start, stop = floating(start), floating(stop)
    lines = linspace(log(absolute(start)), log(absolute(stop)), num, endpoint, axis=axis)
    found = multiply(exp(lines), expand_dims(sign(start), axis) if shape_of(start) else sign(start))
    return found if dtype is None else cast(found, dtype)


@composed
def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """The place on each axis of elements that are numbered in row-major order; negative ones count from the end."""
    rest = tensor(indices)
    total = int(np.prod(shape))
    rest = where(less(rest, 0), add(rest, total), rest)
    found = []
    for size in reversed(shape):
        found.append(mod(rest, int(size)))
        rest = floor_divide(rest, int(size))
    return tuple(cast(one, dtype_of(indices)) for one in reversed(found))


# pairs ---------------------------------------------------------------------------------------------------------------


@composed
def correlate(x1: Any, x2: Any, mode: str = "valid") -> Any:
    """c[k] = sum over n of x1[n + k] * x2[n], for vectors of known sizes; mode: valid, same or full.

    ArgumentError: another mode. ShapeError: no vectors, or of sizes known only at the call. As `keras.ops.correlate`.
    """
    if mode not in ("valid", "same", "full"):
        raise ArgumentError(f"correlate: mode is valid, same or full, not {mode!r}")
    x1, x2 = floating(x1), floating(x2)
    have = shape_of(x1), shape_of(x2)
    if any(len(one) != 1 or not isinstance(one[0], int) for one in have):
        raise ShapeError(f"correlate of vectors of known sizes, not of {shown(have[0])} and {shown(have[1])}")
    long, short = int(have[0][0]), int(have[1][0])
    if long < short:
        return flip(correlate(x2, x1, mode), 0)
    before = {"valid": 0, "same": short // 2, "full": short - 1}[mode]
    count = {"valid": long - short + 1, "same": long, "full": long + short - 1}[mode]
    padded = FUNCTIONS["pad"](x1, ((before, short - 1),))
    windows = take(padded, np.arange(count, dtype=np.int32)[:, None] + np.arange(short, dtype=np.int32), 0)
    return statistics.sum(multiply(windows, x2), 1)


@composed
def corrcoef(x: Any) -> Any:
    """The correlation of each two rows of a matrix. As `keras.ops.corrcoef`."""
    x = floating(x)
    away = subtract(x, statistics.mean(x, -1, keepdims=True))
    if len(shape_of(x)) == 1:
        return divide(statistics.sum(square(away)), statistics.sum(square(away)))
    size = sqrt(statistics.sum(square(away), -1, keepdims=True))
    found = divide(matmul(away, swapaxes(away, -1, -2)), multiply(size, swapaxes(size, -1, -2)))
    return FUNCTIONS["clip"](found, -1.0, 1.0)


@composed
def cdist(x: Any, y: Any) -> Any:
    """The Euclidean distances of each row of x (..., n, d) to each row of y (..., m, d): (..., n, m)."""
    away = subtract(expand_dims(floating(x), -2), expand_dims(floating(y), -3))
    total = statistics.sum(square(away), -1)
    zero = equal(total, 0)
    return where(zero, 0, sqrt(where(zero, 1, total)))  # a gradient of 0 between equal rows


@composed
def psnr(x1: Any, x2: Any, max_val: Any) -> Any:
    """How much larger the square of max_val is than the mean square of x1 - x2, in decibels."""
    error = statistics.mean(square(subtract(floating(x1), floating(x2))))
    return subtract(multiply(log10(max_val), 20.0), multiply(log10(error), 10.0))


# windows of a signal -------------------------------------------------------------------------------------------------


def _window(name: str, numpy: Callable[..., np.ndarray], what: str) -> None:
    def window(x: Any) -> Any:
        return numpy(int(x)).astype(numpy_dtype(config.floatx()))

    window.__name__ = window.__qualname__ = name
    window.__doc__ = f"The {what} window of x elements, an integer."
    function(window)


for _name, _numpy, _what in (
    ("bartlett", np.bartlett, "triangular"),
    ("blackman", np.blackman, "Blackman"),
    ("hamming", np.hamming, "Hamming"),
    ("hanning", np.hanning, "Hann"),
):
    _window(_name, _numpy, _what)


@function
def kaiser(x: Any, beta: Any) -> Any:
    """The Kaiser window of x elements, an integer, for a number beta."""
    return np.kaiser(int(x), float(beta)).astype(numpy_dtype(config.floatx()))


# functions of slices -------------------------------------------------------------------------------------------------


@function
def vectorized_map(function: Callable[..., Any], elements: Any) -> Any:
    """`function` of each slice of elements along the first axis, stacked. Here as `map`: slice after slice."""
    return map_slices(function, elements)


@function
def associative_scan(f: Callable[..., Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """For each slice along an axis, what f makes of it and all before it (reverse: after it).

    f combines nests of tensors slice by slice, and is associative: the order of evaluation is that of a tree. The size
    of the axis must be known. ShapeError: it is not, or it differs between leaves. As `keras.ops.associative_scan`.
    """
    leaves = [tensor(leaf) for leaf in tree.flatten(elems)]
    places = [axis_of(leaf, axis) for leaf in leaves]
    sizes = {shape_of(leaf)[place] for leaf, place in zip(leaves, places, strict=True)}
    if len(sizes) != 1 or isinstance(next(iter(sizes)), Size):
        raise ShapeError(f"associative_scan wants one known size along its axis, not {', '.join(map(str, sizes))}")
    leaves = [flip(leaf, place) for leaf, place in zip(leaves, places, strict=True)] if reverse else leaves

    def combine(one: list[Any], other: list[Any]) -> list[Any]:
        made = f(tree.pack_sequence_as(elems, one), tree.pack_sequence_as(elems, other))
        return tree.flatten(made)

    made = _tree_of(combine, leaves, places)
    made = [flip(leaf, place) for leaf, place in zip(made, places, strict=True)] if reverse else made
    return tree.pack_sequence_as(elems, made)


def _tree_of(combine: Callable[..., list[Any]], leaves: list[Any], places: list[int]) -> list[Any]:
    """Pairs are combined, then the tree of these, which has every second result; the others follow from them."""
    length = int(shape_of(leaves[0])[places[0]])
    if length < 2:
        return leaves

    def cut(some: list[Any], start: int, count: int, step: int = 1) -> list[Any]:
        return [part(one, place, start, count, step) for one, place in zip(some, places, strict=True)]

    half, rest = length // 2, (length - 1) // 2
    odd = _tree_of(combine, combine(cut(leaves, 0, half, 2), cut(leaves, 1, half, 2)), places)
    even = cut(leaves, 0, 1)
    if rest:
        more = combine(cut(odd, 0, rest), cut(leaves, 2, rest, 2))
        even = [concatenate([a, b], place) for a, b, place in zip(even, more, places, strict=True)]
    return [_alternating(a, b, place, half) for a, b, place in zip(even, odd, places, strict=True)]


def _alternating(even: Any, odd: Any, place: int, half: int) -> Any:
    both = stack([part(even, place, 0, half), odd], place + 1)
    have = shape_of(odd)
    both = reshape(both, (*have[:place], 2 * half, *have[place + 1 :]))
    extra = shape_of(even)[place] - half
    return concatenate([both, part(even, place, half, extra)], place) if extra else both
