"""What follows from order and counts: against numpy for all sizes and kinds of numbers, compiled, with gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from agreement import agrees, gradients_agree

import kgraph as kg
from kgraph import ops
from kgraph.codegen.targets import TARGETS
from kgraph.errors import ArgumentError, RangeError, ShapeError

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(3, 4, 5)).round(1)
SPECIAL = np.array([[np.nan, 1.0, -np.inf, np.nan, 0.0, -0.0, np.inf], [2.0, 1.0, 2.0, 1.0, 0.0, 0.0, -1.0]])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sort_and_argsort_are_numpys(axis: int) -> None:
    agrees(lambda x: ops.sort(x, axis), np.sort(X, axis), X, shapes=[("N", 4, 5)])
    agrees(lambda x: ops.argsort(x, axis), np.argsort(X, axis, kind="stable"), X, shapes=[("N", 4, 5)])
    gradients_agree(lambda x: ops.sort(x, axis), RANDOM.permutation(24).reshape(2, 3, 4) / 8.0)


def test_special_numbers_and_ties() -> None:
    agrees(ops.sort, np.sort(SPECIAL), SPECIAL)
    agrees(ops.argsort, np.argsort(SPECIAL, kind="stable"), SPECIAL)
    agrees(lambda x: ops.sort(x, None), np.sort(X, None), X)


@pytest.mark.parametrize("target", TARGETS)
def test_long_rows_of_every_dtype(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    dtypes = ("float32", "float64", "int32", "uint8", "bool")
    given = [RANDOM.normal(size=(2, 100)).round(1).astype(dtype) for dtype in dtypes]
    given[0][1, ::7] = np.nan
    run = kg.compile(
        lambda *xs: [ops.argsort(x) for x in xs],
        inputs=[kg.Input((100,), dtype=dtype) for dtype in dtypes],
        target=target,
    )
    for found, x in zip(run(*given), given, strict=True):
        np.testing.assert_array_equal(found, np.argsort(x, kind="stable"))


def test_one_long_row() -> None:
    x = RANDOM.integers(0, 1000, 20_001).astype(np.float32)
    run = kg.compile(ops.argsort, inputs=kg.Input(batch_shape=(None,)))
    np.testing.assert_array_equal(run(x), np.argsort(x, kind="stable"))
    assert run(x[:0]).shape == (0,)
    assert run(x[:1]).tolist() == [0]


@pytest.mark.parametrize("target", TARGETS)
def test_gradients_of_a_compiled_sort_go_where_the_elements_were(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    x, weights = RANDOM.normal(size=(2, 3, 20)).astype(np.float32)
    _, pull = kg.compile(ops.sort, inputs=kg.Input((20,)), target=target).vjp(x)
    wanted = np.take_along_axis(weights, np.argsort(np.argsort(x)), 1)
    np.testing.assert_array_equal(pull(weights)[0], wanted)


QUANTILES: list[tuple[Any, dict[str, Any]]] = [
    (0.3, {}),
    ([0.0, 0.25, 1.0], {"axis": 1}),
    ([0.1, 0.6], {"axis": (0, 2), "keepdims": True}),
    *((0.4, {"axis": 0, "method": method}) for method in ("linear", "lower", "higher", "midpoint", "nearest")),
]


@pytest.mark.parametrize(("q", "options"), QUANTILES)
def test_quantiles_are_numpys(q: Any, options: dict[str, Any]) -> None:
    holes = np.where(X > 0.9, np.nan, X)
    agrees(lambda x: ops.quantile(x, q, **options), np.quantile(X, q, **options), X, shapes=[("N", 4, "T")])
    agrees(lambda x: ops.quantile(x, q, **options), np.quantile(holes, q, **options), holes)
    agrees(lambda x: ops.nanquantile(x, q, **options), np.nanquantile(holes, q, **options), holes)


def test_gradients_of_medians() -> None:
    x = RANDOM.permutation(24).reshape(2, 3, 4) / 8.0
    gradients_agree(lambda x: ops.median(x, axis=(0, 2)), x)
    gradients_agree(lambda x: ops.top_k(x, 2)[0], x)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("length", [0, 1, 7, 200])
def test_searchsorted_is_numpys(side: Any, length: int) -> None:
    line = np.sort(RANDOM.normal(size=length).round(1))
    values = np.concatenate([RANDOM.normal(size=20).round(1), [np.nan, np.inf, -np.inf]])
    shapes = [("N",), (23,)] if length else None
    agrees(lambda a, v: ops.searchsorted(a, v, side), np.searchsorted(line, values, side), line, values, shapes=shapes)


def test_counts_in_a_model_have_a_size_that_is_given() -> None:
    x = RANDOM.integers(0, 6, (4, 5)).astype(np.int32)
    run = kg.compile(lambda x: ops.bincount(x, minlength=6), inputs=kg.Input((5,), dtype="int32"))
    np.testing.assert_array_equal(run(x), ops.bincount(x, minlength=6))
    for wrong in (6, -1):
        with pytest.raises(RangeError):
            run(np.full((2, 5), wrong, np.int32))
    y = kg.Input((5,), dtype="int32")
    for call in (ops.bincount, ops.unique, ops.nonzero):
        with pytest.raises(ArgumentError, match="depend on values"):
            call(y)
    found = kg.compile(lambda x: ops.unique(x, size=7, return_counts=True), inputs=kg.Input((5,), dtype="int32"))(x)
    values, counts = np.unique(x, return_counts=True)
    np.testing.assert_array_equal(found[0][: len(values)], values)
    np.testing.assert_array_equal(found[1], np.pad(counts, (0, 7 - len(counts))))


def test_what_is_refused() -> None:
    with pytest.raises(ArgumentError, match="k must lie between 0 and the 5"):
        ops.top_k(X, 6)
    with pytest.raises(ArgumentError, match="axis 3"):
        ops.sort(X, 3)
    with pytest.raises(ArgumentError, match="no axis"):
        ops.sort(1.0)
    with pytest.raises(ArgumentError, match="side is left or right"):
        ops.searchsorted(X[0, 0], X, "up")
    with pytest.raises(ShapeError, match="vector"):
        ops.searchsorted(X, X)
    with pytest.raises(ArgumentError, match="method"):
        ops.quantile(X, 0.5, method="fast")
    with pytest.raises(ShapeError, match="no elements"):
        ops.median(X[:0])


def test_where_of_a_condition_alone_gives_places() -> None:
    for found, wanted in zip(ops.where(X > 0), np.where(X > 0), strict=True):
        np.testing.assert_array_equal(found, wanted)
    with pytest.raises(ArgumentError, match="where wants a value for both"):
        ops.where(X > 0, X)
    with pytest.raises(ArgumentError, match="a size cannot depend on values"):
        kg.compile(lambda x: ops.where(x > 0), inputs=[kg.Input((3,))])
