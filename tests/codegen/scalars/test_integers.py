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


WRAPPED = {
    "x + 1 < x": lambda x: ops.less(x + 1, x),
    "x - 1 > x": lambda x: ops.greater(x - 1, x),
    "the larger of x + 1 and x": lambda x: ops.maximum(x + 1, x),
    "the sign of x + 1": lambda x: ops.sign(x + 1),
    "-x == x": lambda x: ops.equal(-x, x),
    "|x| < 0": lambda x: ops.less(ops.absolute(x), 0),
    "x * x < 0": lambda x: ops.less(ops.square(x), 0),
    "x ** 2 < 0": lambda x: ops.less(ops.power(x, 2), 0),
    "2 * x // 2": lambda x: (x * 2) // 2,
    "3 * x % 3": lambda x: (x * 3) % 3,
    "x // -1 < 0": lambda x: ops.less(x // -1, 0),
    "a sum of positive numbers": lambda x: ops.less(ops.sum(ops.maximum(x, 0)), 0),
    "running sums": lambda x: ops.less(ops.cumsum(ops.maximum(x, 0)), 0),
    "a product": lambda x: ops.less(ops.einsum("i,i->", x, x), 0),
}


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_concluded_from_what_does_not_fit_into_int64(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    given = [kg.Input(batch_shape=(None,), dtype="int64")]
    compiled = kg.compile(lambda x: [row(x) for row in WRAPPED.values()], inputs=given, target=target)
    ends = np.iinfo("int64")
    x = np.array([ends.max, ends.min, 0, 5, -3, ends.max // 2 + 1, 3037000500], "int64")
    with np.errstate(all="ignore"):
        wanted = [row(x) for row in WRAPPED.values()]
    for name, have, want in zip(WRAPPED, compiled(x), wanted, strict=True):
        np.testing.assert_array_equal(have, want, err_msg=name)


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
    from kgraph.graph.op import OPS

    rows = [OPS[name].scalar_of("uint8") for name in OF_TWO]
    for dtype in ("int8", "int64", "uint64"):
        values = [row.format("a[i]", "b[i]", A=dtype, T=dtype) for row in rows]
        lines = [f"        out[{k}] = {dtype}({value})" for k, value in enumerate(values)]
        source = "\n".join(["def kernel(a, b, out, n):", "    i = cuda.grid(1)", "    if i < n:", *lines])
        helpers = scalars("float32", "cuda")
        assert compile_kernel(source, "kernel", [f"{dtype}*"] * 3 + ["int64"], helpers=helpers).cubin
