"""Python's operators on symbols, variables and recorded arrays are ops on elements, comparisons among them."""

from __future__ import annotations

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.errors import NotTracedError

X = np.array([[0, 1, 2], [2, 0, 5]], np.float32)


def test_equality_in_a_layer_is_of_elements():
    class Marks(kg.layers.Layer):
        def call(self, x):
            return ops.where(x == 0, 9.0, x) + ops.cast(x != 2, "float32")

    wanted = np.where(X == 0, 9, X) + (X != 2)
    model = kg.Sequential([kg.Input((3,)), Marks()])
    np.testing.assert_array_equal(Marks()(X), wanted)
    np.testing.assert_array_equal(model.predict(X, verbose=0), wanted)


def test_equality_is_of_two_symbols_too_and_numpy_may_stand_on_either_side():
    numbers = np.array([2, 0, 2], np.float32)
    f = kg.compile(lambda x: [x == x[:, ::-1], numbers == x, x != numbers], inputs=[kg.Input((3,))])
    for found, wanted in zip(
        f(X), (np.equal(X, X[:, ::-1]), np.equal(X, numbers), np.not_equal(X, numbers)), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_variables_compare_by_their_numbers():
    steps, row = kg.Variable(5, dtype="int32"), kg.Variable(X[0])
    assert steps == 5 and not (steps != 5)  # noqa: SIM202
    np.testing.assert_array_equal(row == 1, [False, True, False])
    np.testing.assert_array_equal(row != X[1], X[0] != X[1])


def test_what_is_no_tensor_is_never_equal():
    symbol, variable = kg.Input((3,)), kg.Variable(1.0)
    for one in (symbol, variable):
        assert one != None and one != "relu" and one not in ("a", None)  # noqa: E711


def test_symbols_and_variables_are_themselves_in_sets_and_as_keys():
    one, two = kg.Variable(1.0), kg.Variable(1.0)
    assert len({one, two, one}) == 2 and {one: "a", two: "b"}[two] == "b"
    a, b = kg.Input((3,)), kg.Input((3,))
    assert len({a, b, a}) == 2


def test_python_cannot_branch_on_equality_in_a_model():
    with pytest.raises(NotTracedError, match="cannot branch"):
        kg.compile(lambda x: x if x == 0 else -x, inputs=[kg.Input((3,))])
