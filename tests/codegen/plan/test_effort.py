"""The estimate of how long a call takes: it grows with the work, and tells a small call from a long one."""

from __future__ import annotations

import kgraph as kg
from kgraph.codegen.plan.effort import nanoseconds


def test_it_grows_with_the_batch_and_with_the_sizes_of_products():
    i = kg.Input((64,))
    small = kg.compile(kg.Model(i, kg.layers.Dense(10)(kg.layers.Dense(64)(i))), lower_only=True).ir
    one, many = (nanoseconds(small, {"N": batch}) for batch in (1, 1000))
    assert 100 < one < 2000
    assert 900 * one < many < 1100 * one
    j = kg.Input((1000,))
    large = kg.compile(kg.Model(j, kg.layers.Dense(1000)(j)), lower_only=True).ir
    assert nanoseconds(large, {"N": 1}) > 20_000


def test_reductions_count_what_they_read_and_views_nothing():
    rows = [kg.Input(batch_shape=(None, 1000))]
    total = kg.compile(lambda x: kg.ops.sum(x, axis=-1), inputs=rows, lower_only=True).ir
    assert nanoseconds(total, {"N": 8}) >= 4000
    view = kg.compile(lambda x: kg.ops.reshape(x, (-1, 10, 100)), inputs=rows, lower_only=True).ir
    assert nanoseconds(view, {"N": 8}) == 0
