"""float16 and bfloat16 on CUDA: values of them between ops, whatever is fused, and 16 bits in memory."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.codegen.cpu.program import Program
from kgraph.codegen.cuda.cubin import compile_kernel
from kgraph.codegen.cuda.language import LANGUAGE
from kgraph.codegen.cuda.program import CudaProgram
from kgraph.errors import DTypeError
from kgraph.graph.sizes import N
from kgraph.graph.types import HALF, TensorType, numpy_dtype
from kgraph.passes.fuse import fuse
from kgraph.tracing.trace import trace

NEEDS_COMPILER = pytest.mark.skipif(find_spec("numba_cuda") is None, reason="needs the extra cuda")
CLOSE = {"float16": 1e-2, "bfloat16": 8e-2}
X = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")


@pytest.fixture(autouse=True)
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")


def on_cuda(call: Any, dtype: str = "float32", **options: Any) -> Any:
    return kg.compile(call, inputs=[kg.Input((6,), dtype=dtype)], target="cuda", **options)


# numbers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", HALF)
def test_every_half_and_what_lies_between(dtype: str) -> None:
    read, write, rounded = (LANGUAGE[name] for name in (f"from_{dtype}", f"to_{dtype}", dtype))
    kind = numpy_dtype(dtype)
    with np.errstate(all="ignore"):
        bits = np.arange(1 << 16, dtype=np.uint16)
        numbers = bits.view(kind).astype(np.float32)
        np.testing.assert_array_equal([read(int(one)) for one in bits], numbers)
        finite = np.sort(numbers[np.isfinite(numbers)])
        between = [*finite[:-1] / 2 + finite[1:] / 2, 1e30, -1e30, 1e-30, np.inf, -np.inf, np.nan, -0.0]
        between = np.array(between, np.float32)
        wanted = between.astype(kind)
        np.testing.assert_array_equal([rounded(one) for one in between], wanted.astype(np.float32))
        is_number = between == between
        found = np.array([write(one) for one in between], np.uint16)
    np.testing.assert_array_equal(found[is_number], wanted.view(np.uint16)[is_number])


@pytest.mark.parametrize("dtype", HALF)
def test_each_op_answers_in_its_dtype_also_where_it_is_fused(dtype: str) -> None:
    def call(x: Any) -> Any:
        x = ops.cast(x, dtype)
        return (x + 300) - 300, ops.exp(x) * x, ops.mean(x * 1000)

    x = X.astype(numpy_dtype(dtype))
    with np.errstate(all="ignore"):
        wanted = [(x + x.dtype.type(300)) - x.dtype.type(300), np.exp(x) * x]
    f = on_cuda(call)
    assert len(f.ir.nodes) < 10 and all(node.op == "fused" for node in f.ir if node.body is not None)
    *found, mean = f(X)
    for have, want in zip(found, wanted, strict=True):
        assert have.dtype == x.dtype
        np.testing.assert_array_equal(have.view(np.uint16), want.view(np.uint16))
    exact = (x.astype(np.float64) * 1000).mean()
    assert abs(float(mean) - exact) < abs(exact) * CLOSE[dtype]


def test_sums_have_room() -> None:
    f = on_cuda(lambda x: [ops.mean(x), ops.var(x), ops.sum(x, axis=1), ops.cumsum(x, axis=1)], "float16")
    x = np.full((40, 6), 300.0, "float16")
    mean, variance, total, running = f(x)
    assert (float(mean), float(variance)) == (300.0, 0.0)
    assert (total == 1800).all() and (running[:, -1] == 1800).all()


WIDE = {  # a value that 16 bits have no room for on the way, and what comes out
    "elementwise sum": (lambda a, b: ops.einsum("ab,ab->a", a, b), [[[300, 300]], [[300, -300]]], [0]),
    "whole sum": (lambda a, b: ops.einsum("ab,ba->", a, b), [[[300, 300]], [[300], [-300]]], 0),
    "lone axis": (lambda a, b: ops.einsum("ab,cd->ad", a, b), [[[2**-7] * 2], [[40000.0]] * 2], [[1250]]),
    "three": (lambda a, b, c: ops.einsum("ab,bc,cd->ad", a, b, c), [[[512]], [[512]], [[2**-9]]], [[512]]),
    "depthwise": (lambda x, w: ops.depthwise_conv(x, w), [[[[[300], [300]]]], [[[[300]], [[-300]]]]], [[[[0]]]]),
    "factors": (lambda x: x * 256.0 * 256.0, [[0.5]], [32768]),
    "small factors": (lambda x: x * 2.0**-13 * 2.0**-13, [[32768]], [2**-11]),
    "small divisor": (lambda x: x / 2.0**-20, [[2**-24]], [2**-4]),
}


@pytest.mark.parametrize("target", ["cuda", "cpu"])
@pytest.mark.parametrize("name", WIDE)
def test_what_is_made_on_the_way_has_room(name: str, target: str) -> None:
    call, given, wanted = WIDE[name]
    arrays = [np.array(one, "float16") for one in given]
    inputs = [kg.Input(batch_shape=one.shape, dtype="float16") for one in arrays]
    np.testing.assert_array_equal(kg.compile(call, inputs=inputs, target=target)(*arrays), wanted)


@NEEDS_COMPILER
def test_sums_that_passes_make_compile() -> None:
    inputs = [kg.Input(batch_shape=(64, 64), dtype="float16") for _ in range(2)]
    f = kg.compile(lambda a, b: ops.einsum("ab,ba->", a, b), inputs=inputs, target="cuda", lower_only=True)
    assert "shared.array" in f.source and ".entry kernel" in f.ptx()


def test_bfloat16_is_known_for_a_float() -> None:
    numbers = np.array([[1.5, 2.5]], numpy_dtype("bfloat16"))
    with pytest.raises(DTypeError, match="fractions"):
        kg.compile(lambda x: x + 1, inputs=[kg.Input((2,), dtype="int32")])(numbers)
    for call in (ops.segment_max, ops.segment_min):
        found = call(numbers[0], np.zeros(2, np.int32), 2)
        assert found.dtype == numbers.dtype and np.isinf(found[1].astype("float32"))
    model = kg.Sequential([kg.Input((2,)), kg.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(numbers, numbers[:, :1], verbose=0)


def test_the_cpu_refuses_them_in_kernels_by_name() -> None:
    graph = fuse(trace(lambda x: ops.cast(ops.cast(x, "float16"), "float32"), TensorType((N,))))
    CudaProgram(graph, lower_only=True)
    with pytest.raises(DTypeError, match=r"cast is f16\[N\]"):
        Program(graph)


# machine code --------------------------------------------------------------------------------------------------------


@NEEDS_COMPILER
def test_float16_is_computed_by_instructions_of_its_own() -> None:
    ptx = on_cuda(lambda x: (x + 1) * x - 3, "float16", lower_only=True).ptx()
    assert "add.f16" in ptx and "mul.f16" in ptx and "f32" not in ptx


@NEEDS_COMPILER
@pytest.mark.parametrize(("capability", "has_instruction"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bfloat16_is_rounded_by_what_the_gpu_has(capability: tuple[int, int], has_instruction: bool) -> None:
    f = on_cuda(lambda x: (x + 1) * x, "bfloat16", lower_only=True)
    text = "\n".join(line for line in f.source.splitlines() if not line.startswith("#"))
    name = text.partition("def ")[2].partition("(")[0]
    made = compile_kernel(text, name, ["bfloat16*", "bfloat16*", "int64"], capability)
    assert made.ptx.count("cvt.rn.bf16.f32") == (2 if has_instruction else 0) and not made.has_float64


# state and gradients -------------------------------------------------------------------------------------------------


def test_state_in_halves() -> None:
    total = kg.Variable(np.zeros(6), dtype="float16", name="total")

    class Count(kg.layers.Layer):
        def call(self, x: Any) -> Any:
            total.assign_add(ops.sum(x, axis=0))
            return x + total

    f = kg.compile(kg.Sequential([kg.Input((6,), dtype="float16"), Count(dtype="float16")]), target="cuda")
    x = X.astype("float16")
    first, second = f(x), f(x)
    sums = x.astype("float32").sum(0).astype("float16")
    np.testing.assert_array_equal(first, x + sums)
    np.testing.assert_array_equal(second, x + (sums + sums))
    np.testing.assert_array_equal(total.numpy(), sums + sums)


def test_out_and_pullbacks_are_halves() -> None:
    layer = kg.layers.Dense(3, dtype="float16")
    f = kg.compile(kg.Sequential([kg.Input((6,), dtype="float16"), layer]), target="cuda")
    x = X.astype("float16")
    out = np.empty((5, 3), "float16")
    assert f(x, out=out) is out
    kernel = layer.kernel.numpy().astype("float32")
    np.testing.assert_allclose(out.astype("float32"), x.astype("float32") @ kernel, rtol=1e-2, atol=1e-2)
    y, pullback = f.vjp(x)
    dx, (dkernel, dbias) = pullback(np.ones_like(y))
    assert {one.dtype.name for one in (y, dx, dkernel, dbias)} == {"float16"}
    np.testing.assert_allclose(dx.astype("float32")[0], kernel.sum(1), atol=1e-2)
    assert (dbias == 5).all()
