"""Inputs made from a graph: right in shape and dtype, and indices inside their tables."""

from __future__ import annotations

import numpy as np

from kgraph import ops
from kgraph.bench.data import index_bound, inputs_for, targets_for
from kgraph.graph.sizes import N, axis
from kgraph.graph.types import TensorType
from kgraph.tracing.trace import trace


def test_arrays_have_the_types_of_the_inputs() -> None:
    graph = trace(lambda a, b: (a + 1.0, b), TensorType((N, 3)), TensorType((N, axis("T")), "int32"))
    a, b = inputs_for(graph, 5)
    assert (a.shape, a.dtype, b.shape, b.dtype) == ((5, 3), np.float32, (5, 16), np.int32)
    assert inputs_for(graph, 5)[0].tolist() == a.tolist()


def test_indices_stay_inside_the_smallest_table() -> None:
    def look_up(rows: object, table: object, small: object) -> object:
        return ops.take(table, rows, axis=0), ops.take(small, rows + 0, axis=0)

    kinds = TensorType((N,), "int32"), TensorType((9, 2)), TensorType((4, 2))
    graph = trace(look_up, *kinds)
    assert index_bound(graph, graph.inputs[0]) == 4
    assert index_bound(graph, graph.inputs[1]) == 2
    assert 0 <= inputs_for(graph, 100)[0].min() <= inputs_for(graph, 100)[0].max() < 4


def test_targets_are_classes_or_numbers_between_0_and_1() -> None:
    graph = trace(lambda a, b: a, TensorType((N, 3)), TensorType((N,), "int64"))
    numbers, classes = targets_for(graph, graph.inputs, 3, 50)
    assert 0 <= numbers.min() <= numbers.max() <= 1 and numbers.dtype == np.float32
    assert set(classes.tolist()) == {0, 1, 2}
