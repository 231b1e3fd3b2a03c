"""Gradients asked for in the middle of what is traced, and of what is computed at once."""

from __future__ import annotations

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.errors import DTypeError, GraphError
from kgraph.executable.gradient_tape import GradientTape

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def weight(value: float = 0.5) -> kg.Variable:
    return kg.Variable(np.full((3, 2), value, np.float32), name="w")


def traced(function):
    """The function of X, compiled, and its results."""
    return kg.compile(function, inputs=[kg.Input((3,))])(X)


def eager(function):
    return function(X)


both = pytest.mark.parametrize("run", [traced, eager])


@both
def test_a_gradient_of_a_weight(run):
    w = weight()

    def call(x):
        with GradientTape() as tape:
            loss = ops.sum(ops.square(ops.matmul(x, w)))
        return tape.gradient(loss, w)

    np.testing.assert_allclose(run(call), 2 * X.T @ (X @ w.numpy()), rtol=1e-5, atol=1e-6)


@both
def test_gradients_come_in_the_nest_of_the_sources(run):
    w = weight()

    def call(x):
        with GradientTape() as tape:
            tape.watch(x)
            loss = ops.sum(ops.exp(ops.matmul(x, w)))
        found = tape.gradient(loss, {"x": x, "more": [w]})
        return found["x"], found["more"][0]

    to_x, to_w = run(call)
    grown = np.exp(X @ w.numpy())
    np.testing.assert_allclose(to_x, grown @ w.numpy().T, rtol=1e-5)
    np.testing.assert_allclose(to_w, X.T @ grown, rtol=1e-5, atol=1e-6)


@both
def test_a_value_in_between_has_gradients(run):
    """Also where a pass puts a stable formula in the place of what follows it."""

    def call(x):
        with GradientTape() as tape:
            tape.watch(x)
            probabilities = ops.softmax(x)
            loss = ops.sum(ops.log(probabilities)[:, 0])
        return tape.gradient(loss, probabilities)

    probabilities = np.exp(X) / np.exp(X).sum(-1, keepdims=True)
    wanted = np.zeros_like(X)
    wanted[:, 0] = 1 / probabilities[:, 0]
    np.testing.assert_allclose(run(call), wanted, rtol=1e-5)


@both
def test_tapes_nest_for_second_derivatives(run):
    def call(x):
        with GradientTape() as outer:
            outer.watch(x)
            with GradientTape() as inner:
                inner.watch(x)
                total = ops.sum(ops.power(x, 3))
            slope = inner.gradient(total, x)
        return outer.gradient(slope, x)

    np.testing.assert_allclose(run(call), 6 * X, rtol=1e-5, atol=1e-6)


@both
def test_output_gradients_weigh_the_target(run):
    def call(x):
        with GradientTape() as tape:
            tape.watch(x)
            y = ops.square(x)
        return tape.gradient(y, x, output_gradients=ops.ones_like(x) * 3)

    np.testing.assert_allclose(run(call), 6 * X, rtol=1e-5)


@both
def test_what_the_target_does_not_depend_on_gets_none_or_zeros(run):
    w = weight()

    def call(x):
        with GradientTape(persistent=True) as tape:
            loss = ops.sum(ops.square(x))
        assert tape.gradient(loss, w) is None
        return tape.gradient(loss, [w], unconnected_gradients="zero")[0]

    assert np.array_equal(run(call), np.zeros((3, 2)))


@both
def test_a_tape_gives_gradients_once_unless_it_is_persistent(run):
    def twice(persistent):
        def call(x):
            with GradientTape(persistent=persistent) as tape:
                tape.watch(x)
                loss = ops.sum(ops.square(x))
            return tape.gradient(loss, x) + tape.gradient(loss, x)

        return call

    np.testing.assert_allclose(run(twice(True)), 4 * X, rtol=1e-6)
    with pytest.raises(GraphError, match="persistent"):
        run(twice(False))


@both
def test_a_layer_with_a_tape_in_its_call(run):
    class Slope(kg.Layer):
        def call(self, x):
            with GradientTape() as tape:
                tape.watch(x)
                y = ops.sum(ops.sin(x))
            return tape.gradient(y, x)

    layer = Slope()
    np.testing.assert_allclose(run(lambda x: layer(x)), np.cos(X), rtol=1e-5)


def test_an_update_reads_the_gradient_and_is_seen_by_the_next_call():
    w = weight()

    def step(x):
        with GradientTape() as tape:
            loss = ops.mean(ops.square(ops.matmul(x, w)))
        w.assign_sub(0.1 * tape.gradient(loss, w))
        return loss

    compiled = kg.compile(step, inputs=[kg.Input((3,))])
    losses = [float(compiled(X)) for _ in range(5)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] / 2


def test_a_weight_assigned_before_the_tape_counts_as_it_is_then():
    w = weight()

    def call(x):
        w.assign(w * 2.0)
        with GradientTape() as tape:
            loss = ops.sum(ops.square(w))
        return tape.gradient(loss, w)

    assert np.array_equal(traced(call), np.full((3, 2), 2.0))


@both
def test_a_step_of_another_tape_counts_as_constant(run):
    """Weights that a first tape's gradients have changed do not lead back to what these were computed from."""
    w, v = weight(), kg.Variable(np.full((2, 1), 0.25, np.float32), name="v")

    def call(x):
        with GradientTape() as tape:
            loss = ops.sum(ops.square(ops.matmul(ops.matmul(x, w), v)))
        v.assign_sub(0.1 * tape.gradient(loss, v))
        with GradientTape() as tape:
            loss = ops.sum(ops.square(ops.matmul(ops.matmul(x, w), v)))
        return tape.gradient(loss, w)

    hidden, start = X @ w.numpy(), v.numpy()
    stepped = start - 0.1 * 2 * hidden.T @ (hidden @ start)
    np.testing.assert_allclose(run(call), 2 * X.T @ (hidden @ stepped) @ stepped.T, rtol=1e-4)


@both
def test_what_was_computed_before_the_tape_counts_as_constant(run):
    w = weight()

    def call(x):
        before = ops.exp(w)
        with GradientTape() as tape:
            loss = ops.sum(before * w)
        return tape.gradient(loss, w)

    np.testing.assert_allclose(run(call), np.exp(w.numpy()), rtol=1e-6)


@both
def test_one_result_of_a_model_has_gradients_with_respect_to_another(run):
    inner = kg.Input((3,))
    hidden = kg.layers.Dense(4, activation="tanh")(inner)
    model = kg.Model(inner, [hidden, kg.layers.Dense(2)(hidden)])

    def call(x):
        with GradientTape() as tape:
            found, out = model(x)
            chosen = out[:, 1]
        return tape.gradient(chosen, found)

    np.testing.assert_allclose(run(call), np.repeat(model.get_weights()[2][:, 1][None], 4, 0), rtol=1e-6)


def test_what_is_computed_under_a_tape_prints_and_computes_like_an_array():
    with GradientTape() as tape:
        tape.watch(X)
        y = np.exp(ops.square(X))
    assert isinstance(y, np.ndarray) and "0.5" not in repr(y[:0])
    assert float(ops.sum(y)) == pytest.approx(float(np.exp(X**2).sum()), rel=1e-6)
    np.testing.assert_allclose(tape.gradient(y, X), 2 * X * np.exp(X**2), rtol=1e-5)


@both
def test_a_loss_may_be_added_to_in_place(run):
    w = weight()

    def call(x):
        with GradientTape() as tape:
            loss = first = ops.sum(ops.matmul(x, w))
            loss += 0.5 * ops.sum(ops.square(w))
            loss *= 2.0
            loss -= first
        return tape.gradient(loss, w)

    np.testing.assert_allclose(run(call), X.sum(0)[:, None] + 2 * w.numpy(), rtol=1e-5, atol=1e-6)


def test_numpy_writes_into_what_was_computed_under_a_tape():
    with GradientTape() as tape:
        tape.watch(X)
        y = ops.square(X)
        np.add(X, 1, out=y)
    assert np.array_equal(y, X + 1)


def test_the_draws_of_a_layer_count_as_they_were():
    """Dropout's seed moves on with the call; the gradient is that of the call."""
    drop = kg.layers.Dropout(0.5, seed=1)
    with GradientTape() as tape:
        tape.watch(X)
        y = drop(X, training=True)
    gradient = tape.gradient(y, X)
    assert np.array_equal(gradient != 0, (np.asarray(y) != 0) | (X == 0) & (gradient != 0))


def test_what_numpy_computed_has_no_gradient():
    with GradientTape() as tape:
        tape.watch(X)
        y = X**2
    with pytest.raises(GraphError, match="ops"):
        tape.gradient(y, X)


def test_bad_input_is_refused():
    with GradientTape() as tape:
        loss = ops.sum(ops.square(X))
    with pytest.raises(DTypeError, match="variables and tensors"):
        tape.gradient(loss, "kernel")
    with GradientTape() as tape:
        count = ops.sum(ops.cast(X, "int32"))
    with pytest.raises(DTypeError, match="floating"):
        tape.gradient(count, weight())
    with GradientTape() as tape, pytest.raises(ValueError, match="unconnected_gradients"):
        tape.gradient(loss, weight(), unconnected_gradients="nothing")
