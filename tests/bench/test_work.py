"""Operations and memory, counted by hand."""

from __future__ import annotations

from typing import Any

import kgraph as kg
from kgraph import ops
from kgraph.bench.work import memory, operations, peak_of_process
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType
from kgraph.tracing.trace import trace


def counted(call: Any, *kinds: TensorType, batch: int = 2) -> int:
    return operations(trace(call, *kinds), {"N": batch})


def test_a_matrix_product_counts_twice_its_volume() -> None:
    assert counted(lambda a, b: ops.einsum("ab,bc->ac", a, b), TensorType((N, 5)), TensorType((5, 7))) == 2 * 2 * 5 * 7


def test_elementwise_ops_count_what_they_make_and_reductions_what_they_read() -> None:
    assert counted(lambda a: ops.exp(a), TensorType((N, 5))) == 10
    assert counted(lambda a: ops.sum(a, axis=1), TensorType((N, 5))) == 10


def test_moves_count_nothing() -> None:
    assert counted(lambda a: ops.transpose(a, (1, 0)), TensorType((N, 5))) == 0


def test_memory_has_weights_and_what_lies_between() -> None:
    x = kg.Input((16,))
    model = kg.Model(x, kg.layers.Dense(4)(kg.layers.Dense(32, activation="relu")(x)))
    held = memory(kg.compile(model).ir, {"N": 8})
    assert held.weights == 4 * (16 * 32 + 32 + 32 * 4 + 4)
    assert held.arena >= 8 * 32 * 4
    assert held.total == held.arena + held.weights + held.prepared


def test_the_process_has_a_peak() -> None:
    peak = peak_of_process()
    assert peak is None or peak > 1 << 20
