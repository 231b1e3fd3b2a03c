"""Peers find the compositions that they have functions for."""

from __future__ import annotations

from typing import Any

import pytest

import kgraph as kg
from kgraph import ops
from kgraph.bench.case import Task, case_of
from kgraph.bench.data import sizes_for
from kgraph.bench.idioms import named, specialised
from kgraph.graph.ir import LEAVES, Graph


def ops_of(graph: Graph, batch: int = 4) -> list[str]:
    found = named(specialised(graph, sizes_for(graph, batch)))
    return [node.op for node in found if node.op not in LEAVES]


@pytest.mark.parametrize(
    ("model", "forward", "loss"),
    [
        ("mlp 64-64-10", ["linear", "relu", "linear", "softmax"], ["linear", "relu", "linear", "softmax", "mse"]),
        ("normalised mlp", ["linear", "layer_norm", "gelu", "linear", "batch_norm", "gelu", "linear"],
         ["linear", "layer_norm", "gelu", "linear", "batch_norm", "gelu", "linear", "mse"]),
        ("attention 32 x 64", ["linear"] * 3 + ["attention", "linear", "add", "layer_norm"],
         ["linear"] * 3 + ["attention", "linear", "add", "layer_norm", "mse"]),
        ("transformer 128 x 256",
         ["linear"] * 3 + ["attention", "linear", "add", "layer_norm", "linear", "gelu", "linear", "add", "layer_norm"],
         ["linear"] * 3 + ["attention", "linear", "add", "layer_norm", "linear", "gelu", "linear", "add", "layer_norm",
                           "mse"]),
        ("embedding 20 x 32", ["take", "reshape", "linear", "relu", "linear", "softmax"],
         ["take", "reshape", "linear", "relu", "linear", "softmax", "mse"]),
    ],
)  # fmt: skip
def test_models_are_written_with_them(model: str, forward: list[str], loss: list[str]) -> None:
    case = case_of(Task(model, 4))
    assert case.loss is not None
    assert ops_of(case.forward) == forward
    assert ops_of(case.loss) == loss


def test_sizes_become_numbers_and_state_is_left_out() -> None:
    case = case_of(Task("normalised mlp", 4))
    assert case.loss is not None
    made = specialised(case.loss, {"N": 4})
    assert made.updates == {} and "size" not in [node.op for node in made]
    assert all(isinstance(size, int) for node in made for size in node.tensor.shape)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x * 0.5 * (ops.tanh(x) + 1.0),
        lambda x: ops.mean(ops.square(x - 1.0), axis=-1),
        lambda x: ops.einsum("ab,ab->a", x, x) + 1.0,
        lambda x: x - ops.mean(x, axis=0, keepdims=True),
    ],
)
def test_likenesses_are_not_taken_for_them(call: Any) -> None:
    graph = kg.compile(call, inputs=[kg.Input((8,))], lower_only=True).stages["stabilise"]
    assert not {"linear", "gelu", "layer_norm", "mse", "batch_norm"} & set(ops_of(graph))
