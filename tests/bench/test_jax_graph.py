"""A graph means the same to jax as to numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kgraph import ops
from kgraph.graph.evaluate import evaluate
from kgraph.graph.op import OPS
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType
from kgraph.tracing.trace import record, trace

pytest.importorskip("jax")

from kgraph.bench import jax_calls, jax_graph


def row(name: str, *arguments: Any, **attrs: Any) -> Any:
    return record(OPS[name], arguments, attrs)


GRAPHS = {
    "activations": lambda x, k: ops.gelu(x) + ops.sigmoid(x) * ops.relu(x),
    "rows with max": lambda x, k: x - ops.max(x, axis=-1, keepdims=True),
    "positions": lambda x, k: ops.argmax(x, axis=1),
    "product": lambda x, k: ops.einsum("ab,cb->ac", x, x),
    "slices": lambda x, k: row("slice", x, starts=(1, 4), sizes=(2, 3), steps=(2, -2)),
    "forward slices": lambda x, k: row("slice", x, starts=(1, 0), sizes=(2, 3), steps=(2, 2)),
    "padding": lambda x, k: row("pad", x, 7.0, low=(1, 0), high=(0, 2), interior=(0, 1)),
    "gather": lambda x, k: ops.take(x, k, axis=0) + ops.take(x, k - 4, axis=0),
    "gather along": lambda x, k: row("take_along_axis", x, ops.reshape(k, (4, 1)), axis=1),
    "scatter": lambda x, k: row("scatter_add", x * 0.0, k, x, axis=0),
    "running sums": lambda x, k: row("cumsum", x, axis=1),
    "counting": lambda x, k: row("iota", shape=(4, 5), axis=1, dtype="float32") + ops.flip(x),
    "conditions": lambda x, k: ops.where(x > 0.0, ops.log1p(ops.exp(x)), ops.cast(k[:, None], "float32")),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_jax_agrees_with_numpy(name: str) -> None:
    graph = trace(GRAPHS[name], TensorType((4, 5)), TensorType((4,), "int32"))
    x = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    k = np.array([3, 0, 2, 3], np.int32)
    assert jax_graph.unknown_ops(graph) == []
    call = jax_calls.forward(*jax_graph.made_for(graph, [x, k]), [x, k])
    for theirs, ours in zip(call(), evaluate(graph, [x, k])[0], strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)


def test_a_gradient_is_zero_for_weights_without_influence() -> None:
    graph = trace(lambda x: ops.sum(x * x), TensorType((N,)))
    given = [np.ones(3, np.float32)]
    loss, gradient = jax_calls.gradient(*jax_graph.made_for(graph, given), given, ["unused"])()
    assert (float(loss), float(gradient)) == (3.0, 0.0)


def test_ops_it_does_not_know_are_named() -> None:
    graph = trace(lambda seed: row("random_bits", seed, shape=(3,)), TensorType((2,), "uint32"))
    assert jax_graph.unknown_ops(graph) == ["random_bits"]
