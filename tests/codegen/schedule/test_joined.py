"""Concatenations: operands are written in place where nothing else reads them, and copied where something does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import layers, ops
from kgraph.codegen.cpu import program as cpu_program
from kgraph.graph.evaluate import evaluate

rng = np.random.default_rng(7)
COUNTS = (0, 1, 3, 4, 5, 23, 24, 25, 97)


@pytest.fixture(autouse=True)
def _poisoned_and_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    aligned = cpu_program.aligned

    def poisoned(size: int) -> np.ndarray:
        memory = aligned(size)
        memory.fill(0xFF)
        return memory

    monkeypatch.setattr(cpu_program, "aligned", poisoned)


def array(*shape: int, dtype: str = "float32") -> np.ndarray:
    drawn = rng.standard_normal(shape)
    return drawn > 0 if dtype == "bool" else (10 * drawn).astype(dtype)


def copies(compiled: Any) -> int:
    """How many steps only copy an operand."""
    plan = compiled._main().program.plan
    steps = plan.steps if plan.cut is None else plan.steps[-1].steps
    return sum(plan.graph[step.node].op == "concatenate" for step in steps)


def agrees(
    function: Callable[..., Any], make: Callable[[int], tuple[np.ndarray, ...]], copied: int, counts: Any = COUNTS
) -> None:
    """Right for each count of rows, in memory full of NaN, the same for 1, 2 and 5 threads; so many operands copied."""
    inputs = [kg.Input(batch_shape=(None, *one.shape[1:]), dtype=str(one.dtype)) for one in make(1)]
    several = [kg.compile(function, inputs=inputs, threads=threads) for threads in (1, 2, 5)]
    assert copies(several[0]) == copied
    for count in counts:
        arrays = make(count)
        meaning, _ = evaluate(several[0].stages["trace"], arrays)
        results = []
        for one in several:
            outs = [np.full(wanted.shape, 77, wanted.dtype) for wanted in meaning]
            one(*arrays, out=outs if len(outs) > 1 else outs[0])
            results.append(outs)
        for found, wanted in zip(results[0], meaning, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=3e-5, atol=1e-4)
        for other in results[1:]:
            assert [one.tobytes() for one in other] == [one.tobytes() for one in results[0]]


def pair(*widths: int) -> Callable[[int], tuple[np.ndarray, ...]]:
    return lambda count: tuple(array(count, width) for width in widths)


@pytest.mark.parametrize("axis", [0, 1])
def test_elementwise_operands_are_written_in_place(axis):
    agrees(lambda x, y: ops.concatenate([x * 2.0, ops.exp(y * 0.1), x + y], axis), pair(9, 9), 0)


def test_along_the_last_axis_operands_may_be_a_column_or_nothing():
    agrees(lambda x, y: ops.concatenate([x[:, :1] + 1.0, y[:, :0], ops.tanh(y), x[:, 1:2]], 1), pair(5, 31), 0)


@pytest.mark.parametrize("dtype", ["float64", "int32", "bool"])
def test_every_dtype_is_written_and_copied(dtype):
    def call(x, y):
        return ops.concatenate([x, ops.where(ops.equal(x, y), x, y), y], 1)

    agrees(call, lambda n: (array(n, 7, dtype=dtype), array(n, 7, dtype=dtype)), 2)


@pytest.mark.parametrize("axis", [0, 1])
def test_products_are_written_in_place_with_what_follows_them(axis):
    first, second = layers.Dense(25, activation="relu"), layers.Dense(25, use_bias=False)
    agrees(lambda x: ops.concatenate([first(x), second(x)], axis), pair(17), 0)


def test_rows_reduced_from_products_are_written_in_place():
    head, other = layers.Dense(10, activation="softmax"), layers.Dense(33)
    agrees(lambda x: ops.concatenate([head(x), ops.softmax(x), other(x)], 1), pair(130), 0)


def test_reductions_and_running_sums_are_written_in_place():
    def call(x):
        rows = ops.sum(x, 1, keepdims=True), ops.max(x, 1, keepdims=True)
        return ops.concatenate([*rows, ops.cumsum(x, 1), ops.softmax(ops.flip(x, 1))], 1)

    agrees(call, pair(19), 0)


def test_gathered_rows_are_written_in_place_and_their_indices_are_checked():
    table = array(11, 6)

    def call(x, i):
        return ops.concatenate([x, ops.take(table, i, 0)], 1)

    compiled = kg.compile(call, inputs=[kg.Input(batch_shape=(None, 3)), kg.Input(batch_shape=(None,), dtype="int32")])
    x = array(4, 3)
    places = np.array([0, 10, -1, 5], np.int32)
    np.testing.assert_array_equal(compiled(x, places), np.concatenate([x, table[places]], 1))
    with pytest.raises(kg.errors.RangeError):
        compiled(x, np.array([0, 11, 0, 0], np.int32))
    assert copies(compiled) == 1


def test_an_operand_through_a_view_is_written_in_place_if_its_axes_end_where_rows_do():
    dense = layers.Dense(12)
    agrees(lambda x: ops.concatenate([ops.reshape(dense(x), (-1, 3, 4)), ops.reshape(x, (-1, 3, 2))], 2), pair(6), 2)
    agrees(lambda x: ops.concatenate([ops.reshape(ops.exp(x), (-1, 3, 2)), ops.ones((1, 3, 2))], 0), pair(6), 1)


def test_a_concatenation_in_another_along_the_same_axis_has_no_memory_of_its_own():
    def call(x, y):
        inner = ops.concatenate([ops.concatenate([x * 2.0, y], 1), y * 3.0], 1)
        return ops.concatenate([x + 1.0, inner], 1)

    agrees(call, pair(3, 5), 1)
    agrees(lambda x, y: ops.concatenate([ops.concatenate([x * 2.0, y], 1)] * 2, 0), pair(3, 5), 3)


def test_an_operand_that_others_read_is_copied():
    def call(x):
        shared = layers.Activation("tanh")(ops.cumsum(x, 1))
        return ops.concatenate([shared, x * 2.0], 1), ops.cumsum(shared, 1)

    agrees(call, pair(6), 1)


def test_an_operand_that_is_a_result_or_stands_twice_is_copied():
    def call(x):
        shared = ops.exp(x * 0.1)
        return ops.concatenate([shared, x * 2.0], 1), shared

    agrees(call, pair(6), 1)
    agrees(lambda x: ops.concatenate([ops.cumsum(x, 1)] * 2, 1), pair(6), 2)


def test_what_follows_a_concatenation_of_products_reads_it_from_memory():
    first, second = layers.Dense(9), layers.Dense(7)
    agrees(lambda x: ops.relu(ops.concatenate([first(x), second(x)], 1)), pair(17), 0)


def test_many_operands_share_the_kernels_that_write_them():
    compiled = kg.compile(
        lambda x: ops.concatenate([*(x * (k + 2.0) for k in range(40)), *[x] * 40], 1),
        inputs=[kg.Input(batch_shape=(None, 3))],
    )
    assert copies(compiled) == 40
    assert len({step.kernel for step in compiled._main().program.plan.kernel_calls}) == 41
    x = array(5, 3)
    np.testing.assert_array_equal(
        compiled(x), np.concatenate([*(x * np.float32(k + 2) for k in range(40)), *[x] * 40], 1)
    )


def test_weights_joined_with_constants_are_prepared_once():
    weight = kg.Variable(array(4, 3))
    extra = array(2, 3)
    compiled = kg.compile(
        lambda x: ops.matmul(x, ops.concatenate([weight * 2.0, extra], 0)), inputs=[kg.Input(batch_shape=(None, 6))]
    )
    x = array(5, 6)
    for _ in range(2):
        wanted = x @ np.concatenate([np.asarray(weight) * 2, extra], 0)
        np.testing.assert_allclose(compiled(x), wanted, rtol=1e-4, atol=1e-4)
        weight.assign(array(4, 3))


def test_in_loops_they_are_written_in_place_and_what_a_loop_hands_out_is_copied():
    def call(x):
        def step(carry, row):
            joined = ops.concatenate([ops.tanh(carry), row], 0)
            return joined[1:7], ops.sum(joined)

        last, sums = ops.scan(step, ops.zeros((6,)), x)
        return ops.concatenate([last, sums], 0)

    agrees(call, pair(2), 2, (1, 5))


def test_gradients_of_joined_products_are_those_of_the_products():
    first, second = layers.Dense(9, activation="tanh"), layers.Dense(7)

    def loss(x):
        return ops.sum(ops.square(ops.concatenate([first(x), x, second(x)], 1)))

    def apart(x):
        return sum(ops.sum(ops.square(one)) for one in (first(x), x, second(x)))

    inputs, x = [kg.Input(batch_shape=(None, 17))], array(5, 17)
    found, wanted = (kg.compile(call, inputs=inputs).vjp(x)[1](np.float32(1)) for call in (loss, apart))
    for one, other in zip(kg.tree.flatten(found), kg.tree.flatten(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1])
def test_on_cuda_as_well(axis):
    first, second = layers.Dense(8, activation="relu"), layers.Dense(8)

    def call(x):
        return ops.concatenate(
            [first(x), x[:, :8] * 2.0, second(x), ops.concatenate([x[:, :8], x[:, 1:9]], axis)], axis
        )

    x = array(5, 17)
    compiled = kg.compile(call, inputs=[kg.Input(batch_shape=(None, 17))], target="cuda")
    np.testing.assert_allclose(compiled(x), evaluate(compiled.stages["trace"], [x])[0][0], rtol=2e-5, atol=2e-5)
