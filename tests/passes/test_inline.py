"""Layer calls are opened: names, origins, weights, nested bodies and several results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from graphs import numbers, ops, same, values

from kgraph.graph.check import check
from kgraph.graph.ir import Graph
from kgraph.graph.op import OPS, Op
from kgraph.graph.sizes import N, axis
from kgraph.graph.types import TensorType
from kgraph.ops.arithmetic import square
from kgraph.ops.products import matmul
from kgraph.ops.transcendental import exp, tanh
from kgraph.passes.inline import inline
from kgraph.tracing.trace import Symbol, as_symbol, collect, record, symbol_input, tracing
from kgraph.tracing.variable import Variable


def called(name: str, call: Callable[..., Any], *sources: Symbol, origin: str = "user.py:1") -> Any:
    """A layer call as layers record it: a node with a body, whose weights are its last arguments."""
    inputs = [symbol_input(f"x{number}", source.type) for number, source in enumerate(sources)]
    with tracing():
        result = call(*inputs)
    outputs = list(result) if isinstance(result, (list, tuple)) else [result]
    body = collect(outputs, inputs)
    params = [node.attrs["variable"].as_symbol() for node in body.params()]
    kinds = tuple(body[one].tensor for one in body.outputs)
    kind = kinds if len(kinds) > 1 else kinds[0]
    node = Symbol("Layer", (*sources, *params), {"body": body}, kind, name, origin)
    if len(kinds) == 1:
        return node
    return [Symbol("item", (node,), {"index": i}, one, f"{name}.{i}", origin) for i, one in enumerate(kinds)]


def model(call: Callable[..., Any], *shapes: Sequence[Any]) -> Graph:
    """The layer graph of a function of inputs x, y, ..."""
    inputs = [symbol_input(name, TensorType(tuple(shape))) for name, shape in zip("xyz", shapes, strict=False)]
    result = call(*inputs)
    return check(collect(list(result) if isinstance(result, (list, tuple)) else [result], inputs))


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph]


KERNEL = Variable(np.ones((3, 3), "float32"), name="hidden/kernel")


def dense(x: Symbol) -> Symbol:
    return tanh(matmul(x, KERNEL))


def test_the_result_of_a_call_takes_its_name() -> None:
    before = model(lambda x: called("hidden", dense, x), (N, 3))
    after = same(before, inline(before))
    assert names(after) == ["x", "hidden.kernel", "hidden/einsum", "hidden"]
    assert after.outputs == ["hidden"]
    assert ops(before) == ["Layer"], "the argument is left alone"


def test_two_calls_share_their_weights() -> None:
    before = model(lambda x: called("again", dense, called("hidden", dense, x)), (N, 3))
    after = same(before, inline(before))
    assert [node.name for node in after.params()] == ["hidden.kernel"]
    assert names(after)[-2:] == ["again/einsum", "again"]


def test_calls_inside_calls_are_opened() -> None:
    def block(x: Symbol) -> Symbol:
        return called("inner", dense, square(called("first", dense, x)))

    before = model(lambda x: exp(called("block", block, x)), (N, 3))
    after = same(before, inline(before))
    assert names(after) == [
        "x", "hidden.kernel", "block/first/einsum", "block/first", "block/square", "block/einsum", "block", "exp",
    ]  # fmt: skip


def test_several_results_take_the_names_of_their_items() -> None:
    def call(x: Symbol) -> Any:
        first, second = called("pair", lambda x: [tanh(x), exp(x)], x)
        return [first * second, second]

    before = model(call, (N, 3))
    after = same(before, inline(before))
    assert names(after) == ["x", "pair.0", "pair.1", "multiply"]
    assert after["pair.1"].op == "exp"


def test_several_results_of_a_call_inside_a_call() -> None:
    def block(x: Symbol) -> Any:
        first, second = called("pair", lambda x: [tanh(x), exp(x)], x)
        return [second, first + second]

    def call(x: Symbol) -> Any:
        return called("block", block, x)

    before = model(call, (N, 3))
    after = same(before, inline(before))
    assert names(after) == ["x", "block/pair.0", "block.0", "block.1"]


def test_a_body_that_returns_its_input_vanishes() -> None:
    before = model(lambda x: exp(called("dropout", lambda x: x, x)), (N, 3))
    assert names(same(before, inline(before))) == ["x", "exp"]


def test_a_body_that_returns_a_value_twice() -> None:
    def call(x: Symbol) -> Any:
        return called("twice", lambda x: [t := tanh(x), t, x], x)

    before = model(call, (N, 3))
    after = same(before, inline(before))
    assert after.outputs == ["twice.0", "twice.0", "x"]


def test_a_body_that_returns_a_weight_or_a_constant() -> None:
    before = model(
        lambda x: [called("weight", lambda x: KERNEL.as_symbol(), x), called("one", lambda x: as_symbol(1.0), x)], (N,)
    )
    after = same(before, inline(before))
    assert after.outputs == ["hidden.kernel", "one"]
    assert after["one"].op == "const"


def test_results_that_nobody_reads_are_dropped() -> None:
    before = model(lambda x: called("pair", lambda x: [tanh(x), exp(x)], x)[1], (N, 3))
    assert names(inline(before)) == ["x", "pair.1"]


def test_names_stay_unique() -> None:
    def call(x: Symbol) -> Symbol:
        inner = called("hidden", dense, x)
        other = called("hidden/einsum", dense, inner)
        return called("hidden", dense, other)

    before = model(call, (N, 3))
    after = same(before, inline(before))
    assert names(after) == [
        "x", "hidden.kernel", "hidden/einsum#1", "hidden", "hidden/einsum/einsum", "hidden/einsum",
        "hidden#1/einsum", "hidden#1",
    ]  # fmt: skip


def test_inner_nodes_keep_their_origin_and_take_the_calls_where_they_have_none() -> None:
    def body(x: Symbol) -> Symbol:
        return Symbol("exp", (tanh(x),), {}, x.type, "exp", "")

    after = inline(model(lambda x: called("layer", body, x, origin="user.py:7"), (N, 3)))
    assert after["layer/tanh"].origin.startswith("test_inline.py:")
    assert after["layer"].origin == "user.py:7"


def test_what_is_assumed_of_sizes_is_carried_along() -> None:
    before = model(lambda x, y: called("sum", lambda x, y: tanh(x + y), x, y), (axis("A"), 3), (axis("B"), 3))
    after = inline(before)
    assert after.assumed == [(axis("A"), axis("B"), "sum/add")]


def test_state_is_updated_by_the_item_of_a_call() -> None:
    state = Variable(np.zeros((3,), "float32"), name="state")
    inputs = [symbol_input("x", TensorType((N, 3)))]
    with tracing() as found:
        result, new = called("norm", lambda x: [x + state, state * 2.0], inputs[0])
        found.updates[state] = new
    before = check(collect([result], inputs, found.updates))
    after = check(inline(before))
    assert after.updates == {"state": "norm.1"}
    np.testing.assert_array_equal(values(after, numbers(after)), values(before, numbers(before)))


def test_the_body_of_a_loop_is_opened_and_the_loop_is_not(monkeypatch: Any) -> None:
    monkeypatch.setitem(OPS, "loop", Op(name="loop", kind="scan", type=lambda x, **_: x, numpy=lambda x, **_: x))
    cell = model(lambda x: called("cell", dense, x), (N, 3))
    before = model(lambda x: record(OPS["loop"], (x,), {"step": cell}), (N, 3))
    after = inline(before)
    assert ops(after) == ["loop"]
    assert ops(after["loop"].attrs["step"]) == ["einsum", "tanh"]
