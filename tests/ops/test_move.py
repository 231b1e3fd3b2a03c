"""Functions that move, make and index tensors: eager, traced and with unknown sizes, against numpy and keras.ops."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from agreement import agrees, gradients_agree, kinds_of, traced

from kgraph import ops
from kgraph.errors import ArgumentError, DTypeError, NotTracedError, RangeError, ShapeError
from kgraph.gradients.autodiff import pullback
from kgraph.graph.evaluate import evaluate
from kgraph.graph.sizes import N, axis
from kgraph.graph.types import TensorType
from kgraph.tracing.trace import trace

T = axis("T")
X = np.random.default_rng(0).normal(size=(3, 4, 6)).astype(np.float32)
M = X[0]
V = X[0, 0]
IDS = np.array([[2, 0], [1, -1]], np.int32)

# name, arguments, keywords, names of the axes of X (the first argument) where sizes may be unknown
UNKNOWN = ("N", "T", 6)
KERAS: list[tuple[str, tuple[Any, ...], dict[str, Any], Any]] = [
    ("reshape", (X, (12, 6)), {}, None),
    ("reshape", (X, (-1, 2, 3)), {}, UNKNOWN),
    ("reshape", (X, (3, -1)), {}, None),
    ("transpose", (X,), {}, UNKNOWN),
    ("transpose", (X, (1, 2, 0)), {}, UNKNOWN),
    ("broadcast_to", (M, (2, 4, 6)), {}, None),
    ("expand_dims", (X, 1), {}, UNKNOWN),
    ("expand_dims", (X, (0, -1)), {}, UNKNOWN),
    ("squeeze", (X[:, :1, :1],), {}, None),
    ("squeeze", (X[:, :1],), {"axis": 1}, ("N", 1, 6)),
    ("ravel", (X,), {}, UNKNOWN),
    ("swapaxes", (X, 0, -1), {}, UNKNOWN),
    ("moveaxis", (X, 0, -1), {}, UNKNOWN),
    ("moveaxis", (X, (0, 2), (1, 0)), {}, UNKNOWN),
    ("flip", (X,), {}, UNKNOWN),
    ("flip", (X,), {"axis": 1}, UNKNOWN),
    ("rot90", (M,), {}, ("N", 6)),
    ("rot90", (X,), {"k": 3, "axes": (1, 2)}, UNKNOWN),
    ("rot90", (X,), {"k": 2, "axes": (0, 2)}, UNKNOWN),
    ("tile", (X, 2), {}, UNKNOWN),
    ("tile", (X, (2, 1, 3)), {}, UNKNOWN),
    ("tile", (V, (2, 3)), {}, None),
    ("repeat", (X, 2), {}, UNKNOWN),
    ("repeat", (X, 3), {"axis": 1}, UNKNOWN),
    ("repeat", (X, np.array([1, 0, 2])), {"axis": 0}, None),
    ("roll", (X, 2), {}, UNKNOWN),
    ("roll", (X, -5), {"axis": 1}, UNKNOWN),
    ("roll", (X, (1, 2)), {"axis": (0, 2)}, UNKNOWN),
    ("split", (X, 3), {"axis": 2}, UNKNOWN),
    ("split", (X, (1, 3)), {"axis": 1}, UNKNOWN),
    ("array_split", (X, 4), {"axis": 2}, None),
    ("hsplit", (X, 2), {}, None),
    ("vsplit", (X, 3), {}, None),
    ("dsplit", (X, 2), {}, None),
    ("unstack", (X,), {"axis": 1}, ("N", 4, 6)),
    ("pad", (X, 2), {}, UNKNOWN),
    ("pad", (X, ((1, 0), (0, 2), (3, 3))), {"constant_values": 5}, UNKNOWN),
    ("pad", (X, ((1, 2), (0, 2), (3, 3))), {"mode": "reflect"}, UNKNOWN),
    ("pad", (X, ((1, 2), (0, 2), (3, 3))), {"mode": "symmetric"}, UNKNOWN),
    ("pad", (V, ((8, 9),)), {"mode": "reflect"}, None),
    ("take", (X, IDS), {"axis": 1}, UNKNOWN),
    ("take", (X, 2), {"axis": -1}, UNKNOWN),
    ("take", (X, IDS), {}, UNKNOWN),
    ("take_along_axis", (M, IDS.repeat(2, 0)), {"axis": 1}, (4, "T")),
    ("take_along_axis", (X, np.argmax(X, 1, keepdims=True)), {"axis": 1}, None),
    ("slice", (X, (0, 1, 2), (3, 2, 2)), {}, ("N", "T", 6)),
    ("slice_update", (X, (1, 1, 2), np.ones((2, 2, 3), np.float32)), {}, None),
    ("scatter_update", (X, np.array([[1, 2], [0, 3]]), np.ones((2, 6), np.float32)), {}, UNKNOWN),
    ("diag", (V,), {}, ("N",)),
    ("diag", (V,), {"k": -2}, ("N",)),
    ("diag", (M,), {"k": 1}, None),
    ("diagflat", (M,), {"k": 1}, None),
    ("diagonal", (X,), {}, None),
    ("diagonal", (X,), {"offset": 2, "axis1": 2, "axis2": 0}, None),
    ("diagonal", (X,), {"offset": -1, "axis1": 1, "axis2": 2}, None),
    ("trace", (X,), {"offset": 1}, None),
    ("tril", (X,), {}, UNKNOWN),
    ("triu", (X,), {"k": 2}, UNKNOWN),
    ("zeros_like", (X,), {}, UNKNOWN),
    ("ones_like", (X,), {"dtype": "int32"}, UNKNOWN),
    ("full_like", (X, 2.5), {}, UNKNOWN),
    ("one_hot", (np.array([[1, 0], [3, 2]], np.int32), 4), {}, ("N", "T")),
    ("one_hot", (np.array([1, 3, -1, 9], np.int32), 4), {"axis": 0, "dtype": "int32"}, ("N",)),
    ("multi_hot", (np.array([[1, 0], [3, 2]], np.int32), 5), {}, ("N", "T")),
    ("linspace", (V, V + 3, 5), {}, None),
    ("append", (X, X), {"axis": 1}, None),
    ("append", (X, M), {}, None),
]


@pytest.mark.parametrize("case", KERAS, ids=[f"{number}-{case[0]}" for number, case in enumerate(KERAS)])
def test_function_is_that_of_keras(case: tuple[str, tuple[Any, ...], dict[str, Any], Any]) -> None:
    name, (x, *rest), options, shape = case
    wanted = keras.tree.map_structure(np.asarray, getattr(keras.ops, name)(x, *rest, **options))
    call = lambda x: getattr(ops, name)(x, *rest, **options)
    agrees(call, wanted, x, shapes=shape and [shape])
    pairs = zip(keras.tree.flatten(call(x)), keras.tree.flatten(wanted), strict=True)
    assert all(one.dtype == other.dtype for one, other in pairs)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_joining_is_that_of_keras(axis: int) -> None:
    parts = [X, X + 1, X * 2]
    unknown = [("N", "T", 6)] * 3
    agrees(lambda *xs: ops.concatenate(xs, axis), np.concatenate(parts, axis), *parts, shapes=unknown)
    agrees(lambda *xs: ops.stack(xs, axis), np.stack(parts, axis), *parts, shapes=unknown)
    for name in ("hstack", "vstack", "dstack"):
        call = lambda *xs, name=name: getattr(ops, name)(xs)
        agrees(call, getattr(np, name)(parts), *parts, shapes=unknown)
        agrees(call, getattr(np, name)([V, V]), V, V)
    mixed = ops.concatenate([M, np.ones((1, 6), np.int32)])
    assert mixed.dtype == np.asarray(keras.ops.concatenate([M, np.ones((1, 6), np.int32)])).dtype


GRID = np.arange(3, dtype=np.int32), np.arange(2, dtype=np.int32)
KEYS = [
    np.s_[1], np.s_[-1], np.s_[1:], np.s_[:, 1:], np.s_[:, :3], np.s_[:, -1], np.s_[:, ::2], np.s_[:, ::-1],
    np.s_[:, -3:-1], np.s_[:, 5:1:-2], np.s_[..., None, 0], np.s_[None], np.s_[...], np.s_[()], np.s_[:, 2:2],
    np.s_[1, 2, 3], np.s_[:, [0, 2, -1]], np.s_[[1, 0], :, [0, 1]], np.s_[[1, 0], [3, -1]], np.s_[0, :, [0, 1]],
    np.s_[:, None, [1, 2], 1], np.s_[:, 3:100:3], np.s_[:, np.array([[0, 1], [2, 3]])], np.s_[..., -1, :],
    np.s_[:, -100:2], np.s_[IDS], np.s_[:, :, IDS], np.s_[None, IDS, None],
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_is_that_of_numpy(key: Any) -> None:
    agrees(lambda x: ops.getitem(x, key), X[key], X, shapes=[UNKNOWN])


@pytest.mark.parametrize("key", KEYS[:15] + KEYS[21:25], ids=str)
@pytest.mark.parametrize("length", [0, 1, 2, 5])
def test_slices_of_an_unknown_size_end_where_it_ends(key: Any, length: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, length, 6))
    try:
        wanted = x[key]
    except IndexError:
        with pytest.raises((ShapeError, RangeError)):
            traced(lambda x: x[key], [x], [("N", "T", 6)])
        return
    (have,) = traced(lambda x: x[key], [x], [("N", "T", 6)])
    np.testing.assert_array_equal(have, wanted)


def test_a_symbol_indexes() -> None:
    agrees(lambda x, i: ops.getitem(x, (slice(None), i)), X[:, IDS], X, IDS, shapes=[UNKNOWN, ("A", "B")])
    agrees(lambda x, i: ops.getitem(x, i), X[2], X, np.int32(2), shapes=[UNKNOWN, ()])
    moved = lambda x, i: ops.slice(x, (0, i, 0), (3, 2, 6))
    agrees(moved, X[:, 1:3], X, np.int32(1))
    updated = X.copy()
    updated[:, 1:3] = 7
    agrees(lambda x, i: ops.slice_update(x, (0, i, 0), np.full((3, 2, 6), 7, np.float32)), updated, X, np.int32(1))


def test_scatter_adds_values_at_indices() -> None:
    indices, values = np.array([[0, 1], [2, 0], [0, 1]], np.int32), X[:, 0, 0]
    wanted = np.asarray(keras.ops.scatter(indices, values, (3, 2)))
    agrees(lambda i, v: ops.scatter(i, v, (3, 2)), wanted, indices, values, shapes=[("N", 2), ("N",)])
    rows = np.asarray(keras.ops.scatter(indices[:, :1], M[:3], (4, 6)))
    agrees(lambda i, v: ops.scatter(i, v, (4, 6)), rows, indices[:, :1], M[:3])
    agrees(
        lambda d, i: ops.segment_sum(d, i, 4), np.asarray(keras.ops.segment_sum(X, indices[:, 0], 4)), X, indices[:, 0]
    )
    agrees(
        lambda d, i: ops.segment_max(d, i, 4), np.asarray(keras.ops.segment_max(X, indices[:, 0], 4)), X, indices[:, 0]
    )
    added = np.asarray(keras.ops.scatter_update(M, indices, values, reduction="add"))
    agrees(lambda x, i, v: ops.scatter_update(x, i, v, reduction="add"), added, M, indices, values)


@pytest.mark.parametrize(
    "call",
    [
        lambda o: o.arange(5), lambda o: o.arange(1, 7, 2), lambda o: o.arange(0.0, 1.0, 0.25),
        lambda o: o.arange(3, 0, -1),
        lambda o: o.zeros((2, 3)), lambda o: o.ones(4, "int32"), lambda o: o.full((2, 2), 7),
        lambda o: o.full((2,), 7, "int8"),
        lambda o: o.full((2,), True), lambda o: o.eye(3), lambda o: o.eye(3, 4, 1), lambda o: o.identity(2, "int32"),
        lambda o: o.tri(3, 4, -1), lambda o: o.linspace(0, 1, 7), lambda o: o.linspace(0, 10, 5, dtype="int32"),
        lambda o: o.linspace(0, 1, 4, endpoint=False), lambda o: o.linspace(0, 1, 1), lambda o: o.logspace(0, 2, 4),
        lambda o: o.meshgrid(*GRID), lambda o: o.meshgrid(*GRID, indexing="ij"),
        lambda o: o.empty((2, 0)),
    ],
)  # fmt: skip
def test_new_tensors_are_those_of_keras(call: Any) -> None:
    wanted, have = call(keras.ops), call(ops)
    pairs = zip(have, wanted, strict=True) if isinstance(have, list) else [(have, wanted)]
    for one, other in pairs:
        assert (one.shape, str(one.dtype)) == (tuple(other.shape), str(other.dtype))
        if one.size:
            np.testing.assert_allclose(one, np.asarray(other), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda n: ops.ones((n, 3)), np.ones((5, 3))),
        (lambda n: ops.arange(n), np.arange(5)),
        (lambda n: ops.arange(1, n * 2, 3), np.arange(1, 10, 3)),
        (lambda n: ops.arange(n, 0, -2), np.arange(5, 0, -2)),
        (lambda n: ops.eye(n, n + 1, 1), np.eye(5, 6, 1)),
        (lambda n: ops.tri(n), np.tri(5)),
        (lambda n: ops.full((n,), n), np.full(5, 5.0)),
        (lambda n: ops.cast(n, "float32") * 2.0, 10.0),
        (lambda n: ops.add(n, 1), 6),
    ],
)
def test_sizes_known_only_at_the_call_are_recorded(call: Any, wanted: np.ndarray) -> None:
    (have,) = traced(lambda x: call(ops.shape(x)[0]), [np.zeros((5, 2))], [("N", 2)])
    np.testing.assert_array_equal(have, wanted)


@pytest.mark.parametrize("step", [0, 0.0, np.int32(0)])
def test_a_step_of_nothing_leads_nowhere(step: Any) -> None:
    with pytest.raises(ArgumentError, match="arange from 0 to 5 in steps of 0 has no end"):
        ops.arange(0, 5, step)


GRADIENTS = [
    lambda x: ops.reshape(x, (4, -1)), lambda x: ops.transpose(x, (2, 0, 1)),
    lambda x: ops.broadcast_to(x, (2, 3, 4, 6)),
    lambda x: ops.flip(x, 1), lambda x: x[:, 1:3, ::2], lambda x: x[:, ::-2, 1], lambda x: ops.pad(x, 1),
    lambda x: ops.pad(x, 1, mode="reflect"), lambda x: ops.pad(x, 2, mode="edge"),
    lambda x: ops.concatenate([x, x * x], 1),
    lambda x: ops.stack([x, x * x], 2), lambda x: ops.split(x, 3, 2)[1], lambda x: ops.tile(x, (1, 2, 1)),
    lambda x: ops.repeat(x, 2, 1), lambda x: ops.roll(x, 1, 1), lambda x: ops.take(x, IDS, 1),
    lambda x: ops.take(x, IDS, 0),
    lambda x: ops.take_along_axis(x, np.array([[[1], [0], [-1], [1]]]), 2), lambda x: x[IDS, [1, 2]],
    lambda x: ops.take_along_axis(x, np.arange(24).reshape(1, 4, 6) % 3, 0), lambda x: ops.diagonal(x, 1, 1, 2),
    lambda x: ops.diagonal(x, 0, 2, 0), lambda x: ops.tril(x), lambda x: ops.diag(x[0, 0], 1),
    lambda x: ops.slice_update(x, (0, 1, 0), x[:, :1] * 2.0),
    lambda x: ops.scatter_update(x, np.array([[0, 1], [2, 2], [0, 1]]), ops.multiply(x[:, 0], x[:, 1])),
    lambda x: ops.scatter(np.array([[1], [1], [0]]), x, (2, 4, 6)), lambda x: ops.moveaxis(x, 0, 2),
]  # fmt: skip


@pytest.mark.parametrize("call", GRADIENTS)
def test_gradient_is_the_difference(call: Any) -> None:
    gradients_agree(call, X.astype(np.float64))


@pytest.mark.parametrize("call", [GRADIENTS[i] for i in (1, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14, 15, 22, 27)])
def test_gradient_with_unknown_sizes_is_the_difference(call: Any) -> None:
    gradients_agree(call, X.astype(np.float64), shapes=[UNKNOWN])


def test_gradient_of_the_padding_value_and_of_interior_padding() -> None:
    pad = ops.move.pad
    ends = {"low": (1, 0, 2), "high": (0, 1, 0), "interior": (1, 0, 2)}
    gradients_agree(lambda x, v: pad(x, v, **ends), X.astype(np.float64), np.float64(0.5))


def test_gradient_of_a_take_of_one_element_needs_no_scatter() -> None:
    kinds = kinds_of([M, IDS.repeat(2, 0)[:, :1]], [("N", 6), ("N", 1)])
    graph = trace(lambda x, i: ops.take_along_axis(x, i, 1), *kinds)
    assert "scatter_add" not in {node.op for node in pullback(graph, graph.outputs, graph.inputs[:1])}


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ShapeError, "reshape of (N, 784), which has 784*N elements, to (N, 28, 27)",
         lambda x: ops.reshape(x, (N, 28, 27))),
        (ShapeError, "reshape of (N, 784), which has 784*N elements, to (-1, 100)",
         lambda x: ops.reshape(x, (-1, 100))),
        (ShapeError, "concatenate: operand 1 has shape (3, 3, 1), the first (N, 784)",
         lambda x: ops.concatenate([x, ops.zeros((3, 3, 1))], 1)),
        (ShapeError, "concatenate along axis 0: axis 1 is 784 in operand 0 and 3 in operand 1",
         lambda x: ops.concatenate([x, ops.zeros((3, 3))], 0)),
        (RangeError, "index 784 is outside axis 1, which has 784 elements", lambda x: x[:, 784]),
        (RangeError, "3 indices for a tensor of 2 axes", lambda x: x[0, 0, 0]),
        (DTypeError, "ops.where", lambda x: x[np.array([True, False])]),
        (DTypeError, "indexed by integers", lambda x: x[np.array([0.5])]),
        (DTypeError, "must be integers", lambda x: ops.take(x, np.array([0.5]), 1)),
        (ShapeError, "squeeze of (N, 784): axis 1 has 784 elements", lambda x: ops.squeeze(x, 1)),
        (ShapeError, "split of (N, 784): axis 1 is not 5 equal parts", lambda x: ops.split(x, 5, 1)),
        (ArgumentError, "axis 2 is outside a tensor of 2 axes", lambda x: ops.flip(x, 2)),
        (ArgumentError, "from 0 on, not -1", lambda x: ops.linspace(x, x, -1)),
        (ShapeError, "slice of (N, 784): axis 1 has 784 elements; asked for 10 from 780",
         lambda x: ops.slice(x, (0, 780), (1, 10))),
        (ShapeError, "neither equal nor 1", lambda x: ops.broadcast_to(x, (N, 785))),
        (NotTracedError, "ops.slice(array, starts, shape)", lambda x: x + np.ones((9, 784))[: ops.shape(x)[0]]),
        (NotTracedError, "divide ops.cast(size, 'float32')", lambda x: x / (ops.shape(x)[0] / 2)),
        (NotTracedError, "divide ops.cast(size, 'float32')", lambda x: x * (1.0 / ops.shape(x)[0])),
        (ArgumentError, "take ops.shape(x)[axis]", lambda x: ops.arange(None)),
        (NotTracedError, "known only at the call", lambda x: ops.tile(x, ops.cast(x[0, :2], "int32"))),
    ],
)  # fmt: skip
def test_errors_name_the_sizes(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error) as caught:
        trace(call, TensorType((N, 784)))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        (
            lambda x, s: ops.tile(ops.ones((1, 2, 2)), ops.concatenate([ops.expand_dims(s[0], -1), [1, 1]], 0)),
            (N, 2, 2),
        ),
        (lambda x, s: ops.reshape(x, ops.stack([s[0] * 2, -1])), (N * 2, 392)),
        (lambda x, s: ops.reshape(x, (ops.prod(s), 1)), (N * 784, 1)),
        (lambda x, s: ops.zeros(ops.convert_to_tensor(s) + 1), (N + 1, 785)),
        (lambda x, s: ops.arange(ops.cast(s[0], "int32") - 1), (N - 1,)),
        (lambda x, s: ops.concatenate([x, x])[: -s[0]], (N, 784)),
        (lambda x, s: ops.concatenate([x, x])[-s[0] :, -1], (N,)),
    ],
)
def test_shapes_may_be_tensors_that_ops_made_from_sizes(call: Any, shape: Any) -> None:
    graph = trace(lambda x: call(x, ops.shape(x)), TensorType((N, 784)))
    assert graph[graph.outputs[0]].tensor.shape == shape


def test_an_index_outside_its_axis_is_an_error_of_eager_calls() -> None:
    for call in (lambda: ops.take(V, [6]), lambda: ops.take_along_axis(V, np.array([-7]), 0)):
        with pytest.raises(RangeError, match="outside axis 0, which has 6 elements"):
            call()


def test_too_short_an_axis_is_found_at_the_call() -> None:
    graph = trace(lambda x: x[:, 3], TensorType((N, T)))
    evaluate(graph, [np.zeros((2, 4), np.float32)])
    with pytest.raises(ShapeError):
        evaluate(graph, [np.zeros((2, 3), np.float32)])
