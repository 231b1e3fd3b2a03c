"""Models written as subclasses."""

from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import GraphError
from kgraph.layers.naming import forget_names

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
X = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")


@pytest.fixture(autouse=True)
def fresh_names() -> None:
    forget_names()


def make(k: Any) -> Any:
    class Mine(k.Model):
        def __init__(self) -> None:
            super().__init__(name="mine")
            self.blocks = [k.layers.Dense(8, activation="relu", name=f"block{i}") for i in range(2)]
            self.drop = k.layers.Dropout(0.0)
            self.norm = k.layers.BatchNormalization(name="norm")
            self.out = k.layers.Dense(2, name="out")

        def call(self, x: Any, training: bool = False) -> Any:
            for block in self.blocks:
                x = x + block(x)
            x = self.norm(self.drop(x, training=training), training=training)
            return self.out(x)

    return Mine()


@pytest.mark.parametrize("training", [False, True])
def test_values_and_weights_are_those_of_keras(training: bool) -> None:
    ours, theirs = make(kg), make(keras)
    ours(X)
    theirs(X)
    assert [weight.path for weight in ours.weights] == [weight.path for weight in theirs.weights]
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(
        ours(X, training=training), np.asarray(theirs(X, training=training)), rtol=2e-5, atol=2e-5
    )
    for own, his in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(own, his, rtol=2e-5, atol=2e-5)


def test_the_graph_is_that_of_the_first_call(golden: Any) -> None:
    model = make(kg)
    model(X)
    golden(str(model.graph))


def test_a_model_never_called_wants_its_inputs() -> None:
    model = make(kg)
    with pytest.raises(GraphError, match="does not know its inputs yet"):
        model.graph  # noqa: B018
    traced = model.trace(inputs=kg.Input((8,), name="x"))
    assert traced.graph.inputs == ["x"]
    assert len(model.weights) == 10


def test_build_makes_the_weights() -> None:
    model = make(kg)
    model.build((None, 8))
    assert len(model.weights) == 10
    assert model.graph.inputs == ["x"]


def test_inputs_and_outputs_may_be_nested() -> None:
    class Both(kg.Model):
        def __init__(self) -> None:
            super().__init__()
            self.d = kg.layers.Dense(4)

        def call(self, inputs: Any) -> Any:
            return {"y": self.d(inputs["a"]), "z": [inputs["b"], None]}

    model = Both()
    y = model({"a": X, "b": X})
    assert y["z"][1] is None
    traced = model.trace()
    assert traced.inputs == {"a": "x0", "b": "x1"}
    assert traced.outputs == {"y": "dense", "z": ["x1", None]}
    assert traced.count == 2


def test_a_model_is_a_layer_of_another() -> None:
    model = make(kg)
    x = kg.Input((8,), name="x")
    whole = kg.Model(x, kg.layers.Dense(1, name="top")(model(x)))
    assert [node.op for node in whole.graph if node.op in ("Mine", "Dense")] == ["Mine", "Dense"]
    np.testing.assert_allclose(whole(X), whole.layers[-1](model(X)), rtol=1e-5)
    assert whole.layers[1] is model
    assert len(whole.weights) == 12


def test_layers_made_in_a_call_after_the_first_are_an_error() -> None:
    class Leaky(kg.Model):
        def call(self, x: Any) -> Any:
            self.d = kg.layers.Dense(2)
            return self.d(x)

    model = Leaky()
    model(X)
    with pytest.raises(GraphError, match="built already"):
        model(X)
