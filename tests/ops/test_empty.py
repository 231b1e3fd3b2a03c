"""Reductions over axes whose length only a call brings, and which are empty there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.errors import ShapeError

EMPTY = np.zeros((2, 0, 3), np.float32)


def compiled(call: Callable[[Any], Any], rows: str = "open") -> Any:
    x = kg.Input((None if rows == "open" else 0, 3))
    return kg.compile(kg.Model(x, call(x)))


@pytest.mark.parametrize(
    "call", [ops.max, ops.min, ops.argmax, ops.argmin, ops.logsumexp], ids=lambda one: one.__name__
)
def test_among_no_elements_there_is_no_extreme_one(call: Callable[..., Any]) -> None:
    run = compiled(lambda x: call(x, axis=1))
    with pytest.raises(ShapeError, match="must be at least 1, and is 0"):
        run(EMPTY)
    with pytest.raises(ShapeError, match="no elements"):
        call(EMPTY, axis=1)
    some = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    np.testing.assert_allclose(run(some), call(some, axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: ops.max(x, axis=1, initial=2.0),
        lambda x: ops.min(x, axis=(1, 2), initial=-2.0),
        lambda x: ops.softmax(x, axis=1),
        lambda x: ops.log_softmax(x, axis=1),
        lambda x: ops.sum(x, axis=1),
        lambda x: ops.prod(x, axis=1),
        lambda x: ops.any(x, axis=1),
    ],
)
def test_what_has_a_value_without_elements(call: Callable[..., Any]) -> None:
    for rows in ("open", "known"):
        np.testing.assert_array_equal(compiled(call, rows)(EMPTY), call(EMPTY))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint16", "bool"])
def test_segments_without_slices(dtype: str) -> None:
    nothing, ids = np.zeros((0, 2), dtype), np.zeros(0, np.int32)
    for call in (ops.segment_max, ops.segment_min):
        found = call(nothing, ids, 3)
        x, i = kg.Input(batch_shape=(None, 2), dtype=dtype), kg.Input(batch_shape=(None,), dtype="int32")
        run = kg.compile(kg.Model([x, i], call(x, i, 3)))
        assert found.shape == (3, 2) and found.dtype == nothing.dtype
        np.testing.assert_array_equal(run(nothing, ids), found)


def test_sizes_that_a_call_must_bring_are_told() -> None:
    x = kg.Input((None,))
    run = kg.compile(kg.Model(x, ops.slice(x, (0, 3), (2, 4))))
    with pytest.raises(ShapeError, match="must be at least 7, and is 5"):
        run(np.zeros((2, 5), np.float32))
