"""The kernels printed for CUDA, run thread by thread against float64, and compiled where numba-cuda is installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from kgraph import ops
from kgraph.codegen.cuda import machine as cuda_machine
from kgraph.codegen.cuda import printer
from kgraph.codegen.cuda.machine import Emulator, compiled
from kgraph.codegen.cuda.program import CudaProgram
from kgraph.codegen.cuda.team import GPU, Geometry
from kgraph.codegen.targets import program_for
from kgraph.errors import ArgumentError, KGraphError, RangeError
from kgraph.gradients.autodiff import gradients
from kgraph.graph.evaluate import bind_sizes, evaluate
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import Dim, N, axis, resolve
from kgraph.graph.types import TensorType, numpy_dtype
from kgraph.ops.contract import einsum
from kgraph.ops.move import pad
from kgraph.ops.reduce import cumsum_row
from kgraph.passes.fuse import fuse
from kgraph.tracing.trace import trace
from kgraph.tracing.variable import Variable

M = axis("M")
OTHER_SIZE = 5  # of M
NUMBERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float64", "bool")


def floats(*shape: Dim) -> TensorType:
    return TensorType(shape, "float32")


def integers(*shape: Dim) -> TensorType:
    return TensorType(shape, "int32")


def softmax(x: Any) -> Any:
    powers = ops.exp(x - ops.max(x, axis=-1, keepdims=True))
    return powers / ops.sum(powers, axis=-1, keepdims=True)


def layer_norm(x: Any, scale: Any, shift: Any) -> Any:
    width = float(x.type.shape[-1])
    centred = x - ops.sum(x, axis=-1, keepdims=True) / width
    variance = ops.sum(centred * centred, axis=-1, keepdims=True) / width
    return centred * ops.rsqrt(variance + 1e-3) * scale + shift


def of_gradients(call: Callable[..., Any], *kinds: TensorType) -> Graph:
    """The gradients of the sum of call(*xs[:-1]) * xs[-1], by all x."""
    graph = trace(lambda *xs: ops.sum(call(*xs[:-1]) * xs[-1]), *kinds)
    found = gradients(graph, graph.outputs[0], graph.inputs)
    found.outputs = found.outputs[1:]
    return found.prune()


def graphs() -> dict[str, Graph]:
    """The graphs that are checked; N is 1, 3, 17 and 0."""
    wide = (floats(N, 19), floats(19, 11), floats(11))
    return {
        "elementwise, broadcast": trace(lambda a, b, c: (a + b) * c - 2.0, floats(N, 1, 7), floats(3, 1), floats(7)),
        "elementwise, a scalar": trace(lambda a: a * 2.0, floats()),
        "where, compare, bool": trace(lambda a, b: ops.where(a > b, a, b * 2.0), floats(N, 7), floats(7)),
        "softmax, short": trace(softmax, floats(N, 17)),
        "softmax, a warp": trace(softmax, floats(N, 70)),
        "softmax, unknown": trace(softmax, floats(N, M)),
        "softmax, long": trace(softmax, floats(2, 1100)),
        "layer norm": trace(layer_norm, floats(N, 33), floats(33), floats(33)),
        "layer norm, gradient": of_gradients(layer_norm, floats(N, 33), floats(33), floats(33), floats(N, 33)),
        "softmax, gradient": of_gradients(softmax, floats(N, M), floats(N, M)),
        "column sums": trace(lambda a: ops.sum(a, axis=0), floats(N, 70)),
        "column sums, few rows": trace(lambda a: ops.sum(a, axis=1), floats(N, 3, 5)),
        "column sums, outer": trace(lambda a: ops.sum(a, axis=(0, 2)), floats(N, 3, 5, M)),
        "column extremes": trace(lambda a: ops.max(a, axis=1), floats(N, 40, 5)),
        "full sum": trace(ops.sum, floats(N, 7)),
        "product of rows": trace(lambda a: ops.prod(a, axis=1), floats(N, 5)),
        "any, all": trace(lambda a: [ops.any(a > 0.0, axis=1), ops.all(a > 0.0, axis=1)], floats(N, M)),
        "argmax": trace(lambda a: [ops.argmax(a, axis=2), ops.argmin(a, axis=1)], integers(N, 3, 70)),
        "argmax, unknown": trace(lambda a: ops.argmax(a, axis=1), floats(N, M)),
        "product NN, bias, relu": trace(lambda a, b, c: ops.maximum(einsum(a, b, spec="ab,bc->ac") + c, 0.0), *wide),
        "product NT": trace(lambda a, b: einsum(a, b, spec="ab,cb->ac"), floats(N, 19), floats(11, 19)),
        "product TN": trace(lambda a, b: einsum(a, b, spec="ba,bc->ac"), floats(N, 19), floats(N, 11)),
        "product TT": trace(lambda a, b: einsum(a, b, spec="ba,cb->ac"), floats(5, N), floats(3, 5)),
        "products of heads": trace(
            lambda a, b: einsum(a, b, spec="nqhd,nkhd->nhqk") * 0.5, floats(N, M, 2, 5), floats(N, 4, 2, 5)
        ),
        "product, two sums": trace(lambda a, b: einsum(a, b, spec="abc,cbd->ad"), floats(N, 3, 2), floats(2, 3, 5)),
        "outer product": trace(lambda a, b: einsum(a, b, spec="a,b->ab"), floats(N), floats(9)),
        "inner product": trace(lambda a, b: einsum(a, b, spec="a,a->"), floats(N), floats(N)),
        "dense, softmax": trace(lambda a, b, c: softmax(einsum(a, b, spec="ab,bc->ac") + c), *wide),
        "dense, wide softmax": trace(lambda a, b: softmax(a @ b), floats(N, 7), floats(7, 130)),
        "integer product": trace(lambda a, b: einsum(a, b, spec="ab,bc->ac"), integers(N, 40), integers(40, 5)),
        "take": trace(lambda table, at: ops.take(table, at, axis=0) * 2.0, floats(4, 7), integers(N, 3)),
        "scatter": trace(lambda a, at, b: ops.scatter_add(a, at, b, axis=0), floats(4, 7), integers(N), floats(N, 7)),
        "scatter, axis 1": trace(
            lambda a, at, b: ops.scatter_add(a, at, b, axis=1), floats(N, 4, 2), integers(6), floats(N, 6, 2)
        ),
        "scatter, long axis": trace(
            lambda a, at, b: ops.scatter_add(a, at * 40 - 70, b, axis=0), floats(150, 3), integers(N), floats(N, 3)
        ),
        "running sum": trace(lambda a: [cumsum_row(a, axis=0), cumsum_row(a, axis=1)], floats(N, 7)),
        "concatenate": trace(lambda a, b: ops.concatenate([a, b * 2.0], axis=1), floats(N, 7), floats(N, 2)),
        "pad": trace(lambda a: pad(a, np.float32(1.5), low=(1, 0), high=(0, 2), interior=(0, 1)) * 2.0, floats(N, 3)),
        "slice": trace(lambda a: a[:, 5:1:-2] + 1.0, floats(N, 7)),
        "transpose": trace(lambda a: ops.transpose(a, axes=(2, 0, 1)) + 1.0, floats(N, 3, 4)),
        "float64": trace(softmax, TensorType((N, 40), "float64")),
    }


GRAPHS = graphs()


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")


def numbers(kind: TensorType, sizes: dict[str, int]) -> np.ndarray:
    shape, dtype = resolve(kind.shape, sizes), numpy_dtype(kind.dtype)
    random = np.random.default_rng(7)
    return (random.standard_normal(shape) if dtype.kind == "f" else random.integers(0, 4, shape)).astype(dtype)


def run(graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs, from poisoned memory."""
    fused = fuse(graph)
    sizes = bind_sizes(fused, [array.shape for array in inputs])
    kinds = [fused[name].tensor for name in fused.outputs]
    outputs = [np.empty(resolve(kind.shape, sizes), numpy_dtype(kind.dtype)) for kind in kinds]
    CudaProgram(fused).run(inputs, outputs, sizes)
    return outputs


def agrees(graph: Graph, size: int) -> None:
    """Whether the kernels compute what the ops' numpy rows do in float64."""
    inputs = [numbers(graph[name].tensor, {"N": size, "M": OTHER_SIZE}) for name in graph.inputs]
    wanted, _ = evaluate(graph, inputs, "float64")
    for have, want in zip(run(graph, inputs), wanted, strict=True):
        np.testing.assert_allclose(have, want, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("size", [1, 3, 17, 0])
@pytest.mark.parametrize("name", GRAPHS)
def test_the_emulated_kernels_agree_with_float64(name: str, size: int) -> None:
    agrees(GRAPHS[name], size)


@pytest.mark.parametrize("name", ["softmax, unknown", "column sums", "product NN, bias, relu", "dense, softmax"])
def test_they_agree_with_as_many_threads_as_on_a_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Emulator, "geometry", GPU)
    agrees(GRAPHS[name], 3)


def test_large_products_have_larger_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Emulator, "geometry", Geometry(side=2, each=1, depth=3))
    graph = trace(lambda a, b: einsum(a, b, spec="ab,bc->ac"), floats(50, 5), floats(5, 46))
    (step,) = CudaProgram(fuse(graph)).plan.steps
    assert "total1_1" in printer.source(step.kernel, Emulator.geometry)
    agrees(graph, 0)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_every_dtype_passes_between_threads(dtype: str) -> None:
    def reductions(x: Any) -> list[Any]:
        return [ops.sum(x, axis=1), ops.sum(x, axis=0), ops.argmax(x, axis=1)]

    agrees(trace(reductions, TensorType((N, M), dtype)), 9)


def test_nan_is_the_largest_and_the_first_of_equals_is_found() -> None:
    rows = np.zeros((3, 70), np.float32)
    rows[0, [40, 69]], rows[1, [8, 50]], rows[2, 65] = np.nan, 2.0, 1.0
    assert run(trace(lambda x: ops.argmax(x, axis=1), floats(N, 70)), [rows])[0].tolist() == [40, 8, 65]
    assert run(trace(lambda x: ops.argmax(x, axis=1), floats(N, M)), [rows])[0].tolist() == [40, 8, 65]
    assert np.isnan(run(trace(lambda x: ops.max(x, axis=1), floats(N, 70)), [rows])[0]).tolist() == [True, False, False]


@pytest.mark.parametrize("index", [4, -5])
def test_an_index_outside_is_refused_before_it_is_read_with(index: int) -> None:
    graph = trace(lambda table, at: ops.take(table, at, axis=0), floats(4, 2), integers(N), names=("table", "at"))
    table = np.zeros((4, 2), np.float32)
    with pytest.raises(RangeError, match=rf"index {index} of input 'at' is outside of \[-4, 4\)"):
        run(graph, [table, np.array([0, -4, index], np.int32)])
    assert run(graph, [table, np.array([0, -4, 3], np.int32)])[0].shape == (3, 2)


def test_weights_are_read_at_every_call_and_state_is_returned() -> None:
    weight, total = Variable(np.ones((3, 2), np.float32)), Variable(np.zeros(2, np.float32))

    def call(x: Any) -> Any:
        total.assign(total + ops.sum(x @ (weight * 2.0), axis=0))
        return x @ (weight * 2.0)

    program = CudaProgram(fuse(trace(call, floats(N, 3))))
    x, y = np.ones((4, 3), np.float32), np.empty((4, 2), np.float32)
    for factor in (1.0, 3.0):
        weight.assign(np.full((3, 2), factor, np.float32))
        updates = program.run([x], [y], {"N": 4})
        np.testing.assert_allclose(y, 6.0 * factor)
        np.testing.assert_allclose(updates[total], 24.0 * factor)
    assert program.plan.prepare  # weight * 2 is computed when the weight changes only


def test_the_source_is_shown_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "")
    monkeypatch.setattr(cuda_machine.driver, "available", lambda: False)
    graph = fuse(GRAPHS["product NN, bias, relu"])
    program = program_for("cuda")(graph, lower_only=True)
    assert "cuda.syncthreads()" in program.source()
    with pytest.raises(ArgumentError, match="lower_only"):
        program.run([], [], {})
    for text in (program.llvm, program.asm):
        with pytest.raises(ArgumentError, match="ptx"):
            text()
    with pytest.raises(KGraphError, match=r"KGRAPH_CUDA=emulate"):
        CudaProgram(graph)


@pytest.mark.skipif(find_spec("numba_cuda") is None, reason="needs numba-cuda")
@pytest.mark.parametrize("name", GRAPHS)
def test_they_compile_without_spills_and_stay_in_float32(name: str) -> None:
    program = CudaProgram(fuse(GRAPHS[name]), lower_only=True)
    for step in (*program.plan.prepare, *program.plan.steps):
        found = compiled(step.kernel, (9, 0))
        assert found.spills == 0, printer.source(step.kernel)
        assert found.has_float64 == (name == "float64"), printer.source(step.kernel)


@pytest.mark.skipif(find_spec("numba_cuda") is None, reason="needs numba-cuda")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", ["ab,bc->ac", "ab,cb->ac", "ba,bc->ac"])
def test_large_products_fit_into_shared_memory_and_registers(spec: str, dtype: str) -> None:
    kind = TensorType((4096, 4096), dtype)
    program = CudaProgram(fuse(trace(lambda a, b: einsum(a, b, spec=spec), kind, kind)), lower_only=True)
    found = compiled(program.plan.steps[0].kernel)
    assert found.spills == 0
    assert "ld.shared.v4.f32" in found.ptx or dtype == "float64"


@pytest.mark.skipif(find_spec("numba_cuda") is None, reason="needs numba-cuda")
def test_they_compile_for_older_gpus() -> None:
    program = CudaProgram(fuse(GRAPHS["layer norm"]), lower_only=True)
    assert [compiled(step.kernel, (8, 0)).spills for step in program.plan.steps] == [0]
    assert ".visible .entry kernel" in program.ptx()
