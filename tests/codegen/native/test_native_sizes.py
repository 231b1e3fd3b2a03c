"""Sizes computed by machine code are those of Python."""

from __future__ import annotations

import ctypes
from itertools import product

import pytest
from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import I64, number
from kgraph.codegen.native.objects import compile_ir, load
from kgraph.codegen.native.sizes import Sizes
from kgraph.graph.sizes import N, axis, maximum, minimum, resolve

T = axis("T")
IMPOSSIBLE, TOO_LARGE = -(2**63), -(2**63) + 1
CASES = {
    "number": 7,
    "axis": N,
    "sum": N + 3 * T - 4,
    "product": 2 * N * N * T + N,
    "quotient": (N + 95) // 96 * ((T - 7) // 3),
    "of_an_axis": (N + 5) // T - N % 4,
    "least": minimum(N, T) + maximum(2 * N, 5),
}


@pytest.fixture(scope="module")
def functions():
    """Each size as a function of N and T."""
    module = ir.Module("sizes")
    for name, size in CASES.items():
        made, build = emit.function(module, f"size_of_{name}", I64, [I64, I64])
        impossible, too_large = (made.append_basic_block(way) for way in ("impossible", "too_large"))
        build.ret(Sizes(build, dict(zip("NT", made.args, strict=True)), impossible, too_large).value(size))
        for block, answer in ((impossible, IMPOSSIBLE), (too_large, TOO_LARGE)):
            build.position_at_end(block)
            build.ret(number(answer))
    addresses = load(compile_ir(str(module)), [f"size_of_{name}" for name in CASES])
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    return {name: call(addresses[f"size_of_{name}"]) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_resolve(functions, name):
    for n, t in product((0, 1, 2, 5, 96, 97, 1000), (1, 2, 6, 7, 8, 300)):
        assert functions[name](n, t) == resolve(CASES[name], {"N": n, "T": t}), (n, t)


def test_what_has_no_value_takes_the_other_ways(functions):
    assert functions["of_an_axis"](4, 0) == IMPOSSIBLE
    assert functions["product"](1 << 40, 1) == TOO_LARGE
    assert functions["sum"](2**63 - 1, 9) == TOO_LARGE
