"""Claims about compiled kernels, each with the programs that could break it: they agree with what a graph means."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.codegen.schedule.source import index_text
from kgraph.errors import RangeError
from kgraph.graph.evaluate import evaluate
from kgraph.graph.index import Loop, index, unflatten

rng = np.random.default_rng(11)


def given(shape: Sequence[int | None], dtype: str = "float32") -> Any:
    return kg.Input(batch_shape=tuple(shape), dtype=dtype)


def floats(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def integers(dtype: str, *shape: int) -> np.ndarray:
    ends = np.iinfo(dtype)
    return rng.integers(ends.min, ends.max, shape, dtype=dtype, endpoint=True)


def agrees(function: Callable[..., Any], *arrays: np.ndarray) -> None:
    compiled = kg.compile(function, inputs=[given(array.shape, str(array.dtype)) for array in arrays])
    meaning, _ = evaluate(compiled.stages["trace"], arrays)
    result = compiled(*arrays)
    assert result.dtype == meaning[0].dtype
    np.testing.assert_allclose(result, meaning[0], rtol=1e-5, atol=1e-5)


# which ops share a kernel --------------------------------------------------------------------------------------------

MOVES = {
    "flip": lambda x: ops.flip(x, axis=0),
    "transpose": lambda x: ops.transpose(x),
    "take": lambda x: ops.take(x, np.array([1, 0, 4, -1, 2], np.int32), axis=0),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_a_move_after_a_reduction_or_a_product_of_the_same_shape_reads_it_at_other_places(move):
    agrees(lambda x: move(ops.sum(x, axis=-1)), floats(5, 5, 7))
    agrees(lambda x, y: move(ops.matmul(x, y)), floats(5, 7), floats(7, 5))


@pytest.mark.parametrize("keepdims", [False, True])
def test_argmax_of_a_normalised_row_is_found(keepdims):
    agrees(lambda x: ops.argmax(x - ops.mean(x, axis=-1, keepdims=True), axis=-1, keepdims=keepdims), floats(4, 5))
    agrees(lambda x: ops.argmin(ops.softmax(x), axis=-1, keepdims=keepdims), floats(4, 5))


def test_chains_of_shifts_do_not_multiply_the_work_of_each_element():
    def shifted(x: Any) -> Any:
        for _ in range(12):
            x = ops.tanh(x) + ops.roll(x, 1, axis=-1) * 0.5
        return x

    began = time.perf_counter()
    agrees(shifted, floats(3, 16))
    assert time.perf_counter() - began < 60  # once 3 ** 12 terms in one expression


def test_a_kernel_of_many_operands():
    arrays = [floats(2, 3) for _ in range(80)]
    agrees(lambda *xs: ops.concatenate(xs, axis=1), *arrays)


def test_tensors_of_many_axes_have_a_loop_for_each():
    agrees(lambda x: ops.flip(ops.transpose(x, tuple(range(13))[::-1]), 1) + 1, floats(*(2,) * 13))
    batches = "abcdefghij,abcdefghjk->hgfedcbaik"  # eight loops around the rows of a tile, none of which is called r
    agrees(lambda x, y: ops.einsum(batches, x, y), floats(*(2,) * 10), floats(*(2,) * 10))


# integers and booleans -----------------------------------------------------------------------------------------------

SUMS = {
    "sum": lambda x: ops.sum(x, axis=1),
    "sum of columns": lambda x: ops.sum(x, axis=0),
    "prod": lambda x: ops.prod(x, axis=1),
    "dot": lambda x: ops.matmul(x, ops.transpose(x)),
    "cumsum": lambda x: ops.cumsum(x, axis=1),
}


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
@pytest.mark.parametrize("function", SUMS.values(), ids=SUMS)
def test_sums_of_integers_wrap_around_before_they_are_used(function, dtype):
    agrees(lambda x: ops.cast(function(x), "float64"), integers(dtype, 6, 50))


@pytest.mark.parametrize("name", ["any", "all", "max", "min"])
def test_booleans_reduced_along_columns(name):
    agrees(lambda x: ops.logical_not(getattr(ops, name)(x, axis=0)), rng.integers(0, 2, (3, 70)).astype(bool))


# indices -------------------------------------------------------------------------------------------------------------


def refused(function: Callable[..., Any], inputs: Sequence[Any], *arrays: np.ndarray) -> None:
    compiled = kg.compile(function, inputs=inputs)
    with pytest.raises(RangeError):
        compiled(*arrays)


@pytest.mark.parametrize("position", [5, -5])
def test_a_number_as_index_is_checked_against_a_size_known_at_the_call(position):
    table = given((None, 4))
    refused(lambda x: ops.take(x, position, axis=0), [table], floats(3, 4))
    np.testing.assert_array_equal(
        kg.compile(lambda x: ops.take(x, position, axis=0), inputs=[table])(np.ones((6, 4), np.float32)), np.ones(4)
    )


def test_an_index_computed_from_sizes_is_checked():
    refused(lambda x: ops.take(x, ops.shape(x)[0] + 7, axis=0), [given((None, 4))], floats(3, 4))


def test_an_unsigned_index_does_not_count_from_the_end():
    indices = np.array([2**64 - 1, 0], np.uint64)
    refused(lambda x, i: ops.take(x, i, axis=0), [given((None, 4)), given((None,), "uint64")], floats(2, 4), indices)


def test_indices_into_two_tables_are_checked_against_both():
    a, b, i = kg.Input((None, 3)), kg.Input((None, 3)), kg.Input((2,), dtype="int32")
    compiled = kg.compile(kg.Model([a, b, i], [ops.take(a, i, axis=1), ops.take(b, i, axis=1)]))
    with pytest.raises(RangeError):
        compiled(floats(1, 10, 3), floats(1, 2, 3), np.array([[9, 1]], np.int32))


def test_indices_in_a_variable_are_checked_before_anything_is_read_with_them():
    table = kg.Variable(floats(4, 3))
    indices = kg.Variable(np.array([0, 3], np.int32), dtype="int32", trainable=False)
    compiled = kg.compile(lambda x: ops.matmul(x, ops.take(table, indices, axis=0)), inputs=[given((None, 2))])
    x = floats(5, 2)
    np.testing.assert_allclose(compiled(x), x @ table.numpy()[[0, 3]], rtol=1e-5, atol=1e-6)
    indices.assign(np.array([0, 1 << 30], np.int32))
    with pytest.raises(RangeError):
        compiled(x)


# inputs --------------------------------------------------------------------------------------------------------------


def test_numbers_are_inputs_without_axes():
    compiled = kg.compile(lambda x, scale: x * scale, inputs=[given((None,)), given(())])
    np.testing.assert_array_equal(compiled(np.ones(3, np.float32), 3.0), np.full(3, 3.0))
    _, pullback = kg.compile(lambda x: ops.sum(x * x), inputs=[given((None,))]).vjp(np.ones(3, np.float32))
    np.testing.assert_array_equal(pullback(1.0)[0], np.full(3, 2.0))


# positions -----------------------------------------------------------------------------------------------------------


def test_a_position_counted_from_the_end_is_taken_apart_like_any_other():
    loop = Loop("i", 24)
    parts = [index_text(one) for one in unflatten(23 - index(loop), (2, 3, 4))]
    found = [tuple(eval(part, {"i": i}) for part in parts) for i in range(24)]
    assert found == [tuple(map(int, np.unravel_index(23 - i, (2, 3, 4)))) for i in range(24)]


def test_a_softmax_of_huge_logits_stays_finite_when_it_is_fused_with_a_dense_layer():
    layer, i = kg.layers.Dense(4, activation="softmax"), kg.Input((5,))
    model = kg.Model(i, layer(i))
    random = np.random.default_rng(3)
    layer.set_weights([random.normal(0, 1e10, (5, 4)), random.normal(0, 5e9, 4)])
    x = np.random.default_rng(17).normal(size=(17, 5)).astype(np.float32)
    np.testing.assert_allclose(kg.compile(model)(x).sum(axis=1), 1, rtol=1e-6)
