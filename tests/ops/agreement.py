"""How the tests of ops compare: eager, traced, traced with sizes known only at the call, gradients by differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import kgraph.ops  # noqa: F401  (fills the tables)
from kgraph import tree
from kgraph.gradients.autodiff import pullback
from kgraph.graph.evaluate import evaluate
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import axis, resolve
from kgraph.graph.types import TensorType, standard_dtype
from kgraph.tracing.trace import trace

Shapes = Sequence[Sequence[Any]]


def kinds_of(arrays: Sequence[np.ndarray], shapes: Shapes | None = None) -> list[TensorType]:
    """Types of arrays; shapes may name axes, as in ("N", 3)."""
    given = shapes or [array.shape for array in arrays]
    named = [tuple(axis(dim) if isinstance(dim, str) else dim for dim in shape) for shape in given]
    return [TensorType(shape, standard_dtype(array.dtype)) for shape, array in zip(named, arrays, strict=True)]


def traced(call: Callable[..., Any], arrays: Sequence[np.ndarray], shapes: Shapes | None = None) -> list[np.ndarray]:
    """The results of the traced function, whose types must tell their shapes."""
    graph = trace(call, *kinds_of(arrays, shapes))
    results, _ = evaluate(graph, arrays)
    sizes = _sizes(graph, arrays)
    for name, result in zip(graph.outputs, results, strict=True):
        kind = graph[name].tensor
        assert resolve(kind.shape, sizes) == result.shape, f"{name}: {kind} is {result.shape}"
        assert kind.dtype == result.dtype.name
    return results


def _sizes(graph: Graph, arrays: Sequence[np.ndarray]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for name, array in zip(graph.inputs, arrays, strict=True):
        for dim, size in zip(graph[name].tensor.shape, array.shape, strict=True):
            if not isinstance(dim, int):
                sizes[str(dim)] = size
    return sizes


def agrees(call: Callable[..., Any], wanted: Any, *arrays: np.ndarray, shapes: Shapes | None = None) -> None:
    """Eager calls, traced calls and, with shapes, calls of unknown sizes give what is wanted, dtype included."""
    wanted = [np.asarray(one) for one in tree.flatten(wanted)]
    runs = [[np.asarray(one) for one in tree.flatten(call(*arrays))], traced(call, arrays)]
    if shapes is not None:
        runs.append(traced(call, arrays, shapes))
    for run in runs:
        assert len(run) == len(wanted)
        for have, want in zip(run, wanted, strict=True):
            assert have.shape == want.shape, f"{have.shape} is not {want.shape}"
            np.testing.assert_allclose(have, want, rtol=1e-6, atol=1e-6)


def gradients_agree(call: Callable[..., Any], *arrays: np.ndarray, shapes: Shapes | None = None) -> None:
    """The gradients of a traced function are its differences; integer arguments are left out."""
    rng = np.random.default_rng(1)
    graph = trace(call, *kinds_of(arrays, shapes))
    floats = [place for place, array in enumerate(arrays) if array.dtype.kind == "f"]
    weights = [rng.normal(size=one.shape) for one in evaluate(graph, arrays)[0]]
    back = pullback(graph, graph.outputs, [graph.inputs[place] for place in floats])
    found, _ = evaluate(back, [*arrays, *weights])

    def loss(place: int, changed: np.ndarray) -> float:
        given = [changed if number == place else array for number, array in enumerate(arrays)]
        return sum(float((one * w).sum()) for one, w in zip(evaluate(graph, given)[0], weights, strict=True))

    for place, gradient in zip(floats, found, strict=True):
        x = arrays[place]
        wanted = np.zeros(x.shape)
        for at in np.ndindex(x.shape):
            step = np.zeros(x.shape)
            step[at] = 1e-5
            wanted[at] = (loss(place, x + step) - loss(place, x - step)) / 2e-5
        np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-7)
