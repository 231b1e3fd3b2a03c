"""Python's operators on symbols, variables and recorded arrays are ops on elements, comparisons among them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.errors import DTypeError, NotTracedError, ShapeError

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


def test_round_is_of_elements():
    model = kg.compile(lambda x: [round(x), round(x / 3, 1)], inputs=[kg.Input((3,))])
    for found, wanted in zip(model(X + 0.6), (np.rint(X + 0.6), np.round((X + 0.6) / 3, 1)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    np.testing.assert_array_equal(round(kg.Variable([1.4, 1.6])), [1, 2])


READ = {
    "int": (int, "is no number yet"),
    "float": (float, "is no number yet"),
    "math.floor": (math.floor, "is no number yet"),
    "math.trunc": (math.trunc, "is no number yet"),
    "an index": (lambda x: [1, 2][x], "is no number yet"),
    "range": (range, "is no number yet"),
    "if": (lambda x: 1 if x else 0, "cannot branch"),
    "and": (lambda x: x and x, "cannot branch"),
    "for": (list, "cannot count it or go through it"),
    "len": (len, "cannot count it"),
    "in": (lambda x: 3 in x, "known only at the call"),
    "numpy": (np.array, "use kgraph.ops instead of numpy"),
}


@pytest.mark.parametrize("name", READ)
def test_python_cannot_read_a_symbol(name):
    read, message = READ[name]
    with pytest.raises(NotTracedError, match=message):
        read(kg.Input((3,)))


@pytest.mark.parametrize(
    "value", [None, "a", ["a", "b"], [[1, 2], [3]], object()], ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize("x", [kg.Input((3,)), X], ids=["symbol", "array"])
def test_what_has_no_numbers_is_no_tensor(x, value):
    with pytest.raises(DTypeError, match=f"a {type(value).__name__} is no tensor"):
        ops.add(x, value)


@pytest.mark.parametrize(
    "make",
    [ops.zeros, ops.ones, lambda shape: ops.full(shape, 2.0), lambda shape: ops.reshape(X, shape), kg.random.normal],
    ids=["zeros", "ones", "full", "reshape", "normal"],
)
def test_a_shape_with_none_in_it_is_refused_with_what_to_take_instead(make):
    with pytest.raises(ShapeError, match=r"\(None, 3\) is None.*ops.shape"):
        make(kg.Input((3,)).shape)


LISTS = {
    "sum": lambda a, b: ops.sum([a, b]),
    "max": lambda a, b: ops.max([a, b], axis=0),
    "square": lambda a, b: ops.square([a, b]),
    "add": lambda a, b: ops.add([a, b], [1.0, 2.0, 3.0]),
    "softmax": lambda a, b: ops.softmax([a, b], axis=0),
    "convert_to_tensor": lambda a, b: ops.convert_to_tensor([[a, b], [b, a]]),
    "reshape": lambda a, b: ops.reshape([a, b], (-1, 2)),
    "where": lambda a, b: ops.where(a > 0, [1.0, 2.0, 3.0], b),
    "cast": lambda a, b: ops.cast((a, b), "int32"),
    "shape": lambda a, b: ops.convert_to_tensor(ops.shape(a)) + 0,
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_symbols_is_a_tensor(name):
    given, call = (X, X[::-1] / 3), LISTS[name]
    found, wanted = kg.compile(call, inputs=[kg.Input((3,)), kg.Input((3,))])(*given), call(*given)
    assert found.dtype == wanted.dtype == ("int32" if name in ("cast", "shape") else "float32")
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_list_of_what_a_tape_has_seen_has_gradients():
    a, b = kg.Variable(2.0), kg.Variable(3.0)
    with kg.GradientTape() as tape:
        loss = ops.sum([a * a, a * b])
    assert [float(one) for one in tape.gradient(loss, [a, b])] == [7, 2]
