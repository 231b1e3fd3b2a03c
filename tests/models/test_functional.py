"""Models of inputs and outputs: beside Keras, and what their graphs look like."""

from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.errors import ArgumentError, GraphError, ShapeError
from kgraph.layers.naming import forget_names

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
X = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")


@pytest.fixture(autouse=True)
def fresh_names() -> None:
    forget_names()


def branches(k: Any) -> Any:
    """Two inputs, branches of different length, a layer used twice, two outputs."""
    a, b = k.Input((8,), name="a"), k.Input((8,), name="b")
    shared = k.layers.Dense(6, activation="relu", name="shared")
    left = k.layers.Dense(6, name="left")(shared(a))
    right = shared(b)
    joined = k.layers.Concatenate(name="joined")([k.layers.Dense(4, name="early")(a), left, right])
    first = k.layers.Dense(3, activation="tanh", name="first")(joined)
    second = k.layers.Dense(2, name="second")(k.layers.Add(name="sum")([left, right]))
    return k.Model([a, b], [first, second], name="branches")


def ops_between(k: Any) -> Any:
    x = k.Input((8,), name="x")
    h = k.layers.Dense(8, name="hidden")(x)
    h = k.ops.einsum("ab,ab->ab", h, x) * 0.5 + 1.0
    h = k.ops.concatenate([h, k.ops.exp(-k.ops.square(x))], axis=-1)[:, 2:12]
    return k.Model(x, k.layers.Dense(3, name="last")(h))


def nested(k: Any) -> Any:
    inner_input = k.Input((8,), name="inner_input")
    inner = k.Model(inner_input, k.layers.Dense(8, activation="relu", name="inside")(inner_input), name="inner")
    x = k.Input((8,), name="x")
    stack = k.Sequential([k.layers.Dense(4, name="low"), k.layers.BatchNormalization(name="norm")], name="stack")
    return k.Model(x, k.layers.Dense(2, name="out")(stack(inner(inner(x)))))


def dicts(k: Any) -> Any:
    inputs = {"p": k.Input((8,), name="p"), "q": k.Input((8,), name="q")}
    y = k.layers.Dense(3, name="d")(inputs["p"]) * k.layers.Dense(3, name="e")(inputs["q"])
    return k.Model(inputs, {"y": y, "z": k.layers.Activation("relu", name="relu")(y)})


MODELS = [branches, ops_between, nested, dicts]


def given(build: Any) -> Any:
    return {branches: [X, X * 0.5], dicts: {"p": X, "q": X * 0.5}}.get(build, X)


def pair(build: Any) -> tuple[Any, Any]:
    ours, theirs = build(kg), build(keras)
    ours.set_weights([np.asarray(w) for w in theirs.get_weights()])
    return ours, theirs


@pytest.mark.parametrize("build", MODELS)
def test_weights_are_in_the_order_of_keras(build: Any) -> None:
    ours, theirs = build(kg), build(keras)
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert [weight.path.split("/")[-2:] for weight in ours.weights] == [
        weight.path.split("/")[-2:] for weight in theirs.weights
    ]
    assert [weight.shape for weight in ours.trainable_weights] == [tuple(w.shape) for w in theirs.trainable_weights]


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize("training", [False, True])
def test_values_are_those_of_keras(build: Any, training: bool) -> None:
    ours, theirs = pair(build)
    got, want = ours(given(build), training=training), theirs(given(build), training=training)
    assert type(got) is type(want) or not isinstance(want, (list, dict))
    for y, his in zip(kg.tree.flatten(got), kg.tree.flatten(want), strict=True):
        np.testing.assert_allclose(y, np.asarray(his), rtol=2e-5, atol=2e-5)
    for own, his in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(own, his, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("build", MODELS)
def test_shapes_are_those_of_keras(build: Any) -> None:
    ours, theirs = build(kg), build(keras)
    assert ours.input_shape == theirs.input_shape
    assert ours.output_shape == theirs.output_shape
    assert ours.count_params() == theirs.count_params()


def test_the_graph_has_a_node_for_each_call(golden: Any) -> None:
    golden(str(branches(kg).graph))


def test_the_graph_in_training_updates_state(golden: Any) -> None:
    golden(str(nested(kg).trace(training=True).graph))


def test_ops_between_layers_are_nodes(golden: Any) -> None:
    golden(str(ops_between(kg).graph))


def test_a_model_is_called_on_other_sizes() -> None:
    steps = kg.Input((None, 4))
    y = ops.concatenate([steps, steps * 2.0], axis=1)
    model = kg.Model(steps, kg.layers.Dense(3)(y))
    fixed = model(kg.Input((5, 4)))
    assert model.output_shape == (None, None, 3)
    assert fixed.shape == (None, 10, 3)
    assert model(np.ones((2, 7, 4), "float32")).shape == (2, 14, 3)


def test_a_model_may_start_in_the_middle() -> None:
    x = kg.Input((8,))
    h = kg.layers.Dense(4, name="h")(x)
    y = kg.layers.Dense(2, name="y")(h)
    whole, tail, head = kg.Model(x, y), kg.Model(h, y), kg.Model(x, h)
    np.testing.assert_allclose(tail(head(X)), whole(X), rtol=1e-6)
    assert [layer.name for layer in tail.layers] == ["y"]


def test_an_input_may_be_unused_and_an_output_may_be_an_input() -> None:
    a, b = kg.Input((8,), name="a"), kg.Input((2,), name="b")
    model = kg.Model([a, b], [kg.layers.Dense(2)(a), a])
    y, same = model([X, X[:, :2]])
    assert y.shape == (3, 2)
    np.testing.assert_array_equal(same, X)


def test_inputs_may_be_given_by_name() -> None:
    model = branches(kg)
    by_name = model({"b": X * 0.5, "a": X})
    for y, want in zip(by_name, model([X, X * 0.5]), strict=True):
        np.testing.assert_array_equal(y, want)
    with pytest.raises(ArgumentError, match="'b' is missing"):
        model({"a": X})
    with pytest.raises(ArgumentError, match="wants 2 input"):
        model([X])


def test_outputs_without_their_inputs_are_named() -> None:
    a, b = kg.Input((8,), name="a"), kg.Input((8,), name="b")
    y = kg.layers.Add(name="sum")([kg.layers.Dense(8, name="d")(a), b])
    with pytest.raises(GraphError, match=r"graph disconnected: 'b' of shape \(None, 8\) is needed by 'sum'"):
        kg.Model(a, y)


def test_two_layers_of_one_name_are_named() -> None:
    x = kg.Input((8,), name="x")
    y = kg.layers.Activation("relu", name="same")(kg.layers.Dense(8, name="same")(x))
    with pytest.raises(GraphError, match=r"'same' is used by two layers .* a Dense and a Activation"):
        kg.Model(x, y)


def test_inputs_of_wrong_shape_are_named() -> None:
    model = ops_between(kg)
    with pytest.raises(ShapeError, match=r"expected shape=\(None, 8\), found shape=\(3, 7\)"):
        model(X[:, :7])
    with pytest.raises(ArgumentError, match="must be symbols"):
        kg.Model(X, model.output)


def test_a_last_axis_of_size_1_may_be_missing() -> None:
    x = kg.Input((1,))
    model = kg.Model(x, kg.layers.Dense(2)(x))
    np.testing.assert_array_equal(model(X[:, 0]), model(X[:, :1]))


def test_training_given_in_the_definition_stays() -> None:
    x = kg.Input((8,))
    model = kg.Model(x, kg.layers.Dropout(0.5, seed=1)(x, training=True))
    assert (model(X) == 0).any()
    assert (model(X, training=False) == 0).any()


def test_masks_reach_layers_inside_a_model() -> None:
    seen = []

    class Reader(kg.layers.Layer):
        def call(self, x: Any, mask: Any = None) -> Any:
            seen.append(mask is not None)
            return x if mask is None else x * ops.expand_dims(ops.cast(mask, x.dtype), -1)

    x = kg.Input((None,), dtype="int32")
    model = kg.Model(x, Reader()(kg.layers.Embedding(5, 2, mask_zero=True)(x)))
    y = model(np.array([[1, 0, 2]]))
    assert all(seen)
    assert (y[0, 1] == 0).all()
    assert (y[0, 0] != 0).any()


def test_a_subclass_may_pass_inputs_and_outputs_up() -> None:
    class Mine(kg.Model):
        def __init__(self, units: int) -> None:
            x = kg.Input((8,))
            super().__init__(inputs=x, outputs=kg.layers.Dense(units)(x))

    model = Mine(4)
    assert isinstance(model, kg.models.Functional)
    assert model(X).shape == (3, 4)


def test_regularizers_are_losses_of_the_trace() -> None:
    x = kg.Input((8,))
    model = kg.Model(x, kg.layers.Dense(2, kernel_regularizer="l2", activity_regularizer="l1")(x))
    traced = model.trace(training=True)
    assert traced.count == 1
    assert len(traced.losses) == 2
    assert all(traced.graph[name].type.shape == () for name in traced.losses)


def test_a_deep_model_needs_no_deep_stack() -> None:
    x = y = kg.Input((4,))
    for _ in range(1500):
        y = y + 1.0
    assert kg.Model(x, y)(np.zeros((1, 4), "float32"))[0, 0] == 1500


def test_get_layer_finds_by_name_and_index() -> None:
    model = branches(kg)
    assert model.get_layer("left") is model.get_layer(index=[layer.name for layer in model.layers].index("left"))
    with pytest.raises(ArgumentError, match="no layer called 'lef'"):
        model.get_layer("lef")


def test_the_summary_lists_layers(golden: Any) -> None:
    lines: list[str] = []
    branches(kg).summary(print_fn=lines.append, line_length=100, show_trainable=True)
    golden("\n".join(lines))


def test_the_summary_opens_models_inside(golden: Any) -> None:
    lines: list[str] = []
    nested(kg).summary(print_fn=lines.append, line_length=90, expand_nested=True)
    golden("\n".join(lines))


def test_nodes_keep_the_lines_of_the_definition() -> None:
    x = kg.Input((8,), name="x")
    y = kg.layers.Dense(2, name="d")(x) * 2.0
    made = y.origin
    graph = kg.Model(x, y).graph
    assert graph["d"].origin == graph["multiply"].origin == made
    assert {node.origin for node in graph["d"].body if node.op == "einsum"} == {made}
