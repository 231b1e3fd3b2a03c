"""Stacks of layers."""

from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError, GraphError
from kgraph.layers.naming import forget_names

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
X = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")


@pytest.fixture(autouse=True)
def fresh_names() -> None:
    forget_names()


def test_a_stack_in_a_model_has_the_output_of_its_call() -> None:
    """So a model may end there."""
    head = kg.Input((8,))
    stack = kg.Sequential([kg.layers.Dense(4), kg.layers.Dense(3)], name="stack")
    whole = kg.Model(head, kg.layers.Dense(2)(stack(head)))
    ended = kg.Model(whole.inputs, whole.get_layer("stack").output)
    assert stack.input is head
    np.testing.assert_allclose(ended.predict(X, verbose=0), stack.predict(X, verbose=0), rtol=1e-6)


def test_values_and_weights_are_those_of_keras() -> None:
    def build(k: Any) -> Any:
        return k.Sequential([
            k.Input((8,)), k.layers.Dense(6, activation="relu"), k.layers.BatchNormalization(), k.layers.Dense(2),
        ])  # fmt: skip

    ours, theirs = build(kg), build(keras)
    ours.set_weights(theirs.get_weights())
    for training in (False, True, False):
        np.testing.assert_allclose(
            ours(X, training=training), np.asarray(theirs(X, training=training)), rtol=2e-5, atol=2e-5
        )
    assert [layer.name for layer in ours.layers] == ["dense", "batch_normalization", "dense_1"]
    assert ours.input_shape == (None, 8)
    assert ours.output_shape == (None, 2)


@pytest.mark.parametrize(
    "first",
    [
        lambda: [kg.Input((8,)), kg.layers.Dense(4)],
        lambda: [kg.layers.InputLayer((8,)), kg.layers.Dense(4)],
        lambda: [kg.layers.Dense(4, input_shape=(8,))],
        lambda: [kg.layers.Dense(4, input_dim=8)],
        lambda: [kg.layers.Dense(4, batch_input_shape=(None, 8))],
        lambda: [kg.Sequential([kg.Input((8,)), kg.layers.Dense(4)])],
    ],
)
def test_a_model_that_knows_its_input_is_built_at_once(first: Any) -> None:
    model = kg.Sequential([*first(), kg.layers.Dense(2)])
    assert model.built
    assert model.output_shape == (None, 2)
    assert len(model.weights) == 4


def test_a_model_that_does_not_is_built_by_its_first_call() -> None:
    model = kg.Sequential([kg.layers.Dense(4), kg.layers.Dense(2)])
    assert not model.built
    assert model.weights == []
    with pytest.raises(AttributeError, match="before it is built"):
        model.output_shape  # noqa: B018
    assert model(X).shape == (3, 2)
    assert model.output_shape == (None, 2)
    assert len(model.weights) == 4


def test_build_takes_a_shape() -> None:
    model = kg.Sequential([kg.layers.Dense(4), kg.layers.Dense(2)])
    model.build((None, 8))
    assert model.count_params() == 8 * 4 + 4 + 4 * 2 + 2


def test_layers_are_added_and_taken_off() -> None:
    model = kg.Sequential()
    model.add(kg.layers.Dense(4, input_dim=8))
    model.add(kg.layers.Dense(2))
    assert model.output_shape == (None, 2)
    top = model.pop()
    assert top.name == "dense_1"
    assert model.output_shape == (None, 4)
    model.add(kg.layers.Activation("relu"))
    assert (model(X) >= 0).all()
    assert len(model.layers[0].inbound_nodes) == 1
    assert len(model.weights) == 2


def test_a_layer_added_twice_shares_its_weights() -> None:
    shared = kg.layers.Dense(8, name="shared")
    model = kg.Sequential([kg.Input((8,), name="x"), shared, shared])
    assert len(model.weights) == 2
    assert [node.name for node in model.graph if node.op == "Dense"] == ["shared", "shared#1"]
    assert len(model.layers) == 2
    np.testing.assert_allclose(model(X), shared(shared(X)), rtol=1e-6)


def test_integers_go_into_an_embedding_as_integers() -> None:
    model = kg.Sequential([kg.layers.Embedding(50, 4), kg.layers.Flatten(), kg.layers.Dense(1)])
    assert model(np.array([[3, 4], [5, 6]])).shape == (2, 1)
    assert model.inputs[0].dtype == "int64"
    fixed = kg.Sequential([kg.layers.Embedding(50, 4, input_length=2), kg.layers.Flatten()])
    assert fixed.output_shape == (None, 8)
    assert fixed.inputs[0].dtype == "int32"


def test_wrong_layers_are_named() -> None:
    model = kg.Sequential([kg.layers.Dense(4, name="a")])
    with pytest.raises(ArgumentError, match="only layers can be added"):
        model.add("dense")
    with pytest.raises(GraphError, match="already has a layer called 'a'"):
        model.add(kg.layers.Dense(4, name="a"))
    with pytest.raises(GraphError, match="the Input comes first"):
        model.add(kg.Input((3,)))
    with pytest.raises(GraphError, match="no layers"):
        kg.Sequential().build((None, 3))


def test_a_single_layer_is_no_list_of_layers() -> None:
    with pytest.raises(ArgumentError, match="is given a list of layers, and not <Dense"):
        kg.Sequential(kg.layers.Dense(2))


def test_the_graph_of_a_stack(golden: Any) -> None:
    model = kg.Sequential([kg.Input((8,), name="x"), kg.layers.Dense(4, activation="relu"), kg.layers.Dense(2)])
    golden(str(model.graph))


@pytest.mark.parametrize("known", [True, False])
def test_the_paths_of_weights_are_those_of_keras(known: bool) -> None:
    def paths(k: Any) -> list[str]:
        inside = k.Sequential([k.layers.Dense(3, name="a"), k.layers.Dense(2, name="b")], name="inside")
        first = [k.Input((4, 8))] if known else []
        model = k.Sequential(
            [*first, k.layers.Dense(4, name="c"), k.layers.TimeDistributed(inside, name="d")], name="m"
        )
        model.build((None, 4, 8))
        return [weight.path for weight in model.weights]

    assert paths(kg) == paths(keras)
    assert paths(kg)[:3] == ["m/c/kernel", "m/c/bias", "m/d/inside/a/kernel"]
