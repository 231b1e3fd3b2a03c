"""Values that stand for variables: what is seen inside, what is left as it was, and that Keras says the same."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError, GraphError, ShapeError

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(6, 3)).astype("float32")


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-5, atol=1e-6)


def values(variables: Any) -> list[np.ndarray]:
    return [np.array(variable.value if hasattr(variable, "value") else variable) for variable in variables]


def shifted(variables: Any) -> list[np.ndarray]:
    """Other values for these variables, of the same shapes."""
    return [np.array(value + 0.5, value.dtype) for value in values(variables)]


def model_of(k: Any) -> Any:
    """A model with state that a call in training changes, and a loss of its own."""
    layers = [
        k.Input((4,)),
        k.layers.Dense(5, activity_regularizer="l2", kernel_regularizer="l1"),
        k.layers.BatchNormalization(),
        k.layers.Dense(3),
    ]
    return k.Sequential(layers)


def test_a_scope_hides_assignments_and_shows_its_values() -> None:
    found = []
    for k in (kg, keras):
        first, second = k.Variable(np.zeros(3, "float32")), k.Variable(np.ones(3, "float32"))
        with k.StatelessScope([(first, np.full(3, 7.0))]) as scope:
            first.assign_add(second)
            second.assign(first * 2)
            inside = values([first, second])
        assert scope.get_current_value(k.Variable(1.0)) is None
        found.append([*inside, *values([first, second]), *map(scope.get_current_value, (first, second))])
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs)


def test_a_scope_inside_another_sees_what_that_one_holds() -> None:
    variable = kg.Variable(np.zeros(2, "float32"))
    with kg.StatelessScope([(variable, np.ones(2))]) as outer:
        with kg.StatelessScope() as inner:
            variable.assign(variable + 1)
        assert values([variable])[0].tolist() == [1, 1]
    assert inner.get_current_value(variable).tolist() == [2, 2]
    assert outer.get_current_value(variable).tolist() == [1, 1]
    assert variable.numpy().tolist() == [0, 0] and variable.version == 0


def test_a_scope_refuses_what_is_no_variable_or_does_not_fit() -> None:
    with pytest.raises(ArgumentError, match="is none"):
        kg.StatelessScope([(np.zeros(2), np.zeros(2))])
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        kg.StatelessScope([(kg.Variable(np.zeros(3)), np.zeros(2))])


def test_values_are_kept_in_the_dtype_of_the_variable_and_are_copies() -> None:
    variable, given = kg.Variable(np.zeros(2, "float32")), np.ones(2, "float64")
    with kg.StatelessScope([(variable, given)]) as scope:
        given[:] = 5
        assert variable.value.dtype == np.float32 and variable.value.tolist() == [1, 1]
        assert float(variable[0]) == 1.0
    assert scope.get_current_value(variable).dtype == np.float32


@pytest.mark.parametrize("training", [False, True])
def test_stateless_call_is_that_of_keras_and_changes_nothing(training: bool) -> None:
    ours, theirs = model_of(kg), model_of(keras)
    ours.set_weights(values(theirs.weights))
    before = ours.get_weights()
    weights, state = shifted(ours.trainable_variables), shifted(ours.non_trainable_variables)
    made = ours.stateless_call(weights, state, X, training=training, return_losses=True)
    wanted = theirs.stateless_call(weights, shifted(theirs.non_trainable_variables), X, training=training)
    close(made[0], wanted[0])
    for mine, other in zip(made[1], wanted[1], strict=True):
        close(mine, other)
    for one, other in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert ours.layers[0]._losses == []


def test_the_losses_of_a_stateless_call_are_those_of_its_values() -> None:
    ours = model_of(kg)
    weights, state = shifted(ours.trainable_variables), values(ours.non_trainable_variables)
    losses = ours.stateless_call(weights, state, X, return_losses=True)[2]
    ours.set_weights([*weights[:2], *ours.get_weights()[2:]])
    ours(X)
    assert len(losses) == len(ours.losses) == 2
    for mine, other in zip(losses, ours.losses, strict=True):
        close(mine, other)


def test_dropout_draws_anew_from_the_seed_that_a_stateless_call_gives_back() -> None:
    layer = kg.layers.Dropout(0.5, seed=3)
    layer.build((None, 4))
    state = values(layer.non_trainable_variables)
    first, state_after = layer.stateless_call([], state, X, training=True)
    again, _ = layer.stateless_call([], state, X, training=True)
    other, _ = layer.stateless_call([], state_after, X, training=True)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(layer.non_trainable_variables[0], state[0])


def test_stateless_call_says_what_is_missing() -> None:
    with pytest.raises(GraphError, match="before it is built"):
        kg.layers.Dense(3).stateless_call([], [], X)
    model = model_of(kg)
    with pytest.raises(ArgumentError, match="1 values for 6 trainable variables"):
        model.stateless_call([X], values(model.non_trainable_variables), X)
    with pytest.raises(ArgumentError, match="0 values for 2 other variables"):
        model.stateless_call(values(model.trainable_variables), [], X)


def test_gradients_of_a_stateless_call_are_those_of_jax() -> None:
    import jax

    ours, theirs = model_of(kg), model_of(keras)
    ours.set_weights(values(theirs.weights))

    def loss_of(model: Any, ops: Any) -> Any:
        def loss(weights: Any, state: Any, x: Any) -> Any:
            outputs, state, losses = model.stateless_call(weights, state, x, training=True, return_losses=True)
            return ops.mean(ops.square(outputs)) + sum(losses), state

        return loss

    weights, state = values(ours.trainable_variables), values(ours.non_trainable_variables)
    (value, after), gradients = kg.value_and_grad(loss_of(ours, kg.ops), has_aux=True)(weights, state, X)
    theirs_of = jax.value_and_grad(loss_of(theirs, keras.ops), has_aux=True)
    (other, after_theirs), wanted = theirs_of(weights, values(theirs.non_trainable_variables), X)
    close(value, other)
    for mine, one in zip([*after, *gradients], [*after_theirs, *wanted], strict=True):
        close(mine, one)
    np.testing.assert_array_equal(ours.get_weights()[0], weights[0])


def test_a_training_loop_without_state_trains_like_that_of_keras() -> None:
    ours, theirs = model_of(kg), model_of(keras)
    ours.set_weights(values(theirs.weights))
    found = []
    for k, model in ((kg, ours), (keras, theirs)):
        optimizer = k.optimizers.Adam(0.05)
        optimizer.build(model.trainable_variables)
        weights, slots = values(model.trainable_variables), values(optimizer.variables)
        for _ in range(3):
            gradients = [np.sign(one) * 0.3 for one in weights]
            weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        found.append([*weights, *slots])
        assert int(np.asarray(optimizer.iterations)) == 0
    for mine, one in zip(*found, strict=True):
        close(mine, one)


def test_a_metric_without_state_counts_like_that_of_keras() -> None:
    found = []
    for k in (kg, keras):
        metric = k.metrics.MeanSquaredError()
        start = metric.stateless_reset_state()
        state = metric.stateless_update_state(values(start), Y, Y + 1)
        state = metric.stateless_update_state(state, Y, Y + 2)
        found.append([*start, *state, metric.stateless_result(state), metric.result()])
    for mine, one in zip(*found, strict=True):
        close(mine, one)
    with pytest.raises(ArgumentError, match="1 values for 2 variables"):
        kg.metrics.Mean().stateless_result([0.0])


def test_a_metric_without_state_can_be_compiled() -> None:
    metric = kg.metrics.MeanSquaredError()
    state = values(metric.variables)
    after = kg.jit(lambda state, y: metric.stateless_update_state(state, y, y + 1))(state, Y)
    close(metric.stateless_result(after), 1.0)
    close(metric.result(), 0.0)


def test_the_loss_of_a_model_without_state_is_that_of_keras() -> None:
    ours, theirs = model_of(kg), model_of(keras)
    ours.set_weights(values(theirs.weights))
    found = []
    for model in (ours, theirs):
        model.compile("sgd", "mse")
        given = [shifted(model.trainable_variables), values(model.non_trainable_variables)]
        given.append(values(model.metrics_variables))
        loss, after = model.stateless_compute_loss(*given, x=X, y=Y, y_pred=Y + 1)
        found.append([loss, *after[0], *after[1]])
    for mine, one in zip(*found, strict=True):
        close(mine, one)
