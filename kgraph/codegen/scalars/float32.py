"""Elementary functions of float32 for the CPU, without branches, so that LLVM makes vectors of the loops around them.

Selects are conditional expressions. NaN and infinities come out as numpy has them; a clamp keeps a NaN, since every
comparison with it is false. All of float32 is covered, denormal numbers included. Errors, against the exact value, with
and without fused multiply-add: tanh and sigmoid 3 units of the last place, erfinv 2.5, everything else 2.

Polynomials, but for that of exp, are summed in pairs of terms, which is half as deep as one term at a time.
"""

from __future__ import annotations

from typing import Any

from numpy import float32, inf, int32, nan, sqrt

ROUNDER = float32(12582912.0)  # 1.5 * 2**23: what is added to it is rounded to an integer, in the lowest bits
ROUNDER_BITS = int32(0x4B400000)
INFINITY, NOT_A_NUMBER = float32(inf), float32(nan)
ZERO, QUARTER, HALF, ONE, TWO = float32(0.0), float32(0.25), float32(0.5), float32(1.0), float32(2.0)
SIGN = int32(-2147483648)
LOG2_E = float32(1.44269504)
LN2_HIGH, LN2_LOW = float32(0.693145751953125), float32(1.42860682030941723212e-6)  # n * high is exact
ROOT_2_LESS_1 = float32(0.41421356)
ROOT_HALF_BITS = int32(0x3F3504F3)
SMALLEST_NORMAL = float32(1.17549435e-38)


def rsqrt(x: Any) -> Any:
    """1 / sqrt(x)."""
    return ONE / sqrt(x)


def power_of_two(n: Any) -> Any:
    """2**n for n from -126 to 127."""
    return int32((n + int32(127)) << int32(23)).view(float32)


def exp_less_1(r: Any) -> Any:
    """exp(r) - 1 for |r| <= ln(2) / 2."""
    z = r * r
    p = float32(1.9841270e-4) * r + float32(1.3934234e-3)
    p = p * z + (float32(8.3333333e-3) * r + float32(4.1666418e-2))
    p = p * z + (float32(1.6666667e-1) * r + HALF)
    return r + z * p


def exp_near_0(r: Any) -> Any:
    """exp(r) for |r| <= ln(2) / 2, one term at a time: fewer operations, where many numbers are computed at once."""
    p = float32(1.3814540e-3) * r + float32(8.3687451e-3)
    p = p * r + float32(4.1668391e-2)
    p = p * r + float32(1.6666520e-1)
    p = p * r + float32(4.9999993e-1)
    return (p * r + ONE) * r + ONE


def with_sign_of(size: Any, x: Any) -> Any:
    """size with the sign of x: it has none, or that one already, or has lost it since it is 0."""
    return int32(float32(size).view(int32) | int32(float32(x).view(int32) & SIGN)).view(float32)


def exp(x: Any) -> Any:
    """e to the power of x."""
    x = float32(89.5) if x > float32(89.5) else x
    x = float32(-105.0) if x < float32(-105.0) else x
    shifted = x * LOG2_E + ROUNDER
    n = shifted - ROUNDER
    r = x - n * LN2_HIGH - n * LN2_LOW
    whole = int32(float32(shifted).view(int32) - ROUNDER_BITS)
    part = int32(whole >> int32(1))  # 2**n in two steps: n may be beyond the exponents there are
    return exp_near_0(r) * power_of_two(part) * power_of_two(int32(whole - part))


def exp_of_negative(x: Any) -> Any:
    """e to the power of x, which is not above 0: 2**64 times that, made smaller."""
    x = float32(-105.0) if x < float32(-105.0) else x
    shifted = x * LOG2_E + ROUNDER
    n = shifted - ROUNDER
    r = x - n * LN2_HIGH - n * LN2_LOW
    whole = int32(float32(shifted).view(int32) - ROUNDER_BITS)
    return exp_near_0(r) * power_of_two(int32(whole + int32(64))) * float32(2.0**-64)


def exp_halved(x: Any) -> Any:
    """exp(x) / 2 for x from 0 to 90: it is finite a little longer than exp(x)."""
    shifted = x * LOG2_E + ROUNDER
    n = shifted - ROUNDER
    r = x - n * LN2_HIGH - n * LN2_LOW
    whole = int32(float32(shifted).view(int32) - ROUNDER_BITS)
    return TWO * (exp_near_0(r) * power_of_two(int32(whole - int32(2))))


def expm1_in_range(x: Any) -> Any:
    """exp(x) - 1 for x from -20 to 88.8."""
    shifted = x * LOG2_E + ROUNDER
    n = shifted - ROUNDER
    r = x - n * LN2_HIGH - n * LN2_LOW
    half = power_of_two(int32(float32(shifted).view(int32) - ROUNDER_BITS - int32(1)))
    return TWO * (half * exp_less_1(r) + (half - HALF))


def expm1(x: Any) -> Any:
    """exp(x) - 1, exact near 0."""
    x = float32(88.8) if x > float32(88.8) else x
    x = float32(-20.0) if x < float32(-20.0) else x
    return with_sign_of(expm1_in_range(x), x)


def log_of_1_more(f: Any, exponent: Any) -> Any:
    """log(2**exponent * (1 + f)) for f from sqrt(0.5) - 1 to sqrt(2) - 1."""
    z = f * f
    p = float32(7.0376836292e-2) * z + (float32(-1.1514610310e-1) * f + float32(1.1676998740e-1))
    p = p * z + (float32(-1.2420140846e-1) * f + float32(1.4249322787e-1))
    p = p * z + (float32(-1.6668057665e-1) * f + float32(2.0000714765e-1))
    p = p * z + (float32(-2.4999993993e-1) * f + float32(3.3333331174e-1))
    small = p * f * z + exponent * LN2_LOW - HALF * z
    return small + f + exponent * LN2_HIGH


def log_of_positive(x: Any) -> Any:
    """The logarithm of a finite number above 0."""
    tiny = x < SMALLEST_NORMAL
    x = x * float32(33554432.0) if tiny else x  # 2**25
    bits = int32(float32(x).view(int32) - ROOT_HALF_BITS)
    exponent = float32(int32(bits >> int32(23))) - (float32(25.0) if tiny else ZERO)
    f = int32(int32(bits & int32(0x7FFFFF)) + ROOT_HALF_BITS).view(float32) - ONE
    return log_of_1_more(f, exponent)


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
    y = -INFINITY if x == -ONE else with_sign_of(y, x)
    return NOT_A_NUMBER if x < -ONE else y


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), where exp(-|x|) is at most 1."""
    small = exp_of_negative(-abs(x))
    is_large = small > ROOT_2_LESS_1
    f = HALF * (small - ONE) if is_large else small
    return (ZERO if x < ZERO else x) + log_of_1_more(f, ONE if is_large else ZERO)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    small = exp_of_negative(-abs(x))
    return (small if x < ZERO else ONE) / (ONE + small)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent: with t = exp(2 x) - 1, t / (t + 2)."""
    x = float32(10.0) if x > float32(10.0) else x
    x = float32(-10.0) if x < float32(-10.0) else x
    t = expm1_in_range(x + x)
    return with_sign_of(t / (t + TWO), x)


def sinh(x: Any) -> Any:
    """The hyperbolic sine."""
    size, z = abs(x), x * x
    p = float32(2.6626648832461797e-06) * z + float32(0.00019861513283103704)
    p = p * (z * z) + (float32(0.008333241567015648) * z + float32(0.1666666716337204))
    grown = exp_halved(float32(90.0) if size > float32(90.0) else size)
    far = with_sign_of(grown - QUARTER / grown, x)
    return x + x * (z * p) if size < ONE else far


def cosh(x: Any) -> Any:
    """The hyperbolic cosine."""
    size = abs(x)
    grown = exp_halved(float32(90.0) if size > float32(90.0) else size)
    return grown + QUARTER / grown


def erf(x: Any) -> Any:
    """The error function: a polynomial near 0, and 1 less the exponential of one elsewhere. Coefficients: N. Juffa."""
    size, z = abs(x), x * x
    p = float32(-5.96761703e-4) * z + float32(4.99119423e-3)
    p = p * (z * z) + (float32(-2.67681349e-2) * z + float32(1.12819925e-1))
    p = p * (z * z) + (float32(-3.76125336e-1) * z + float32(1.28379166e-1))
    q = float32(-1.72853470e-5) * size + float32(3.83197126e-4)
    q = q * z + (float32(-3.88396438e-3) * size + float32(2.42546219e-2))
    q = q * z + (float32(-1.06777877e-1) * size + float32(-6.34846687e-1))
    q = q * z + (float32(-1.28717512e-1) * size - size)
    far = ONE - exp_of_negative(float32(-20.0) if size > float32(4.0) else q)
    return p * x + x if size < float32(0.927734375) else with_sign_of(far, x)


def erfinv(x: Any) -> Any:
    """What erf undoes: x times a polynomial of w = -log(1 - x * x), or of its root where w is large. Giles (2011)."""
    w = -log((ONE - x) * (ONE + x))
    z = w * w
    p = float32(-8.791104280845143e-09) * w + float32(2.2103233548076795e-07)
    p = p * z + (float32(-1.9764770374546437e-06) * w + float32(3.983310797886686e-06))
    p = p * z + (float32(4.456502238278146e-05) * w + float32(-0.00012748135487077023))
    p = p * z + (float32(-0.002334296418298283) * w + float32(0.011548653981585591))
    p = p * z + (float32(0.23201381803293442) * w + float32(2.8e-08))
    s = sqrt(w) - float32(3.0)
    q = float32(0.0001289640870699973) * s + float32(-0.0003187238737587546)
    q = q * (s * s) + (float32(-7.661901957334431e-05) * s + float32(0.001495857812555155))
    q = q * (s * s) + (float32(-0.003586988152315739) * s + float32(0.005683171708855662))
    q = q * (s * s) + (float32(-0.007639409844627682) * s + float32(0.009445684340911233))
    q = q * (s * s) + (float32(1.00167508673778) * s + float32(-2.2e-08))
    y = x * p + x * float32(0.8862268924713135) if w < float32(5.0) else x * q + x * float32(2.8329768180847168)
    return x * INFINITY if abs(x) == ONE else y
