"""Every row of OPS, and every gradient, compiled for every target, against the row's own meaning in float64.

The rows of a kind are compiled as one program with a result for each call, since most of the time goes into starting
compilers; sizes are known only at the call, so that all sizes share it. A new row is tested by being there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import pytest
from rows import Call, T, calls_of, takes

from kgraph.codegen.cpu import program as cpu_program
from kgraph.codegen.cuda import driver
from kgraph.codegen.targets import TARGETS, program_for
from kgraph.gradients.autodiff import pullback
from kgraph.graph.evaluate import bind_sizes, evaluate
from kgraph.graph.ir import Graph
from kgraph.graph.op import OPS
from kgraph.graph.sizes import N, resolve
from kgraph.graph.types import HALF, TensorType, is_float, numpy_dtype
from kgraph.passes import AFTER_GRADIENTS, OF_TARGET, run
from kgraph.tracing.trace import trace

KINDS = sorted({op.kind for op in OPS.values()})
SIZES = {"T": 5}  # N is the test's
GUARD = 64  # bytes around an output that no kernel may write
POISON = 0xFF  # in every byte: NaN, -1, or the largest number
TOLERANCE = {"float16": 5e-3, "bfloat16": 4e-2, "float32": 1e-5, "float64": 1e-12}
ONLY_WHAT_KERNELS_NEED = {name: AFTER_GRADIENTS[name] for name in ("widen", "open", "einsum", "fuse")}


@pytest.fixture(autouse=True)
def _poisoned_and_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    if not driver.available():  # else what is written for CUDA runs on the GPU
        monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    aligned = cpu_program.aligned

    def poisoned(size: int) -> np.ndarray:
        memory = aligned(size)
        memory.fill(POISON)
        return memory

    monkeypatch.setattr(cpu_program, "aligned", poisoned)


# many calls, one program ---------------------------------------------------------------------------------------------


def together(calls: Sequence[Call], dtype: str) -> Graph:
    """One graph with the result of each call; its first input says what N is, and the second T."""

    def call(*xs: Any) -> list[Any]:
        given = iter(xs[2:])
        return [one.on(list(islice(given, len(one.operands)))) for one in calls]

    kinds = [kind for one in calls for kind in one.kinds(dtype)]
    return trace(call, TensorType((N,)), TensorType((T,)), *kinds)


def numbers(calls: Sequence[Call], dtype: str, sizes: dict[str, int]) -> list[np.ndarray]:
    """The inputs of that graph."""
    named = [np.zeros(sizes[name], np.float32) for name in ("N", "T")]
    return [*named, *(array for one in calls for array in one.numbers(dtype, sizes))]


def of_gradients(calls: Sequence[Call], dtype: str) -> tuple[Graph, list[str]]:
    """The gradients of the sum of each result times an input that follows the others, and what each belongs to."""
    graph = together(calls, dtype)
    owners = [str(one) for one in calls for _ in one.operands]
    floats = [place for place, name in enumerate(graph.inputs) if place > 1 and is_float(graph[name].tensor.dtype)]
    back = pullback(graph, graph.outputs, [graph.inputs[place] for place in floats])
    return back, [owners[place - 2] for place in floats]


def weights(graph: Graph, given: Sequence[np.ndarray], sizes: dict[str, int]) -> list[np.ndarray]:
    """Numbers for the inputs that follow the given ones."""
    random = np.random.default_rng(3)
    kinds = [graph[name].tensor for name in graph.inputs[len(given) :]]
    return [random.normal(size=resolve(kind.shape, sizes)).astype(numpy_dtype(kind.dtype)) for kind in kinds]


@lru_cache(maxsize=64)
def graph_of(calls: tuple[Call, ...], dtype: str, gradient: bool) -> tuple[Graph, list[str]]:
    """What is judged, and the name of each of its outputs."""
    return of_gradients(calls, dtype) if gradient else (together(calls, dtype), list(map(str, calls)))


@lru_cache(maxsize=64)
def program_of(calls: tuple[Call, ...], dtype: str, gradient: bool, target: str) -> Any:
    """Its program; gradients go through all passes, since no one compiles them otherwise."""
    graph, _ = graph_of(calls, dtype, gradient)
    passes = AFTER_GRADIENTS if gradient else ONLY_WHAT_KERNELS_NEED
    return program_for(target)(run(graph, passes | OF_TARGET[target]))


def outputs_of(program: Any, graph: Graph, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What the program makes of the inputs, in memory that was full of garbage before."""
    sizes = bind_sizes(graph, [array.shape for array in inputs])
    rooms, outputs = [], []
    for name in graph.outputs:
        kind = graph[name].tensor
        shape, dtype = resolve(kind.shape, sizes), numpy_dtype(kind.dtype)
        rooms.append(np.full(int(np.prod(shape)) * dtype.itemsize + 2 * GUARD, POISON, np.uint8))
        outputs.append(rooms[-1][GUARD:-GUARD].view(dtype).reshape(shape))
    program.run([np.ascontiguousarray(array) for array in inputs], outputs, sizes)
    for name, room in zip(graph.outputs, rooms, strict=True):
        assert (room[:GUARD] == POISON).all() and (room[-GUARD:] == POISON).all(), f"{name} is written outside"
    return outputs


def difference(have: np.ndarray, want: np.ndarray, dtype: str) -> str:
    """What is wrong; nothing if all is well. Integers and bools are exact; a small float among large ones is less
    exact than others, since it is a sum of terms as large as these."""
    if not is_float(have.dtype.name):
        raw = have.view(np.uint8) if have.dtype == bool else have
        return "" if np.array_equal(raw, want) else f"{raw.ravel()[:8]} is not {want.ravel()[:8]}"
    tolerance = TOLERANCE[dtype]
    if dtype in HALF:
        with np.errstate(over="ignore"):  # what is too large is infinite
            want, have = want.astype(have.dtype).astype(np.float64), have.astype(np.float64)
    try:
        largest = np.abs(want[np.isfinite(want)]).max(initial=10.0)
        np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance * largest / 10)
    except AssertionError as error:
        return " ".join(str(error).split())
    return ""


def agrees(calls: Sequence[Call], dtype: str, target: str, size: int, gradient: bool = False) -> None:
    """Whether the kernels compute what the rows mean, at N = size."""
    sizes = {"N": size, **SIZES}
    calls = tuple(one for one in calls if one.means_something(dtype, sizes))
    graph, names = graph_of(calls, dtype, gradient)
    inputs = numbers(calls, dtype, sizes)
    inputs += weights(graph, inputs, sizes)
    wanted, _ = evaluate(graph, inputs, "float64")
    found = outputs_of(program_of(calls, dtype, gradient, target), graph, inputs)
    wrong = {}
    for name, output, have, want in zip(names, graph.outputs, found, wanted, strict=True):
        precise = have.dtype.name if dtype == have.dtype.name and is_float(dtype) else "float32"
        if told := difference(have, want, precise):
            wrong[f"{name} -> {graph[output].tensor}"] = told
    assert not wrong, "\n".join(f"{name}: {told}" for name, told in wrong.items())


def calls_for(kind: str, dtype: str) -> tuple[Call, ...]:
    """The calls of all rows of a kind that take a dtype."""
    calls = [one for name in sorted(OPS) if OPS[name].kind == kind for one in calls_of(name)]
    return tuple(one for one in calls if takes(one, dtype))


# the sweep -----------------------------------------------------------------------------------------------------------


def test_every_row_is_called() -> None:
    elsewhere = {name for name, op in OPS.items() if op.kind == "loop"}  # tests/ops/test_loops.py
    elsewhere.add("with_gradient")  # tests/test_transforms.py
    rows = OPS.keys() - elsewhere
    assert {name for name in rows if calls_of(name)} == rows, "rows of kind move, ... are sampled in tests/rows.py"


def sampled() -> list[Any]:
    """Targets and sizes: every size on the CPU, and one on CUDA; the rest is marked slow."""
    pairs = [(target, size) for target in TARGETS for size in (3, 1, 17, 0)]
    usual = [pair for pair in pairs if pair[0] == "cpu" or pair[1] == 3]
    return [pytest.param(*pair, marks=() if pair in usual else pytest.mark.slow) for pair in pairs]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("target", "size"), sampled())
def test_rows(kind: str, target: str, size: int) -> None:
    agrees(calls_for(kind, "float32"), "float32", target, size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("target", "size"), sampled())
def test_gradients(kind: str, target: str, size: int) -> None:
    agrees(calls_for(kind, "float32"), "float32", target, size, gradient=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", HALF)
def test_rows_of_halves(dtype: str, kind: str) -> None:
    agrees(calls_for(kind, dtype), dtype, "cuda", 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", HALF)
def test_gradients_of_halves(dtype: str, kind: str) -> None:
    agrees(calls_for(kind, dtype), dtype, "cuda", 3, gradient=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("target", "size"), sampled())
@pytest.mark.parametrize("dtype", ["float64", "int32", "bool", "int64", "uint8"])
def test_rows_of_other_dtypes(dtype: str, kind: str, target: str, size: int) -> None:
    agrees(calls_for(kind, dtype), dtype, target, size)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("target", "size"), sampled())
def test_gradients_in_float64(kind: str, target: str, size: int) -> None:
    agrees(calls_for(kind, "float64"), "float64", target, size, gradient=True)
