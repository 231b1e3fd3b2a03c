"""Contractions around every edge of the tiles that make them, in every order of operands, judged in float64.

Results, arena and packed panels hold NaN before a kernel writes them, so what it forgets is seen.
"""

from __future__ import annotations

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.codegen.cpu import program
from kgraph.codegen.cpu.product import DEPTH
from kgraph.codegen.native.host import tile_shape
from kgraph.codegen.schedule.contraction import BLOCK, FEW
from kgraph.codegen.schedule.variants import PART
from kgraph.graph.sizes import resolve, substitute

ROWS, COLUMNS = tile_shape("float32", 2)
LANES = tile_shape("float32", 1)[1]
AROUND_ROWS = (0, 1, ROWS - 1, ROWS, ROWS + 1, BLOCK, BLOCK + 1)
AROUND_COLUMNS = (0, 1, LANES - 1, LANES, LANES + 1, COLUMNS - 1, COLUMNS, COLUMNS + 1)
AROUND_DEPTH = (0, 1, 2, 7, DEPTH - 1, DEPTH, DEPTH + 1)
ORDERS = ("ab,bc->ac", "ab,cb->ac", "ba,bc->ac", "ba,cb->ac", "ab,bc->ca")
BATCHED = (
    "nab,nbc->nac",
    "anb,cnb->nac",
    "nab,bc->nac",
    "nmab,nbc->anmc",
    "abcd,dcb->a",
    "abk,kcd->acbd",
    "nmk,nml->kl",
)


@pytest.fixture(autouse=True)
def poison(monkeypatch):
    """Memory that kernels are given is NaN at first."""
    made = program.aligned

    def poisoned(size: int) -> np.ndarray:
        memory = made(size)
        memory[:] = 0xFF
        return memory

    monkeypatch.setattr(program, "aligned", poisoned)


def judge(spec: str, sizes: dict[str, int], dtype: str = "float32", finish=lambda y: y, **options) -> None:
    """The compiled einsum against numpy's in float64."""
    random = np.random.default_rng(7)
    terms = spec.split("->")[0].split(",")
    values = [random.normal(size=[sizes[letter] for letter in term]).astype(dtype) for term in terms]
    specs = [kg.Input(batch_shape=value.shape, dtype=dtype) for value in values]
    compiled = kg.compile(lambda *given: finish(ops.einsum(spec, *given)), inputs=specs, **options)
    wanted = np.asarray(finish(np.einsum(spec, *(value.astype(np.float64) for value in values))))
    out = np.full(wanted.shape, np.nan, dtype)
    compiled(*values, out=out)
    scale = np.einsum(spec, *(np.abs(value).astype(np.float64) for value in values)).max(initial=1.0)
    np.testing.assert_allclose(out, wanted, rtol=0, atol=16 * np.finfo(dtype).eps * scale)


@pytest.mark.parametrize("spec", ORDERS)
@pytest.mark.parametrize("rows", AROUND_ROWS)
def test_rows_and_columns_around_the_edges_of_a_tile(spec, rows):
    for columns in AROUND_COLUMNS:
        judge(spec, {"a": rows, "b": 5, "c": columns})


@pytest.mark.parametrize("spec", ORDERS)
@pytest.mark.parametrize("depth", AROUND_DEPTH)
def test_sums_around_the_edges_of_a_part(spec, depth):
    for rows, columns in ((1, COLUMNS + 1), (ROWS + 1, LANES), (FEW + 1, COLUMNS)):
        judge(spec, {"a": rows, "b": depth, "c": columns})


@pytest.mark.parametrize("spec", BATCHED)
@pytest.mark.parametrize("size", (0, 1, 3))
def test_batches_and_axes_that_no_stride_joins(spec, size):
    sizes = dict.fromkeys("abcdnmkl", 0) | {"a": 13, "b": 3, "c": 17, "d": 5, "n": 4, "m": 2, "k": 33, "l": 35}
    judge(spec, sizes)
    for letter in "ankb":
        judge(spec, sizes | {letter: size})


@pytest.mark.parametrize("spec", ("ab,bc->ac", "ba,cb->ac"))
@pytest.mark.parametrize("rows", (1, ROWS, BLOCK + 1))
def test_float64(spec, rows):
    for columns in (1, LANES // 2, LANES + 1):
        judge(spec, {"a": rows, "b": DEPTH + 1, "c": columns}, "float64")


@pytest.mark.parametrize("columns", AROUND_COLUMNS[1:])
def test_what_follows_is_done_to_each_element_once(columns):
    for rows in (1, ROWS + 1, BLOCK + 1):
        judge("ab,bc->ac", {"a": rows, "b": DEPTH + 1, "c": columns}, finish=lambda y: y * 2.0 + 1.0)


@pytest.mark.parametrize("columns", (2, LANES, COLUMNS - 1, COLUMNS, COLUMNS + 1))
def test_rows_that_are_reduced_while_they_are_in_the_cache(columns):
    for rows in (1, ROWS - 1, ROWS + 1):
        judge("ab,bc->ac", {"a": rows, "b": 33, "c": columns}, finish=lambda y: y - np.max(y, -1, keepdims=True))


@pytest.mark.parametrize("spec", ORDERS)
def test_long_sums_in_parts(spec):
    for depth in (PART, PART + 1, 2 * PART, 3 * PART - 1):
        judge(spec, {"a": 5, "b": depth, "c": COLUMNS + 1})


@pytest.mark.parametrize("columns", AROUND_COLUMNS)
@pytest.mark.parametrize("finish", (None, ops.relu, ops.softmax))
def test_few_rows_are_multiplied_with_what_lies_where_it_is(columns, finish):
    random = np.random.default_rng(5)
    depth = DEPTH + 3 if finish is None else 9
    bias = random.normal(size=columns).astype(np.float32)

    def dense(x, kernel):
        product = x @ kernel + bias
        return product if finish is None else finish(product)

    compiled = kg.compile(dense, inputs=[kg.Input((depth,)), kg.Input(batch_shape=(depth, columns))])
    for rows in (0, 1, ROWS + 1, FEW, FEW + 1):
        x = random.normal(size=(rows, depth)).astype(np.float32)
        kernel = random.normal(size=(depth, columns)).astype(np.float32)
        wanted = dense(x.astype(np.float64), kernel.astype(np.float64))
        np.testing.assert_allclose(compiled(x, kernel), wanted, rtol=1e-5, atol=2e-5 * depth**0.5)


def test_what_is_packed_is_packed_for_many_rows_alone():
    compiled = kg.compile(lambda x, kernel: x @ kernel, inputs=[kg.Input((9,)), kg.Input(batch_shape=(9, 70))])
    compiled(np.zeros((2, 9), np.float32), np.zeros((9, 70), np.float32))
    steps = compiled._main().program.plan.steps
    for rows in (1, FEW, FEW + 1):
        busy = [type(step.kernel.schedule).__name__ for step in steps if resolve(extent_of(step), {"N": rows})]
        assert busy == (["Product"] if rows <= FEW else ["Pack", "Product"])


def extent_of(step):
    """The extent of a step, in the sizes of a call."""
    return substitute(step.kernel.extent, dict(zip(step.kernel.sizes, step.sizes, strict=True)))


@pytest.mark.parametrize("batch", (0, 1, PART - 1, PART, PART + 1, 5000))
def test_the_sizes_of_a_call_decide_whether_a_sum_is_done_in_parts(batch, long_sum):
    random = np.random.default_rng(batch)
    x, w = (random.normal(size=(batch, width)).astype(np.float32) for width in (17, 10))
    out = np.full((17, 10), np.nan, np.float32)
    long_sum(x, w, out=out)
    np.testing.assert_allclose(out, x.T.astype(np.float64) @ w, rtol=0, atol=1e-5 * max(batch, 1) ** 0.5)


@pytest.fixture(scope="module")
def long_sum():
    """The gradient of a narrow layer's weights, for any batch."""
    return kg.compile(lambda a, b: ops.einsum("na,nb->ab", a, b), inputs=[kg.Input((17,)), kg.Input((10,))], threads=2)


@pytest.mark.parametrize("threads", (1, 2, 5))
@pytest.mark.parametrize("shape", ((500, 700), (5000, 20)))
def test_any_number_of_threads_gives_the_same_bits(threads, shape):
    random = np.random.default_rng(3)
    batch, width = shape
    x, w = (random.normal(size=(batch, one)).astype(np.float32) for one in (width, 90))
    inputs = [kg.Input(batch_shape=value.shape) for value in (x, w)]
    results = [
        kg.compile(lambda a, b: ops.einsum("ab,ac->bc", a, b), inputs=inputs, threads=count)(x, w)
        for count in (1, threads)
    ]
    assert results[0].tobytes() == results[1].tobytes()


def test_axes_of_size_1_come_and_go_after_a_product_of_unknown_sizes():
    def scores(x, y):
        return ops.squeeze(0.3 * ops.expand_dims(ops.einsum("ab,acd->bcda", x, y), 4), 4) + 1

    random = np.random.default_rng(4)
    compiled = kg.compile(scores, inputs=[kg.Input((None,)), kg.Input((None, 2))])
    for a, b, c in ((3, 4, 5), (1, 1, 1), (2, 40, 1), (0, 3, 2)):
        x, y = random.normal(size=(a, b)).astype(np.float32), random.normal(size=(a, c, 2)).astype(np.float32)
        np.testing.assert_allclose(compiled(x, y), 0.3 * np.einsum("ab,acd->bcda", x, y) + 1, rtol=1e-5, atol=1e-6)
