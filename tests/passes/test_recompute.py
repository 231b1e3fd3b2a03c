"""Cheap values are computed again rather than kept between kernels; the rest stays."""

from __future__ import annotations

import numpy as np

import kgraph as kg
from kgraph import ops
from kgraph.ir import Graph


def kernels(function, *shapes, **options) -> Graph:
    return kg.compile(function, inputs=[kg.Input(batch_shape=shape) for shape in shapes], lower_only=True, **options).ir


def computed(graph: Graph) -> list[str]:
    return [node.name for node in graph if node.op not in ("input", "param", "const")]


def test_a_cheap_value_goes_into_every_kernel_that_reads_it():
    def two_sums(x):
        shifted = (x - 1.0) * 2.0
        return ops.sum(shifted, 0), ops.sum(shifted, 1)

    assert len(computed(kernels(two_sums, (5, 7)))) == 2


def test_a_costly_value_is_kept():
    def two_sums(x):
        waves = ops.exp(x)
        return ops.sum(waves, 0), ops.sum(waves, 1)

    assert len(computed(kernels(two_sums, (5, 7)))) == 3


def test_a_value_that_needs_more_reading_than_it_saves_is_kept():
    def three_sums(a, b, c, d):
        total = a + b + c + d
        return ops.sum(total, 0), ops.sum(total, 1), ops.sum(total, (0, 1))

    assert len(computed(kernels(three_sums, *[(5, 7)] * 4))) == 4


def test_a_result_and_the_operand_of_a_contraction_are_in_memory_anyway():
    def reused(x, w):
        shifted = x + 1.0
        return shifted, ops.matmul(shifted, w), ops.sum(shifted, 0)

    names = computed(kernels(reused, (4, 5), (5, 3)))
    assert len(names) == 3
    assert not any("again" in name for name in names)


def test_copies_compute_the_same():
    def function(x):
        shifted = ops.where(x > 0.0, x, -x) + 0.25
        return ops.sum(shifted, 0), ops.max(shifted, 1), ops.cumsum(ops.sum(shifted, 1))

    x = np.random.default_rng(0).normal(size=(6, 9)).astype(np.float32)
    shifted = np.abs(x.astype(np.float64)) + 0.25
    found = kg.compile(function, inputs=[kg.Input(batch_shape=(6, 9))])(x)
    for one, wanted in zip(found, (shifted.sum(0), shifted.max(1), shifted.sum(1).cumsum()), strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-5)
