"""Products of halves on tensor cores: what the emulation does of the instruction, the printed kernels, machine code."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from kgraph import ops
from kgraph.codegen.cuda import printer
from kgraph.codegen.cuda.fragments import multiplied
from kgraph.codegen.cuda.machine import Emulator, compiled
from kgraph.codegen.cuda.program import CudaProgram
from kgraph.codegen.cuda.team import GPU, TINY, Geometry
from kgraph.graph.evaluate import bind_sizes, evaluate
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import Dim, N, axis, resolve
from kgraph.graph.types import HALF, TensorType, numpy_dtype
from kgraph.ops.contract import einsum
from kgraph.passes.fuse import fuse
from kgraph.tracing.trace import trace

NEEDS_COMPILER = pytest.mark.skipif(find_spec("numba_cuda") is None, reason="needs the extra cuda")
M, K = axis("M"), axis("K")
SIZES = {"N": 17, "M": 5, "K": 21}
SPECS = {
    "ab,bc->ac": ((N, 33), (33, 19)),
    "ab,cb->ac": ((N, K), (M, K)),
    "ba,bc->ac": ((K, N), (K, M)),
    "abc,dbc->ad": ((N, 3, 7), (20, 3, 7)),
    "abc,acd->abd": ((2, N, K), (2, K, M)),
    "abhd,achd->ahbc": ((2, N, 3, 4), (2, M, 3, 4)),
}
CLOSE = {"float16": 2e-3, "bfloat16": 2e-2}


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")


def product_of(spec: str, dtype: str, call: Any = lambda product: product) -> Graph:
    kinds = [TensorType(shape, dtype) for shape in SPECS[spec]]
    return trace(lambda a, b: call(einsum(a, b, spec=spec)), *kinds)


def agrees(graph: Graph, dtype: str, sizes: dict[str, int]) -> None:
    """Whether a fused graph computes on the emulation what its ops do in float64."""
    random, fused = np.random.default_rng(3), fuse(graph)
    shapes = [resolve(graph[name].tensor.shape, sizes) for name in graph.inputs]
    inputs = [random.normal(size=shape).astype(numpy_dtype(dtype)) for shape in shapes]
    wanted, _ = evaluate(graph, inputs, "float64")
    sizes = bind_sizes(graph, shapes)
    kinds = [graph[name].tensor for name in graph.outputs]
    outputs = [np.empty(resolve(kind.shape, sizes), numpy_dtype(kind.dtype)) for kind in kinds]
    program = CudaProgram(fused)
    assert f"cuda.mma_{dtype}" in program.source()
    program.run(inputs, outputs, sizes)
    for have, want in zip(outputs, wanted, strict=True):
        error = np.abs(have.astype(np.float64) - want)
        assert error.max(initial=0) <= CLOSE[dtype] * max(1.0, np.abs(want).max(initial=0))


# the instruction -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", HALF)
def test_a_warp_multiplies_the_tiles_that_its_lanes_hold(dtype: str) -> None:
    """Lanes are given their elements one by one, by the formulas of the instruction set for each of them."""
    random, kind = np.random.default_rng(0), numpy_dtype(dtype)
    left, right = random.normal(size=(16, 16)).astype(kind), random.normal(size=(16, 8)).astype(kind)
    sums = random.normal(size=(16, 8)).astype(np.float32)

    def pair(low: Any, high: Any) -> int:
        return int(low.view(np.uint16)) | int(high.view(np.uint16)) << 16

    lanes, places = [], []
    for lane in range(32):
        group, thread = lane >> 2, lane % 4
        a = [
            left[group if i < 2 or 4 <= i < 6 else group + 8, thread * 2 + (i & 1) + (8 if i >= 4 else 0)]
            for i in range(8)
        ]
        b = [right[thread * 2 + (i & 1) + (8 if i >= 2 else 0), group] for i in range(4)]
        places.append([(group if i < 2 else group + 8, thread * 2 + (i & 1)) for i in range(4)])
        pairs = [pair(*some) for some in (a[:2], a[2:4], a[4:6], a[6:], b[:2], b[2:])]
        lanes.append((*pairs, *(sums[place] for place in places[-1])))
    found = np.empty((16, 8), np.float32)
    for own, answer in zip(places, multiplied(f"mma_{dtype}", lanes), strict=True):
        for place, number in zip(own, answer, strict=True):
            found[place] = number
    wanted = sums + left.astype(np.float64) @ right.astype(np.float64)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


# kernels -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("spec", SPECS)
def test_operands_in_every_order(spec: str, dtype: str) -> None:
    agrees(product_of(spec, dtype), dtype, SIZES)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (16, 16, 16), (40, 33, 50), (3, 4, 0), (0, 3, 5)])
def test_every_edge(sizes: tuple[int, int, int]) -> None:
    agrees(product_of("ab,cb->ac", "float16"), "float16", dict(zip("NMK", sizes, strict=True)))


@pytest.mark.parametrize("geometry", [GPU, Geometry(warps=(2, 1), tiles=2, steps=2)])
def test_as_many_warps_and_tiles_as_on_a_gpu(geometry: Geometry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Emulator, "geometry", geometry)
    agrees(product_of("ab,bc->ac", "float16", lambda x: ops.relu(x + 1) * x), "float16", {"N": 70})


def test_large_products_have_larger_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Emulator, "geometry", TINY)
    kinds = [TensorType((400, 3), "float16"), TensorType((3, 400), "float16")]
    graph = trace(lambda a, b: einsum(a, b, spec="ab,bc->ac"), *kinds)
    (step,) = CudaProgram(fuse(graph), lower_only=True).plan.steps
    assert "sum1_1_3" in printer.source(step.kernel, TINY)
    agrees(graph, "float16", {})


def test_a_product_whose_rows_are_reduced_is_one_kernel() -> None:
    def dense(a: Any, b: Any) -> Any:
        powers = ops.exp(ops.cast(einsum(a, b, spec="ab,bc->ac"), "float32"))
        return powers / ops.sum(powers, axis=-1, keepdims=True)

    graph = fuse(trace(dense, TensorType((N, 8), "float16"), TensorType((8, 5), "float16")))
    program = CudaProgram(graph)
    assert len(program.plan.steps) == 1
    rows, columns = (np.random.default_rng(1).normal(size=shape).astype("float16") for shape in ((3, 8), (8, 5)))
    out = np.empty((3, 5), np.float32)
    program.run([rows, columns], [out], {"N": 3})
    powers = np.exp((rows.astype("float32") @ columns.astype("float32")).astype("float16").astype("float64"))
    np.testing.assert_allclose(out, powers / powers.sum(1, keepdims=True), rtol=2e-3)


# machine code --------------------------------------------------------------------------------------------------------


@NEEDS_COMPILER
@pytest.mark.parametrize("spec", ["ab,bc->ac", "ab,cb->ac", "ba,bc->ac"])
def test_large_products_fit_into_shared_memory_and_registers(spec: str) -> None:
    kind: tuple[Dim, ...] = (4096, 4096)
    kinds = [TensorType(kind, "float16")] * 2
    (step,) = CudaProgram(fuse(trace(lambda a, b: einsum(a, b, spec=spec), *kinds)), lower_only=True).plan.steps
    found = compiled(step.kernel)
    assert found.spills == 0 and not found.has_float64
    assert "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32" in found.ptx


@NEEDS_COMPILER
@pytest.mark.parametrize(("capability", "has_them"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
@pytest.mark.parametrize("dtype", HALF)
def test_gpus_without_tensor_cores_for_them(dtype: str, capability: tuple[int, int], has_them: bool) -> None:
    (step,) = CudaProgram(fuse(product_of("abc,acd->abd", dtype)), lower_only=True).plan.steps
    found = compiled(step.kernel, capability)
    assert ("mma.sync" in found.ptx) == has_them and found.spills == 0
