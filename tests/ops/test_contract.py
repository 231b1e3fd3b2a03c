"""einsum and the products made of it: the grammar as in numpy, gradients as differences, products as in Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from agreement import agrees, gradients_agree, kinds_of

from kgraph import ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.evaluate import evaluate
from kgraph.graph.op import OPS
from kgraph.graph.sizes import N, axis
from kgraph.graph.types import TensorType
from kgraph.ops.equation import canonical
from kgraph.tracing.trace import symbol_input, trace
from kgraph.tracing.variable import Variable

RNG = np.random.default_rng(3)


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [RNG.normal(size=shape) for shape in shapes]


EQUATIONS = [  # every form of the grammar; the first ones are those of keras.layers.EinsumDense
    ("ab,bc->ac", (3, 4), (4, 5)),
    ("abc,cd->abd", (2, 3, 4), (4, 5)),
    ("...x,xy->...y", (2, 3, 4), (4, 5)),
    ("abc,cde->abde", (2, 3, 4), (4, 5, 2)),
    ("abcd,cde->abe", (2, 3, 2, 4), (2, 4, 3)),
    ("aecd,abcd->acbe", (2, 3, 2, 4), (2, 5, 2, 4)),
    ("acbe,aecd->abcd", (2, 2, 5, 3), (2, 3, 2, 4)),
    ("BTNH,BSNH->BNTS", (2, 3, 2, 4), (2, 5, 2, 4)),
    ("bij,bjk", (2, 3, 4), (2, 4, 5)),
    ("ba", (3, 4)),
    ("ij,jk", (3, 4), (4, 5)),
    ("i,i", (4,), (4,)),
    ("i,j", (3,), (4,)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iij->ji", (3, 3, 4)),
    ("iji,jkk->k", (3, 4, 3), (4, 2, 2)),
    ("ij->", (3, 4)),
    ("ij->j", (3, 4)),
    ("ij,kl->il", (3, 4), (2, 5)),
    ("i j , j k -> i k", (3, 4), (4, 5)),
    ("...ij,...jk->...ik", (2, 3, 4), (4, 5)),
    ("...ij,...jk", (2, 1, 3, 4), (5, 4, 5)),
    ("i...,i...->...", (4, 2, 3), (4, 3)),
    ("...,...->...", (2, 3), (3,)),
    ("...", (2, 3)),
    ("a...b->b...a", (2, 3, 4)),
    ("ij,jk->ik", (3, 1), (4, 5)),
    ("ij,ij->ij", (1, 4), (3, 1)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("ab,abc,c->", (2, 3), (2, 3, 4), (4,)),
    ("i,ij,j->ij", (3,), (3, 4), (4,)),
    (",ij->ij", (), (3, 4)),
    ("aB,Bc->ca", (2, 3), (3, 4)),
]
IDS = [case[0] for case in EQUATIONS]


@pytest.mark.parametrize("case", EQUATIONS, ids=IDS)
def test_equation_means_what_it_means_in_numpy(case: Any) -> None:
    equation, *shapes = case
    given = arrays(*shapes)
    agrees(lambda *xs: ops.einsum(equation, *xs), np.einsum(equation, *given), *given)


@pytest.mark.parametrize("case", EQUATIONS, ids=IDS)
def test_gradient_is_the_difference(case: Any) -> None:
    equation, *shapes = case
    gradients_agree(lambda *xs: ops.einsum(equation, *xs), *arrays(*shapes))


def test_sizes_known_only_at_the_call() -> None:
    given = arrays((2, 3, 4), (2, 5, 4), (2, 5, 6))
    unknown = [("N", "T", 4), ("N", "S", 4), ("N", "S", 6)]
    call = lambda q, k, v: ops.einsum("nts,nsd->ntd", ops.einsum("ntd,nsd->nts", q, k), v)
    agrees(call, np.einsum("ntd,nsd,nse->nte", *given), *given, shapes=unknown)
    gradients_agree(call, *given, shapes=unknown)
    unknown = [("N", "T", 4), (4, 2), ("S",)]
    gradients_agree(lambda *xs: ops.einsum("...ab,bc,d->...c", *xs), *arrays((2, 3, 4), (4, 2), (5,)), shapes=unknown)


def test_numpys_form_with_lists() -> None:
    x, y = arrays((2, 3), (3, 4))
    np.testing.assert_allclose(ops.einsum(x, [0, 1], y, [1, 2], [2, 0]), (x @ y).T)
    np.testing.assert_allclose(ops.einsum(x, [Ellipsis, 1], y, [1, 2]), x @ y)


def test_specs_have_letters_only() -> None:
    assert canonical("...a, ab", [(2, 3), (3, 4)]) == "ca,ab->cb"
    assert canonical("...a,...a->...", [(5, 2, 3), (2, 3)]) == "bca,ca->bc"


@pytest.mark.parametrize(
    ("equation", "shapes", "message"),
    [
        ("ik,kj->ij", [(2, 3), (4, 5)], "einsum 'ik,kj->ij': axis 'k' is 3 in operand 0 and 4 in operand 1"),
        ("ij->ij->i", [(2, 3)], "not made of letters"),
        ("i1->i", [(2, 3)], "'i1' is not made of letters"),
        ("ij,jk->ik", [(2, 3)], "takes 2 operands, and got 1"),
        ("ijk->i", [(2, 3)], "'ijk' names 3 axes, the operand has shape (2, 3)"),
        ("i...->i", [(2, 3)], "'...' is 1 axes of the operands, but not in the result"),
        ("ij->iij", [(2, 3)], "the result has 'i' twice"),
        ("ij->k", [(2, 3)], "'k' of the result is in no operand"),
        ("ii->i", [(2, 3)], "axis 'i' is 2 in operand 0 and 3 in operand 0"),
    ],
)
def test_errors_say_what_is_wrong(equation: str, shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises((ShapeError, ArgumentError)) as caught:
        ops.einsum(equation, *map(np.ones, shapes))
    assert message in str(caught.value)


def test_a_wrong_size_is_named_with_its_owners() -> None:
    x, kernel = symbol_input("x", TensorType((N, 100))), Variable(np.ones((784, 64)), name="hidden.kernel")
    with pytest.raises(ShapeError) as caught:
        ops.einsum("ik,kj->ij", x, kernel)
    assert str(caught.value) == "einsum 'ik,kj->ij': axis 'k' is 100 in x and 784 in hidden.kernel"
    assert "einsum(x: f32[N,100]" in caught.value.__notes__[0]


def test_sizes_that_differ_at_the_call_are_found_there() -> None:
    graph = trace(lambda x, y: ops.matmul(x, y), TensorType((N, axis("T"))), TensorType((axis("S"), 2)))
    with pytest.raises(ShapeError):
        evaluate(graph, [np.ones((2, 3), np.float32), np.ones((4, 2), np.float32)])


MATMULS = [
    ((3, 4), (4, 5)), ((4,), (4,)), ((4,), (4, 5)), ((3, 4), (4,)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
    ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((4,), (2, 4, 5)), ((2, 3, 4), (4,)), ((1, 3, 4), (5, 4, 2)),
]  # fmt: skip


@pytest.mark.parametrize("shapes", MATMULS, ids=str)
def test_matmul_is_numpys(shapes: Any) -> None:
    x, y = arrays(*shapes)
    agrees(ops.matmul, np.matmul(x, y), x, y)
    agrees(lambda x, y: x @ y, np.matmul(x, y), x, y)
    gradients_agree(ops.matmul, x, y)


def test_matmul_of_matrices_has_one_spelling() -> None:
    graph = trace(ops.matmul, *kinds_of(arrays((3, 4), (4, 5))))
    assert graph[graph.outputs[0]].attrs["spec"] == "ab,bc->ac"


@pytest.mark.parametrize(
    ("name", "shapes", "options"),
    [
        ("dot", ((3, 4), (4, 5)), {}), ("dot", ((2, 3, 4), (5, 4, 2)), {}), ("dot", ((3, 4), (4,)), {}),
        ("dot", ((3, 4), ()), {}), ("inner", ((2, 3), (4, 3)), {}), ("inner", ((3,), (3,)), {}),
        ("inner", ((), (3,)), {}),
        ("outer", ((2, 3), (4,)), {}), ("vdot", ((2, 3), (3, 2)), {}), ("tensordot", ((2, 3, 4), (3, 4, 5)), {}),
        ("tensordot", ((2, 3, 4), (4, 3, 5)), {"axes": ((1, 2), (1, 0))}), ("tensordot", ((2, 3), (3, 2)), {"axes": 1}),
        ("tensordot", ((2, 3), (4,)), {"axes": 0}), ("tensordot", ((2, 3), (4, 3)), {"axes": (-1, 1)}),
        ("kron", ((2, 3), (3, 2)), {}), ("kron", ((3,), (2, 2)), {}), ("cross", ((4, 3), (4, 3)), {}),
        ("cross", ((4, 2), (4, 3)), {}), ("cross", ((3, 4), (3, 4)), {"axis": 0}),
    ],
)  # fmt: skip
def test_product_is_that_of_keras(name: str, shapes: Any, options: dict[str, Any]) -> None:
    x, y = (one.astype(np.float32) for one in arrays(*shapes))
    wanted = np.asarray(getattr(keras.ops, name)(x, y, **options))
    agrees(lambda x, y: getattr(ops, name)(x, y, **options), wanted, x, y)


@pytest.mark.parametrize(
    ("shapes", "axes"),
    [
        (((2, 3), (2, 3)), 1), (((2, 3, 4), (2, 4, 5)), (2, 1)), (((2, 3, 4), (2, 5, 4)), -1),
        (((2, 4), (2, 5, 4)), (1, 2)), (((2, 3, 4), (2, 3)), 1), (((2, 3, 4, 5), (2, 4, 6)), (2, 1)),
    ],
)  # fmt: skip
def test_batch_dot_is_that_of_the_dot_layer(shapes: Any, axes: Any) -> None:
    from keras.src.layers.merging.dot import batch_dot

    x, y = (one.astype(np.float32) for one in arrays(*shapes))
    wanted = np.asarray(batch_dot(x, y, axes))
    unknown = [("N", *shape[1:]) for shape in shapes]
    agrees(lambda x, y: ops.batch_dot(x, y, axes), wanted, x, y, shapes=unknown)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "float16", "float32"])
def test_dtypes_are_those_of_keras(dtype: str) -> None:
    x, y = RNG.integers(0, 2, (3, 4)).astype(dtype), RNG.integers(0, 2, (4, 5)).astype(dtype)
    for have, want in (
        (ops.matmul(x, y), keras.ops.matmul(x, y)),
        (ops.einsum("ab,bc->ca", x, y), keras.ops.einsum("ab,bc->ca", x, y)),
    ):
        assert str(have.dtype) == str(want.dtype)
        np.testing.assert_array_equal(have, np.asarray(want))


def test_mixed_dtypes_meet() -> None:
    x, y = np.ones((2, 3), np.float32), np.ones((3, 4), np.int32)
    assert ops.matmul(x, y).dtype == np.float32


def test_the_numpy_row_of_many_operands_is_exact_enough() -> None:
    given = arrays((4, 5, 6), (6, 7), (7, 5, 3), (3,))
    have = OPS["einsum"].numpy(*given, spec="abc,cd,dbe,e->da")
    np.testing.assert_allclose(have, np.einsum("abc,cd,dbe,e->da", *given))
