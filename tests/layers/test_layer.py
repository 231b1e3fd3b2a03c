"""The base of layers: calls and their indices, weights, building, nesting, errors."""

import pickle
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.errors import ArgumentError, DTypeError, GraphError, ShapeError
from kgraph.graph.sizes import N
from kgraph.layers.naming import forget_names

X = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")


@pytest.fixture(autouse=True)
def fresh_names() -> None:
    forget_names()


class Scaled(kg.layers.Layer):
    """A layer as Keras 2 users write it."""

    def __init__(self, units: int, **options: Any) -> None:
        self.units = units
        super().__init__(**options)

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[1], self.units), initializer="uniform")
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        return ops.matmul(x, self.kernel)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0], self.units


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


def test_names_are_numbered_as_in_keras() -> None:
    assert [kg.layers.Dense(1).name for _ in range(3)] == ["dense", "dense_1", "dense_2"]
    assert kg.layers.EinsumDense("ab,bc->ac", 1).name == "einsum_dense"
    kg.utils.clear_session()
    assert kg.layers.Dense(1).name == "dense"


def test_weights_are_named_by_their_layers() -> None:
    class Outer(kg.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="outer")
            self.parts = [kg.layers.Dense(4, name="first"), {"second": kg.layers.Dense(4, name="second")}]

        def call(self, x: Any) -> Any:
            return self.parts[1]["second"](self.parts[0](x))

    layer = Outer()
    layer(X)
    assert [weight.path for weight in layer.weights] == [
        "outer/first/kernel",
        "outer/first/bias",
        "outer/second/kernel",
        "outer/second/bias",
    ]
    assert layer.weights[0].name == "kernel"


def test_layers_appended_to_a_list_are_found_in_order() -> None:
    class Stack(kg.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.blocks: list[Any] = []
            self.last = kg.layers.Dense(1, name="last")
            for number in range(2):
                self.blocks.append(kg.layers.Dense(4, name=f"block{number}"))

        def call(self, x: Any) -> Any:
            for block in self.blocks:
                x = block(x)
            return self.last(x)

    layer = Stack()
    layer(X)
    assert [weight.path.split("/")[1] for weight in layer.weights[::2]] == ["last", "block0", "block1"]


def test_a_layer_in_the_style_of_keras_2() -> None:
    layer = Scaled(4, input_shape=(5,))
    y = layer(X)
    assert y.shape == (3, 4)
    np.testing.assert_allclose(y, X @ layer.get_weights()[0], rtol=1e-5)
    assert layer.built
    assert layer.compute_output_shape((None, 5)) == (None, 4)


def test_a_layer_may_set_its_trainable_weights() -> None:
    class Own(kg.layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.w = kg.Variable(np.ones((5, 2), "float32"), name="w")
            self.v = kg.Variable(np.ones((2,), "float32"), name="v")
            self.trainable_weights = [self.w]
            self.non_trainable_weights = [self.v]

        def call(self, x: Any) -> Any:
            return x @ self.w + self.v

    layer = Own()
    np.testing.assert_allclose(layer(X), X @ np.ones((5, 2)) + 1, rtol=1e-5)
    assert layer.trainable_weights == [layer.w]
    assert layer.non_trainable_weights == [layer.v]
    assert layer.weights == [layer.w, layer.v]


def test_add_weight_takes_the_arguments_of_both_generations() -> None:
    layer = kg.layers.Layer()
    new = layer.add_weight((2, 3), "ones", "float64")
    old = layer.add_weight("old", (2,), "float32", "zeros", None, False)
    bare = layer.add_weight(name="bare")
    assert (new.shape, new.dtype, new.numpy().sum()) == ((2, 3), "float64", 6)
    assert (old.name, old.shape, old.trainable) == ("old", (2,), False)
    assert bare.shape == ()
    with pytest.raises(ArgumentError, match="twice"):
        layer.add_weight((2,), shape=(2,))
    with pytest.raises(ShapeError, match="every size"):
        layer.add_weight(shape=(None, 2), name="w")


def test_trainable_reaches_every_depth() -> None:
    inner = kg.Sequential([kg.layers.Dense(4), kg.layers.BatchNormalization()])
    model = kg.Sequential([inner, kg.layers.Dense(2)])
    model(X)
    assert len(model.trainable_weights) == 6
    inner.trainable = False
    assert len(model.trainable_weights) == 2
    assert len(model.non_trainable_weights) == 6
    assert not inner.layers[0].trainable
    inner.layers[0].trainable = True
    model.trainable = True
    assert len(model.trainable_weights) == 6


def test_weights_are_set_all_or_none() -> None:
    layer = kg.layers.Dense(2)
    layer(X)
    before = layer.get_weights()
    with pytest.raises(ShapeError, match=r"dense.bias has shape \(2,\), not \(3,\)"):
        layer.set_weights([np.zeros((5, 2)), np.zeros(3)])
    with pytest.raises(ShapeError, match="has 2 weights and was given 1"):
        layer.set_weights([np.zeros((5, 2))])
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_initial_weights_may_be_given() -> None:
    values = [np.full((5, 2), 2, "float32"), np.ones(2, "float32")]
    layer = kg.layers.Dense(2, weights=values)
    np.testing.assert_allclose(layer(X), X @ values[0] + 1, rtol=1e-5)


def test_inputs_that_do_not_fit_are_named() -> None:
    layer = kg.layers.Dense(2, name="hidden")
    layer(X)
    with pytest.raises(ShapeError, match=r"layer 'hidden' .*axis -1 of size 5, found shape \(3, 4\)"):
        layer(X[:, :4])
    with pytest.raises(ShapeError, match="min_ndim=2, found ndim=1"):
        layer(X[0])
    with pytest.raises(DTypeError, match="wants a tensor and got 'text'"):
        layer("text")
    with pytest.raises(DTypeError, match="cannot be called so"):
        layer()


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"ndim": 3}, (2, 3), "expected ndim=3, found ndim=2"),
        ({"max_ndim": 1}, (2, 3), "expected max_ndim=1"),
        ({"min_ndim": 3}, (2, 3), "expected min_ndim=3"),
        ({"dtype": "int32"}, (2, 3), "expected dtype=int32, found dtype=float32"),
        ({"axes": {1: 4}}, (2, 3), "expected axis 1 of size 4"),
        ({"shape": (None, 4)}, (2, 3), r"expected shape=\(None, 4\)"),
    ],
)
def test_input_specs_say_what_was_wanted(options: dict[str, Any], shape: Any, message: str) -> None:
    layer = kg.layers.Identity(name="gate")
    layer.input_spec = kg.InputSpec(**options)
    with pytest.raises((ShapeError, DTypeError), match=f"layer 'gate' .*{message}"):
        layer(np.zeros(shape, "float32"))


def test_new_weights_after_building_are_an_error() -> None:
    class Late(kg.layers.Layer):
        def call(self, x: Any) -> Any:
            self.w = self.add_weight(shape=(5,), name="w")
            return x * self.w

    layer = Late()
    with pytest.raises(GraphError, match="built already"):
        layer(X)


def test_an_error_inside_a_call_names_layer_and_line() -> None:
    class Broken(kg.layers.Layer):
        def call(self, x: Any) -> Any:
            return ops.matmul(x, np.ones((4, 4), "float32"))

    with pytest.raises(ValueError) as error:
        Broken(name="broken")(kg.Input((5,)))
    notes = "\n".join(error.value.__notes__)
    assert "broken/" in notes
    assert "test_layer.py:" in notes


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


def test_a_config_of_a_users_layer_is_what_it_was_given() -> None:
    layer = Scaled(4, name="mine")
    config = layer.get_config()
    assert config["units"] == 4
    assert config["name"] == "mine"
    assert Scaled.from_config(config).units == 4


def test_unknown_options_are_named() -> None:
    with pytest.raises(ArgumentError, match="Dense does not know the argument"):
        kg.layers.Dense(3, unit=4)


def test_a_layer_pickles() -> None:
    layer = kg.layers.Dense(2)
    y = layer(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(layer))(X), y)


def test_a_body_is_a_graph() -> None:
    y = kg.layers.Dense(2, activation="relu", name="hidden")(kg.Input((5,), name="x"))
    body = y.attrs["body"]
    assert [node.op for node in body if node.op not in ("input", "param")] == ["einsum", "add", "relu"]
    assert body[body.outputs[0]].type.shape == (N, 2)
    assert [source.name for source in y.inputs] == ["x", "hidden.kernel", "hidden.bias"]
