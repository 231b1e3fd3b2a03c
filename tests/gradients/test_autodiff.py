"""Gradients against central differences in float64, and what the graph of gradients looks like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from graphs import made, numbers, ops, values

from kgraph.errors import DTypeError, GraphError
from kgraph.gradients.autodiff import gradients, pullback
from kgraph.graph.check import check
from kgraph.graph.evaluate import evaluate
from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import OPS, Op
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType, is_float
from kgraph.ops.arithmetic import cast, maximum, square, where
from kgraph.ops.compare import greater
from kgraph.ops.gather import take
from kgraph.ops.move import broadcast_to, concatenate, reshape, slice_, transpose
from kgraph.ops.products import einsum, matmul
from kgraph.ops.transcendental import exp, log, sqrt, tanh
from kgraph.passes.rewrite import row
from kgraph.tracing.trace import Symbol, as_symbol, record
from kgraph.tracing.variable import Variable

stop_gradient = row("stop_gradient")
STEP = 1e-5


def total(x: Any, axes: Sequence[int] | None = None, keepdims: bool = False) -> Any:
    axes = tuple(range(x.type.rank)) if axes is None else tuple(axes)
    return row("sum")(x, axes=axes, keepdims=keepdims)


def loss_of(x: Any) -> Any:
    """A number that every element of x has a part of its own in."""
    weights = row("cast")(row("iota")(shape=(3,), axis=0, dtype="int32"), dtype=x.type.dtype)
    return total(tanh(x)) + total(square(x)) * 0.5 + total(weights) * 0


def slopes(graph: Graph, given: list[np.ndarray], at: int) -> np.ndarray:
    """The central differences of the first output in one input."""
    found = np.zeros(given[at].shape)
    for place in np.ndindex(found.shape):
        ends = []
        for step in (STEP, -STEP):
            moved = [array.astype("float64") if array.dtype.kind == "f" else array for array in given]
            moved[at][place] += step
            ends.append(values(graph, moved, "float64")[0])
        found[place] = (ends[0] - ends[1]) / (2 * STEP)
    return found


def agrees(call: Callable[..., Any], *shapes: Any, positive: bool = False) -> Graph:
    """Check the gradients of a function's sum-like loss in all of its floating inputs; returns their graph."""
    graph = made(lambda *xs: loss_of(call(*xs)), *shapes)
    floating = [name for name in graph.inputs if is_float(graph[name].tensor.dtype)]
    made_of = check(gradients(graph, graph.outputs[0], floating))
    given = numbers(graph, seed=1)
    given = [np.abs(array) + 0.5 if positive and array.dtype.kind == "f" else array for array in given]
    _, *found = values(made_of, given, "float64")
    for name, one in zip(floating, found, strict=True):
        wanted = slopes(graph, given, graph.inputs.index(name))
        np.testing.assert_allclose(one, wanted, rtol=1e-6, atol=1e-7, err_msg=name)
    for name, gradient in zip(floating, made_of.outputs[1:], strict=True):
        assert made_of[gradient].type == graph[name].type
    return made_of


def softmax(x: Any) -> Any:
    top = stop_gradient(row("max")(x, axes=(x.type.rank - 1,), keepdims=True))
    e = exp(x - top)
    return e / total(e, (x.type.rank - 1,), True)


def layer_norm(x: Any, gamma: Any, beta: Any) -> Any:
    mean = total(x, (1,), True) / x.type.shape[1]
    difference = x - mean
    variance = total(square(difference), (1,), True) / x.type.shape[1]
    return difference / sqrt(variance + 1e-3) * gamma + beta


def attention(q: Any, k: Any, v: Any) -> Any:
    return einsum("nts,nsd->ntd", softmax(einsum("ntd,nsd->nts", q, k) * 0.5), v)


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "dense": (lambda x, w, b: tanh(matmul(x, w) + b), ((N, 3), (3, 4), (4,))),
    "chain": (lambda x, a, b: matmul(tanh(matmul(x, a)), b), ((N, 3), (3, 4), (4, 2))),
    "softmax": (softmax, ((N, 4),)),
    "cross entropy": (lambda x, t: total(square(t) * log(softmax(x)), (1,)), ((N, 4), (N, 4))),
    "layer norm": (layer_norm, ((N, 4), (4,), (4,))),
    "attention": (attention, ((N, 4, 2), (N, 5, 2), (N, 5, 2))),
    "einsum of three": (lambda a, b, c: einsum("ij,jk,kl->il", a, b, c), ((2, 3), (3, 4), (4, 2))),
    "einsum with a trace": (lambda a, b: einsum("iij,jk->k", a, b), ((3, 3, 2), (2, 4))),
    "einsum that stretches": (lambda a, b: einsum("ij,jk->ik", a, b), ((N, 1), (4, 2))),
    "take": (lambda x, i: take(x, i, axis=0), ((5, 2), TensorType((N, 2), "int32"))),
    "slice": (lambda x: slice_(x, starts=(1, 3), sizes=(2, 2), steps=(1, -2)), ((4, 5),)),
    "concatenate": (lambda x, y: concatenate(x, tanh(y), x, axis=1), ((N, 2), (N, 3))),
    "transpose": (lambda x: transpose(reshape(x, shape=(2, 3, 2)), axes=(2, 0, 1)), ((6, 2),)),
    "maximum": (lambda x, y: maximum(x, y), ((N, 4), (4,))),
    "where": (lambda x, y: where(greater(x, 0.0), x * y, y - x), ((N, 4), (N, 4))),
    "two readers": (lambda x: (e := exp(x * 0.5)) * tanh(e) + e, ((N, 3),)),
    "a value times itself": (lambda x: x * x * x, ((N, 3),)),
    "broadcast in front": (lambda x, y: x * y, ((N, 3, 4), (4,))),
    "broadcast inside": (lambda x, y: x * y, ((N, 3, 4), (3, 1))),
    "broadcast both ways": (lambda x, y: x + y, ((N, 1, 4), (3, 1))),
    "broadcast of a number": (lambda x, y: x / (square(y) + 1.0), ((N, 3), ())),
    "broadcast_to": (lambda x: broadcast_to(x, shape=(5, 2, 3)), ((1, 3),)),
    "an unused input": (lambda x, y: tanh(x), ((N, 3), (N, 2))),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_agree_with_central_differences(case: str) -> None:
    call, shapes = CASES[case]
    agrees(call, *shapes)


def test_gradients_follow_the_outputs() -> None:
    graph = made(lambda x: [exp(x), total(square(x))], (N, 3))
    both = check(gradients(graph, graph.outputs[1], ["x0"]))
    assert both.outputs[:2] == graph.outputs
    assert len(graph.outputs) == 2, "the argument is left alone"
    (given,) = numbers(graph)
    np.testing.assert_allclose(values(both, [given])[2], 2 * given, rtol=1e-6)


def test_gradients_of_weights() -> None:
    weight = Variable(np.ones((3, 2), "float32"), name="kernel")
    graph = made(lambda x: total(matmul(x, as_symbol(weight))), (N, 3))
    both = check(gradients(graph, graph.outputs[0], ["kernel"]))
    (given,) = numbers(graph)
    np.testing.assert_allclose(values(both, [given])[1], np.tile(given.sum(0)[:, None], 2), rtol=1e-5)


def test_a_gradient_is_called_after_its_value_and_has_its_origin() -> None:
    graph = made(lambda x: total(tanh(exp(x))), (N, 3))
    both = gradients(graph, graph.outputs[0], ["x0"])
    assert both["grad/exp"].tensor == graph["exp"].tensor
    assert both["grad/exp"].origin == graph["exp"].origin
    new = [node for node in both if node.name not in graph]
    assert all(node.name.startswith("grad/") or node.op == "const" for node in new)
    assert both.outputs[1] == "grad/x0"


def test_no_influence_gives_zeros() -> None:
    weight = Variable(np.ones((3, 2), "float32"), name="kernel")
    graph = made(lambda x, i: [total(square(stop_gradient(x))), as_symbol(weight)], (N, 3), TensorType((N,), "int32"))
    both = check(gradients(graph, graph.outputs[0], ["x0", "x1", "kernel"]))
    found = values(both, numbers(graph))[2:]
    assert [(array.shape, array.dtype.name, array.any()) for array in found] == [
        ((3, 3), "float32", False),
        ((3,), "int32", False),
        ((3, 2), "float32", False),
    ]


def test_the_gradient_of_the_loss_itself_is_one() -> None:
    graph = made(lambda x: total(x), (N, 3))
    assert values(gradients(graph, graph.outputs[0], graph.outputs), numbers(graph))[1] == 1


def test_a_loss_that_is_no_scalar_counts_as_its_sum() -> None:
    graph = made(lambda x: square(x), (N, 3))
    (given,) = numbers(graph)
    both = check(gradients(graph, graph.outputs[0], ["x0"]))
    np.testing.assert_allclose(values(both, [given])[1], 2 * given)


def test_gradients_have_the_dtype_of_their_values() -> None:
    graph = made(lambda x, y: total(cast(x, "float64") * y), (N, 3), TensorType((N, 3), "float64"))
    both = check(gradients(graph, graph.outputs[0], ["x0", "x1"]))
    assert [both[name].tensor.dtype for name in both.outputs] == ["float64", "float32", "float64"]


def test_integers_on_the_way_have_no_gradient() -> None:
    graph = made(lambda x: total(cast(cast(x, "int32"), "float32") * x), (N, 3))
    (given,) = numbers(graph)
    both = check(gradients(graph, graph.outputs[0], ["x0"]))
    np.testing.assert_allclose(values(both, [given])[1], given.astype("int32"))


def test_what_needs_no_gradient_gets_none() -> None:
    graph = made(lambda x, w: total(matmul(tanh(matmul(x, w)), w)), (N, 3), (3, 3))
    both = gradients(graph, graph.outputs[0], ["x1"])
    assert ops(both).count("einsum") == 2 + 3, "w twice, and the value between"


def test_an_integer_loss_is_refused() -> None:
    graph = made(lambda x: x, TensorType((N,), "int32"))
    with pytest.raises(DTypeError, match=r"the loss x0 is i32\[N\]; only a floating value"):
        gradients(graph, "x0", ["x0"])


def test_an_op_without_a_gradient_is_named_with_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Op(name="bare", kind="map", type=lambda x: x, numpy=np.sin)
    monkeypatch.setitem(OPS, "bare", bare)
    graph = made(lambda x: total(record(bare, (x,), {})), (N, 3))
    with pytest.raises(GraphError, match="bare has no gradient, and the way from x0 to the loss leads") as caught:
        gradients(graph, graph.outputs[0], ["x0"])
    notes = "\n".join(caught.value.__notes__)
    assert "bare(x0)" in notes
    assert "test_autodiff.py:" in notes
    assert gradients(graph, graph.outputs[0], []).outputs == graph.outputs, "where it is not on the way, it is no error"


def test_an_op_with_several_results_gets_the_gradients_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    given_: list[Any] = []

    def vjp(g: Any, y: Any, x: Any) -> Any:
        given_.append(g)
        return (g[0] * 2.0 + g[2],)

    three = Op(name="three", kind="scan", type=lambda x: (x, x, x), numpy=lambda x: (x, x, x), vjp=vjp)
    monkeypatch.setitem(OPS, "three", three)

    def call(x: Any) -> Any:
        node = record(three, (x,), {})
        first, again, third = (Symbol("item", (node,), {"index": i}, x.type, f"three.{i}") for i in (0, 0, 2))
        return total(exp(first) + again * third)

    graph = made(call, (N, 3))
    both = check(gradients(graph, graph.outputs[0], ["x0"]))
    ((first, second, third),) = given_
    assert second is None
    assert first.op == "add", "of the two items that read the first result"
    assert third.type == graph["x0"].type
    assert both[both.outputs[1]].type == graph["x0"].type


def test_pullback_takes_cotangents_of_the_outputs() -> None:
    graph = made(lambda x, w: [tanh(matmul(x, w)), exp(x)], (N, 3), (3, 2))
    back = check(pullback(graph, graph.outputs, ["x0", "x1"]))
    assert back.inputs == ["x0", "x1", "d_tanh", "d_exp"]
    assert len(back.outputs) == 2
    x, w, dy, dz = numbers(back)
    dx, dw = values(back, [x, w, dy, dz])
    inner = dy * (1 - np.tanh(x @ w) ** 2)
    np.testing.assert_allclose(dx, inner @ w.T + dz * np.exp(x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dw, x.T @ inner, rtol=1e-4, atol=1e-5)


def test_pullback_of_an_output_named_twice_adds() -> None:
    graph = made(lambda x: exp(x), (N,))
    graph.outputs *= 2
    back = check(pullback(graph, graph.outputs, ["x0"]))
    x, one, two = numbers(back)
    np.testing.assert_allclose(values(back, [x, one, two])[0], (one + two) * np.exp(x), rtol=1e-5)


def test_pullback_changes_no_state() -> None:
    count = Variable(np.zeros(()), name="count")
    graph = made(lambda x: exp(x), (N,))
    graph.add(Node("count", "param", count.type, {"variable": count}))
    graph.updates["count"] = "count"
    assert evaluate(pullback(graph, graph.outputs, ["x0"]), [np.ones(2, "f"), np.ones(2, "f")])[1] == {}
