"""Long reductions in parts: right where parts begin, and the same bits for any number of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.codegen.schedule.kernel import Parts
from kgraph.codegen.schedule.parts import FEWEST_ROWS
from kgraph.codegen.schedule.task import CHUNK
from kgraph.graph.evaluate import evaluate

rng = np.random.default_rng(5)
TOTALS = (0, 1, CHUNK - 1, CHUNK, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 5 * CHUNK + 7)
ROWS = (0, 1, 2 * FEWEST_ROWS - 1, 2 * FEWEST_ROWS, 2 * FEWEST_ROWS + 1, 7 * FEWEST_ROWS + 5)
NARROW = (0, 1, CHUNK // 8 - 1, CHUNK // 4 - 1, CHUNK // 4, CHUNK // 4 + 1, CHUNK)


def array(*shape: int, dtype: str = "float32") -> np.ndarray:
    if dtype == "bool":
        return rng.random(shape) < 0.5
    drawn = rng.standard_normal(shape)
    return drawn.astype(dtype) if dtype.startswith("float") else (100 * drawn).astype(dtype)


def is_in_parts(compiled: Any) -> bool:
    return any(isinstance(step.kernel.schedule, Parts) for step in compiled._main().program.plan.steps)


def agrees(
    function: Callable[..., Any], make: Callable[[int], tuple[np.ndarray, ...]], counts: tuple[int, ...]
) -> None:
    """The numbers are right for each count of rows, and the same for 1, 2 and 5 threads."""
    inputs = [kg.Input(batch_shape=(None, *one.shape[1:]), dtype=str(one.dtype)) for one in make(1)]
    several = [kg.compile(function, inputs=inputs, threads=threads) for threads in (1, 2, 5)]
    assert is_in_parts(several[0])
    for count in counts:
        arrays = make(count)
        meaning, _ = evaluate(several[0].stages["trace"], arrays)
        results = [kg.tree.flatten(one(*arrays)) for one in several]
        for found, wanted in zip(results[0], meaning, strict=True):
            assert found.dtype == wanted.dtype
            np.testing.assert_allclose(found, wanted, rtol=3e-5, atol=1e-4 * max(1, count) ** 0.5)
        for other in results[1:]:
            assert [one.tobytes() for one in other] == [one.tobytes() for one in results[0]]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_the_sum_of_an_array_is_right_where_parts_begin(dtype):
    agrees(lambda x: ops.sum(x), lambda n: (array(n, dtype=dtype),), TOTALS)


def test_extremes_and_truths_come_in_parts_too():
    some = (1, 2 * CHUNK, 3 * CHUNK + 5)
    agrees(lambda x: ops.max(x), lambda n: (array(n),), some)
    agrees(lambda x: ops.min(x), lambda n: (array(n, dtype="int32"),), some)
    agrees(lambda x: ops.any(x), lambda n: (np.arange(n) == n - 1,), (0, *some))
    agrees(lambda x: ops.all(x, axis=0), lambda n: (array(n, 3, dtype="bool") | True,), (0, *some))


def test_an_extreme_that_is_not_a_number_is_found_in_any_part():
    x = array(4 * CHUNK)
    largest = kg.compile(lambda x: ops.max(x), inputs=[kg.Input(batch_shape=(None,))])
    for place in (0, CHUNK, 4 * CHUNK - 1):
        broken = x.copy()
        broken[place] = np.nan
        assert np.isnan(largest(broken))


@pytest.mark.parametrize("width", [1000, 300, 256, 255])
def test_sums_of_columns_are_right_where_parts_begin(width):
    agrees(lambda x: ops.sum(x, axis=0), lambda n: (array(n, width),), (*ROWS, 4 * CHUNK // width))


def test_sums_of_narrow_columns_are_right_where_parts_begin():
    agrees(lambda x: ops.sum(x, axis=0), lambda n: (array(n, 8),), NARROW)


def test_several_results_and_what_follows_from_them_come_in_parts():
    def moments(x: Any) -> Any:
        return ops.mean(x, axis=0), ops.var(x, axis=0)

    agrees(moments, lambda n: (array(n, 5, 64),), (1, 2, 511, 512, 1500))
    agrees(lambda x, y: ops.mean(ops.square(x - y)), lambda n: (array(n, 96), array(n, 96)), (1, 300, 341, 342, 2000))


def test_loops_that_cannot_be_one_are_cut_at_the_outermost():
    agrees(
        lambda x: ops.sum(x * np.arange(96, dtype=np.float32)), lambda n: (array(n, 96),), (0, 1, 170, 340, 342, 999)
    )
    agrees(lambda x: ops.sum(ops.flip(x, axis=1) * x, axis=(0, 2)), lambda n: (array(n, 5, 33),), (0, 1, 99, 992, 1500))


def test_gradients_of_weights_that_every_row_shares_are_sums_in_parts():
    x = kg.Input(shape=(48,))
    model = kg.Model(x, kg.layers.LayerNormalization()(kg.layers.Dense(48)(x)))
    several = [kg.compile(model, loss="mse", threads=threads) for threads in (1, 2, 5)]
    for count in (1, 341, 1024, 3000):
        arrays = array(count, 48), array(count, 48)
        answers = [one.value_and_grad(*arrays) for one in several]
        flat = [np.concatenate([np.ravel(part) for part in kg.tree.flatten(answer)]) for answer in answers]
        assert all(one.tobytes() == flat[0].tobytes() for one in flat)


def test_few_rows_and_many_units_are_reduced_whole():
    assert not is_in_parts(kg.compile(lambda x: ops.sum(x, axis=1), inputs=[kg.Input(shape=(1024,))]))
    assert not is_in_parts(kg.compile(lambda x: ops.sum(x, axis=0), inputs=[kg.Input(batch_shape=(32, 1024))]))
