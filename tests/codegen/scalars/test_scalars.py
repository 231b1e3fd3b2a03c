"""The scalar functions of CUDA, run thread by thread on the CPU and compiled for a GPU, and the CPU's of float64."""

from __future__ import annotations

import re

import numpy as np
import pytest
from loops import loop

import kgraph.ops  # noqa: F401  (fills the tables)
from kgraph.codegen.cuda.emulate import emulate
from kgraph.codegen.scalars.table import scalars
from kgraph.graph.op import OPS

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, 1.5, 0.3, -7.25, 30.0]
ELSEWHERE = ("logical", "bitwise", "left_", "right_", "cast", "size", "where")  # not of floats alone
FLOATING = sorted(name for name, op in OPS.items() if op.kind == "map" and not name.startswith(ELSEWHERE))


def expressions(dtype: str) -> list[tuple[str, str, int]]:
    """Every row's expression of x and y, with the dtype of its result."""
    found = []
    for name in FLOATING:
        template = OPS[name].scalar
        assert template is not None
        text = template.format("x", "y", T=dtype, A=dtype)
        found.append((name, text, 1 + max(int(place) for place in re.findall(r"\{(\d)", template))))
    return found


def source(dtype: str) -> str:
    """One kernel that writes the result of every row for a pair of numbers."""
    lines = [
        "def kernel(a, b, out, n):",
        "    i = cuda.grid(1)",
        "    if i < n:",
        "        x = a[i]",
        "        y = b[i]",
    ]
    lines += [f"        out[{k} * n + i] = {dtype}({text})" for k, (_, text, _) in enumerate(expressions(dtype))]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_cuda_are_the_numpy_rows(dtype: str) -> None:
    x, y = (one.reshape(-1).astype(dtype) for one in np.meshgrid(SPECIAL, SPECIAL))
    out = np.zeros(len(FLOATING) * x.size, dtype)
    text = source(dtype).replace("cuda.grid(1)", "cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x")
    emulate(text, "kernel", (4,), (64,), [x, y, out, x.size], scalars(dtype, "cuda"))
    for (name, _, count), have in zip(expressions(dtype), out.reshape(-1, x.size), strict=True):
        with np.errstate(all="ignore"):
            want = np.asarray(OPS[name].numpy(*[x, y][:count])).astype(dtype)
        np.testing.assert_allclose(
            have,
            want,
            rtol=3e-6 if dtype == "float32" else 1e-12,
            atol=1e-6 if dtype == "float32" else 1e-15,
            err_msg=name,
        )


def test_functions_of_float64_are_the_numpy_rows_on_the_cpu() -> None:
    x, y = (one.reshape(-1) for one in np.meshgrid(SPECIAL, SPECIAL))
    for name, text, count in expressions("float64"):
        have = loop(f"float64({text})", "float64", "float64", "float64")(x, y)
        with np.errstate(all="ignore"):
            want = np.asarray(OPS[name].numpy(*[x, y][:count])).astype(np.float64)
        np.testing.assert_allclose(have, want, rtol=1e-12, atol=1e-15, err_msg=name)


def test_functions_of_cuda_compile_and_stay_in_float32() -> None:
    pytest.importorskip("numba_cuda")
    pytest.importorskip("cuda.core")
    from kgraph.codegen.cuda.cubin import compile_kernel

    # The reduction of large angles is libdevice's, and multiplies once in float64.
    lines = [line for line in source("float32").splitlines() if not re.search(r"\b(sin|cos|tan)\(", line)]
    made = compile_kernel("\n".join(lines), "kernel", ["float32*"] * 3 + ["int64"], helpers=scalars("float32", "cuda"))
    assert made.cubin.startswith(b"\x7fELF")
    assert not made.has_float64
