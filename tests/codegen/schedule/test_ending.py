"""What follows a product in registers: which bodies end so, and that they mean the same as others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import layers, ops
from kgraph.codegen.native.host import tile_shape
from kgraph.codegen.schedule.kernel import Ending, Product

ROWS, COLUMNS = tile_shape("float32", 2)
rng = np.random.default_rng(3)


def floats(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def endings(compiled: Any) -> list[Ending | None]:
    steps = compiled._main().program.plan.kernel_calls
    return [step.kernel.schedule.ending for step in steps if isinstance(step.kernel.schedule, Product)]


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("columns", [2, COLUMNS - 1, COLUMNS, COLUMNS + 1, 3 * COLUMNS])
@pytest.mark.parametrize("depth", [2, 40, 1100])
def test_dense_ends_in_its_tiles(depth, columns, use_bias, activation):
    x = kg.Input((depth,))
    layer = layers.Dense(columns, activation=activation, use_bias=use_bias, bias_initializer="normal")
    f = kg.compile(kg.Model(x, layer(x)))
    (ending,) = endings(f)
    assert ending is not None and (bool(ending.bias), ending.is_relu) == (use_bias, activation == "relu")
    for rows in (0, 1, ROWS - 1, ROWS + 1, 8 * ROWS + 3):
        sample = floats(rows, depth)
        wanted = sample.astype(np.float64) @ layer.kernel.numpy() + (layer.bias.numpy() if use_bias else 0)
        wanted = np.maximum(wanted, 0) if activation else wanted
        np.testing.assert_allclose(f(sample), wanted, rtol=0, atol=1e-5 * np.sqrt(depth))


def test_a_convolution_ends_in_its_tiles():
    x = kg.Input((9, 9, 8))
    layer = layers.Conv2D(COLUMNS, 3, activation="relu", bias_initializer="normal")
    f = kg.compile(kg.Model(x, layer(x)))
    assert [one for one in endings(f) if one is not None and one.bias and one.is_relu]
    sample = floats(3, 9, 9, 8)
    np.testing.assert_allclose(f(sample), layer(sample), rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "follow",
    [
        lambda y, row, whole: ops.relu(y) + row,  # nothing comes after relu
        lambda y, row, whole: y + row + row,
        lambda y, row, whole: y + whole,
        lambda y, row, whole: y * row,
        lambda y, row, whole: (y + row, ops.relu(y)),
    ],
)
def test_other_ends_are_left_to_the_kernel(follow):
    kernel = floats(6, COLUMNS)

    def call(x, row, whole):
        return follow(x @ kernel, row, whole)

    given = floats(5, 6), floats(COLUMNS), floats(5, COLUMNS)
    f = kg.compile(call, inputs=[kg.Input(batch_shape=one.shape) for one in given])
    assert not any(one is not None and (one.bias or one.is_relu) for one in endings(f))
    for found, wanted in zip(kg.tree.flatten(f(*given)), kg.tree.flatten(call(*given)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_nan_stays_behind_relu():
    x = kg.Input((4,))
    f = kg.compile(kg.Model(x, layers.Dense(COLUMNS, activation="relu")(x)))
    sample = floats(3, 4)
    sample[1, 2] = np.nan
    assert np.isnan(f(sample)[1]).all() and np.isfinite(f(sample)[[0, 2]]).all()
