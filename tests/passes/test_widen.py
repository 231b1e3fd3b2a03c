"""The pass that makes half precision float32."""

import numpy as np

import kgraph as kg
from kgraph import ops
from kgraph.graph.evaluate import evaluate
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType
from kgraph.passes.widen import widen
from kgraph.tracing.trace import trace


def test_no_value_of_half_precision_is_left() -> None:
    constant = np.full((3,), 0.5, "float16")
    graph = trace(lambda x: ops.cast(ops.cast(x, "float16") * constant, "float32"), TensorType((N, 3)))
    wide = widen(graph)
    assert "f16" in str(graph) and "f16" not in str(wide) and "float16" not in str(wide)
    x = np.linspace(-1, 1, 6, dtype="float32").reshape(2, 3)
    np.testing.assert_array_equal(evaluate(wide, [x])[0][0], x * 0.5)


def test_loops_and_branches_are_widened_inside() -> None:
    def call(x):
        x = ops.fori_loop(0, 3, lambda i, y: y * 0.5 + 1, ops.cast(x, "bfloat16"))
        return ops.cond(ops.sum(x) > 0, lambda: ops.exp(x), lambda: -x)

    graph = trace(call, TensorType((N, 3)))
    assert graph[graph.outputs[0]].tensor.dtype == "bfloat16"
    assert "bf16" not in str(widen(graph)) and "bfloat16" not in str(widen(graph))
    f = kg.compile(call, inputs=kg.Input((3,)))
    assert f(np.ones((2, 3), "float32")).dtype.name == "bfloat16"


def test_a_graph_without_halves_stays() -> None:
    graph = trace(lambda x: ops.exp(x) + 1, TensorType((N, 3)))
    assert str(widen(graph)) == str(graph)
