"""Public functions, element by element, that are composed of rows: clip, log2, hypot, isclose, nan_to_num, ..."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.types import SIGNED, UNSIGNED, float_limits, is_float, numpy_dtype, promote, standard_dtype
from kgraph.ops import arithmetic, compare
from kgraph.ops.arithmetic import (
    absolute,
    cast,
    divide,
    floor_divide,
    maximum,
    minimum,
    multiply,
    negative,
    sign,
    square,
    subtract,
    where,
)
from kgraph.ops.axes import is_pattern
from kgraph.ops.compare import equal, greater, isfinite, isinf, isnan, less, logical_and, logical_or
from kgraph.ops.creating import dtype_of
from kgraph.ops.normal import erf
from kgraph.ops.tensors import composed, floating, tensor
from kgraph.ops.transcendental import arctan2, exp, log, log1p, power, sin, sqrt


@composed
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """x between two bounds, each a number, a tensor or None for no bound."""
    if not is_pattern(x) and dtype_of(x) == "bool":
        x = cast(x, "int32")
    x = x if x_min is None else maximum(x, x_min)
    return x if x_max is None else minimum(x, x_max)


@composed
def round(x: Any, decimals: int = 0) -> Any:
    """x rounded to so many decimals, halves to the even one. Integers stay what they are."""
    if is_pattern(x):
        return arithmetic.rint(x)
    x = tensor(x)
    if not is_float(dtype_of(x)) and decimals >= 0:
        return cast(x, "int32") if dtype_of(x) == "bool" else x
    if decimals == 0:
        return arithmetic.rint(x)
    factor = 10.0 ** abs(decimals)
    if decimals > 0:
        return divide(arithmetic.rint(multiply(x, factor)), factor)
    rounded = multiply(arithmetic.rint(divide(x, factor)), factor)
    return cast(rounded, dtype_of(x))


# logarithms, exponentials, roots -------------------------------------------------------------------------------------


@composed
def log2(x: Any) -> Any:
    """The logarithm to the base 2."""
    return multiply(log(x), 1.0 / math.log(2.0))


@composed
def log10(x: Any) -> Any:
    """The logarithm to the base 10."""
    return multiply(log(x), 1.0 / math.log(10.0))


@composed
def exp2(x: Any) -> Any:
    """2 to the power of x."""
    return power(2.0, floating(x))


@composed
def cbrt(x: Any) -> Any:
    """The cubic root, of negative numbers too."""
    x = floating(x)
    return multiply(sign(x), power(absolute(x), 1.0 / 3.0))


@composed
def logaddexp(x1: Any, x2: Any) -> Any:
    """log(exp(x1) + exp(x2)), without overflow on the way."""
    x1, x2 = floating(x1), floating(x2)
    gap = absolute(subtract(x1, x2))
    gap = where(equal(x1, x2), 0.0, gap)  # not the difference of two infinities
    return maximum(x1, x2) + log1p(exp(negative(gap)))


@composed
def logaddexp2(x1: Any, x2: Any) -> Any:
    """log2(2**x1 + 2**x2), without overflow on the way."""
    scale = math.log(2.0)
    return divide(logaddexp(multiply(floating(x1), scale), multiply(floating(x2), scale)), scale)


@composed
def erfc(x: Any) -> Any:
    """1 - erf(x)."""
    return subtract(1.0, erf(x))


@composed
def hypot(x1: Any, x2: Any) -> Any:
    """sqrt(x1**2 + x2**2), without overflow on the way."""
    x1, x2 = absolute(floating(x1)), absolute(floating(x2))
    large, small = maximum(x1, x2), minimum(x1, x2)
    fits = logical_and(greater(large, 0), isfinite(large))
    ratio = where(fits, divide(small, where(fits, large, 1)), 0)
    found = multiply(large, sqrt(square(ratio) + 1.0))
    return where(logical_or(isinf(x1), isinf(x2)), math.inf, found)  # of infinity and NaN too


@composed
def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), and 1 at 0."""
    angle = multiply(floating(x), math.pi)
    zero = equal(angle, 0)
    return where(zero, 1, divide(sin(angle), where(zero, 1, angle)))


@composed
def deg2rad(x: Any) -> Any:
    """Degrees as radians."""
    return multiply(floating(x), math.pi / 180.0)


@composed
def rad2deg(x: Any) -> Any:
    """Radians as degrees."""
    return multiply(floating(x), 180.0 / math.pi)


# quotients -----------------------------------------------------------------------------------------------------------


@composed
def divide_no_nan(x1: Any, x2: Any) -> Any:
    """x1 / x2, and 0 where x2 is 0."""
    x2 = floating(x2)
    zero = equal(x2, 0)
    return where(zero, 0, divide(x1, where(zero, 1, x2)))


@composed
def fmod(x1: Any, x2: Any) -> Any:
    """What remains of x1 / x2 rounded towards 0; it has the sign of x1."""
    x1, x2 = tensor(x1), tensor(x2)
    rest = arithmetic.mod(absolute(x1), absolute(x2))
    return where(less(x1, 0), negative(rest), rest)


@composed
def ldexp(x1: Any, x2: Any) -> Any:
    """x1 * 2**x2."""
    return multiply(floating(x1), exp2(x2))


@composed
def heaviside(x1: Any, x2: Any) -> Any:
    """0 where x1 is negative, x2 where it is 0, 1 where it is positive."""
    x1 = floating(x1)
    return where(equal(x1, 0), x2, where(isnan(x1), x1, where(less(x1, 0), 0, 1)))


@composed
def fmax(x1: Any, x2: Any) -> Any:
    """The larger of both, or the one that is not NaN."""
    x1, x2 = tensor(x1), tensor(x2)
    return where(isnan(x1), x2, where(isnan(x2), x1, maximum(x1, x2)))


@composed
def fmin(x1: Any, x2: Any) -> Any:
    """The smaller of both, or the one that is not NaN."""
    x1, x2 = tensor(x1), tensor(x2)
    return where(isnan(x1), x2, where(isnan(x2), x1, minimum(x1, x2)))


# questions -----------------------------------------------------------------------------------------------------------


@composed
def isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Where |x1 - x2| <= atol + rtol * |x2|; an infinity is close to itself, NaN to nothing unless equal_nan."""
    x1, x2 = floating(x1), floating(x2)
    bound = multiply(absolute(x2), rtol) + atol
    near = logical_and(isfinite(x2), compare.less_equal(absolute(subtract(x1, x2)), bound))
    near = logical_or(near, equal(x1, x2))
    return logical_or(near, logical_and(isnan(x1), isnan(x2))) if equal_nan else near


@composed
def allclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether all elements are close: see isclose."""
    return FUNCTIONS["all"](isclose(x1, x2, rtol, atol, equal_nan))


@composed
def isposinf(x: Any) -> Any:
    """Where x is infinity."""
    x = tensor(x)
    return logical_and(isinf(x), greater(x, 0))


@composed
def isneginf(x: Any) -> Any:
    """Where x is minus infinity."""
    x = tensor(x)
    return logical_and(isinf(x), less(x, 0))


@composed
def isreal(x: Any) -> Any:
    """True everywhere: there are no complex numbers here."""
    x = tensor(x)
    return logical_or(equal(x, x), compare.not_equal(x, x))


@composed
def fabs(x: Any) -> Any:
    """x without its sign; integers as floats."""
    return absolute(floating(x))


@composed
def signbit(x: Any) -> Any:
    """Where x is negative, minus zero included."""
    x = tensor(x)
    if not is_float(dtype_of(x)):
        return less(x, 0)
    return logical_or(less(x, 0), logical_and(equal(x, 0), less(divide(1.0, x), 0)))


@composed
def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """x with other numbers for NaN and the infinities: 0, and the largest and smallest of the dtype."""
    x = tensor(x)
    if not is_float(dtype_of(x)):
        return x
    limits = float_limits(dtype_of(x))
    x = where(isnan(x), nan, x)
    x = where(equal(x, math.inf), limits[1] if posinf is None else posinf, x)
    return where(equal(x, -math.inf), limits[0] if neginf is None else neginf, x)


# dtypes --------------------------------------------------------------------------------------------------------------


@composed
def saturate_cast(x: Any, dtype: Any) -> Any:
    """x in another dtype, with numbers that it does not hold brought to its ends."""
    x, name = tensor(x), standard_dtype(dtype)
    if name == "bool":
        return cast(x, name)
    if name in SIGNED + UNSIGNED:
        low, high = (int(end) for end in (np.iinfo(name).min, np.iinfo(name).max))
    else:
        low, high = float_limits(name)  # type: ignore[assignment]
    have = dtype_of(x)
    if is_float(have):
        kind = numpy_dtype(have)
        ends = [float(np.asarray(end, kind)) for end in (low, high)]
        if ends[1] > high:  # the float above 2**31 - 1 is 2**31, which int32 does not hold
            ends[1] = float(np.nextafter(np.asarray(high, kind), np.asarray(0, kind)))
        return cast(clip(x, *ends), name)
    if have == "bool":
        return cast(x, name)
    own = np.iinfo(have)
    return cast(clip(x, max(int(own.min), low), min(int(own.max), high)), name)


@composed
def real(x: Any) -> Any:
    """x: there are no complex numbers here."""
    return tensor(x)


@composed
def imag(x: Any) -> Any:
    """Zeros: there are no complex numbers here."""
    return FUNCTIONS["zeros_like"](tensor(x))


@composed
def conj(x: Any) -> Any:
    """x: there are no complex numbers here."""
    return tensor(x)


@composed
def angle(x: Any) -> Any:
    """pi where x is negative, else 0."""
    return arctan2(0.0, floating(x))


# choices and counts --------------------------------------------------------------------------------------------------


@composed
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Of each position the choice whose condition is the first to hold there, or the default."""
    if len(condlist) != len(choicelist):
        raise ArgumentError(f"select: {len(condlist)} conditions for {len(choicelist)} choices")
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = where(condition, choice, result)
    return result


@composed
def gcd(x1: Any, x2: Any) -> Any:
    """The greatest common divisor of integers."""
    dtype = promote(dtype_of(x1), dtype_of(x2))
    x1, x2 = absolute(cast(x1, dtype)), absolute(cast(x2, dtype))
    for _ in range(_steps_of_euclid(dtype)):
        zero = equal(x2, 0)
        x1, x2 = where(zero, x1, x2), where(zero, 0, arithmetic.mod(x1, x2))
    return x1


def _steps_of_euclid(dtype: str) -> int:
    """How many steps the algorithm takes at most: Fibonacci numbers are the worst."""
    return int(np.iinfo(dtype).bits * 1.4404) + 2


@composed
def lcm(x1: Any, x2: Any) -> Any:
    """The least common multiple of integers."""
    common = gcd(x1, x2)
    zero = equal(common, 0)
    return where(zero, 0, multiply(floor_divide(absolute(x1), where(zero, 1, common)), absolute(x2)))


for _alias, _function in {
    "abs": absolute,
    "true_divide": divide,
    "remainder": arithmetic.mod,
    "conjugate": conj,
    "rint": arithmetic.rint,
    "degrees": rad2deg,
    "radians": deg2rad,
    "invert": compare.bitwise_not,
    "bitwise_invert": compare.bitwise_not,
    "bitwise_left_shift": compare.left_shift,
    "bitwise_right_shift": compare.right_shift,
    "positive": real,
}.items():
    FUNCTIONS[_alias] = _function
