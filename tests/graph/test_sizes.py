"""Sizes: arithmetic in one normal form that means what it says for every value of the axes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgraph.errors import NotTracedError, ShapeError
from kgraph.graph.sizes import (
    Size,
    assume_at_least_zero,
    assuming,
    at_least_zero,
    axis,
    divide,
    maximum,
    minimum,
    rename_axes,
    resolve,
    unify,
)

N, T = axis("N"), axis("T")
VALUES = st.fixed_dictionaries({"N": st.integers(0, 9), "T": st.integers(0, 9)})


def _grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pairs = st.tuples(inner, inner)
    whole = st.tuples(inner, st.integers(1, 4))
    return st.one_of(
        pairs.map(lambda p: p[0] + p[1]),
        pairs.map(lambda p: p[0] - p[1]),
        pairs.map(lambda p: minimum(*p)),
        pairs.map(lambda p: maximum(*p)),
        whole.map(lambda p: p[0] * p[1]),
        whole.map(lambda p: p[0] // p[1]),
        whole.map(lambda p: p[0] % p[1]),
    )


SIZES = st.recursive(st.one_of(st.integers(-3, 5), st.just(N), st.just(T)), _grown, max_leaves=5)


@given(SIZES, SIZES, VALUES)
def test_arithmetic_is_that_of_the_numbers(a: Any, b: Any, values: dict[str, int]) -> None:
    x, y = resolve(a, values), resolve(b, values)
    for found, wanted in (
        (a + b, x + y),
        (a - b, x - y),
        (a * b, x * y),
        (minimum(a, b), min(x, y)),
        (maximum(a, b), max(x, y)),
    ):
        assert resolve(found, values) == wanted
    if at_least_zero(b - 1):
        assert resolve(a // b, values) == x // y
        assert resolve(a % b, values) == x % y


@given(st.sampled_from((N, T, N * T, N * 4 - T, minimum(T, 5), maximum(T - 2, 0), T - minimum(T, 5), N - 3)), VALUES)
def test_what_is_never_negative_never_is(a: Any, values: dict[str, int]) -> None:
    if at_least_zero(a):
        assert resolve(a, values) >= 0
    if at_least_zero(a) is False:
        assert resolve(a, values) < 0


def test_a_slice_cut_short_leaves_nothing() -> None:
    assert minimum(T, 5) == minimum(5, T)
    assert T - minimum(2, T) - maximum(T - 2, 0) == 0
    assert at_least_zero(minimum(T, 5)) is True
    assert at_least_zero(T - 5) is None
    assert at_least_zero(-T - 1) is False
    assert str(minimum(T, 5)) == "min(T - 5, 0) + 5"
    assert str(rename_axes(minimum(T, 5), {"T": "length"})) == "min(length - 5, 0) + 5"
    assert minimum(T, 5).axes == {"T"}


def test_division_that_comes_out_even_leaves_no_quotient() -> None:
    assert divide(N * 64, 16) == N * 4
    assert divide(N * T, T) == N
    assert divide(N * 3, 2) is None
    assert str(N // 2) == "((N)//2)"
    assert resolve(N // 2 * 2 + N % 2, {"N": 7}) == 7


def test_sizes_that_are_never_equal_are_an_error_at_once() -> None:
    for a, b in ((3, 4), (T, T + 1), (N * 784, N * 756)):
        with pytest.raises(ShapeError):
            unify(a, b)
    with assuming() as found:
        assert unify(N, 4) == 4
        assert unify(N, T) == N
        assert unify(T, T) == T
    assert found == [(N, 4), (N, T)]


def test_a_least_size_is_assumed_and_checked_at_the_call() -> None:
    with assuming() as found:
        assume_at_least_zero(T - 5)
        assume_at_least_zero(T)
    ((zero, missing),) = found
    assert zero == 0
    assert resolve(missing, {"T": 5}) == 0
    assert resolve(missing, {"T": 3}) == -2
    with pytest.raises(ShapeError, match="negative"):
        assume_at_least_zero(-1)


def test_python_cannot_branch_on_a_size() -> None:
    for use in (lambda: int(N), lambda: N < 3, lambda: range(N)):
        with pytest.raises(NotTracedError):
            use()
    with pytest.raises(TypeError):
        N * 0.5
    assert isinstance(N, Size)
