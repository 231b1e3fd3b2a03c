"""A loop around one scalar expression, compiled as kernels of the CPU are."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import count

import numpy as np

from kgraph.codegen.cpu import jit
from kgraph.codegen.native import objects, optimise
from kgraph.codegen.native.host import host

NAMES = map("loop_{}".format, count())
HERE, GENERIC = "", "generic"  # CPUs to compile for; others are called as LLVM calls them


@lru_cache(maxsize=256)
def texts(name: str, expression: str, dtypes: tuple[str, ...]) -> tuple[str, ...]:
    """LLVM's text of `out[i] = expression`, where x, y, ... are elements of these dtypes; the last is the result's."""
    from numba.core import types

    from kgraph.codegen.cpu import frontend

    operands = "xyz"[: len(dtypes) - 1]
    loaded = "; ".join(f"{one} = {one}s[i]" for one in operands)
    arguments = ", ".join([*(f"{one}s" for one in operands), "out", "begin", "end"])
    step = f"{loaded}; out[i] = {expression}"
    source = f"def kernel({arguments}):\n    for i in range(begin, end):\n        {step}\n    return 0\n"
    names = jit._namespace("float64" if "float64" in dtypes else "float32")
    exec(source, names)
    kinds = [types.CPointer(getattr(types, dtype)) for dtype in dtypes]
    made = frontend.lowered(
        names["kernel"], (*kinds, types.int64, types.int64), types.int64, fastmath=set(jit.FASTMATH)
    )
    jit.add_entry(made.function, name, len(kinds))
    return (str(made.function.module), *(one.text for one in dict.fromkeys(made.library.needed())))


def optimised(name: str, expression: str, dtypes: tuple[str, ...], cpu: str) -> tuple:
    """The module for a CPU, and its target machine."""
    here = (host().name, host().features)
    machine = optimise.target_machine(*{HERE: here, GENERIC: ("", "")}.get(cpu, (cpu, "")))
    return optimise.optimised(texts(name, expression, dtypes), machine, optimise.FULL, False), machine


@lru_cache(maxsize=256)
def loop(expression: str, *dtypes: str, cpu: str = HERE) -> Callable[..., np.ndarray]:
    """The function that computes the expression for arrays of x, y, ...: the last dtype is that of its result."""
    name = next(NAMES)
    module, machine = optimised(name, expression, dtypes, cpu)
    address = objects.load(machine.emit_object(module), [name])[name]
    entry = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)

    def call(*arrays: np.ndarray) -> np.ndarray:
        out = np.empty(arrays[0].shape, dtypes[-1])
        given = [np.ascontiguousarray(array) for array in arrays]
        pointers = (ctypes.c_int64 * len(dtypes))(*(array.ctypes.data for array in (*given, out)))
        assert entry(pointers, 0, out.size) == 0
        return out

    return call


def assembly(expression: str, *dtypes: str, cpu: str = HERE) -> str:
    """Its assembly, without the lines that are no instructions."""
    module, machine = optimised("kernel", expression, dtypes, cpu)
    return "\n".join(re.findall(r"^\t[a-z].*$", machine.emit_assembly(module), re.MULTILINE))
