"""Calls of layers: their indices, and how shapes, training, losses, state, masks and dtypes go through them."""

from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops

pytestmark = pytest.mark.usefixtures("fresh_names")
X = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")


def twice_called() -> tuple[Any, Any, Any]:
    a, b = kg.Input((140, 256)), kg.Input((140, 256))
    layer = kg.layers.Dense(32, name="lstm_1")
    return layer, layer(a), layer(b)


def test_a_layer_called_once_has_an_output() -> None:
    a = kg.Input((140, 256))
    layer = kg.layers.Dense(32)
    y = layer(a)
    assert layer.output is y
    assert layer.input is a
    assert layer.input_shape == (None, 140, 256)
    assert layer.output_shape == (None, 140, 32)


def test_a_layer_called_twice_has_one_output_at_each_index() -> None:
    layer, first, second = twice_called()
    with pytest.raises(AttributeError) as error:
        layer.output  # noqa: B018
    assert str(error.value) == (
        'Layer lstm_1 has multiple inbound nodes, hence the notion of "layer output" is ill-defined. '
        "Use `get_output_at(node_index)` instead."
    )
    with pytest.raises(AttributeError, match=r'"layer input" is ill-defined. Use `get_input_at\(node_index\)` instead'):
        layer.input  # noqa: B018
    assert layer.get_output_at(0) is first
    assert layer.get_output_at(1) is second
    assert layer.get_input_at(1).name == "input_layer_1"


def test_shapes_are_defined_while_all_calls_agree() -> None:
    layer = kg.layers.Activation("relu", name="conv")
    layer(kg.Input((32, 3)))
    layer(kg.Input((32, 3)))
    assert layer.input_shape == (None, 32, 3)
    layer(kg.Input((64, 3)))
    with pytest.raises(AttributeError, match='"layer input shape" is ill-defined'):
        layer.input_shape  # noqa: B018
    with pytest.raises(AttributeError, match=r"Use `get_output_shape_at\(node_index\)` instead"):
        layer.output_shape  # noqa: B018
    assert layer.get_input_shape_at(0) == (None, 32, 3)
    assert layer.get_input_shape_at(2) == (None, 64, 3)
    assert layer.get_output_shape_at(2) == (None, 64, 3)


def test_a_layer_never_called_has_no_output() -> None:
    layer = kg.layers.Dense(3, name="alone")
    for name in ("input", "output", "input_shape", "output_shape"):
        with pytest.raises(AttributeError, match="The layer alone has never been called and thus has no defined"):
            getattr(layer, name)
    assert not hasattr(layer, "output")


def test_an_index_beyond_the_calls_is_an_error() -> None:
    layer, _, _ = twice_called()
    with pytest.raises(ValueError, match="output at node 2, but the layer lstm_1 has only 2 inbound nodes"):
        layer.get_output_at(2)


def test_calls_inside_calls_get_no_index() -> None:
    layer = kg.layers.Dense(3)
    model = kg.Sequential([kg.Input((5,)), layer])
    model(kg.Input((5,)))
    model(X)
    assert len(layer.inbound_nodes) == 1


def test_a_layer_may_take_and_give_dicts() -> None:
    class Pair(kg.layers.Layer):
        def build(self, input_shape: Any) -> None:
            assert input_shape == {"a": (3, 5), "b": (3, 5)}

        def call(self, inputs: Any) -> Any:
            return {"sum": inputs["a"] + inputs["b"], "product": inputs["a"] * inputs["b"]}

    y = Pair()({"a": X, "b": X})
    np.testing.assert_allclose(y["sum"], X + X)
    np.testing.assert_allclose(y["product"], X * X)


def test_build_gets_a_shape_for_each_argument() -> None:
    class Two(kg.layers.Layer):
        def build(self, query_shape: Any, value_shape: Any) -> None:
            self.shapes = (query_shape, value_shape)

        def call(self, query: Any, value: Any) -> Any:
            return query + value

    layer = Two()
    layer(kg.Input((5,)), value=kg.Input((5,)))
    assert layer.shapes == ((None, 5), (None, 5))


def test_training_is_the_callers_then_the_outer_calls_then_false() -> None:
    seen = []

    class Inner(kg.layers.Layer):
        def call(self, x: Any, training: Any = None) -> Any:
            seen.append(training)
            return x

    class Outer(kg.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def call(self, x: Any) -> Any:
            return self.inner(self.inner(x), training=False)

    outer = Outer()
    outer(X)
    outer(X, training=True)
    assert seen == [False, False, True, False]


def test_losses_are_those_of_the_last_call() -> None:
    class Costly(kg.layers.Layer):
        def call(self, x: Any) -> Any:
            self.add_loss(ops.sum(x))
            return x

    layer = Costly()
    layer(X)
    layer(X * 2)
    assert len(layer.losses) == 1
    np.testing.assert_allclose(layer.losses[0], (X * 2).sum(), rtol=1e-5)


def test_state_assigned_in_a_call_moves_on() -> None:
    class Counter(kg.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.calls_so_far = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

        def call(self, x: Any) -> Any:
            self.calls_so_far.assign_add(1.0)
            return x * self.calls_so_far

    layer = Counter()
    np.testing.assert_allclose(layer(X), X)
    np.testing.assert_allclose(layer(X), X * 2)
    assert float(layer.calls_so_far) == 2


def test_two_calls_of_a_stateful_layer_in_one_call_see_each_other() -> None:
    class Counter(kg.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

        def call(self, x: Any) -> Any:
            self.count.assign_add(1.0)
            return x * self.count

    counter = Counter()
    x = kg.Input((5,))
    model = kg.Model(x, counter(counter(x)))
    np.testing.assert_allclose(model(X), X * 2)
    np.testing.assert_allclose(model(X), X * 3 * 4)


def test_masks_travel_along() -> None:
    x = kg.Input((None,), dtype="int32")
    y = kg.layers.Embedding(7, 4, mask_zero=True)(x)
    assert y.mask is not None
    z = kg.layers.Dense(3)(kg.layers.Dropout(0.5)(y))
    assert z.mask is not None
    assert z.mask.type.shape == x.type.shape
    assert kg.layers.Flatten()(y[:, :2]).mask is None


def test_int_and_double_inputs_are_converted() -> None:
    layer = kg.layers.Dense(2)
    y = layer(X.astype("float64"))
    assert y.dtype == "float32"
    np.testing.assert_allclose(y, layer(X), rtol=1e-6)
    np.testing.assert_allclose(layer(X.tolist()), layer(X), rtol=1e-5)
