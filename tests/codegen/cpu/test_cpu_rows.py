"""Rows that are reduced: what a softmax makes of extreme numbers, and rows that are fetched ahead."""

from __future__ import annotations

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.codegen.cpu.rows import LARGE

rng = np.random.default_rng(8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_softmax_of_extreme_numbers_is_that_of_numpy(dtype):
    rows = [[0, -200, -90, 3], [1e30, -1e30, 0, 1e30], [-np.inf, 0, -np.inf, 1], [np.nan, 0, 1, 2], [-np.inf] * 4]
    x = np.array([row * 5 for row in rows], dtype)
    softmax = kg.compile(lambda x: ops.softmax(x), inputs=[kg.Input(batch_shape=(None, 20), dtype=dtype)])
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(1, keepdims=True))
        np.testing.assert_allclose(softmax(x), e / e.sum(1, keepdims=True), rtol=1e-6, atol=1e-38)


def test_an_element_may_be_above_the_largest_of_another_row():
    x = (20 * rng.standard_normal((6, 6))).astype(np.float32)
    above = kg.compile(lambda x: ops.exp(x - ops.max(x, axis=1)), inputs=[kg.Input(batch_shape=(6, 6))])
    np.testing.assert_allclose(above(x), np.exp(x - x.max(1)), rtol=1e-4)


@pytest.mark.parametrize("length", [7, 200])
def test_a_maximum_may_miss_a_nan_only_where_a_sum_finds_it(length):
    def below(x):
        return x - ops.max(x, axis=1, keepdims=True)

    functions = {
        "softmax": lambda x: ops.softmax(x),
        "log softmax": lambda x: ops.log_softmax(x),
        "logsumexp": lambda x: ops.logsumexp(x, axis=1, keepdims=True),
        "powers": lambda x: ops.exp(below(x)),
        "powers and their sum": lambda x: [ops.exp(below(x)), ops.sum(ops.exp(below(x)), axis=1)],
        "part of a sum": lambda x: ops.maximum(ops.sum(ops.exp(below(x)), axis=1, keepdims=True), below(x)),
    }
    x = rng.standard_normal((4 * length, length)).astype(np.float32)
    x[np.arange(0, 4 * length, 2), rng.integers(0, length, 2 * length)] = np.nan
    for name, function in functions.items():
        compiled = kg.compile(function, inputs=[kg.Input(batch_shape=(None, length))])
        assert ("greatest(" in compiled.source) == (name in ("softmax", "log softmax")), name
        results = compiled(x)
        for one in results if isinstance(results, list) else [results]:
            assert np.isnan(one[::2]).all() and np.isfinite(one[1::2]).all(), name


@pytest.mark.parametrize("width", [256, 1000])
def test_rows_that_are_fetched_ahead_are_computed_like_others(width):
    def normalised(x):
        return (x - ops.mean(x, axis=-1, keepdims=True)) * ops.rsqrt(ops.var(x, axis=-1, keepdims=True) + 1e-3)

    inputs = [kg.Input(batch_shape=(None, 3, width))]
    several = [kg.compile(normalised, inputs=inputs, threads=threads) for threads in (1, 2, 5)]
    assert "will_read" in several[0].source and "will_write" in several[0].source
    for count in (0, 1, LARGE // (3 * width), LARGE // (3 * width) + 1, LARGE // (2 * width)):
        x = rng.standard_normal((count, 3, width)).astype(np.float32)
        results = [one(x) for one in several]
        wanted = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
        np.testing.assert_allclose(results[0], wanted, rtol=1e-3, atol=1e-5)
        assert all(one.tobytes() == results[0].tobytes() for one in results)


def test_rows_of_several_dtypes_are_fetched_ahead():
    flagged = kg.compile(lambda x: ops.softmax(x) > 0.01, inputs=[kg.Input(batch_shape=(None, 256))])
    assert "will_read(" in flagged.source and "will_write(" in flagged.source
    x = (3 * rng.standard_normal((LARGE // 200, 256))).astype(np.float32)
    powers = np.exp(x.astype(np.float64))
    share = powers / powers.sum(1, keepdims=True)
    assert ((flagged(x) == (share > 0.01)) | (np.abs(share - 0.01) < 1e-6)).all()
