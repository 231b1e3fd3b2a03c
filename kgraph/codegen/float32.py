"""Elementary functions of float32 for the CPU, without branches, so that LLVM makes vectors of the loops around them.

Selects are conditional expressions. NaN and infinities come out as numpy has them; a clamp keeps a NaN, since every
comparison with it is false. Errors, against the exact value, with and without fused multiply-add: exp, log, sigmoid 2
ulp, expm1, log1p, softplus, tanh 3 ulp; erf 1e-6 absolute. All of float32 is covered, denormal numbers included.
"""

from __future__ import annotations

from typing import Any

from numpy import float32, inf, int32, nan, sqrt

ROUNDER = float32(12582912.0)  # 1.5 * 2**23: what is added to it is rounded to an integer, in the lowest bits
ROUNDER_BITS = int32(0x4B400000)
INFINITY, NOT_A_NUMBER = float32(inf), float32(nan)
ZERO, HALF, ONE, TWO = float32(0.0), float32(0.5), float32(1.0), float32(2.0)
LOG2_E = float32(1.44269504)
LN2_HIGH, LN2_LOW = float32(0.693145751953125), float32(1.42860682030941723212e-6)  # n * high is exact
ROOT_HALF_BITS = int32(0x3F3504F3)
ERF_IS_ONE = float32(3.7439211627767994)
SMALLEST_NORMAL = float32(1.17549435e-38)


def rsqrt(x: Any) -> Any:
    """1 / sqrt(x)."""
    return ONE / sqrt(x)


def power_of_two(n: Any) -> Any:
    """2**n for n from -126 to 127."""
    return int32((n + int32(127)) << int32(23)).view(float32)


def exp_less_1(r: Any) -> Any:
    """exp(r) - 1 for |r| <= ln(2) / 2."""
    p = float32(1.9841270e-4)
    p = p * r + float32(1.3934234e-3)
    p = p * r + float32(8.3333333e-3)
    p = p * r + float32(4.1666418e-2)
    p = p * r + float32(1.6666667e-1)
    p = p * r + HALF
    return r + r * r * p


def exp(x: Any) -> Any:
    """e to the power of x."""
    x = float32(89.5) if x > float32(89.5) else x
    x = float32(-105.0) if x < float32(-105.0) else x
    shifted = x * LOG2_E + ROUNDER
    n = shifted - ROUNDER
    r = x - n * LN2_HIGH - n * LN2_LOW
    whole = int32(float32(shifted).view(int32) - ROUNDER_BITS)
    part = int32(whole >> int32(1))  # 2**n in two steps: n may be beyond the exponents there are
    return (ONE + exp_less_1(r)) * power_of_two(part) * power_of_two(int32(whole - part))


def expm1(x: Any) -> Any:
    """exp(x) - 1, exact near 0."""
    x = float32(88.8) if x > float32(88.8) else x
    x = float32(-20.0) if x < float32(-20.0) else x
    shifted = x * LOG2_E + ROUNDER
    n = shifted - ROUNDER
    r = x - n * LN2_HIGH - n * LN2_LOW
    half = power_of_two(int32(float32(shifted).view(int32) - ROUNDER_BITS - int32(1)))
    return TWO * (half * exp_less_1(r) + (half - HALF))


def log_of_positive(x: Any) -> Any:
    """The logarithm of a finite number above 0."""
    tiny = x < SMALLEST_NORMAL
    x = x * float32(33554432.0) if tiny else x  # 2**25
    bits = int32(float32(x).view(int32) - ROOT_HALF_BITS)
    exponent = int32(bits >> int32(23))
    f = int32(int32(bits & int32(0x7FFFFF)) + ROOT_HALF_BITS).view(float32) - ONE  # from sqrt(0.5) - 1 to sqrt(2) - 1
    e = float32(exponent) - (float32(25.0) if tiny else ZERO)
    p = float32(7.0376836292e-2)
    p = p * f + float32(-1.1514610310e-1)
    p = p * f + float32(1.1676998740e-1)
    p = p * f + float32(-1.2420140846e-1)
    p = p * f + float32(1.4249322787e-1)
    p = p * f + float32(-1.6668057665e-1)
    p = p * f + float32(2.0000714765e-1)
    p = p * f + float32(-2.4999993993e-1)
    p = p * f + float32(3.3333331174e-1)
    square = f * f
    small = p * f * square + e * LN2_LOW - HALF * square
    return small + f + e * LN2_HIGH


def log(x: Any) -> Any:
    """The natural logarithm."""
    y = log_of_positive(x)
    y = y if x < INFINITY else x  # infinity and NaN are their own logarithms
    y = -INFINITY if x == ZERO else y
    return NOT_A_NUMBER if x < ZERO else y


def log1p(x: Any) -> Any:
    """log(1 + x), exact near 0: what the sum loses is added to the logarithm."""
    u = ONE + x
    y = log_of_positive(u) - ((u - ONE) - x) / u
    y = y if x < INFINITY else x
    y = -INFINITY if x == -ONE else y
    return NOT_A_NUMBER if x < -ONE else y


def softplus(x: Any) -> Any:
    """log(1 + exp(x))."""
    small = exp(-abs(x))
    u = ONE + small
    return (ZERO if x < ZERO else x) + (log_of_positive(u) - ((u - ONE) - small) / u)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    small = exp(-abs(x))
    return (small if x < ZERO else ONE) / (ONE + small)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent: with t = exp(2 x) - 1, t / (t + 2)."""
    x = float32(10.0) if x > float32(10.0) else x
    x = float32(-10.0) if x < float32(-10.0) else x
    t = expm1(x + x)
    return t / (t + TWO)


def erf(x: Any) -> Any:
    """The error function: a ratio of polynomials of x * x, times x."""
    x = ERF_IS_ONE if x > ERF_IS_ONE else x
    x = -ERF_IS_ONE if x < -ERF_IS_ONE else x
    z = x * x
    p = float32(0.00022905065861350646)
    p = p * z + float32(0.0034082910107109506)
    p = p * z + float32(0.050955695062380861)
    p = p * z + float32(0.18520832239976145)
    p = p * z + float32(1.128379143519084)
    q = float32(-1.1791602954361697e-7)
    q = q * z + float32(0.000023547966471313185)
    q = q * z + float32(0.0010179625278914885)
    q = q * z + float32(0.014070470171167667)
    q = q * z + float32(0.11098505178285362)
    q = q * z + float32(0.49746925110067538)
    q = q * z + ONE
    y = x * p / q
    y = ONE if x == ERF_IS_ONE else y  # gelu multiplies 1 - erf(x) by x, however large x is
    return -ONE if x == -ERF_IS_ONE else y


def erfinv(x: Any) -> Any:
    """What erf undoes. Giles, "Approximating the erfinv function", GPU Computing Gems 2 (2011)."""
    w = -log((ONE - x) * (ONE + x))
    centre = w < float32(5.0)
    t = w - float32(2.5) if centre else sqrt(w) - float32(3.0)
    p = float32(2.81022636e-08) if centre else float32(-0.000200214257)
    p = p * t + (float32(3.43273939e-07) if centre else float32(0.000100950558))
    p = p * t + (float32(-3.5233877e-06) if centre else float32(0.00134934322))
    p = p * t + (float32(-4.39150654e-06) if centre else float32(-0.00367342844))
    p = p * t + (float32(0.00021858087) if centre else float32(0.00573950773))
    p = p * t + (float32(-0.00125372503) if centre else float32(-0.0076224613))
    p = p * t + (float32(-0.00417768164) if centre else float32(0.00943887047))
    p = p * t + (float32(0.246640727) if centre else float32(1.00167406))
    p = p * t + (float32(1.50140941) if centre else float32(2.83297682))
    return x * (INFINITY if abs(x) == ONE else p)
