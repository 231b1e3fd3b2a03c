"""What tests of passes share: graphs from functions, numbers for their inputs, and a comparison of two graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kgraph.graph.check import check
from kgraph.graph.evaluate import evaluate
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import resolve
from kgraph.graph.types import TensorType, is_float, numpy_dtype
from kgraph.tracing.trace import trace

SIZES = {"N": 3, "T": 4}


def made(call: Callable[..., Any], *shapes: Any) -> Graph:
    """The graph of a function of inputs of these shapes, or types."""
    kinds = [shape if isinstance(shape, TensorType) else TensorType(tuple(shape)) for shape in shapes]
    return check(trace(call, *kinds), "tracing")


def numbers(graph: Graph, seed: int = 0, sizes: Mapping[str, int] = SIZES) -> list[np.ndarray]:
    """Random values for the inputs: floats around 0, small integers."""
    random = np.random.default_rng(seed)
    found = []
    for name in graph.inputs:
        kind = graph[name].tensor
        shape = resolve(kind.shape, sizes)
        value = random.normal(size=shape) if is_float(kind.dtype) else random.integers(0, 3, shape)
        found.append(value.astype(numpy_dtype(kind.dtype)))
    return found


def values(graph: Graph, given: Sequence[Any], dtype: str | None = None) -> list[np.ndarray]:
    """The outputs for these inputs."""
    return evaluate(graph, given, dtype)[0]


def same(before: Graph, after: Graph, tolerance: float = 1e-5, given: Sequence[Any] | None = None) -> Graph:
    """Check that two graphs compute the same, and return the second."""
    check(after)
    given = numbers(before) if given is None else given
    assert after.inputs == before.inputs
    for name, other, old, new in zip(
        before.outputs, after.outputs, values(before, given), values(after, given), strict=True
    ):
        assert before[name].type == after[other].type
        np.testing.assert_allclose(new, old, rtol=tolerance, atol=tolerance)
    return after


def ops(graph: Graph) -> list[str]:
    """The ops of a graph in dataflow order, leaves left out."""
    return [node.op for node in graph if node.op not in ("input", "param", "const")]
