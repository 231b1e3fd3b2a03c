"""Sines and angles of float32 for the CPU, without branches, so that LLVM makes vectors of the loops around them.

All of float32 is covered, as in numpy, within 2 ulp of the exact value. sin, cos and tan are computed in float64,
whatever the size of the angle.
"""

from __future__ import annotations

from typing import Any

from numpy import float32, float64, int32, int64, sqrt

from kgraph.codegen.scalars.float32 import with_sign_of

ZERO, HALF, ONE = float32(0.0), float32(0.5), float32(1.0)
SIGN = int32(-2147483648)
# What is added to 1.5 * 2**52 is rounded to a multiple of 1; to 1.5 * 2**50, to one of 1 / 4, in its lowest bits.
TO_WHOLE, TO_QUARTER = float64(6755399441055744.0), float64(1688849860263936.0)
PI, PI_REST = float32(3.14159274), float32(-8.74227766e-8)  # float32 rounds pi up
HALF_PI, HALF_PI_REST = float32(1.57079637), float32(-4.37113883e-8)
QUARTER_PI, QUARTER_PI_REST = float32(0.785398185), float32(-2.18556941e-8)


def part_of_turn(x: Any, piece: Any) -> Any:
    """x * piece without whole turns; the product of 24 and 29 bits is exact."""
    return x * piece - ((x * piece + TO_WHOLE) - TO_WHOLE)


def turns(x: Any) -> Any:
    """The angle |x| in turns, without whole turns or with few of them: 1 / (2 pi) in pieces (Payne and Hanek)."""
    x = abs(float64(x))
    found = part_of_turn(x if x < float64(1e24) else float64(0), float64(0.15915494272485375))  # beyond: whole turns
    found = found + part_of_turn(x, float64(3.6704158115630214e-10))
    found = found + part_of_turn(x, float64(5.690025167992954e-19))
    found = found + part_of_turn(x, float64(1.4703036846932608e-27))
    found = found + part_of_turn(x, float64(2.5867171752090537e-36))
    return found + x * float64(9.458140970740169e-46)


def sin_of_turns(part: Any) -> Any:
    """The sine, up to an eighth of a turn."""
    z = part * part
    p = float64(-75.39356305392562) * z + float64(81.59235356064177)
    p = p * z + float64(-41.34166145496286)
    return part * (p * z + float64(6.283185286833403))


def cos_of_turns(part: Any) -> Any:
    """The cosine, up to an eighth of a turn."""
    z = part * part
    p = float64(59.20279608565786) * z + float64(-85.44229797543184)
    p = p * z + float64(64.93931074468648)
    p = p * z + float64(-19.73920863303679)
    return p * z + float64(0.9999999999439378)


def sin(x: Any) -> Any:
    """The sine."""
    found = turns(x)
    shifted = found + TO_QUARTER
    part, quarter = found - (shifted - TO_QUARTER), float64(shifted).view(int64)
    y = cos_of_turns(part) if int64(quarter & int64(1)) != int64(0) else sin_of_turns(part)
    y = float32(-y if int64(quarter & int64(2)) != int64(0) else y)
    return int32(float32(y).view(int32) ^ int32(float32(x).view(int32) & SIGN)).view(float32)


def cos(x: Any) -> Any:
    """The cosine."""
    found = turns(x)
    shifted = found + TO_QUARTER
    part, quarter = found - (shifted - TO_QUARTER), float64(shifted).view(int64)
    y = sin_of_turns(part) if int64(quarter & int64(1)) != int64(0) else cos_of_turns(part)
    return float32(-y if int64((quarter + int64(1)) & int64(2)) != int64(0) else y)


def tan_of_turns(part: Any) -> Any:
    """The tangent, up to an eighth of a turn."""
    z = part * part
    w = z * z
    p = float64(4152679225.7302494) * z + float64(-373923.0541510456)
    p = p * w + (float64(6587036.37478622) * z + float64(324128.67483311886))
    p = p * w + (float64(20903.741523132598) * z + float64(1305.6045661693902))
    p = p * w + (float64(82.6834644189994) * z + float64(6.283185299809479))
    return part * p


def tan(x: Any) -> Any:
    """The tangent."""
    found = turns(x)
    shifted = found + TO_QUARTER
    y = float32(tan_of_turns(found - (shifted - TO_QUARTER)))
    y = -ONE / y if int64(float64(shifted).view(int64) & int64(1)) != int64(0) else y
    return int32(float32(y).view(int32) ^ int32(float32(x).view(int32) & SIGN)).view(float32)


def arctan_up_to_1(r: Any) -> Any:
    """The angle with the tangent r, from 0 to 1."""
    z = r * r
    w = z * z
    p = float32(-0.00301159149967134) * w + (float32(0.01631253957748413) * z + float32(-0.041085030883550644))
    p = p * w + (float32(0.06766968965530396) * z + float32(-0.0894959345459938))
    p = p * w + (float32(0.11127511411905289) * z + float32(-0.14294080436229706))
    p = p * w + (float32(0.20000751316547394) * z + float32(-0.3333333432674408))
    return r + r * (z * p)


def arctan(x: Any) -> Any:
    """The angle with this tangent."""
    size = abs(x)
    angle = arctan_up_to_1(ONE / size if size > ONE else size)
    return with_sign_of(HALF_PI - (angle - HALF_PI_REST) if size > ONE else angle, x)


def arctan2(y: Any, x: Any) -> Any:
    """The angle of the point (x, y)."""
    height, width = abs(y), abs(x)
    is_steep = height > width
    large, small = height if is_steep else width, width if is_steep else height
    ratio = ONE if small == large else small / large  # infinity / infinity too
    angle = arctan_up_to_1(ZERO if small + large == ZERO else ratio)
    is_left = float32(x).view(int32) < int32(0)
    angle = -angle if is_steep != is_left else angle
    far = HALF_PI + (angle + HALF_PI_REST) if is_steep else (PI + (angle + PI_REST) if is_left else angle)
    return with_sign_of(far, y)


def arcsin_less_x(x: Any, z: Any) -> Any:
    """arcsin(x) - x up to 1 / 2, where z = x * x."""
    p = float32(0.04010922461748123) * z + float32(0.0255085788667202)
    p = p * z + float32(0.0451684333384037)
    p = p * z + float32(0.07498090714216232)
    p = p * z + float32(0.1666666716337204)
    return x * (z * p)


def arcsin(x: Any) -> Any:
    """The angle with this sine. arcsin(x) = pi / 2 - 2 arcsin(sqrt((1 - x) / 2)) for large x."""
    size = abs(x)
    z = HALF * (ONE - size) if size > HALF else size * size
    r = sqrt(z) if size > HALF else size
    rest = arcsin_less_x(r, z)
    far = QUARTER_PI - (r + (rest - QUARTER_PI_REST))
    return with_sign_of(far + far if size > HALF else r + rest, x)


def arccos(x: Any) -> Any:
    """The angle with this cosine."""
    size = abs(x)
    z = HALF * (ONE - size) if size > HALF else size * size
    r = sqrt(z) if size > HALF else x
    rest = arcsin_less_x(r, z)
    near = HALF_PI - (r + (rest - HALF_PI_REST))
    far = r + rest
    return near if size <= HALF else (PI - ((far + far) - PI_REST) if x < ZERO else far + far)
