"""Products whose left operand has rows that begin in one set of the first cache: tiles read copies of them."""

from __future__ import annotations

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.codegen.native.host import tile_shape
from kgraph.codegen.schedule import contraction
from kgraph.codegen.schedule.apart import PAGE, WAYS
from kgraph.codegen.schedule.contraction import BLOCK
from kgraph.codegen.schedule.kernel import Chain, Product

ROWS, COLUMNS = tile_shape("float32", 2)
CLASHING = {"float32": PAGE // 4, "float64": PAGE // 8}
AROUND_ROWS = (0, 1, WAYS - 1, WAYS, ROWS - 1, ROWS, ROWS + 1, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + WAYS, 5 * BLOCK)

pytestmark = pytest.mark.skipif(ROWS < WAYS, reason="a set of the cache holds the rows of a tile")


def products_of(compiled):
    """The schedules of the products, those in chains included."""
    found = []
    for step in compiled._main().program.plan.steps:
        schedule = step.kernel.schedule
        found += [schedule.rows, schedule.product] if isinstance(schedule, Chain) else [schedule]
    return [one for one in found if isinstance(one, Product)]


def judge(function, *shapes, dtype="float32", of_any_batch=False, threads=2):
    """The function compiled, with rows copied and not: the same bits, and as in float64."""
    random = np.random.default_rng(3)
    values = [random.normal(size=shape).astype(dtype) for shape in shapes]
    inputs = [kg.Input(batch_shape=value.shape, dtype=dtype) for value in values]
    if of_any_batch:
        inputs[0] = kg.Input(shapes[0][1:], dtype=dtype)
    compiled = kg.compile(function, inputs=inputs, threads=threads)
    assert any(one.apart for one in products_of(compiled))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contraction, "fall_together", lambda *_: False)
        plain = kg.compile(function, inputs=inputs, threads=1)
    assert not any(one.apart for one in products_of(plain))
    found = compiled(*values)
    assert found.tobytes() == plain(*values).tobytes()
    wanted = np.asarray(function(*(value.astype(np.float64) for value in values)))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6 * max(1.0, np.abs(wanted).max(initial=0.0)))


@pytest.mark.parametrize("dtype", CLASHING)
@pytest.mark.parametrize("columns", (1, COLUMNS - 1, COLUMNS, 5 * COLUMNS + 1))
def test_blocks_of_rows(dtype, columns):
    depth = CLASHING[dtype]
    for rows in AROUND_ROWS[2:] if columns == COLUMNS else (ROWS, BLOCK + 1):
        judge(lambda x, y: x @ y, (rows, depth), (depth, columns), dtype=dtype)


@pytest.mark.parametrize("rows", AROUND_ROWS)
def test_a_batch_that_a_call_brings(rows):
    judge(lambda x, y: ops.relu(x @ y), (rows, CLASHING["float32"]), (CLASHING["float32"], 40), of_any_batch=True)


def test_many_panels_of_the_same_rows():
    judge(lambda x, y: x @ y, (4 * BLOCK + 1, CLASHING["float32"]), (CLASHING["float32"], 20 * COLUMNS))


@pytest.mark.parametrize("spec", ("ab,bc->ac", "ab,cb->ac", "nab,nbc->nac", "nab,bc->nac", "anb,cnb->nac"))
def test_orders_and_batches(spec):
    sizes = {"a": BLOCK + 1, "b": CLASHING["float32"], "c": 2 * COLUMNS, "n": 3}
    shapes = [tuple(sizes[letter] for letter in term) for term in spec.split("->")[0].split(",")]
    judge(lambda x, y: ops.einsum(spec, x, y), *shapes)


def test_heads_that_lie_in_long_rows():
    length, heads = 2 * ROWS + 1, 8
    shape = (2, length, heads, CLASHING["float32"] // heads)
    judge(lambda q, k: ops.einsum("nqhd,nkhd->nhqk", q, k), shape, shape)


@pytest.mark.parametrize("length", (ROWS, 3 * ROWS + 1))
def test_rows_that_are_reduced(length):
    shape = (length, CLASHING["float32"])
    judge(lambda x, y: ops.softmax(0.1 * ops.einsum("ab,cb->ac", x, y)), shape, shape)


def test_attention():
    shape = (2, 3 * ROWS + 1, 8, CLASHING["float32"] // 8)

    def attend(q, k, v):
        scores = ops.softmax(0.1 * ops.einsum("nqhd,nkhd->nhqk", q, k))
        return ops.einsum("nhqk,nkhd->nqhd", scores, v)

    judge(attend, shape, shape, shape)


@pytest.mark.parametrize("width", (PAGE // 4 - 1, PAGE // 4 + 1, PAGE // 8))
def test_other_rows_are_read_where_they_lie(width):
    inputs = [kg.Input((width,)), kg.Input(batch_shape=(width, COLUMNS))]
    compiled = kg.compile(lambda x, y: x @ y, inputs=inputs)
    assert not any(one.apart for one in products_of(compiled))
