"""Einsums as matrix products: the same numbers, by transposes, reshapes and one matmul."""

from __future__ import annotations

import numpy as np
import pytest

from kgraph.bench.product import View, multiplied, product

SIZES = {"a": 2, "b": 3, "c": 4, "d": 5, "e": 6, "f": 7}


def arrays(spec: str) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.standard_normal([SIZES[name] for name in term]) for term in spec.split("->")[0].split(",")]


def viewed(value: np.ndarray, view: View) -> np.ndarray:
    return value.transpose(view.axes).reshape(view.shape)


@pytest.mark.parametrize(
    "spec",
    [
        "ab,bc->ac", "ab,cb->ca", "abc,cde->abde", "abc,bcd->ad", "abcd,aecd->acbe", "acbe,aecd->abcd", "ab,b->a",
        "a,a->", "abc,abd->acd", "abc,dcb->ad",
    ],
)  # fmt: skip
def test_a_product_computes_the_einsum(spec: str) -> None:
    left, right = arrays(spec)
    found = product(spec, left.shape, right.shape)
    assert found is not None
    made = viewed(left, found.left) @ viewed(right, found.right)
    np.testing.assert_allclose(made.reshape(found.made).transpose(found.axes), np.einsum(spec, left, right))
    assert multiplied(spec, left.shape, right.shape) is None


@pytest.mark.parametrize("spec", ["ab,b->ab", "a,b->ba", "abc,ca->bca"])
def test_what_sums_nothing_is_multiplied(spec: str) -> None:
    left, right = arrays(spec)
    assert product(spec, left.shape, right.shape) is None
    views = multiplied(spec, left.shape, right.shape)
    assert views is not None
    made = viewed(left, views[0]) * viewed(right, views[1])
    np.testing.assert_allclose(made, np.einsum(spec, left, right))


@pytest.mark.parametrize("spec", ["aa,ab->b", "ab,c->ac", "ab,bc,cd->ad"])
def test_others_are_left_alone(spec: str) -> None:
    shapes = [one.shape for one in arrays(spec)]
    assert product(spec, shapes[0], shapes[1]) is None


def test_an_axis_that_stretches_is_left_alone() -> None:
    assert product("ab,bc->ac", (2, 1), (3, 4)) is None
