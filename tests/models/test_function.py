"""Functions from symbols to symbols: the same calls again, on symbols and on arrays."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError, GraphError, ShapeError

A = np.arange(6, dtype="float32").reshape(2, 3)
B = np.ones((2, 3), "float32")


def pair(k: Any) -> Any:
    """A function of a list, which gives a dict."""
    a, b = k.Input((3,)), k.Input((3,))
    return k.Function([a, b], {"sum": a + b, "product": k.ops.sigmoid(a * b)}, name="pair")


def test_a_function_is_that_of_keras() -> None:
    ours, theirs = pair(kg), pair(keras)
    made, wanted = ours([A, B]), theirs([A, B])
    assert list(made) == list(wanted) and ours.name == theirs.name
    for key, value in wanted.items():
        np.testing.assert_allclose(made[key], np.asarray(value), rtol=1e-6)
    assert ours.compute_output_shape([(7, 3), (7, 3)]) == theirs.compute_output_shape([(7, 3), (7, 3)])
    assert [len(ours.inputs), len(ours.outputs)] == [len(theirs.inputs), len(theirs.outputs)]


def test_a_function_on_symbols_is_part_of_a_model() -> None:
    a, b = kg.Input((3,)), kg.Input((3,))
    model = kg.Model([a, b], pair(kg)([a, b])["sum"] * 2)
    np.testing.assert_array_equal(model([A, B]), (A + B) * 2)
    np.testing.assert_array_equal(kg.compile(model)(A, B), (A + B) * 2)


def test_a_function_uses_the_weights_of_its_layers_and_changes_their_state() -> None:
    x = kg.Input((3,))
    dense, norm = kg.layers.Dense(2), kg.layers.BatchNormalization()
    function = kg.Function(x, norm(dense(x), training=True))
    before = norm.moving_mean.numpy()
    np.testing.assert_allclose(np.mean(function(A), 0), np.zeros(2), atol=1e-5)
    assert not np.array_equal(norm.moving_mean.numpy(), before)
    dense.set_weights([np.zeros((3, 2)), np.ones(2)])
    np.testing.assert_allclose(function(A), np.zeros((2, 2)), atol=1e-5)


def test_a_function_refuses_what_does_not_fit() -> None:
    x = kg.Input((3,))
    with pytest.raises(ArgumentError, match="is none"):
        kg.Function(x, 3)
    with pytest.raises(ArgumentError, match="there are none"):
        kg.Function([], x)
    with pytest.raises(GraphError, match="disconnected"):
        kg.Function(x, kg.Input((3,)) + 1)
    function = kg.Function(x, x + 1)
    with pytest.raises(ArgumentError, match=r"wants 1 input\(s\), and got 2"):
        function([A, B])
    with pytest.raises(ShapeError, match="shape"):
        function(np.zeros((2, 4), "float32"))
