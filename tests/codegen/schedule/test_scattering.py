"""Scatters: right at every size, with the same bits for any number of threads, their indices checked before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import layers, ops
from kgraph.codegen.cpu import program as cpu_program
from kgraph.codegen.schedule.kernel import Check, Scatter, Sort
from kgraph.codegen.schedule.ordered import SORTED, TEAM, WIDE
from kgraph.graph.evaluate import evaluate

rng = np.random.default_rng(13)
COUNTS = (0, 1, 2, 7, 64, 300)
WIDTHS = (1, SORTED - 1, SORTED, SORTED + 1, WIDE - 1, WIDE, WIDE + 1)


@pytest.fixture(autouse=True)
def _poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    aligned = cpu_program.aligned

    def poisoned(size: int) -> np.ndarray:
        memory = aligned(size)
        memory.fill(0xFF)
        return memory

    monkeypatch.setattr(cpu_program, "aligned", poisoned)


def array(*shape: int, dtype: str = "float32") -> np.ndarray:
    drawn = rng.standard_normal(shape)
    return drawn > 0 if dtype == "bool" else (10 * drawn).astype(dtype)


def places(count: int, size: int) -> np.ndarray:
    return rng.integers(-size, size, count).astype(np.int32)


def schedules(compiled: Any) -> list[Any]:
    return [step.kernel.schedule for step in compiled._main().program.plan.steps]


def agrees(function: Callable[..., Any], make: Callable[[int], tuple[np.ndarray, ...]], by_place: bool) -> None:
    """Right for each number of updates, in a poisoned result, the same bits for 1, 2 and 5 threads."""
    size = 11  # of a first axis that is known only at the call
    shapes = [tuple(None if axis == size else axis for axis in one.shape) for one in make(size)]
    kinds = [str(one.dtype) for one in make(size)]
    inputs = [kg.Input(batch_shape=shape, dtype=kind) for shape, kind in zip(shapes, kinds, strict=True)]
    several = [kg.compile(function, inputs=inputs, threads=threads) for threads in (1, 2, 5)]
    found = [any(isinstance(one, Sort) for one in schedules(compiled)) for compiled in several]
    assert found == [False, False, by_place]
    for count in COUNTS:
        arrays, bits = make(count), set()
        (wanted,), _ = evaluate(several[0].stages["trace"], arrays)
        for one in several:
            result = np.full(wanted.shape, 77).astype(wanted.dtype)
            one(*arrays, out=result)
            np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-3)
            bits.add(result.tobytes())
        assert len(bits) == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_sums_of_rows_are_right_where_strips_begin(width):
    agrees(lambda x, i: ops.segment_sum(x, i, 7), lambda n: (array(n, width), places(n, 7)), width >= SORTED)


@pytest.mark.parametrize("reduction", [None, "add"])
@pytest.mark.parametrize("dtype", ["float64", "int32"])
def test_updates_of_what_is_there_are_right_in_every_dtype(dtype, reduction):
    def call(x, i, u):
        return ops.scatter_update(x, i, u, reduction=reduction)

    def make(count):
        return array(9, 40, dtype=dtype), places(count, 9)[:, None], array(count, 40, dtype=dtype)

    agrees(call, make, True)


def test_with_axes_on_both_sides_places_are_done_apart_for_each():
    def call(x, i, u):
        return ops.scatter_add(x, i, u, axis=1)

    agrees(call, lambda n: (array(3, 5, 24), places(n, 5), array(3, n, 24)), True)


def test_along_the_last_axis_strips_of_rows_are_apart():
    agrees(
        lambda x, i, u: ops.scatter_add(x, i, u, axis=1), lambda n: (array(70, 5), places(n, 5), array(70, n)), False
    )


def test_sums_start_from_a_number_that_is_nowhere_in_memory():
    first, second = layers.Embedding(50, 32), layers.Embedding(50, 32)
    x = kg.Input(batch_shape=(None, 6), dtype="int32")
    model = kg.Model(x, first(x) * 2.0 + second(x))
    for threads in (1, 5):
        compiled = kg.compile(model, loss="mse", threads=threads)
        indices = rng.integers(0, 50, (40, 6)).astype(np.int32)
        target = array(40, 6, 32)
        _, gradients = compiled.value_and_grad(indices, target)
        wanted = np.zeros((50, 32), np.float64)
        np.add.at(wanted, indices, 2 * (compiled(indices) - target) / target.size)
        for one, factor in zip(gradients, (2, 1), strict=True):
            np.testing.assert_allclose(one, factor * wanted, rtol=1e-4, atol=1e-6)
        plan = compiled._main().program.plan
        assert not any(node.op == "broadcast_to" and node.tensor.shape == (50, 32) for node in plan.graph)
        kinds = [type(one) for one in schedules(compiled)]
        assert kinds.count(Scatter) == 2
        assert kinds.count(Sort) == (1 if threads >= TEAM else 0)  # both are of the same indices


def test_indices_are_checked_once_where_the_first_check_is_the_stricter_one():
    table = layers.Embedding(100, 64)
    x = kg.Input(batch_shape=(None, 10), dtype="int32")
    compiled = kg.compile(kg.Model(x, table(x)), loss="mse")
    target = array(4, 10, 64)
    compiled.value_and_grad(np.zeros((4, 10), np.int32), target)
    assert [type(one) for one in schedules(compiled)].count(Check) == 1
    for wrong in (100, -1):
        with pytest.raises(kg.errors.RangeError):
            compiled.value_and_grad(np.full((4, 10), wrong, np.int32), target)


def test_gradients_of_an_embedding_have_the_same_bits_for_any_number_of_threads():
    table = layers.Embedding(100, 64)
    x = kg.Input(batch_shape=(None, 10), dtype="int32")
    model = kg.Model(x, table(x))
    indices, target = rng.integers(0, 100, (50, 10)).astype(np.int32), array(50, 10, 64)
    found = set()
    for threads in (1, 2, 5):
        compiled = kg.compile(model, loss=lambda y, t: ops.sum(y * t), threads=threads)
        found.add(kg.tree.flatten(compiled.value_and_grad(indices, target))[-1].tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("threads", [1, 5])
@pytest.mark.parametrize("wrong", [7, -8, 2**31 - 1, -(2**31)])
def test_an_index_outside_is_refused_before_anything_is_written(threads, wrong):
    compiled = kg.compile(
        lambda x, i: ops.segment_sum(x, i, 7),
        inputs=[kg.Input(batch_shape=(None, 32)), kg.Input(batch_shape=(None,), dtype="int32")],
        threads=threads,
    )
    result = np.full((7, 32), 77, np.float32)
    with pytest.raises(kg.errors.RangeError, match="outside"):
        compiled(array(5, 32), np.array([0, 1, wrong, 2, 3], np.int32), out=result)
    assert (result == 77).all()
