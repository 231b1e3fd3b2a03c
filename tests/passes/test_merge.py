"""Equal values are computed once."""

from __future__ import annotations

from typing import Any

import numpy as np
from graphs import made, ops, same

from kgraph.graph.ir import Node
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType
from kgraph.ops.arithmetic import square
from kgraph.ops.reduce import sum_row
from kgraph.ops.transcendental import exp, tanh
from kgraph.passes.merge import merge
from kgraph.tracing.trace import as_symbol
from kgraph.tracing.variable import Variable


def test_equal_values_become_one_and_so_do_their_readers() -> None:
    before = made(lambda x: exp(square(tanh(x))) - square(tanh(x)) * 2.0, (N, 3))
    after = same(before, merge(before))
    assert sorted(ops(after)) == sorted(["tanh", "square", "exp", "multiply", "subtract"])
    assert ops(before).count("tanh") == 2, "the argument is left alone"


def test_the_first_one_stays() -> None:
    before = made(lambda x: [tanh(x), tanh(x)], (N, 3))
    assert merge(before).outputs == ["tanh", "tanh"]


def test_commutative_ops_are_equal_in_either_order() -> None:
    before = made(lambda x, y: exp(x * y) - (y * x), (N,), (N,))
    assert ops(same(before, merge(before))).count("multiply") == 1
    before = made(lambda x, y: exp(x - y) - (y - x), (N,), (N,))
    assert ops(same(before, merge(before))) == ops(before)


def test_other_attributes_make_another_value() -> None:
    def sums(*axes: int) -> Any:
        return lambda x: [sum_row(x, axes=(axis,), keepdims=True) for axis in axes]

    assert len(ops(merge(made(sums(0, 1), (3, 3))))) == 2
    assert len(ops(merge(made(sums(1, 1), (3, 3))))) == 1


def test_equal_constants_become_one() -> None:
    one, two = np.arange(3, dtype="float32"), np.arange(3, dtype="float32")
    before = made(lambda x: [x + as_symbol(one), x + as_symbol(two), x + as_symbol(-two)], (N, 3))
    after = same(before, merge(before))
    assert [node.op for node in after].count("const") == 2


def test_constants_of_other_dtypes_or_shapes_do_not() -> None:
    before = made(lambda x, y: [x + 1.0, y + 1], (N,), TensorType((N,), "int32"))
    assert len(merge(before)) == len(before)


def test_nan_is_merged_with_itself_and_the_zeros_stay_apart() -> None:
    before = made(lambda x: [x + np.float32("nan"), x + np.float32("nan"), x * 0.0, x * -0.0], (N,))
    assert ops(merge(before)) == ["add", "multiply", "multiply"]


def test_inputs_are_never_merged() -> None:
    before = made(lambda x, y: x + y, (N,), (N,))
    assert merge(before).inputs == before.inputs


def test_one_weight_read_by_two_nodes_becomes_one_node() -> None:
    weight = Variable(np.ones(3, "float32"), name="bias")
    before = made(lambda x: x + as_symbol(weight), (N, 3))
    again = before.add(Node("bias#1", "param", weight.type, {"variable": weight}))
    before.add(Node("more", "add", TensorType((N, 3)), {}), "add", again)
    before.outputs = ["more"]
    assert [node.name for node in same(before, merge(before)).params()] == ["bias"]


def test_a_weight_that_is_updated_stays() -> None:
    weight = Variable(np.ones((3, 3), "float32"), name="state")
    before = made(lambda x: x + as_symbol(weight), (3, 3))
    before.updates["state"] = "add"
    assert merge(before).updates == {"state": "add"}
