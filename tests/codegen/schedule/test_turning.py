"""Transposes in tiles: right where tiles begin and end, whatever else is computed, for any number of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.codegen.schedule.kernel import Turned
from kgraph.codegen.schedule.turning import SIDES
from kgraph.graph.evaluate import evaluate

rng = np.random.default_rng(11)
SIDE = max(SIDES.values())
COUNTS = (0, 1, 7, 8, 9, SIDE - 1, SIDE, SIDE + 1, 2 * SIDE + 3)


def array(*shape: int, dtype: str = "float32") -> np.ndarray:
    drawn = rng.standard_normal(shape)
    return drawn > 0 if dtype == "bool" else (10 * drawn).astype(dtype)


def is_turned(compiled: Any) -> bool:
    return any(isinstance(step.kernel.schedule, Turned) for step in compiled._main().program.plan.steps)


def agrees(function: Callable[..., Any], make: Callable[[int], tuple[np.ndarray, ...]], tiled: bool = True) -> None:
    """Right for each count, in a poisoned result with guards around it, the same bits for 1, 2 and 5 threads."""
    shapes = [tuple(None if a == 3 else a for a in one.shape) for one in make(3)]
    inputs = [kg.Input(batch_shape=s, dtype=str(o.dtype)) for s, o in zip(shapes, make(3), strict=True)]
    several = [kg.compile(function, inputs=inputs, threads=threads) for threads in (1, 2, 5)]
    assert is_turned(several[0]) == tiled
    for count in COUNTS:
        arrays = make(count)
        (wanted,), _ = evaluate(several[0].stages["trace"], arrays)
        bits = set()
        for one in several:
            memory = np.full(wanted.size + 128, 77).astype(wanted.dtype)
            found = memory[64 : 64 + wanted.size].reshape(wanted.shape)
            one(*arrays, out=found)
            np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-4)
            bits.add(found.tobytes())
            assert (memory[:64] == memory[0]).all() and (memory[-64:] == memory[0]).all()
        assert len(bits) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize("width", [8, SIDE - 1, SIDE, 2 * SIDE + 9])
def test_a_matrix_is_turned_in_tiles(dtype, width):
    agrees(lambda x: ops.transpose(x), lambda n: (array(n, width, dtype=dtype),))


def test_axes_before_and_between_stay_where_they_are():
    agrees(lambda x: ops.transpose(x, (0, 2, 1)), lambda n: (array(2, n, 33),))
    agrees(lambda x: ops.transpose(x, (2, 1, 0)), lambda n: (array(n, 5, 70),))


def test_what_is_computed_with_a_transpose_is_computed_in_its_tiles():
    def call(x, y, z):
        return ops.tanh(ops.transpose(x)) * y + ops.transpose(x) - ops.transpose(z)

    agrees(call, lambda n: (array(n, 40), array(40, n), array(n, 40)))


def test_many_turned_operands_take_smaller_tiles():
    def call(*xs):
        return sum(ops.transpose(x) * (k + 1.0) for k, x in enumerate(xs))

    agrees(call, lambda n: tuple(array(n, 40) for _ in range(6)))


def test_what_a_branch_may_not_read_is_not_read_ahead():
    agrees(lambda x: ops.pad(ops.transpose(x), ((1, 2), (0, 0))), lambda n: (array(n, 40),), tiled=False)


def test_a_few_columns_are_not_worth_tiles():
    agrees(lambda x: ops.transpose(x), lambda n: (array(n, 5),), tiled=False)


def test_products_and_sums_read_transposed_operands_where_they_lie():
    inputs = [kg.Input(batch_shape=(None, 40)), kg.Input(batch_shape=(None, 30))]
    for call in (lambda x, y: ops.matmul(ops.transpose(x), y), lambda x, y: ops.sum(ops.transpose(x), 1)):
        compiled = kg.compile(call, inputs=inputs)
        assert not is_turned(compiled)
        x, y = array(9, 40), array(9, 30)
        np.testing.assert_allclose(
            compiled(x, y), evaluate(compiled.stages["trace"], [x, y])[0][0], rtol=1e-5, atol=1e-3
        )


def test_on_cuda_elements_are_read_as_they_lie(monkeypatch):
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    compiled = kg.compile(lambda x: ops.transpose(x) + 1.0, inputs=[kg.Input(batch_shape=(None, 33))], target="cuda")
    x = array(10, 33)
    np.testing.assert_array_equal(compiled(x), x.T + 1)
