"""Algebra that holds for every number, NaN and infinity included (but for the sign of zero): x + 0 is x."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kgraph.graph.ir import Graph
from kgraph.graph.types import SIGNED, UNSIGNED, TensorType, is_float, numpy_dtype
from kgraph.ops.move import broadcast_to, concatenate, flip, pad, reshape, slice_, transpose
from kgraph.passes.rewrite import again, number_of, one_of, rewrite, row, rule
from kgraph.tracing.trace import Symbol

absolute, cast, negative, reciprocal, rsqrt, sqrt, square, stop_gradient, where, power = map(
    row,
    ("absolute", "cast", "negative", "reciprocal", "rsqrt", "sqrt", "square", "stop_gradient", "where", "power"),
)
total = row("sum")
EXTREMES = tuple(map(row, ("max", "min")))
REDUCTIONS = tuple(map(row, ("sum", "prod", "max", "min", "any", "all")))
PAIRS = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "equal", "not_equal", "less",
         "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_xor")  # fmt: skip
BINARY = tuple(map(row, PAIRS))


def simplify(graph: Graph) -> Graph:
    """The graph without arithmetic and moves that change nothing. Runs before the gradients."""
    return rewrite(graph, RULES)


def simplify_all(graph: Graph) -> Graph:
    """The same, and without stop_gradient, which means nothing once the gradients are there."""
    return rewrite(graph, (*RULES, rule("stop_gradient", lambda x: stop_gradient(x), lambda x: x)))


# reasons to leave a place alone ----------------------------------------------------------------------------------


def not_integers(x: Symbol) -> Any:
    return x.type.dtype not in SIGNED + UNSIGNED and "0 * NaN is no 0"


def not_floats(x: Symbol) -> Any:
    return not is_float(x.type.dtype) and f"{x.stem} is {x.type}"


def not_a_power_of_two(c: Symbol) -> Any:
    value = number_of(c)
    exact = isinstance(value, float) and math.isfinite(value) and abs(math.frexp(value)[0]) == 0.5
    most = _most(c.type.dtype)
    return not (exact and 1 / most < abs(value) < most) and "the reciprocal is rounded"


def not_numbers(c: Symbol, d: Symbol) -> Any:
    if number_of(c) is None or number_of(d) is None or not is_float(c.type.dtype):
        return "these are no two numbers"
    most = _most(c.type.dtype)
    return not 1 / most < abs(number_of(c) * number_of(d)) < most and "their product is too large or too small"


def _most(dtype: str) -> float:
    """A power of two that the dtype holds, its reciprocal too, with all digits."""
    return 2.0**14 if dtype == "float16" else 2.0**100


def not_wide_enough(x: Symbol, between: str) -> Any:
    return not holds(between, x.type.dtype) and f"{between} does not hold every {x.type.dtype}"


def holds(wide: str, narrow: str) -> bool:
    """Whether every value of one dtype is a value of the other."""
    if "bfloat16" in (wide, narrow):
        return wide == narrow or narrow in ("bool", "uint8", "int8") or wide in ("float32", "float64")
    if is_float(wide) and narrow in ("int64", "uint64"):
        return False  # which numpy calls safe, though float64 has 53 bits
    return bool(np.can_cast(numpy_dtype(narrow), numpy_dtype(wide), "safe"))


def moves_elements(x: Symbol, axes: tuple[int, ...]) -> Any:
    order = [axis for axis in axes if x.type.shape[axis] != 1]
    return order != sorted(order) and "elements change places"


def sums_elements(x: Symbol, axes: tuple[int, ...]) -> Any:
    return any(x.type.shape[axis] != 1 for axis in axes) and "there is more than one element to combine"


def perhaps_nothing(x: Symbol, axes: tuple[int, ...]) -> Any:
    sizes = [x.type.shape[axis] for axis in axes]
    return not all(isinstance(size, int) and size > 0 for size in sizes) and "there may be no elements"


# what replaces ---------------------------------------------------------------------------------------------------


def sum_of_sums(x: Symbol, inner: tuple[int, ...], outer: tuple[int, ...], keepdims: bool) -> Any:
    kept = [axis for axis in range(x.type.rank) if keepdims or axis not in inner]
    axes = {*inner, *(kept[axis] for axis in outer)}
    return total(x, axes=tuple(sorted(axes)), keepdims=keepdims)


def slice_of_slice(x: Symbol, a: Any, m: Any, p: Any, b: Any, n: Any, q: Any) -> Any:
    starts = tuple(first + second * step for first, second, step in zip(a, b, p, strict=True))
    return slice_(x, starts=starts, sizes=n, steps=tuple(s * t for s, t in zip(p, q, strict=True)))


ARITHMETIC = (
    rule("x + 0", lambda x: x + 0, lambda x: x),
    rule("x - 0", lambda x: x - 0, lambda x: x),
    rule("0 - x", lambda x: 0 - x, lambda x: -x),
    rule("x * 1", lambda x: x * 1, lambda x: x),
    rule("x * -1", lambda x: x * -1, lambda x: -x, not_floats),
    rule("x * 0", lambda x: x * 0, lambda x: 0, not_integers),
    rule("x / 1", lambda x: x / 1, lambda x: x),
    rule("x // 1", lambda x: x // 1, lambda x: x, not_integers),
    rule("-(-x)", lambda x: negative(negative(x)), lambda x: x),
    rule("x + -y", lambda x, y: x + -y, lambda x, y: x - y),
    rule("x - -y", lambda x, y: x - -y, lambda x, y: x + y),
    rule("-x * -y", lambda x, y: -x * -y, lambda x, y: x * y),
    rule("x * x", lambda x: x * x, lambda x: square(x)),
    rule("square of -x", lambda x: square(-x), lambda x: square(x)),
    rule("square of |x|", lambda x: square(absolute(x)), lambda x: square(x)),
    rule("x ** 1", lambda x: power(x, 1), lambda x: x),
    rule("x ** 2", lambda x: power(x, 2), lambda x: square(x)),
    rule("x ** 3", lambda x: power(x, 3), lambda x: square(x) * x),
    rule("x ** 4", lambda x: power(x, 4), lambda x: square(square(x))),
    rule("x ** -1", lambda x: power(x, -1), lambda x: reciprocal(x), not_floats),
    rule("1 / sqrt(x)", lambda x: 1 / sqrt(x), lambda x: rsqrt(x)),
    rule("reciprocal of sqrt", lambda x: reciprocal(sqrt(x)), lambda x: rsqrt(x)),
    rule("x / sqrt(y)", lambda x, y: x / sqrt(y), lambda x, y: x * rsqrt(y)),
    rule("1 / x", lambda x: 1 / x, lambda x: reciprocal(x)),
    rule("x / power of two", lambda x, c: x / c, lambda x, c: x * (1 / number_of(c)), not_a_power_of_two),
    rule("x * c * d", lambda x, c, d: x * c * d, lambda x, c, d: x * (number_of(c) * number_of(d)), not_numbers),
    rule("where true", lambda a, b: where(True, a, b), lambda a: a),
    rule("where false", lambda a, b: where(False, a, b), lambda b: b),
    rule("where of equals", lambda c, x: where(c, x, x), lambda x: x),
)

MOVES = (
    rule("cast to its own dtype", lambda x, dtype: cast(x, dtype=dtype), lambda x: x,
         lambda x, dtype: x.type.dtype != dtype and "it changes"),
    rule("cast of cast", lambda x, between, dtype: cast(cast(x, dtype=between), dtype=dtype),
         lambda x, dtype: cast(x, dtype=dtype), not_wide_enough),
    rule("transpose of transpose", lambda x, a, b: transpose(transpose(x, axes=a), axes=b),
         lambda x, a, b: transpose(x, axes=tuple(a[axis] for axis in b))),
    rule("transpose in place", lambda x, axes: transpose(x, axes=axes), lambda x: x,
         lambda axes: list(axes) != sorted(axes) and "axes change places"),
    rule("transpose of axes of size 1", lambda x, axes: transpose(x, axes=axes),
         lambda x, axes: reshape(x, shape=tuple(x.type.shape[axis] for axis in axes)), moves_elements),
    rule("reshape to its own shape", lambda x, shape: reshape(x, shape=shape), lambda x: x,
         lambda x, shape: x.type.shape != shape and "it changes"),
    rule("reshape of reshape", lambda x, a, b: reshape(reshape(x, shape=a), shape=b),
         lambda x, b: reshape(x, shape=b)),
    rule("broadcast to its own shape", lambda x, shape: broadcast_to(x, shape=shape), lambda x: x,
         lambda x, shape: x.type.shape != shape and "it changes"),
    rule("broadcast of broadcast", lambda x, a, b: broadcast_to(broadcast_to(x, shape=a), shape=b),
         lambda x, b: broadcast_to(x, shape=b)),
    rule("broadcast on the left", lambda x, y, s: one_of("f", *BINARY)(broadcast_to(x, shape=s), y),
         lambda x, y, f: again(f)(x, y)),
    rule("broadcast on the right", lambda x, y, s: one_of("f", *BINARY)(y, broadcast_to(x, shape=s)),
         lambda x, y, f: again(f)(y, x)),
    rule("slice of everything", lambda x, starts, sizes, steps: slice_(x, starts=starts, sizes=sizes, steps=steps),
         lambda x: x,
         lambda x, sizes, steps: (x.type.shape != sizes or any(step != 1 for step in steps)) and "it takes a part"),
    rule("slice of slice", lambda x, a, m, p, b, n, q: slice_(slice_(x, starts=a, sizes=m, steps=p), starts=b, sizes=n,
                                                              steps=q),
         slice_of_slice),
    rule("flip of nothing", lambda x: flip(x, axes=()), lambda x: x),
    rule("flip of flip", lambda x, axes: flip(flip(x, axes=axes), axes=axes), lambda x: x),
    rule("pad by nothing", lambda x, value, low, high, gaps: pad(x, value, low=low, high=high, interior=gaps),
         lambda x: x, lambda low, high, gaps: any(end != 0 for end in (*low, *high, *gaps)) and "it adds elements"),
    rule("concatenate of one", lambda x, axis: concatenate(x, axis=axis), lambda x: x),
    rule("reduction of no more than one element", lambda x, axes, keepdims: one_of("f", *REDUCTIONS)(
            x, axes=axes, keepdims=keepdims),
         lambda x, axes, keepdims: reshape(x, shape=reduced(x.type, axes, keepdims)), sums_elements),
    rule("extreme of elements that are there", lambda x, axes, keepdims: one_of("f", *EXTREMES)(
            x, axes=axes, keepdims=keepdims, of_none=True),
         lambda f, x, axes, keepdims: row(f.op)(x, axes=axes, keepdims=keepdims), perhaps_nothing),
    rule("sum of sum", lambda x, inner, outer, keepdims: total(total(x, axes=inner, keepdims=keepdims), axes=outer,
                                                               keepdims=keepdims),
         sum_of_sums),
)  # fmt: skip


def reduced(kind: TensorType, axes: tuple[int, ...], keepdims: bool) -> tuple[Any, ...]:
    """The shape that is left when these axes are combined."""
    sizes = [1 if axis in axes else size for axis, size in enumerate(kind.shape)]
    return tuple(size for axis, size in enumerate(sizes) if keepdims or axis not in axes)


RULES = ARITHMETIC + MOVES
