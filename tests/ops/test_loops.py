"""Loops and branches: eager, traced, compiled for every target, with gradients, and what Keras says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops, tree
from kgraph.codegen.targets import TARGETS
from kgraph.errors import ArgumentError, DTypeError, GraphError, ShapeError
from kgraph.gradients.autodiff import gradients
from kgraph.graph.evaluate import evaluate
from kgraph.passes import BEFORE_GRADIENTS, run
from kgraph.tracing.trace import reference, splice

rng = np.random.default_rng(3)
WEIGHT = rng.normal(size=(3, 3)).astype("float32")


def steps_first(x: Any) -> Any:
    return ops.transpose(x, (1, 0, 2))


def zeros(x: Any) -> Any:
    return ops.zeros_like(x[:, 0])


def count_up(x: Any) -> Any:
    return ops.while_loop(lambda i, s: ops.sum(s) < 100.0, lambda i, s: (i + 1, 2 * s + 1), (0, x))


def both_branches(x: Any) -> Any:
    return ops.cond(ops.sum(x) > 0, lambda: (2 * x, x[:, 0]), lambda: (ops.exp(x), x[:, 1]))


LOOPS: dict[str, Callable[[Any], Any]] = {
    "sums": lambda x: ops.scan(lambda c, v: (c + v, c * v), zeros(x), steps_first(x)),
    "backwards": lambda x: ops.scan(lambda c, v: (c + v, c * v), zeros(x), steps_first(x), reverse=True),
    "only the last": lambda x: ops.scan(lambda c, v: (c + v, None), zeros(x), steps_first(x))[0],
    "a product": lambda x: ops.scan(lambda c, v: (c @ WEIGHT + v, v @ WEIGHT), zeros(x), steps_first(x)),
    "two that change places": lambda x: ops.scan(
        lambda c, v: ((c[1], c[0] + v), c[0]), (zeros(x), zeros(x) + 1), steps_first(x)
    ),
    "one value twice": lambda x: ops.scan(
        lambda c, v: ((n := c[1] + c[0] * v, n), (n, v, n)), (zeros(x), zeros(x) + 1), steps_first(x)
    ),
    "a slice handed out twice": lambda x: ops.scan(lambda c, v: (c + v, (v, c, v)), zeros(x), steps_first(2 * x)),
    "a length": lambda x: ops.scan(lambda c, _: (c * 0.5 + x, None), x, length=5)[0],
    "no step": lambda x: ops.scan(lambda c, v: (c + v, c), zeros(x), steps_first(x)[:0]),
    "one in the other": lambda x: ops.scan(
        lambda c, v: (ops.fori_loop(0, 3, lambda i, s: ops.tanh(s + v), c), c), zeros(x), steps_first(x)
    ),
    "a running index": lambda x: ops.fori_loop(0, ops.shape(x)[1], lambda i, s: s + ops.take(x, i, axis=1), zeros(x)),
    "map": lambda x: ops.map(lambda v: ops.softmax(v) @ WEIGHT, x),
    "both branches": both_branches,
    "the other branch": lambda x: ops.cond(ops.sum(x) > 1e9, lambda: x, lambda: 2 * x),
    "a branch in a loop": lambda x: ops.scan(
        lambda c, v: (ops.cond(ops.sum(v) > 0, lambda: c + v, lambda: c * 0.5), c), zeros(x), steps_first(x)
    ),
    "switch": lambda x: ops.switch(
        ops.cast(ops.sum(x) > 0, "int32"), [lambda y: y, lambda y: 2 * y, lambda y: 3 * y], x
    ),
}
ENDLESS: dict[str, Callable[[Any], Any]] = {
    "while": count_up,
    "at most three": lambda x: ops.while_loop(lambda s: ops.sum(s) < 1e9, lambda s: (2 * s,), (x,), 3),
}


def model_of(call: Callable[[Any], Any]) -> kg.Model:
    x = kg.Input((4, 3))
    return kg.Model(x, call(x))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", [*LOOPS, *ENDLESS])
def test_compiled_loops_are_the_eager_ones(name: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    call = (LOOPS | ENDLESS)[name]
    model = model_of(call)
    compiled = kg.compile(model, target=target)
    for batch in (2, 5):
        x = rng.normal(size=(batch, 4, 3)).astype("float32")
        wanted, have, eager = (tree.flatten(f(x)) for f in (model, compiled, call))
        for a, b, c in zip(wanted, have, eager, strict=True):
            np.testing.assert_allclose(b, a, rtol=2e-5, atol=1e-5)
            np.testing.assert_allclose(c, a, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("name", LOOPS)
def test_gradients_are_differences(name: str) -> None:
    graph = run(model_of(LOOPS[name]).trace().graph, BEFORE_GRADIENTS)
    parts = [reference(graph, one) for one in graph.outputs if graph[one].tensor.dtype == "float32"]
    total = sum(ops.sum(part * part + part * (number + 1.0)) for number, part in enumerate(parts))
    graph = graph.copy()
    graph.outputs = [splice(graph, total)]
    backward = gradients(graph, graph.outputs[0], graph.inputs)
    x, way = rng.normal(size=(2, 2, 4, 3))
    high, low = (evaluate(graph, [x + step * way], "float64")[0][0] for step in (1e-6, -1e-6))
    grad = evaluate(backward, [x], "float64")[0][1]
    np.testing.assert_allclose(np.sum(grad * way), (high - low) / 2e-6, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["a product", "one in the other", "a branch in a loop"])
def test_compiled_gradients_are_the_evaluated_ones(name: str) -> None:
    def loss(_: Any, y: Any) -> Any:
        return ops.sum(y * y)

    x = kg.Input((4, 3))
    hidden = kg.layers.Dense(3, name="in")(x)
    model = kg.Model(x, LOOPS[name](hidden)[0])
    compiled = kg.compile(model, loss=loss)
    data = rng.normal(size=(3, 4, 3)).astype("float32")
    value, found = compiled.value_and_grad(data, np.zeros((3, 3), "float32"))
    graph = run(model.trace().graph, BEFORE_GRADIENTS).copy()
    y = reference(graph, graph.outputs[0])
    graph.outputs = [splice(graph, ops.sum(y * y))]
    params = {node.attrs["variable"].name: node.name for node in graph.params()}
    backward = gradients(graph, graph.outputs[0], [params["kernel"], params["bias"]])
    wanted = evaluate(backward, [data], "float64")[0]
    np.testing.assert_allclose(value, wanted[0], rtol=1e-5)
    for have, want in zip(found, wanted[1:], strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def test_products_that_need_not_wait_are_one_before_the_loop() -> None:
    ir = kg.compile(model_of(LOOPS["a product"]), lower_only=True).ir
    (loop,) = (node for node in ir if node.op == "loop")
    assert str(ir).count("einsum(") == 2, "one before the loop, and one in each step"
    assert str(loop.body).count("einsum(") == 1


def test_the_gradient_of_a_weight_is_one_product_after_the_loop() -> None:
    weight = kg.Variable(WEIGHT, name="w")

    class Steps(kg.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.w = weight

        def call(self, x: Any) -> Any:
            return ops.scan(lambda c, v: (ops.tanh(c @ self.w + v), None), zeros(x), steps_first(x))[0]

    x = kg.Input((4, 3))
    ir = kg.compile(kg.Model(x, Steps()(x)), loss="mse", lower_only=True).ir
    loops = [node for node in ir if node.op == "loop"]
    assert len(loops) == 2
    assert [str(node.body).count("einsum(") for node in loops] == [1, 1]
    assert "grad/w" in ir
    assert ir["grad/w"].op == "einsum"


def test_a_variable_that_a_loop_assigns_is_carried() -> None:
    class Counting(kg.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.seen = kg.Variable(np.float32(0), trainable=False, name="seen")

        def call(self, x: Any) -> Any:
            def step(c: Any, v: Any) -> Any:
                self.seen.assign_add(1.0)
                return c + v * self.seen, None

            return ops.scan(step, zeros(x), steps_first(x))[0]

    x = kg.Input((4, 3))
    layer = Counting()
    compiled = kg.compile(kg.Model(x, layer(x)))
    data = rng.normal(size=(2, 4, 3)).astype("float32")
    for call in (1, 2):
        have = compiled(data)
        weights = np.arange(4 * (call - 1) + 1, 4 * call + 1, dtype="float32")
        np.testing.assert_allclose(have, np.einsum("btf,t->bf", data, weights), rtol=1e-5, atol=1e-5)
        assert layer.seen.numpy() == 4 * call


def test_what_does_not_fit_is_refused() -> None:
    x = np.zeros((3, 2), "float32")
    with pytest.raises(ShapeError, match="carries is f32"):
        ops.scan(lambda c, v: (ops.concatenate([c, c]), None), x, x)
    with pytest.raises(DTypeError, match="cast it"):
        ops.scan(lambda c, v: (c + 0.5, None), np.int32(0), x)
    with pytest.raises(ArgumentError, match="not the same nest"):
        ops.scan(lambda c, v: ((c, c), None), x[0], x)
    with pytest.raises(ArgumentError, match="returns \\(carry, y\\)"):
        ops.scan(lambda c, v: c, x[0], x)
    with pytest.raises(ArgumentError, match="xs or a length"):
        ops.scan(lambda c, v: (c, c), x[0])
    with pytest.raises(ShapeError, match="a condition is a scalar"):
        ops.while_loop(lambda s: s < 0, lambda s: (s,), (x,))
    with pytest.raises(ShapeError, match="in one branch"):
        ops.cond(np.array(True), lambda: x, lambda: x[0])
    with pytest.raises(ArgumentError, match="different nests"):
        ops.cond(np.array(True), lambda: x, lambda: (x, x))
    model = model_of(lambda x: count_up(x)[1])
    with pytest.raises(GraphError, match="no gradient"):
        kg.compile(model).vjp(np.zeros((1, 4, 3), "float32"))


def test_indices_in_a_loop_are_checked() -> None:
    x = kg.Input((4, 3))
    steps = kg.Input((4,), dtype="int32")
    total = ops.scan(
        lambda c, i: (c + ops.take(x, i, axis=1)[:, 0], None), zeros(x), ops.reshape(ops.transpose(steps), (4, -1))
    )[0]
    compiled = kg.compile(kg.Model([x, steps], total))
    data, good = rng.normal(size=(1, 4, 3)).astype("float32"), np.array([[0, 3, 1, 2]], "int32")
    np.testing.assert_allclose(compiled(data, good), data.sum(1), rtol=1e-5, atol=1e-5)
    with pytest.raises(kg.errors.RangeError, match="outside"):
        compiled(data, good + 1)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("inner", [lambda call: call, kg.layers.Lambda], ids=["an op", "in a layer"])
def test_a_wrong_index_is_an_error_only_if_a_step_runs(inner, target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though what is looked up is the same in every step, and could be computed before the loop."""
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    table, index, count = kg.Input((3,)), kg.Input((1,), dtype="int32"), kg.Input((), dtype="int32")
    look_up = inner(lambda both: 2.0 * ops.take(both[0], both[1][:, 0], axis=0))
    total = ops.while_loop(
        lambda i, s: i < ops.max(count), lambda i, s: (i + 1, s + look_up([table, index])), (0, ops.zeros_like(table))
    )[1]
    model = kg.Model([table, index, count], total)
    given = np.arange(6, dtype="float32").reshape(2, 3), np.array([[1], [7]], "int32")
    for call in (kg.compile(model, target=target), lambda *given: model(list(given))):
        np.testing.assert_array_equal(call(*given, np.zeros(2, "int32")), np.zeros((2, 3)))
        for steps in (1, 3):
            with pytest.raises(kg.errors.RangeError, match="outside"):
                call(*given, np.full(2, steps, "int32"))
            good = given[0], np.ones((2, 1), "int32"), np.full(2, steps, "int32")
            np.testing.assert_array_equal(call(*good), 2 * steps * np.tile(given[0][1:], (2, 1)))
