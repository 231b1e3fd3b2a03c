"""Recurrent layers, cells and wrappers beside Keras: outputs, states, masks, weights, gradients, configurations."""

from __future__ import annotations

from functools import wraps
from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph import ops, tree

# Keras's variables have no `copy` in __array__; numpy says so each time.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

KINDS = ("SimpleRNN", "GRU", "LSTM")
OPTIONS: list[dict[str, Any]] = [
    {},
    {"return_sequences": True},
    {"return_sequences": True, "return_state": True, "go_backwards": True},
    {"return_state": True, "unroll": True},
    {"return_sequences": True, "zero_output_for_mask": True},
    {"use_bias": False, "activation": "relu"},
]
CASES: dict[str, Any] = {
    **{f"{kind} {options}": (kind, options) for kind in KINDS for options in OPTIONS},
    "GRU, reset before": ("GRU", {"reset_after": False}),
    "LSTM, hard": ("LSTM", {"recurrent_activation": "hard_sigmoid", "unit_forget_bias": False}),
}
STACKED: dict[str, Any] = {
    "stacked": lambda k: k.RNN([k.LSTMCell(4), k.GRUCell(3)], return_sequences=True, return_state=True),
    "stacked, last": lambda k: k.RNN([k.SimpleRNNCell(4), k.SimpleRNNCell(3)]),
    "of a cell": lambda k: k.RNN(k.GRUCell(4), return_state=True),
    **{
        f"both ways, {mode}": lambda k, mode=mode: k.Bidirectional(k.LSTM(4, return_sequences=True), merge_mode=mode)
        for mode in ("concat", "sum", "ave", "mul", None)
    },
    "both ways, last": lambda k: k.Bidirectional(k.GRU(4, return_state=True)),
    "both ways, two layers": lambda k: k.Bidirectional(k.GRU(4), backward_layer=k.GRU(3, go_backwards=True)),
    "each step": lambda k: k.TimeDistributed(k.Dense(3, activation="tanh")),
}
BUILDERS: dict[str, Any] = {
    **{name: lambda k, kind=kind, o=o: getattr(k, kind)(4, **o) for name, (kind, o) in CASES.items()},
    **STACKED,
}
rng = np.random.default_rng(0)
X = rng.normal(size=(3, 6, 5)).astype("float32")
MASK = rng.random((3, 6)) > 0.4
MASK[:, 0] = [True, False, True]


def pair(name: str) -> tuple[Any, Any]:
    """Our layer and Keras's, with the same weights."""
    ours, theirs = BUILDERS[name](kg.layers), BUILDERS[name](keras.layers)
    ours(X), theirs(X)
    values = [rng.normal(scale=0.4, size=weight.shape).astype("float32") for weight in theirs.weights]
    assert [weight.shape for weight in ours.weights] == [value.shape for value in values]
    ours.set_weights(values), theirs.set_weights(values)
    return ours, theirs


def alike(have: Any, want: Any, tolerance: float = 1e-5) -> None:
    for one, other in zip(tree.flatten(have), keras.tree.flatten(want), strict=True):
        np.testing.assert_allclose(one, np.asarray(other), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mask", [None, MASK], ids=["", "masked"])
@pytest.mark.parametrize("name", BUILDERS)
def test_outputs_and_states_are_those_of_keras(name: str, mask: Any) -> None:
    ours, theirs = pair(name)
    given = {} if mask is None else {"mask": mask}
    alike(ours(X, **given), theirs(X, **given))


@pytest.mark.parametrize("name", BUILDERS)
def test_names_and_order_of_weights_are_those_of_keras(name: str) -> None:
    ours, theirs = pair(name)
    for own, his in ((ours.weights, theirs.weights), (ours.trainable_weights, theirs.trainable_weights)):
        assert [one.name for one in own] == [one.name for one in his]


@pytest.mark.parametrize("name", BUILDERS)
def test_the_configuration_makes_an_equal_layer(name: str) -> None:
    ours, theirs = pair(name)
    config = ours.get_config()
    twin = type(ours).from_config(config)
    assert twin.get_config() == config
    twin(X)
    twin.set_weights(ours.get_weights())
    alike(twin(X), ours(X))
    assert set(config) <= {*theirs.get_config(), "seed"}


@pytest.mark.parametrize("name", [*KINDS, *STACKED])
def test_compiled_gradients_are_those_of_keras(name: str) -> None:
    build = BUILDERS.get(name) or (lambda k: getattr(k, name)(4, return_sequences=True))
    ours, theirs = build(kg.layers), build(keras.layers)
    models = []
    for layer, library in ((ours, kg), (theirs, keras)):
        x = library.Input((6, 5))
        y = layer(x)
        y = y[0] if isinstance(y, (list, tuple)) else y
        models.append(library.Model(x, y))
    own, his = models
    values = [rng.normal(scale=0.4, size=weight.shape).astype("float32") for weight in his.weights]
    own.set_weights(values), his.set_weights(values)
    out, pullback = kg.compile(own).vjp(X)
    cotangent = rng.normal(size=out.shape).astype("float32")
    frozen = [v.value for v in his.non_trainable_variables]

    def call(weights: Any, x: Any) -> Any:
        return his.stateless_call(weights, frozen, x)[0]

    want, back = jax.vjp(call, [v.value for v in his.trainable_variables], X)
    alike(out, want)
    weights, dx = back(cotangent)
    have, found = pullback(cotangent)
    for a, b in zip([have, *found], [dx, *weights], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


def test_masks_go_from_embedding_to_recurrent_layer_and_beyond() -> None:
    def build(k: Any, model: Any, given: Any) -> Any:
        i = given((6,), dtype="int32")
        h = k.Embedding(9, 5, mask_zero=True)(i)
        h = k.Bidirectional(k.LSTM(4, return_sequences=True))(h)
        return model(i, k.GRU(3)(h))

    ours, theirs = build(kg.layers, kg.Model, kg.Input), build(keras.layers, keras.Model, keras.Input)
    ours.set_weights(theirs.get_weights())
    words = rng.integers(0, 3, (4, 6)).astype("int32")
    alike(kg.compile(ours)(words), theirs(words))


def test_a_stateful_layer_goes_on_where_it_ended() -> None:
    given = [kg.Input(batch_shape=(3, 6, 5)), keras.Input(batch_shape=(3, 6, 5))]
    ours, theirs = (k.LSTM(4, stateful=True, return_state=True) for k in (kg.layers, keras.layers))
    model = kg.Model(given[0], ours(given[0]))
    theirs(given[1])
    theirs.set_weights(values := [rng.normal(scale=0.4, size=w.shape).astype("float32") for w in theirs.weights])
    ours.set_weights(values)
    ours.reset_state(), theirs.reset_state()
    compiled = kg.compile(model)
    for _ in range(2):
        alike(compiled(X), theirs(X))
    ours.reset_state(), theirs.reset_state()
    alike(compiled(X), theirs(X))


def test_an_initial_state_is_where_a_layer_begins() -> None:
    ours, theirs = pair("LSTM {}")
    state = [rng.normal(size=(3, 4)).astype("float32") for _ in range(2)]
    alike(ours(X, initial_state=state), theirs(X, initial_state=state))
    with pytest.raises(kg.errors.ArgumentError, match="2 states"):
        ours(X, initial_state=state[:1])


def test_dropout_is_the_same_in_every_step_and_another_in_every_call() -> None:
    layer = kg.layers.SimpleRNN(50, activation=None, dropout=0.5, recurrent_dropout=0.0, return_sequences=True, seed=1)
    x = np.ones((1, 4, 50), "float32")
    layer(x)
    eye, nothing = np.eye(50, dtype="float32"), np.zeros((50, 50), "float32")
    layer.set_weights([eye, nothing, np.zeros(50, "float32")])
    first, second = layer(x, training=True), layer(x, training=True)
    assert (first == first[:, :1]).all()
    assert set(np.unique(first)) == {0.0, 2.0}
    assert (first != second).any()
    np.testing.assert_array_equal(layer(x), x)


class MinimalCell(kg.layers.Layer):
    """A cell as users write it."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.state_size = units

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, self.units), name="recurrent_kernel")

    def call(self, inputs: Any, states: Any) -> Any:
        output = ops.matmul(inputs, self.kernel) + ops.matmul(states[0], self.recurrent_kernel)
        return output, [output]


def test_a_cell_of_ones_own_runs_and_has_gradients() -> None:
    kg.utils.set_random_seed(0)
    x = kg.Input((6, 5))
    model = kg.Model(x, kg.layers.RNN([MinimalCell(4), MinimalCell(3)])(x))
    w, r, w2, r2 = model.get_weights()
    h = np.zeros((3, 4), "float32")
    g = np.zeros((3, 3), "float32")
    for step in range(6):
        h = X[:, step] @ w + h @ r
        g = h @ w2 + g @ r2
    compiled = kg.compile(model, loss="mse")
    np.testing.assert_allclose(compiled(X), g, rtol=1e-4, atol=1e-5)
    _, grads = compiled.value_and_grad(X, g)
    assert all(np.abs(one).max() < 1e-4 for one in grads)
    both = kg.layers.Bidirectional(kg.layers.RNN(MinimalCell(4)))
    assert both(X).shape == (3, 8)


def test_cells_in_a_stack_may_have_one_state_each_and_hand_it_back_in_a_list():
    sequences = np.random.default_rng(0).random((2, 5, 4), dtype=np.float32)
    i = kg.Input((5, 4))
    stack = kg.layers.RNN([MinimalCell(3), MinimalCell(6)], return_state=True)
    output, first, second = kg.Model(i, stack(i)).predict(sequences, verbose=0)
    assert (output.shape, first.shape, second.shape) == ((2, 6), (2, 3), (2, 6))
    np.testing.assert_array_equal(output, second)


def decorated(call: Any) -> Any:
    """The same function, behind one that takes anything."""

    @wraps(call)
    def inside(*args: Any, **options: Any) -> Any:
        return call(*args, **options)

    return inside


class Plus:
    """A cell that is no layer, and adds the inputs up."""

    state_size = 5

    def call(self, inputs: Any, states: Any) -> Any:
        training = inputs + states[0]  # a name of its own, not an argument
        return training, [training]


class Told(Plus):
    """One that gives zeros while training."""

    @decorated
    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        h = (inputs + states[0]) * (0.0 if training else 1.0)
        return h, [h]


class Called(Plus):
    """One that is called itself."""

    def __call__(self, inputs: Any, states: Any, training: Any = None) -> Any:
        return Told.call(self, inputs, states, training=training)


def test_a_cell_with_a_variable_named_training_is_not_told_of_it() -> None:
    np.testing.assert_allclose(kg.layers.RNN(Plus())(X, training=True), X.sum(1), rtol=1e-5)


@pytest.mark.parametrize("kind", [Told, Called])
def test_a_cell_that_takes_training_is_told_of_it_behind_a_decorator_too(kind: Any) -> None:
    layer = kg.layers.RNN(kind())
    np.testing.assert_allclose(layer(X), X.sum(1), rtol=1e-5)
    np.testing.assert_array_equal(layer(X, training=True), np.zeros((3, 5)))
