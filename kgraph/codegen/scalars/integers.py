"""Integer arithmetic as numpy has it, where processors would stop or do something else.

Plain Python that numba compiles for the CPU and for CUDA: integers have 64 bits there, and the kernel makes the result
as narrow as the operands were. The last argument is a number of the operands' dtype. What may wrap around is computed
in uint64, since LLVM takes for granted that sums and products of int64 fit.
"""

from __future__ import annotations

from typing import Any

from numpy import int64, uint64


def floor_divide_of_integers(a: Any, b: Any, one: Any) -> Any:
    """The quotient rounded down; 0 for b = 0, and the least number there is stays itself for b = -1."""
    zero = one - one
    is_minus_1 = b < zero and b + one == zero
    quotient = uint64(a // divisor_of(b, one))
    return int64(uint64(0) if b == zero else (uint64(uint64(0) - quotient) if is_minus_1 else quotient))


def mod_of_integers(a: Any, b: Any, one: Any) -> Any:
    """What remains of that division; 0 for b = 0."""
    return a % divisor_of(b, one)


def divisor_of(b: Any, one: Any) -> Any:
    """1 in place of what processors cannot divide by: 0, and -1 below the least number there is."""
    zero = one - one
    return one if b == zero or (b < zero and b + one == zero) else b


def power_of_integers(x: Any, y: Any, zero: Any) -> Any:
    """x to the power of y without what no longer fits; 1 / x, rounded towards 0, for negative y."""
    found, factor, rest = uint64(1), uint64(x), uint64(0) if y < zero else uint64(y)
    while rest != uint64(0):
        if uint64(rest & uint64(1)) != uint64(0):
            found = uint64(found * factor)
        factor, rest = uint64(factor * factor), uint64(rest >> uint64(1))
    is_unit = int64(x) == int64(1) or int64(x) == int64(-1)
    turned = int64(x) if int64(int64(y) & int64(1)) != int64(0) else int64(1)
    return int64(found) if y >= zero else (turned if is_unit else int64(0))


def shifted_left(x: Any, places: Any, limit: Any) -> Any:
    """The bits of x moved up; 0 if places are below 0 or above limit, which is 63."""
    kept = places & limit
    return x << kept if kept == places else limit - limit


def shifted_right(x: Any, places: Any, limit: Any) -> Any:
    """The bits of x moved down; only the sign stays if places are below 0 or above limit, which is 63."""
    kept = places & limit
    return x >> kept if kept == places else x >> limit >> limit
