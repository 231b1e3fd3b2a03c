"""The pass that turns tensors so that axes which a product walks together are one run."""

import pytest
from graphs import made, ops, same

from kgraph.graph.ir import Graph
from kgraph.graph.sizes import N
from kgraph.ops.contract import einsum
from kgraph.passes.align import align


def aligned(spec: str, *shapes: tuple) -> Graph:
    before = made(lambda x, y: einsum(x, y, spec=spec), *shapes)
    return same(before, align(before), 1e-4)


def specs(graph: Graph) -> list[str]:
    return [node.attrs["spec"] for node in graph if node.op == "einsum"]


def test_rows_in_another_order_than_the_result_has_them_are_turned() -> None:
    after = aligned("abc,cd->bad", (N, 7, 3), (3, 4))
    assert specs(after) == ["abc,cd->abd"]
    assert ops(after) == ["transpose", "einsum"]


def test_the_smaller_tensor_is_turned() -> None:
    after = aligned("abc,cd->bad", (N, 7, 8), (8, 2))
    assert ops(after) == ["einsum", "transpose"]
    assert after[after.outputs[0]].tensor.shape == (7, N, 2)


def test_columns_and_summed_axes_are_turned_too() -> None:
    assert ops(aligned("ab,bcd->adc", (N, 3), (3, 5, 4))) == ["transpose", "einsum"]
    after = aligned("abc,bad->cd", (7, N, 3), (N, 7, 4))
    assert (specs(after), ops(after)) == (["abc,abd->cd"], ["transpose", "einsum"])


@pytest.mark.parametrize(
    ("spec", "left", "right"),
    [
        ("abc,cd->abd", (N, 7, 3), (3, 4)),  # one run as it is
        ("abc,cd->bad", (96, 7, 3), (3, 4)),  # rows along the result's last axis are long enough
        ("abcd,be->ace", (N, 2, 7, 3), (2, 4)),  # other axes stand between
        ("abc,adc->abd", (N, 7, 3), (N, 4, 3)),  # nothing but single axes
    ],
)
def test_what_gains_nothing_stays(spec: str, left: tuple, right: tuple) -> None:
    assert ops(aligned(spec, left, right)).count("transpose") == 0
