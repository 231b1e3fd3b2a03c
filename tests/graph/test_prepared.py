"""Graphs made ready for one shape give what `evaluate` gives, number for number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.errors import ShapeError
from kgraph.graph.evaluate import evaluate
from kgraph.graph.ir import Graph
from kgraph.graph.prepared import Prepared
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType
from kgraph.tracing.trace import trace

ROWS = TensorType((N, 4), "float32")
X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
COUNT = kg.Variable(np.arange(4, dtype="float32"), name="count")
HALF = kg.Variable(np.arange(4), dtype="float16", name="half")


def running(x: Any) -> Any:
    """A loop over rows, which stacks what it carries."""
    return ops.scan(lambda carry, row: (carry + row, carry * 2), ops.zeros((4,)), x)[1]


def backwards(x: Any) -> Any:
    return ops.scan(lambda carry, row: (carry + row, carry), ops.zeros((4,)), x, reverse=True)


def guarded(x: Any) -> Any:
    return ops.while_loop(lambda n, v: ops.sum(v) < 50, lambda n, v: (n + 1, v * v + 1), (0, x))


def branched(x: Any) -> Any:
    return ops.cond(ops.sum(x) > 100, lambda: x * 2, lambda: ops.exp(x))


def gradient(x: Any) -> Any:
    with kg.GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(ops.tanh(x) * COUNT)
    return tape.gradient(y, x)


FUNCTIONS: list[Callable[[Any], Any]] = [
    lambda x: ops.softmax(x @ ops.ones((4, 3)) + 1.0),
    lambda x: ops.reshape(x, (-1, 2)) * ops.cast(ops.shape(x)[0], "float32"),
    lambda x: [x + COUNT, ops.cast(x, "float16") * HALF],
    lambda x: kg.layers.LSTM(2, kernel_initializer="ones", recurrent_initializer="ones")(x[:, :, None]),
    running,
    backwards,
    guarded,
    branched,
    gradient,
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_prepared_gives_what_is_evaluated(function: Callable[[Any], Any]) -> None:
    graph = trace(lambda x: tuple(kg.tree.flatten(function(x))), ROWS)
    prepared = Prepared(graph, [X.shape])
    for x in (X, X + 1, X):
        for one, other in zip(prepared([x]), evaluate(graph, [x])[0], strict=True):
            assert type(one) is np.ndarray and one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_variables_are_read_at_each_call() -> None:
    first, half = kg.Variable(np.zeros(4, "float32")), kg.Variable(np.zeros(4), dtype="float16")
    prepared = Prepared(trace(lambda x: (x + first, ops.cast(x, "float16") + half), ROWS), [X.shape])
    assert prepared.reads == [first, half]
    first.assign(np.ones(4)), half.assign(np.ones(4))
    made = prepared([np.zeros((3, 4), "float32")])
    assert made[0].tolist() == made[1].tolist() == np.ones((3, 4)).tolist()


def test_a_result_that_depends_on_nothing_is_told_of() -> None:
    assert Prepared(trace(lambda x: (x, ops.ones((3,)) * 2), ROWS), [X.shape]).has_constant_results
    assert not Prepared(trace(lambda x: x + ops.ones((4,)) * 2, ROWS), [X.shape]).has_constant_results


def test_shapes_that_do_not_fit_are_refused() -> None:
    graph: Graph = trace(lambda x: x + 1, ROWS)
    with pytest.raises(ShapeError, match="axis 1 is 5, not 4"):
        Prepared(graph, [(3, 5)])
