"""Calls on arrays that are computed again without tracing: they give what tracing gives, and notice every change."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from layer_families import Case, applied, arrays_of
from layer_table import TABLE, name_of

import kgraph as kg
from kgraph.errors import ShapeError
from kgraph.layers import calls

X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The layers that were traced on arrays, one after the other."""
    seen: list[Any] = []
    compute = calls.compute_call

    def noticed(layer: Any, *args: Any) -> Any:
        seen.append(layer)
        return compute(layer, *args)

    monkeypatch.setattr(calls, "compute_call", noticed)
    yield seen


def stack(*layers: Any) -> Any:
    """A model that has been called, and knows the call."""
    model = kg.Sequential([kg.Input((4,)), *layers])
    for _ in range(3):
        model(X)
    return model


def state_of(layer: Any) -> list[np.ndarray]:
    return [np.array(variable) for variable in layer.variables]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", TABLE, ids=map(name_of, TABLE))
def test_what_is_remembered_is_what_is_traced(case: Case, training: bool) -> None:
    layer, x = getattr(kg.layers, case.layer)(**case.options), arrays_of(case)
    applied(case, layer, x, training=training)
    twin = copy.deepcopy(layer)
    for _ in range(3):
        made = applied(case, layer, x, training=training)
        args = tuple(x) if case.apart else (x,) if isinstance(case.shapes, list) else tuple(x)
        wanted = calls.call_layer(twin, args, {**case.call, "training": training})
        for one, other in zip(kg.tree.flatten(made), kg.tree.flatten(wanted), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        for one, other in zip([*state_of(layer), *layer.losses], [*state_of(twin), *twin.losses], strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_call_is_traced_again_only_for_other_shapes_types_and_training(traced: list[Any]) -> None:
    model = stack(kg.layers.Dense(3), kg.layers.Dropout(0.5))
    traced.clear()
    model(X), model(X.copy()), model(X)
    assert traced == []
    model(X[:2]), model(X.astype("float64")), model(X, training=True), model(X, training=True)
    assert traced == [model, model, model]


def test_state_moves_on_with_every_call() -> None:
    model = stack(kg.layers.BatchNormalization(), kg.layers.Dropout(0.5))
    twin = copy.deepcopy(model)
    for _ in range(4):
        np.testing.assert_array_equal(model(X, training=True), calls.call_layer(twin, (X,), {"training": True}))
    for one, other in zip(state_of(model), state_of(twin), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_are_live() -> None:
    model = stack(kg.layers.Dense(3, use_bias=False))
    model.set_weights([np.ones((4, 3))])
    np.testing.assert_allclose(model(X), np.tile(X.sum(-1, keepdims=True), 3), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "mixed_float16", "float64"])
def test_weights_of_other_dtypes_are_live(dtype: str) -> None:
    layer = kg.layers.Dense(3, use_bias=False, dtype=dtype)
    for _ in range(3):
        layer(X)
    layer.set_weights([np.ones((4, 3))])
    np.testing.assert_array_equal(layer(X), calls.call_layer(layer, (X,), {}))


def change_trainable(model: Any) -> None:
    model.layers[0].trainable = False


def change_activation(model: Any) -> None:
    model.layers[1].activation = kg.activations.get("relu")


def change_stack(model: Any) -> None:
    model.add(kg.layers.Dense(2))


def shorten_stack(model: Any) -> None:
    model.pop()


def change_weight(model: Any) -> None:
    model.layers[1].kernel = kg.Variable(np.ones((4, 3)), dtype="float32")


def change_call(model: Any) -> None:
    model.layers[1].call = lambda x: x * 0


@pytest.mark.parametrize(
    "change", [change_trainable, change_activation, change_stack, shorten_stack, change_weight, change_call]
)
def test_every_change_of_the_model_is_noticed(change: Any) -> None:
    model = kg.Sequential([kg.Input((4,)), kg.layers.BatchNormalization(), kg.layers.Dense(3)])
    for _ in range(3):
        before = model(X, training=True)
    model.layers[1].unlock_state()
    change(model)
    after = [model(X, training=True) for _ in range(3)][-1]
    wanted = calls.call_layer(model, (X,), {"training": True})
    np.testing.assert_array_equal(after, wanted)
    assert before.shape != after.shape or not np.array_equal(before, after)


def test_a_setting_is_noticed(traced: list[Any]) -> None:
    model = stack(kg.layers.Dense(3))
    traced.clear()
    before = kg.config.epsilon()
    try:
        kg.config.set_epsilon(1e-3)
        model(X)
    finally:
        kg.config.set_epsilon(before)
    assert traced == [model]


def test_code_of_the_user_runs_at_every_call() -> None:
    ran = []

    class Own(kg.layers.Layer):
        def call(self, x: Any) -> Any:
            ran.append(1)
            return x * 2

    def act(x: Any) -> Any:
        ran.append(1)
        return x

    for layer in (Own(), kg.layers.Dense(3, activation=act), kg.layers.Lambda(act)):
        model = stack(layer)
        ran.clear()
        model(X), model(X)
        assert len(ran) == 2


def test_a_tape_records_a_remembered_call() -> None:
    model = stack(kg.layers.Dense(3))
    with kg.GradientTape() as tape:
        loss = kg.ops.sum(model(X))
    gradients = tape.gradient(loss, model.trainable_variables)
    np.testing.assert_allclose(gradients[1], np.full(3, 5.0))


def test_a_stateless_scope_has_its_own_weights_in_a_remembered_call() -> None:
    model = stack(kg.layers.Dense(3, use_bias=False))
    with kg.StatelessScope([(model.weights[0], np.zeros((4, 3)))]):
        assert not np.any(model(X))
    assert np.any(model(X))


def test_an_array_that_a_call_gave_can_be_written_to() -> None:
    model = stack(kg.layers.Dense(3), kg.layers.Reshape((1, 3)))
    first = model(X)
    kept = first.copy()
    first[:] = 7
    np.testing.assert_array_equal(model(X), kept)


def test_wrong_shapes_are_errors_after_right_ones() -> None:
    model = stack(kg.layers.Dense(3))
    with pytest.raises(ShapeError):
        model(X[:, :3])


def test_losses_are_those_of_the_last_call() -> None:
    model = stack(kg.layers.Dense(3, activity_regularizer="l2"), kg.layers.Dense(2, kernel_regularizer="l1"))
    twin = copy.deepcopy(model)
    for x in (X, X * 2, X):
        model(x)
        calls.call_layer(twin, (x,), {})
        for one, other in zip(model.losses, twin.losses, strict=True):
            np.testing.assert_array_equal(one, other)


def test_models_of_several_inputs_and_outputs_are_remembered(traced: list[Any]) -> None:
    a, b = kg.Input((4,)), kg.Input((4,))
    both = kg.layers.Dense(3)
    model = kg.Model({"a": a, "b": b}, {"sum": both(a) + both(b), "last": kg.ops.exp(b)})
    given = {"a": X, "b": X * 2}
    wanted = model(given)
    for _ in range(3):
        made = model(given)
    traced.clear()
    made = model(given)
    assert traced == [] and list(made) == list(wanted)
    for key, value in wanted.items():
        np.testing.assert_array_equal(made[key], value)


def test_recurrent_layers_with_masks_are_remembered(traced: list[Any]) -> None:
    words = np.array([[1, 2, 0], [3, 0, 0]], "int32")
    layers = [kg.Input((3,), dtype="int32"), kg.layers.Embedding(5, 4, mask_zero=True), kg.layers.LSTM(3)]
    model = kg.Sequential([*layers, kg.layers.Dense(2)])
    for _ in range(3):
        made = model(words)
    traced.clear()
    np.testing.assert_array_equal(model(words), made)
    assert traced == []
    np.testing.assert_array_equal(made, calls.call_layer(model, (words,), {}))


def test_a_model_that_knows_calls_pickles_and_forgets_them() -> None:
    model = stack(kg.layers.Dense(3))
    again = pickle.loads(pickle.dumps(model))
    assert again._remembered is None
    np.testing.assert_array_equal(again(X), model(X))
