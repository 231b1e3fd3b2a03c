"""Rows of kind map that calculate: + - * /, the larger and the smaller, signs, rounding, where, and cast."""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.errors import ArgumentError
from kgraph.graph.op import CURVE, DIVISION, FUNCTIONS, OPS, Op, common, common_after_first, common_float
from kgraph.graph.sizes import Dim
from kgraph.graph.types import TensorType, is_float, numpy_dtype, standard_dtype
from kgraph.ops.axes import is_pattern
from kgraph.ops.compare import equal, greater, greater_equal, less_equal
from kgraph.ops.elementwise import Function, Grad, elementwise, no_bools
from kgraph.tracing.trace import Symbol, function, primitive

# + - * / -----------------------------------------------------------------------------------------------------------

add = elementwise(
    "x1 + x2; of booleans, whether one is true.",
    "x1 x2",
    name="add",
    numpy=np.add,
    scalar="{0} + {1}",
    casts=common,
    commutes=True,
    vjp=lambda g, y, a, b: (g, g),
)
subtract = elementwise(
    "x1 - x2; booleans count as 0 and 1.",
    "x1 x2",
    name="subtract",
    numpy=np.subtract,
    scalar="{0} - {1}",
    casts=no_bools,
    vjp=lambda g, y, a, b: (g, negative(g)),
)
multiply: Function = elementwise(
    "x1 * x2; of booleans, whether both are true.",
    "x1 x2",
    name="multiply",
    numpy=np.multiply,
    scalar="{0} * {1}",
    casts=common,
    commutes=True,
    vjp=lambda g, y, a, b: (multiply(g, b), multiply(g, a)),
)
divide: Function = elementwise(
    "x1 / x2; integers are divided as `config.floatx()`. Division by 0 gives an infinity or NaN.",
    "x1 x2",
    name="divide",
    numpy=np.divide,
    scalar="{0} / {1}",
    casts=common_float,
    vjp=lambda g, y, a, b: (divide(g, b), negative(multiply(divide(g, b), y))),
    cost=DIVISION,
)


floor_divide = elementwise(
    "The largest integer not above x1 / x2, in the operands' dtype; an integer divided by 0 gives 0.",
    "x1 x2",
    name="floor_divide",
    numpy=np.floor_divide,
    scalar="{0} // {1}",
    scalar_of_integers="floor_divide_of_integers({0}, {1}, {A}(1))",
    casts=no_bools,
    cost=CURVE,
)
mod = elementwise(
    "What remains of x1 after floor_divide(x1, x2); it has the sign of x2.",
    "x1 x2",
    name="mod",
    numpy=np.mod,
    scalar="{0} % {1}",
    scalar_of_integers="mod_of_integers({0}, {1}, {A}(1))",
    casts=no_bools,
    vjp=lambda g, y, a, b: (g, negative(multiply(g, floor_divide(a, b)))),
    cost=CURVE,
)

# the larger and the smaller ----------------------------------------------------------------------------------------


def _extreme_vjp(keeps: Any) -> Any:
    """The gradient goes to the operand that was kept, and half of it to each of two equal ones."""

    def vjp(g: Symbol, y: Symbol, a: Symbol, b: Symbol) -> Grad:
        share = where(equal(a, b), multiply(g, 0.5), g)
        return where(keeps(a, b), share, 0), where(keeps(b, a), share, 0)

    return vjp


maximum = elementwise(
    "The larger of both; NaN where one of them is NaN.",
    "x1 x2",
    name="maximum",
    numpy=np.maximum,
    scalar="maximum({0}, {1})",
    casts=common,
    commutes=True,
    vjp=_extreme_vjp(greater_equal),
)
minimum = elementwise(
    "The smaller of both; NaN where one of them is NaN.",
    "x1 x2",
    name="minimum",
    numpy=np.minimum,
    scalar="minimum({0}, {1})",
    casts=common,
    commutes=True,
    vjp=_extreme_vjp(less_equal),
)
relu = elementwise(
    "x where it is above 0, else 0.",
    name="relu",
    numpy=lambda x: np.maximum(x, x.dtype.type(0)),
    scalar="maximum({0}, {T}(0))",
    casts=no_bools,
    vjp=lambda g, y, x: (where(greater(y, 0), g, 0),),
)

# signs, squares ----------------------------------------------------------------------------------------------------

negative: Function = elementwise(
    "-x.",
    name="negative",
    numpy=np.negative,
    scalar="-{0}",
    casts=no_bools,
    vjp=lambda g, y, x: (negative(g),),
)
absolute = elementwise(
    "x without its sign.",
    name="absolute",
    numpy=np.absolute,
    scalar="absolute({0})",
    vjp=lambda g, y, x: (multiply(g, sign(x)),),
)
sign: Function = elementwise(
    "-1, 0 or 1, as x is negative, zero or positive.",
    name="sign",
    numpy=np.sign,
    scalar="sign({0}, {T}(1))",
    casts=no_bools,
)
square = elementwise(
    "x * x.",
    name="square",
    numpy=np.square,
    scalar="square({0})",
    casts=no_bools,
    vjp=lambda g, y, x: (multiply(multiply(g, x), 2),),
)
reciprocal = elementwise(
    "1 / x.",
    name="reciprocal",
    numpy=lambda x: x.dtype.type(1) / x,
    scalar="{T}(1) / {0}",
    casts=common_float,
    vjp=lambda g, y, x: (negative(multiply(g, square(y))),),
    cost=DIVISION,
)

# rounding ----------------------------------------------------------------------------------------------------------

floor = elementwise(
    "The largest integer not above x.", name="floor", numpy=np.floor, scalar="floor({0})", casts=common_float
)
ceil = elementwise(
    "The smallest integer not below x.", name="ceil", numpy=np.ceil, scalar="ceil({0})", casts=common_float
)
rint = elementwise(
    "The nearest integer; halves go to the even one.",
    name="round",
    numpy=np.rint,
    scalar="round_half_even({0}, {T}(0.5))",
    casts=common_float,
)
trunc = elementwise("x without what follows the point.", name="trunc", numpy=np.trunc, scalar="trunc({0})")

# choosing ----------------------------------------------------------------------------------------------------------

_choose: Function = elementwise(
    "x1 where the condition holds, else x2.",
    "condition x1 x2",
    name="where",
    numpy=np.where,
    scalar="{1} if {0} else {2}",
    casts=common_after_first,
    vjp=lambda g, y, c, a, b: (None, where(c, g, 0), where(c, 0, g)),
)


def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """x1 where the condition holds, else x2. Of a condition alone, the places where it holds, as `nonzero` gives them.

    ArgumentError for one value without the other.
    """
    if x1 is None and x2 is None:
        return FUNCTIONS["nonzero"](condition)
    if x1 is None or x2 is None:
        raise ArgumentError("where wants a value for both cases, x1 and x2, or for none")
    return _choose(condition, x1, x2)


FUNCTIONS["where"] = where


# dtypes and sizes --------------------------------------------------------------------------------------------------


def _cast_numpy(x: np.ndarray, dtype: str) -> np.ndarray:
    return np.asarray(x).astype(numpy_dtype(dtype))


_cast = primitive(
    Op(
        name="cast",
        kind="map",
        type=lambda x, dtype: TensorType(x.shape, dtype),
        numpy=_cast_numpy,
        scalar="{T}({0})",
        vjp=lambda g, y, x, dtype: (cast(g, x.type.dtype) if is_float(x.type.dtype) else None,),
    )
)


@function
def cast(x: Any, dtype: Any) -> Any:
    """x in another dtype. Floats become integers by dropping what follows the point, bool by being other than 0."""
    name = standard_dtype(dtype)
    if not is_pattern(x) and isinstance(x, Symbol) and x.type.dtype == name:
        return x
    return _cast(x, dtype=name)


stop_gradient = elementwise(
    "x, of which gradients take no notice.",
    "variable",
    name="stop_gradient",
    numpy=lambda x: x,
    scalar="{0}",
)


def _size_numpy(dim: int) -> np.ndarray:
    return np.asarray(dim, np.int32)


# Not through `primitive`: the public function of this name counts the elements of a tensor.
OPS["size"] = Op(
    name="size",
    kind="map",
    type=lambda dim: TensorType((), "int32"),
    numpy=_size_numpy,
    scalar="{T}({dim})",
    vjp=lambda g, y, dim: (),
)


def number(dim: Dim) -> Any:
    """A size as a number to compute with: an int, or an int32 symbol where it is known only at the call."""
    return dim if isinstance(dim, int) else Symbol("size", (), {"dim": dim}, TensorType((), "int32"), "size")
