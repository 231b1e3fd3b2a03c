"""Elementary functions by the math library: of float64 on the CPU, of every dtype on CUDA, and those left over.

`real` makes a number of the dtype that a kernel computes in; `scalars` puts float32 in its place where that is meant.
"""

from __future__ import annotations

import math
from typing import Any

from numpy import float64

from kgraph.ops.normal import CENTRE, CENTRE_END, MIDDLE, MIDDLE_START, SHIFT, TAIL, TAIL_START

real: Any = float64


def sqrt(x: Any) -> Any:
    """The root."""
    return math.sqrt(x)


def rsqrt(x: Any) -> Any:
    """1 / sqrt(x)."""
    return real(1) / math.sqrt(x)


def exp(x: Any) -> Any:
    """e to the power of x."""
    return math.exp(x)


def exp_of_negative(x: Any) -> Any:
    """e to the power of x, which is not above 0."""
    return math.exp(x)


def expm1(x: Any) -> Any:
    """exp(x) - 1, exact near 0."""
    return math.expm1(x)


def log(x: Any) -> Any:
    """The natural logarithm."""
    return math.log(x)


def log1p(x: Any) -> Any:
    """log(1 + x), exact near 0."""
    return math.log1p(x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), without overflow on the way."""
    small = math.exp(-abs(x))
    return (small if x < real(0) else real(1)) / (real(1) + small)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow on the way."""
    return (real(0) if x < real(0) else x) + math.log1p(math.exp(-abs(x)))


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return math.tanh(x)


def erf(x: Any) -> Any:
    """The error function."""
    return math.erf(x)


def ratio(table: Any, r: Any) -> Any:
    """A ratio of polynomials."""
    tops, bottoms = table  # table[0] would need passes of numba that kernels are compiled without
    above, below = real(0), real(0)
    for coefficient in tops:
        above = above * r + real(coefficient)
    for coefficient in bottoms:
        below = below * r + real(coefficient)
    return above / below


def erfinv(x: Any) -> Any:
    """What erf undoes: see kgraph.ops.normal."""
    half = x * real(0.5)
    root = math.sqrt(-math.log(real(0.5) - abs(half)))
    if abs(half) <= real(CENTRE_END):
        far = half * ratio(CENTRE, real(SHIFT) - half * half)
    elif root <= real(TAIL_START):
        far = ratio(MIDDLE, root - real(MIDDLE_START))
    elif root < real(math.inf):
        far = ratio(TAIL, root - real(TAIL_START))
    else:
        far = root  # infinity, and NaN beyond 1
    return (-far if x < real(0) and abs(half) > real(CENTRE_END) else far) * real(0.7071067811865476)


def power(x: Any, y: Any) -> Any:
    """x to the power of y; of integers, an integer."""
    return x**y


def sin(x: Any) -> Any:
    """The sine."""
    return math.sin(x)


def cos(x: Any) -> Any:
    """The cosine."""
    return math.cos(x)


def tan(x: Any) -> Any:
    """The tangent."""
    return math.tan(x)


def arcsin(x: Any) -> Any:
    """The angle with this sine."""
    return math.asin(x)


def arccos(x: Any) -> Any:
    """The angle with this cosine."""
    return math.acos(x)


def arctan(x: Any) -> Any:
    """The angle with this tangent."""
    return math.atan(x)


def arctan2(y: Any, x: Any) -> Any:
    """The angle of the point (x, y)."""
    return math.atan2(y, x)


def sinh(x: Any) -> Any:
    """The hyperbolic sine."""
    return math.sinh(x)


def cosh(x: Any) -> Any:
    """The hyperbolic cosine."""
    return math.cosh(x)


def arcsinh(x: Any) -> Any:
    """What the hyperbolic sine undoes."""
    return math.asinh(x)


def arccosh(x: Any) -> Any:
    """What the hyperbolic cosine undoes."""
    return math.acosh(x)


def arctanh(x: Any) -> Any:
    """What the hyperbolic tangent undoes."""
    return math.atanh(x)
