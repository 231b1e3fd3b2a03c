"""Powers and the inverses of hyperbolic functions of float32 for the CPU, by logarithms in float64, without branches.

All of float32 is covered, as in numpy, within 0.7 ulp of the exact value.
"""

from __future__ import annotations

from typing import Any

from numpy import float32, float64, inf, int32, nan, sqrt, uint64

from kgraph.codegen.scalars.float32 import with_sign_of

INFINITY, NOT_A_NUMBER = float32(inf), float32(nan)
ZERO, ONE, TINY = float32(0.0), float32(1.0), float32(2.0**-12)
LARGEST = float32(3.4028234663852886e38)
ALL_EVEN = float32(16777216.0)  # 2**24: from here on every float32 is even
LN_2 = float64(0.6931471805599453)
ROOT_HALF = uint64(0x3FE6A09E667F3BCD)  # the bits of sqrt(1 / 2)
BIAS = uint64(0x3FF0000000000000)
MANTISSA = uint64(0x000FFFFFFFFFFFFF)
TWO_TO_52 = uint64(0x4330000000000000)  # the bits of 2**52, whose lowest is worth 1
TO_WHOLE = float64(6755399441055744.0)  # 1.5 * 2**52


def log2_of_float64(x: Any) -> Any:
    """The logarithm to base 2 of a float64 that is finite, normal and above 0."""
    bits = uint64(uint64(float64(x).view(uint64) - ROOT_HALF) + BIAS)
    exponent = uint64(uint64(bits >> uint64(52)) | TWO_TO_52).view(float64) - float64(4503599627371519.0)
    f = uint64(uint64(bits & MANTISSA) + ROOT_HALF).view(float64) - float64(1)  # from sqrt(0.5) - 1 to sqrt(2) - 1
    z = f * f
    p = float64(-0.08634610497552837) * f + float64(0.15485759506977292)
    p = p * z + (float64(-0.15698223704515343) * f + float64(0.15900148146061346))
    p = p * z + (float64(-0.1790469547625763) * f + float64(0.20609625762118036))
    p = p * z + (float64(-0.24050417397494764) * f + float64(0.2885406435122395))
    p = p * z + (float64(-0.3606728005515439) * f + float64(0.48089832072991234))
    p = p * z + (float64(-0.7213475252131605) * f + float64(1.4426950409393449))
    return p * f + exponent


def exp2_of_float64(t: Any) -> Any:
    """2**t, or what is 0 or infinity in float32 as well."""
    t = float64(200.0) if t > float64(200.0) else t
    t = float64(-200.0) if t < float64(-200.0) else t
    shifted = t + TO_WHOLE
    f = t - (shifted - TO_WHOLE)
    z = f * f
    p = float64(0.00015345807084708965) * z + (float64(0.001339993136003425) * f + float64(0.009618488987296534))
    p = p * z + (float64(0.05550328777030307) * f + float64(0.24022646890160018))
    p = p * z + (float64(0.6931472057365354) * f + float64(1.0))
    whole = uint64(float64(shifted).view(uint64) << uint64(52))  # as an exponent
    return uint64(float64(p).view(uint64) + whole).view(float64)


def power(x: Any, y: Any) -> Any:
    """x to the power of y."""
    size = abs(x)
    log2 = log2_of_float64(float64(size)) if size < INFINITY else float64(size)
    log2 = float64(-inf) if size == ZERO else log2
    far = LARGEST if y > LARGEST else y  # else infinity times log2(1)
    far = -LARGEST if far < -LARGEST else far
    found = float32(exp2_of_float64(float64(far) * log2))
    exponent = abs(y) if abs(y) < ALL_EVEN else ALL_EVEN
    whole = int32(exponent)
    sign = int32(float32(x).view(int32) & int32(whole << int32(31)))
    turned = int32(float32(found).view(int32) ^ sign).view(float32)
    broken = NOT_A_NUMBER if x < ZERO and x > -INFINITY else found
    return ONE if y == ZERO or x == ONE else (turned if float32(whole) == exponent else broken)


def arcsinh(x: Any) -> Any:
    """What the hyperbolic sine undoes."""
    size = abs(x)
    wide = float64(size)
    y = float32(log2_of_float64(wide + sqrt(wide * wide + float64(1.0))) * LN_2)
    y = y if size < INFINITY else size
    return with_sign_of(size - size * (size * size) * float32(0.166666667) if size < TINY else y, x)


def arccosh(x: Any) -> Any:
    """What the hyperbolic cosine undoes."""
    wide = float64(x)
    y = float32(log2_of_float64(wide + sqrt(wide * wide - float64(1.0))) * LN_2)
    y = y if x < INFINITY else x
    return NOT_A_NUMBER if x < ONE else y


def arctanh(x: Any) -> Any:
    """What the hyperbolic tangent undoes."""
    size = abs(float64(x))
    y = float32(log2_of_float64((float64(1.0) + size) / (float64(1.0) - size)) * (LN_2 * float64(0.5)))
    y = with_sign_of(y if abs(x) < ONE else INFINITY, x)
    y = y if abs(x) <= ONE else NOT_A_NUMBER
    return x + x * (x * x) * float32(0.333333333) if abs(x) < TINY else y
