"""Products of reduced rows: what becomes one kernel, and that it computes what it should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph
from kgraph import ops
from kgraph.bench.work import memory
from kgraph.graph.ir import Graph

Q, K, V = (20, 8), (33, 8), (33, 5)


def attend(scores: str, mix: str, after: Callable[[Any], Any] = ops.softmax) -> Callable[..., Any]:
    """Attention written with these two einsums."""
    return lambda q, k, v: ops.einsum(mix, after(ops.einsum(scores, q, k)), v)


def normalised(x: Any) -> Any:
    return (x - ops.mean(x, -1, keepdims=True)) / ops.std(x, -1, keepdims=True)


def causal(x: Any) -> Any:
    steps = ops.arange(x.shape[-1])
    return ops.softmax(ops.where(ops.expand_dims(steps[:20], 1) >= steps, x, -1e30))


def masked(q: Any, k: Any, v: Any, mask: Any) -> Any:
    scores = ops.einsum("btd,bsd->bts", q, k) + ops.expand_dims(mask, 1)
    return ops.einsum("bts,bsd->btd", ops.softmax(scores), v)


CHAINED: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "heads": (attend("bthd,bshd->bhts", "bhts,bshd->bthd"), ((20, 2, 8), (33, 2, 8), (33, 2, 5))),
    "no heads": (attend("btd,bsd->bts", "bts,bsd->btd"), (Q, K, V)),
    "wide values": (attend("btd,bsd->bts", "bts,bsd->btd"), (Q, K, (33, 70))),
    "long rows": (attend("btd,bsd->bts", "bts,bsd->btd"), (Q, (1500, 8), (1500, 5))),
    "columns first": (attend("btd,bsd->bts", "bts,bsd->bdt"), (Q, K, V)),
    "rows on the right": (lambda q, k, v: ops.einsum("bsd,bts->btd", v, attend_rows(q, k)), (Q, K, V)),
    "one tensor for all": (lambda x: attend("btd,bsd->bts", "bts,bsd->btd")(x, x, x), (K,)),
    "values shared by heads": (attend("bhtd,bsd->bhts", "bhts,bsd->bhtd"), ((3, 20, 8), K, V)),
    "one query": (attend("bd,bsd->bs", "bs,bsd->bd"), ((8,), K, V)),
    "two axes of queries": (attend("btud,bsd->btus", "btus,bsd->btud"), ((20, 3, 8), K, V)),
    "axes of queries apart": (attend("btud,bsd->btus", "btus,bsd->ubtd"), ((20, 3, 8), K, V)),
    "log softmax": (attend("btd,bsd->bts", "bts,bsd->btd", ops.log_softmax), (Q, K, V)),
    "normalised": (attend("btd,bsd->bts", "bts,bsd->btd", normalised), (Q, K, V)),
    "causal": (attend("btd,bsd->bts", "bts,bsd->btd", causal), (Q, K, V)),
    "masked": (masked, (Q, K, V, (33,))),
    "followed by more": (lambda q, k, v: ops.relu(attend("btd,bsd->bts", "bts,bsd->btd")(q, k, v) * 2.0), (Q, K, V)),
}
APART: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "values for each query": (attend("btd,bsd->bts", "bts,btsd->btd"), (Q, K, (20, 33, 5))),
    "no columns": (attend("btd,bsd->bts", "bts,bsd->bt"), (Q, K, V)),
    "rows are a result too": (
        lambda q, k, v: [rows := attend_rows(q, k), ops.einsum("bts,bsd->btd", rows, v)],
        (Q, K, V),
    ),
}


def attend_rows(q: Any, k: Any) -> Any:
    return ops.softmax(ops.einsum("btd,bsd->bts", q, k))


def compiled(function: Callable[..., Any], shapes: tuple[Any, ...], dtype: str = "float32") -> Any:
    return kgraph.compile(function, inputs=[kgraph.Input(shape, dtype=dtype) for shape in shapes])


def given(shapes: tuple[Any, ...], batch: int, dtype: str = "float32") -> list[np.ndarray]:
    draw = np.random.default_rng(7)
    return [
        draw.standard_normal((batch, *(33 if size is None else size for size in shape))).astype(dtype)
        for shape in shapes
    ]


def chains(graph: Graph) -> int:
    """The kernels that make two products."""
    return sum(node.body is not None and sum(one.op == "einsum" for one in node.body) == 2 for node in graph)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CHAINED)
def test_attention_is_one_kernel_and_right(case: str, dtype: str) -> None:
    function, shapes = CHAINED[case]
    f = compiled(function, shapes, dtype)
    assert chains(f.ir) == 1
    for batch in (0, 1, 3):
        arrays = given(shapes, batch, dtype)
        wanted = np.asarray(function(*(one.astype("float64") for one in arrays)))
        found = f(*arrays)
        assert found.dtype == dtype and found.shape == wanted.shape
        np.testing.assert_allclose(
            found, wanted, rtol=0, atol=(3e-6 if dtype == "float32" else 1e-13) * (1 + abs(wanted).max(initial=0))
        )


@pytest.mark.parametrize("case", APART)
def test_what_cannot_be_one_kernel_is_right_too(case: str) -> None:
    function, shapes = APART[case]
    f, arrays = compiled(function, shapes), given(shapes, 3)
    assert chains(f.ir) == 0
    wanted = function(*(one.astype("float64") for one in arrays))
    for found, value in zip(*(one if isinstance(one, list) else [one] for one in (f(*arrays), wanted)), strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=3e-6)


@pytest.mark.parametrize("case", ["heads", "normalised", "masked", "followed by more"])
def test_rows_whose_length_a_call_knows_are_one_kernel_too(case: str) -> None:
    function, shapes = CHAINED[case]
    f = compiled(function, tuple(tuple(None if size == 33 else size for size in shape) for shape in shapes))
    assert chains(f.ir) == 1
    for length, batch in ((0, 2), (1, 2), (7, 1), (33, 3), (9001, 1)):
        sizes = tuple(tuple(length if size == 33 else size for size in shape) for shape in shapes)
        arrays = given(sizes, batch)
        with np.errstate(all="ignore"):
            wanted = np.asarray(function(*(one.astype("float64") for one in arrays))) if length else np.float64(0)
        tolerance = 3e-6 * (1 + abs(wanted).max(initial=0))
        np.testing.assert_allclose(f(*arrays), wanted, rtol=0, atol=tolerance)


def test_rows_that_no_stack_holds_are_one_kernel_and_right() -> None:
    function, shapes = CHAINED["heads"][0], ((5, 2, 8), (70000, 2, 8), (70000, 2, 5))
    f, arrays = compiled(function, shapes), given(shapes, 1)
    assert chains(f.ir) == 1
    np.testing.assert_allclose(f(*arrays), function(*(one.astype("float64") for one in arrays)), rtol=0, atol=3e-6)


def test_nothing_as_large_as_the_scores_is_stored() -> None:
    x = kgraph.Input((2048, 16))
    f = kgraph.compile(kgraph.Model(x, kgraph.layers.MultiHeadAttention(2, 8)(x, x)))
    assert memory(f.ir, {"N": 1}).arena < 2048 * 2048 * 4 / 8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("after", ["softmax", "normalised", "sum"])
def test_many_wide_rows_are_reduced_in_the_kernel_of_their_product(after: str, dtype: str) -> None:
    functions = {
        "softmax": ops.softmax,
        "normalised": normalised,
        "sum": lambda x: ops.sum(x * x, -1, keepdims=True) - x,
    }
    for spec, shapes in (("bhtd,bhsd->bhts", (600, 1500)), ("bhtd,bhsd->bhst", (1500, 600))):
        sizes = tuple((2, size, 4) for size in shapes)
        f = compiled(lambda q, k, spec=spec: functions[after](ops.einsum(spec, q, k)), sizes, dtype)
        assert sum(node.op in ("fused", "einsum") for node in f.ir) == 1
        arrays = given(sizes, 2, dtype)
        wanted = np.asarray(functions[after](np.einsum(spec, *(one.astype("float64") for one in arrays))))
        tolerance = (1e-5 if dtype == "float32" else 1e-12) * (1 + abs(wanted).max())
        np.testing.assert_allclose(f(*arrays), wanted, rtol=0, atol=tolerance)


def test_few_wide_rows_are_not() -> None:
    f = compiled(lambda q, k: ops.softmax(ops.einsum("btd,bsd->bts", q, k)), ((20, 4), (1500, 4)))
    assert sum(node.op in ("fused", "einsum") for node in f.ir) == 2


def test_a_not_a_number_reaches_its_own_row_alone() -> None:
    q, k, v = given((Q, K, V), 1)
    q[0, 3, 2] = np.nan
    found = compiled(*CHAINED["no heads"])(q, k, v)
    assert np.isnan(found[0, 3]).all() and np.isfinite(np.delete(found, 3, axis=1)).all()


def test_threads_do_not_change_a_bit() -> None:
    function, shapes = CHAINED["heads"]
    arrays = given(shapes, 5)
    inputs = [kgraph.Input(shape) for shape in shapes]
    found = [kgraph.compile(function, inputs=inputs, threads=threads)(*arrays) for threads in (1, 2, 5)]
    assert (found[0] == found[1]).all() and (found[0] == found[2]).all()
