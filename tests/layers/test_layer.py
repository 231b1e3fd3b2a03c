"""The base of layers: names, weights, building, errors, configurations."""

import pickle
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.errors import ArgumentError, DTypeError, GraphError, ShapeError
from kgraph.graph.sizes import N

pytestmark = pytest.mark.usefixtures("fresh_names")
X = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")


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
