"""Integer rows at the ends of their dtypes, on every target, are what numpy computes."""

from __future__ import annotations

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.codegen.targets import TARGETS

OF_TWO = ("add", "subtract", "multiply", "floor_divide", "mod", "power", "left_shift", "right_shift")
OF_ONE = ("bitwise_not", "absolute", "negative", "sign")
WANTED = [-2, -1, 0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 65, 100]


def numbers(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of numbers of this dtype that something may go wrong with."""
    ends = np.iinfo(dtype)
    line = {ends.min, ends.min + 1, ends.max - 1, ends.max, *(one for one in WANTED if ends.min <= one <= ends.max)}
    x, y = np.meshgrid(*[np.array(sorted(line), dtype)] * 2)
    return x.ravel(), y.ravel()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_integers_at_their_ends(dtype: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    given = [kg.Input(batch_shape=(None,), dtype=dtype)] * 2
    rows = [lambda x, y, name=name: getattr(ops, name)(x, y) for name in OF_TWO]
    rows += [lambda x, y, name=name: getattr(ops, name)(x) for name in OF_ONE]
    compiled = kg.compile(lambda x, y: [row(x, y) for row in rows], inputs=given, target=target)
    x, y = numbers(dtype)
    with np.errstate(all="ignore"):
        wanted = [row(x, y) for row in rows]
    for name, have, want in zip([*OF_TWO, *OF_ONE], compiled(x, y), wanted, strict=True):
        assert have.dtype == want.dtype
        wrong = [(x[k], y[k], have[k], want[k]) for k in np.flatnonzero(have != want)]
        assert not wrong, f"{name} of {dtype}: x, y, result and numpy's: {wrong[:5]}"


@pytest.mark.parametrize("target", TARGETS)
def test_booleans_are_inverted(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    given = [kg.Input(batch_shape=(None,), dtype="bool")]
    compiled = kg.compile(lambda x: ops.cast(ops.bitwise_not(x), "float32"), inputs=given, target=target)
    np.testing.assert_array_equal(compiled(np.array([True, False])), [0, 1])


def test_functions_of_integers_compile_for_cuda() -> None:
    pytest.importorskip("numba_cuda")
    pytest.importorskip("cuda.core")
    from kgraph.codegen.cuda.cubin import compile_kernel
    from kgraph.codegen.scalars.table import scalars
    from kgraph.op import OPS

    rows = [OPS[name].scalar_of("uint8") for name in OF_TWO]
    for dtype in ("int8", "int64", "uint64"):
        values = [row.format("a[i]", "b[i]", A=dtype, T=dtype) for row in rows]
        lines = [f"        out[{k}] = {dtype}({value})" for k, value in enumerate(values)]
        source = "\n".join(["def kernel(a, b, out, n):", "    i = cuda.grid(1)", "    if i < n:", *lines])
        helpers = scalars("float32", "cuda")
        assert compile_kernel(source, "kernel", [f"{dtype}*"] * 3 + ["int64"], helpers=helpers).cubin
