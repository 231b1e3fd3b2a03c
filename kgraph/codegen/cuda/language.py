"""What the names in a printed kernel mean where it is emulated: numpy's numbers, and Python's for integers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

QUIET = 0x7FFF  # the bits of bfloat16's NaN


class Integer:
    """An integer type: called, it wraps as a C cast does; given to shared.array, it is a dtype."""

    def __init__(self, name: str) -> None:
        self.dtype = np.dtype(name)
        limits = np.iinfo(self.dtype)
        self._least, self._count = int(limits.min), int(limits.max) - int(limits.min) + 1

    def __call__(self, value: Any) -> int:
        return (int(value) - self._least) % self._count + self._least


def _math() -> SimpleNamespace:
    """The module math as CUDA has it: float32 in, float32 out, and infinity where Python raises."""
    renamed = {f"a{name}": f"arc{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")}
    renamed |= {"atan2": "arctan2", "pow": "power"}
    names: dict[str, Any] = dict(vars(math))
    for name in names:
        function = getattr(np, renamed.get(name, name), None)
        names[name] = function if isinstance(function, np.ufunc) else names[name]
    for name in ("erf", "erfc", "gamma", "lgamma"):  # numpy has none of these
        names[name] = lambda x, double=names[name]: getattr(x, "dtype", np.dtype(float)).type(double(x))
    return SimpleNamespace(**names)


def from_float16(bits: int) -> np.float32:
    """The number that these bits are."""
    return np.float32(np.uint16(bits).view(np.float16))


def to_float16(number: Any) -> int:
    """The bits of the nearest number; of two, of the even one."""
    return int(np.float16(np.float32(number)).view(np.uint16))


def from_bfloat16(bits: int) -> np.float32:
    """The number of which these are the upper bits."""
    return np.uint32(int(bits) << 16).view(np.float32)


def to_bfloat16(number: Any) -> int:
    """The bits of the nearest number; of two, of the even one."""
    word = int(np.float32(number).view(np.uint32))
    return QUIET if number != number else (word + 0x7FFF + (word >> 16 & 1)) >> 16


LANGUAGE: Mapping[str, Any] = {
    "math": _math(),
    "bool_": bool,
    "float16": lambda number: from_float16(to_float16(number)),
    "bfloat16": lambda number: from_bfloat16(to_bfloat16(number)),
    **{one.__name__: one for one in (from_float16, to_float16, from_bfloat16, to_bfloat16)},
    **{name: getattr(np, name) for name in ("float32", "float64", "inf", "nan")},
    **{f"{sign}{bits}": Integer(f"{sign}{bits}") for sign in ("int", "uint") for bits in (8, 16, 32, 64)},
}
