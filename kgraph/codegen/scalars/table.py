"""The scalar functions that rows name in their expressions: plain Python that numba compiles for the CPU and for CUDA.

They also run as they are, on numpy's scalars. Where one calls another, whoever compiles them sees to it that it calls
the compiled one (see `rebound`). None uses a Python number: numba would make float64 of float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any

import numpy as np

from kgraph.codegen.scalars import float32, float32_angles, float32_powers, integers, library
from kgraph.codegen.scalars.philox import philox
from kgraph.graph.types import DTYPES, HALF, ends_of

Scalars = dict[str, Callable[..., Any]]


def maximum(a: Any, b: Any) -> Any:
    """The larger; NaN where one is NaN. With a constant b it is one instruction."""
    return b if a < b or b != b else a


def minimum(a: Any, b: Any) -> Any:
    """The smaller; NaN where one is NaN."""
    return b if a > b or b != b else a


def greatest(a: Any, b: Any) -> Any:
    """The larger, if both are numbers; else one of them, or anything (see `reduction.takes_any`)."""
    return b if a < b else a


def absolute(x: Any) -> Any:
    """x without its sign."""
    return abs(x)


def square(x: Any) -> Any:
    """x times x."""
    return x * x


def sign(x: Any, one: Any) -> Any:
    """-1, 0 or 1, and NaN for NaN."""
    zero = one - one
    return one if x > zero else (-one if x < zero else x)


def floor_divide(a: Any, b: Any) -> Any:
    """The quotient rounded down."""
    return a // b


def mod(a: Any, b: Any) -> Any:
    """What remains of that division; it has the sign of b."""
    return a % b


def isnan(x: Any) -> Any:
    """Is it not a number?"""
    return x != x


def isinf(x: Any) -> Any:
    """Is it infinite? Then it is itself, and less itself it is NaN."""
    return x == x and x - x != x - x


def isfinite(x: Any) -> Any:
    """Is it a number, and not infinite?"""
    return x - x == x - x


def floor(x: Any) -> Any:
    """The largest integer not above x."""
    return math.floor(x)


def ceil(x: Any) -> Any:
    """The smallest integer not below x."""
    return math.ceil(x)


def trunc(x: Any) -> Any:
    """x without what follows the point."""
    return math.ceil(x) if x < x - x else math.floor(x)


def round_half_even(x: Any, half: Any) -> Any:
    """The nearest integer; halves go to the even one."""
    low = math.floor(x)
    rest, one = x - low, half + half
    is_odd = math.floor(low * half) + math.floor(low * half) != low
    return low + one if rest > half or (rest == half and is_odd) else low


def floor_of_cpu(x: Any) -> Any:
    """On the CPU, math.floor would make an integer."""
    return np.floor(x)


def ceil_of_cpu(x: Any) -> Any:
    """On the CPU, math.ceil would make an integer."""
    return np.ceil(x)


def trunc_of_cpu(x: Any) -> Any:
    """One instruction."""
    return np.trunc(x)


def round_of_cpu(x: Any, half: Any) -> Any:
    """One instruction."""
    return np.rint(x)


def _always(number: Any) -> Callable[[], Any]:
    """The function that returns this number."""

    def limit() -> Any:
        return number

    return limit


def _limits() -> Scalars:
    """Where the maximum and the minimum of no elements start: lowest_float32(), highest_int8(), ..."""
    found: Scalars = {}
    for dtype in DTYPES:
        if dtype not in HALF:
            kind, name = np.dtype(dtype).type, "bool_" if dtype == "bool" else dtype
            found[f"lowest_{name}"], found[f"highest_{name}"] = (_always(kind(end)) for end in ends_of(dtype))
    return found


EVERYWHERE: Scalars = {
    one.__name__: one
    for one in (
        maximum,
        minimum,
        greatest,
        absolute,
        square,
        sign,
        floor_divide,
        mod,
        isnan,
        isinf,
        isfinite,
        floor,
        ceil,
        trunc,
        round_half_even,
        philox,
    )
} | _limits()
ON_CPU: Scalars = {
    "floor": floor_of_cpu,
    "ceil": ceil_of_cpu,
    "trunc": trunc_of_cpu,
    "round_half_even": round_of_cpu,
}


@lru_cache(maxsize=8)
def scalars(dtype: str, target: str = "cpu") -> MappingProxyType[str, Callable[..., Any]]:
    """The functions of a kernel that computes in float32 or float64, by the names that rows use.

    float32 on the CPU is done by polynomials (see float32.py and its neighbours), float64 and CUDA by the math library.
    """
    assert dtype in ("float32", "float64") and target in ("cpu", "cuda"), (dtype, target)
    found = EVERYWHERE | _functions(integers) | _functions(library, real=getattr(np, dtype))
    if dtype == "float32":
        own = _functions(float32) | _functions(float32_angles) | _functions(float32_powers)
        found |= own if target == "cpu" else {"erfinv": own["erfinv"]}
    if target == "cpu":
        found |= ON_CPU
    return MappingProxyType(found)


def _functions(module: ModuleType, **names: Any) -> Scalars:
    """The functions of a module, with these of its names meaning something else."""
    plain = {name: one for name, one in vars(module).items() if isinstance(one, FunctionType)}
    if not names:
        return dict(plain)
    namespace = {**vars(module), **names}
    made = {name: FunctionType(one.__code__, namespace, name) for name, one in plain.items()}
    namespace.update(made)
    return dict(made)
