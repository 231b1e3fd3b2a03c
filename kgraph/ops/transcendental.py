"""Rows of kind map for roots, powers, exponentials, and the functions of angles; integers become floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kgraph.graph.op import CURVE, DIVISION, common_float
from kgraph.ops.arithmetic import divide, multiply, negative, reciprocal, square, subtract, where
from kgraph.ops.compare import equal
from kgraph.ops.elementwise import Function, Grad, elementwise, no_bools
from kgraph.tracing.trace import Symbol


def _row(doc: str, name: str, numpy: Callable[..., Any], slope: Callable[..., Any]) -> Callable[..., Any]:
    """A row of one operand; slope(y, x) is its derivative, by which the gradient is multiplied."""
    return elementwise(
        doc,
        name=name,
        numpy=numpy,
        scalar=f"{name}({{0}})",
        casts=common_float,
        vjp=lambda g, y, x: (multiply(g, slope(y, x)),),
        cost=CURVE,
    )


# roots -------------------------------------------------------------------------------------------------------------

sqrt = elementwise(
    "The root of x; NaN below 0.",
    name="sqrt",
    numpy=np.sqrt,
    scalar="sqrt({0})",
    casts=common_float,
    vjp=lambda g, y, x: (divide(g, multiply(y, 2.0)),),
    cost=DIVISION,
)
rsqrt = elementwise(
    "1 / sqrt(x).",
    name="rsqrt",
    numpy=lambda x: x.dtype.type(1) / np.sqrt(x),
    scalar="{T}(1) / sqrt({0})",
    casts=common_float,
    vjp=lambda g, y, x: (multiply(g, multiply(multiply(y, square(y)), -0.5)),),
    cost=DIVISION,
)

# exponentials and logarithms -----------------------------------------------------------------------------------------

exp = _row("e to the power of x.", "exp", np.exp, lambda y, x: y)
expm1 = _row("exp(x) - 1, exact near 0.", "expm1", np.expm1, lambda y, x: y + 1.0)
log = elementwise(
    "The natural logarithm; NaN below 0.",
    name="log",
    numpy=np.log,
    scalar="log({0})",
    casts=common_float,
    vjp=lambda g, y, x: (divide(g, x),),
    cost=CURVE,
)
log1p = elementwise(
    "log(1 + x), exact near 0.",
    name="log1p",
    numpy=np.log1p,
    scalar="log1p({0})",
    casts=common_float,
    vjp=lambda g, y, x: (divide(g, x + 1.0),),
    cost=CURVE,
)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, x.dtype.type(0)) + np.log1p(np.exp(-np.abs(x)))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))  # in (0, 1], so nothing overflows
    one = x.dtype.type(1)
    return np.where(x < 0, small, one) / (one + small)


sigmoid = _row("1 / (1 + exp(-x)).", "sigmoid", _sigmoid, lambda y, x: multiply(y, subtract(1.0, y)))
softplus = _row("log(1 + exp(x)).", "softplus", _softplus, lambda y, x: negative(expm1(negative(y))))
tanh = _row("The hyperbolic tangent.", "tanh", np.tanh, lambda y, x: subtract(1.0, square(y)))

# powers ------------------------------------------------------------------------------------------------------------


def _power_numpy(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind not in "iu":
        return np.power(a, b)
    whole = np.power(a, np.maximum(b, 0))
    if a.dtype.kind == "u":
        return whole
    turned = np.where(a == 1, 1, np.where(a == -1, 1 - 2 * (b & 1), 0)).astype(a.dtype)
    return np.where(b < 0, turned, whole)


def _power_vjp(g: Symbol, y: Symbol, a: Symbol, b: Symbol) -> Grad:
    """Where the exponent is 0, or the base is for the other gradient, it is 0 and not 0 times infinity."""
    of_base = where(equal(b, 0), 0, multiply(b, power(a, subtract(b, 1))))
    of_exponent = where(equal(a, 0), 0, multiply(y, log(a)))
    return multiply(g, of_base), multiply(g, of_exponent)


power = elementwise(
    "x1 to the power of x2. Integers stay integers: 1 / x with a negative exponent is rounded towards 0.",
    "x1 x2",
    name="power",
    numpy=_power_numpy,
    scalar="power({0}, {1})",
    scalar_of_integers="power_of_integers({0}, {1}, {A}(0))",
    casts=no_bools,
    vjp=_power_vjp,
    cost=CURVE,
)

# angles ------------------------------------------------------------------------------------------------------------

sin = _row("The sine of an angle in radians.", "sin", np.sin, lambda y, x: cos(x))
cos: Function = _row("The cosine of an angle in radians.", "cos", np.cos, lambda y, x: negative(sin(x)))
tan = _row("The tangent of an angle in radians.", "tan", np.tan, lambda y, x: square(y) + 1.0)
arcsin = _row("The angle with this sine.", "arcsin", np.arcsin, lambda y, x: rsqrt(subtract(1.0, square(x))))
arccos = _row(
    "The angle with this cosine.", "arccos", np.arccos, lambda y, x: negative(rsqrt(subtract(1.0, square(x))))
)
arctan = _row("The angle with this tangent.", "arctan", np.arctan, lambda y, x: reciprocal(square(x) + 1.0))
sinh = _row("The hyperbolic sine.", "sinh", np.sinh, lambda y, x: cosh(x))
cosh: Function = _row("The hyperbolic cosine.", "cosh", np.cosh, lambda y, x: sinh(x))
arcsinh = _row("What the hyperbolic sine undoes.", "arcsinh", np.arcsinh, lambda y, x: rsqrt(square(x) + 1.0))
arccosh = _row(
    "What the hyperbolic cosine undoes; NaN below 1.",
    "arccosh",
    np.arccosh,
    lambda y, x: rsqrt(multiply(subtract(x, 1.0), x + 1.0)),
)
arctanh = _row(
    "What the hyperbolic tangent undoes; NaN outside -1 to 1.",
    "arctanh",
    np.arctanh,
    lambda y, x: reciprocal(subtract(1.0, square(x))),
)


def _arctan2_vjp(g: Symbol, y: Symbol, a: Symbol, b: Symbol) -> Grad:
    part = divide(g, square(a) + square(b))
    return multiply(part, b), negative(multiply(part, a))


arctan2 = elementwise(
    "The angle of the point (x2, x1), from -pi to pi.",
    "x1 x2",
    name="arctan2",
    numpy=np.arctan2,
    scalar="arctan2({0}, {1})",
    casts=common_float,
    vjp=_arctan2_vjp,
    cost=CURVE,
)
