"""What depends on constants alone is computed at compile time, unless it is large."""

from __future__ import annotations

import numpy as np
from graphs import made, ops, same

from kgraph.graph.sizes import N
from kgraph.ops.move import broadcast_to, iota, reshape
from kgraph.ops.reduce import sum_row
from kgraph.ops.transcendental import exp, log
from kgraph.passes.fold import MOST_ELEMENTS, fold
from kgraph.passes.rewrite import row
from kgraph.tracing.trace import as_symbol

TABLE = np.arange(6, dtype="float32").reshape(2, 3)


def test_ops_on_constants_become_constants() -> None:
    before = made(lambda x: x + sum_row(log(as_symbol(TABLE) + 1.0), axes=(0,), keepdims=False), (N, 3))
    after = same(before, fold(before))
    assert ops(after) == ["add"]
    assert ops(before) == ["add", "log", "sum", "add"], "the argument is left alone"


def test_a_constant_has_the_dtype_of_the_op() -> None:
    before = made(lambda x: x + row("cast")(as_symbol(TABLE), dtype="float64"), (2, 3))
    after = same(before, fold(before))
    (constant,) = (node for node in after if node.op == "const")
    assert constant.attrs["value"].dtype.name == constant.tensor.dtype == "float64"


def test_an_output_may_become_a_constant() -> None:
    before = made(lambda x: reshape(as_symbol(TABLE), shape=(3, 2)), (N, 3))
    after = same(before, fold(before))
    assert ops(after) == [] and after.outputs == before.outputs


def test_what_is_large_stays_computed() -> None:
    line = np.zeros(MOST_ELEMENTS + 1, "float32")
    assert ops(fold(made(lambda x: exp(as_symbol(line)), (N,)))) == ["exp"]
    assert ops(fold(made(lambda x: sum_row(as_symbol(line), axes=(0,), keepdims=False), (N,)))) == []


def test_what_is_only_repeated_stays_an_op() -> None:
    before = made(
        lambda x: [broadcast_to(as_symbol(1.0), shape=(9, 9)), iota(shape=(N, 3), axis=0, dtype="int32")], (N,)
    )
    assert ops(fold(before)) == ops(before)


def test_what_depends_on_sizes_of_the_call_stays() -> None:
    before = made(lambda x: exp(row("size")(dim=N)), (N,))
    assert ops(fold(before)) == ops(before)


def test_infinity_and_nan_are_folded_in_silence() -> None:
    before = made(lambda x: x + log(as_symbol(np.asarray([0.0, -1.0], "float32"))), (N, 2))
    assert ops(same(before, fold(before))) == ["add"]
