"""How kernels count and divide: as Python does, and as numpy where Python raises."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from itertools import count, product

import numpy as np
import pytest

from kgraph.codegen.native import objects

pytest.importorskip("numba")

LEAST, MOST = -(2**63), 2**63 - 1
VALUES = (LEAST, LEAST + 1, -1025, -97, -96, -95, -64, -3, -2, -1, 0, 1, 2, 3, 63, 64, 65, 95, 96, 97, 1 << 40, MOST)
_numbers = count()


def compiled(function: Callable[..., int], arguments: int) -> Callable[..., int]:
    """The machine code of a function of 64-bit integers, as kernels would have it."""
    from numba.core import types

    from kgraph.codegen.cpu import frontend

    made = frontend.lowered(function, [types.int64] * arguments, types.int64)
    made.function.name = f"lowering_{next(_numbers)}"
    made.function.linkage = "external"
    address = objects.load(objects.compile_ir(str(made.function.module)), [made.function.name])[made.function.name]
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * arguments)(address)


def numpys(sign: str, a: int, b: int) -> int:
    """numpy's result, 0 for a division by zero; the one that 64 bits cannot hold is 0 as well."""
    if (a, b) == (LEAST, -1):
        return 0
    with np.errstate(divide="ignore"):
        return int({"//": np.floor_divide, "%": np.remainder}[sign](np.int64(a), np.int64(b)))


@pytest.mark.parametrize("sign", ["//", "%"])
def test_quotients_of_any_two_numbers(sign):
    names: dict[str, Callable[..., int]] = {}
    exec(f"def function(a, b):\n    return a {sign} b", names)
    function = compiled(names["function"], 2)
    for a, b in product(VALUES, VALUES):
        assert function(a, b) == numpys(sign, a, b), (a, b)


@pytest.mark.parametrize("sign", ["//", "%"])
@pytest.mark.parametrize("divisor", [1, 2, 3, 64, 96, 1 << 40, -1, -2, -96, 0])
def test_quotients_by_a_constant(sign, divisor):
    names: dict[str, Callable[..., int]] = {}
    exec(f"def function(a):\n    return a {sign} {divisor}", names)
    function = compiled(names["function"], 1)
    for a in VALUES:
        assert function(a) == numpys(sign, a, divisor), a


def visited(start: int, stop: int, step: int) -> int:
    """Tells which numbers a range has, in which order, and which was the last."""
    total, last = 7, -5
    for one in range(start, stop, step):
        total, last = (total * 31 + one) % 1000003, one
    return total * 1000 + last


@pytest.mark.parametrize("step", [1, 2, 3, 512])
def test_ranges_with_a_constant_step(step):
    names: dict[str, Callable[..., int]] = {}
    text = f"def function(start, stop):\n    n = 0\n    for i in range(start, stop, {step}):\n        n = n * 7 + i\n"
    exec(f"{text}    return n", names)
    function = compiled(names["function"], 2)
    for start, stop in product((-3, 0, 1, 512), (-600, -3, 0, 1, 2, 5, 512, 513, 1025)):
        wanted = names["function"](start, stop)
        assert function(start, stop) == (wanted + 2**63) % 2**64 - 2**63, (start, stop)


def test_ranges_with_any_step():
    function = compiled(visited, 3)
    for start, stop, step in product((0, 3, 10), (-1, 0, 3, 4, 11, 100), (1, 2, 7, 1000)):
        assert function(start, stop, step) == visited(start, stop, step), (start, stop, step)
